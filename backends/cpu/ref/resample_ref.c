/* ref/resample_ref.c - docs/NUMERICS.md, "resample", "grid_sample" and "roi_align", in plain C. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"

void wh_k_resample__ref(const wh_resample_args *a, const wh_worker *worker) {
  int64_t begin, end;
  wh_worker_range(worker, a->outer * a->n_out, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const int32_t *index = a->index + r % a->n_out * a->taps;
    const float *weight = a->weight + r % a->n_out * a->taps;
    const float *x = a->x + r / a->n_out * a->n_in * a->inner;
    for (int64_t i = 0; i < a->inner; i++) {
      float y = 0.0f;
      for (int64_t t = 0; t < a->taps; t++) {
        const int32_t at = index[t];
        const float v = at == -1 ? a->outside : wh_resample_index_fits(a, at) ? x[at * a->inner + i] : 0.0f;
        y = fmaf(v, weight[t], y);
      }
      a->y[r * a->inner + i] = y;
    }
  }
}

/* ---- grid_sample ---- */

typedef struct grid_taps {
  int n;
  int64_t at[4]; /* -1: outside, which reads +0 */
  float weight[4];
} grid_taps;

/* Into low..high; a NaN to low. */
static float into(float x, float low, float high) { return x > low ? (x < high ? x : high) : low; }

/* Mirrored at twice_low / 2 and twice_high / 2 as often as it takes. */
static float reflect(float x, int64_t twice_low, int64_t twice_high) {
  if (twice_low == twice_high) return 0.0f;
  const float low = (float)twice_low / 2.0f, span = (float)(twice_high - twice_low) / 2.0f;
  const float d = fabsf(x - low), turns = floorf(d / span), rest = d - turns * span;
  const bool odd = turns - 2.0f * floorf(turns / 2.0f) != 0.0f;
  return odd ? span - rest + low : rest + low;
}

static float reflect_grid(const wh_grid_sample_args *a, float x, int64_t size) {
  return a->align_corners ? reflect(x, 0, 2 * (size - 1)) : reflect(x, -1, 2 * size - 1);
}

/* A tap's element of an axis under the padding. */
static int64_t grid_element(const wh_grid_sample_args *a, float x, int64_t size) {
  if (a->padding == WH_GRID_ZEROS) return x >= 0.0f && x < (float)size ? (int64_t)x : -1;
  if (a->padding == WH_GRID_REFLECT) x = reflect_grid(a, x, size);
  return (int64_t)into(x, 0.0f, (float)(size - 1));
}

/* Keys' kernel with A = -3/4 at distances t + 1, t, 1 - t, 2 - t. */
static void cubic_weights(float t, float w[4]) {
  const float A = -0.75f;
  for (int i = 0; i < 4; i += 3) {
    const float d = i ? 2.0f - t : t + 1.0f;
    w[i] = fmaf(fmaf(fmaf(A, d, -5.0f * A), d, 8.0f * A), d, -4.0f * A);
  }
  for (int i = 1; i < 3; i++) {
    const float d = i == 1 ? t : 1.0f - t;
    w[i] = fmaf(fmaf(A + 2.0f, d, -(A + 3.0f)) * d, d, 1.0f);
  }
}

static grid_taps grid_axis(const wh_grid_sample_args *a, float g, int64_t size) {
  grid_taps t = {0};
  float x =
      a->align_corners ? (g + 1.0f) / 2.0f * (float)(size - 1) : ((g + 1.0f) * (float)size - 1.0f) / 2.0f;
  x = into(x, -16777216.0f, 16777216.0f);
  if (a->mode != WH_GRID_CUBIC) {
    if (a->padding == WH_GRID_REFLECT) x = reflect_grid(a, x, size);
    if (a->padding != WH_GRID_ZEROS) x = into(x, 0.0f, (float)(size - 1));
  }
  const float low = a->mode == WH_GRID_NEAREST ? rintf(x) : floorf(x), f = x - low;
  t.n = a->mode == WH_GRID_NEAREST ? 1 : a->mode == WH_GRID_LINEAR ? 2 : 4;
  for (int i = 0; i < t.n; i++) t.at[i] = grid_element(a, low + (float)(t.n == 4 ? i - 1 : i), size);
  t.weight[0] = 1.0f;
  if (t.n == 2) {
    t.weight[0] = 1.0f - f;
    t.weight[1] = f;
  }
  if (t.n == 4) cubic_weights(f, t.weight);
  return t;
}

/* The chain over the taps of a plane, row by row. */
static float grid_value(const wh_grid_sample_args *a, const float *x, const grid_taps taps[3]) {
  float y = 0.0f;
  for (int i = 0; i < taps[0].n; i++)
    for (int j = 0; j < taps[1].n; j++)
      for (int k = 0; k < taps[2].n; k++) {
        const int64_t z = taps[0].at[i], r = taps[1].at[j], c = taps[2].at[k];
        const float w = (taps[0].weight[i] * taps[1].weight[j]) * taps[2].weight[k];
        const float v = z < 0 || r < 0 || c < 0 ? 0.0f : x[(z * a->in[1] + r) * a->in[2] + c];
        y = fmaf(v, w, y);
      }
  return y;
}

