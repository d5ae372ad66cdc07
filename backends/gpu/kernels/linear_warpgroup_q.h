/* linear_warpgroup_q.h - products of warpgroups with quantised weights (docs/NUMERICS.md, "linear, quantised
 * weights"). Codes of weights are unpacked to fp16; those of activations are fp16 codes q 2^t. A dot of 32 is
 * a whole number below 2^24 (32 * 128 * 127 * 8), so the unit's f32 sum is (float)(idot << t), and one fma is
 * left of a block step. Groups follow in the order of K. */
#ifndef WH_GPU_LINEAR_WARPGROUP_Q_H
#define WH_GPU_LINEAR_WARPGROUP_Q_H

#include "backends/gpu/kernels/linear_warpgroup.h"

#if defined(__CUDACC__)

#include "backends/gpu/kernels/linear_q.h"

/* Two unsigned bytes of the low half word. */
GPU_FN uint32_t halves_of_pair(uint32_t v) {
  return gpu_add_f16x2((v & 255u) | (v & 0xff00u) << 8 | 0x64006400u, 0xe400e400u /* -1024 */);
}

/* The fragments of both steps of block b: f[4 h + i]; four bytes of a register are two steps of 16 of K. */
template <class T>
GPU_FN void unpack_halves(uint32_t f[8], const quant_chunk<T> &c, uint32_t b) {
  constexpr bool nibbles = T::bits == 4 && T::book == WH_CODEBOOK_NONE;
#pragma unroll
  for (uint32_t h = 0; h < 2; h++)
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
      if (nibbles) { /* the same numbers as widen's bytes: a biased code times 16 */
        const uint32_t word = c.codes[b * 2 + i % 2] >> (8 * h);
        const uint32_t v = (i / 2 ? word & 0x00f000f0u : word & 0x000f000fu) | 0x64006400u;
        if (T::biased)
          f[4 * h + i] = i / 2 ? gpu_add_f16x2(v, 0xe480e480u /* -1152 */)
                               : gpu_fma_f16x2(v, 0x4c004c00u /* 16 */, 0xf408f408u /* -16512 */);
        else
          f[4 * h + i] = i / 2 ? gpu_fma_f16x2(v, 0x2c002c00u /* 1/16 */, 0xd400d400u /* -64 */)
                               : gpu_add_f16x2(v, 0xe400e400u /* -1024 */);
      } else {
        f[4 * h + i] = gpu_f16x2_of_bytes(widen(c, (int)b, (int)i), h);
      }
    }
}

/* The dots of one block and 64 x ROWS results begin; `half`: of the halves that have scales of their own. */
template <class T, uint32_t ROWS>
GPU_FN void begin_dots(float (&dots)[ROWS / 2], const uint32_t f[8], const uint8_t *codes, uint32_t half) {
  const bool mine = !T::halves || (gpu_lane() % 4 >= 2) == (half != 0);
  uint32_t x[8];
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) x[i] = mine ? f[i] : 0;
  gpu_products_begin();
  gpu_product_f16<0>(dots, x, gpu_matrix_at(codes, ROWS));
  gpu_product_f16<1>(dots, x + 4, gpu_matrix_at(codes + warpgroup_code_bytes(ROWS) / 4, ROWS));
  gpu_products_commit();
}

template <uint32_t N>
GPU_FN void add_dots(float (&g)[N], const float (&dots)[N], float scale, float scale_8) {
#pragma unroll
  for (uint32_t i = 0; i < N; i++) g[i] = fmaf(i / 2 % 2 ? scale_8 : scale, dots[i], g[i]);
}

template <class T, uint32_t ROWS>
struct warpgroup_quant {
  static constexpr uint32_t rows = ROWS, n = ROWS / 2; /* results of a thread */
  static constexpr uint32_t chunk_bytes = T::chunk_bytes, head_bytes = T::head_bytes;
  static constexpr uint32_t group_chunks = GPU_QUANT_CHUNKS,
                            x_group_bytes = warpgroup_group_bytes(ROWS, T::min);
  static constexpr uint32_t stage_bytes = warpgroup_stage_bytes(ROWS, chunk_bytes, head_bytes, T::min);
  static constexpr uint32_t codes_bytes = warpgroup_chunk_bytes(ROWS, T::min);
  static constexpr uint32_t tail_bytes = warpgroup_tail_bytes(ROWS, T::min);
  /* parts of a stage, behind codes */
  static constexpr uint32_t records = codes_bytes, heads = records + GPU_TILES * chunk_bytes;
  static constexpr uint32_t tail = heads + GPU_TILES * head_bytes;
  static_assert(records % 16 == 0 && heads % 16 == 0 && tail % 16 == 0, "as bulk copies want it");

  float y[n], g[n], dots[n];
  quant_head head;
  uint32_t min[2]; /* of rows g and g + 8. SUB32: blocks 2 t, 2 t + 1 as fp16; SUB16: a byte for each chunk,
                      half block t of it */

  GPU_FN uint32_t n_stages(const gpu_matrix &m) { return m.n_chunks; }

  /* g is cleared where a group ends: where one begins, it would be chosen anew in every chunk. */
  GPU_METHOD void begin() {
#pragma unroll
    for (uint32_t i = 0; i < n; i++) y[i] = g[i] = 0.0f;
  }

