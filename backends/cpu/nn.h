/* nn.h - convolutions, pools, resampling, recurrent layers, quantisation of tensors, and the other ops of
 * neural networks that look at neighbours. Arithmetic: docs/NUMERICS.md. Kernels know no graph and allocate
 * nothing; work is split over the workers by outputs. */
#ifndef WH_CPU_NN_H
#define WH_CPU_NN_H

#include "backends/cpu/chain.h"
#include "backends/cpu/features.h"
#include "core/base/dtype.h"
#include "core/base/exact_activation.h"
#include "core/base/exact_sampling.h"
#include "core/base/team.h"

/* How windows lie over the space of a plane: always three axes, of size 1 in front where there are fewer.
 * Tap k of output o reads element o * stride + k * dilation - pad. */
#define WH_WINDOW_AXES 3
typedef struct wh_window {
  int64_t in[WH_WINDOW_AXES], out[WH_WINDOW_AXES], kernel[WH_WINDOW_AXES];
  int64_t stride[WH_WINDOW_AXES], dilation[WH_WINDOW_AXES];
  int64_t pad[WH_WINDOW_AXES], pad_end[WH_WINDOW_AXES]; /* before and after */
} wh_window;

static inline int64_t wh_window_volume(const int64_t size[WH_WINDOW_AXES]) {
  return size[0] * size[1] * size[2];
}

/* An operand of the formula that ends a convolution: x[image * by_image + channel * by_channel + place *
 * by_place] */
typedef struct wh_conv_end {
  const float *x;
  int64_t by_image, by_channel, by_place; /* by_place: 0 or 1 */
} wh_conv_end;

/* x[n][group * c][in], w[group * m][c][kernel], y[n][group * m][out] */
typedef struct wh_conv_args {
  int64_t n, group, c, m; /* images; channels and outputs of a group */
  wh_window win;
  bool winograd; /* core/ir/conv.h */
  const float *x, *w;
  const float *panels; /* of one group: w packed as linear_f_kernels.h has it, with k = (channel, tap), or as
                        * conv_winograd.h has it; or NULL */
  const float *bias, *residual; /* [group * m], as y; or NULL */
  const wh_chain *chain;        /* what y is put through, with the operands `ends`; or NULL */
  wh_conv_end ends[WH_FORMULA_INPUTS - 1];
  float *y;
  uint32_t step; /* for wh_team_claim */
  void *scratch; /* scratch_bytes per worker, 64-byte aligned, worker i at i * that */
  size_t scratch_bytes;
} wh_conv_args;

/* Puts `n` places of a channel's outputs, the sums that stand there, through the chain. */
void wh_conv_run_chain(const wh_conv_args *a, int64_t image, int64_t channel, int64_t place, int64_t n,
                       wh_team *team);

/* x[n][group * c][in], w[group * c][m][kernel], y[n][group * m][out]: tap k of input i adds to output
 * i * stride + k * dilation - pad. Scratch as above. */
typedef wh_conv_args wh_conv_transpose_args;
/* How a worker's scratch is cut, in floats: places of all channels of a chunk; products of a row of inputs,
 * ld from tap to tap, of so many outputs. False on overflow. */
typedef struct wh_conv_transpose_room {
  int64_t copy, ld, outputs;
  size_t bytes; /* of both */
} wh_conv_transpose_room;
bool wh_conv_transpose_find_room(const wh_window *win, int64_t c, int64_t m, wh_conv_transpose_room *out);

typedef struct wh_conv_integer_args {
  int64_t n, group, c, m;
  wh_window win;
  wh_dtype x_dtype, w_dtype; /* i8 or u8 */
  const void *x, *w;
  const void *x_zero; /* one, or NULL: 0 */
  const void *w_zero; /* one, or one per output; or NULL: 0 */
  bool w_zero_per_output;
  int32_t *y; /* or where the results of a chain go */
  /* What sums are put through, its input 0, with the operands `ends`, whose elements have the chain's types;
   * or NULL. Of conv_codes.h alone. */
  const wh_chain *chain;
  wh_conv_end ends[WH_FORMULA_INPUTS - 1];
} wh_conv_integer_args;

