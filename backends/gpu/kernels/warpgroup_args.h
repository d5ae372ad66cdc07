/* warpgroup_args.h - activations as products of warpgroups read them, and the shapes of their launches. For
 * hosts and kernels. */
// clang-format off
/* Tiles of 128 rows (or of 64: read so below), rows past the end zero, follow each other; of a tile its groups of K. Of
 * quantised weights, groups of 256:
 *
 *   4 chunks of 64 of K:
 *     codes  [4 steps][2 halves][128 rows][8] fp16, q 2^t. Step 2 b + h of a chunk and half i of it have
 *            k = 8 t + 4 i + h + 2 j of the chunk's block b at element 2 t + j: in an order of k that weights' records
 *            give without moves (linear_format.h)
 *     sums   F16: [2 blocks][128] f32 of v, a block's sum << t
 *   scales   [128] f32
 *   sums     fp16, first of v - l and then of l, the low 7 bits of v
 *            SUB32: [2][128 rows][8 blocks]
 *            SUB16: [2][2 i][128 rows][8], of half blocks: half h of block b of chunk 2 i + j at element 4 b + 2 h + j
 *
 * Of 16-bit weights, groups of 128:
 *   2 chunks: codes [2 blocks][high, low limb][2 halves][128 rows][16] int8; half i has k = 8 t + 4 i + j of the block at
 *             element 4 t + j
 *   scales    [128] f32 */
// clang-format on
#ifndef WH_GPU_WARPGROUP_ARGS_H
#define WH_GPU_WARPGROUP_ARGS_H

#include <stdint.h>

#include "backends/gpu/kernels/linear_args.h"
#include "backends/gpu/kernels/linear_format.h"

#define WARPGROUP_ROWS 128u
#define WARPGROUP_FEW 64u        /* rows of a tile where a product has no more, of quantised weights */
#define WARPGROUP_LEAST_ROWS 65u /* of a product, for each expert, that takes these kernels; predicted */
#define WARPGROUP_FEW_ROWS \
  33u /* the same, where there are blocks enough (family_linear.c, warpgroup_tiles); predicted */
#define WARPGROUP_LANES 128u
#define WARPGROUP_WARPS 4u
#define WARPGROUP_THREADS 384u /* two warpgroups compute, one fetches */
#define WARPGROUP_SPLIT_TILES \
  4u /* a block's tiles of outputs where its warpgroups share out K, and not the outputs */
#define WARPGROUP_WIDE_BYTES \
  (GPU_WIDE_CHUNKS * WARPGROUP_ROWS * GPU_K_CHUNK * 2u + WARPGROUP_ROWS * 4u) /* a group */

/* Of a tile of so many rows: codes of a chunk, scales of a group, 8 fp16 of each row. */
GPU_CONST_FN uint32_t warpgroup_code_bytes(uint32_t rows) { return rows * GPU_K_CHUNK * 2u; }
GPU_CONST_FN uint32_t warpgroup_scale_bytes(uint32_t rows) { return rows * 4u; }
GPU_CONST_FN uint32_t warpgroup_sum_bytes(uint32_t rows) { return rows * 8u * 2u; }

/* Of activations, for weights whose minima are `min`: a chunk, what ends a group, a group. */
GPU_CONST_FN uint32_t warpgroup_chunk_bytes(uint32_t rows, int min) {
  return warpgroup_code_bytes(rows) + (min == WH_MIN_F16 ? 2u * rows * 4u : 0u);
}
GPU_CONST_FN uint32_t warpgroup_tail_bytes(uint32_t rows, int min) {
  return warpgroup_scale_bytes(rows) + (min == WH_MIN_SUB32   ? 2u * warpgroup_sum_bytes(rows)
                                        : min == WH_MIN_SUB16 ? 4u * warpgroup_sum_bytes(rows)
                                                              : 0u);
}
GPU_CONST_FN uint32_t warpgroup_group_bytes(uint32_t rows, int min) {
  return GPU_QUANT_CHUNKS * warpgroup_chunk_bytes(rows, min) + warpgroup_tail_bytes(rows, min);
}

/* A stage in shared memory: of quantised weights a chunk of activations, records, heads, what ends a group;
 * of 16-bit weights a group of both. */
GPU_CONST_FN uint32_t warpgroup_stage_bytes(uint32_t rows, uint32_t tiles, uint32_t chunk_bytes,
                                            uint32_t head_bytes, int min) {
  return (warpgroup_chunk_bytes(rows, min) + tiles * (chunk_bytes + head_bytes) +
          warpgroup_tail_bytes(rows, min) + 127u) /
         128u * 128u;
}
#define WARPGROUP_WIDE_STAGE_BYTES \
  (WARPGROUP_WIDE_BYTES + GPU_TILES * (GPU_WIDE_CHUNKS * GPU_WIDE_CHUNK_BYTES + GPU_WIDE_HEAD_BYTES))
/* A ring has the stages of two groups. Behind them are barriers of 8 bytes, two a stage and two a warp. */
GPU_CONST_FN uint32_t warpgroup_ring_bytes(uint32_t stage_bytes, uint32_t stages) {
  return stages * (stage_bytes + 16u) + 2u * WARPGROUP_WARPS * 8u;
}
/* A sum that goes to and fro: of 64 rows and 64 outputs. */
#define WARPGROUP_SUM_BYTES (WARPGROUP_FEW * 64u * 4u)

typedef struct gpu_warpgroup_pack_args {
  gpu_linear_args products; /* which rows of which x (activations.h) */
  uint64_t y;
  uint32_t n_groups;
  int32_t min; /* of quantised weights: core/base/quant_format.h */
} gpu_warpgroup_pack_args;

#endif
