/* ref/resample_ref.c - docs/NUMERICS.md, "resample", "grid_sample" and "roi_align", in plain C. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "core/base/exact_sampling.h"

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

/* The chain over the taps of a plane, row by row. */
static float grid_value(const wh_grid_sample_args *a, const float *x, const wh_grid_taps taps[3]) {
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
    wh_grid_taps taps[3] = {wh_grid_only()};
    for (int64_t axis = 0; axis < a->axes; axis++)
      taps[2 - axis] = wh_grid_axis(&a->rule, g[axis], a->in[2 - axis]);
    for (int64_t c = 0; c < a->c; c++) {
      const int64_t plane = i / out * a->c + c;
      a->y[plane * out + i % out] = grid_value(a, a->x + plane * in, taps);
    }
  }
}

/* ---- roi_align ---- */

/* A bin's mean, or the largest of its weighted corners. */
static float roi_bin(const wh_roi_align_args *a, const float *x, const wh_roi_axis axes[2],
                     const int64_t bin[2]) {
  float sum = 0.0f, top = 0.0f;
  bool any = false;
  for (int64_t i = 0; i < axes[0].points; i++)
    for (int64_t j = 0; j < axes[1].points; j++) {
      int64_t at[2][2];
      float w[2][2], value = 0.0f;
      bool inside = true;
      for (int k = 0; k < 2; k++) {
        const float p = wh_roi_point(&axes[k], bin[k], k ? j : i);
        inside &= wh_roi_taps(p, a->in[k], at[k], w[k]);
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
    const wh_roi_axis axes[2] = {
        wh_roi_side(box[1], box[3], a->out[0], a->scale, a->half_pixel, a->sampling),
        wh_roi_side(box[0], box[2], a->out[1], a->scale, a->half_pixel, a->sampling)};
    for (int64_t o = 0; o < out; o++) {
      const int64_t bin[2] = {o / a->out[1], o % a->out[1]};
      const bool exists = image >= 0 && image < a->n && in > 0;
      a->y[i * out + o] = exists ? roi_bin(a, a->x + (image * a->c + i % a->c) * in, axes, bin) : 0.0f;
    }
  }
}
