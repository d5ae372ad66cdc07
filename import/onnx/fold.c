/* fold.c - what the host computes with few elements: shapes, and what follows from them. Integers, booleans
 * and f32 where one rounding defines the result, so that a device's answer is the same. */
#include <math.h>
#include <string.h>

#include "import/onnx/importer.h"

bool ox_folds(wh_datum *const *in, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!in[i]->data || !in[i]->is_cheap || in[i]->kind == WH_DATUM_SEQUENCE ||
        in[i]->kind == WH_DATUM_OPTIONAL || !ox_size_of(in[i]->dtype))
      return false;
  return true;
}

/* Of numbers: what is open is only moved, but for a few sums and products of shapes. */
static bool folds_numbers(const ox *o, wh_datum *const *in, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (ox_has_open_elements(o, in[i])) return false;
  return ox_folds(in, n);
}

static bool is_integer(wh_dtype d) {
  return wh_dtype_is(d, WH_CLASS_SIGNED) || wh_dtype_is(d, WH_CLASS_UNSIGNED);
}
static bool is_plain(wh_dtype d) {
  return (is_integer(d) && ox_size_of(d)) || d == WH_DTYPE_BOOL || d == WH_DTYPE_F32 || d == WH_DTYPE_F64;
}
/* A number that looks like an open one is none: the caller executes with numbers. */
static int64_t number(ox *o, int64_t v) {
  if (ox_is_open(o, v)) OX_FAIL(o, ERR_UNSUPPORTED, "a number is taken by open dims");
  return v;
}
static void *room(const wh_datum *d) { return (void *)(uintptr_t)d->data; }

/* Result of a fold: few elements, else it is not worth it. */
static wh_datum *fresh(ox *o, wh_dtype dtype, int rank, const int64_t *dims, wh_datum *const *in,
                       size_t n_in) {
  size_t n = 1;
  for (int i = 0; i < rank; i++)
    if (dims[i] < 0 || !wh_mul_size(n, (size_t)dims[i], &n) || n > 4096) return NULL;
  wh_datum *d = ox_from(o, ox_new(o, dtype, rank, dims), in, n_in);
  if (o->st != WH_OK) return NULL;
  d->is_cheap = true;
  return d;
}

wh_datum *ox_fold_unary(ox *o, wh_op op, wh_datum *x) {
  if (!folds_numbers(o, &x, 1)) return NULL;
  const bool is_float = x->dtype == WH_DTYPE_F32 || x->dtype == WH_DTYPE_F64;
  const bool known = op == WH_OP_NEG || op == WH_OP_ABS || (op == WH_OP_NOT && x->dtype == WH_DTYPE_BOOL) ||
                     (is_float && (op == WH_OP_FLOOR || op == WH_OP_CEIL || op == WH_OP_SQRT));
  if (!known || !is_plain(x->dtype)) return NULL;
  wh_datum *y = fresh(o, x->dtype, x->rank, x->dims, &x, 1);
  for (size_t i = 0; y && i < x->n; i++) {
    if (is_float) {
      const double v = ox_element(x, i);
      const double r = op == WH_OP_NEG    ? -v
                       : op == WH_OP_ABS  ? fabs(v)
                       : op == WH_OP_SQRT ? sqrt(v)
                                          : (op == WH_OP_FLOOR ? floor(v) : ceil(v));
      ox_store(y->dtype, room(y), i, r);
    } else {
      const int64_t v = ox_element_int(x, i);
      const uint64_t minus = UINT64_C(0) - (uint64_t)v;
      ox_store_int(y->dtype, room(y), i,
                   op == WH_OP_NOT            ? !v
                   : op == WH_OP_NEG || v < 0 ? number(o, (int64_t)minus)
                                              : v);
    }
  }
  return y;
}

