/* fit.c - see fit.h. Sums are kept in eight lanes, which compilers make vectors of. */
#include "formats/quantize/fit.h"

#include <math.h>

#define LANES 8
#define N_TRIES 18
#define FIRST_TRY 0.80f /* of the scale's inverse that the largest element asks for */
#define TRY_STEP 0.025f

static float sum(const float *lanes) {
  float s = 0;
  for (int l = 0; l < LANES; l++) s += lanes[l];
  return s;
}

/* Round to nearest even below 2^22: without a call where the processor's baseline has no such instruction. */
static inline float round_small(float v) { return v + 12582912.0f - 12582912.0f; }

void wh_fit_nearest(const wh_fit_grid *g, const float *x, float inverse, int n, float *q) {
  const float lo = g->lo, hi = g->hi;
  if (!g->values) {
    for (int i = 0; i < n; i++) {
      float v = x[i] * inverse;
      v = v < lo ? lo : v;
      v = v > hi ? hi : v;
      q[i] = round_small(v);
    }
    return;
  }
  float twice[WH_FIT_MAX];
  int at[WH_FIT_MAX] = {0};
  for (int i = 0; i < n; i++) twice[i] = 2 * (x[i] * inverse);
  for (int k = 0; k < 15; k++) {
    const float between = (float)(g->values[k] + g->values[k + 1]);
    for (int i = 0; i < n; i++) at[i] += twice[i] > between;
  }
  for (int i = 0; i < n; i++) q[i] = (float)g->values[at[i]];
}

float wh_fit_error(const float *x, const float *w, const float *q, float scale, float min, int n) {
  float e[LANES] = {0};
  for (int i = 0; i < n; i += LANES)
    for (int l = 0; l < LANES; l++) {
      const float d = x[i + l] - scale * q[i + l] + min;
      e[l] += w[i + l] * d * d;
    }
  return sum(e);
}

/* Sums of w x q and w q q. */
static void products(const float *x, const float *w, const float *q, int n, float *xq, float *qq) {
  float a[LANES] = {0}, b[LANES] = {0};
  for (int i = 0; i < n; i += LANES)
    for (int l = 0; l < LANES; l++) {
      const float wq = w[i + l] * q[i + l];
      a[l] += wq * x[i + l];
      b[l] += wq * q[i + l];
    }
  *xq = sum(a);
  *qq = sum(b);
}

/* With these codes the best scale takes xq^2 / qq away from the sum of w x x. */
static void try_inverse(const wh_fit_grid *g, const float *x, const float *w, int n, float inverse,
                        float *gain, float *scale) {
  float q[WH_FIT_MAX], xq, qq;
  wh_fit_nearest(g, x, inverse, n, q);
  products(x, w, q, n, &xq, &qq);
  if (qq <= 0 || xq * xq <= *gain * qq) return;
  *gain = xq * xq / qq;
  *scale = xq / qq;
}

float wh_fit_scale(const wh_fit_grid *g, const float *x, const float *w, int n) {
  float largest = 0, gain = 0, scale = 0;
  for (int i = 0; i < n; i++)
    if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
  if (largest == 0 || !isfinite(1 / largest)) return 0;
  for (int k = 0; k < N_TRIES; k++) {
    const float t = (FIRST_TRY + TRY_STEP * (float)k) / largest;
    try_inverse(g, x, w, n, t * g->lo, &gain, &scale);
    try_inverse(g, x, w, n, t * g->hi, &gain, &scale);
  }
  if (scale != 0 && isfinite(1 / scale)) try_inverse(g, x, w, n, 1 / scale, &gain, &scale);
  return scale;
}

/* The best scale and min for these codes. */
static void solve_affine(bool positive, const float *x, const float *w, const float *q, int n, float *scale,
                         float *min) {
  float a[LANES] = {0}, b[LANES] = {0}, c[LANES] = {0}, d[LANES] = {0}, e[LANES] = {0};
  for (int i = 0; i < n; i += LANES)
    for (int l = 0; l < LANES; l++) {
      const float wi = w[i + l], wq = wi * q[i + l];
      a[l] += wi;
      b[l] += wq;
      c[l] += wq * q[i + l];
      d[l] += wi * x[i + l];
      e[l] += wq * x[i + l];
    }
  const double sw = sum(a), sq = sum(b), sqq = sum(c), sx = sum(d), sxq = sum(e);
  const double det = sw * sqq - sq * sq;
  if (det > 1e-6 * sw * sqq) {
    *scale = (float)((sw * sxq - sq * sx) / det);
    *min = (float)((sq * sxq - sqq * sx) / det);
  } else { /* all codes are the same */
    *scale = 0;
    *min = (float)(-sx / sw);
  }
  if (positive && *min < 0) {
    *min = 0;
    *scale = sqq > 0 ? (float)(sxq / sqq) : 0;
  }
}

static void try_affine(float hi, bool positive, const float *x, const float *w, int n, float inverse,
                       float shift, float *error, float *scale, float *min) {
  const wh_fit_grid g = {0, hi, 0};
  float moved[WH_FIT_MAX], q[WH_FIT_MAX], s = 0, m = 0;
  for (int i = 0; i < n; i++) moved[i] = x[i] + shift;
  wh_fit_nearest(&g, moved, inverse, n, q);
  solve_affine(positive, x, w, q, n, &s, &m);
  if (s < 0) return;
  const float e = wh_fit_error(x, w, q, s, m, n);
  if (*error >= 0 && e >= *error) return;
  *error = e;
  *scale = s;
  *min = m;
}

void wh_fit_affine(float hi, bool positive, const float *x, const float *w, int n, float *scale, float *min) {
  float lo = x[0], top = x[0], error = -1;
  for (int i = 1; i < n; i++) {
    if (x[i] < lo) lo = x[i];
    if (x[i] > top) top = x[i];
  }
  if (positive && lo > 0) lo = 0;
  if (positive && top < 0) top = 0; /* zero is among the values */
  *scale = 0;
  *min = -lo;
  if (!(top > lo) || !isfinite(hi / (top - lo))) return;
  for (int k = 0; k < N_TRIES; k++) {
    const float t = FIRST_TRY + TRY_STEP * (float)k; /* above 1: the range is clipped at both ends */
    const float inverse = t * hi / (top - lo), cut = t > 1 ? (top - lo) * (1 - 1 / t) / 2 : 0;
    try_affine(hi, positive, x, w, n, inverse, -lo - cut, &error, scale, min);
  }
  for (int k = 0; k < 2; k++)
    if (*scale > 0 && isfinite(1 / *scale))
      try_affine(hi, positive, x, w, n, 1 / *scale, *min, &error, scale, min);
}
