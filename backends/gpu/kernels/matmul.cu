// matmul.cu - products of activations, by batches (docs/NUMERICS.md, "matmul, matmul_integer").
#include "backends/gpu/kernels/tile.h"

template <typename T>
struct rows_of {
  static const bool along_k = true;
  const T *p;
  int64_t m, n_k;
  GPU_MEMBER T at(int64_t row, int64_t k) const {
    return row < m && k < n_k ? p[row * n_k + k] : (T)0;
  }
};
template <typename T>
struct columns_of {
  static const bool along_k = false;
  const T *p;
  int64_t n, n_k;
  GPU_MEMBER T at(int64_t k, int64_t column) const {
    return column < n && k < n_k ? p[k * n + column] : (T)0;
  }
};

/* Codes of 8 bits less their zero points. */
struct code_rows {
  static const bool along_k = true;
  uint64_t p, zero;
  int64_t m, n_k;
  uint32_t type;
  int32_t zero_step;
  GPU_MEMBER uint32_t at(int64_t row, int64_t k) const {
    if (row >= m || k >= n_k) return 0;
    const uint64_t z = zero ? gpu_load_integer(type, zero, row * zero_step) : 0;
    return (uint32_t)(gpu_load_integer(type, p, row * n_k + k) - z);
  }
};
struct code_columns {
  static const bool along_k = false;
  uint64_t p, zero;
  int64_t n, n_k;
  uint32_t type;
  int32_t zero_step;
  GPU_MEMBER uint32_t at(int64_t k, int64_t column) const {
    if (column >= n || k >= n_k) return 0;
    const uint64_t z = zero ? gpu_load_integer(type, zero, column * zero_step) : 0;
    return (uint32_t)(gpu_load_integer(type, p, k * n + column) - z);
  }
};

/* The block's batch, and its first row and column. */
typedef struct spot {
  int64_t batch, row, column, a, b; /* a, b: elements */
} spot;
GPU_FN spot spot_of(const gpu_matmul_args &a, int64_t rows, int64_t columns) {
  uint64_t batch = blockIdx.x;
  spot s;
  int64_t offset[2];
  s.column = gpu_split(a.across, &batch) * columns;
  s.row = gpu_split(a.down, &batch) * rows;
  gpu_walk_at<2>(a.batches, batch, offset);
  s.batch = (int64_t)batch;
  s.a = offset[0];
  s.b = offset[1];
  return s;
}

template <typename T, typename A, typename B>
GPU_FN void tiled(const gpu_matmul_args &a, const spot &s, const A &left, const B &right) {
  T y[4][4];
  gpu_tile_product<T>(left, right, s.row, s.column, a.k, y);
  const int64_t row = s.row + threadIdx.x / 16 * 4, column = s.column + threadIdx.x % 16 * 4;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++)
      if (row + i < a.m && column + j < a.n) gpu_at<T>(a.y)[(s.batch * a.m + row + i) * a.n + column + j] = y[i][j];
}
template <typename T, typename A, typename B>
GPU_FN void thin(const gpu_matmul_args &a, const spot &s, const A &left, const B &right) {
  T y[GPU_THIN_ROWS];
  const int64_t column = s.column + threadIdx.x;
  if (column >= a.n) return;
  gpu_thin_product<T>(left, right, s.row, column, a.k, y);
  for (int i = 0; i < GPU_THIN_ROWS; i++)
    if (s.row + i < a.m) gpu_at<T>(a.y)[(s.batch * a.m + s.row + i) * a.n + column] = y[i];
}

#define FLOATS(T)                                                        \
  const rows_of<T> left = {gpu_at<const T>(a.a) + s.a, a.m, a.k};        \
  const columns_of<T> right = {gpu_at<const T>(a.b) + s.b, a.n, a.k};
#define CODES                                                                                            \
  const code_rows left = {a.a + (uint64_t)s.a, a.a_zero, a.m, a.k, a.a_type, a.a_zero_step};             \
  const code_columns right = {a.b + (uint64_t)s.b, a.b_zero, a.n, a.k, a.b_type, a.b_zero_step};

GPU_KERNEL_FN(matmul_f32, gpu_matmul_args) {
  const spot s = spot_of(a, GPU_TILE, GPU_TILE);
  FLOATS(float)
  tiled<float>(a, s, left, right);
}
GPU_KERNEL_FN(matmul_f64, gpu_matmul_args) {
  const spot s = spot_of(a, GPU_TILE, GPU_TILE);
  FLOATS(double)
  tiled<double>(a, s, left, right);
}
GPU_KERNEL_FN(matmul_codes, gpu_matmul_args) {
  const spot s = spot_of(a, GPU_TILE, GPU_TILE);
  CODES
  tiled<uint32_t>(a, s, left, right);
}
GPU_KERNEL_FN(matmul_thin_f32, gpu_matmul_args) {
  const spot s = spot_of(a, GPU_THIN_ROWS, blockDim.x);
  FLOATS(float)
  thin<float>(a, s, left, right);
}
GPU_KERNEL_FN(matmul_thin_f64, gpu_matmul_args) {
  const spot s = spot_of(a, GPU_THIN_ROWS, blockDim.x);
  FLOATS(double)
  thin<double>(a, s, left, right);
}
GPU_KERNEL_FN(matmul_thin_codes, gpu_matmul_args) {
  const spot s = spot_of(a, GPU_THIN_ROWS, blockDim.x);
  CODES
  thin<uint32_t>(a, s, left, right);
}
