/* reference_rows.c - row ops and elementwise ops, and the table of all references. */
#include <stdlib.h>

#include "tests/backend/reference_nn.h"

/* ---- sums ---- */

static float tree64(float lanes[64]) {
  for (int h = 32; h > 0; h /= 2)
    for (int i = 0; i < h; i++) lanes[i] = lanes[i] + lanes[i + h];
  return lanes[0];
}

float ref_sum64(const float *terms, int64_t n) {
  float lanes[64] = {0};
  for (int64_t j = 0; j < n; j++) lanes[j % 64] = lanes[j % 64] + terms[j];
  return tree64(lanes);
}

float ref_sum64_squares(const float *x, int64_t n) {
  float lanes[64] = {0};
  for (int64_t j = 0; j < n; j++) lanes[j % 64] = fmaf(x[j], x[j], lanes[j % 64]);
  return tree64(lanes);
}

/* ---- rows, given as floats or quantised ---- */

static float *row_buffer(int64_t n) {
  float *row = malloc((size_t)(n ? n : 1) * sizeof *row);
  if (!row) abort();
  return row;
}

/* `make` gives row i; the output's type says what becomes of it. */
static void each_row(ref_node *n, void (*make)(const ref_node *n, int64_t row, float *y)) {
  const int64_t rows = ref_rows(&n->out), len = ref_length(&n->out);
  float *y = row_buffer(len);
  for (int64_t i = 0; i < rows; i++) {
    make(n, i, y);
    if (n->out.dtype == WH_DTYPE_Q8A)
      ref_quantize_row(y, len, i, n->out.data);
    else if (len)
      memcpy((float *)n->out.data + i * len, y, (size_t)len * sizeof *y);
  }
  free(y);
}

static const float *row_of(const ref_value *v, int64_t row) {
  return (const float *)v->data + row * ref_length(v);
}

static void rms_norm_row(const ref_node *n, int64_t row, float *y) {
  const int64_t len = ref_length(&n->in[0]);
  const float *x = row_of(&n->in[0], row), *w = n->in[1].data;
  const float r = 1.0f / sqrtf(ref_sum64_squares(x, len) / (float)len + wh_node_f(n->node, WH_ATTR_EPS));
  for (int64_t j = 0; j < len; j++) y[j] = w ? (x[j] * r) * w[j] : x[j] * r;
}

static void layer_norm_row(const ref_node *n, int64_t row, float *y) {
  const int64_t len = ref_length(&n->in[0]);
  const float *x = row_of(&n->in[0], row), *w = n->in[1].data, *b = n->in[2].data;
  const float mean = ref_sum64(x, len) / (float)len;
  for (int64_t j = 0; j < len; j++) y[j] = x[j] - mean;
  float *squares = row_buffer(len);
  for (int64_t j = 0; j < len; j++) squares[j] = y[j] * y[j];
  const float root = sqrtf(ref_sum64(squares, len) / (float)len + wh_node_f(n->node, WH_ATTR_EPS));
  free(squares);
  for (int64_t j = 0; j < len; j++) {
    y[j] = y[j] / root;
    if (w) y[j] = y[j] * w[j];
    if (b) y[j] = y[j] + b[j];
  }
}

static void softmax_row(const ref_node *n, int64_t row, float *y) {
  const int64_t len = ref_length(&n->in[0]);
  const float *x = row_of(&n->in[0], row);
  float top = -INFINITY;
  for (int64_t j = 0; j < len; j++) top = x[j] > top ? x[j] : top;
  for (int64_t j = 0; j < len; j++) y[j] = wh_exp_f32(x[j] - top);
  const float sum = ref_sum64(y, len);
  for (int64_t j = 0; j < len; j++) y[j] = y[j] / sum;
}

static void swiglu_row(const ref_node *n, int64_t row, float *y) {
  const float *g = row_of(&n->in[0], row), *u = row_of(&n->in[1], row);
  for (int64_t j = 0; j < ref_length(&n->in[0]); j++) y[j] = wh_silu_f32(g[j]) * u[j];
}

