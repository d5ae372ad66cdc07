/* linear_args.h - what kernels of products are given. For hosts and kernels. */
#ifndef WH_GPU_LINEAR_ARGS_H
#define WH_GPU_LINEAR_ARGS_H

#include <stdint.h>

/* Some rows of y that meet the same matrix: y rows order[first .. first + count), or first .. first + count
 * where there is no order. */
typedef struct gpu_row_tile {
  uint32_t expert, first, count;
} gpu_row_tile;

/* A matrix of a launch. Its blocks of threads, along x, begin at first_block; of one that is not there at
 * GPU_NO_BLOCK. */
typedef struct gpu_linear_matrix {
  uint64_t w, expert_bytes; /* linear_format.h; bytes from one expert's matrix to the next */
  uint64_t y, bias, residual;
  uint32_t n, first_block;
} gpu_linear_matrix;
#define GPU_NO_BLOCK UINT32_MAX
#define GPU_MOST_MATRICES 4 /* that meet the same x in one launch */

typedef struct gpu_linear_args {
  /* codes (activations.h; f32: the values), then of q8a its shifts, sums and scales, of q13a its low limbs
   * and scales */
  uint64_t x, x_shifts, x_sums, x_low, x_scales;
  uint64_t selected;     /* i32 [rows]: each row's expert; 0: there is one */
  uint64_t order, tiles; /* of experts' rows, as expert_order leaves them; 0: rows in order */
  uint32_t rows;         /* of y */
  uint32_t rows_per_x;   /* row r of y has row r / rows_per_x of x */
  uint32_t tile_rows;    /* rows of a tile, without `tiles` */
  uint32_t k, n_experts;
  gpu_linear_matrix matrices[GPU_MOST_MATRICES];
} gpu_linear_args;

/* Sorts rows by expert: `order` are the rows, `tiles` pieces of at most tile_rows of one expert; those that
 * are not needed have a count of 0. */
typedef struct gpu_expert_order_args {
  uint64_t selected, order, tiles;
  uint32_t rows, n_experts, tile_rows, n_tiles;
} gpu_expert_order_args;

#endif
