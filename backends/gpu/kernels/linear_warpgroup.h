/* linear_warpgroup.h - products of many rows for sm_90a: a block of threads has 128 outputs and 128 rows, two
 * warpgroups of 64 outputs each, and a thread of a third fetches. Weights are the register operand of wgmma,
 * unpacked to fp16; activations are fp16 codes q 2^t in shared memory, as pack_rows leaves them. A dot of 32
 * codes is a whole number below 2^24 (32 * 128 * 127 * 8), so the unit's f32 sum is (float)(idot << t), and
 * one fma is left of a block step. Groups follow in the order of K. */
#ifndef WH_GPU_LINEAR_WARPGROUP_H
#define WH_GPU_LINEAR_WARPGROUP_H

#if defined(__CUDACC__)

#include "backends/gpu/kernels/hopper.h"
#include "backends/gpu/kernels/linear_q.h"
#include "backends/gpu/kernels/linear_rows.h"
#include "backends/gpu/kernels/warpgroup_args.h"

#define WARPGROUP_PAIRS 16u /* of tokens that a lane has, in eights */

/* The parts of a stage, and the barriers behind the stages. */
template <class T>
struct warpgroup_ring {
  static constexpr uint32_t stages = warpgroup_stages(T::chunk_bytes, T::head_bytes);
  static constexpr uint32_t stage = warpgroup_stage_bytes(T::chunk_bytes, T::head_bytes);
  static constexpr uint32_t records = WARPGROUP_CODE_BYTES, heads = records + GPU_TILES * T::chunk_bytes;
  static constexpr uint32_t tail = heads + GPU_TILES * T::head_bytes;
  static_assert(records % 16 == 0 && heads % 16 == 0 && tail % 16 == 0, "as bulk copies want it");
  static_assert(stages >= 2, "a stage is filled while another is read");

  uint8_t *shared;
  uint32_t at, parity; /* the stage in turn */

  GPU_METHOD uint8_t *place() const { return shared + at * stage; }
  GPU_METHOD uint64_t *full() const { return (uint64_t *)(shared + stages * stage) + at; }
  GPU_METHOD uint64_t *empty() const { return full() + stages; }
  GPU_METHOD void next() {
    if (++at == stages) at = 0, parity ^= 1u;
  }
};

/* Register i of a block's fragment, bytes h and h + 2, as fp16: four bytes are two steps of 16 of K. */
GPU_FN uint32_t halves_of_bytes(uint32_t v, uint32_t h) { /* 0x6400: 1024 */
  return gpu_add_f16x2((v >> (8 * h) & 0x00ff00ffu) ^ 0x64806480u, 0xe480e480u /* -1152 */);
}

/* The fragments of both steps of block b: f[4 h + i]. */
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
        f[4 * h + i] = halves_of_bytes(widen(c, (int)b, (int)i), h);
      }
    }
}

/* The dots of one block and 64 x 128 results begin; `half`: of the halves that have scales of their own. */
template <class T>
GPU_FN void begin_dots(float (&dots)[64], const uint32_t f[8], const uint8_t *codes, uint32_t half) {
  const bool mine = !T::halves || (gpu_lane() % 4 >= 2) == (half != 0);
  uint32_t x[8];
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) x[i] = mine ? f[i] : 0;
  gpu_products_begin();
  gpu_product_f16<0>(dots, x, gpu_matrix_at(codes, WARPGROUP_ROWS));
  gpu_product_f16<1>(dots, x + 4, gpu_matrix_at(codes + WARPGROUP_CODE_BYTES / 4, WARPGROUP_ROWS));
  gpu_products_commit();
}

GPU_FN void add_dots(float (&g)[64], const float (&dots)[64], float scale, float scale_8) {
#pragma unroll
  for (uint32_t i = 0; i < 64; i++) g[i] = fmaf(i / 2 % 2 ? scale_8 : scale, dots[i], g[i]);
}

template <class T>
struct warpgroup_product {
  float y[64], g[64], dots[64];
  quant_head head;
  uint32_t min[2]; /* of rows g and g + 8: minima of blocks 2 t, 2 t + 1 */

