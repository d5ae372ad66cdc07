/* linear_f32.cu - docs/NUMERICS.md, "linear, float weights": chains of fma over chunks of 512 of K, whose
 * sums are added in order. Weights: tiles of 32 outputs, [K / 4][32][4 k] (linear_format.h). */
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/linear_format.h"
#include "backends/gpu/kernels/linear_launch.h"
#include "backends/gpu/kernels/linear_rows.h"

#define F32_CHUNK 512u

GPU_FN const float *f32_tile(const gpu_linear_args &a, const gpu_linear_matrix &m, uint32_t expert,
                             uint32_t tile) {
  const uint64_t tile_floats = (uint64_t)((a.k + 3) / 4) * 4 * GPU_F32_ROWS;
  return gpu_at<const float>(m.w + expert * m.expert_bytes) + tile * tile_floats;
}

/* x[k .. k + 3]; +0 past the row's end, where weights are 0. */
GPU_FN void load_x(const gpu_linear_args &a, uint32_t row, uint32_t k, float x[4]) {
  const float *p = gpu_at<const float>(a.x) + (uint64_t)row * a.k + k;
  if (a.k % 4 == 0 && a.x % 16 == 0) {
    const gpu_u128 v = gpu_load128(p);
    memcpy(x, v.w, sizeof v.w);
  } else {
    for (uint32_t i = 0; i < 4; i++) x[i] = k + i < a.k ? p[i] : 0.0f;
  }
}

/* ---- up to 8 rows: a warp takes a chunk of 512, a lane an output ---- */

GPU_FN void decode_chunk(const gpu_linear_args &a, const float *w, const uint32_t rows[DECODE_ROWS],
                         uint32_t count, uint32_t chunk, float sums[DECODE_ROWS]) {
  const uint32_t begin = chunk * F32_CHUNK, end = a.k - begin < F32_CHUNK ? a.k : begin + F32_CHUNK;
  for (uint32_t m = 0; m < DECODE_ROWS; m++) sums[m] = 0.0f;
  for (uint32_t k = begin; k < end; k += 4) {
    const gpu_u128 v = gpu_load128(w + (uint64_t)k * GPU_F32_ROWS + gpu_lane() * 4);
    float weights[4];
    memcpy(weights, v.w, sizeof weights);
#pragma unroll
    for (uint32_t m = 0; m < DECODE_ROWS; m++)
      if (m < count) {
        float x[4];
        load_x(a, rows[m], k, x);
        for (int i = 0; i < 4; i++) sums[m] = fmaf(x[i], weights[i], sums[m]);
      }
  }
}

GPU_FN void decode(const gpu_linear_args &a) {
  GPU_DYNAMIC_SHARED(float, part); /* [min(chunks, F32_DECODE_ROUND)][8 rows][32] */
  __shared__ float sum[DECODE_ROWS * GPU_F32_ROWS];
  const gpu_row_tile tile = row_tile_at(a, blockIdx.y);
  if (tile.count == 0) return;
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const uint32_t block = blockIdx.x - matrix.first_block;
  const float *w = f32_tile(a, matrix, tile.expert, block);
  const uint32_t n_chunks = (a.k + F32_CHUNK - 1) / F32_CHUNK, outputs = tile.count * GPU_F32_ROWS;
  uint32_t rows[DECODE_ROWS];
#pragma unroll
  for (uint32_t m = 0; m < DECODE_ROWS; m++) rows[m] = x_row(a, tile, m);
  for (uint32_t o = threadIdx.x; o < outputs; o += blockDim.x) sum[o] = 0.0f;
  for (uint32_t from = 0; from < n_chunks; from += F32_DECODE_ROUND) {
    const uint32_t end = n_chunks - from < F32_DECODE_ROUND ? n_chunks : from + F32_DECODE_ROUND;
    for (uint32_t chunk = from + gpu_warp(); chunk < end; chunk += blockDim.x / GPU_WARP) {
      float sums[DECODE_ROWS];
      decode_chunk(a, w, rows, tile.count, chunk, sums);
      float *p = part + (chunk - from) * (DECODE_ROWS * GPU_F32_ROWS) + gpu_lane();
#pragma unroll
      for (uint32_t m = 0; m < DECODE_ROWS; m++)
        if (m < tile.count) p[m * GPU_F32_ROWS] = sums[m];
    }
    gpu_barrier();
    for (uint32_t o = threadIdx.x; o < outputs; o += blockDim.x)
      for (uint32_t chunk = from; chunk < end; chunk++)
        sum[o] = sum[o] + part[(chunk - from) * (DECODE_ROWS * GPU_F32_ROWS) + o];
    gpu_barrier();
  }
  for (uint32_t o = threadIdx.x; o < outputs; o += blockDim.x) {
    const uint32_t column = block * GPU_F32_ROWS + o % GPU_F32_ROWS;
    if (column < matrix.n) store_output(matrix, y_row(a, tile, o / GPU_F32_ROWS), column, sum[o]);
  }
}

