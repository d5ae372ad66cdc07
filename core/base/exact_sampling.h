/* base/exact_sampling.h - where grid_sample and roi_align look, and with which weights (docs/NUMERICS.md);
 * one scalar definition each, for hosts and, as exact_math.h, for devices. */
#ifndef WH_BASE_EXACT_SAMPLING_H
#define WH_BASE_EXACT_SAMPLING_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- grid_sample ---- */

#define WH_GRID_NEAREST 0
#define WH_GRID_LINEAR 1
#define WH_GRID_CUBIC 2
#define WH_GRID_ZEROS 0
#define WH_GRID_BORDER 1
#define WH_GRID_REFLECT 2

typedef struct wh_grid_rule {
  int32_t mode, padding;
  bool align_corners;
} wh_grid_rule;

typedef struct wh_grid_taps {
  int n;
  int64_t at[4]; /* -1: outside, which reads +0 */
  float weight[4];
} wh_grid_taps;

/* Into low..high; a NaN to low. */
static inline float wh_grid_into(float x, float low, float high) {
  return x > low ? (x < high ? x : high) : low;
}

/* Mirrored at twice_low / 2 and twice_high / 2 as often as it takes. */
static inline float wh_grid_mirrored(float x, int64_t twice_low, int64_t twice_high) {
  if (twice_low == twice_high) return 0.0f;
  const float low = (float)twice_low / 2.0f, span = (float)(twice_high - twice_low) / 2.0f;
  const float d = fabsf(x - low), turns = floorf(d / span), rest = d - turns * span;
  const bool odd = turns - 2.0f * floorf(turns / 2.0f) != 0.0f;
  return odd ? span - rest + low : rest + low;
}

static inline float wh_grid_reflected(const wh_grid_rule *r, float x, int64_t size) {
  return r->align_corners ? wh_grid_mirrored(x, 0, 2 * (size - 1)) : wh_grid_mirrored(x, -1, 2 * size - 1);
}

/* A tap's element of an axis under the padding. */
static inline int64_t wh_grid_element(const wh_grid_rule *r, float x, int64_t size) {
  if (r->padding == WH_GRID_ZEROS) return x >= 0.0f && x < (float)size ? (int64_t)x : -1;
  if (r->padding == WH_GRID_REFLECT) x = wh_grid_reflected(r, x, size);
  return (int64_t)wh_grid_into(x, 0.0f, (float)(size - 1));
}

/* Keys' kernel with A = -3/4 at distances t + 1, t, 1 - t, 2 - t. */
static inline void wh_grid_cubic_weights(float t, float w[4]) {
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

/* The taps of coordinate g on an axis of `size` elements. */
static inline wh_grid_taps wh_grid_axis(const wh_grid_rule *r, float g, int64_t size) {
  wh_grid_taps t;
  float x =
      r->align_corners ? (g + 1.0f) / 2.0f * (float)(size - 1) : ((g + 1.0f) * (float)size - 1.0f) / 2.0f;
  x = wh_grid_into(x, -16777216.0f, 16777216.0f);
  if (r->mode != WH_GRID_CUBIC) {
    if (r->padding == WH_GRID_REFLECT) x = wh_grid_reflected(r, x, size);
    if (r->padding != WH_GRID_ZEROS) x = wh_grid_into(x, 0.0f, (float)(size - 1));
  }
  const float low = r->mode == WH_GRID_NEAREST ? rintf(x) : floorf(x), f = x - low;
  t.n = r->mode == WH_GRID_NEAREST ? 1 : r->mode == WH_GRID_LINEAR ? 2 : 4;
  for (int i = 0; i < 4; i++) {
    t.at[i] = i < t.n ? wh_grid_element(r, low + (float)(t.n == 4 ? i - 1 : i), size) : 0;
    t.weight[i] = i == 0 ? 1.0f : 0.0f;
  }
  if (t.n == 2) {
    t.weight[0] = 1.0f - f;
    t.weight[1] = f;
  }
  if (t.n == 4) wh_grid_cubic_weights(f, t.weight);
  return t;
}

/* What an axis of size 1 has that no coordinate names. */
static inline wh_grid_taps wh_grid_only(void) {
  wh_grid_taps t;
  t.n = 1;
  for (int i = 0; i < 4; i++) {
    t.at[i] = 0;
    t.weight[i] = i == 0 ? 1.0f : 0.0f;
  }
  return t;
}

/* ---- roi_align ---- */

#define WH_ROI_MOST_POINTS 1024 /* per bin and axis that a box may ask for */

typedef struct wh_roi_axis {
  float start, bin;
  int64_t points;
} wh_roi_axis;

/* A box's side from `from` to `to`; sampling 0: as many points as the bins are long. */
static inline wh_roi_axis wh_roi_side(float from, float to, int64_t bins, float scale, bool half_pixel,
                                      int64_t sampling) {
  const float shift = half_pixel ? 0.5f : 0.0f;
  wh_roi_axis r;
  r.start = from * scale - shift;
  float size = (to * scale - shift) - r.start;
  if (!half_pixel && !(size > 1.0f)) size = 1.0f;
  r.bin = size / (float)bins;
  const float points = ceilf(r.bin);
  r.points = sampling > 0    ? sampling
             : points > 1.0f ? (points < (float)WH_ROI_MOST_POINTS ? (int64_t)points : WH_ROI_MOST_POINTS)
                             : 1;
  return r;
}

static inline float wh_roi_point(const wh_roi_axis *r, int64_t bin, int64_t i) {
  return (r->start + (float)bin * r->bin) + ((float)i + 0.5f) * r->bin / (float)r->points;
}

/* The two elements around a point of an axis, and their weights; false: it lies outside. */
static inline bool wh_roi_taps(float at, int64_t size, int64_t element[2], float weight[2]) {
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

#endif