size_t ox_place(const wh_datum *x, int rank, const int64_t *dims, size_t i) {
  size_t at = 0, step = 1;
  for (int d = rank - 1; d >= 0; d--) {
    const int own = d - (rank - x->rank);
    const size_t k = i % (size_t)dims[d];
    i /= (size_t)dims[d];
    if (own < 0) continue;
    if (x->dims[own] != 1) at += k * step;
    step *= (size_t)x->dims[own];
  }
  return at;
}

static bool integer_op(wh_op op, bool is_signed, int64_t a, int64_t b, int64_t *out) {
  const uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
  switch (op) {
    case WH_OP_ADD:
      *out = (int64_t)(ua + ub);
      return true;
    case WH_OP_SUB:
      *out = (int64_t)(ua - ub);
      return true;
    case WH_OP_MUL:
      *out = (int64_t)(ua * ub);
      return true;
    case WH_OP_DIV:
      *out = b == 0                 ? 0
             : b == -1 && is_signed ? (int64_t)(UINT64_C(0) - ua)
             : is_signed            ? a / b
                                    : (int64_t)(ua / ub);
      return true;
    case WH_OP_MIN:
      *out = is_signed ? (a < b ? a : b) : (int64_t)(ua < ub ? ua : ub);
      return true;
    case WH_OP_MAX:
      *out = is_signed ? (a > b ? a : b) : (int64_t)(ua > ub ? ua : ub);
      return true;
    case WH_OP_EQUAL:
      *out = a == b;
      return true;
    case WH_OP_LESS:
      *out = is_signed ? a < b : ua < ub;
      return true;
    case WH_OP_LESS_OR_EQUAL:
      *out = is_signed ? a <= b : ua <= ub;
      return true;
    case WH_OP_AND:
      *out = a && b;
      return true;
    case WH_OP_OR:
      *out = a || b;
      return true;
    case WH_OP_XOR:
      *out = !a != !b;
      return true;
    default:
      return false;
  }
}

static bool float_op(wh_op op, double a, double b, double *out) {
  switch (op) {
    case WH_OP_ADD:
      *out = a + b;
      return true;
    case WH_OP_SUB:
      *out = a - b;
      return true;
    case WH_OP_MUL:
      *out = a * b;
      return true;
    case WH_OP_DIV:
      *out = a / b;
      return true;
    case WH_OP_EQUAL:
      *out = a == b;
      return true;
    case WH_OP_LESS:
      *out = a < b;
      return true;
    case WH_OP_LESS_OR_EQUAL:
      *out = a <= b;
      return true;
    default:
      return false;
  }
}

/* The element of x that element i of n is computed with. */
static size_t source(const wh_datum *x, size_t n, int rank, const int64_t *dims, size_t i) {
  return x->n == n ? i : x->n == 1 ? 0 : ox_place(x, rank, dims, i);
}

static double real(const wh_datum *x, size_t i) {
  return x->dtype == WH_DTYPE_F32 ? ((const float *)x->data)[i] : ((const double *)x->data)[i];
}

/* f32 in f64, then rounded: one rounding's bits. Models have thousands of these, of their normalisations. */
static void float_elements(wh_op op, const wh_datum *a, const wh_datum *b, int rank, const int64_t *dims,
                           const wh_datum *y) {
  for (size_t i = 0; i < y->n; i++) {
    double f = 0;
    (void)float_op(op, real(a, source(a, y->n, rank, dims, i)), real(b, source(b, y->n, rank, dims, i)), &f);
    if (y->dtype == WH_DTYPE_F32)
      ((float *)room(y))[i] = (float)f;
    else
      ox_store(y->dtype, room(y), i, f);
  }
}

/* Of dims, one of which is open. */
static bool open_op(ox *o, wh_op op, int64_t a, int64_t b, int64_t *out) {
  static const struct {
    wh_op op;
    wh_dim_kind kind;
  } kinds[] = {{WH_OP_ADD, WH_DIM_ADD},      {WH_OP_SUB, WH_DIM_SUB}, {WH_OP_MUL, WH_DIM_MUL},
               {WH_OP_DIV, WH_DIM_FLOORDIV}, {WH_OP_MIN, WH_DIM_MIN}, {WH_OP_MAX, WH_DIM_MAX}};
  if (op == WH_OP_EQUAL) { /* the number that stands for "as it is", or the same dim */
    *out = a == b;
    return a == b || (!ox_is_open(o, a) && a < 0) || (!ox_is_open(o, b) && b < 0);
  }
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (kinds[i].op != op) continue;
    *out = ox_dim_binary(o, kinds[i].kind, a, b);
    return o->st == WH_OK;
  }
  return false;
}