static void geglu_row(const ref_node *n, int64_t row, float *y) {
  const float *g = row_of(&n->in[0], row), *u = row_of(&n->in[1], row);
  for (int64_t j = 0; j < ref_length(&n->in[0]); j++) y[j] = wh_gelu_tanh_f32(g[j]) * u[j];
}

static void ref_rms_norm(ref_node *n) { each_row(n, rms_norm_row); }
static void ref_layer_norm(ref_node *n) { each_row(n, layer_norm_row); }
static void ref_softmax(ref_node *n) { each_row(n, softmax_row); }
static void ref_swiglu(ref_node *n) { each_row(n, swiglu_row); }
static void ref_geglu(ref_node *n) { each_row(n, geglu_row); }

/* ---- rotary positions ---- */

static void ref_rope_table(ref_node *n) {
  const int32_t *positions = n->in[0].data;
  const float *freq = n->in[1].data, mscale = wh_node_f(n->node, WH_ATTR_MSCALE);
  const int64_t f = n->in[1].dims[0];
  float *table = n->out.data;
  for (int64_t t = 0; t < n->in[0].dims[0]; t++)
    for (int64_t i = 0; i < f; i++) {
      float s, c;
      wh_sincos_f32((float)positions[t] * freq[i], &s, &c);
      table[(t * 2 + 0) * f + i] = c * mscale;
      table[(t * 2 + 1) * f + i] = s * mscale;
    }
}

static void ref_rope(ref_node *n) {
  const int64_t heads = n->in[0].dims[1], d = n->in[0].dims[2], f = n->in[1].dims[2];
  const bool neox = wh_node_i(n->node, WH_ATTR_NEOX) != 0;
  for (int64_t t = 0; t < n->in[0].dims[0]; t++)
    for (int64_t h = 0; h < heads; h++) {
      const float *x = (const float *)n->in[0].data + (t * heads + h) * d;
      const float *cosines = (const float *)n->in[1].data + t * 2 * f, *sines = cosines + f;
      float *y = (float *)n->out.data + (t * heads + h) * d;
      for (int64_t i = 2 * f; i < d; i++) y[i] = x[i];
      for (int64_t i = 0; i < f; i++) {
        const int64_t a = neox ? i : 2 * i, b = neox ? i + f : 2 * i + 1;
        const float x0 = x[a], x1 = x[b], c = cosines[i], s = sines[i];
        y[a] = fmaf(x0, c, -(x1 * s));
        y[b] = fmaf(x0, s, x1 * c);
      }
    }
}

/* ---- experts ---- */

static void ref_expert_select(ref_node *n) {
  const int64_t e = n->in[0].dims[1], used = n->out.dims[1];
  for (int64_t t = 0; t < n->out.dims[0]; t++) {
    const float *scores = row_of(&n->in[0], t);
    int32_t *selected = (int32_t *)n->out.data + t * used;
    for (int64_t i = 0; i < used; i++) {
      int64_t best = -1;
      for (int64_t j = 0; j < e; j++) {
        bool taken = false;
        for (int64_t k = 0; k < i; k++) taken |= selected[k] == j;
        const float a = isnan(scores[j]) ? -INFINITY : scores[j];
        const float b = best < 0 || isnan(scores[best]) ? -INFINITY : scores[best];
        if (!taken && (best < 0 || a > b)) best = j;
      }
      selected[i] = (int32_t)best;
    }
  }
}

static void ref_expert_weights(ref_node *n) {
  const int64_t used = n->out.dims[1];
  const float scale = wh_node_f(n->node, WH_ATTR_SCALE);
  for (int64_t t = 0; t < n->out.dims[0]; t++) {
    const float *p = row_of(&n->in[0], t);
    const int32_t *selected = (const int32_t *)n->in[1].data + t * used;
    float *w = (float *)n->out.data + t * used, sum = p[selected[0]];
    for (int64_t i = 1; i < used; i++) sum = sum + p[selected[i]];
    for (int64_t i = 0; i < used; i++) {
      w[i] = p[selected[i]];
      if (wh_node_i(n->node, WH_ATTR_NORMALISE)) w[i] = w[i] / sum;
      w[i] = w[i] * scale;
    }
  }
}