typedef struct wh_pool_args {
  wh_dtype dtype; /* max_pool: also f64, i8, u8 */
  int64_t planes;
  wh_window win;
  bool count_pads;   /* average_pool: padding counts as elements */
  int64_t p;         /* lp_pool */
  bool column_major; /* max_pool_index: the last axis is the slowest of a plane */
  const void *x;
  void *y;
} wh_pool_args;

/* y[o][j][i] from x[o][index[j][t]][i] over the taps t; an index of -1 reads `outside`. */
typedef struct wh_resample_args {
  int64_t outer, n_in, n_out, taps, inner;
  const float *x;
  const int32_t *index;
  const float *weight;
  float outside;
  float *y;
} wh_resample_args;
static inline bool wh_resample_index_fits(const wh_resample_args *a, int32_t index) {
  return index >= -1 && index < a->n_in;
}

/* y[n][c][out] from x[n][c][in] at grid[n][out][axes]; the last axis of space comes first in the grid. */
typedef struct wh_grid_sample_args {
  int64_t n, c, axes; /* 2 or 3 */
  int64_t in[WH_WINDOW_AXES], out[WH_WINDOW_AXES];
  wh_grid_rule rule;
  const float *x, *grid;
  float *y;
} wh_grid_sample_args;

/* y[r][c][out] from boxes[r][4] (x1 y1 x2 y2) of image image[r] of x[n][c][in] */
typedef struct wh_roi_align_args {
  int64_t n, c, rows, in[2], out[2];
  int64_t sampling; /* points per bin and axis; 0: by the box */
  float scale;
  bool half_pixel, largest; /* largest: of the samples instead of their mean */
  const float *x, *boxes;
  wh_dtype image_dtype; /* i32 or i64 */
  const void *image;
  float *y;
} wh_roi_align_args;
static inline int64_t wh_roi_image(const wh_roi_align_args *a, int64_t row) {
  return a->image_dtype == WH_DTYPE_I64 ? ((const int64_t *)a->image)[row] : ((const int32_t *)a->image)[row];
}

/* What trees' leaves give for rows of features: y[rows][targets] */
typedef enum wh_trees_mode { WH_TREES_SUM, WH_TREES_LEAST, WH_TREES_LARGEST } wh_trees_mode;
typedef struct wh_trees_args {
  int64_t rows, features, n_nodes, n_trees, n_leaves, targets;
  wh_dtype dtype; /* f32 or f64 */
  wh_trees_mode mode;
  const int32_t *nodes, *roots;
  const void *x, *leaves;
  void *y;
  void *table; /* of wh_trees_table_bytes, a worker's own; or NULL */
} wh_trees_args;
/* 0: no table is made of so many. */
size_t wh_trees_table_bytes(wh_dtype dtype, int64_t n_nodes, int64_t n_leaves);

/* over channels: x[n][c][inner] */
typedef struct wh_lrn_args {
  int64_t n, c, inner, size;
  float alpha, beta, bias;
  const float *x;
  float *y;
} wh_lrn_args;

/* rows of n complex numbers, with twiddles[n] = exp(-2 pi i k / n) */
typedef struct wh_dft_args {
  int64_t outer, n, inner;
  bool inverse;
  const float *x, *twiddles;
  float *y;
  void *scratch; /* wh_dft_scratch_bytes per worker, 64-byte aligned */
  size_t scratch_bytes;
} wh_dft_args;
size_t wh_dft_scratch_bytes(int64_t n);

/* Matrices of a batch: y[i] = det of x[i][n][n] */
typedef struct wh_det_args {
  int64_t rows, n;
  const float *x;
  float *y;
  void *scratch; /* n * n floats per worker, 64-byte aligned */
  size_t scratch_bytes;
} wh_det_args;

