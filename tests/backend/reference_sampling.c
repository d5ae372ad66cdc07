/* reference_sampling.c - resampling, normalisation over channels, transforms, determinants. */
#include <stdlib.h>

#include "tests/backend/reference_nn.h"

static int64_t count(const ref_value *v, int64_t begin, int64_t end) {
  int64_t n = 1;
  for (int64_t i = begin; i < end; i++) n *= v->dims[i];
  return n;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

void ref_resample(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int64_t axis = wh_node_i(n->node, WH_ATTR_AXIS), inner = count(x, axis + 1, x->rank);
  const int64_t places = n->in[1].dims[0], taps = n->in[1].dims[1];
  const int32_t *index = n->in[1].data;
  for (int64_t i = 0; i < places * taps; i++)
    if (index[i] < -1 || index[i] >= x->dims[axis]) ref_fault(n, index[i]);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t j = i / inner % places, o = i / inner / places;
    float y = 0.0f;
    for (int64_t t = j * taps; t < (j + 1) * taps; t++) {
      float v = 0.0f;
      if (index[t] == -1)
        v = wh_node_f(n->node, WH_ATTR_ALPHA);
      else if (index[t] >= 0 && index[t] < x->dims[axis])
        v = ((const float *)x->data)[(o * x->dims[axis] + index[t]) * inner + i % inner];
      y = fmaf(v, ((const float *)n->in[2].data)[t], y);
    }
    ((float *)n->out.data)[i] = y;
  }
}

/* ---- grid_sample ---- */

static float mirrored(float p, float low, float high) {
  if (low == high) return 0.0f;
  const float span = high - low, a = fabsf(p - low), t = floorf(a / span), r = a - t * span;
  return fmodf(t, 2.0f) == 0.0f ? r + low : span - r + low;
}

static float mirrored_in(const ref_node *n, float p, int64_t size) {
  return wh_node_i(n->node, WH_ATTR_ALIGN_CORNERS) ? mirrored(p, 0.0f, (float)(size - 1))
                                                   : mirrored(p, -0.5f, (float)size - 0.5f);
}

static float kept(float p, int64_t size) {
  return !(p > 0.0f) ? 0.0f : p > (float)(size - 1) ? (float)(size - 1) : p;
}

/* Taps of an axis; returns their number. */
static int axis_taps(const ref_node *n, float g, int64_t size, int64_t at[4], float w[4]) {
  const int64_t mode = wh_node_i(n->node, WH_ATTR_MODE), padding = wh_node_i(n->node, WH_ATTR_PADDING);
  float p = wh_node_i(n->node, WH_ATTR_ALIGN_CORNERS) ? ((g + 1.0f) / 2.0f) * (float)(size - 1)
                                                      : ((g + 1.0f) * (float)size - 1.0f) / 2.0f;
  if (!(p >= -0x1p24f)) p = -0x1p24f;
  if (p > 0x1p24f) p = 0x1p24f;
  if (mode != 2 && padding == 2) p = mirrored_in(n, p, size);
  if (mode != 2 && padding) p = kept(p, size);
  if (mode == 0) {
    at[0] = (int64_t)rintf(p);
    w[0] = 1.0f;
  } else {
    const float f = p - floorf(p), A = -0.75f;
    const int first = mode == 2 ? -1 : 0;
    for (int i = 0; i < (mode == 2 ? 4 : 2); i++) at[i] = (int64_t)floorf(p) + first + i;
    w[0] = 1.0f - f;
    w[1] = f;
    if (mode == 2) {
      const float d[4] = {f + 1.0f, f, 1.0f - f, 2.0f - f};
      for (int i = 0; i < 4; i++)
        w[i] = i % 3 ? fmaf(fmaf(A + 2.0f, d[i], -(A + 3.0f)) * d[i], d[i], 1.0f)
                     : fmaf(fmaf(fmaf(A, d[i], -5.0f * A), d[i], 8.0f * A), d[i], -4.0f * A);
    }
  }
  const int taps = mode == 0 ? 1 : mode == 1 ? 2 : 4;
  for (int i = 0; i < taps; i++) {
    if (padding == 2) at[i] = (int64_t)kept(mirrored_in(n, (float)at[i], size), size);
    if (padding == 1) at[i] = clamp(at[i], 0, size - 1);
  }
  return taps;
}

