/* linear_decode.h - products of few rows of activations, 8 or 32 at most: a block of threads has 16 outputs,
 * its warps share out the groups of K, whose results do not depend on each other, and y is folded at the end
 * in the order of K. Every byte of the weights is read once, straight into the registers of the matrix unit's
 * fragments, which meet the rows by eights. */
#ifndef WH_GPU_LINEAR_DECODE_H
#define WH_GPU_LINEAR_DECODE_H

#include "backends/gpu/kernels/linear_launch.h"
#include "backends/gpu/kernels/linear_limbs.h"
#include "backends/gpu/kernels/linear_q.h"
#include "backends/gpu/kernels/linear_rows.h"

/* Rows of x that a lane reads of eight: token g for codes; tokens 2 t, 2 t + 1 for the rest. */
struct decode_rows {
  uint32_t code_row, row[2];
};

/* Codes of token g from `k` on: at 4 * block this lane's k = 8 t ..+7 of the block. */
GPU_FN const gpu_pair *codes_at(uint64_t plane, uint64_t padded, uint32_t row, uint64_t k) {
  return gpu_at<const gpu_pair>(plane + row * padded + k) + gpu_lane() % 4;
}

/* ---- quantised weights: g of a group of 256 ---- */

template <class T>
struct decode_quant {
  static constexpr uint32_t chunk_bytes = T::chunk_bytes, head_bytes = T::head_bytes;
  static constexpr uint32_t group_chunks = GPU_QUANT_CHUNKS;

  /* What an eight has in half of a group. */
  struct decode_tokens {
    const gpu_pair *codes;
    uint32_t shifts[2];
    const int16_t *sums[2];
  };
  GPU_FN decode_tokens tokens_at(const gpu_linear_args &a, const decode_rows &rows, uint64_t blocks,
                                 uint32_t block) {
    decode_tokens x;
    x.codes = codes_at(a.x, blocks * 32, rows.code_row, (uint64_t)block * 32);
    for (int i = 0; i < 2; i++) {
      const uint64_t at = rows.row[i] * blocks + block;
      x.shifts[i] = *gpu_at<const uint32_t>(a.x_shifts + at);
      x.sums[i] = gpu_at<const int16_t>(a.x_sums) + at;
    }
    return x;
  }
  GPU_FN token_block token_of(const decode_tokens &from, uint32_t b) {
    token_block x;
    const gpu_pair q = from.codes[4 * b];
    x.codes[0] = q.w[0], x.codes[1] = q.w[1];
    for (int i = 0; i < 2; i++) {
      x.two_t[i] = two_to(from.shifts[i] >> (8 * b) & 255u);
      if (T::min == WH_MIN_F16) x.sum[i] = (float)from.sums[i][b];
    }
    return x;
  }

  /* `head` and `record` of the tile; a group's records are `stride` apart. Of the eights, n are there. Half
   * of the group's blocks are unpacked, then each eight goes through them: no branch and no address is left
   * of a block's step. */
  template <uint32_t EIGHTS>
  GPU_FN void group(const gpu_linear_args &a, const uint8_t *head, const uint8_t *record, uint64_t stride,
                    uint32_t n_chunks, uint32_t n_groups, uint32_t group, const decode_rows (&rows)[EIGHTS],
                    uint32_t n, float (&g)[EIGHTS][4]) {
    constexpr uint32_t HALF = GPU_QUANT_CHUNKS; /* blocks */
    const uint64_t blocks = (uint64_t)n_groups * 2 * HALF;
    quant_chunk<T> chunk[GPU_QUANT_CHUNKS] = {}; /* of those that are not there scales are 0 */
    quant_head h;
    int32_t minima[EIGHTS][4] = {};
#pragma unroll
    for (uint32_t c = 0; c < GPU_QUANT_CHUNKS; c++)
      if (c < n_chunks) load_chunk(&chunk[c], record + c * stride);
    load_head<T>(&h, head);
#pragma unroll
    for (uint32_t half = 0; half < 2; half++) {
      quant_block<T> w[HALF];
#pragma unroll
      for (uint32_t b = 0; b < HALF; b++) unpack_block(&w[b], chunk[half * 2 + b / 2], h, (int)b % 2);
#pragma unroll
      for (uint32_t j = 0; j < EIGHTS; j++) {
        if (j >= n) continue;
        const decode_tokens x = tokens_at(a, rows[j], blocks, (group * 2 + half) * HALF);
#pragma unroll
        for (uint32_t b = 0; b < HALF; b++) block_step(w[b], token_of(x, b), g[j], minima[j]);
      }
    }
    uint32_t min[2];
    if (T::min == WH_MIN_SUB32) load_minima(min, head);
#pragma unroll
    for (uint32_t j = 0; j < EIGHTS; j++) {
      if (j >= n) continue;
      if (T::min == WH_MIN_SUB32)
        minima_of_group(min, gpu_at<const int16_t>(a.x_sums) + rows[j].code_row * blocks + group * 2 * HALF,
                        minima[j]);
      group_step<T>(h, minima[j], g[j]);
    }
  }
  /* y = fma(factor, g, y) */
  GPU_FN float factor(const gpu_linear_args &a, const uint8_t *, uint32_t, uint32_t n_groups, uint32_t group,
                      uint32_t x) {
    return gpu_at<const float>(a.x_scales)[(uint64_t)x * n_groups + group];
  }
};

/* ---- 16-bit weights: (float)idot of a block of 128 ---- */

struct decode_wide {
  static constexpr uint32_t chunk_bytes = GPU_WIDE_CHUNK_BYTES, head_bytes = GPU_WIDE_HEAD_BYTES;
  static constexpr uint32_t group_chunks = GPU_WIDE_CHUNKS;

