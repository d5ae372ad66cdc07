/* ops_reduce.c - operators over axes: sums, extremes, norms, sorting; products. */
#include <inttypes.h>
#include <string.h>

#include "import/onnx/lowerings.h"

unsigned ox_reduced_axes(ox *o, const wh_datum *x, bool *none) {
  size_t n = 0;
  const int64_t *axes = ox_attr_ints(o, "axes", &n);
  if (ox_has(o, 1)) {
    axes = ox_ints(o, ox_in(o, 1));
    n = ox_in(o, 1)->n;
  }
  *none = n == 0 && ox_attr_i(o, "noop_with_empty_axes", 0);
  return *none || (n && !axes) ? 0 : ox_axes(o, axes, n, x->rank);
}

void ox_lower_reduce(ox *o) {
  wh_datum *x = ox_in(o, 0), *y;
  bool none;
  const unsigned axes = ox_reduced_axes(o, x, &none);
  const bool keep = ox_attr_i(o, "keepdims", 1) != 0;
  const wh_dtype back = x->dtype;
  if (none) {
    ox_give(o, 0, x);
    return;
  }
  x = ox_wide(o, x);
  if (x->dtype == WH_DTYPE_BOOL) x = ox_cast(o, x, WH_DTYPE_U8); /* least and largest are and, or */
  switch (ox_arg(o)) {
    case OX_REDUCE_MEAN:
      y = ox_mean(o, x, axes, keep);
      break;
    case OX_REDUCE_L2:
      y = ox_unary(o, WH_OP_SQRT, ox_reduce(o, WH_OP_REDUCE_SUM_SQUARE, x, axes, keep));
      break;
    case OX_REDUCE_LOG_SUM:
      y = ox_unary(o, WH_OP_LOG, ox_reduce(o, WH_OP_REDUCE_SUM, x, axes, keep));
      break;
    case OX_REDUCE_LOG_SUM_EXP: {
      wh_datum *top = ox_reduce(o, WH_OP_REDUCE_MAX, x, axes, true);
      y = ox_reduce(o, WH_OP_REDUCE_SUM, ox_unary(o, WH_OP_EXP, ox_sub(o, x, top)), axes, true);
      y = ox_add(o, ox_unary(o, WH_OP_LOG, y), top);
      if (!keep) y = ox_drop_axes(o, y, axes);
      break;
    }
    default:
      y = ox_reduce(o, (wh_op)ox_arg(o), x, axes, keep);
  }
  ox_give(o, 0, ox_cast(o, y, back));
}

void ox_lower_arg(ox *o) {
  wh_datum *x = ox_wide(o, ox_in(o, 0));
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, ox_axis(o, ox_attr_i(o, "axis", 0), x->rank)),
                           ox_a_i(WH_ATTR_KEEP, ox_attr_i(o, "keepdims", 1) != 0),
                           ox_a_i(WH_ATTR_LAST, ox_attr_i(o, "select_last_index", 0) != 0)};
  ox_give(o, 0, ox_node1(o, (wh_op)ox_arg(o), &x, 1, attrs, 3));
}

void ox_lower_topk(ox *o) {
  wh_datum *x = ox_in(o, 0), *outs[2], *wide = ox_wide(o, x);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", -1), x->rank);
  const int64_t k = ox_opset(o) < 10 ? ox_attr_i(o, "k", 0) : ox_int(o, ox_reshape(o, ox_in(o, 1), 0, NULL));
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_i(WH_ATTR_K, k),
                           ox_a_i(WH_ATTR_LARGEST, ox_attr_i(o, "largest", 1) != 0)};
  ox_node_n(o, WH_OP_TOPK, &wide, 1, attrs, 3, outs, 2);
  ox_give(o, 0, ox_cast(o, outs[0], x->dtype));
  ox_give(o, 1, outs[1]);
}

