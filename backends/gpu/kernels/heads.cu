// heads.cu - what happens to heads between their product and attention (docs/NUMERICS.md, "rope_table, rope" and "attention"):
// rope, and the way of keys and values into their places of a state. Up to three values are one launch, which for a
// token are a few heads each. A warp has a head of a row.
#include "backends/gpu/kernels/places.h"
#include "backends/gpu/kernels/q8_code.h"

/* n pairs turn, and the dim - 2 n elements behind them pass through. */
GPU_FN void turn(const gpu_heads_value &v, uint32_t row, const float *x, float *y) {
  const float *table = gpu_at<const float>(v.table) + (uint64_t)row * 2 * v.n;
  for (uint32_t j = gpu_lane(); j < v.dim - v.n; j += GPU_WARP) {
    if (j >= v.n) {
      y[v.n + j] = x[v.n + j];
      continue;
    }
    const uint32_t p0 = v.neox ? j : 2 * j, p1 = v.neox ? j + v.n : 2 * j + 1;
    const float x0 = x[p0], x1 = x[p1], c = table[j], s = table[v.n + j];
    y[p0] = fmaf(x0, c, -(x1 * s));
    y[p1] = fmaf(x0, s, x1 * c);
  }
}

/* A lane holds a dim of a block of 32. A scale that f16 does not hold is NaN, and its codes are 0. */
GPU_FN void append_block(const gpu_heads_value &v, uint8_t *tile, uint32_t block, uint32_t j, float x) {
  const uint32_t d = block * GPU_KV_BLOCK + gpu_lane();
  const uint16_t scale = gpu_f32_to_f16(gpu_q8_top(x) / 127.0f); /* not negative */
  const bool finite = scale < 0x7c00u;
  const float factor = finite && scale ? 1.0f / gpu_f16_to_f32(scale) : 0.0f;
  *(int8_t *)(tile + gpu_cache_offset(WH_DTYPE_Q8_0, v.is_key, v.dim, j, d)) = (int8_t)gpu_q8_code(x * factor);
  if (gpu_lane() == 0)
    ((uint16_t *)(void *)(tile + (uint64_t)block * GPU_KV_BLOCK_BYTES))[j] = finite ? scale : (uint16_t)0x7e00u;
}

template <uint32_t DTYPE>
GPU_FN void append(const gpu_heads_value &v, const gpu_places &places, uint32_t row, uint32_t head, const float *x) {
  gpu_place at;
  if (gpu_find_place(places, row, &at)) return;
  const uint32_t page = (uint32_t)at.pages[at.high / GPU_KV_CHUNK], j = (uint32_t)at.high % GPU_KV_CHUNK;
  if (page >= places.pages) return;
  uint8_t *tile = gpu_at<uint8_t>(v.cache) + ((uint64_t)page * v.heads + head) * gpu_cache_tile_bytes(DTYPE, v.is_key, v.dim);
  for (uint32_t d = gpu_lane(); d < v.dim; d += GPU_WARP) {
    void *to = tile + gpu_cache_offset(DTYPE, v.is_key, v.dim, j, d);
    if (DTYPE == WH_DTYPE_Q8_0)
      append_block(v, tile, d / GPU_KV_BLOCK, j, x[d]); /* heads are whole blocks */
    else if (DTYPE == WH_DTYPE_F16)
      *(uint16_t *)to = gpu_f32_to_f16(x[d]);
    else
      *(float *)to = x[d];
  }
}

template <uint32_t DTYPE>
GPU_FN void heads_of_rows(const gpu_heads_args &a) {
  if (a.appends && blockIdx.x == gridDim.x - 1) {
    gpu_report_places(a.places, a.fault, a.node);
    return;
  }
  const uint64_t item = (uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp();
  const uint32_t row = (uint32_t)(item / a.heads), of_row = (uint32_t)(item % a.heads);
  if (row >= a.rows) return;
  gpu_heads_value v = a.values[0];
  GPU_UNROLL
  for (uint32_t i = 1; i < GPU_HEADS_VALUES; i++)
    if (of_row >= a.values[i].first) v = a.values[i];
  const uint32_t head = of_row - v.first;
  const uint64_t at = ((uint64_t)row * v.heads + head) * v.dim;
  const float *x = gpu_at<const float>(v.x) + at;
  if (v.table) {
    float *y = gpu_at<float>(v.y) + at;
    turn(v, row, x, y);
    gpu_warp_sync();
    x = y;
  }
  if (v.cache) append<DTYPE>(v, a.places, row, head, x);
}

GPU_KERNEL_FN(heads_f32, gpu_heads_args) { heads_of_rows<WH_DTYPE_F32>(a); }
GPU_KERNEL_FN(heads_f16, gpu_heads_args) { heads_of_rows<WH_DTYPE_F16>(a); }
GPU_KERNEL_FN(heads_q8, gpu_heads_args) { heads_of_rows<WH_DTYPE_Q8_0>(a); }
