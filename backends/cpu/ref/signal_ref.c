/* ref/signal_ref.c - docs/NUMERICS.md, "lrn", "dft" and "det", in plain C. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "core/base/exact_pow.h"

void wh_k_lrn__ref(const wh_lrn_args *a, const wh_worker *worker) {
  const float factor = a->alpha / (float)a->size;
  int64_t begin, end;
  wh_worker_range(worker, a->n * a->c, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const int64_t c = r % a->c, first = c - (a->size - 1) / 2, last = c + a->size / 2;
    const float *image = a->x + (r - c) * a->inner;
    for (int64_t i = 0; i < a->inner; i++) {
      float sum = 0.0f;
      for (int64_t k = first > 0 ? first : 0; k <= last && k < a->c; k++)
        sum = fmaf(image[k * a->inner + i], image[k * a->inner + i], sum);
      const float d = wh_pow_positive_f32(fmaf(factor, sum, a->bias), (double)a->beta);
      a->y[r * a->inner + i] = image[c * a->inner + i] / d;
    }
  }
}

/* ---- dft ---- */

static int64_t least_factor(int64_t n) {
  for (int64_t p = 2; p * p <= n; p++)
    if (n % p == 0) return p;
  return n;
}

typedef struct fourier {
  int64_t n;
  const float *twiddles;
  bool inverse;
} fourier;

/* y[0..n-1] from x[0], x[step] ..: the p parts of every p-th number first, which `other` takes, then their
 * sums in order. x is not written; other has room for n. */
static void transform(const fourier *f, int64_t n, const float *x, int64_t step, float *y, float *other) {
  if (n == 1) {
    memcpy(y, x, 2 * sizeof *y);
    return;
  }
  const int64_t p = least_factor(n), m = n / p;
  for (int64_t r = 0; r < p; r++)
    transform(f, m, x + 2 * r * step, step * p, other + 2 * r * m, y + 2 * r * m);
  for (int64_t j = 0; j < n; j++) {
    float re = 0.0f, im = 0.0f;
    for (int64_t r = 0; r < p; r++) {
      const float *t = f->twiddles + 2 * (r * j % n * (f->n / n)), *v = other + 2 * (r * m + j % m);
      const float wr = t[0], wi = f->inverse ? -t[1] : t[1];
      re = fmaf(v[0], wr, re);
      re = fmaf(-v[1], wi, re);
      im = fmaf(v[0], wi, im);
      im = fmaf(v[1], wr, im);
    }
    y[2 * j] = re;
    y[2 * j + 1] = im;
  }
}

void wh_k_dft__ref(const wh_dft_args *a, const wh_worker *worker) {
  float *own = (float *)(void *)((char *)a->scratch + (size_t)worker->index * a->scratch_bytes);
  const fourier f = {a->n, a->twiddles, a->inverse};
  int64_t begin, end;
  wh_worker_range(worker, a->outer * a->inner, &begin, &end);
  for (int64_t i = begin; i < end && a->n > 0; i++) {
    const int64_t at = i / a->inner * a->n * a->inner + i % a->inner;
    transform(&f, a->n, a->x + 2 * at, a->inner, own, own + 2 * a->n);
    for (int64_t j = 0; j < a->n; j++)
      for (int c = 0; c < 2; c++)
        a->y[2 * (at + j * a->inner) + c] = a->inverse ? own[2 * j + c] / (float)a->n : own[2 * j + c];
  }
}

/* ---- det ---- */

/* Gauss's elimination, the largest magnitude of the column as pivot, of equal ones the upper. */
static float determinant(float *x, int64_t n) {
  float det = 1.0f;
  for (int64_t k = 0; k < n; k++) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; i++)
      if (fabsf(x[i * n + k]) > fabsf(x[pivot * n + k])) pivot = i;
    for (int64_t j = 0; j < n && pivot != k; j++) {
      const float t = x[k * n + j];
      x[k * n + j] = x[pivot * n + j];
      x[pivot * n + j] = t;
    }
    if (pivot != k) det = -det;
    det = det * x[k * n + k];
    if (x[k * n + k] == 0.0f) return det;
    for (int64_t i = k + 1; i < n; i++) {
      const float f = x[i * n + k] / x[k * n + k];
      for (int64_t j = k + 1; j < n; j++) x[i * n + j] = fmaf(-f, x[k * n + j], x[i * n + j]);
    }
  }
  return det;
}

void wh_k_det__ref(const wh_det_args *a, const wh_worker *worker) {
  float *own = (float *)(void *)((char *)a->scratch + (size_t)worker->index * a->scratch_bytes);
  const size_t bytes = (size_t)(a->n * a->n) * sizeof *own;
  int64_t begin, end;
  wh_worker_range(worker, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    if (bytes) memcpy(own, a->x + i * a->n * a->n, bytes);
    a->y[i] = determinant(own, a->n);
  }
}