  GPU_METHOD void begin_group(const uint8_t *head_at) {
    load_head<T>(&head, head_at);
    for (uint32_t r = 0; T::min == WH_MIN_SUB32 && r < 2; r++) {
      const uint8_t *p = head_at + 64 + (gpu_lane() / 4 + 8 * r) * 8 + gpu_lane() % 4 * 2;
      min[r] = gpu_add_f16x2((uint32_t)p[0] | (uint32_t)p[1] << 16 | 0x64006400u, 0xe400e400u);
    }
#pragma unroll
    for (uint32_t i = 0; i < 64; i++) g[i] = 0.0f;
  }

  GPU_METHOD void chunk(const uint8_t *codes, const uint8_t *record) {
    quant_chunk<T> c;
    load_chunk(&c, record);
    uint32_t f[2][8];
    unpack_halves(f[0], c, 0);
#pragma unroll
    for (uint32_t b = 0; b < 2; b++)
#pragma unroll
      for (uint32_t half = 0; half < (T::halves ? 2 : 1); half++) {
        begin_dots<T>(dots, f[b], codes + b * (WARPGROUP_CODE_BYTES / 2), half);
        if (b == 0 && half == 0) unpack_halves(f[1], c, 1);
        const float scale = scale_of(c, head, (int)b, (int)half, 0),
                    scale_8 = scale_of(c, head, (int)b, (int)half, 1);
        gpu_products_wait(dots);
        add_dots(g, dots, scale, scale_8);
      }
  }

  GPU_METHOD void end_group(const uint8_t *tail) {
    if (T::min == WH_MIN_SUB32) { /* J: minima times v - l and l, whose products are below 2^24 together */
      const uint32_t x[4] = {min[0], min[1], min[0], min[1]};
      gpu_products_begin();
      gpu_product_f16<0>(dots, x, gpu_matrix_at(tail + WARPGROUP_ROWS * 4, WARPGROUP_ROWS));
      gpu_products_commit();
      gpu_products_wait(dots);
      add_dots(g, dots, head.minus_dmin[0], head.minus_dmin[1]);
    }
    const float *scales = (const float *)tail + gpu_lane() % 4 * 2;
#pragma unroll
    for (uint32_t i = 0; i < 64; i++) y[i] = fmaf(scales[i / 4 * 8 + i % 2], g[i], y[i]);
  }
};

/* Fills stages as they are empty: one bulk copy of codes, one of records, heads with the first chunk of a
 * group and its tail with the last. */
template <class T>
GPU_FN void fetch_stages(const gpu_linear_args &a, const gpu_matrix &m, const uint8_t *w, uint32_t tile,
                         warpgroup_ring<T> ring) {
  typedef warpgroup_ring<T> R;
  const uint32_t tiles = gpu_tiles_at(&m, tile);
  const uint8_t *x = gpu_at<const uint8_t>(a.x + (uint64_t)blockIdx.y * m.n_groups * WARPGROUP_GROUP_BYTES);
  for (uint32_t chunk = 0; chunk < m.n_chunks; chunk++, ring.next()) {
    const uint32_t group = chunk / GPU_QUANT_CHUNKS, at = chunk % GPU_QUANT_CHUNKS;
    const bool heads = T::head_bytes && at == 0, last = at + 1 == GPU_QUANT_CHUNKS || chunk + 1 == m.n_chunks;
    const uint8_t *codes = x + (uint64_t)group * WARPGROUP_GROUP_BYTES;
    uint8_t *to = ring.place();
    gpu_wait_phase(ring.empty(), ring.parity ^ 1u);
    gpu_arrive_expecting(ring.full(), WARPGROUP_CODE_BYTES +
                                          tiles * (T::chunk_bytes + (heads ? T::head_bytes : 0)) +
                                          (last ? WARPGROUP_TAIL_BYTES : 0));
    gpu_copy_bulk(to, codes + at * WARPGROUP_CODE_BYTES, WARPGROUP_CODE_BYTES, ring.full());
    gpu_copy_bulk(to + R::records, w + gpu_records_at(&m, tile, group, at), tiles * T::chunk_bytes,
                  ring.full());
    if (heads)
      gpu_copy_bulk(to + R::heads, w + gpu_heads_at(&m, tile, group), tiles * T::head_bytes, ring.full());
    if (last)
      gpu_copy_bulk(to + R::tail, codes + GPU_QUANT_CHUNKS * WARPGROUP_CODE_BYTES, WARPGROUP_TAIL_BYTES,
                    ring.full());
  }
}