/* Products along an axis: no op of the core, so one after the other. */
void ox_lower_cumprod(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0), *y = NULL;
  const int axis = ox_axis(o, ox_int(o, ox_reshape(o, ox_in(o, 1), 0, NULL)), x->rank);
  const bool reverse = ox_attr_i(o, "reverse", 0) != 0, exclusive = ox_attr_i(o, "exclusive", 0) != 0;
  const int64_t n = x->rank ? x->dims[axis] : 0;
  wh_datum **rows = o->st == WH_OK ? ox_array(o, (size_t)n, sizeof *rows) : NULL;
  for (int64_t i = 0; rows && i < n && ox_go_on(o); i++) {
    const int64_t at = reverse ? n - 1 - i : i;
    wh_datum *part = ox_part(o, x, axis, at, 1), *before = y;
    y = y ? ox_mul(o, y, part) : part;
    rows[at] = !exclusive ? y : before ? before : ox_expand(o, ox_num(o, x, 1), part->rank, part->dims);
  }
  if (!rows || o->st != WH_OK) return;
  ox_give(o, 0, n ? ox_cast(o, ox_concat(o, axis, rows, (size_t)n), x0->dtype) : x0);
}

/* ---- softmax and its kin: before opset 13 over all axes from `axis` on ---- */

static wh_datum *log_softmax(ox *o, wh_datum *x, int axis) {
  const unsigned over = 1u << axis;
  x = ox_sub(o, x, ox_reduce(o, WH_OP_REDUCE_MAX, x, over, true));
  return ox_sub(
      o, x, ox_unary(o, WH_OP_LOG, ox_reduce(o, WH_OP_REDUCE_SUM, ox_unary(o, WH_OP_EXP, x), over, true)));
}

static wh_datum *hardmax(ox *o, wh_datum *x, int axis) {
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_i(WH_ATTR_KEEP, 1), ox_a_i(WH_ATTR_LAST, 0)};
  wh_datum *top = ox_node1(o, WH_OP_ARG_MAX, &x, 1, attrs, 3);
  if (o->st != WH_OK) return top;
  wh_datum *places = ox_new(o, WH_DTYPE_I64, 1, &x->dims[axis]);
  for (int64_t i = 0; i < x->dims[axis] && o->st == WH_OK; i++) ((int64_t *)(uintptr_t)places->data)[i] = i;
  wh_datum *hit = ox_binary(o, WH_OP_EQUAL, top, ox_per_channel(o, places, x->rank, axis));
  return ox_where(o, hit, ox_num(o, x, 1), ox_num(o, x, 0));
}

void ox_lower_softmax(ox *o) {
  wh_datum *x = ox_in(o, 0), *flat = ox_wide(o, x);
  const bool had_rows = ox_opset(o) < 13; /* all from the axis on is one row */
  int axis = ox_axis(o, ox_attr_i(o, "axis", had_rows ? 1 : -1), x->rank ? x->rank : 1);
  const bool old = had_rows && axis != x->rank - 1;
  if (old) {
    flat = ox_flatten_to(o, flat, ox_product(o, x->dims, 0, axis), ox_product(o, x->dims, axis, x->rank));
    axis = 1;
  }
  wh_datum *y = ox_arg(o) == OX_SOFTMAX       ? ox_softmax(o, flat, axis)
                : ox_arg(o) == OX_LOG_SOFTMAX ? log_softmax(o, flat, axis)
                                              : hardmax(o, flat, axis);
  ox_give(o, 0, ox_cast(o, old ? ox_reshape(o, y, x->rank, x->dims) : y, x->dtype));
}

/* ---- norms ---- */

void ox_lower_lp_normalization(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const unsigned over = 1u << ox_axis(o, ox_attr_i(o, "axis", -1), x->rank);
  wh_datum *norm = ox_attr_i(o, "p", 2) == 1
                       ? ox_reduce(o, WH_OP_REDUCE_L1, x, over, true)
                       : ox_unary(o, WH_OP_SQRT, ox_reduce(o, WH_OP_REDUCE_SUM_SQUARE, x, over, true));
  wh_datum *is_zero = ox_binary(o, WH_OP_EQUAL, norm, ox_num(o, x, 0));
  ox_give(o, 0, ox_div(o, x, ox_where(o, is_zero, ox_num(o, x, 1), norm)));
}