static void ref_expert_sum(ref_node *n) {
  const int64_t slots = n->in[0].dims[1], len = n->in[0].dims[2];
  const float *residual = n->in[2].data;
  for (int64_t t = 0; t < n->in[0].dims[0]; t++)
    for (int64_t j = 0; j < len; j++) {
      const float *x = (const float *)n->in[0].data + t * slots * len + j, *w = row_of(&n->in[1], t);
      float y = w[0] * x[0];
      for (int64_t i = 1; i < slots; i++) y = fmaf(w[i], x[i * len], y);
      ((float *)n->out.data)[t * len + j] = residual ? residual[t * len + j] + y : y;
    }
}

/* ---- elementwise ---- */

#define UNARY(name, expression)                                       \
  static void ref_##name(ref_node *n) {                               \
    const wh_attr *attr = wh_node_attr(n->node, WH_ATTR_ALPHA);       \
    const float alpha = attr ? attr->f : 0.0f, *from = n->in[0].data; \
    (void)alpha;                                                      \
    for (int64_t i = 0; i < ref_elements(&n->in[0]); i++) {           \
      const float x = from[i];                                        \
      ((float *)n->out.data)[i] = expression;                         \
    }                                                                 \
  }
UNARY(scale, x *alpha)
UNARY(softcap, wh_tanh_f32(x / alpha) * alpha)
UNARY(silu, wh_silu_f32(x))
UNARY(gelu, wh_gelu_tanh_f32(x))
UNARY(gelu_erf, wh_gelu_erf_f32(x))
UNARY(relu, x <= 0.0f ? 0.0f : x)

static void ref_reshape(ref_node *n) { (void)n; } /* the same bytes */

/* ---- all ---- */