/* A warp's 16 outputs; of a tile that is not there the last one's, which are not stored: all warps of a
 * warpgroup take part in its products. */
template <class T>
GPU_FN void compute_tile(const gpu_linear_args &a, const gpu_matrix &m, uint32_t tile,
                         warpgroup_ring<T> ring) {
  typedef warpgroup_ring<T> R;
  const uint32_t tiles = gpu_tiles_at(&m, tile), mine = gpu_warp(), in = mine < tiles ? mine : tiles - 1;
  warpgroup_product<T> p;
#pragma unroll
  for (uint32_t i = 0; i < 64; i++) p.y[i] = 0.0f;
#pragma unroll 1
  for (uint32_t chunk = 0; chunk < m.n_chunks; chunk++, ring.next()) {
    const uint32_t at = chunk % GPU_QUANT_CHUNKS;
    const uint8_t *stage = ring.place();
    gpu_wait_phase(ring.full(), ring.parity);
    if (at == 0) p.begin_group(stage + R::heads + in * T::head_bytes);
    p.chunk(stage, stage + R::records + in * T::chunk_bytes);
    if (at + 1 == GPU_QUANT_CHUNKS || chunk + 1 == m.n_chunks) p.end_group(stage + R::tail);
    gpu_warp_sync();
    if (gpu_lane() == 0) gpu_arrive(ring.empty());
  }
  if (mine >= tiles) return;
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
#pragma unroll
  for (uint32_t i = 0; i < 64; i++) {
    const uint32_t row = i / 4 * 8 + gpu_lane() % 4 * 2 + i % 2;
    const uint32_t column = (tile + mine) * GPU_TILE_ROWS + gpu_lane() / 4 + 8 * (i / 2 % 2);
    if (row < rows.count && column < matrix.n) store_output(matrix, rows.first + row, column, p.y[i]);
  }
}

template <class T>
GPU_FN void linear_warpgroup(const gpu_linear_args &a) {
  typedef warpgroup_ring<T> R;
  extern __shared__ __align__(128) unsigned char gpu_warpgroup_bytes[]; /* warpgroup_shared_bytes */
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_matrix m = gpu_matrix_of(T::chunk_bytes, T::head_bytes, GPU_QUANT_CHUNKS, matrix.n, a.k);
  const uint32_t tile = (blockIdx.x - matrix.first_block) * GPU_TILES;
  R ring = {gpu_warpgroup_bytes, 0, 0};
  if (threadIdx.x == 0) {
    for (uint32_t i = 0; i < R::stages; i++) {
      gpu_phase_init(ring.full() + i, 1);
      gpu_phase_init(ring.empty() + i, GPU_TILES);
    }
    gpu_phases_ready();
  }
  gpu_barrier();
  if (gpu_warp() >= GPU_TILES) {
    gpu_fewer_registers<40>();
    if (threadIdx.x == GPU_TILES * GPU_WARP)
      fetch_stages<T>(a, m, gpu_at<const uint8_t>(matrix.w), tile, ring);
    gpu_warp_sync();
  } else {
    gpu_more_registers<232>();
    compute_tile<T>(a, m, tile, ring);
  }
}

#define WARPGROUP_KERNEL(type)                                                           \
  GPU_WARPGROUP_KERNEL_FN(linear_warpgroup_##type, gpu_linear_args, WARPGROUP_THREADS) { \
    linear_warpgroup<quant_##type>(a);                                                   \
  }
#else
#define WARPGROUP_KERNEL(type) /* never launched: the device is not sm_90a */
#endif

#endif
