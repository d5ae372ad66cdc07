/* rowops.h - everything between the products: norms, rotary embedding, activations, gathers, activation
 * quantisation, elementwise ops. Arithmetic: docs/NUMERICS.md. Rows are independent; work is split by rows,
 * or by elements where ops have no row structure. */
#ifndef WH_CPU_ROWOPS_H
#define WH_CPU_ROWOPS_H

#include "backends/cpu/features.h"
#include "backends/cpu/q8a.h"
#include "core/base/dtype.h"
#include "core/base/team.h"

/* y[r] = norm(x[r]); w NULL: no weight; b used by layer_norm only. Strides in elements. q8a outputs (see
 * wh_rowops) write the quantised result instead of y. */
typedef struct wh_norm_args {
  int64_t rows, n, ldx, ldy;
  const float *x, *w, *b;
  float eps;
  float *y;
  void *q8a; /* output of the *_q8a forms: `rows` rows of n */
} wh_norm_args;

typedef struct wh_quantize_act_args {
  int64_t rows, k, ldx;
  const float *x;
  void *q8a;
} wh_quantize_act_args;

typedef struct wh_rope_table_args {
  int64_t rows, n_freq;     /* n_freq = n_rot / 2 */
  const int32_t *positions; /* [rows] */
  const float *inv_freq;    /* [n_freq], or a row for each row */
  int64_t ld_inv_freq;      /* from row to row; 0: one row serves all */
  float mscale;
  float *y; /* [rows][2][n_freq]: cosines, then sines */
} wh_rope_table_args;

typedef struct wh_rope_args {
  int64_t rows, heads, head_dim, n_freq, ldx, ldy; /* x[r][h][d] with row strides; y may equal x */
  bool neox;
  const float *x, *table; /* table: [rows][2][n_freq] */
  float *y;
} wh_rope_args;

/* y = act(a) * b over [rows][n] */
typedef struct wh_gated_args {
  int64_t rows, n, lda, ldb, ldy;
  const float *a, *b;
  float *y;
  void *q8a;
} wh_gated_args;

typedef struct wh_gather_rows_args {
  wh_dtype dtype;
  int64_t n_ids, table_rows, n; /* ids are checked by the session: 0 <= id < table_rows */
  const int32_t *ids;
  const void *table; /* the file's bytes */
  float *y;          /* [n_ids][n] */
  float scale;       /* y = scale * w when scale != 1 */
} wh_gather_rows_args;

/* Elementwise over n contiguous elements; b_n divides n: b repeats (b_n == n, a row, or 1). */
typedef struct wh_binary_args {
  int64_t n, b_n;
  const float *a, *b;
  float *y;
} wh_binary_args;

typedef struct wh_unary_args {
  int64_t n;
  const float *x;
  float *y;
  float alpha; /* scale: factor; softcap: cap */
} wh_unary_args;

typedef struct wh_softmax_args {
  int64_t rows, n, ldx, ldy;
  const float *x;
  float *y;
} wh_softmax_args;

/* selected[r][0..used-1]: the `used` highest of the row's n scores, highest first. */
typedef struct wh_expert_select_args {
  int64_t rows, n, used;
  const float *scores;
  int32_t *selected;
} wh_expert_select_args;

/* y[r][i] = p[r][selected[r][i]], over the row's sum when normalised, times scale; 0 <= selected < n */
typedef struct wh_expert_weights_args {
  int64_t rows, n, used;
  const float *p;
  const int32_t *selected;
  bool normalise;
  float scale;
  float *y;
} wh_expert_weights_args;

/* y[r] = residual[r] + the sum over slots of weights[r][i] * x[r][i]; x is [rows][slots][n], slots >= 1 */
typedef struct wh_expert_sum_args {
  int64_t rows, slots, n;
  const float *x, *weights, *residual; /* residual: [rows][n] or NULL */
  float *y;
} wh_expert_sum_args;

#define WH_ROWOP(name, args) typedef void (*wh_##name##_fn)(const args *a, const wh_worker *w);
/* One list makes the table, the dispatch and the tests. */
#define WH_ROWOP_LIST(X)                    \
  X(expert_select, wh_expert_select_args)   \
  X(expert_weights, wh_expert_weights_args) \
  X(expert_sum, wh_expert_sum_args)         \
  X(rms_norm, wh_norm_args)                 \
  X(rms_norm_q8a, wh_norm_args)             \
  X(layer_norm, wh_norm_args)               \
  X(quantize_act, wh_quantize_act_args)     \
  X(rope_table, wh_rope_table_args)         \
  X(rope, wh_rope_args)                     \
  X(swiglu, wh_gated_args)                  \
  X(swiglu_q8a, wh_gated_args)              \
  X(geglu, wh_gated_args)                   \
  X(geglu_q8a, wh_gated_args)               \
  X(gather_rows, wh_gather_rows_args)       \
  X(add, wh_binary_args)                    \
  X(sub, wh_binary_args)                    \
  X(mul, wh_binary_args)                    \
  X(div, wh_binary_args)                    \
  X(scale, wh_unary_args)                   \
  X(softcap, wh_unary_args)                 \
  X(silu, wh_unary_args)                    \
  X(gelu, wh_unary_args)                    \
  X(gelu_erf, wh_unary_args)                \
  X(relu, wh_unary_args)                    \
  X(tanh, wh_unary_args)                    \
  X(sigmoid, wh_unary_args)                 \
  X(exp, wh_unary_args)                     \
  X(neg, wh_unary_args)                     \
  X(sqrt, wh_unary_args)                    \
  X(softmax, wh_softmax_args)
WH_ROWOP_LIST(WH_ROWOP)
#undef WH_ROWOP

/* The chosen variant of every row op and its name ("rms_norm__avx512"). */
typedef struct wh_rowops {
#define WH_ROWOP_FIELD(name, args) \
  wh_##name##_fn name;             \
  const char *name##_name;
  WH_ROWOP_LIST(WH_ROWOP_FIELD)
#undef WH_ROWOP_FIELD
} wh_rowops;

/* Pure function of the mask; every field is set. */
void wh_rowops_select(uint64_t features, wh_rowops *out);

/* Dequantises n elements (whole blocks) of any storage type; the reference that packing tests and `inspect`
 * use. false for a type without a dequantiser. */
bool wh_dequantize_row(wh_dtype dtype, const void *src, float *dst, int64_t n);

#endif