/* ---- many rows: 64 x 64 outputs of a block, 4 x 4 of a thread; K in steps of 16 through shared memory ----
 */

#define STEP F32_PREFILL_STEP
#define SIDE F32_PREFILL_COLUMNS
#define STRIDE (SIDE + 4) /* of a k in shared memory */

GPU_FN void prefill(const gpu_linear_args &a) {
  __shared__ __align__(16) float ws[STEP * STRIDE], xs[STEP * STRIDE];
  const gpu_row_tile tile = row_tile_at(a, blockIdx.y);
  if (tile.count == 0) return;
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const uint32_t block = blockIdx.x - matrix.first_block,
                 n_tiles = (matrix.n + GPU_F32_ROWS - 1) / GPU_F32_ROWS;
  /* this thread's part of a step: 4 k of an output and of a row */
  const uint32_t line = threadIdx.x % SIDE, k4 = threadIdx.x / SIDE * 4;
  const uint32_t w_tile = block * (SIDE / GPU_F32_ROWS) + line / GPU_F32_ROWS;
  const float *w =
      f32_tile(a, matrix, tile.expert, w_tile < n_tiles ? w_tile : n_tiles - 1) + line % GPU_F32_ROWS * 4;
  const uint32_t x = x_row(a, tile, line), column = threadIdx.x % 16 * 4, row = threadIdx.x / 16 * 4;
  float y[4][4] = {}, sums[4][4] = {};
  for (uint32_t k = 0; k < a.k; k += STEP) {
    float wv[4] = {0.0f, 0.0f, 0.0f, 0.0f}, xv[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (k + k4 < a.k) {
      const gpu_u128 v = gpu_load128(w + (uint64_t)(k + k4) * GPU_F32_ROWS);
      memcpy(wv, v.w, sizeof wv);
      load_x(a, x, k + k4, xv);
    }
    gpu_barrier();
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
      ws[(k4 + i) * STRIDE + line] = wv[i];
      xs[(k4 + i) * STRIDE + line] = xv[i];
    }
    gpu_barrier();
#pragma unroll
    for (uint32_t i = 0; i < STEP; i++) {
      const gpu_u128 wl = gpu_load128(ws + i * STRIDE + column), xl = gpu_load128(xs + i * STRIDE + row);
      float wi[4], xi[4];
      memcpy(wi, wl.w, sizeof wi);
      memcpy(xi, xl.w, sizeof xi);
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int c = 0; c < 4; c++) sums[r][c] = fmaf(xi[r], wi[c], sums[r][c]);
    }
    if ((k + STEP) % F32_CHUNK == 0 || k + STEP >= a.k)
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int c = 0; c < 4; c++) {
          y[r][c] = y[r][c] + sums[r][c];
          sums[r][c] = 0.0f;
        }
  }
#pragma unroll
  for (uint32_t r = 0; r < 4; r++) {
    if (row + r >= tile.count) continue;
    const uint32_t to = y_row(a, tile, row + r);
#pragma unroll
    for (uint32_t c = 0; c < 4; c++) {
      const uint32_t at = block * SIDE + column + c;
      if (at < matrix.n) store_output(matrix, to, at, y[r][c]);
    }
  }
}

LINEAR_KERNEL(linear_decode_f32, decode)
LINEAR_KERNEL(linear_prefill_f32, prefill)
