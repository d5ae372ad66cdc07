/* move_args.h - the argument structs of the kernels that move elements to places which strides say. */
#ifndef WH_GPU_MOVE_ARGS_H
#define WH_GPU_MOVE_ARGS_H

#include "backends/gpu/kernels/walk.h"

#define GPU_MOVE_PER_THREAD 4 /* elements */
#define GPU_MOVE_TILE 32      /* a block moves so many rows and columns of a plane */
#define GPU_MOVE_MAX_RANK 8

enum { GPU_MOVE_TO, GPU_MOVE_FROM }; /* operands of the walk; strides in bytes */

typedef struct gpu_move_args {
  uint64_t to, from;
  int64_t n;     /* elements; of planes: blocks */
  uint32_t size; /* log2 of an element's bytes */
  uint32_t reserved;
  gpu_walk walk;
  /* Planes, of which the destination's rows are the source's columns: dst + row * to_row + column * bytes
   * from src + row * bytes + column * from_column. The walk is over planes. */
  int64_t rows, columns, to_row, from_column;
  gpu_divisor down, across; /* tiles of a plane */
} gpu_move_args;

typedef struct gpu_pad_args {
  uint64_t x, y, value; /* value 0: +0 */
  int64_t n;
  int32_t rank;
  uint32_t size, mode, reserved;
  gpu_divisor out[GPU_MOVE_MAX_RANK];
  int64_t in[GPU_MOVE_MAX_RANK], before[GPU_MOVE_MAX_RANK], stride[GPU_MOVE_MAX_RANK];
} gpu_pad_args;

typedef struct gpu_trilu_args {
  uint64_t x, y;
  int64_t n, k;
  gpu_divisor columns, rows;
  uint32_t size, upper;
} gpu_trilu_args;

/* y[.., t, ..] from x[.., length - 1 - t, ..] for t < length of a batch; blocks of words behind both axes. */
typedef struct gpu_reverse_args {
  uint64_t x, y, lengths;
  int64_t n;                             /* words */
  gpu_divisor words;                     /* of a block */
  gpu_divisor time, batch;               /* their sizes */
  gpu_divisor behind_time, behind_batch; /* blocks behind each axis */
  uint32_t type, size;
} gpu_reverse_args;

#endif
