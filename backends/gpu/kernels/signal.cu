// signal.cu - docs/NUMERICS.md, "lrn", "dft", "det".
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/nn_args.h"

GPU_KERNEL_FN(lrn, gpu_lrn_args) {
  const int64_t i = gpu_thread();
  uint64_t rest = gpu_divide(a.inner, (uint64_t)i);
  if (i >= a.n) return;
  const int64_t c = gpu_split(a.c, &rest), first = c - (a.size - 1) / 2, last = c + a.size / 2;
  const float *x = gpu_at<const float>(a.x) + i;
  float sum = 0.0f;
  for (int64_t k = first > 0 ? first : 0; k <= last && k < a.c.n; k++) {
    const float v = x[(k - c) * a.inner.n];
    sum = fmaf(v, v, sum);
  }
  gpu_at<float>(a.y)[i] = *x / wh_pow_positive_f32(fmaf(a.factor, sum, a.bias), (double)a.beta);
}

/* ---- dft: first the numbers in the order of the smallest parts, then a stage for each factor ---- */

typedef struct alignas(8) complex32 {
  float re, im;
} complex32;

/* Of number j of a line of the value. */
GPU_FN int64_t value_at(const gpu_dft_args &a, int64_t line, int64_t j) {
  uint64_t outer = (uint64_t)line;
  const int64_t inner = gpu_split(a.inner, &outer);
  return ((int64_t)outer * a.n + j) * a.inner.n + inner;
}

GPU_KERNEL_FN(dft_order, gpu_dft_args) {
  const int64_t i = gpu_thread();
  uint64_t line = (uint64_t)i;
  if (i >= a.numbers) return;
  int64_t rest = gpu_split(a.by_n, &line), part = a.n, step = 1, from = 0;
  for (int f = 0; f < a.n_factors; f++) {
    part /= a.factor[f];
    from += rest / part * step;
    rest %= part;
    step *= a.factor[f];
  }
  gpu_at<complex32>(a.to)[i] = gpu_at<const complex32>(a.from)[value_at(a, (int64_t)line, from)];
}

/* Number j of what is put together is a chain over the parts. */
GPU_KERNEL_FN(dft_stage, gpu_dft_args) {
  const int64_t i = gpu_thread();
  uint64_t line = (uint64_t)i;
  if (i >= a.numbers) return;
  const int64_t at = gpu_split(a.by_n, &line);
  uint64_t whole = (uint64_t)at;
  const int64_t j = gpu_split(a.whole, &whole), turn = a.n / a.whole.n, parts = a.whole.n / a.part.n;
  uint64_t rest = (uint64_t)j;
  const complex32 *y = gpu_at<const complex32>(a.from) + (i - j) + gpu_split(a.part, &rest);
  float re = 0.0f, im = 0.0f;
  int64_t angle = 0; /* r j mod the whole */
  for (int64_t r = 0; r < parts; r++) {
    const complex32 w = gpu_at<const complex32>(a.twiddles)[angle * turn], v = y[r * a.part.n];
    const float w_im = a.inverse ? -w.im : w.im;
    re = fmaf(v.re, w.re, re);
    re = fmaf(-v.im, w_im, re);
    im = fmaf(v.re, w_im, im);
    im = fmaf(v.im, w.re, im);
    angle += j;
    if (angle >= a.whole.n) angle -= a.whole.n;
  }
  if (a.last && a.inverse) {
    re = re / (float)a.n;
    im = im / (float)a.n;
  }
  const complex32 sum = {re, im};
  gpu_at<complex32>(a.to)[a.last ? value_at(a, (int64_t)line, at) : i] = sum;
}

/* ---- det ---- */

/* A block has a matrix. */
GPU_KERNEL_FN(det, gpu_det_args) {
  __shared__ int64_t pivot;
  const int64_t n = a.n, elements = n * n;
  const float *from = gpu_at<const float>(a.x) + (int64_t)blockIdx.x * elements;
  float *x = gpu_at<float>(a.scratch) + (int64_t)blockIdx.x * elements, det = 1.0f;
  for (int64_t i = threadIdx.x; i < elements; i += blockDim.x) x[i] = from[i];
  for (int64_t k = 0; k < n; k++) {
    gpu_barrier();
    if (threadIdx.x == 0) { /* of equal magnitudes the upper */
      int64_t best = k;
      for (int64_t i = k + 1; i < n; i++)
        if (fabsf(x[i * n + k]) > fabsf(x[best * n + k])) best = i;
      pivot = best;
    }
    gpu_barrier();
    const int64_t p = pivot;
    for (int64_t j = threadIdx.x; j < n && p != k; j += blockDim.x) {
      const float t = x[k * n + j];
      x[k * n + j] = x[p * n + j];
      x[p * n + j] = t;
    }
    gpu_barrier();
    const float diagonal = x[k * n + k];
    if (p != k) det = -det;
    det = det * diagonal;
    if (diagonal == 0.0f) break;
    const int64_t rows = n - k - 1;
    for (int64_t i = threadIdx.x; i < rows * rows; i += blockDim.x) {
      const int64_t r = k + 1 + i / rows, c = k + 1 + i % rows;
      const float f = x[r * n + k] / diagonal;
      x[r * n + c] = fmaf(-f, x[k * n + c], x[r * n + c]);
    }
  }
  if (threadIdx.x == 0) gpu_at<float>(a.y)[blockIdx.x] = det;
}
