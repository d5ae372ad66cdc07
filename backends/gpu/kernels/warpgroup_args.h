/* warpgroup_args.h - activations as products of warpgroups read them, and the shapes of their launches. For
 * hosts and kernels.
 *
 * Tiles of 128 rows, rows past the end zero, follow each other; of a tile its groups of 256 of K:
 *   codes    4 chunks of 64 of K, each [4 steps][2 halves][128 rows][8] fp16, q 2^t. Step 2 b + h of a chunk
 * and half i of it have k = 8 t + 4 i + h + 2 j of the chunk's block b at element 2 t + j: in an order of k
 * that weights' records give without moves (linear_format.h) scales   [128] f32 sums     [2][128 rows][8
 * blocks] fp16: of v, a block's sum << t, first v - l and then l, the low 7 bits */
#ifndef WH_GPU_WARPGROUP_ARGS_H
#define WH_GPU_WARPGROUP_ARGS_H

#include <stdint.h>

#include "backends/gpu/kernels/linear_format.h"

#define WARPGROUP_ROWS 128u
#define WARPGROUP_LEAST_ROWS 65u /* of a product that takes these kernels; predicted */
#define WARPGROUP_THREADS 384u   /* two warpgroups compute, one fetches */
#define WARPGROUP_CODE_BYTES (WARPGROUP_ROWS * GPU_K_CHUNK * 2u)
#define WARPGROUP_TAIL_BYTES (WARPGROUP_ROWS * (4u + 2u * 8u * 2u)) /* scales and sums */
#define WARPGROUP_GROUP_BYTES (GPU_QUANT_CHUNKS * WARPGROUP_CODE_BYTES + WARPGROUP_TAIL_BYTES)

/* A stage: codes, records, heads, what ends a group. */
GPU_CONST_FN uint32_t warpgroup_stage_bytes(uint32_t chunk_bytes, uint32_t head_bytes) {
  return (WARPGROUP_CODE_BYTES + GPU_TILES * (chunk_bytes + head_bytes) + WARPGROUP_TAIL_BYTES + 127u) /
         128u * 128u;
}
GPU_CONST_FN uint32_t warpgroup_stages(uint32_t chunk_bytes, uint32_t head_bytes) {
  return (227u * 1024u - 256u) / warpgroup_stage_bytes(chunk_bytes, head_bytes) < 8u
             ? (227u * 1024u - 256u) / warpgroup_stage_bytes(chunk_bytes, head_bytes)
             : 8u;
}
/* Two barriers of 8 bytes a stage come last. */
GPU_CONST_FN uint32_t warpgroup_shared_bytes(uint32_t chunk_bytes, uint32_t head_bytes) {
  return warpgroup_stages(chunk_bytes, head_bytes) * (warpgroup_stage_bytes(chunk_bytes, head_bytes) + 16u);
}

typedef struct gpu_warpgroup_pack_args {
  uint64_t x, x_shifts, x_sums, x_scales; /* q8a: activations.h */
  uint64_t y;
  uint32_t rows, n_groups;
} gpu_warpgroup_pack_args;

#endif