  template <uint32_t EIGHTS>
  GPU_FN void group(const gpu_linear_args &a, const uint8_t *, const uint8_t *record, uint64_t stride,
                    uint32_t, uint32_t n_groups, uint32_t group, const decode_rows (&rows)[EIGHTS],
                    uint32_t n, float (&g)[EIGHTS][4]) {
    const uint64_t padded = (uint64_t)n_groups * 128, k = (uint64_t)group * 128;
    gpu_u128 w[8];
#pragma unroll
    for (uint32_t i = 0; i < 8; i++)
      w[i] = gpu_load128(record + i / 4 * stride + i % 4 * 512 + gpu_lane() * 16);
#pragma unroll
    for (uint32_t j = 0; j < EIGHTS; j++) {
      if (j >= n) continue;
      const gpu_pair *high = codes_at(a.x, padded, rows[j].code_row, k);
      const gpu_pair *low = codes_at(a.x_low, padded, rows[j].code_row, k);
      limb_dots d = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
      for (uint32_t b = 0; b < 4; b++) {
        const gpu_pair x_high = high[4 * b], x_low = low[4 * b];
        limb_step(&d, w[2 * b].w, w[2 * b + 1].w, x_high.w, x_low.w);
      }
      for (int e = 0; e < 4; e++) g[j][e] = limb_sum(d, e);
    }
  }
  GPU_FN float factor(const gpu_linear_args &a, const uint8_t *head, uint32_t row, uint32_t n_groups,
                      uint32_t group, uint32_t x) {
    return *(const float *)(head + row % 8 * 8 + row / 8 * 4) *
           gpu_at<const float>(a.x_scales)[(uint64_t)x * n_groups + group];
  }
};

/* ---- the kernel ---- */

template <class P, uint32_t ROWS>
GPU_FN void linear_decode(const gpu_linear_args &a) {
  constexpr uint32_t EIGHTS = ROWS / 8, ROUND = decode_round(ROWS), PART = decode_part_bytes(ROWS) / 4;
  GPU_DYNAMIC_SHARED(float, part); /* [min(groups, ROUND)][PART] */
  __shared__ float sum[ROWS * GPU_TILE_ROWS];
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
  if (rows.count == 0) return;
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const uint32_t tile = blockIdx.x - matrix.first_block, in = tile % GPU_TILES, g4 = gpu_lane() / 4,
                 t = gpu_lane() % 4;
  const gpu_matrix m = gpu_matrix_of(P::chunk_bytes, P::head_bytes, P::group_chunks, matrix.n, a.k);
  const uint8_t *w = gpu_at<const uint8_t>(matrix.w + rows.expert * matrix.expert_bytes);
  const uint64_t stride = (uint64_t)gpu_tiles_at(&m, tile) * P::chunk_bytes;
  decode_rows mine[EIGHTS];
#pragma unroll
  for (uint32_t j = 0; j < EIGHTS; j++) {
    const uint32_t row = x_row(a, rows, j * 8 + g4);
    mine[j] = {row, {gpu_shfl(row, 8 * t), gpu_shfl(row, 8 * t + 4)}};
  }
  const uint32_t outputs = rows.count * GPU_TILE_ROWS, n_eights = (rows.count + 7) / 8;
  for (uint32_t o = threadIdx.x; o < outputs; o += blockDim.x) sum[o] = 0.0f;
  for (uint32_t from = 0; from < m.n_groups; from += ROUND) {
    const uint32_t end = m.n_groups - from < ROUND ? m.n_groups : from + ROUND;
    for (uint32_t group = from + gpu_warp(); group < end; group += blockDim.x / GPU_WARP) {
      float g[EIGHTS][4] = {};
      const uint32_t left = m.n_chunks - group * P::group_chunks;
      P::group(a, w + gpu_heads_at(&m, tile, group) + in * P::head_bytes,
               w + gpu_records_at(&m, tile, group, 0) + in * P::chunk_bytes, stride,
               left < P::group_chunks ? left : P::group_chunks, m.n_groups, group, mine, n_eights, g);
      float *p = part + (group - from) * PART;
#pragma unroll
      for (uint32_t j = 0; j < EIGHTS; j++)
        for (uint32_t e = 0; e < 4 && j < n_eights; e++)
          p[(j * 8 + 2 * t + e % 2) * DECODE_PART_STRIDE + g4 + 8 * (e / 2)] = g[j][e];
    }
    gpu_barrier();
    for (uint32_t o = threadIdx.x; o < outputs; o += blockDim.x) {
      const uint32_t row = o % GPU_TILE_ROWS, token = o / GPU_TILE_ROWS, x = x_row(a, rows, token);
      float y = sum[o];
      for (uint32_t group = from; group < end; group++)
        y = fmaf(
            P::factor(a, w + gpu_heads_at(&m, tile, group) + in * P::head_bytes, row, m.n_groups, group, x),
            part[(group - from) * PART + token * DECODE_PART_STRIDE + row], y);
      sum[o] = y;
    }
    gpu_barrier();
  }
  for (uint32_t o = threadIdx.x; o < outputs; o += blockDim.x) {
    const uint32_t column = tile * GPU_TILE_ROWS + o % GPU_TILE_ROWS;
    if (column < matrix.n) store_output(matrix, y_row(a, rows, o / GPU_TILE_ROWS), column, sum[o]);
  }
}

/* Up to 32 rows: two blocks of threads fit a processor, but of types that would spill. */
#define BATCH_KERNEL(name, type)                                           \
  GPU_BOUNDED_KERNEL_FN(name, gpu_linear_args, BATCH_WARPS *GPU_WARP, 2) { \
    linear_decode<decode_quant<type>, BATCH_ROWS>(a);                      \
  }

#endif
