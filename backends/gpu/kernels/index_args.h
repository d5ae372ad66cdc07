/* index_args.h - the argument structs of the kernels that move elements by indices, and that check these. */
#ifndef WH_GPU_INDEX_ARGS_H
#define WH_GPU_INDEX_ARGS_H

#include "backends/gpu/kernels/walk.h"

#define GPU_INDEX_MAX_PERIOD 8

/* One block. Entry i of the indices is to lie within least[i % period]..most[i % period]. */
typedef struct gpu_check_args {
  uint64_t indices, fault; /* a wh_fault */
  int64_t n;
  uint32_t type; /* gpu_type: i32 or i64 */
  uint32_t period, node, code;
  int64_t least[GPU_INDEX_MAX_PERIOD], most[GPU_INDEX_MAX_PERIOD];
} gpu_check_args;

/* y[outer][indices][block] from x[outer][axis][block]; blocks are words of 2^size bytes. */
typedef struct gpu_gather_args {
  uint64_t x, indices, y;
  int64_t n; /* words of y */
  int64_t axis;
  gpu_divisor words, count; /* of a block; indices of an outer place */
  uint32_t type, size;
} gpu_gather_args;

/* Tuples of `length` indices into `dims`; batches of `per_batch` tuples have `places` blocks each. */
typedef struct gpu_tuple_args {
  uint64_t x, indices, y; /* of a scatter x is the updates */
  uint64_t owners;        /* of a scatter: u32 [places], the number of the last tuple that names it, from 1 */
  int64_t n;              /* words of y; of a scatter: of all updates, or elements of a block */
  int64_t tuples, places;
  gpu_divisor words, per_batch;
  int64_t dims[GPU_INDEX_MAX_PERIOD];
  uint32_t length, type, size;
  uint32_t reduction, element; /* of a scatter; gpu_type */
} gpu_tuple_args;

/* Operand 0 of the walk is the indices, 1 what lies behind the axis in x (gather), or in y (scatter). Steps
 * are along the axis, in elements of 2^size bytes. */
typedef struct gpu_elements_args {
  uint64_t x, indices, y; /* of a scatter x is the updates */
  int64_t n;              /* elements; of a scatter lines */
  int64_t axis, length;   /* of the axis that is indexed; of a line of indices */
  int64_t step[2];
  gpu_walk walk;
  uint32_t type, size, reduction, element;
} gpu_elements_args;

#endif