/* (x - mean) / sqrt(variance + eps) over the axes; all in f32 */
wh_datum *ox_standardise(ox *o, wh_datum *x, unsigned axes, float eps, wh_datum **mean, wh_datum **inverse) {
  *mean = ox_mean(o, x, axes, true);
  wh_datum *d = ox_sub(o, x, *mean), *variance = ox_mean(o, ox_mul(o, d, d), axes, true);
  *inverse = ox_div(o, ox_num(o, x, 1), ox_unary(o, WH_OP_SQRT, ox_add(o, variance, ox_num(o, x, eps))));
  return ox_mul(o, d, *inverse);
}

void ox_lower_layer_normalization(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *w = ox_wide(o, ox_in(o, 1)),
           *b = ox_has(o, 2) ? ox_wide(o, ox_in(o, 2)) : NULL;
  wh_datum *x = ox_wide(o, x0), *mean = NULL, *inverse = NULL, *y;
  const int axis = ox_axis(o, ox_attr_i(o, "axis", -1), x->rank);
  const int64_t n = ox_product(o, x->dims, axis, x->rank);
  const float eps = ox_attr_f(o, "epsilon", 1e-5f);
  if (ox_is_open(o, n)) OX_FAIL(o, ERR_UNSUPPORTED, "an open dim is normalised");
  if (o->st != WH_OK) return;
  const bool fits = x->dtype == WH_DTYPE_F32 && (int64_t)w->n == n && (!b || (int64_t)b->n == n) && n;
  if (fits && !ox_wants(o, 1) && !ox_wants(o, 2)) {
    wh_datum *in[] = {ox_flatten_to(o, x, ox_product(o, x->dims, 0, axis), n), ox_reshape(o, w, 1, &n),
                      b ? ox_reshape(o, b, 1, &n) : NULL};
    const wh_attr a = ox_a_f(WH_ATTR_EPS, eps);
    y = ox_reshape(o, ox_node1(o, WH_OP_LAYER_NORM, in, b ? 3 : 2, &a, 1), x->rank, x->dims);
  } else {
    const unsigned over = ((1u << x->rank) - 1) & ~((1u << axis) - 1);
    y = ox_mul(o, ox_standardise(o, x, over, eps, &mean, &inverse), w);
    if (b) y = ox_add(o, y, b);
    ox_give(o, 1, mean);
    ox_give(o, 2, inverse);
  }
  ox_give(o, 0, ox_cast(o, y, x0->dtype));
}

void ox_lower_rms_normalization(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *w = ox_f32(o, ox_in(o, 1)), *x = ox_f32(o, x0);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", -1), x->rank);
  const int64_t n = ox_product(o, x->dims, axis, x->rank);
  const wh_attr a = ox_a_f(WH_ATTR_EPS, ox_attr_f(o, "epsilon", 1e-5f));
  if (o->st != WH_OK) return;
  wh_datum *in[] = {ox_flatten_to(o, x, ox_product(o, x->dims, 0, axis), n), ox_reshape(o, w, 1, &n)};
  ox_give(o, 0,
          ox_cast(o, ox_reshape(o, ox_node1(o, WH_OP_RMS_NORM, in, 2, &a, 1), x->rank, x->dims), x0->dtype));
}

void ox_lower_mean_variance_normalization(ox *o) {
  wh_datum *x = ox_in(o, 0);
  size_t n;
  const int64_t *axes = ox_attr_ints(o, "axes", &n), usual[] = {0, 2, 3};
  const unsigned over = ox_axes(o, axes ? axes : usual, axes ? n : 3, x->rank);
  wh_datum *mean = ox_mean(o, x, over, true), *square = ox_mean(o, ox_mul(o, x, x), over, true);
  wh_datum *deviation = ox_unary(o, WH_OP_SQRT, ox_sub(o, square, ox_mul(o, mean, mean)));
  ox_give(o, 0, ox_div(o, ox_sub(o, x, mean), ox_add(o, deviation, ox_num(o, x, 1e-9))));
}

/* ---- products ---- */

/* Of codes as integers. */
static wh_datum *product(ox *o, wh_datum *a, wh_datum *b) {
  wh_datum *y = ox_matmul_of_codes(o, a, b);
  return y ? y : ox_matmul(o, a, b);
}