wh_datum *ox_fold_binary(ox *o, wh_op op, wh_datum *a, wh_datum *b) {
  wh_datum *in[] = {a, b};
  int64_t dims[WH_MAX_RANK];
  if (!ox_folds(in, 2) || a->dtype != b->dtype || !is_plain(a->dtype)) return NULL;
  const bool is_float = a->dtype == WH_DTYPE_F32 || a->dtype == WH_DTYPE_F64;
  int64_t unused_i;
  double unused_f;
  if (is_float ? !float_op(op, 1, 1, &unused_f) : !integer_op(op, true, 1, 1, &unused_i)) return NULL;
  const int rank = ox_broadcast(o, a, b, dims);
  if (o->st != WH_OK) return NULL;
  const bool compares = op == WH_OP_EQUAL || op == WH_OP_LESS || op == WH_OP_LESS_OR_EQUAL;
  const bool is_signed = wh_dtype_is(a->dtype, WH_CLASS_SIGNED);
  const bool open = ox_has_open_elements(o, a) || ox_has_open_elements(o, b);
  wh_datum *y = fresh(o, compares ? WH_DTYPE_BOOL : a->dtype, rank, dims, in, 2);
  if (y && is_float) float_elements(op, a, b, rank, dims, y);
  for (size_t i = 0; y && !is_float && i < y->n; i++) {
    const int64_t va = ox_element_int(a, source(a, y->n, rank, dims, i)),
                  vb = ox_element_int(b, source(b, y->n, rank, dims, i));
    const bool by_dims = open && (ox_is_open(o, va) || ox_is_open(o, vb));
    int64_t v = 0;
    if (by_dims ? !open_op(o, op, va, vb, &v) : !integer_op(op, is_signed, va, vb, &v)) return NULL;
    if (!by_dims) v = number(o, v);
    ox_store_int(y->dtype, room(y), i, v);
  }
  return y;
}

wh_datum *ox_fold_cast(ox *o, wh_datum *x, wh_dtype to) {
  const bool is_shape =
      (x->dtype == WH_DTYPE_I32 || x->dtype == WH_DTYPE_I64) && (to == WH_DTYPE_I32 || to == WH_DTYPE_I64);
  if (!(is_shape ? ox_folds(&x, 1) : folds_numbers(o, &x, 1)) || !is_plain(x->dtype) || !is_plain(to))
    return NULL;
  const bool from_float = x->dtype == WH_DTYPE_F32 || x->dtype == WH_DTYPE_F64;
  for (size_t i = 0; i < x->n && from_float && is_integer(to);
       i++) /* what is out of range is the device's matter */
    if (!(fabs(ox_element(x, i)) < 127.0) && !(to == WH_DTYPE_I64 && fabs(ox_element(x, i)) < 9e18) &&
        !(to == WH_DTYPE_I32 && fabs(ox_element(x, i)) < 2e9))
      return NULL;
  wh_datum *y = fresh(o, to, x->rank, x->dims, &x, 1);
  for (size_t i = 0; y && i < x->n; i++) {
    if (from_float || to == WH_DTYPE_F32 || to == WH_DTYPE_F64) {
      if (!from_float && to == WH_DTYPE_F32 && x->dtype != WH_DTYPE_U64) {
        ((float *)room(y))[i] = (float)ox_element_int(x, i);
      } else if (to == WH_DTYPE_F32 && x->dtype == WH_DTYPE_U64) {
        ((float *)room(y))[i] = (float)(uint64_t)ox_element_int(x, i);
      } else {
        if (from_float && is_integer(to)) (void)number(o, (int64_t)ox_element(x, i));
        ox_store(to, room(y), i, ox_element(x, i));
      }
    } else {
      ox_store_int(to, room(y), i, ox_element_int(x, i));
    }
  }
  return y;
}

