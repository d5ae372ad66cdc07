// kv_append.cu - rows of keys or values into their places of a state (docs/NUMERICS.md, "attention").
#include "backends/gpu/kernels/places.h"
#include "backends/gpu/kernels/q8_code.h"

/* A lane holds a dim of a block of 32. A scale that f16 does not hold is NaN, and its codes are 0. */
GPU_FN void append_block(const gpu_kv_append_args &a, uint8_t *tile, uint32_t block, uint32_t j, float x) {
  const uint32_t d = block * GPU_KV_BLOCK + gpu_lane();
  const uint16_t scale = gpu_f32_to_f16(gpu_q8_top(x) / 127.0f); /* not negative */
  const bool finite = scale < 0x7c00u;
  const float factor = finite && scale ? 1.0f / gpu_f16_to_f32(scale) : 0.0f;
  *(int8_t *)(tile + gpu_cache_offset(WH_DTYPE_Q8_0, a.is_key, a.dim, j, d)) = (int8_t)gpu_q8_code(x * factor);
  if (gpu_lane() == 0)
    ((uint16_t *)(void *)(tile + (uint64_t)block * GPU_KV_BLOCK_BYTES))[j] = finite ? scale : (uint16_t)0x7e00u;
}

template <uint32_t DTYPE>
GPU_FN void append(const gpu_kv_append_args &a) {
  if (blockIdx.x == gridDim.x - 1) {
    gpu_report_places(a.places, a.fault, a.node);
    return;
  }
  const uint64_t item = (uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp(), row = item / a.heads;
  const uint32_t head = (uint32_t)(item % a.heads);
  gpu_place at;
  if (row >= a.places.rows || gpu_find_place(a.places, row, &at)) return;
  const uint32_t page = (uint32_t)at.pages[at.high / GPU_KV_CHUNK], j = (uint32_t)at.high % GPU_KV_CHUNK;
  if (page >= a.places.pages) return;
  uint8_t *tile = gpu_at<uint8_t>(a.cache) + ((uint64_t)page * a.heads + head) * gpu_cache_tile_bytes(DTYPE, a.is_key, a.dim);
  const float *x = gpu_at<const float>(a.x) + item * a.dim;
  for (uint32_t d = gpu_lane(); d < a.dim; d += GPU_WARP) {
    void *to = tile + gpu_cache_offset(DTYPE, a.is_key, a.dim, j, d);
    if (DTYPE == WH_DTYPE_Q8_0)
      append_block(a, tile, d / GPU_KV_BLOCK, j, x[d]); /* heads are whole blocks */
    else if (DTYPE == WH_DTYPE_F16)
      *(uint16_t *)to = gpu_f32_to_f16(x[d]);
    else
      *(float *)to = x[d];
  }
}

GPU_KERNEL_FN(kv_append_f32, gpu_kv_append_args) { append<WH_DTYPE_F32>(a); }
GPU_KERNEL_FN(kv_append_f16, gpu_kv_append_args) { append<WH_DTYPE_F16>(a); }
GPU_KERNEL_FN(kv_append_q8, gpu_kv_append_args) { append<WH_DTYPE_Q8_0>(a); }
