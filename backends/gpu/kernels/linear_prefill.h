/* linear_prefill.h - products of many rows: a block of threads has 128 outputs and 64 rows, each warp 32 x 32
 * of them. Chunks of 64 of K pass through a ring in shared memory, filled by copies that run ahead; groups
 * follow in the order of K, so that g and y stay in registers. */
#ifndef WH_GPU_LINEAR_PREFILL_H
#define WH_GPU_LINEAR_PREFILL_H

#include "backends/gpu/kernels/linear_launch.h"
#include "backends/gpu/kernels/linear_limbs.h"
#include "backends/gpu/kernels/linear_q.h"
#include "backends/gpu/kernels/linear_rows.h"

#define WARP_TILES 2u  /* of 16 outputs */
#define WARP_TOKENS 4u /* of 8 rows */
#define WARP_ROWS (WARP_TOKENS * 8u)

/* Where a 16-byte piece of a row's 64 codes lies in its plane of the ring: rows are 64 bytes, and in every
 * other pair of them the two blocks change places, so that 4 rows' pieces of one block meet all banks. */
GPU_FN uint32_t code_at(uint32_t row, uint32_t block) { return row * 64 + (block ^ (row >> 1 & 1)) * 32; }

/* The parts of shared memory, in bytes from its start. */
template <class P>
struct ring {
  static constexpr uint32_t records = GPU_TILES * P::chunk_bytes, plane = PREFILL_ROWS * GPU_K_CHUNK;
  static constexpr uint32_t stage = records + P::planes * plane;
  static constexpr uint32_t heads = P::stages * stage, head_slot = GPU_TILES * P::head_bytes;
  static constexpr uint32_t tokens = heads + PREFILL_HEAD_SLOTS * head_slot;
  static constexpr uint32_t token_slot = PREFILL_ROWS * P::token_bytes;
  static_assert(tokens + PREFILL_HEAD_SLOTS * token_slot ==
                    prefill_shared_bytes(P::stages, P::chunk_bytes, P::head_bytes, P::planes, P::token_bytes),
                "as the host launches it");
};

/* What a warp sees of a chunk. */
struct chunk_view {
  const uint8_t *record[WARP_TILES], *head[WARP_TILES]; /* of its tiles */
  const uint8_t *codes, *tokens; /* of all 64 rows of the block; the warp's begin at: */
  uint32_t first_row;
};

GPU_FN void codes_of(const chunk_view &v, uint32_t plane, uint32_t j, uint32_t block, uint32_t codes[2]) {
  const uint32_t row = v.first_row + j * 8 + gpu_lane() / 4;
  const uint64_t both = *(const uint64_t *)(v.codes + plane * PREFILL_ROWS * GPU_K_CHUNK +
                                            code_at(row, block) + gpu_lane() % 4 * 8);
  codes[0] = (uint32_t)both;
  codes[1] = (uint32_t)(both >> 32);
}

/* ---- quantised weights ---- */

template <class T>
struct prefill_quant {
  static constexpr uint32_t chunk_bytes = T::chunk_bytes, head_bytes = T::head_bytes;
  static constexpr uint32_t group_chunks = GPU_QUANT_CHUNKS, stages = PREFILL_QUANT_STAGES, planes = 1;
  /* [64] scales, [64][8 blocks] shifts, with minima [64][8] sums */
  static constexpr bool sums = T::min == WH_MIN_F16 || T::min == WH_MIN_SUB32;
  static constexpr uint32_t token_bytes = 4 + 8 + (sums ? 16 : 0);

  float y[WARP_TILES][WARP_TOKENS][4], g[WARP_TILES][WARP_TOKENS][4]; /* all 0 where a group begins */
  int32_t minima[WARP_TILES][WARP_TOKENS][4];

  GPU_METHOD void begin() {
#pragma unroll
    for (uint32_t i = 0; i < WARP_TILES; i++)
#pragma unroll
      for (uint32_t j = 0; j < WARP_TOKENS; j++)
        for (uint32_t e = 0; e < 4; e++) y[i][j][e] = g[i][j][e] = 0.0f, minima[i][j][e] = 0;
  }

