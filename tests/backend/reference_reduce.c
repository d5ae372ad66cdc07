/* reference_reduce.c - reductions and ops along an axis, an output at a time. */
#include <stdlib.h>

#include "tests/backend/reference_elements.h"

/* ---- reductions ---- */

static double step_float(const ref_node *n, double a, double x) {
  const bool narrow = n->out.dtype == WH_DTYPE_F32;
  switch (n->node->op) {
    case WH_OP_REDUCE_SUM:
      return narrow ? (double)((float)a + (float)x) : a + x;
    case WH_OP_REDUCE_L1:
      return narrow ? (double)((float)a + fabsf((float)x)) : a + fabs(x);
    case WH_OP_REDUCE_SUM_SQUARE:
      return narrow ? (double)fmaf((float)x, (float)x, (float)a) : fma(x, x, a);
    case WH_OP_REDUCE_PROD:
      return narrow ? (double)((float)a * (float)x) : a * x;
    default: {
      const bool max = n->node->op == WH_OP_REDUCE_MAX;
      if (isnan(a) || isnan(x)) return (double)NAN;
      if (a == x) return signbit(a) == max ? x : a;
      return (a < x) == max ? x : a;
    }
  }
}

static double join_float(const ref_node *n, double a, double b) {
  const wh_op op = n->node->op;
  if (op == WH_OP_REDUCE_L1 || op == WH_OP_REDUCE_SUM_SQUARE)
    return n->out.dtype == WH_DTYPE_F32 ? (double)((float)a + (float)b) : a + b;
  return step_float(n, a, b);
}

static double reduce_floats(const ref_node *n, const double *x, int64_t count) {
  const wh_op op = n->node->op;
  const double first = op == WH_OP_REDUCE_PROD  ? 1
                       : op == WH_OP_REDUCE_MAX ? -(double)INFINITY
                       : op == WH_OP_REDUCE_MIN ? (double)INFINITY
                                                : 0;
  double lanes[64];
  for (int l = 0; l < 64; l++) lanes[l] = first;
  for (int64_t j = 0; j < count; j++) lanes[j % 64] = step_float(n, lanes[j % 64], x[j]);
  for (int h = 32; h > 0; h /= 2)
    for (int l = 0; l < h; l++) lanes[l] = join_float(n, lanes[l], lanes[l + h]);
  return lanes[0];
}

/* Modulo 2^64 at least, so the low bits are right. */
static __int128 reduce_integers(const ref_node *n, const __int128 *x, int64_t count) {
  const wh_op op = n->node->op;
  const int bits = 8 * wh_dtype_get(n->out.dtype)->block_bytes;
  const bool is_signed = wh_dtype_is(n->out.dtype, WH_CLASS_SIGNED);
  const __int128 one = 1, most = is_signed ? (one << (bits - 1)) - 1 : (one << bits) - 1;
  __int128 a = op == WH_OP_REDUCE_PROD  ? 1
               : op == WH_OP_REDUCE_MAX ? (is_signed ? -most - 1 : 0)
               : op == WH_OP_REDUCE_MIN ? most
                                        : 0;
  for (int64_t j = 0; j < count; j++) {
    const __int128 v = x[j];
    if (op == WH_OP_REDUCE_SUM) a += v;
    if (op == WH_OP_REDUCE_L1) a += v < 0 ? -v : v;
    if (op == WH_OP_REDUCE_SUM_SQUARE) a = (uint64_t)a + (uint64_t)v * (uint64_t)v;
    if (op == WH_OP_REDUCE_PROD) a = (uint64_t)a * (uint64_t)v;
    if (op == WH_OP_REDUCE_MAX) a = v > a ? v : a;
    if (op == WH_OP_REDUCE_MIN) a = v < a ? v : a;
  }
  return a;
}

void ref_reduce(ref_node *n) {
  const wh_attr *axes = wh_node_attr(n->node, WH_ATTR_AXES);
  const ref_value *x = &n->in[0];
  const bool keep = ref_int_attr(n, WH_ATTR_KEEP) != 0;
  const int64_t total = ref_elements(x);
  bool reduced[WH_MAX_RANK] = {false};
  for (size_t i = 0; i < axes->n; i++) reduced[axes->ints[i]] = true;
  double *floats = malloc((size_t)(total + 1) * sizeof *floats);
  __int128 *integers = malloc((size_t)(total + 1) * sizeof *integers);
  if (!floats || !integers) abort();
  for (int64_t o = 0; o < ref_elements(&n->out); o++) {
    int64_t count = 0;
    for (int64_t i = 0; i < total; i++) { /* in row-major order, those which become this output */
      int64_t at[WH_MAX_RANK], to[WH_MAX_RANK];
      int rank = 0;
      ref_coordinates(x, i, at);
      for (int d = 0; d < x->rank; d++)
        if (!reduced[d] || keep) to[rank++] = reduced[d] ? 0 : at[d];
      if (ref_flat(&n->out, to) != o) continue;
      if (ref_holds_floats(x))
        floats[count++] = ref_float(x, i);
      else
        integers[count++] = ref_integer(x, i);
    }
    if (ref_holds_floats(x))
      ref_set_float(&n->out, o, reduce_floats(n, floats, count));
    else
      ref_set_integer(&n->out, o, reduce_integers(n, integers, count));
  }
  free(floats);
  free(integers);
}

