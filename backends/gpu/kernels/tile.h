/* tile.h - products in tiles of 64 x 64 outputs, each the chain of "linear, float weights" along k: 512 steps
 * of fma from +0, and the chunks' sums added in order. What is multiplied is said by two functors with
 * at(row, k) and at(k, column), 0 outside; so convolutions are products too. A chain never holds -0, so that
 * steps behind the last, 0 * 0, change nothing.
 *
 * 256 threads have 4 x 4 outputs each. The next 16 steps are fetched into registers while those in shared
 * memory are multiplied. */
#ifndef WH_GPU_TILE_H
#define WH_GPU_TILE_H

#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/reduce_args.h"

#define GPU_TILE_K 16
#define GPU_CHAIN 512 /* of the contract: linear, float weights */

GPU_FN float gpu_fused(float x, float z, float c) { return fmaf(x, z, c); }
GPU_FN double gpu_fused(double x, double z, double c) { return fma(x, z, c); }
GPU_FN uint32_t gpu_fused(uint32_t x, uint32_t z, uint32_t c) { return x * z + c; } /* modulo 2^32 */

template <typename T>
struct alignas(16) gpu_quad {
  T v[4];
};

/* Where thread t's j-th element of a tile's side lies: neighbours along k, or along the side. */
GPU_FN int gpu_tile_k(bool along_k, int j) {
  return along_k ? (int)threadIdx.x % GPU_TILE_K : (int)threadIdx.x / GPU_TILE + 4 * j;
}
GPU_FN int gpu_tile_side(bool along_k, int j) {
  return along_k ? (int)threadIdx.x / GPU_TILE_K + 16 * j : (int)threadIdx.x % GPU_TILE;
}

/* y[i][j]: row 4 * (t / 16) + i, column 4 * (t % 16) + j of the tile at (row, column). */
template <typename T, typename A, typename B>
GPU_FN void gpu_tile_product(const A &a, const B &b, int64_t row, int64_t column, int64_t n_k, T y[4][4]) {
  __shared__ gpu_quad<T> as[GPU_TILE_K][GPU_TILE / 4 + 1], bs[GPU_TILE_K][GPU_TILE / 4 + 1];
  const int down = (int)threadIdx.x / 16, across = (int)threadIdx.x % 16;
  T sum[4][4] = {}, next_a[4], next_b[4];
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) y[i][j] = 0;
  for (int j = 0; j < 4; j++) {
    next_a[j] = a.at(row + gpu_tile_side(A::along_k, j), gpu_tile_k(A::along_k, j));
    next_b[j] = b.at(gpu_tile_k(B::along_k, j), column + gpu_tile_side(B::along_k, j));
  }
  for (int64_t k0 = 0; k0 < n_k; k0 += GPU_TILE_K) {
    for (int j = 0; j < 4; j++) {
      const int ra = gpu_tile_side(A::along_k, j), cb = gpu_tile_side(B::along_k, j);
      as[gpu_tile_k(A::along_k, j)][ra / 4].v[ra % 4] = next_a[j];
      bs[gpu_tile_k(B::along_k, j)][cb / 4].v[cb % 4] = next_b[j];
    }
    gpu_barrier();
    for (int j = 0; j < 4 && k0 + GPU_TILE_K < n_k; j++) {
      next_a[j] = a.at(row + gpu_tile_side(A::along_k, j), k0 + GPU_TILE_K + gpu_tile_k(A::along_k, j));
      next_b[j] = b.at(k0 + GPU_TILE_K + gpu_tile_k(B::along_k, j), column + gpu_tile_side(B::along_k, j));
    }
  GPU_UNROLL
    for (int k = 0; k < GPU_TILE_K; k++) {
      const gpu_quad<T> x = as[k][down], z = bs[k][across];
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sum[i][j] = gpu_fused(x.v[i], z.v[j], sum[i][j]);
    }
    gpu_barrier();
    if ((k0 + GPU_TILE_K) % GPU_CHAIN && k0 + GPU_TILE_K < n_k) continue;
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 4; j++) {
        y[i][j] = y[i][j] + sum[i][j];
        sum[i][j] = 0;
      }
  }
}

/* Up to 4 rows of one column: where there are few rows, or few outputs. */
template <typename T, typename A, typename B>
GPU_FN void gpu_thin_product(const A &a, const B &b, int64_t row, int64_t column, int64_t n_k,
                             T y[GPU_THIN_ROWS]) {
  for (int i = 0; i < GPU_THIN_ROWS; i++) y[i] = 0;
  for (int64_t k0 = 0; k0 < n_k; k0 += GPU_CHAIN) {
    const int64_t end = n_k - k0 < GPU_CHAIN ? n_k : k0 + GPU_CHAIN;
    T sum[GPU_THIN_ROWS] = {};
    for (int64_t k = k0; k < end; k++) {
      const T z = b.at(k, column);
      for (int i = 0; i < GPU_THIN_ROWS; i++) sum[i] = gpu_fused(a.at(row + i, k), z, sum[i]);
    }
    for (int i = 0; i < GPU_THIN_ROWS; i++) y[i] = y[i] + sum[i];
  }
}

#endif
