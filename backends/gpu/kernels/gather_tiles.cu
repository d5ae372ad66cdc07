/* gather_tiles.cu - rows of a table that is packed for products (linear_format.h), dequantised
 * (docs/NUMERICS.md, "gather_rows"): an embedding that is also the output matrix is kept once. */
#include "backends/gpu/kernels/gather_ids.h"
#include "backends/gpu/kernels/linear_q.h"
#include "whimbrel/tensor.h"

/* Values 8 i .. 8 i + 7 of a group of 256 of a row, i this lane: what one lane of the products holds of the
 * row. */
template <class T>
GPU_FN void quant_values(const gpu_gather_args &a, uint32_t row, uint32_t group, float v[8]) {
  const gpu_matrix m = gpu_matrix_of(T::chunk_bytes, T::head_bytes, GPU_QUANT_CHUNKS, a.table_rows, a.n);
  const uint32_t tile = row / GPU_TILE_ROWS, in = tile % GPU_TILES, r = row % GPU_TILE_ROWS;
  const uint32_t block = gpu_lane() / 4, chunk = block / 2, b = block % 2, t = gpu_lane() % 4;
  const uint8_t *table = gpu_at<const uint8_t>(a.table);
  const uint8_t *head = table + gpu_heads_at(&m, tile, group) + in * T::head_bytes;
  const uint8_t *record = table + gpu_records_at(&m, tile, group, chunk) + in * T::chunk_bytes;
  quant_chunk<T> c;
  quant_head h;
  load_chunk(&c, record, r % 8 * 4 + t);
  load_head<T>(&h, head, r % 8 * 4);
  const uint32_t half = t / 2;
  const float s = b ? scale_of(c, h, 1, half, r / 8) : scale_of(c, h, 0, half, r / 8);
  float min = 0.0f;
  if (T::min == WH_MIN_F16) min = gpu_f16_to_f32((uint16_t)(c.min[r / 8] >> (16 * b)));
  if (T::min == WH_MIN_SUB32) min = -(-h.minus_dmin[r / 8] * (float)head[64 + r * 8 + block]);
  if (T::min == WH_MIN_SUB16)
    min = -(-h.minus_dmin[r / 8] * (float)(c.scale[r / 8] >> (16 * b + 8 * half + 4) & 15u));
  for (uint32_t i = 0; i < 8; i++) {
    const uint32_t at = r / 8 + i / 4 * 2;
    const float q = (float)(int8_t)(widen(c, (int)b, (int)at) >> (i % 4 * 8));
    v[i] = T::min == WH_MIN_NONE ? s * q : fmaf(s, q, min);
  }
}

GPU_FN void float_values(const gpu_gather_args &a, uint32_t row, uint32_t k, float v[8]) {
  const uint32_t quads = (a.n + 3) / 4;
  const float *p = gpu_at<const float>(a.table) + (uint64_t)(row / GPU_F32_ROWS) * quads * 4 * GPU_F32_ROWS;
  for (uint32_t i = 0; i < 8; i += 4) {
    if (k / 4 + i / 4 >= quads) return;
    const gpu_u128 four =
        gpu_load128(p + (uint64_t)(k / 4 + i / 4) * 4 * GPU_F32_ROWS + row % GPU_F32_ROWS * 4);
    memcpy(v + i, four.w, sizeof four.w);
  }
}

GPU_KERNEL_FN(gather_tiles, gpu_gather_args) {
  if (blockIdx.x == gridDim.x - 1) {
    report_ids(a);
    return;
  }
  const uint64_t item = (uint64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp(), i = item / a.pieces;
  if (i >= a.n_ids) return;
  const uint32_t group = (uint32_t)(item % a.pieces), k = group * 256 + gpu_lane() * 8;
  const int32_t id = gpu_at<const int32_t>(a.ids)[i];
  float v[8] = {0};
  if (k >= a.n) return;
  if (is_row(a, id)) switch (a.dtype) {
#define VALUES(type, lower, ...)                            \
  case WH_DTYPE_##type:                                     \
    quant_values<quant_##lower>(a, (uint32_t)id, group, v); \
    break;
      WH_QUANT_FORMATS(VALUES)
#undef VALUES
      default:
        float_values(a, (uint32_t)id, k, v);
    }
  float *y = gpu_at<float>(a.y) + i * a.n + k;
  for (uint32_t j = 0; j < 8 && k + j < a.n; j++) y[j] = v[j];
}