  GPU_FN void copy_tokens(const gpu_linear_args &a, uint8_t *to, uint32_t i, uint64_t x, uint32_t n_groups,
                          uint32_t group) {
    const uint64_t at = x * n_groups + group;
    gpu_copy_async<4>(to + i * 4, gpu_at<const uint8_t>(a.x_scales + at * 4));
    gpu_copy_async<8>(to + PREFILL_ROWS * 4 + i * 8, gpu_at<const uint8_t>(a.x_shifts + at * 8));
    if (sums) gpu_copy_async16(to + PREFILL_ROWS * 12 + i * 16, gpu_at<const uint8_t>(a.x_sums + at * 16));
  }

  GPU_METHOD void chunk(const chunk_view &v, uint32_t at) {
    quant_chunk<T> c[WARP_TILES];
    quant_head h[WARP_TILES];
#pragma unroll
    for (uint32_t i = 0; i < WARP_TILES; i++) {
      load_chunk(&c[i], v.record[i]);
      load_head<T>(&h[i], v.head[i]);
    }
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
      token_block x[WARP_TOKENS];
#pragma unroll
      for (uint32_t j = 0; j < WARP_TOKENS; j++) {
        codes_of(v, 0, j, b, x[j].codes);
        for (uint32_t e = 0; e < 2; e++) {
          const uint32_t row = v.first_row + j * 8 + gpu_lane() % 4 * 2 + e, block = at * 2 + b;
          x[j].two_t[e] = two_to(v.tokens[PREFILL_ROWS * 4 + row * 8 + block]);
          if (T::min == WH_MIN_F16)
            x[j].sum[e] = (float)((const int16_t *)(v.tokens + PREFILL_ROWS * 12))[row * 8 + block];
        }
      }
#pragma unroll
      for (uint32_t i = 0; i < WARP_TILES; i++) {
        quant_block<T> w;
        unpack_block(&w, c[i], h[i], (int)b);
#pragma unroll
        for (uint32_t j = 0; j < WARP_TOKENS; j++) block_step(w, x[j], g[i][j], minima[i][j]);
      }
    }
  }

  GPU_METHOD void group_end(const chunk_view &v) {
    const int16_t *all_sums = (const int16_t *)(v.tokens + PREFILL_ROWS * 12);
#pragma unroll
    for (uint32_t j = 0; j < WARP_TOKENS; j++) {
      const uint32_t row = v.first_row + j * 8 + gpu_lane() % 4 * 2;
      const float scale[2] = {((const float *)v.tokens)[row], ((const float *)v.tokens)[row + 1]};
#pragma unroll
      for (uint32_t i = 0; i < WARP_TILES; i++) {
        quant_head h;
        load_head<T>(&h, v.head[i]);
        uint32_t min[2];
        if (T::min == WH_MIN_SUB32) load_minima(min, v.head[i]);
        if (T::min == WH_MIN_SUB32)
          minima_of_group(min, all_sums + (v.first_row + j * 8 + gpu_lane() / 4) * 8, minima[i][j]);
        group_step<T>(h, minima[i][j], g[i][j]);
        for (int e = 0; e < 4; e++) {
          y[i][j][e] = fmaf(scale[e % 2], g[i][j][e], y[i][j][e]);
          g[i][j][e] = 0.0f, minima[i][j][e] = 0;
        }
      }
    }
  }
};

/* ---- 16-bit weights ---- */

struct prefill_wide {
  static constexpr uint32_t chunk_bytes = GPU_WIDE_CHUNK_BYTES, head_bytes = GPU_WIDE_HEAD_BYTES;
  static constexpr uint32_t group_chunks = GPU_WIDE_CHUNKS, stages = PREFILL_WIDE_STAGES, planes = 2;
  static constexpr uint32_t token_bytes = 4; /* [64] scales */

  float y[WARP_TILES][WARP_TOKENS][4];
  limb_dots dots[WARP_TILES][WARP_TOKENS];

