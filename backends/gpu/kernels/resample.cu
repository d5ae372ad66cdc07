// resample.cu - docs/NUMERICS.md, "resample", "grid_sample", "roi_align". Where they look is said in
// core/base/exact_sampling.h.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/nn_args.h"

GPU_KERNEL_FN(resample, gpu_resample_args) {
  const int64_t i = gpu_thread();
  uint64_t outer = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t inner = gpu_split(a.inner, &outer), j = gpu_split(a.n_out, &outer);
  const int32_t *index = gpu_at<const int32_t>(a.index) + j * a.taps;
  const float *weight = gpu_at<const float>(a.weight) + j * a.taps;
  const float *x = gpu_at<const float>(a.x) + (int64_t)outer * a.n_in * a.inner.n + inner;
  float y = 0.0f;
  for (int64_t t = 0; t < a.taps; t++) {
    const int32_t at = index[t];
    const float v = at == -1 ? a.outside : at >= 0 && at < a.n_in ? x[at * a.inner.n] : 0.0f;
    y = fmaf(v, weight[t], y);
  }
  gpu_at<float>(a.y)[i] = y;
}

/* The chain over the taps of a plane, row by row. */
GPU_FN float grid_value(const gpu_grid_sample_args &a, const float *x, const wh_grid_taps *taps) {
  float y = 0.0f;
  for (int i = 0; i < taps[0].n; i++)
    for (int j = 0; j < taps[1].n; j++)
      for (int k = 0; k < taps[2].n; k++) {
        const int64_t z = taps[0].at[i], r = taps[1].at[j], c = taps[2].at[k];
        const float w = (taps[0].weight[i] * taps[1].weight[j]) * taps[2].weight[k];
        const float v = z < 0 || r < 0 || c < 0 ? 0.0f : x[(z * a.in[1] + r) * a.in[2] + c];
        y = fmaf(v, w, y);
      }
  return y;
}

/* A thread has a place of an image in all its channels. */
GPU_KERNEL_FN(grid_sample, gpu_grid_sample_args) {
  const int64_t i = gpu_thread();
  uint64_t image = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t place = gpu_split(a.by_space_out, &image), space_in = a.in[0] * a.in[1] * a.in[2];
  const float *g = gpu_at<const float>(a.grid) + i * a.axes;
  wh_grid_taps taps[3];
  taps[2] = wh_grid_axis(&a.rule, g[0], a.in[2]);
  taps[1] = wh_grid_axis(&a.rule, g[1], a.in[1]);
  taps[0] = a.axes == 3 ? wh_grid_axis(&a.rule, g[2], a.in[0]) : wh_grid_only();
  for (int64_t c = 0; c < a.c; c++) {
    const int64_t plane = (int64_t)image * a.c + c;
    gpu_at<float>(a.y)[plane * a.space_out + place] =
        grid_value(a, gpu_at<const float>(a.x) + plane * space_in, taps);
  }
}

/* A bin's mean, or the largest of its weighted corners. */
GPU_FN float roi_bin(const gpu_roi_align_args &a, const float *x, const wh_roi_axis *axes, const int64_t *bin) {
  float sum = 0.0f, top = 0.0f;
  bool any = false;
  for (int64_t i = 0; i < axes[0].points; i++)
    for (int64_t j = 0; j < axes[1].points; j++) {
      int64_t at[2][2];
      float w[2][2], value = 0.0f;
      const bool in_rows = wh_roi_taps(wh_roi_point(&axes[0], bin[0], i), a.in[0], at[0], w[0]);
      const bool inside = wh_roi_taps(wh_roi_point(&axes[1], bin[1], j), a.in[1], at[1], w[1]) && in_rows;
      GPU_UNROLL
      for (int c = 0; c < 4; c++) {
        const int r = c / 2, s = c % 2;
        const float f = inside ? w[0][r] * w[1][s] : 0.0f,
                    v = inside ? x[at[0][r] * a.in[1] + at[1][s]] : 0.0f;
        value = fmaf(f, v, value);
        if (a.largest && (!any || f * v > top)) top = f * v;
        any = true;
      }
      sum = sum + value;
    }
  return a.largest ? top : sum / (float)(axes[0].points * axes[1].points);
}

GPU_KERNEL_FN(roi_align, gpu_roi_align_args) {
  const int64_t i = gpu_thread();
  uint64_t row = (uint64_t)i;
  if (i >= a.n) return;
  int64_t bin[2];
  bin[1] = gpu_split(a.out[1], &row);
  bin[0] = gpu_split(a.out[0], &row);
  const int64_t c = gpu_split(a.c, &row), image = gpu_index(a.image, a.image_type, (int64_t)row);
  const float *box = gpu_at<const float>(a.boxes) + row * 4;
  const wh_roi_axis axes[2] = {wh_roi_side(box[1], box[3], a.out[0].n, a.scale, a.half_pixel, a.sampling),
                               wh_roi_side(box[0], box[2], a.out[1].n, a.scale, a.half_pixel, a.sampling)};
  const int64_t space = a.in[0] * a.in[1];
  const bool exists = image >= 0 && image < a.images && space > 0;
  gpu_at<float>(a.y)[i] =
      exists ? roi_bin(a, gpu_at<const float>(a.x) + (image * a.c.n + c) * space, axes, bin) : 0.0f;
}