void ox_lower_matmul(ox *o) { ox_give(o, 0, product(o, ox_in(o, 0), ox_in(o, 1))); }

void ox_lower_gemm(ox *o) {
  wh_datum *a = ox_in(o, 0), *b = ox_in(o, 1), *c = ox_maybe(o, 2);
  const wh_dtype back = a->dtype;
  if (a->rank != 2 || b->rank != 2)
    OX_FAIL(o, ERR_CORRUPT, "its operands have rank %d and %d, not 2", a->rank, b->rank);
  if (o->st != WH_OK) return;
  if (ox_attr_i(o, "transA", 0)) a = ox_transposed_matrix(o, a);
  if (ox_attr_i(o, "transB", 0)) b = ox_transposed_matrix(o, b);
  wh_datum *y = product(o, a, b);
  const float alpha = ox_attr_f(o, "alpha", 1), beta = ox_attr_f(o, "beta", 1);
  if (alpha != 1) y = ox_mul(o, y, ox_num(o, y, alpha));
  if (c) y = ox_add(o, y, beta == 1 ? c : ox_mul(o, c, ox_num(o, c, beta)));
  ox_give(o, 0, ox_cast(o, y, back));
}

/* ---- einsum ---- */

#define MOST_LABELS 32

/* A value whose axes have labels, each once. */
typedef struct labelled {
  wh_datum *d;
  int n;
  char labels[MOST_LABELS];
} labelled;

static int find(const labelled *x, char label) {
  for (int i = 0; i < x->n; i++)
    if (x->labels[i] == label) return i;
  return -1;
}

/* Elements whose two indices of the axes i < k are equal, in place of both. */
static void take_diagonal(ox *o, labelled *x, int i, int k) {
  int64_t perm[WH_MAX_RANK], dims[WH_MAX_RANK], starts[WH_MAX_RANK] = {0}, steps[WH_MAX_RANK],
                                                n = x->d->dims[i];
  int rank = 0;
  for (int a = 0; a < x->n; a++)
    if (a != i && a != k) perm[rank++] = a;
  perm[rank] = i;
  perm[rank + 1] = k;
  wh_datum *d = ox_transpose(o, x->d, perm);
  for (int a = 0; a < rank; a++) {
    dims[a] = d->dims[a];
    steps[a] = 1;
  }
  dims[rank] = n * n;
  d = ox_reshape(o, d, rank + 1, dims);
  dims[rank] = n;
  steps[rank] = n + 1;
  x->d = ox_slice(o, d, starts, steps, dims);
  char labels[MOST_LABELS];
  for (int a = 0; a < rank; a++) labels[a] = x->labels[perm[a]];
  labels[rank] = x->labels[i];
  memcpy(x->labels, labels, (size_t)rank + 1);
  x->n = rank + 1;
}

/* One operand's term; "..." stands for as many axes as are left, labelled from 1 on, counted from the last.
 */
static void read_term(ox *o, const char *s, size_t n, wh_datum *d, labelled *out, int *n_dots) {
  size_t letters = 0;
  for (size_t i = 0; i < n; i++) letters += s[i] != '.' && s[i] != ' ';
  const int dots = d ? d->rank - (int)letters : *n_dots;
  out->d = d;
  out->n = 0;
  for (size_t i = 0; i < n && o->st == WH_OK; i++) {
    if (s[i] == ' ') continue;
    if (s[i] == '.') {
      if (n - i < 3 || s[i + 1] != '.' || s[i + 2] != '.' || dots < 0)
        OX_FAIL(o, ERR_CORRUPT, "its equation does not fit its operands");
      for (int k = 0; k < dots && out->n < MOST_LABELS; k++) out->labels[out->n++] = (char)(1 + dots - 1 - k);
      if (dots > *n_dots) *n_dots = dots;
      i += 2;
    } else if (out->n < MOST_LABELS) {
      out->labels[out->n++] = s[i];
    }
  }
  if (d && (out->n != d->rank || dots < 0))
    OX_FAIL(o, ERR_CORRUPT, "its equation has a term of %d axes for an operand of rank %d", out->n, d->rank);
}

