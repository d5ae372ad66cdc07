// conv.cu - docs/NUMERICS.md, "conv", "conv_transpose", "conv_integer".
//
// A convolution is the product of w[m][k] and the image's columns x[k][o], k = (channel, tap), which are read where they
// lie: tiles as of any product, or, where a group has few outputs, a thread for each.
#include "backends/gpu/kernels/conv.h"

#include "backends/gpu/kernels/tile.h"

/* Weights of a group, rows of k. */
struct weights {
  static const bool along_k = true;
  const float *p;
  int64_t m, n_k;
  GPU_MEMBER float at(int64_t row, int64_t k) const { return row < m && k < n_k ? p[row * n_k + k] : 0.0f; }
};
struct code_weights {
  static const bool along_k = true;
  uint64_t p, zero;
  int64_t m, n_k;
  uint32_t type, zero_step;
  GPU_MEMBER uint32_t at(int64_t row, int64_t k) const {
    if (row >= m || k >= n_k) return 0;
    const uint64_t z = zero ? gpu_load_integer(type, zero, row * zero_step) : 0;
    return (uint32_t)(gpu_load_integer(type, p, row * n_k + k) - z);
  }
};

/* Where the taps of one output lie, which is the thread's own. */
struct taps {
  int64_t start[GPU_WINDOW_AXES], n_k;
  bool exists;
  GPU_MEMBER taps(const gpu_conv_args &a, int64_t output) {
    uint64_t rest = (uint64_t)output;
    n_k = a.c * a.taps;
    exists = output < a.space_out;
    for (int i = GPU_WINDOW_AXES - 1; i >= 0; i--)
      start[i] = gpu_split(a.win.out[i], &rest) * a.win.stride[i] - a.win.pad[i];
  }
  /* The element of a group's channels; -1: outside. */
  GPU_MEMBER int64_t element(const gpu_conv_args &a, int64_t k) const {
    uint64_t rest = (uint64_t)k;
    int64_t p[GPU_WINDOW_AXES];
    bool inside = exists && k < n_k;
    for (int i = GPU_WINDOW_AXES - 1; i >= 0; i--) {
      p[i] = start[i] + gpu_split(a.win.kernel[i], &rest) * a.win.dilation[i];
      inside &= (uint64_t)p[i] < (uint64_t)a.win.in[i];
    }
    return inside ? (((int64_t)rest * a.win.in[0] + p[0]) * a.win.in[1] + p[1]) * a.win.in[2] + p[2] : -1;
  }
};
struct image {
  static const bool along_k = false;
  const gpu_conv_args &a;
  const float *p;
  taps of;
  GPU_MEMBER float at(int64_t k, int64_t) const {
    const int64_t i = of.element(a, k);
    return i < 0 ? 0.0f : p[i];
  }
};
struct code_image {
  static const bool along_k = false;
  const gpu_conv_args &a;
  uint64_t p;
  uint32_t zero;
  taps of;
  GPU_MEMBER uint32_t at(int64_t k, int64_t) const {
    const int64_t i = of.element(a, k);
    return i < 0 ? 0 : (uint32_t)gpu_load_integer(a.x_type, p, i) - zero;
  }
};

/* The block's group of an image, first output of the group and first place. */
typedef struct spot {
  int64_t image, group, row, column;
} spot;
GPU_FN spot spot_of(const gpu_conv_args &a, int64_t rows, int64_t columns) {
  uint64_t rest = blockIdx.x;
  spot s;
  s.column = gpu_split(a.across, &rest) * columns;
  s.row = gpu_split(a.down, &rest) * rows;
  s.group = gpu_split(a.by_group, &rest);
  s.image = (int64_t)rest;
  return s;
}

GPU_FN int64_t place_of(const gpu_conv_args &a, const spot &s, int64_t row, int64_t column) {
  return ((s.image * a.group + s.group) * a.m + row) * a.space_out + column;
}
GPU_FN void store(const gpu_conv_args &a, const spot &s, int64_t row, int64_t column, float y) {
  if (row >= a.m || column >= a.space_out) return;
  gpu_conv_store(a, s.group * a.m + row, place_of(a, s, row, column), y);
}
GPU_FN void store(const gpu_conv_args &a, const spot &s, int64_t row, int64_t column, uint32_t y) {
  if (row < a.m && column < a.space_out) gpu_at<uint32_t>(a.y)[place_of(a, s, row, column)] = y;
}

template <typename T, typename W, typename X>
GPU_FN void tiled(const gpu_conv_args &a, const spot &s, const W &w, const X &x) {
  T y[4][4];
  gpu_tile_product<T>(w, x, s.row, s.column, a.c * a.taps, y);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++)
      store(a, s, s.row + threadIdx.x / 16 * 4 + i, s.column + threadIdx.x % 16 * 4 + j, y[i][j]);
}
template <typename T, typename W, typename X>
GPU_FN void thin(const gpu_conv_args &a, const spot &s, const W &w, const X &x) {
  T y[GPU_THIN_ROWS];
  gpu_thin_product<T>(w, x, s.row, 0, a.c * a.taps, y);
  for (int i = 0; i < GPU_THIN_ROWS; i++) store(a, s, s.row + i, s.column + threadIdx.x, y[i]);
}