void wh_k_grid_sample__ref(const wh_grid_sample_args *a, const wh_worker *worker) {
  const int64_t in = a->in[0] * a->in[1] * a->in[2], out = a->out[0] * a->out[1] * a->out[2];
  int64_t begin, end;
  wh_worker_range(worker, a->n * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *g = a->grid + i * a->axes;
    grid_taps taps[3] = {{.n = 1, .weight = {1.0f}}};
    for (int64_t axis = 0; axis < a->axes; axis++) taps[2 - axis] = grid_axis(a, g[axis], a->in[2 - axis]);
    for (int64_t c = 0; c < a->c; c++) {
      const int64_t plane = i / out * a->c + c;
      a->y[plane * out + i % out] = grid_value(a, a->x + plane * in, taps);
    }
  }
}

/* ---- roi_align ---- */

/* Points per bin and axis that a box may ask for. */
#define MOST_POINTS 1024

typedef struct roi_axis {
  float start, bin;
  int64_t points;
} roi_axis;

static roi_axis box_axis(const wh_roi_align_args *a, float from, float to, int64_t bins) {
  const float shift = a->half_pixel ? 0.5f : 0.0f;
  roi_axis r = {.start = from * a->scale - shift};
  float size = (to * a->scale - shift) - r.start;
  if (!a->half_pixel && !(size > 1.0f)) size = 1.0f;
  r.bin = size / (float)bins;
  const float points = ceilf(r.bin);
  r.points = a->sampling > 0 ? a->sampling
             : points > 1.0f ? (points < (float)MOST_POINTS ? (int64_t)points : MOST_POINTS)
                             : 1;
  return r;
}

/* The two elements around a point of an axis, and their weights; false: it lies outside. */
static bool point_taps(float at, int64_t size, int64_t element[2], float weight[2]) {
  if (!(at >= -1.0f && at <= (float)size)) return false;
  if (at <= 0.0f) at = 0.0f;
  element[0] = (int64_t)at;
  if (element[0] >= size - 1) {
    element[0] = size - 1;
    at = (float)element[0];
  }
  element[1] = element[0] + 1 < size ? element[0] + 1 : element[0];
  weight[1] = at - (float)element[0];
  weight[0] = 1.0f - weight[1];
  return true;
}

/* A bin's mean, or the largest of its weighted corners. */
static float roi_bin(const wh_roi_align_args *a, const float *x, const roi_axis axes[2],
                     const int64_t bin[2]) {
  float sum = 0.0f, top = 0.0f;
  bool any = false;
  for (int64_t i = 0; i < axes[0].points; i++)
    for (int64_t j = 0; j < axes[1].points; j++) {
      int64_t at[2][2];
      float w[2][2], value = 0.0f;
      bool inside = true;
      for (int k = 0; k < 2; k++) {
        const float step = (float)(k ? j : i) + 0.5f;
        const float p =
            (axes[k].start + (float)bin[k] * axes[k].bin) + step * axes[k].bin / (float)axes[k].points;
        inside &= point_taps(p, a->in[k], at[k], w[k]);
      }
      for (int c = 0; c < 4; c++) {
        const int r = c / 2, s = c % 2;
        const float f = inside ? w[0][r] * w[1][s] : 0.0f,
                    v = inside ? x[at[0][r] * a->in[1] + at[1][s]] : 0.0f;
        value = fmaf(f, v, value);
        if (a->largest && (!any || f * v > top)) top = f * v;
        any = true;
      }
      sum = sum + value;
    }
  return a->largest ? top : sum / (float)(axes[0].points * axes[1].points);
}

void wh_k_roi_align__ref(const wh_roi_align_args *a, const wh_worker *worker) {
  const int64_t in = a->in[0] * a->in[1], out = a->out[0] * a->out[1];
  int64_t begin, end;
  wh_worker_range(worker, a->rows * a->c, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i / a->c, image = wh_roi_image(a, row);
    const float *box = a->boxes + row * 4;
    const roi_axis axes[2] = {box_axis(a, box[1], box[3], a->out[0]), box_axis(a, box[0], box[2], a->out[1])};
    for (int64_t o = 0; o < out; o++) {
      const int64_t bin[2] = {o / a->out[1], o % a->out[1]};
      const bool exists = image >= 0 && image < a->n && in > 0;
      a->y[i * out + o] = exists ? roi_bin(a, a->x + (image * a->c + i % a->c) * in, axes, bin) : 0.0f;
    }
  }
}