/* ---- along one axis ---- */

/* The place of element j of line i, among n along the axis. */
static int64_t place(const ref_value *x, int axis, int64_t n, int64_t i, int64_t j) {
  int64_t inner = 1;
  for (int d = axis + 1; d < x->rank; d++) inner *= x->dims[d];
  return (i / inner * n + j) * inner + i % inner;
}

static int64_t n_lines(const ref_value *x, int axis) {
  int64_t n = 1;
  for (int d = 0; d < x->rank; d++) n *= d == axis ? 1 : x->dims[d];
  return n;
}

/* -1, 0 or 1; NaN is above all numbers. */
static int compare(const ref_value *v, int64_t i, int64_t k) {
  if (!ref_holds_floats(v)) {
    const __int128 a = ref_integer(v, i), b = ref_integer(v, k);
    return (a > b) - (a < b);
  }
  const double a = ref_float(v, i), b = ref_float(v, k);
  if (isnan(a) || isnan(b)) return (isnan(a) != 0) - (isnan(b) != 0);
  return (a > b) - (a < b);
}

static bool is_nan(const ref_value *v, int64_t i) { return ref_holds_floats(v) && isnan(ref_float(v, i)); }

void ref_arg(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int axis = (int)ref_int_attr(n, WH_ATTR_AXIS), sign = n->node->op == WH_OP_ARG_MAX ? 1 : -1;
  const bool last = ref_int_attr(n, WH_ATTR_LAST) != 0;
  const int64_t size = x->dims[axis];
  for (int64_t i = 0; i < n_lines(x, axis); i++) {
    int64_t found = -1;
    for (int pass = 0; pass < 2 && found < 0; pass++) /* NaN first, then numbers */
      for (int64_t j = 0; j < size; j++) {
        const int64_t at = place(x, axis, size, i, j);
        if (pass == 0 && !is_nan(x, at)) continue;
        const int order = found < 0 || pass == 0 ? 0 : sign * compare(x, at, place(x, axis, size, i, found));
        if (found < 0 || order > 0 || (order == 0 && last)) found = j;
      }
    ref_set_integer(&n->out, i, found);
  }
}

void ref_topk(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int axis = (int)ref_int_attr(n, WH_ATTR_AXIS), sign = ref_int_attr(n, WH_ATTR_LARGEST) ? 1 : -1;
  const int64_t size = x->dims[axis], k = ref_int_attr(n, WH_ATTR_K);
  for (int64_t i = 0; i < n_lines(x, axis); i++)
    for (int64_t j = 0; j < size; j++) { /* the rank of each is how many come before it */
      int64_t rank = 0;
      for (int64_t o = 0; o < size; o++) {
        const int order = sign * compare(x, place(x, axis, size, i, o), place(x, axis, size, i, j));
        rank += order > 0 || (order == 0 && o < j);
      }
      if (rank >= k) continue;
      ref_copy(&n->out, place(x, axis, k, i, rank), x, place(x, axis, size, i, j));
      ref_set_integer(&n->more[0], place(x, axis, k, i, rank), j);
    }
}

void ref_cumsum(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int axis = (int)ref_int_attr(n, WH_ATTR_AXIS);
  const bool exclusive = ref_int_attr(n, WH_ATTR_EXCLUSIVE) != 0,
             reverse = ref_int_attr(n, WH_ATTR_REVERSE) != 0;
  const int64_t size = x->dims[axis];
  for (int64_t i = 0; i < n_lines(x, axis); i++) {
    double a = 0;
    __int128 b = 0;
    for (int64_t j = 0; j < size; j++) {
      const int64_t at = place(x, axis, size, i, reverse ? size - 1 - j : j);
      if (ref_holds_floats(x)) {
        const double sum = n->out.dtype == WH_DTYPE_F32 ? (double)((float)a + (float)ref_float(x, at))
                                                        : a + ref_float(x, at);
        ref_set_float(&n->out, at, exclusive ? a : sum);
        a = sum;
      } else {
        const __int128 sum = b + ref_integer(x, at);
        ref_set_integer(&n->out, at, exclusive ? b : sum);
        b = sum;
      }
    }
  }
}