static void order(ox *o, labelled *x, const char *labels, int n) {
  int64_t perm[WH_MAX_RANK];
  if (n != x->n || n > WH_MAX_RANK) OX_FAIL(o, ERR_CORRUPT, "its equation names an axis that no operand has");
  for (int i = 0; i < n && o->st == WH_OK; i++) {
    const int at = find(x, labels[i]);
    if (at < 0) OX_FAIL(o, ERR_CORRUPT, "its equation names an axis that no operand has");
    perm[i] = at < 0 ? 0 : at;
  }
  if (o->st != WH_OK) return;
  x->d = ox_transpose(o, x->d, perm);
  memcpy(x->labels, labels, (size_t)n);
}

/* Sums out what no later term and not the result has. */
static void sum_out(ox *o, labelled *x, const bool *needed) {
  unsigned axes = 0;
  int n = 0;
  char labels[MOST_LABELS];
  for (int i = 0; i < x->n; i++) {
    if (needed[(unsigned char)x->labels[i]])
      labels[n++] = x->labels[i];
    else
      axes |= 1u << i;
  }
  if (axes) x->d = ox_reduce(o, WH_OP_REDUCE_SUM, x->d, axes, false);
  memcpy(x->labels, labels, (size_t)n);
  x->n = n;
}

static int64_t extent(ox *o, const labelled *a, const labelled *b, char label) {
  const int ia = find(a, label), ib = find(b, label);
  const int64_t da = ia < 0 ? 1 : a->d->dims[ia], db = ib < 0 ? 1 : b->d->dims[ib];
  if (da != db && da != 1 && db != 1)
    OX_FAIL(o, ERR_CORRUPT, "an axis of its equation has %" PRId64 " and %" PRId64 " elements", da, db);
  return da == 1 ? db : da;
}

/* The product of both, summed over what is not needed: as matrices [shared and kept, own of a, summed] times
 * [shared and kept, summed, own of b]. */
static void multiply(ox *o, labelled *a, const labelled *b0, const bool *needed) {
  labelled b = *b0;
  char batch[MOST_LABELS], own_a[MOST_LABELS], own_b[MOST_LABELS], sum[MOST_LABELS], all[MOST_LABELS];
  int n_batch = 0, n_a = 0, n_b = 0, n_sum = 0;
  for (int i = 0; i < a->n; i++) {
    const char l = a->labels[i];
    if (find(&b, l) < 0)
      own_a[n_a++] = l;
    else if (needed[(unsigned char)l])
      batch[n_batch++] = l;
    else
      sum[n_sum++] = l;
  }
  for (int i = 0; i < b.n; i++)
    if (find(a, b.labels[i]) < 0) own_b[n_b++] = b.labels[i];
  int64_t full[WH_MAX_RANK], m = 1, n = 1, k = 1, dims_a[WH_MAX_RANK], dims_b[WH_MAX_RANK];
  if (n_batch + n_a + n_b > WH_MAX_RANK || n_batch + 2 > WH_MAX_RANK)
    OX_FAIL(o, ERR_LIMIT, "its equation makes a value of too high a rank");
  if (o->st != WH_OK) return;
  for (int i = 0; i < n_batch; i++) {
    full[i] = extent(o, a, &b, batch[i]);
    dims_a[i] = a->d->dims[find(a, batch[i])];
    dims_b[i] = b.d->dims[find(&b, batch[i])];
  }
  for (int i = 0; i < n_a; i++) m *= full[n_batch + i] = a->d->dims[find(a, own_a[i])];
  for (int i = 0; i < n_b; i++) n *= full[n_batch + n_a + i] = b.d->dims[find(&b, own_b[i])];
  for (int i = 0; i < n_sum; i++) {
    if (a->d->dims[find(a, sum[i])] != b.d->dims[find(&b, sum[i])])
      OX_FAIL(o, ERR_CORRUPT, "its operands do not agree in an axis");
    k *= a->d->dims[find(a, sum[i])];
  }
  memcpy(all, batch, (size_t)n_batch);
  memcpy(all + n_batch, own_a, (size_t)n_a);
  memcpy(all + n_batch + n_a, sum, (size_t)n_sum);
  order(o, a, all, n_batch + n_a + n_sum);
  memcpy(all + n_batch, sum, (size_t)n_sum);
  memcpy(all + n_batch + n_sum, own_b, (size_t)n_b);
  order(o, &b, all, n_batch + n_sum + n_b);
  dims_a[n_batch] = m;
  dims_a[n_batch + 1] = dims_b[n_batch] = k;
  dims_b[n_batch + 1] = n;
  wh_datum *pa = ox_reshape(o, a->d, n_batch + 2, dims_a), *pb = ox_reshape(o, b.d, n_batch + 2, dims_b);
  a->d = ox_reshape(o, ox_matmul(o, pa, pb), n_batch + n_a + n_b, full);
  memcpy(a->labels, batch, (size_t)n_batch);
  memcpy(a->labels + n_batch, own_a, (size_t)n_a);
  memcpy(a->labels + n_batch + n_a, own_b, (size_t)n_b);
  a->n = n_batch + n_a + n_b;
}

