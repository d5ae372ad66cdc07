/* resample.c - see resample.h. */
#include "core/base/resample.h"

#include <math.h>

#define MOST_TAPS ((int64_t)1 << 20)

/* The factor by which the kernel is stretched: below 1 when outputs are fewer. */
static double stretch(const wh_resample_spec *s) { return s->antialias && s->scale < 1.0 ? s->scale : 1.0; }

/* Taps to either side of a place between two elements. */
static int64_t half_taps(const wh_resample_spec *s) {
  const double reach = s->mode == WH_RESAMPLE_CUBIC ? 2.0 : 1.0;
  return (int64_t)ceil(reach / stretch(s));
}

wh_status wh_resample_taps(const wh_resample_spec *s, int64_t *taps) {
  if (s->n_in < 1 || s->n_in > INT32_MAX || s->n_out < 1)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "resampling needs 1 to 2^31 - 1 elements, and an output");
  if (!(s->scale > 0.0) || isinf(s->scale) || !isfinite(s->begin) || !isfinite(s->end) ||
      !isfinite(s->cubic_a))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "resampling needs a finite scale above 0, and finite bounds");
  if (s->mode != WH_RESAMPLE_NEAREST && 2.0 / stretch(s) > (double)MOST_TAPS / 2)
    return WH_FAIL(ERR_LIMIT, "resampling by %g takes too many elements per output", s->scale);
  *taps = s->mode == WH_RESAMPLE_NEAREST ? 1 : 2 * half_taps(s);
  return WH_OK;
}

static double place_of(const wh_resample_spec *s, int64_t output) {
  const double x = (double)output, n_in = (double)s->n_in, n_out = (double)s->n_out;
  /* where the scale comes from the sizes, it is their quotient but for its rounding */
  const double scaled = s->scale * n_in, width = fabs(scaled - n_out) < 1e-9 * n_out ? n_out : scaled;
  switch (s->place) {
    case WH_RESAMPLE_PYTORCH_HALF_PIXEL:
      if (width == 1.0) return -0.5;
      break;
    case WH_RESAMPLE_HALF_PIXEL_SYMMETRIC: {
      const double offset = n_in / 2.0 * (1.0 - n_out / width);
      return offset + (x + 0.5) / s->scale - 0.5;
    }
    case WH_RESAMPLE_ALIGN_CORNERS:
      return width == 1.0 ? 0.0 : x * (n_in - 1.0) / (width - 1.0);
    case WH_RESAMPLE_ASYMMETRIC:
      return x / s->scale;
    case WH_RESAMPLE_HALF_PIXEL_NEAREST:
      return (x + 0.5) / s->scale;
    case WH_RESAMPLE_CROP: {
      const double span = (s->end - s->begin) * (n_in - 1.0);
      return (width == 1.0 ? span / 2.0 : x * span / (width - 1.0)) + s->begin * (n_in - 1.0);
    }
    case WH_RESAMPLE_HALF_PIXEL:
      break;
  }
  return (x + 0.5) / s->scale - 0.5;
}

static double kernel_at(const wh_resample_spec *s, double d) {
  const double a = s->cubic_a;
  d = fabs(d);
  if (s->mode == WH_RESAMPLE_LINEAR) return d < 1.0 ? 1.0 - d : 0.0;
  if (d <= 1.0) return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
  return d < 2.0 ? ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a : 0.0;
}

static int64_t inside(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* `base` < place <= base + 1 */
static int32_t nearest_of(const wh_resample_spec *s, double place, double base) {
  const double f = place - base;
  bool next = f == 1.0;
  switch (s->nearest) {
    case WH_RESAMPLE_ROUND_PREFER_FLOOR:
      next |= f > 0.5;
      break;
    case WH_RESAMPLE_ROUND_PREFER_CEIL:
      next |= f >= 0.5;
      break;
    case WH_RESAMPLE_FLOOR:
      break;
    case WH_RESAMPLE_CEIL:
      next = true;
      break;
  }
  return (int32_t)inside((int64_t)base + next, s->n_in);
}

static void output_taps(const wh_resample_spec *s, double place, int64_t taps, int32_t *index,
                        float *weight) {
  /* Far outside all elements are the same: the place is kept where integers hold it. */
  const double most = 2.0 * (double)s->n_in + (double)MOST_TAPS;
  place = place < -most ? -most : place > most ? most : place;
  const double base = ceil(place) - 1.0, scale = stretch(s);
  if (s->mode == WH_RESAMPLE_NEAREST) {
    *index = nearest_of(s, place, base);
    *weight = 1.0f;
    return;
  }
  const int64_t first = (int64_t)base - taps / 2 + 1;
  double sum = 0.0;
  for (int pass = 0; pass < 2; pass++)
    for (int64_t t = 0; t < taps; t++) {
      const int64_t at = first + t;
      const bool out = at < 0 || at >= s->n_in;
      const double w = out && s->exclude_outside ? 0.0 : kernel_at(s, ((double)at - place) * scale);
      if (pass == 0) {
        sum += w;
        continue;
      }
      index[t] = (int32_t)inside(at, s->n_in);
      weight[t] = (float)(s->antialias || s->exclude_outside ? w / sum : w);
    }
}

void wh_resample_tables(const wh_resample_spec *s, int32_t *index, float *weight) {
  int64_t taps;
  if (wh_resample_taps(s, &taps) != WH_OK) return;
  for (int64_t x = 0; x < s->n_out; x++, index += taps, weight += taps) {
    const double place = place_of(s, x);
    if (s->place == WH_RESAMPLE_CROP && (place < 0.0 || place > (double)(s->n_in - 1))) {
      for (int64_t t = 0; t < taps; t++) {
        index[t] = -1;
        weight[t] = t == 0 ? 1.0f : 0.0f;
      }
      continue;
    }
    output_taps(s, place, taps, index, weight);
  }
}