reference_fn reference_of(wh_op op) {
  switch (op) {
    case WH_OP_GATHER_ROWS:
    case WH_OP_SELECT_ROWS:
      return ref_gather_rows;
    case WH_OP_RMS_NORM:
    case WH_OP_RMS_NORM_QUANTIZE:
      return ref_rms_norm;
    case WH_OP_SWIGLU:
    case WH_OP_SWIGLU_QUANTIZE:
      return ref_swiglu;
    case WH_OP_GEGLU:
    case WH_OP_GEGLU_QUANTIZE:
      return ref_geglu;
    case WH_OP_ADD:
    case WH_OP_SUB:
    case WH_OP_MUL:
    case WH_OP_DIV:
    case WH_OP_MIN:
    case WH_OP_MAX:
    case WH_OP_MOD:
    case WH_OP_BIT_AND:
    case WH_OP_BIT_OR:
    case WH_OP_BIT_XOR:
    case WH_OP_SHIFT_LEFT:
    case WH_OP_SHIFT_RIGHT:
    case WH_OP_AND:
    case WH_OP_OR:
    case WH_OP_XOR:
      return ref_map2;
    case WH_OP_TANH:
    case WH_OP_SIGMOID:
    case WH_OP_EXP:
    case WH_OP_SQRT:
    case WH_OP_LOG:
    case WH_OP_SIN:
    case WH_OP_COS:
    case WH_OP_TAN:
    case WH_OP_ASIN:
    case WH_OP_ACOS:
    case WH_OP_ATAN:
    case WH_OP_SINH:
    case WH_OP_COSH:
    case WH_OP_ASINH:
    case WH_OP_ACOSH:
    case WH_OP_ATANH:
    case WH_OP_ERF:
    case WH_OP_SOFTPLUS:
    case WH_OP_FLOOR:
    case WH_OP_CEIL:
    case WH_OP_ROUND:
    case WH_OP_NEG:
    case WH_OP_ABS:
    case WH_OP_SIGN:
    case WH_OP_BIT_NOT:
    case WH_OP_NOT:
      return ref_map1;
    case WH_OP_EQUAL:
    case WH_OP_LESS:
    case WH_OP_LESS_OR_EQUAL:
      return ref_compare;
    case WH_OP_IS_NAN:
    case WH_OP_IS_INF:
      return ref_classify;
    case WH_OP_REDUCE_SUM:
    case WH_OP_REDUCE_PROD:
    case WH_OP_REDUCE_MAX:
    case WH_OP_REDUCE_MIN:
    case WH_OP_REDUCE_SUM_SQUARE:
    case WH_OP_REDUCE_L1:
      return ref_reduce;
    case WH_OP_ARG_MAX:
    case WH_OP_ARG_MIN:
      return ref_arg;
#define CASE(op_name, name) \
  case WH_OP_##op_name:     \
    return ref_##name;
      CASE(LINEAR, linear)
      CASE(QUANTIZE_ACT, quantize_act)
      CASE(QUANTIZE_WIDE, quantize_wide)
      CASE(LAYER_NORM, layer_norm)
      CASE(ROPE_TABLE, rope_table)
      CASE(ROPE, rope)
      CASE(KV_APPEND, kv_append)
      CASE(ATTENTION, attention)
      CASE(EXPERT_SELECT, expert_select)
      CASE(EXPERT_WEIGHTS, expert_weights)
      CASE(EXPERT_LINEAR, expert_linear)
      CASE(EXPERT_SUM, expert_sum)
      CASE(SCALE, scale)
      CASE(SOFTCAP, softcap)
      CASE(SILU, silu)
      CASE(GELU, gelu)
      CASE(GELU_ERF, gelu_erf)
      CASE(RELU, relu)
      CASE(SOFTMAX, softmax)
      CASE(RESHAPE, reshape)
      CASE(POW, pow)
      CASE(WHERE, where)
      CASE(CAST, cast)
      CASE(TRUNCATE_BF16, truncate_bf16)
      CASE(MATMUL, matmul)
      CASE(MATMUL_INTEGER, matmul_integer)
      CASE(MATMUL_BLOCKS, matmul_blocks)
      CASE(CUMSUM, cumsum)
      CASE(TOPK, topk)
      CASE(GATHER, gather)
      CASE(GATHER_ELEMENTS, gather_elements)
      CASE(GATHER_ND, gather_nd)
      CASE(SCATTER_ELEMENTS, scatter_elements)
      CASE(SCATTER_ND, scatter_nd)
      CASE(TRANSPOSE, transpose)
      CASE(SLICE, slice)
      CASE(CONCAT, concat)
      CASE(PAD, pad)
      CASE(EXPAND, expand)
      CASE(TILE, tile)
      CASE(TRILU, trilu)
      CASE(REVERSE_SEQUENCE, reverse_sequence)
      CASE(CHAIN, chain)
      CASE(CONV, conv)
      CASE(CONV_CHAIN, conv_chain)
      CASE(CONV_TRANSPOSE, conv_transpose)
      CASE(CONV_INTEGER, conv_integer)
      CASE(CHAIN_CODES, chain_codes)
      CASE(CONV_CODES, conv_codes)
      CASE(MATMUL_CHAIN, matmul_chain)
      CASE(MATMUL_ATTENTION, matmul_attention)
      CASE(MATMUL_CODES, matmul_codes)
      CASE(MAX_POOL, max_pool)
      CASE(MAX_POOL_INDEX, max_pool_index)
      CASE(AVERAGE_POOL, average_pool)
      CASE(LP_POOL, lp_pool)
      CASE(RESAMPLE, resample)
      CASE(GRID_SAMPLE, grid_sample)
      CASE(ROI_ALIGN, roi_align)
      CASE(TREES, trees)
      CASE(LRN, lrn)
      CASE(DFT, dft)
      CASE(DET, det)
      CASE(RNN, rnn)
      CASE(GRU, gru)
      CASE(LSTM, lstm)
      CASE(QUANTIZE_LINEAR, quantize_linear)
      CASE(DEQUANTIZE_LINEAR, dequantize_linear)
#undef CASE
    default:
      return NULL;
  }
}