void ox_lower_einsum(ox *o) {
  const wh_str eq = ox_attr_s(o, "equation", "");
  const size_t n_in = ox_n_in(o);
  labelled *terms = ox_array(o, n_in + 1, sizeof *terms), result = {.n = 0};
  if (!terms) return;
  int n_dots = 0;
  size_t at = 0, arrow = 0;
  while (arrow + 1 < eq.len && !(eq.data[arrow] == '-' && eq.data[arrow + 1] == '>')) arrow++;
  const bool has_arrow = arrow + 1 < eq.len;
  const size_t left = has_arrow ? arrow : eq.len;
  for (size_t i = 0; i < n_in && o->st == WH_OK; i++) {
    size_t end = at;
    while (end < left && eq.data[end] != ',') end++;
    if (at > left) OX_FAIL(o, ERR_CORRUPT, "its equation has fewer terms than there are operands");
    if (o->st == WH_OK) read_term(o, eq.data + at, end - at, ox_wide(o, ox_in(o, i)), &terms[i], &n_dots);
    for (int k = 0; k < terms[i].n && o->st == WH_OK; k++)
      for (int j = 0; j < k; j++)
        if (terms[i].labels[j] == terms[i].labels[k]) {
          take_diagonal(o, &terms[i], j, k);
          k = -1;
          break;
        }
    at = end + 1;
  }
  if (has_arrow) {
    read_term(o, eq.data + arrow + 2, eq.len - arrow - 2, NULL, &result, &n_dots);
  } else { /* what occurs once, in order of the alphabet, behind the dots */
    for (int k = n_dots; k > 0; k--) result.labels[result.n++] = (char)k;
    for (int l = 'A'; l <= 'z'; l++) {
      int uses = 0;
      for (size_t i = 0; i < left; i++) uses += eq.data[i] == l;
      if (uses == 1 && result.n < MOST_LABELS) result.labels[result.n++] = (char)l;
    }
  }
  for (size_t i = 0; i < n_in && o->st == WH_OK; i++) {
    bool needed[256] = {false};
    for (int k = 0; k < result.n; k++) needed[(unsigned char)result.labels[k]] = true;
    for (size_t j = i + 1; j < n_in; j++)
      for (int k = 0; k < terms[j].n; k++) needed[(unsigned char)terms[j].labels[k]] = true;
    if (i == 0) {
      sum_out(o, &terms[0], needed);
      continue;
    }
    bool with_first[256];
    memcpy(with_first, needed, sizeof needed);
    for (int k = 0; k < terms[0].n; k++) with_first[(unsigned char)terms[0].labels[k]] = true;
    sum_out(o, &terms[i], with_first);
    multiply(o, &terms[0], &terms[i], needed);
  }
  if (n_in == 0) OX_FAIL(o, ERR_CORRUPT, "it has no operands");
  if (o->st != WH_OK) return;
  order(o, &terms[0], result.labels, result.n);
  ox_give(o, 0, ox_cast(o, terms[0].d, ox_in(o, 0)->dtype));
}