void ref_grid_sample(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int axes = x->rank - 2;
  const int64_t plane = count(x, 2, x->rank), out = count(&n->out, 2, x->rank);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const int64_t image = i / out / x->dims[1];
    const float *g = (const float *)n->in[1].data + (image * out + i % out) * axes;
    int64_t at[3][4] = {{0}};
    float w[3][4] = {{1.0f}, {1.0f}, {1.0f}}, y = 0.0f;
    int taps[3] = {1, 1, 1};
    int64_t size[3] = {1, 1, 1};
    for (int a = 0; a < axes; a++) {
      const int slot = 3 - axes + a;
      size[slot] = x->dims[2 + a];
      taps[slot] = axis_taps(n, g[axes - 1 - a], size[slot], at[slot], w[slot]);
    }
    for (int t = 0; t < taps[0] * taps[1] * taps[2]; t++) {
      const int k[3] = {t / taps[2] / taps[1], t / taps[2] % taps[1], t % taps[2]};
      bool inside = true;
      int64_t e = 0;
      for (int a = 0; a < 3; a++) {
        inside = inside && at[a][k[a]] >= 0 && at[a][k[a]] < size[a];
        e = e * size[a] + at[a][k[a]];
      }
      const float v = inside ? ((const float *)x->data)[i / out * plane + e] : 0.0f;
      y = fmaf(v, (w[0][k[0]] * w[1][k[1]]) * w[2][k[2]], y);
    }
    ((float *)n->out.data)[i] = y;
  }
}

/* ---- roi_align ---- */

typedef struct line {
  float start, bin;
  int64_t points;
} line;

static line line_of(const ref_node *n, float from, float to, int64_t bins) {
  const float scale = wh_node_f(n->node, WH_ATTR_SCALE);
  const bool half = wh_node_i(n->node, WH_ATTR_HALF_PIXEL) != 0;
  line l = {.start = from * scale - (half ? 0.5f : 0.0f), .points = wh_node_i(n->node, WH_ATTR_SAMPLING)};
  float size = to * scale - (half ? 0.5f : 0.0f) - l.start;
  if (!half && size < 1.0f) size = 1.0f;
  l.bin = size / (float)bins;
  if (!l.points) l.points = l.bin > 1024.0f ? 1024 : clamp((int64_t)ceilf(l.bin), 1, 1024);
  return l;
}

static bool corners(float p, int64_t size, int64_t at[2], float w[2]) {
  if (isnan(p) || p < -1.0f || p > (float)size) return false;
  if (p < 0.0f) p = 0.0f;
  at[0] = at[1] = (int64_t)p;
  if (at[0] >= size - 1) {
    at[0] = at[1] = size - 1;
    p = (float)(size - 1);
  } else {
    at[1]++;
  }
  w[1] = p - (float)at[0];
  w[0] = 1.0f - w[1];
  return true;
}

void ref_roi_align(ref_node *n) {
  const ref_value *x = &n->in[0], *out = &n->out;
  const int64_t h = x->dims[2], w = x->dims[3];
  const bool largest = wh_node_i(n->node, WH_ATTR_MODE) != 0;
  for (int64_t i = 0; i < ref_elements(out); i++) {
    const int64_t bx = i % out->dims[3], by = i / out->dims[3] % out->dims[2];
    const int64_t c = i / out->dims[3] / out->dims[2] % out->dims[1],
                  r = i / out->dims[3] / out->dims[2] / out->dims[1];
    const int64_t image = n->in[2].dtype == WH_DTYPE_I64 ? ((const int64_t *)n->in[2].data)[r]
                                                         : ((const int32_t *)n->in[2].data)[r];
    const float *box = (const float *)n->in[1].data + 4 * r;
    const line ly = line_of(n, box[1], box[3], out->dims[2]), lx = line_of(n, box[0], box[2], out->dims[3]);
    float sum = 0.0f, top = 0.0f;
    bool first = true;
    ((float *)out->data)[i] = 0.0f;
    if (image < 0 || image >= x->dims[0]) {
      ref_fault(n, image);
      continue;
    }
    for (int64_t p = 0; p < ly.points * lx.points; p++) {
      const float py =
          (ly.start + (float)by * ly.bin) + ((float)(p / lx.points) + 0.5f) * ly.bin / (float)ly.points;
      const float px =
          (lx.start + (float)bx * lx.bin) + ((float)(p % lx.points) + 0.5f) * lx.bin / (float)lx.points;
      int64_t ay[2] = {0}, ax[2] = {0};
      float wy[2] = {0}, wx[2] = {0}, v = 0.0f;
      const bool is_in = corners(py, h, ay, wy) && corners(px, w, ax, wx);
      for (int k = 0; k < 4; k++) {
        const float e =
            is_in ? ((const float *)x->data)[((image * x->dims[1] + c) * h + ay[k / 2]) * w + ax[k % 2]]
                  : 0.0f;
        const float f = is_in ? wy[k / 2] * wx[k % 2] : 0.0f;
        v = fmaf(f, e, v);
        if (first || f * e > top) top = f * e;
        first = false;
      }
      sum = sum + v;
    }
    ((float *)out->data)[i] = largest ? top : sum / (float)(ly.points * lx.points);
  }
}

