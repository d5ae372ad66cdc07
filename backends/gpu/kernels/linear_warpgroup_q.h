/* linear_warpgroup_q.h - products of warpgroups with quantised weights (docs/NUMERICS.md, "linear, quantised
 * weights"). Codes of weights are unpacked to fp16; those of activations are fp16 codes q 2^t. A dot of 32 is
 * a whole number below 2^24 (32 * 128 * 127 * 8), so the unit's f32 sum is (float)(idot << t), and one fma is
 * left of a block step. Groups follow in the order of K; a stage is a chunk of one. */
#ifndef WH_GPU_LINEAR_WARPGROUP_Q_H
#define WH_GPU_LINEAR_WARPGROUP_Q_H

#include "backends/gpu/kernels/linear_warpgroup.h"

#if defined(__CUDACC__)

#include "backends/gpu/kernels/linear_q.h"

/* Two unsigned bytes of the low half word. */
GPU_FN uint32_t halves_of_pair(uint32_t v) {
  return gpu_add_f16x2((v & 255u) | (v & 0xff00u) << 8 | 0x64006400u, 0xe400e400u /* -1024 */);
}

/* Whose codes become halves without a detour through bytes, and are not multiplied (linear_q.h) either. */
template <class T>
GPU_FN constexpr bool nibbles() {
  return T::bits == 4 && T::book == WH_CODEBOOK_NONE;
}

/* The fragments of both steps of block b: f[4 h + i]; four bytes of a register are two steps of 16 of K. */
template <class T>
GPU_FN void unpack_halves(uint32_t f[8], const quant_chunk<T> &c, uint32_t b) {
#pragma unroll
  for (uint32_t h = 0; h < 2; h++)
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
      if (nibbles<T>()) { /* 1024 + code, 1024 + 16 code */
        const uint32_t v =
            gpu_masked_xor(c.codes[b * 2 + i % 2] >> (8 * h), i / 2 ? 0x00f000f0u : 0x000f000fu, 0x64006400u);
        f[4 * h + i] = i / 2
                           ? gpu_fma_f16x2(v, 0x2c002c00u /* 1/16 */,
                                           T::biased ? 0xd480d480u /* -72 */ : 0xd400d400u /* -64 */)
                           : gpu_add_f16x2(v, T::biased ? 0xe408e408u /* -1032 */ : 0xe400e400u /* -1024 */);
      } else if (!T::bytes &&
                 T::book == WH_CODEBOOK_NONE) { /* in C: joined with what put the byte together */
        f[4 * h + i] = gpu_add_f16x2((widen(c, (int)b, (int)i) >> (8 * h) & 0x00ff00ffu) ^ 0x64806480u,
                                     0xe480e480u /* -1152 */);
      } else {
        f[4 * h + i] = gpu_f16x2_of_bytes(widen(c, (int)b, (int)i), h);
      }
    }
}

/* The dots of one block and 64 x ROWS results begin; `half`: of the halves that have scales of their own. */
template <class T, uint32_t ROWS>
GPU_FN void begin_dots(float (&dots)[ROWS / 2], const uint32_t f[8], uint64_t codes, uint32_t half) {
  const bool mine = !T::halves || (gpu_lane() % 4 >= 2) == (half != 0);
  uint32_t x[8];
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) x[i] = mine ? f[i] : 0;
  gpu_products_begin();
  gpu_product_f16<0>(dots, x, codes);
  gpu_product_f16<1>(dots, x + 4, gpu_matrix_behind(codes, warpgroup_code_bytes(ROWS) / 4));
  gpu_products_commit();
}

/* `first` of its group: g is set, to fma(scale, dot, +0). */
template <uint32_t N>
GPU_FN void add_dots(float (&g)[N], const float (&dots)[N], float scale, float scale_8, bool first) {
#pragma unroll
  for (uint32_t i = 0; i < N; i++) g[i] = fmaf(i / 2 % 2 ? scale_8 : scale, dots[i], first ? 0.0f : g[i]);
}

template <class T, uint32_t ROWS, uint32_t TILES = GPU_TILES>
struct warpgroup_quant {
  static constexpr uint32_t rows = ROWS, n = ROWS / 2; /* results of a thread */
  static constexpr uint32_t tiles = TILES, group_stages = GPU_QUANT_CHUNKS;
  static constexpr bool splits = TILES == WARPGROUP_SPLIT_TILES;
  static constexpr uint32_t chunk_bytes = T::chunk_bytes, head_bytes = T::head_bytes;
  static constexpr uint32_t group_chunks = GPU_QUANT_CHUNKS,
                            x_group_bytes = warpgroup_group_bytes(ROWS, T::min);
  static constexpr uint32_t stage_bytes = warpgroup_stage_bytes(ROWS, TILES, chunk_bytes, head_bytes, T::min);
  static constexpr uint32_t codes_bytes = warpgroup_chunk_bytes(ROWS, T::min);
  static constexpr uint32_t tail_bytes = warpgroup_tail_bytes(ROWS, T::min);
  /* parts of a stage, behind codes */
  static constexpr uint32_t records = codes_bytes, heads = records + TILES * chunk_bytes;
  static constexpr uint32_t tail = heads + TILES * head_bytes;
  static_assert(records % 16 == 0 && heads % 16 == 0 && tail % 16 == 0, "as bulk copies want it");
  static_assert(warpgroup_ring_bytes(stage_bytes, 2 * group_stages) + (splits ? WARPGROUP_SUM_BYTES : 0) <=
                    227u * 1024u,
                "a block fits a processor");
  typedef warpgroup_ring<warpgroup_quant> ring_type;