  GPU_METHOD void begin() {
#pragma unroll
    for (uint32_t i = 0; i < WARP_TILES; i++)
#pragma unroll
      for (uint32_t j = 0; j < WARP_TOKENS; j++)
        for (uint32_t e = 0; e < 4; e++) y[i][j][e] = 0.0f;
  }

  GPU_FN void copy_tokens(const gpu_linear_args &a, uint8_t *to, uint32_t i, uint64_t x, uint32_t n_groups,
                          uint32_t group) {
    gpu_copy_async<4>(to + i * 4, gpu_at<const uint8_t>(a.x_scales + (x * n_groups + group) * 4));
  }

  GPU_METHOD void chunk(const chunk_view &v, uint32_t at) {
    if (at == 0)
#pragma unroll
      for (uint32_t i = 0; i < WARP_TILES; i++)
#pragma unroll
        for (uint32_t j = 0; j < WARP_TOKENS; j++) dots[i][j] = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
      uint32_t x[WARP_TOKENS][2][2];
#pragma unroll
      for (uint32_t j = 0; j < WARP_TOKENS; j++)
        for (uint32_t limb = 0; limb < 2; limb++) codes_of(v, limb, j, b, x[j][limb]);
#pragma unroll
      for (uint32_t i = 0; i < WARP_TILES; i++) {
        const uint8_t *p = v.record[i] + b * 1024 + gpu_lane() * 16;
        const gpu_u128 high = gpu_load128(p), low = gpu_load128(p + 512);
#pragma unroll
        for (uint32_t j = 0; j < WARP_TOKENS; j++) limb_step(&dots[i][j], high.w, low.w, x[j][0], x[j][1]);
      }
    }
  }

  GPU_METHOD void group_end(const chunk_view &v) {
    const uint32_t g4 = gpu_lane() / 4;
#pragma unroll
    for (uint32_t j = 0; j < WARP_TOKENS; j++) {
      const float *scale = (const float *)v.tokens + v.first_row + j * 8 + gpu_lane() % 4 * 2;
#pragma unroll
      for (uint32_t i = 0; i < WARP_TILES; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const float w = ((const float *)v.head[i])[g4 * 2 + (uint32_t)e / 2];
          y[i][j][e] = fmaf(w * scale[e % 2], limb_sum(dots[i][j], e), y[i][j][e]);
        }
    }
  }
};

/* ---- the kernel ---- */

/* Copies `n` pieces of 16 bytes. */
GPU_FN void copy_pieces(uint8_t *to, const uint8_t *from, uint32_t n) {
  for (uint32_t i = threadIdx.x; i < n; i += PREFILL_THREADS) gpu_copy_async16(to + i * 16, from + i * 16);
}

/* The next chunk of the matrix and the rows into its place of the ring. */
template <class P>
GPU_FN void fetch(const gpu_linear_args &a, const gpu_matrix &m, const uint8_t *w, uint32_t tile,
                  uint64_t my_x, uint64_t token_x, uint32_t chunk, uint8_t *shared) {
  typedef ring<P> R;
  if (chunk < m.n_chunks) {
    const uint32_t group = chunk / P::group_chunks, at = chunk % P::group_chunks,
                   tiles = gpu_tiles_at(&m, tile);
    uint8_t *stage = shared + chunk % P::stages * R::stage;
    copy_pieces(stage, w + gpu_records_at(&m, tile, group, at), tiles * P::chunk_bytes / 16);
    const uint64_t padded = (uint64_t)m.n_groups * P::group_chunks * GPU_K_CHUNK;
    const uint32_t row = threadIdx.x / 4, piece = threadIdx.x % 4;
    for (uint32_t p = 0; p < P::planes; p++)
      gpu_copy_async16(stage + R::records + p * R::plane + code_at(row, piece / 2) + piece % 2 * 16,
                       gpu_at<const uint8_t>((p ? a.x_low : a.x) + my_x * padded +
                                             (uint64_t)chunk * GPU_K_CHUNK + piece * 16));
    if (at == 0) {
      copy_pieces(shared + R::heads + group % PREFILL_HEAD_SLOTS * R::head_slot,
                  w + gpu_heads_at(&m, tile, group), tiles * P::head_bytes / 16);
      if (threadIdx.x < PREFILL_ROWS)
        P::copy_tokens(a, shared + R::tokens + group % PREFILL_HEAD_SLOTS * R::token_slot, threadIdx.x,
                       token_x, m.n_groups, group);
    }
  }
  gpu_copy_commit();
}

