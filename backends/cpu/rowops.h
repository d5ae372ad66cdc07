/* rowops.h - everything between the products: norms, rotary embedding, activations, gathers, activation
 * quantisation, elementwise ops. Arithmetic: docs/NUMERICS.md. Rows are independent; work is split by rows,
 * or by elements where ops have no row structure. */
#ifndef WH_CPU_ROWOPS_H
#define WH_CPU_ROWOPS_H

#include "backends/cpu/features.h"
#include "backends/cpu/q13a.h"
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

typedef struct wh_quantize_wide_args {
  int64_t rows, k, ldx;
  const float *x;
  void *q13a;
} wh_quantize_wide_args;

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
  int64_t n_ids, table_rows, n;
  const int32_t *ids; /* one outside 0..table_rows-1 gives a row of zeros */
  const void *table;  /* the file's bytes */
  float *y;           /* [n_ids][n] */
  float scale;        /* y = scale * w when scale != 1 */
} wh_gather_rows_args;
/* Whether ids[i] is a row of the table. */
static inline bool wh_gather_has_row(const wh_gather_rows_args *a, int64_t i) {
  return (uint64_t)a->ids[i] < (uint64_t)a->table_rows; /* a negative one is large */
}

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

/* The q8a forms write their results quantised. */
typedef wh_norm_args wh_norm_q8a_args;
typedef wh_gated_args wh_gated_q8a_args;

/* A family: ops that take one struct of arguments, wh_<family>_args. */
#define WH_ROWOP_FAMILIES(X) \
  X(norm)                    \
  X(norm_q8a)                \
  X(quantize_act)            \
  X(quantize_wide)           \
  X(rope_table)              \
  X(rope)                    \
  X(gated)                   \
  X(gated_q8a)               \
  X(gather_rows)             \
  X(binary)                  \
  X(unary)                   \
  X(softmax)                 \
  X(expert_select)           \
  X(expert_weights)          \
  X(expert_sum)
#define WH_ROWOP_FN(family) typedef void (*wh_##family##_fn)(const wh_##family##_args *a, const wh_worker *w);
WH_ROWOP_FAMILIES(WH_ROWOP_FN)
#undef WH_ROWOP_FN

/* The chosen variant of every row op of kernels_rowops.def and its name ("rms_norm__avx512"). */
typedef struct wh_rowops {
#define WH_ROWOP(op, name, family, levels) \
  wh_##family##_fn name;                   \
  const char *name##_name;
#include "backends/cpu/kernels_rowops.def"
} wh_rowops;

/* Pure function of the mask; every field is set. */
void wh_rowops_select(uint64_t features, wh_rowops *out);

/* Dequantises n elements (whole blocks) of any storage type; the reference that packing tests and `inspect`
 * use. false for a type without a dequantiser. */
bool wh_dequantize_row(wh_dtype dtype, const void *src, float *dst, int64_t n);

#endif
