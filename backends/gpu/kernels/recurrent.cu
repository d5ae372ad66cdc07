// recurrent.cu - docs/NUMERICS.md, "Recurrent layers": a step is a launch for the products of all gates with the states,
// and one for the cells.
#include "backends/gpu/kernels/tile.h"

#include "backends/gpu/kernels/nn_args.h"

/* ---- products ---- */

struct states {
  static const bool along_k = true;
  const float *p;
  int64_t b, h;
  GPU_MEMBER float at(int64_t row, int64_t k) const { return row < b && k < h ? p[row * h + k] : 0.0f; }
};
struct weights {
  static const bool along_k = true;
  const float *p;
  int64_t rows, h;
  GPU_MEMBER float at(int64_t k, int64_t column) const { return column < rows && k < h ? p[column * h + k] : 0.0f; }
};

GPU_KERNEL_FN(recurrent_product, gpu_recurrent_product_args) {
  uint64_t down = blockIdx.x;
  const int64_t column = gpu_split(a.across, &down) * GPU_TILE, row = (int64_t)down * GPU_TILE;
  const states v = {gpu_at<const float>(a.v), a.b, a.h};
  const weights r = {gpu_at<const float>(a.r), a.rows, a.h};
  float y[4][4];
  gpu_tile_product<float>(v, r, row, column, a.h, y);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      const int64_t b = row + threadIdx.x / 16 * 4 + i, gate = column + threadIdx.x % 16 * 4 + j;
      if (b < a.b && gate < a.rows) gpu_at<float>(a.gate)[b * a.pitch + gate] = y[i][j];
    }
}

/* Few sequences: a thread for each row of the gates. */
GPU_KERNEL_FN(recurrent_product_thin, gpu_recurrent_product_args) {
  uint64_t down = blockIdx.x;
  const int64_t column = gpu_split(a.across, &down) * blockDim.x + threadIdx.x, row = (int64_t)down * GPU_THIN_ROWS;
  const states v = {gpu_at<const float>(a.v), a.b, a.h};
  const weights r = {gpu_at<const float>(a.r), a.rows, a.h};
  float y[GPU_THIN_ROWS];
  if (column >= a.rows) return;
  gpu_thin_product<float>(v, r, row, column, a.h, y);
  for (int i = 0; i < GPU_THIN_ROWS; i++)
    if (row + i < a.b) gpu_at<float>(a.gate)[(row + i) * a.pitch + column] = y[i];
}

/* ---- cells ---- */

/* Element i of a sequence: inputs and products of its gates, gate g at [g * h]; its states. */
typedef struct cell {
  int64_t i;
  const float *x, *p;
  float h, c;
} cell;

GPU_FN float activate(const gpu_recurrent_args &a, int which, float x) {
  return wh_activate((int)a.act[which], a.factor[which][0], a.factor[which][1], a.clip, x);
}

GPU_FN float gru_gate(const gpu_recurrent_args &a, const cell &e, int gate) {
  const float p = e.p[gate * a.by_h.n];
  return a.r_bias ? p + gpu_at<const float>(a.r_bias)[gate * a.by_h.n + e.i] : p;
}
GPU_FN float gru_reset(const gpu_recurrent_args &a, const cell &e) {
  return activate(a, 0, e.x[a.by_h.n] + gru_gate(a, e, 1));
}
GPU_FN float gru_cell(const gpu_recurrent_args &a, const cell &e) {
  const float z = activate(a, 0, e.x[0] + gru_gate(a, e, 0)), p = gru_gate(a, e, 2), x = e.x[2 * a.by_h.n];
  const float n = activate(a, 1, a.reset_after ? fmaf(gru_reset(a, e), p, x) : x + p);
  return fmaf(z, e.h, (1.0f - z) * n);
}

GPU_FN float lstm_gate(const gpu_recurrent_args &a, const cell &e, int gate, float state) {
  const float g = e.x[gate * a.by_h.n] + e.p[gate * a.by_h.n];
  return a.peephole && gate < 3 ? fmaf(gpu_at<const float>(a.peephole)[gate * a.by_h.n + e.i], state, g) : g;
}
GPU_FN float lstm_cell(const gpu_recurrent_args &a, cell &e) {
  const float i = activate(a, 0, lstm_gate(a, e, 0, e.c));
  const float f = a.coupled ? 1.0f - i : activate(a, 0, lstm_gate(a, e, 2, e.c));
  const float n = activate(a, 1, lstm_gate(a, e, 3, 0.0f));
  e.c = fmaf(f, e.c, i * n);
  const float o = activate(a, 0, lstm_gate(a, e, 1, e.c));
  return o * wh_activate((int)a.act[2], a.factor[2][0], a.factor[2][1], 0.0f, e.c); /* never clipped */
}

/* Steps of a sequence; a length outside 0..t counts as the nearer of the two. */
GPU_FN int64_t steps_of(const gpu_recurrent_args &a, int64_t b) {
  if (!a.length) return a.t;
  const int64_t l = gpu_at<const int32_t>(a.length)[b];
  return l < 0 ? 0 : l > a.t ? a.t : l;
}

/* A thread has a unit of a sequence: its new state, or what gru's candidate is made of. */
GPU_KERNEL_FN(recurrent_cells, gpu_recurrent_args) {
  const int64_t k = gpu_thread(), h = a.by_h.n;
  uint64_t rest = (uint64_t)k;
  if (k >= a.b * h) return;
  const int64_t i = gpu_split(a.by_h, &rest), b = (int64_t)rest, steps = steps_of(a, b);
  if (a.step >= steps) {
    if (!a.resets) gpu_at<float>(a.y)[(a.step * a.b + b) * h + i] = 0.0f;
    return;
  }
  const int64_t at = (a.reverse ? steps - 1 - a.step : a.step) * a.b + b;
  cell e = {i, gpu_at<const float>(a.x) + at * a.gates * h + i, gpu_at<const float>(a.gate) + b * a.gates * h + i,
            gpu_at<const float>(a.h)[k], gpu_at<const float>(a.c)[k]};
  if (a.resets) {
    gpu_at<float>(a.reset)[k] = gru_reset(a, e) * e.h;
    return;
  }
  const float y = a.kind == GPU_RECURRENT_RNN   ? activate(a, 0, e.x[0] + e.p[0])
                  : a.kind == GPU_RECURRENT_GRU ? gru_cell(a, e)
                                                : lstm_cell(a, e);
  gpu_at<float>(a.h)[k] = y;
  gpu_at<float>(a.c)[k] = e.c;
  gpu_at<float>(a.y)[at * h + i] = y;
  gpu_at<float>(a.last_h)[k] = y;
  if (a.last_c) gpu_at<float>(a.last_c)[k] = e.c;
}

GPU_KERNEL_FN(recurrent_begin, gpu_recurrent_args) {
  const int64_t k = gpu_thread();
  if (k >= a.b * a.by_h.n) return;
  const float h = a.h0 ? gpu_at<const float>(a.h0)[k] : 0.0f, c = a.c0 ? gpu_at<const float>(a.c0)[k] : 0.0f;
  gpu_at<float>(a.h)[k] = h;
  gpu_at<float>(a.c)[k] = c;
  gpu_at<float>(a.reset)[k] = 0.0f;
  gpu_at<float>(a.last_h)[k] = h;
  if (a.last_c) gpu_at<float>(a.last_c)[k] = c;
}