static void move(wh_datum *y, size_t to, const wh_datum *x, size_t from) {
  const size_t size = ox_size_of(x->dtype);
  memcpy((char *)room(y) + to * size, (const char *)x->data + from * size, size);
}

wh_datum *ox_fold_where(ox *o, wh_datum *cond, wh_datum *a, wh_datum *b) {
  wh_datum *in[] = {cond, a, b};
  int64_t two[WH_MAX_RANK], dims[WH_MAX_RANK];
  if (!ox_folds(in, 3) || a->dtype != b->dtype) return NULL;
  wh_datum ab = {.rank = ox_broadcast(o, a, b, two)};
  memcpy(ab.dims, two, sizeof two);
  const int rank = ox_broadcast(o, cond, &ab, dims);
  wh_datum *y = o->st == WH_OK ? fresh(o, a->dtype, rank, dims, in, 3) : NULL;
  for (size_t i = 0; y && i < y->n; i++) {
    const bool first = ((const uint8_t *)cond->data)[ox_place(cond, rank, dims, i)];
    const wh_datum *x = first ? a : b;
    move(y, i, x, ox_place(x, rank, dims, i));
  }
  return y;
}

wh_datum *ox_fold_slice(ox *o, wh_datum *x, const int64_t *starts, const int64_t *steps,
                        const int64_t *counts) {
  wh_datum *y = ox_folds(&x, 1) ? fresh(o, x->dtype, x->rank, counts, &x, 1) : NULL;
  for (size_t i = 0; y && i < y->n; i++) {
    size_t rest = i, at = 0, step = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
      const int64_t k = (int64_t)(rest % (size_t)counts[d]);
      rest /= (size_t)counts[d];
      at += (size_t)(starts[d] + k * steps[d]) * step;
      step *= (size_t)x->dims[d];
    }
    move(y, i, x, at);
  }
  return y;
}

wh_datum *ox_fold_transpose(ox *o, wh_datum *x, const int64_t *perm) {
  int64_t dims[WH_MAX_RANK];
  size_t strides[WH_MAX_RANK], step = 1;
  if (!ox_folds(&x, 1)) return NULL;
  for (int d = x->rank - 1; d >= 0; d--) {
    strides[d] = step;
    step *= (size_t)x->dims[d];
  }
  for (int d = 0; d < x->rank; d++) dims[d] = x->dims[perm[d]];
  wh_datum *y = fresh(o, x->dtype, x->rank, dims, &x, 1);
  for (size_t i = 0; y && i < y->n; i++) {
    size_t rest = i, at = 0;
    for (int d = x->rank - 1; d >= 0; d--) {
      at += rest % (size_t)dims[d] * strides[perm[d]];
      rest /= (size_t)dims[d];
    }
    move(y, i, x, at);
  }
  return y;
}

wh_datum *ox_fold_concat(ox *o, int axis, wh_datum *const *x, size_t n) {
  if (!ox_folds(x, n)) return NULL;
  int64_t dims[WH_MAX_RANK];
  memcpy(dims, x[0]->dims, sizeof dims);
  for (size_t i = 1; i < n; i++) {
    if (x[i]->rank != x[0]->rank || x[i]->dtype != x[0]->dtype) return NULL;
    for (int d = 0; d < x[0]->rank; d++)
      if (d != axis && x[i]->dims[d] != dims[d]) return NULL;
    dims[axis] += x[i]->dims[axis];
  }
  wh_datum *y = fresh(o, x[0]->dtype, x[0]->rank, dims, x, n);
  if (!y) return NULL;
  size_t outer = 1, at = 0;
  for (int d = 0; d < axis; d++) outer *= (size_t)dims[d];
  for (size_t r = 0; r < outer; r++)
    for (size_t i = 0; i < n; i++)
      for (size_t k = 0; k < x[i]->n / outer; k++) move(y, at++, x[i], r * (x[i]->n / outer) + k);
  return y;
}

