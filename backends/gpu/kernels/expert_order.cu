/* expert_order.cu - which rows meet which expert, before their products: rows are sorted by expert and cut
 * into tiles. One block. The order of an expert's rows is of no consequence: each row's result is its own. */
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/linear_args.h"

GPU_FN uint32_t expert_of(const gpu_expert_order_args &a, uint32_t row) {
  const int32_t e = gpu_at<const int32_t>(a.selected)[row];
  return e < 0 ? 0 : (uint32_t)e < a.n_experts ? (uint32_t)e : a.n_experts - 1; /* as row_tile_at has it */
}

GPU_KERNEL_FN(expert_order, gpu_expert_order_args) {
  GPU_DYNAMIC_SHARED(uint32_t, next); /* [n_experts] counts, then the next free place of each */
  gpu_row_tile *tiles = gpu_at<gpu_row_tile>(a.tiles);
  for (uint32_t e = threadIdx.x; e < a.n_experts; e += blockDim.x) next[e] = 0;
  gpu_barrier();
  for (uint32_t r = threadIdx.x; r < a.rows; r += blockDim.x) (void)gpu_count(&next[expert_of(a, r)], 1);
  gpu_barrier();
  if (threadIdx.x == 0) { /* experts are few, and rows that one has are cut here and now */
    uint32_t row = 0, tile = 0;
    for (uint32_t e = 0; e < a.n_experts; e++) {
      const uint32_t count = next[e];
      next[e] = row;
      for (uint32_t i = 0; i < count; i += a.tile_rows, tile++) {
        tiles[tile].expert = e;
        tiles[tile].first = row + i;
        tiles[tile].count = count - i < a.tile_rows ? count - i : a.tile_rows;
      }
      row += count;
    }
    for (; tile < a.n_tiles; tile++) {
      tiles[tile].expert = tiles[tile].first = 0;
      tiles[tile].count = 0;
    }
  }
  gpu_barrier();
  for (uint32_t r = threadIdx.x; r < a.rows; r += blockDim.x)
    gpu_at<uint32_t>(a.order)[gpu_count(&next[expert_of(a, r)], 1)] = r;
}
