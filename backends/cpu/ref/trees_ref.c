/* ref/trees_ref.c - docs/NUMERICS.md, "trees", in plain C: walks have no use for vectors. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "core/base/exact_elements.h"

#define NOWHERE INT32_MIN /* ~ of a leaf that no table has */
#define WALKS 8
#define BLOCK 8            /* rows */
#define TARGETS 16         /* of a walk; what has more is gone down again */
#define MOST_ENTRIES 16384 /* nodes, or leaves, of a table: a second-level cache has them */

#define REAL float
#define SUFFIX f32
#define WORDS 4
#define LEAST wh_min_f32
#define LARGEST wh_max_f32
#include "backends/cpu/trees_walk.h"

#define REAL double
#define SUFFIX f64
#define WORDS 5
#define LEAST wh_min_f64
#define LARGEST wh_max_f64
#include "backends/cpu/trees_walk.h"

void wh_k_trees__ref(const wh_trees_args *a, const wh_worker *worker) {
  if (a->dtype == WH_DTYPE_F64)
    trees_f64(a, worker);
  else
    trees_f32(a, worker);
}

size_t wh_trees_table_bytes(wh_dtype dtype, int64_t n_nodes, int64_t n_leaves) {
  const size_t entry = dtype == WH_DTYPE_F64 ? sizeof(entry_f64) : sizeof(entry_f32);
  if (n_nodes > MOST_ENTRIES || n_leaves > MOST_ENTRIES) return 0;
  const size_t bytes = (size_t)(n_nodes + n_leaves) * (entry + sizeof(int32_t));
  return (bytes + WH_ALIGN_SIMD - 1) / WH_ALIGN_SIMD * WH_ALIGN_SIMD;
}
