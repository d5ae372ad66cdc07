/* reduce_args.h - the argument structs of reductions, of ops along one axis, and of products of activations.
 */
#ifndef WH_GPU_REDUCE_ARGS_H
#define WH_GPU_REDUCE_ARGS_H

#include "backends/gpu/kernels/elements.h"
#include "backends/gpu/kernels/walk.h"

typedef enum gpu_reduction {
  GPU_REDUCE_SUM,
  GPU_REDUCE_PROD,
  GPU_REDUCE_MAX,
  GPU_REDUCE_MIN,
  GPU_REDUCE_SUM_SQUARE,
  GPU_REDUCE_L1
} gpu_reduction;

#define GPU_REDUCE_COLUMNS 32 /* outputs of a block that reduces columns, each by 8 threads */

/* Output i is the reduction of the n elements of `reduced`, in order, from where `kept` has i. */
typedef struct gpu_reduce_args {
  uint64_t x, y;
  int64_t outputs, n;
  uint32_t reduction, type;
  gpu_walk kept, reduced; /* operand 0: x */
} gpu_reduce_args;

/* Line i begins at i / inner * inner * n + i % inner, its elements are `inner` apart. */
typedef struct gpu_line_args {
  uint64_t x, y, indices;
  int64_t lines, n, k; /* k: of topk */
  gpu_divisor inner;
  uint32_t type, lanes; /* lanes of a line: 1 or a warp's; of topk a block's */
  uint8_t largest, last, exclusive, reverse;
  uint8_t reserved[4];
} gpu_line_args;

/* topk of long lines of f32, whose elements lie side by side: threads of a block, elements of a piece at
 * most, and the largest k, which every piece has elements for. */
#define GPU_SELECT_THREADS 512
#define GPU_SELECT_PIECE 4096
#define GPU_SELECT_MOST 1024
typedef struct gpu_select_args {
  uint64_t x, y, indices;
  uint64_t candidates; /* u64 [lines][pieces][k] */
  uint32_t n, k, pieces, largest;
} gpu_select_args;

#define GPU_TILE 64 /* rows and columns of a block's outputs */
#define GPU_TILE_THREADS 256
#define GPU_THIN_ROWS 4 /* of a thread's outputs */

/* y[batch][m][n] = a[m][k] b[k][n]. Operands 0 and 1 of the walk over batches are a and b, in elements. */
typedef struct gpu_matmul_args {
  uint64_t a, b, y, a_zero, b_zero; /* zeros of integers: 0: none */
  int64_t m, n, k;
  gpu_divisor down, across; /* blocks of a batch */
  uint32_t a_type, b_type;
  int32_t a_zero_step, b_zero_step; /* 0: one for all */
  gpu_walk batches;
} gpu_matmul_args;

#define GPU_BLOCKS_WARPS 8 /* pieces that a block has at hand, and rows of its outputs */

/* Rows of q13a with weights of few bits, which lie in panels of a warp's columns (core/ir/op_list.def). A
 * piece has one scale of each side. */
typedef struct gpu_blocks_args {
  uint64_t high, low, x_scales; /* activations.h */
  uint64_t codes, scales, zeros, y;
  uint32_t rows, n, padded, bits;
  uint32_t block, piece, pieces;
  uint32_t panels, words, blocks; /* of all columns; of a panel */
} gpu_blocks_args;

#endif