typedef enum wh_recurrent_kind { WH_RECURRENT_RNN, WH_RECURRENT_GRU, WH_RECURRENT_LSTM } wh_recurrent_kind;

struct wh_linear_layout;
struct wh_linear_f_isa;

/* x[t][b][gates * h]: the gates' inputs, product and bias included; r[gates * h][h]; y[t][b][h]. */
typedef struct wh_recurrent_args {
  wh_recurrent_kind kind;
  int64_t t, b, h;
  const float *x, *r;
  /* How r is packed, and the tiles that read it; NULL: as the model has it. */
  const struct wh_linear_layout *layout;
  const struct wh_linear_f_isa *steps;
  const float *r_bias;   /* gru: [gates * h], or NULL */
  const float *h0, *c0;  /* [b][h], or NULL: zeros */
  const int32_t *length; /* [b], or NULL: t */
  const float *peephole; /* lstm: [3 * h] of i, o, f; or NULL */
  bool reverse, coupled; /* coupled: f = 1 - i */
  bool reset_after;      /* gru: r is applied to the product */
  float clip;            /* 0: none */
  wh_activation act[3];
  float factor[3][2];
  float *y, *last_h, *last_c; /* of each sequence [b][h]; last_c: of lstm */
  void *scratch;              /* wh_recurrent_scratch_bytes, shared, 64-byte aligned */
} wh_recurrent_args;
/* False on overflow. */
bool wh_recurrent_scratch_bytes(wh_recurrent_kind kind, int64_t b, int64_t h, size_t *out);
static inline int64_t wh_recurrent_gates(wh_recurrent_kind kind) {
  return kind == WH_RECURRENT_LSTM ? 4 : kind == WH_RECURRENT_GRU ? 3 : 1;
}
/* Steps of a sequence; a length outside 0..t counts as the nearer of the two. */
static inline int64_t wh_recurrent_steps(const wh_recurrent_args *a, int64_t b) {
  if (!a->length) return a->t;
  return a->length[b] < 0 ? 0 : a->length[b] > a->t ? a->t : a->length[b];
}

/* x[outer][n][inner] with a scale per (outer, n, inner) cell: scale_at(o, j, i) = o * by_outer + j / block *
 * by_axis + i * by_inner */
typedef struct wh_quantize_linear_args {
  int64_t outer, n, inner;
  int64_t block, by_outer, by_axis, by_inner;
  int64_t row, zero_row; /* elements of the last axis of x and of zero: where rows of half bytes end */
  wh_dtype dtype;        /* of the codes and zero points */
  bool saturate;         /* f8: beyond the largest is the largest */
  const float *scale;
  const void *zero; /* or NULL: 0 */
  const void *x;
  void *y;
} wh_quantize_linear_args;
typedef wh_quantize_linear_args wh_dequantize_linear_args;

/* A family: ops that take one struct of arguments, wh_<family>_args. */
#define WH_NN_FAMILIES(X) \
  X(conv)                 \
  X(conv_transpose)       \
  X(conv_integer)         \
  X(pool)                 \
  X(resample)             \
  X(grid_sample)          \
  X(roi_align)            \
  X(trees)                \
  X(lrn)                  \
  X(dft)                  \
  X(det)                  \
  X(recurrent)            \
  X(quantize_linear)      \
  X(dequantize_linear)
#define WH_NN_FN(family) typedef void (*wh_##family##_fn)(const wh_##family##_args *a, const wh_worker *w);
WH_NN_FAMILIES(WH_NN_FN)
#undef WH_NN_FN

/* The chosen kernel of every op of kernels_nn.def and its name ("conv__avx512"). */
typedef struct wh_nn {
#define WH_NN_OP(op, name, family, levels) \
  wh_##family##_fn name;                   \
  const char *name##_name;
#include "backends/cpu/kernels_nn.def"
} wh_nn;

/* Pure function of the mask; every field is set. */
void wh_nn_select(uint64_t features, wh_nn *out);

#endif
