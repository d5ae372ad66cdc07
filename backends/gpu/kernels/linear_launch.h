/* linear_launch.h - the shapes of products' launches, in one place. Predicted from counts of registers,
 * shared memory and instructions, not measured: only hardware can tell. For hosts and kernels. */
#ifndef WH_GPU_LINEAR_LAUNCH_H
#define WH_GPU_LINEAR_LAUNCH_H

#include "backends/gpu/kernels/linear_format.h"

/* Decoding: up to 8 rows, or with tiles of 32 the rows of a small batch; a block has 16 outputs and as many
 * warps as there are groups of K, at most. */
#define DECODE_ROWS 8
#define DECODE_WARPS 16
#define BATCH_ROWS 32
/* One row: 24 warps of a processor, of 80 registers each. */
#define SINGLE_WARPS 8
#define SINGLE_BLOCKS 3
#define SINGLE_ROUND 64u /* groups whose results are held */
#define BATCH_WARPS 8    /* whose threads may have 255 registers each */
/* Groups whose results are held before they are folded. */
GPU_CONST_FN uint32_t decode_round(uint32_t rows) { return 64 * DECODE_ROWS / rows; }
/* Results of a group, [rows][16 outputs], rows 20 apart so that a warp's stores meet all banks. */
#define DECODE_PART_STRIDE 20u
GPU_CONST_FN uint32_t decode_part_bytes(uint32_t rows) { return rows * DECODE_PART_STRIDE * 4u; }

/* Prompts: a block has 128 outputs and 64 rows, in warps of 32 x 32. */
#define PREFILL_ROWS 64
#define PREFILL_THREADS 256
#define PREFILL_QUANT_STAGES 4 /* chunks of 64 of K under way */
#define PREFILL_WIDE_STAGES 3
#define PREFILL_HEAD_SLOTS 4 /* groups whose heads and tokens are there: copies are up to 3 chunks ahead */

/* Dynamic shared memory: the ring of chunks, of activations `planes` of a byte each; heads; `token_bytes` of
 * each row and group. */
GPU_CONST_FN uint32_t prefill_shared_bytes(uint32_t stages, uint32_t chunk_bytes, uint32_t head_bytes,
                                           uint32_t planes, uint32_t token_bytes) {
  return stages * (GPU_TILES * chunk_bytes + planes * PREFILL_ROWS * GPU_K_CHUNK) +
         PREFILL_HEAD_SLOTS * (GPU_TILES * head_bytes + PREFILL_ROWS * token_bytes);
}

/* F32. Decoding: 32 outputs, a warp per chunk of 512 of K; prompts: 64 outputs and 64 rows, 4 x 4 a thread.
 */
#define F32_DECODE_WARPS 8
#define F32_DECODE_ROUND 32
#define F32_DECODE_PART_BYTES (DECODE_ROWS * GPU_F32_ROWS * 4u)
#define F32_PREFILL_COLUMNS 64
#define F32_PREFILL_THREADS 256
#define F32_PREFILL_STEP 16

#endif
