// reduce.cu - reductions over any axes: 64 lanes and a tree (docs/NUMERICS.md, "Reductions", "Row reductions").
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/reduce_args.h"

/* What a lane begins with, how it takes an element, and how two become one; integers in 64 bits. */
template <typename T>
GPU_FN T first_float(uint32_t r) {
  return r == GPU_REDUCE_PROD  ? (T)1
         : r == GPU_REDUCE_MAX ? -(T)INFINITY
         : r == GPU_REDUCE_MIN ? (T)INFINITY
                               : (T)0;
}
GPU_FN float least_of(float x, float z) { return wh_min_f32(x, z); }
GPU_FN double least_of(double x, double z) { return wh_min_f64(x, z); }
GPU_FN float most_of(float x, float z) { return wh_max_f32(x, z); }
GPU_FN double most_of(double x, double z) { return wh_max_f64(x, z); }
GPU_FN float fused(float x, float z, float c) { return fmaf(x, z, c); }
GPU_FN double fused(double x, double z, double c) { return fma(x, z, c); }

template <typename T>
struct floats {
  typedef T value;
  uint32_t reduction;
  GPU_MEMBER T first() const { return first_float<T>(reduction); }
  GPU_MEMBER T load(uint64_t x, int64_t i) const { return gpu_at<const T>(x)[i]; }
  GPU_MEMBER void store(uint64_t y, int64_t i, T v) const { gpu_at<T>(y)[i] = v; }
  GPU_MEMBER T join(T a, T b) const {
    switch (reduction) {
      case GPU_REDUCE_PROD:
        return a * b;
      case GPU_REDUCE_MAX:
        return most_of(a, b);
      case GPU_REDUCE_MIN:
        return least_of(a, b);
      default:
        return a + b;
    }
  }
  GPU_MEMBER T step(T a, T x) const {
    if (reduction == GPU_REDUCE_SUM_SQUARE) return fused(x, x, a);
    return join(a, reduction == GPU_REDUCE_L1 ? fabs(x) : x);
  }
};

struct integers {
  typedef uint64_t value;
  uint32_t reduction, type;
  GPU_MEMBER uint64_t first() const {
    return reduction == GPU_REDUCE_PROD  ? 1
           : reduction == GPU_REDUCE_MAX ? (uint64_t)gpu_least(type)
           : reduction == GPU_REDUCE_MIN ? (uint64_t)gpu_most(type)
                                         : 0;
  }
  GPU_MEMBER uint64_t load(uint64_t x, int64_t i) const { return gpu_load_integer(type, x, i); }
  GPU_MEMBER void store(uint64_t y, int64_t i, uint64_t v) const {
    gpu_store_integer(type, y, i, v);
  }
  GPU_MEMBER uint64_t join(uint64_t a, uint64_t b) const {
    switch (reduction) {
      case GPU_REDUCE_PROD:
        return a * b;
      case GPU_REDUCE_MAX:
        return gpu_below(type, a, b) ? b : a;
      case GPU_REDUCE_MIN:
        return gpu_below(type, b, a) ? b : a;
      default:
        return a + b;
    }
  }
  GPU_MEMBER uint64_t step(uint64_t a, uint64_t x) const {
    if (reduction == GPU_REDUCE_SUM_SQUARE) return a + x * x;
    return join(a, reduction == GPU_REDUCE_L1 && gpu_below(type, x, 0) ? 0 - x : x);
  }
};

/* A warp has one output: its thread t keeps the lanes t and t + 32, whose elements are neighbours of the other
 * threads'. */
template <typename R>
GPU_FN void reduce_rows(const gpu_reduce_args &a, const R r) {
  const int64_t output = (int64_t)blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp();
  int64_t base, offset;
  if (output >= a.outputs) return;
  gpu_walk_at<1>(a.kept, (uint64_t)output, &base);
  typename R::value low = r.first(), high = low;
  for (int64_t j = gpu_lane(); j < a.n; j += 2 * GPU_WARP) {
    gpu_walk_at<1>(a.reduced, (uint64_t)j, &offset);
    low = r.step(low, r.load(a.x, base + offset));
    if (j + GPU_WARP >= a.n) break;
    gpu_walk_at<1>(a.reduced, (uint64_t)(j + GPU_WARP), &offset);
    high = r.step(high, r.load(a.x, base + offset));
  }
  low = r.join(low, high);
  for (uint32_t h = GPU_WARP / 2; h > 0; h /= 2) low = r.join(low, gpu_shfl_xor(low, h));
  if (gpu_lane() == 0) r.store(a.y, output, low);
}

/* A block has 32 outputs whose elements are neighbours, and 8 threads for each: thread g keeps the lanes g, g + 8, ...
 * g + 56. */
template <typename R>
GPU_FN void reduce_columns(const gpu_reduce_args &a, const R r) {
  __shared__ typename R::value part[8][GPU_REDUCE_COLUMNS];
  const int64_t output = (int64_t)blockIdx.x * GPU_REDUCE_COLUMNS + gpu_lane();
  const int g = (int)gpu_warp();
  typename R::value lane[8];
  int64_t base, offset;
  gpu_walk_at<1>(a.kept, (uint64_t)(output < a.outputs ? output : 0), &base);
  for (int m = 0; m < 8; m++) lane[m] = r.first();
  for (int64_t j = g; j < a.n; j += 64)
  GPU_UNROLL
    for (int m = 0; m < 8; m++) {
      if (j + 8 * m >= a.n) break;
      gpu_walk_at<1>(a.reduced, (uint64_t)(j + 8 * m), &offset);
      lane[m] = r.step(lane[m], r.load(a.x, base + offset));
    }
  GPU_UNROLL
  for (int h = 4; h > 0; h /= 2)
    for (int m = 0; m < h; m++) lane[m] = r.join(lane[m], lane[m + h]);
  part[g][gpu_lane()] = lane[0];
  gpu_barrier();
  if (g || output >= a.outputs) return;
  for (int m = 0; m < 8; m++) lane[m] = part[m][gpu_lane()];
  GPU_UNROLL
  for (int h = 4; h > 0; h /= 2)
    for (int m = 0; m < h; m++) lane[m] = r.join(lane[m], lane[m + h]);
  r.store(a.y, output, lane[0]);
}

GPU_KERNEL_FN(reduce_rows_f32, gpu_reduce_args) { reduce_rows(a, floats<float>{a.reduction}); }
GPU_KERNEL_FN(reduce_rows_f64, gpu_reduce_args) { reduce_rows(a, floats<double>{a.reduction}); }
GPU_KERNEL_FN(reduce_rows_integer, gpu_reduce_args) { reduce_rows(a, integers{a.reduction, a.type}); }
GPU_KERNEL_FN(reduce_columns_f32, gpu_reduce_args) { reduce_columns(a, floats<float>{a.reduction}); }
GPU_KERNEL_FN(reduce_columns_f64, gpu_reduce_args) { reduce_columns(a, floats<double>{a.reduction}); }
GPU_KERNEL_FN(reduce_columns_integer, gpu_reduce_args) { reduce_columns(a, integers{a.reduction, a.type}); }