  float y[n], g[n], dots[n];
  quant_head head;
  uint32_t min[2]; /* of rows g and g + 8. SUB32: blocks 2 t, 2 t + 1 as fp16; SUB16: a byte for each chunk,
                      half block t of it */

  /* A block's tiles that are there. */
  GPU_FN uint32_t tiles_at(const gpu_matrix &m, uint32_t tile) {
    const uint32_t left = gpu_tiles_at(&m, tile) - tile % GPU_TILES;
    return left < TILES ? left : TILES;
  }
  /* Chunks of a group. */
  GPU_FN uint32_t stages_of(const gpu_matrix &m, uint32_t group) {
    const uint32_t left = m.n_chunks - group * GPU_QUANT_CHUNKS;
    return left < GPU_QUANT_CHUNKS ? left : GPU_QUANT_CHUNKS;
  }

  GPU_METHOD void begin() {
#pragma unroll
    for (uint32_t i = 0; i < n; i++) y[i] = 0.0f;
  }

  /* One bulk copy of codes, one of records, heads with the first chunk of a group and its tail with the last.
   */
  GPU_FN void fetch(const gpu_matrix &m, const uint8_t *x, const uint8_t *w, uint32_t tile, uint32_t group,
                    uint32_t at, uint8_t *to, uint64_t *full) {
    const uint32_t n_tiles = tiles_at(m, tile), in = tile % GPU_TILES;
    const bool has_heads = head_bytes && at == 0, last = at + 1 == stages_of(m, group);
    const uint8_t *codes = x + (uint64_t)group * x_group_bytes;
    gpu_arrive_expecting(
        full, codes_bytes + n_tiles * (chunk_bytes + (has_heads ? head_bytes : 0)) + (last ? tail_bytes : 0));
    gpu_copy_bulk(to, codes + at * codes_bytes, codes_bytes, full);
    gpu_copy_bulk(to + records, w + gpu_records_at(&m, tile, group, at) + in * chunk_bytes,
                  n_tiles * chunk_bytes, full);
    if (has_heads)
      gpu_copy_bulk(to + heads, w + gpu_heads_at(&m, tile, group) + in * head_bytes, n_tiles * head_bytes,
                    full);
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

  GPU_METHOD float scale_of_dots(const quant_chunk<T> &c, uint32_t b, uint32_t half, int r) const {
    return nibbles<T>() ? plain_scale_of(c, head, (int)b, (int)half, r)
                        : scale_of(c, head, (int)b, (int)half, r);
  }

  /* `matrix`: the codes, as products have them. */
  GPU_METHOD void add_chunk(const uint8_t *codes, uint64_t matrix, const uint8_t *record, uint32_t at) {
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
        begin_dots<T, ROWS>(dots, f[b], gpu_matrix_behind(matrix, b * (warpgroup_code_bytes(ROWS) / 2)),
                            half);
        if (b == 0 && half == 0) unpack_halves(f[1], c, 1);
        const float scale = scale_of_dots(c, b, half, 0), scale_8 = scale_of_dots(c, b, half, 1);
        gpu_products_wait(dots);
        add_dots(g, dots, scale, scale_8, at == 0 && b == 0 && half == 0);
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
    add_dots(g, dots, head.minus_dmin[0], head.minus_dmin[1], false);
  }

  /* Chunks are unrolled, so that a stage's place is a constant behind the group's. */
  GPU_METHOD void add_group(const gpu_matrix &m, uint32_t group, const ring_type &ring, uint32_t,
                            uint32_t in) {
    const uint32_t chunks = stages_of(m, group), parity = ring.parity(group);
    const uint8_t *first = ring.stage(group), *record = first + records + in * chunk_bytes;
    uint64_t *full = ring.full(group), *empty = ring.empty(group);
    const uint64_t matrix = gpu_matrix_at(first, ROWS);
#pragma unroll
    for (uint32_t at = 0; at < GPU_QUANT_CHUNKS; at++) {
      if (at && at >= chunks) continue;
      gpu_wait_phase(full + at, parity);
      if (at == 0) begin_group(first + heads + in * head_bytes);
      add_chunk(first + at * stage_bytes, gpu_matrix_behind(matrix, at * stage_bytes),
                record + at * stage_bytes, at);
      if (at + 1 < chunks) ring.arrive(empty + at);
    }
    const uint8_t *end = first + (chunks - 1) * stage_bytes + tail;
    if (T::has_dmin) add_group_minima(end + warpgroup_scale_bytes(ROWS));
    if (splits && group) ring.take(group, y);
    const float *scales = (const float *)end + gpu_lane() % 4 * 2;
#pragma unroll
    for (uint32_t i = 0; i < n; i++) y[i] = fmaf(scales[i / 4 * 8 + i % 2], g[i], y[i]);
    ring.arrive(empty + chunks - 1);
    if (splits && group + 1 < m.n_groups) ring.pass(group, y);
  }
};

#endif

#define WARPGROUP_QUANT(type) WARPGROUP_KERNEL(type, warpgroup_quant<quant_##type, WARPGROUP_ROWS>)
#define WARPGROUP_QUANT_FEW(type) WARPGROUP_KERNEL(few_##type, warpgroup_quant<quant_##type, WARPGROUP_FEW>)
#define WARPGROUP_QUANT_SPLIT(type) \
  WARPGROUP_KERNEL(split_##type, warpgroup_quant<quant_##type, WARPGROUP_FEW, WARPGROUP_SPLIT_TILES>)

#endif