  /* One bulk copy of codes, one of records, heads with the first chunk of a group and its tail with the last.
   */
  GPU_FN void fetch(const gpu_matrix &m, const uint8_t *x, const uint8_t *w, uint32_t tile, uint32_t chunk,
                    uint8_t *to, uint64_t *full) {
    const uint32_t group = chunk / GPU_QUANT_CHUNKS, at = chunk % GPU_QUANT_CHUNKS,
                   tiles = gpu_tiles_at(&m, tile);
    const bool has_heads = head_bytes && at == 0,
               last = at + 1 == GPU_QUANT_CHUNKS || chunk + 1 == m.n_chunks;
    const uint8_t *codes = x + (uint64_t)group * x_group_bytes;
    gpu_arrive_expecting(
        full, codes_bytes + tiles * (chunk_bytes + (has_heads ? head_bytes : 0)) + (last ? tail_bytes : 0));
    gpu_copy_bulk(to, codes + at * codes_bytes, codes_bytes, full);
    gpu_copy_bulk(to + records, w + gpu_records_at(&m, tile, group, at), tiles * chunk_bytes, full);
    if (has_heads) gpu_copy_bulk(to + heads, w + gpu_heads_at(&m, tile, group), tiles * head_bytes, full);
    if (last) gpu_copy_bulk(to + tail, codes + GPU_QUANT_CHUNKS * codes_bytes, tail_bytes, full);
  }

  GPU_METHOD void begin_group(const uint8_t *head_at) {
    load_head<T>(&head, head_at);
    for (uint32_t r = 0; r < 2; r++) {
      const uint8_t *p = head_at + 64 + (gpu_lane() / 4 + 8 * r) * 8 + gpu_lane() % 4 * 2;
      min[r] = T::min == WH_MIN_SUB32 ? halves_of_pair(*(const uint16_t *)p) : 0;
    }
  }

  /* F16: of block b, with the sums of its rows. */
  GPU_METHOD void add_minima(const quant_chunk<T> &c, const float *all_sums, uint32_t b) {
    const float *sums = all_sums + b * ROWS + gpu_lane() % 4 * 2;
    const float m[2] = {gpu_f16_to_f32((uint16_t)(c.min[0] >> (16 * b))),
                        gpu_f16_to_f32((uint16_t)(c.min[1] >> (16 * b)))};
#pragma unroll
    for (uint32_t i = 0; i < n; i++) g[i] = fmaf(m[i / 2 % 2], sums[i / 4 * 8 + i % 2], g[i]);
  }

  GPU_METHOD void chunk(const uint8_t *codes, const uint8_t *record, uint32_t at) {
    quant_chunk<T> c;
    load_chunk(&c, record);
    for (uint32_t r = 0; T::min == WH_MIN_SUB16 && r < 2; r++)
      min[r] |= (c.scale[r] >> (8 * (gpu_lane() % 4) + 4) & 15u) << (8 * at);
    uint32_t f[2][8];
    unpack_halves(f[0], c, 0);
#pragma unroll
    for (uint32_t b = 0; b < 2; b++)
#pragma unroll
      for (uint32_t half = 0; half < (T::halves ? 2 : 1); half++) {
        begin_dots<T, ROWS>(dots, f[b], codes + b * (warpgroup_code_bytes(ROWS) / 2), half);
        if (b == 0 && half == 0) unpack_halves(f[1], c, 1);
        const float scale = scale_of(c, head, (int)b, (int)half, 0),
                    scale_8 = scale_of(c, head, (int)b, (int)half, 1);
        gpu_products_wait(dots);
        add_dots(g, dots, scale, scale_8);
        if (T::min == WH_MIN_F16) add_minima(c, (const float *)(codes + warpgroup_code_bytes(ROWS)), b);
      }
  }

  /* J: minima times v - l and l, whose products are below 2^24 together. */
  GPU_METHOD void add_group_minima(const uint8_t *sums) {
    if (T::min == WH_MIN_SUB32) {
      const uint32_t x[4] = {min[0], min[1], min[0], min[1]};
      gpu_products_begin();
      gpu_product_f16<0>(dots, x, gpu_matrix_at(sums, ROWS));
    } else {
      const uint32_t x[4] = {halves_of_pair(min[0]), halves_of_pair(min[1]), halves_of_pair(min[0] >> 16),
                             halves_of_pair(min[1] >> 16)};
      gpu_products_begin();
      gpu_product_f16<0>(dots, x, gpu_matrix_at(sums, ROWS));
      gpu_product_f16<1>(dots, x, gpu_matrix_at(sums + 2 * warpgroup_sum_bytes(ROWS), ROWS));
    }
    gpu_products_commit();
    gpu_products_wait(dots);
    add_dots(g, dots, head.minus_dmin[0], head.minus_dmin[1]);
  }

  GPU_METHOD void compute(const gpu_matrix &m, uint32_t index, const uint8_t *stage, uint32_t, uint32_t in) {
    const uint32_t at = index % GPU_QUANT_CHUNKS;
    if (at == 0) begin_group(stage + heads + in * head_bytes);
    chunk(stage, stage + records + in * chunk_bytes, at);
    if (at + 1 != GPU_QUANT_CHUNKS && index + 1 != m.n_chunks) return;
    if (T::has_dmin) add_group_minima(stage + tail + warpgroup_scale_bytes(ROWS));
    const float *scales = (const float *)(stage + tail) + gpu_lane() % 4 * 2;
#pragma unroll
    for (uint32_t i = 0; i < n; i++) {
      y[i] = fmaf(scales[i / 4 * 8 + i % 2], g[i], y[i]);
      g[i] = 0.0f;
    }
  }
};

#endif

#define WARPGROUP_QUANT(type) WARPGROUP_KERNEL(type, warpgroup_quant<quant_##type, WARPGROUP_ROWS>)
#define WARPGROUP_QUANT_FEW(type) WARPGROUP_KERNEL(few_##type, warpgroup_quant<quant_##type, WARPGROUP_FEW>)

#endif
