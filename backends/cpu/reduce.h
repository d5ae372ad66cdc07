/* reduce.h - reductions over any axes: 64 lanes and a tree (docs/NUMERICS.md), of one output or of
 * neighbours.
 */
#ifndef WH_CPU_REDUCE_H
#define WH_CPU_REDUCE_H

#include "backends/cpu/features.h"
#include "core/base/dtype.h"
#include "core/base/nd.h"

#define WH_REDUCE_COLUMNS 32 /* outputs that are computed together at most */

/* The walk gives the runs of elements that are reduced, in order; offsets are of its operand 0, in elements.
 */
typedef struct wh_reduce_run {
  const wh_nd *walk;
  int64_t n_runs; /* of the walk */
  int64_t n;      /* rows: elements of a run, all of one output. columns: outputs, each with one of a run */
  const void *x;
  void *y; /* one element; or n */
} wh_reduce_run;

typedef void (*wh_reduce_fn)(const wh_reduce_run *r);

typedef struct wh_reduction {
  wh_reduce_fn rows, columns;
  const char *name;
} wh_reduction;

typedef enum wh_reduce {
#define WH_REDUCE(name) WH_REDUCE_##name,
#include "backends/cpu/kernels_reduce.def"
  WH_REDUCE_COUNT
} wh_reduce;

/* False: there is none for the type. */
bool wh_reduce_select(uint64_t features, wh_reduce reduce, wh_dtype dtype, wh_reduction *out);

#endif