template <class P>
GPU_FN void store_tile(const gpu_linear_args &a, const gpu_row_tile &rows, const P &p, uint32_t tile,
                       uint32_t first_row) {
  const gpu_linear_matrix matrix = matrix_of_block(a);
#pragma unroll
  for (uint32_t j = 0; j < WARP_TOKENS; j++)
#pragma unroll
    for (uint32_t t = 0; t < 2; t++) {
      const uint32_t row = first_row + j * 8 + gpu_lane() % 4 * 2 + t;
      if (row >= rows.count) continue;
      const uint32_t to = y_row(a, rows, row);
#pragma unroll
      for (uint32_t i = 0; i < WARP_TILES; i++)
#pragma unroll
        for (uint32_t r = 0; r < 2; r++) {
          const uint32_t column = (tile + i) * GPU_TILE_ROWS + gpu_lane() / 4 + 8 * r;
          if (column < matrix.n) store_output(matrix, to, column, p.y[i][j][r * 2 + t]);
        }
    }
}

template <class P>
GPU_FN void linear_prefill(const gpu_linear_args &a) {
  typedef ring<P> R;
  GPU_DYNAMIC_SHARED(uint8_t, shared); /* prefill_shared_bytes */
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
  if (rows.count == 0) return;
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_matrix m = gpu_matrix_of(P::chunk_bytes, P::head_bytes, P::group_chunks, matrix.n, a.k);
  const uint8_t *w = gpu_at<const uint8_t>(matrix.w + rows.expert * matrix.expert_bytes);
  const uint32_t tile = (blockIdx.x - matrix.first_block) * GPU_TILES, tiles = gpu_tiles_at(&m, tile);
  const uint32_t my_tile = gpu_warp() % 4 * WARP_TILES, first_row = gpu_warp() / 4 * WARP_ROWS;
  const bool works = my_tile < tiles && first_row < rows.count;
  const uint64_t my_x = x_row(a, rows, threadIdx.x / 4);
  const uint64_t token_x = x_row(a, rows, threadIdx.x < PREFILL_ROWS ? threadIdx.x : 0);
  P p;
  p.begin();
  for (uint32_t chunk = 0; chunk + 1 < P::stages; chunk++)
    fetch<P>(a, m, w, tile, my_x, token_x, chunk, shared);
  for (uint32_t chunk = 0; chunk < m.n_chunks; chunk++) {
    gpu_copy_wait<P::stages - 2>();
    gpu_barrier();
    fetch<P>(a, m, w, tile, my_x, token_x, chunk + P::stages - 1, shared);
    if (!works) continue;
    const uint32_t slot = chunk / P::group_chunks % PREFILL_HEAD_SLOTS, at = chunk % P::group_chunks;
    chunk_view v;
    v.codes = shared + chunk % P::stages * R::stage + R::records;
    v.tokens = shared + R::tokens + slot * R::token_slot;
    v.first_row = first_row;
    for (uint32_t i = 0; i < WARP_TILES; i++) { /* a tile that is not there: the last one again, not stored */
      const uint32_t in = my_tile + i < tiles ? my_tile + i : tiles - 1;
      v.record[i] = shared + chunk % P::stages * R::stage + in * P::chunk_bytes;
      v.head[i] = shared + R::heads + slot * R::head_slot + in * P::head_bytes;
    }
    p.chunk(v, at);
    if (at + 1 == P::group_chunks || chunk + 1 == m.n_chunks) p.group_end(v);
  }
  gpu_copy_wait<0>();
  if (works) store_tile(a, rows, p, tile + my_tile, first_row);
}

#endif
