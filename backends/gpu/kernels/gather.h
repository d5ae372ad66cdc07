/* gather.h - ids that name rows of a table, and the first that names none. */
#ifndef WH_GPU_GATHER_H
#define WH_GPU_GATHER_H

#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/lm_args.h"

GPU_FN bool is_row(const gpu_gather_args &a, int32_t id) { return (uint32_t)id < a.table_rows; }

/* The first id outside is the launch's fault. */
GPU_FN void report_ids(const gpu_gather_args &a) {
  __shared__ uint64_t room[32];
  const int32_t *ids = gpu_at<const int32_t>(a.ids);
  uint64_t first = a.n_ids;
  for (uint32_t i = threadIdx.x; i < a.n_ids && first == a.n_ids; i += blockDim.x)
    if (!is_row(a, ids[i])) first = i;
  first = gpu_least_of_block(first, room);
  if (threadIdx.x == 0 && first < a.n_ids) gpu_report(a.fault, a.node, GPU_FAULT_INDEX, ids[first]);
}

#endif
