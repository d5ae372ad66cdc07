/* map.h - how the elementwise kernels read operands that broadcast. A thread has GPU_MAP_PER_THREAD elements:
 * where nothing walks they lie one behind the other, so that an operand is read 16 bytes at a time; else a
 * block's threads have neighbours. */
#ifndef WH_GPU_MAP_H
#define WH_GPU_MAP_H

#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/map_args.h"

#define PER_THREAD GPU_MAP_PER_THREAD

template <typename T>
struct alignas(sizeof(T) * PER_THREAD > 16 ? 16 : sizeof(T) * PER_THREAD) gpu_four {
  T v[PER_THREAD];
};

/* The place of the thread's element j. */
GPU_FN int64_t gpu_map_place(const gpu_map_args &a, int j) {
  if (a.pace[0] != GPU_PACE_WALKS) return gpu_thread() * PER_THREAD + j;
  return (int64_t)blockIdx.x * blockDim.x * PER_THREAD + j * blockDim.x + threadIdx.x;
}
/* Whether the thread has all its elements, one behind the other. */
GPU_FN bool gpu_map_whole(const gpu_map_args &a) {
  return a.pace[0] != GPU_PACE_WALKS && (gpu_thread() + 1) * PER_THREAD <= a.n;
}

/* Offsets of the elements of N operands; of places behind the end, those of the last element. */
template <int N>
GPU_FN void gpu_map_offsets(const gpu_map_args &a, int j, int64_t *offset) {
  int64_t i = gpu_map_place(a, j);
  i = i < a.n ? i : a.n - 1;
  if (a.pace[0] == GPU_PACE_WALKS) {
    gpu_walk_at<N>(a.walk, (uint64_t)i, offset);
    return;
  }
  for (int o = 0; o < N; o++) offset[o] = a.pace[o] == GPU_PACE_MOVES ? i : 0;
}

/* The thread's elements of N operands. */
template <typename T, int N>
GPU_FN void gpu_map_load(const gpu_map_args &a, gpu_four<T> *x) {
  if (gpu_map_whole(a)) {
    for (int o = 0; o < N; o++) {
      if (a.pace[o] == GPU_PACE_MOVES) {
        x[o] = gpu_at<const gpu_four<T>>(a.in[o])[gpu_thread()];
        continue;
      }
      const T one = *gpu_at<const T>(a.in[o]);
      for (int j = 0; j < PER_THREAD; j++) x[o].v[j] = one;
    }
    return;
  }
  for (int j = 0; j < PER_THREAD; j++) {
    int64_t offset[N];
    gpu_map_offsets<N>(a, j, offset);
    for (int o = 0; o < N; o++) x[o].v[j] = gpu_at<const T>(a.in[o])[offset[o]];
  }
}

template <typename T>
GPU_FN void gpu_map_store(const gpu_map_args &a, const gpu_four<T> &y) {
  if (gpu_map_whole(a)) {
    gpu_at<gpu_four<T>>(a.out)[gpu_thread()] = y;
    return;
  }
  for (int j = 0; j < PER_THREAD; j++) {
    const int64_t i = gpu_map_place(a, j);
    if (i < a.n) gpu_at<T>(a.out)[i] = y.v[j];
  }
}

/* y of a thread's elements by an expression of x and z. */
#define GPU_MAP_CASE(map, expression)      \
  case GPU_MAP_##map:                      \
    for (int j = 0; j < PER_THREAD; j++) { \
      const auto x = in[0].v[j];           \
      const auto z = in[1].v[j];           \
      (void)z;                             \
      y.v[j] = (expression);               \
    }                                      \
    break;

#endif
