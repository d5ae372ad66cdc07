// lines.cu - ops along one axis: arg_max, arg_min, topk, cumsum (docs/NUMERICS.md, "Reductions").
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/reduce_args.h"

GPU_FN int64_t line_start(const gpu_line_args &a, int64_t line, int64_t n) {
  uint64_t outer = (uint64_t)line;
  const int64_t inner = gpu_split(a.inner, &outer);
  return (int64_t)outer * a.inner.n * n + inner;
}

/* Elements as they are ordered: a NaN is above all numbers, the zeros are equal. */
template <typename T>
struct numbers {
  typedef T value;
  uint32_t type;
  GPU_MEMBER T load(uint64_t x, int64_t i) const { return gpu_at<const T>(x)[i]; }
  GPU_MEMBER void store(uint64_t y, int64_t i, T v) const { gpu_at<T>(y)[i] = v; }
  GPU_MEMBER bool is_nan(T x) const { return x != x; }
  GPU_MEMBER bool below(T x, T z) const { return x < z; }
};
struct integers {
  typedef uint64_t value;
  uint32_t type;
  GPU_MEMBER uint64_t load(uint64_t x, int64_t i) const { return gpu_load_integer(type, x, i); }
  GPU_MEMBER void store(uint64_t y, int64_t i, uint64_t v) const {
    gpu_store_integer(type, y, i, v);
  }
  GPU_MEMBER bool is_nan(uint64_t) const { return false; }
  GPU_MEMBER bool below(uint64_t x, uint64_t z) const { return gpu_below(type, x, z); }
};

template <typename V>
struct place {
  V v;
  int64_t i; /* -1: none yet */
};

/* ---- arg_max, arg_min ---- */

/* Whether x is found rather than z: NaN before all numbers, then the largest or smallest, of equal ones the first or the
 * last. */
template <typename N>
GPU_FN bool found_before(const gpu_line_args &a, const N &n, const place<typename N::value> &x,
                         const place<typename N::value> &z) {
  if (x.i < 0 || z.i < 0) return z.i < 0 && x.i >= 0;
  const bool x_nan = n.is_nan(x.v), z_nan = n.is_nan(z.v);
  if (x_nan != z_nan) return x_nan;
  if (!x_nan && n.below(x.v, z.v)) return !a.largest;
  if (!x_nan && n.below(z.v, x.v)) return a.largest;
  return a.last ? x.i > z.i : x.i < z.i;
}

/* A line has a warp, or one of its threads where neighbouring lines lie side by side. */
template <typename N>
GPU_FN void arg(const gpu_line_args &a, const N n) {
  const int64_t line = gpu_thread() / a.lanes;
  const uint32_t lane = a.lanes == 1 ? 0 : gpu_lane();
  if (line >= a.lines) return; /* a whole warp, when it has one line */
  const int64_t start = line_start(a, line, a.n);
  place<typename N::value> best = {0, -1};
  for (int64_t i = lane; i < a.n; i += a.lanes) {
    const place<typename N::value> x = {n.load(a.x, start + i * a.inner.n), i};
    if (found_before(a, n, x, best)) best = x;
  }
  if (a.lanes > 1)
    for (uint32_t h = GPU_WARP / 2; h > 0; h /= 2) {
      const place<typename N::value> x = {gpu_shfl_xor(best.v, h), gpu_shfl_xor(best.i, h)};
      if (found_before(a, n, x, best)) best = x;
    }
  if (lane == 0) gpu_at<int64_t>(a.y)[line] = best.i;
}
GPU_KERNEL_FN(arg_f32, gpu_line_args) { arg(a, numbers<float>{a.type}); }
GPU_KERNEL_FN(arg_f64, gpu_line_args) { arg(a, numbers<double>{a.type}); }
GPU_KERNEL_FN(arg_integer, gpu_line_args) { arg(a, integers{a.type}); }

/* ---- topk ---- */

/* Whether a line has x before z; of equal ones the lower index first. */
template <typename N>
GPU_FN bool ranks_before(const gpu_line_args &a, const N &n, const place<typename N::value> &x,
                         const place<typename N::value> &z) {
  const bool x_nan = n.is_nan(x.v), z_nan = n.is_nan(z.v);
  if (n.below(z.v, x.v) || (x_nan && !z_nan)) return a.largest;
  if (n.below(x.v, z.v) || (z_nan && !x_nan)) return !a.largest;
  return x.i < z.i;
}

template <typename N>
GPU_FN void take_better(const gpu_line_args &a, const N &n, place<typename N::value> *best,
                        const place<typename N::value> &x) {
  if (x.i >= 0 && (best->i < 0 || ranks_before(a, n, x, *best))) *best = x;
}

/* A block has a line. The elements are in a total order, so the next one is the first of those behind the one before:
 * k looks at the line, which suits the small k that models have. */
template <typename N>
GPU_FN void topk(const gpu_line_args &a, const N n) {
  __shared__ place<typename N::value> of_warp[32];
  const int64_t line = blockIdx.x, from = line_start(a, line, a.n), to = line_start(a, line, a.k);
  place<typename N::value> last = {0, -1};
  for (int64_t k = 0; k < a.k; k++) {
    place<typename N::value> best = {0, -1};
    for (int64_t i = threadIdx.x; i < a.n; i += blockDim.x) {
      const place<typename N::value> x = {n.load(a.x, from + i * a.inner.n), i};
      if (last.i < 0 || ranks_before(a, n, last, x)) take_better(a, n, &best, x);
    }
    for (uint32_t h = GPU_WARP / 2; h > 0; h /= 2) {
      const place<typename N::value> x = {gpu_shfl_xor(best.v, h), gpu_shfl_xor(best.i, h)};
      take_better(a, n, &best, x);
    }
    if (blockDim.x > GPU_WARP) {
      if (gpu_lane() == 0) of_warp[gpu_warp()] = best;
      gpu_barrier();
      for (uint32_t w = 0; w < blockDim.x / GPU_WARP; w++) take_better(a, n, &best, of_warp[w]);
      gpu_barrier();
    }
    last = best;
    if (threadIdx.x) continue;
    n.store(a.y, to + k * a.inner.n, best.v);
    gpu_at<int64_t>(a.indices)[to + k * a.inner.n] = best.i;
  }
}
GPU_KERNEL_FN(topk_f32, gpu_line_args) { topk(a, numbers<float>{a.type}); }
GPU_KERNEL_FN(topk_f64, gpu_line_args) { topk(a, numbers<double>{a.type}); }
GPU_KERNEL_FN(topk_integer, gpu_line_args) { topk(a, integers{a.type}); }

/* ---- cumsum: a chain, so a thread has a line ---- */

template <typename N>
GPU_FN void cumsum(const gpu_line_args &a, const N n) {
  const int64_t line = gpu_thread();
  if (line >= a.lines) return;
  const int64_t start = line_start(a, line, a.n);
  typename N::value sum = 0;
  for (int64_t i = 0; i < a.n; i++) {
    const int64_t at = start + (a.reverse ? a.n - 1 - i : i) * a.inner.n;
    const typename N::value before = sum;
    sum = sum + n.load(a.x, at);
    n.store(a.y, at, a.exclusive ? before : sum);
  }
}
GPU_KERNEL_FN(cumsum_f32, gpu_line_args) { cumsum(a, numbers<float>{a.type}); }
GPU_KERNEL_FN(cumsum_f64, gpu_line_args) { cumsum(a, numbers<double>{a.type}); }
GPU_KERNEL_FN(cumsum_integer, gpu_line_args) { cumsum(a, integers{a.type}); }