wh_datum *ox_fold_expand(ox *o, wh_datum *x, int rank, const int64_t *dims) {
  if (!ox_folds(&x, 1) || rank < x->rank) return NULL;
  for (int d = 0; d < x->rank; d++)
    if (x->dims[d] != 1 && x->dims[d] != dims[d + rank - x->rank]) return NULL;
  wh_datum *y = fresh(o, x->dtype, rank, dims, &x, 1);
  for (size_t i = 0; y && i < y->n; i++) move(y, i, x, ox_place(x, rank, dims, i));
  return y;
}

wh_datum *ox_fold_gather(ox *o, wh_datum *x, wh_datum *ids, int axis) {
  wh_datum *in[] = {x, ids};
  int64_t dims[2 * WH_MAX_RANK];
  int rank = 0;
  /* few of many elements as well, where a device computed those and the host has them: no program is worth it
   */
  const bool is_left =
      x->kind == WH_DATUM_TENSOR && x->data && x->depends == OX_ALL_INPUTS && is_plain(x->dtype);
  if (!ox_folds(in + is_left, 2 - is_left) || x->rank - 1 + ids->rank > WH_MAX_RANK) return NULL;
  size_t inner = 1, outer = 1;
  for (int d = 0; d < axis; d++) outer *= (size_t)(dims[rank++] = x->dims[d]);
  for (int d = 0; d < ids->rank; d++) dims[rank++] = ids->dims[d];
  for (int d = axis + 1; d < x->rank; d++) inner *= (size_t)(dims[rank++] = x->dims[d]);
  for (size_t k = 0; k < ids->n; k++) {
    const int64_t id = ox_element_int(ids, k);
    if (id < -x->dims[axis] || id >= x->dims[axis]) return NULL;
  }
  wh_datum *y = fresh(o, x->dtype, rank, dims, in, 2);
  size_t at = 0;
  for (size_t r = 0; y && r < outer; r++)
    for (size_t k = 0; k < ids->n; k++) {
      int64_t id = ox_element_int(ids, k);
      if (id < 0) id += x->dims[axis];
      for (size_t i = 0; i < inner; i++)
        move(y, at++, x, (r * (size_t)x->dims[axis] + (size_t)id) * inner + i);
    }
  return y;
}

/* Over all elements, of integers: products and sums of shapes. */
wh_datum *ox_fold_reduce(ox *o, wh_op op, wh_datum *x, unsigned axes, bool keep) {
  const wh_op step = op == WH_OP_REDUCE_SUM    ? WH_OP_ADD
                     : op == WH_OP_REDUCE_PROD ? WH_OP_MUL
                     : op == WH_OP_REDUCE_MAX  ? WH_OP_MAX
                                               : WH_OP_MIN;
  const bool known =
      op == WH_OP_REDUCE_SUM || op == WH_OP_REDUCE_PROD || op == WH_OP_REDUCE_MAX || op == WH_OP_REDUCE_MIN;
  int64_t dims[WH_MAX_RANK];
  if (!known || !folds_numbers(o, &x, 1) || !is_integer(x->dtype) || x->n == 0 || axes != (1u << x->rank) - 1)
    return NULL;
  for (int d = 0; d < x->rank; d++) dims[d] = 1;
  wh_datum *y = fresh(o, x->dtype, keep ? x->rank : 0, dims, &x, 1);
  if (!y) return NULL;
  int64_t v = ox_element_int(x, 0);
  for (size_t i = 1; i < x->n; i++)
    (void)integer_op(step, wh_dtype_is(x->dtype, WH_CLASS_SIGNED), v, ox_element_int(x, i), &v);
  ox_store_int(y->dtype, room(y), 0, v);
  return y;
}
