/* linear_launch.h - the shapes of products' launches, in one place. Predicted from counts of registers,
 * shared memory and instructions, not measured: only hardware can tell. For hosts and kernels. */
#ifndef WH_GPU_LINEAR_LAUNCH_H
#define WH_GPU_LINEAR_LAUNCH_H

/* Decoding: up to this many rows; a block has 16 outputs and as many warps as there are groups of K, at most.
 */
#define DECODE_ROWS 8
#define DECODE_WARPS 16
#define DECODE_ROUND 64 /* groups whose results are held before they are folded */

/* Prompts: a block has 128 outputs and 64 rows, in warps of 32 x 32. */
#define PREFILL_ROWS 64
#define PREFILL_THREADS 256
#define PREFILL_QUANT_STAGES 4 /* chunks of 64 of K under way */
#define PREFILL_WIDE_STAGES 3

/* F32. Decoding: 32 outputs, a warp per chunk of 512 of K; prompts: 64 outputs and 64 rows, 4 x 4 a thread.
 */
#define F32_DECODE_WARPS 8
#define F32_DECODE_ROUND 32
#define F32_PREFILL_COLUMNS 64
#define F32_PREFILL_THREADS 256
#define F32_PREFILL_STEP 16

#endif