/* ---- lrn, dft, det ---- */

void ref_lrn(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int64_t size = wh_node_i(n->node, WH_ATTR_SIZE), inner = count(x, 2, x->rank), c = x->dims[1];
  const float a = wh_node_f(n->node, WH_ATTR_ALPHA) / (float)size;
  for (int64_t i = 0; i < ref_elements(x); i++) {
    const int64_t own = i / inner % c;
    float s = 0.0f;
    for (int64_t k = own - (size - 1) / 2; k <= own + size / 2; k++) {
      if (k < 0 || k >= c) continue;
      const float v = ((const float *)x->data)[i + (k - own) * inner];
      s = fmaf(v, v, s);
    }
    const float d = fmaf(a, s, wh_node_f(n->node, WH_ATTR_EPS));
    ((float *)n->out.data)[i] =
        ((const float *)x->data)[i] / (float)ref_power((double)d, (double)wh_node_f(n->node, WH_ATTR_BETA));
  }
}

typedef struct complex32 {
  float re, im;
} complex32;

static complex32 *transform(const ref_node *n, const complex32 *x, int64_t len, int64_t whole) {
  complex32 *y = malloc((size_t)len * sizeof *y);
  if (!y) abort();
  int64_t p = 2;
  while (p < len && len % p) p++;
  if (len == 1) {
    *y = *x;
    return y;
  }
  const int64_t m = len / p;
  complex32 *parts = malloc((size_t)len * sizeof *parts), *pick = malloc((size_t)m * sizeof *pick);
  if (!parts || !pick) abort();
  for (int64_t r = 0; r < p; r++) {
    for (int64_t i = 0; i < m; i++) pick[i] = x[r + i * p];
    complex32 *part = transform(n, pick, m, whole);
    for (int64_t i = 0; i < m; i++) parts[r * m + i] = part[i];
    free(part);
  }
  for (int64_t j = 0; j < len; j++) {
    y[j] = (complex32){0.0f, 0.0f};
    for (int64_t r = 0; r < p; r++) {
      complex32 w = ((const complex32 *)n->in[1].data)[r * j % len * (whole / len)], v = parts[r * m + j % m];
      if (wh_node_i(n->node, WH_ATTR_INVERSE)) w.im = -w.im;
      y[j].re = fmaf(-v.im, w.im, fmaf(v.re, w.re, y[j].re));
      y[j].im = fmaf(v.im, w.re, fmaf(v.re, w.im, y[j].im));
    }
  }
  free(parts);
  free(pick);
  return y;
}

void ref_dft(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int64_t axis = wh_node_i(n->node, WH_ATTR_AXIS), len = x->dims[axis],
                inner = count(x, axis + 1, x->rank - 1);
  for (int64_t o = 0; o < count(x, 0, axis); o++)
    for (int64_t k = 0; k < inner && len > 0; k++) {
      complex32 *row = malloc((size_t)len * sizeof *row);
      if (!row) abort();
      for (int64_t i = 0; i < len; i++) row[i] = ((const complex32 *)x->data)[(o * len + i) * inner + k];
      complex32 *y = transform(n, row, len, len);
      for (int64_t i = 0; i < len; i++) {
        if (wh_node_i(n->node, WH_ATTR_INVERSE))
          y[i] = (complex32){y[i].re / (float)len, y[i].im / (float)len};
        ((complex32 *)n->out.data)[(o * len + i) * inner + k] = y[i];
      }
      free(y);
      free(row);
    }
}

void ref_det(ref_node *n) {
  const int64_t size = ref_length(&n->in[0]);
  float *a = malloc((size_t)(size * size + 1) * sizeof *a);
  if (!a) abort();
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    float d = 1.0f;
    for (int64_t k = 0; k < size * size; k++) a[k] = ((const float *)n->in[0].data)[i * size * size + k];
    for (int64_t k = 0; k < size; k++) {
      int64_t best = k;
      for (int64_t r = k; r < size; r++) best = fabsf(a[r * size + k]) > fabsf(a[best * size + k]) ? r : best;
      if (best != k) d = -d;
      for (int64_t c = 0; c < size; c++) {
        const float t = a[best * size + c];
        a[best * size + c] = a[k * size + c];
        a[k * size + c] = t;
      }
      d = d * a[k * size + k];
      if (a[k * size + k] == 0.0f) break;
      for (int64_t r = k + 1; r < size; r++) {
        const float f = a[r * size + k] / a[k * size + k];
        for (int64_t c = k + 1; c < size; c++) a[r * size + c] = fmaf(-f, a[k * size + c], a[r * size + c]);
      }
    }
    ((float *)n->out.data)[i] = d;
  }
  free(a);
}