GPU_FN weights weights_of(const gpu_conv_args &a, const spot &s) {
  const int64_t n_k = a.c * a.taps;
  return weights{gpu_at<const float>(a.w) + s.group * a.m * n_k, a.m, n_k};
}
GPU_FN image image_of(const gpu_conv_args &a, const spot &s, int64_t output) {
  return image{a, gpu_at<const float>(a.x) + (s.image * a.group + s.group) * a.c * a.space_in, taps(a, output)};
}
GPU_FN code_weights code_weights_of(const gpu_conv_args &a, const spot &s) {
  const int64_t n_k = a.c * a.taps, first = s.group * a.m;
  return code_weights{a.w + (uint64_t)(first * n_k),
                      a.w_zero ? a.w_zero + (uint64_t)(first * a.w_zero_step) : 0,
                      a.m,
                      n_k,
                      a.w_type,
                      a.w_zero_step};
}
GPU_FN code_image code_image_of(const gpu_conv_args &a, const spot &s, int64_t output) {
  return code_image{a, a.x + (uint64_t)((s.image * a.group + s.group) * a.c * a.space_in),
                    a.x_zero ? (uint32_t)gpu_load_integer(a.x_type, a.x_zero, 0) : 0, taps(a, output)};
}

GPU_KERNEL_FN(conv_tiled, gpu_conv_args) {
  const spot s = spot_of(a, GPU_TILE, GPU_TILE);
  tiled<float>(a, s, weights_of(a, s), image_of(a, s, s.column + gpu_tile_side(false, 0)));
}
GPU_KERNEL_FN(conv_thin, gpu_conv_args) {
  const spot s = spot_of(a, GPU_THIN_ROWS, blockDim.x);
  thin<float>(a, s, weights_of(a, s), image_of(a, s, s.column + threadIdx.x));
}
GPU_KERNEL_FN(conv_integer_tiled, gpu_conv_args) {
  const spot s = spot_of(a, GPU_TILE, GPU_TILE);
  tiled<uint32_t>(a, s, code_weights_of(a, s), code_image_of(a, s, s.column + gpu_tile_side(false, 0)));
}
GPU_KERNEL_FN(conv_integer_thin, gpu_conv_args) {
  const spot s = spot_of(a, GPU_THIN_ROWS, blockDim.x);
  thin<uint32_t>(a, s, code_weights_of(a, s), code_image_of(a, s, s.column + threadIdx.x));
}

/* ---- conv_transpose: a thread for each output ---- */

/* The element whose tap k reaches the output at o; -1: there is none. */
GPU_FN int64_t reached_from(const gpu_window &w, const int64_t *o, uint64_t k) {
  int64_t p[GPU_WINDOW_AXES];
  bool reaches = true;
  for (int i = GPU_WINDOW_AXES - 1; i >= 0; i--) {
    const int64_t at = o[i] + w.pad[i] - gpu_split(w.kernel[i], &k) * w.dilation[i];
    p[i] = at / w.stride[i];
    reaches &= at >= 0 && at % w.stride[i] == 0 && p[i] < w.in[i];
  }
  return reaches ? (p[0] * w.in[1] + p[1]) * w.in[2] + p[2] : -1;
}

/* A tap's product over the channels of the group. */
GPU_FN float transpose_product(const gpu_conv_args &a, const float *x, const float *w) {
  float y = 0.0f;
  for (int64_t c0 = 0; c0 < a.c; c0 += GPU_CHAIN) {
    const int64_t end = a.c - c0 < GPU_CHAIN ? a.c : c0 + GPU_CHAIN;
    float sum = 0.0f;
    for (int64_t c = c0; c < end; c++) sum = fmaf(x[c * a.space_in], w[c * a.m * a.taps], sum);
    y = y + sum;
  }
  return y;
}

GPU_KERNEL_FN(conv_transpose, gpu_conv_args) {
  const int64_t i = gpu_thread();
  uint64_t rest = (uint64_t)i;
  if (i >= a.n * a.group * a.m * a.space_out) return;
  uint64_t place = (uint64_t)gpu_split(a.by_space_out, &rest);
  const int64_t output = gpu_split(a.by_outputs, &rest), g = output / a.m;
  const float *x = gpu_at<const float>(a.x) + ((int64_t)rest * a.group + g) * a.c * a.space_in;
  const float *w = gpu_at<const float>(a.w) + (g * a.c * a.m + output % a.m) * a.taps;
  int64_t o[GPU_WINDOW_AXES];
  for (int d = GPU_WINDOW_AXES - 1; d >= 0; d--) o[d] = gpu_split(a.win.out[d], &place);
  float y = 0.0f;
  for (int64_t k = 0; k < a.taps; k++) {
    const int64_t at = reached_from(a.win, o, (uint64_t)k);
    if (at >= 0) y = y + transpose_product(a, x + at, w + k);
  }
  gpu_conv_store(a, output, i, y);
}
