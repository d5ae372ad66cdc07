/* fast_args.h - operands for products in bf16, of mode `fast`. For hosts and kernels. */
#ifndef WH_GPU_FAST_ARGS_H
#define WH_GPU_FAST_ARGS_H

#include "backends/gpu/kernels/linear_format.h"

/* From so many rows on a library multiplies; its own memory is for so many parts of y, where it splits K, and
 * no larger than what NVIDIA advises for Hopper. Predicted to be worth it, not measured. */
#define FAST_LEAST_ROWS 64
#define FAST_PARTS 16
#define FAST_MOST_WORKSPACE_BYTES (UINT64_C(32) << 20)

/* y [n][k] of a packed matrix; a warp has 256 elements of a row. k is a multiple of 8. */
typedef struct gpu_fast_weights_args {
  gpu_packed_form form;
  uint64_t w, y;
  uint32_t n, k, pieces; /* of a row */
} gpu_fast_weights_args;

/* y [rows][k] of quantised activations (activations.h); a thread has 8 elements. x_low 0: q8a, else q13a. */
typedef struct gpu_fast_rows_args {
  uint64_t x, x_shifts, x_low, x_scales, y;
  uint32_t rows, k, padded;
} gpu_fast_rows_args;

#endif
