/* ops_structure.c - operators that move elements: shapes, slices, pads, indices. */
#include <inttypes.h>
#include <string.h>

#include "import/onnx/lowerings.h"

void ox_lower_identity(ox *o) { ox_give(o, 0, ox_any(o, 0)); }

/* ---- constants ---- */

void ox_lower_constant(ox *o) {
  size_t n;
  wh_datum *d = ox_attr_tensor(o, "value");
  if (!d && ox_attr(o, "value_float")) d = ox_scalar(o, WH_DTYPE_F32, ox_attr_f(o, "value_float", 0));
  if (!d && ox_attr(o, "value_int")) {
    const int64_t v = ox_attr_long(o, "value_int", 0);
    d = ox_reshape(o, ox_const_ints(o, &v, 1), 0, NULL);
  }
  if (!d && ox_attr(o, "value_floats")) {
    const float *v = ox_attr_floats(o, "value_floats", &n);
    d = ox_const_floats(o, v, n);
  }
  if (!d && ox_attr(o, "value_ints")) {
    const int64_t *v = ox_attr_longs(o, "value_ints", &n);
    d = ox_const_ints(o, v, n);
  }
  if (!d && (ox_attr(o, "value_string") || ox_attr(o, "value_strings"))) {
    const wh_str one = ox_attr(o, "value_string") ? ox_attr_s(o, "value_string", "") : (wh_str){NULL, 0};
    const wh_str *many = one.data ? &one : ox_attr_strings(o, "value_strings", &n);
    if (one.data) n = 1;
    const int64_t dim = (int64_t)n;
    d = ox_new_strings(o, one.data ? 0 : 1, &dim);
    for (size_t i = 0; i < n && o->st == WH_OK; i++) ((wh_str *)(uintptr_t)d->strings)[i] = many[i];
  }
  if (!d) d = ox_attr_tensor(o, "sparse_value");
  if (!d) OX_FAIL(o, ERR_CORRUPT, "it has no value");
  ox_give(o, 0, d);
}

void ox_lower_constant_of_shape(ox *o) {
  wh_datum *shape = ox_in(o, 0), *value = ox_attr_tensor(o, "value");
  const int64_t *dims = ox_dims(o, shape);
  if (!value) value = ox_scalar(o, WH_DTYPE_F32, 0);
  if (!dims) return;
  wh_datum *d = ox_expand(o, ox_reshape(o, value, 0, NULL), (int)shape->n, dims);
  ox_give(o, 0, d);
}

void ox_lower_eye_like(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const wh_dtype dtype = ox_attr_dtype(o, "dtype", x->dtype);
  const int64_t k = ox_attr_i(o, "k", 0);
  if (x->rank != 2) OX_FAIL(o, ERR_CORRUPT, "its input has rank %d, not 2", x->rank);
  wh_datum *y = o->st == WH_OK ? ox_new(o, dtype, 2, x->dims) : &o->nothing;
  for (int64_t r = 0; o->st == WH_OK && r < x->dims[0]; r++)
    if (r + k >= 0 && r + k < x->dims[1])
      ox_store(dtype, (void *)(uintptr_t)y->data, (size_t)(r * x->dims[1] + r + k), 1);
  ox_give(o, 0, y);
}

/* i64[n] from `first` on; one of both is open. */
static wh_datum *open_range(ox *o, int64_t first, int64_t n) {
  wh_datum *places = ox_places(o, n);
  return first ? ox_add(o, places, ox_dim_value(o, first, WH_DTYPE_I64)) : places;
}

void ox_lower_range(ox *o) {
  wh_datum *first = ox_in(o, 0), *in[] = {first, ox_in(o, 1), ox_in(o, 2)};
  const bool is_float = wh_dtype_is_float(first->dtype);
  int64_t n = 0;
  if (is_float) {
    const double a = ox_double(o, in[0]), b = ox_double(o, in[1]), step = ox_double(o, in[2]);
    const double count = (b - a) / step;
    if (!(count <= 1e12)) OX_FAIL(o, ERR_INVALID_ARGUMENT, "its step is zero or its limit too far away");
    n = count > 0 ? (int64_t)count + ((double)(int64_t)count < count) : 0;
    wh_datum *y = ox_from(o, ox_new(o, first->dtype, 1, &n), in, 3);
    for (int64_t i = 0; i < n && o->st == WH_OK; i++)
      ox_store(first->dtype, (void *)(uintptr_t)y->data, (size_t)i, a + (double)i * step);
    ox_give(o, 0, y);
    return;
  }
  const int64_t a = ox_open_long(o, in[0]), b = ox_open_long(o, in[1]), step = ox_long(o, in[2]);
  int64_t span;
  if (ox_is_open(o, a) || ox_is_open(o, b)) {
    if (step != 1) OX_FAIL(o, ERR_UNSUPPORTED, "it steps over open dims");
    if (o->st == WH_OK)
      ox_give(o, 0, ox_cast(o, open_range(o, a, ox_dim_binary(o, WH_DIM_SUB, b, a)), first->dtype));
    return;
  }
  if (step == 0 || __builtin_sub_overflow(b, a, &span))
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "its step is zero or its limit too far away");
  if (o->st != WH_OK) return;
  n = (span > 0) == (step > 0) && span != 0 ? (span - (step > 0 ? 1 : -1)) / step + 1 : 0;
  wh_datum *y = ox_from(o, ox_new(o, first->dtype, 1, &n), in, 3);
  for (int64_t i = 0; i < n && o->st == WH_OK; i++)
    ox_store_int(first->dtype, (void *)(uintptr_t)y->data, (size_t)i, a + i * step);
  ox_give(o, 0, y);
}

/* ---- shapes ---- */

void ox_lower_shape(ox *o) {
  wh_datum *x = ox_in(o, 0);
  int64_t start = ox_attr_long(o, "start", 0), end = ox_attr_long(o, "end", x->rank);
  if (start < 0) start += x->rank;
  if (end < 0) end += x->rank;
  if (start < 0 || start > x->rank) start = start < 0 ? 0 : x->rank;
  if (end > x->rank) end = x->rank;
  ox_give(o, 0, ox_const_ints(o, x->dims + start, end > start ? (size_t)(end - start) : 0));
}

void ox_lower_size(ox *o) {
  const wh_datum *x = ox_in(o, 0);
  const int64_t n = ox_has_open_dims(o, x) ? ox_product(o, x->dims, 0, x->rank) : (int64_t)x->n;
  ox_give(o, 0, ox_reshape(o, ox_const_ints(o, &n, 1), 0, NULL));
}

void ox_lower_reshape(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int64_t *want;
  size_t n;
  if (ox_opset(o) < 5) {
    want = ox_attr_ints(o, "shape", &n);
  } else {
    wh_datum *shape = ox_in(o, 1);
    want = ox_dims(o, shape);
    n = shape->n;
  }
  int64_t dims[WH_MAX_RANK];
  if (n > WH_MAX_RANK)
    OX_FAIL(o, ERR_LIMIT, "its shape has %zu dimensions, at most %d are computed", n, WH_MAX_RANK);
  if (!want && n) return;
  const bool zero_is_zero = ox_attr_i(o, "allowzero", 0);
  size_t rest = 1, open = n;
  for (size_t i = 0; i < n && o->st == WH_OK; i++) {
    dims[i] = want[i];
    if (dims[i] == 0 && !zero_is_zero) {
      if ((int)i >= x->rank)
        OX_FAIL(o, ERR_CORRUPT, "dimension %zu is to stay, and its input has rank %d", i, x->rank);
      dims[i] = (int)i < x->rank ? x->dims[i] : 0;
    }
    if (dims[i] == -1) {
      if (open < n) OX_FAIL(o, ERR_CORRUPT, "two dimensions of its shape are -1");
      open = i;
    } else if (ox_dim_now(o, dims[i]) < 0 || !wh_mul_size(rest, (size_t)ox_dim_now(o, dims[i]), &rest)) {
      OX_FAIL(o, ERR_CORRUPT, "dimension %zu of its shape is %" PRId64, i, dims[i]);
    }
  }
  if (open < n && (rest == 0 ? x->n != 0 : x->n % rest != 0))
    OX_FAIL(o, ERR_CORRUPT, "%zu elements are no multiple of the %zu of the given dimensions", x->n, rest);
  if (o->st != WH_OK) return;
  if (open < n) dims[open] = rest ? (int64_t)(x->n / rest) : 0;
  if (open < n && ox_has_open_dims(o, x)) { /* what its input's dims have beyond the others */
    int64_t others[WH_MAX_RANK];
    size_t n_others = 0;
    for (size_t i = 0; i < n; i++)
      if (i != open) others[n_others++] = dims[i];
    dims[open] = ox_dim_quotient(o, x->dims, x->rank, others, n_others);
    if (dims[open] == -1) OX_FAIL(o, ERR_UNSUPPORTED, "a dimension of its shape follows from open ones");
    if (o->st != WH_OK) return;
  }
  if (x->dtype == WH_DTYPE_STRING) {
    x = ox_copy(o, x);
    x->rank = (int)n;
    memcpy(x->dims, dims, n * sizeof *dims);
    ox_give(o, 0, x);
    return;
  }
  ox_give(o, 0, ox_reshape(o, x, (int)n, dims));
}

void ox_lower_flatten(ox *o) {
  wh_datum *x = ox_in(o, 0);
  int64_t axis = ox_attr_i(o, "axis", 1);
  if (axis < 0) axis += x->rank;
  if (axis < 0 || axis > x->rank)
    OX_FAIL(o, ERR_CORRUPT, "axis %" PRId64 " of %d does not exist", axis, x->rank);
  if (o->st != WH_OK) return;
  ox_give(
      o, 0,
      ox_flatten_to(o, x, ox_product(o, x->dims, 0, (int)axis), ox_product(o, x->dims, (int)axis, x->rank)));
}

/* Axes as an attribute, or from `since` on as input `i`. *n 0: not given. */
static const int64_t *axes_of(ox *o, int since, size_t i, size_t *n) {
  if (ox_opset(o) < since) return ox_attr_ints(o, "axes", n);
  wh_datum *d = ox_maybe(o, i);
  *n = d ? d->n : 0;
  return d ? ox_ints(o, d) : NULL;
}

void ox_lower_squeeze(ox *o) {
  size_t n;
  const int64_t *axes = axes_of(o, 13, 1, &n);
  wh_datum *x = ox_in(o, 0);
  unsigned drop = 0;
  if (n) {
    drop = ox_axes(o, axes, n, x->rank);
  } else {
    for (int i = 0; i < x->rank; i++) {
      drop |= (unsigned)(x->dims[i] == 1) << i;
      if (ox_is_open(o, x->dims[i]) && ox_dim_least(o, x->dims[i]) < 2)
        OX_FAIL(o, ERR_UNSUPPORTED, "axis %d is open and may have one element", i);
    }
  }
  for (int i = 0; i < x->rank; i++)
    if (drop >> i & 1 && x->dims[i] != 1)
      OX_FAIL(o, ERR_CORRUPT, "axis %d has %" PRId64 " elements and cannot be dropped", i, x->dims[i]);
  ox_give(o, 0, ox_drop_axes(o, x, drop));
}

void ox_lower_unsqueeze(ox *o) {
  size_t n;
  const int64_t *axes = axes_of(o, 13, 1, &n);
  wh_datum *x = ox_in(o, 0);
  if (o->st != WH_OK) return;
  const int rank = x->rank + (int)n;
  if (n > WH_MAX_RANK || rank > WH_MAX_RANK)
    OX_FAIL(o, ERR_LIMIT, "its result has rank %d, at most %d is computed", rank, WH_MAX_RANK);
  if (o->st != WH_OK) return;
  ox_give(o, 0, n ? ox_insert_axes(o, x, ox_axes(o, axes, n, rank), rank) : x);
}

void ox_lower_transpose(ox *o) {
  wh_datum *x = ox_in(o, 0);
  size_t n;
  const int64_t *perm = ox_attr_ints(o, "perm", &n);
  int64_t order[WH_MAX_RANK];
  unsigned seen = 0;
  if (perm && n != (size_t)x->rank) OX_FAIL(o, ERR_CORRUPT, "perm has %zu entries for %d axes", n, x->rank);
  for (int i = 0; i < x->rank && o->st == WH_OK; i++) {
    order[i] = perm ? ox_axis(o, perm[i], x->rank) : x->rank - 1 - i;
    if (seen >> order[i] & 1) OX_FAIL(o, ERR_CORRUPT, "perm names an axis twice");
    seen |= 1u << order[i];
  }
  ox_give(o, 0, ox_transpose(o, x, order));
}

void ox_lower_expand(ox *o) {
  wh_datum *x = ox_in(o, 0), *shape = ox_in(o, 1);
  const int64_t *want = ox_dims(o, shape);
  int64_t dims[WH_MAX_RANK];
  if (!want) return;
  if (shape->n > WH_MAX_RANK) OX_FAIL(o, ERR_LIMIT, "its shape has %zu dimensions", shape->n);
  if (o->st != WH_OK) return;
  wh_datum to = {.rank = (int)shape->n};
  memcpy(to.dims, want, shape->n * sizeof *want);
  for (int i = 0; i < to.rank; i++)
    if (ox_dim_now(o, to.dims[i]) < 0) OX_FAIL(o, ERR_CORRUPT, "its shape has a negative dimension");
  const int rank = ox_broadcast(o, x, &to, dims);
  ox_give(o, 0, ox_expand(o, x, rank, dims));
}

void ox_lower_tile(ox *o) {
  wh_datum *x = ox_in(o, 0);
  int64_t repeats[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) repeats[i] = 1;
  if (ox_opset(o) < 6) {
    const int64_t times = ox_int(o, ox_in(o, 1));
    const int axis = ox_axis(o, ox_int(o, ox_in(o, 2)), x->rank);
    repeats[axis] = times;
  } else {
    wh_datum *r = ox_in(o, 1);
    const int64_t *v = ox_ints(o, r);
    if (v && r->n != (size_t)x->rank)
      OX_FAIL(o, ERR_CORRUPT, "there are %zu repeats for %d axes", r->n, x->rank);
    for (int i = 0; v && o->st == WH_OK && i < x->rank; i++) repeats[i] = v[i];
  }
  const wh_attr a = ox_a_ints(WH_ATTR_REPEATS, repeats, (size_t)x->rank);
  ox_give(o, 0, ox_node1(o, WH_OP_TILE, &x, 1, &a, 1));
}

/* The same bytes as elements of another type: no device moves them, so that a built value ends the stage. */
void ox_lower_bit_cast(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const wh_dtype to = ox_attr_dtype(o, "to", x->dtype);
  if (!ox_size_of(to) || ox_size_of(to) != ox_size_of(x->dtype))
    OX_FAIL(o, ERR_UNSUPPORTED, "elements of %s and %s are not of one size", wh_dtype_name(x->dtype),
            wh_dtype_name(to));
  if (x->kind == WH_DATUM_BUILT) ox_need(o, x);
  wh_datum *y = o->st == WH_OK ? ox_copy(o, x) : x;
  if (o->st != WH_OK) return;
  y->kind = WH_DATUM_TENSOR;
  y->dtype = to;
  y->value = 0;
  y->codes = NULL; /* other elements */
  ox_give(o, 0, y);
}

/* ---- parts ---- */

void ox_lower_concat(ox *o) {
  wh_datum **x = ox_array(o, ox_n_in(o), sizeof *x);
  if (!x) return;
  for (size_t i = 0; i < ox_n_in(o); i++) x[i] = ox_in(o, i);
  if (ox_n_in(o) == 0) OX_FAIL(o, ERR_CORRUPT, "it has no inputs");
  if (o->st != WH_OK) return;
  const int axis = ox_axis(o, ox_attr_i(o, "axis", 1), x[0]->rank);
  ox_give(o, 0, ox_concat(o, axis, x, ox_n_in(o)));
}

void ox_lower_split(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", 0), x->rank);
  const int64_t n_out = (int64_t)ox_n_out(o), size = x->dims[axis];
  const int64_t *parts = NULL;
  size_t n = 0;
  if (ox_has(o, 1)) {
    parts = ox_ints(o, ox_in(o, 1));
    n = ox_in(o, 1)->n;
  } else if (ox_opset(o) < 13) {
    parts = ox_attr_ints(o, "split", &n);
  }
  if (parts && (int64_t)n != n_out)
    OX_FAIL(o, ERR_CORRUPT, "it has %" PRId64 " outputs and %zu sizes", n_out, n);
  const int64_t even = n_out ? (size + n_out - 1) / n_out : 0;
  int64_t at = 0;
  for (int64_t i = 0; i < n_out && o->st == WH_OK; i++) {
    int64_t part = parts ? parts[i] : even;
    if (!parts && part > size - at) part = size - at;
    ox_give(o, (size_t)i, ox_part(o, x, axis, at, part));
    at += part;
  }
}

/* From `start` to `end`, in steps of one, along an axis of `size`, one of which is open: the place of the
 * first element (it may be open) and how many there are, whatever the symbols are. */
static void open_part(ox *o, int64_t size, int64_t start, int64_t end, int64_t *from, int64_t *count) {
  const int64_t least = ox_dim_least(o, size);
  if (!ox_is_open(o, start) && start < 0) {
    if (start < -least) OX_FAIL(o, ERR_UNSUPPORTED, "it begins at an open place");
    start = o->st == WH_OK ? ox_dim_binary(o, WH_DIM_SUB, size, -start) : 0;
  }
  if (o->st != WH_OK) return;
  if (ox_is_open(o, end) && !ox_is_open(o, size))
    (void)ox_dim_at_most(o, end, size);
  else if (!ox_is_open(o, end) && end < 0 && end >= -least)
    end = ox_dim_binary(o, WH_DIM_SUB, size, -end);
  else if (end != size && !(end >= 0 && end <= least) && !ox_is_open(o, end) && end >= ox_dim_most(o, size))
    end = size; /* all that is left */
  else if (end != size && !(end >= 0 && end <= least))
    OX_FAIL(o, ERR_UNSUPPORTED, "it ends at an open place");
  *from = start;
  *count = o->st == WH_OK ? ox_dim_binary(o, WH_DIM_SUB, end, start) : 0;
}

void ox_lower_slice(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int64_t *starts, *ends, *axes = NULL, *steps = NULL;
  size_t n, n_ends, n_axes = 0, n_steps = 0;
  if (ox_opset(o) < 10) {
    starts = ox_attr_longs(o, "starts", &n);
    ends = ox_attr_longs(o, "ends", &n_ends);
    axes = ox_attr_ints(o, "axes", &n_axes);
  } else {
    starts = ox_open_longs(o, ox_in(o, 1));
    ends = ox_open_longs(o, ox_in(o, 2));
    n = ox_in(o, 1)->n;
    n_ends = ox_in(o, 2)->n;
    if (ox_has(o, 3)) {
      axes = ox_ints(o, ox_in(o, 3));
      n_axes = ox_in(o, 3)->n;
    }
    if (ox_has(o, 4)) {
      steps = ox_longs(o, ox_in(o, 4));
      n_steps = ox_in(o, 4)->n;
    }
  }
  if (n != n_ends || (axes && n_axes != n) || (steps && n_steps != n) || n > WH_MAX_RANK ||
      (!axes && (int)n > x->rank))
    OX_FAIL(o, ERR_CORRUPT, "starts, ends, axes and steps are not as many");
  int64_t from[WH_MAX_RANK], by[WH_MAX_RANK], counts[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) {
    from[i] = 0;
    by[i] = 1;
    counts[i] = x->dims[i];
  }
  for (size_t i = 0; i < n && o->st == WH_OK; i++) {
    const int axis = axes ? ox_axis(o, axes[i], x->rank) : (int)i;
    const int64_t size = x->dims[axis], step = steps ? steps[i] : 1;
    int64_t a = starts[i], b = ends[i];
    if (step == 0 || step == INT64_MIN) OX_FAIL(o, ERR_CORRUPT, "a step is 0");
    const bool open = ox_is_open(o, size) || ox_is_open(o, a) || ox_is_open(o, b);
    if (open && step != 1) OX_FAIL(o, ERR_UNSUPPORTED, "steps over open dims");
    if (open) open_part(o, size, a, b, &from[axis], &counts[axis]);
    if (open && ox_is_open(o, from[axis]) && o->st == WH_OK) {
      x = ox_gather(o, x, open_range(o, from[axis], counts[axis]), axis);
      from[axis] = 0;
    }
    if (o->st != WH_OK) return;
    if (open) continue;
    if (a < 0) a = a < -size ? -1 : a + size;
    if (b < 0) b = b < -size ? -1 : b + size;
    if (step > 0) {
      a = a < 0 ? 0 : a > size ? size : a;
      b = b < 0 ? 0 : b > size ? size : b;
      counts[axis] = b > a ? (b - a - 1) / step + 1 : 0;
    } else {
      a = a > size - 1 ? size - 1 : a;
      b = b > size - 1 ? size - 1 : b;
      counts[axis] = a > b && a >= 0 ? (a - b - 1) / -step + 1 : 0;
    }
    from[axis] = counts[axis] ? a : 0;
    by[axis] = counts[axis] > 1 ? step : 1;
  }
  ox_give(o, 0, ox_slice(o, x, from, by, counts));
}

void ox_lower_pad(ox *o) {
  wh_datum *x = ox_in(o, 0), *value = NULL;
  const wh_str mode_text = ox_attr_s(o, "mode", "constant");
  const int mode = wh_str_is(mode_text, "constant")  ? 0
                   : wh_str_is(mode_text, "reflect") ? 1
                   : wh_str_is(mode_text, "edge")    ? 2
                   : wh_str_is(mode_text, "wrap")    ? 3
                                                     : -1;
  const int64_t *pads, *axes = NULL;
  size_t n, n_axes = (size_t)x->rank;
  if (mode < 0) OX_FAIL(o, ERR_UNSUPPORTED, "its mode is not known");
  if (ox_opset(o) < 11) {
    pads = ox_attr_ints(o, ox_opset(o) < 2 ? "paddings" : "pads", &n);
    if (mode == 0) value = ox_num(o, x, ox_attr_f(o, "value", 0));
  } else {
    pads = ox_ints(o, ox_in(o, 1));
    n = ox_in(o, 1)->n;
    value = mode == 0 ? ox_maybe(o, 2) : NULL;
    if (ox_has(o, 3)) {
      axes = ox_ints(o, ox_in(o, 3));
      n_axes = ox_in(o, 3)->n;
    }
  }
  if (n != 2 * n_axes) OX_FAIL(o, ERR_CORRUPT, "there are %zu pads for %zu axes", n, n_axes);
  int64_t grow[2 * WH_MAX_RANK] = {0}, starts[WH_MAX_RANK] = {0}, steps[WH_MAX_RANK], counts[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) {
    steps[i] = 1;
    counts[i] = x->dims[i];
  }
  for (size_t i = 0; i < n_axes && o->st == WH_OK; i++) {
    const int axis = axes ? ox_axis(o, axes[i], x->rank) : (int)i;
    const int64_t before = pads[i], after = pads[i + n_axes];
    if (before < -WH_DIM_LIMIT || after < -WH_DIM_LIMIT) OX_FAIL(o, ERR_CORRUPT, "a pad is too small");
    if (before < 0) starts[axis] = -before;
    if ((before < 0 || after < 0) && ox_is_open(o, x->dims[axis]))
      OX_FAIL(o, ERR_UNSUPPORTED, "it cuts an open dim");
    counts[axis] += (before < 0 ? before : 0) + (after < 0 ? after : 0);
    if (counts[axis] < 0 && !ox_is_open(o, counts[axis]))
      OX_FAIL(o, ERR_CORRUPT, "axis %d is cropped by more than it has", axis);
    grow[axis] = before > 0 ? before : 0;
    grow[x->rank + axis] = after > 0 ? after : 0;
  }
  if (value && o->st == WH_OK) value = ox_reshape(o, value, 0, NULL);
  x = ox_slice(o, x, starts, steps, counts);
  if (o->st == WH_OK && x->n == 0 && mode == 0) { /* nothing but padding */
    int64_t dims[WH_MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
      dims[i] = ox_dim_binary(o, WH_DIM_ADD, x->dims[i], grow[i]);
      dims[i] = ox_dim_binary(o, WH_DIM_ADD, dims[i], grow[x->rank + i]);
    }
    ox_give(o, 0, ox_expand(o, value ? value : ox_num(o, x, 0), x->rank, dims));
    return;
  }
  ox_give(o, 0, ox_pad(o, x, grow, mode, value));
}

void ox_lower_depth_to_space(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int64_t b = ox_attr_i(o, "blocksize", 0);
  const bool to_space = ox_arg(o);
  const bool open = x->rank == 4 && (ox_is_open(o, x->dims[1]) || (!to_space && ox_has_open_dims(o, x)));
  if (open) OX_FAIL(o, ERR_UNSUPPORTED, "its blocks are of open dims");
  if (x->rank != 4 || b < 1 || (to_space ? x->dims[1] % (b * b) : (x->dims[2] % b || x->dims[3] % b)))
    OX_FAIL(o, ERR_CORRUPT, "its input does not divide into blocks of %" PRId64, b);
  if (o->st != WH_OK) return;
  const int64_t n = x->dims[0], c = x->dims[1], h = x->dims[2], w = x->dims[3];
  if (!to_space) {
    const int64_t six[] = {n, c, h / b, b, w / b, b}, dcr[] = {0, 3, 5, 1, 2, 4}, rows[] = {0, 1, 3, 5, 2, 4},
                  dims[] = {n, c * b * b, h / b, w / b};
    const int64_t *perm = wh_str_is(ox_attr_s(o, "mode", "DCR"), "CRD") ? rows : dcr;
    ox_give(o, 0, ox_reshape(o, ox_transpose(o, ox_reshape(o, x, 6, six), perm), 4, dims));
    return;
  }
  const bool crd = wh_str_is(ox_attr_s(o, "mode", "DCR"), "CRD");
  const int64_t dcr_dims[] = {n, b, b, c / (b * b), h, w}, crd_dims[] = {n, c / (b * b), b, b, h, w};
  const int64_t dcr_perm[] = {0, 3, 4, 1, 5, 2}, crd_perm[] = {0, 1, 4, 2, 5, 3}, high[] = {h, b},
                wide[] = {w, b},
                dims[] = {n, c / (b * b), ox_product(o, high, 0, 2), ox_product(o, wide, 0, 2)};
  x = ox_transpose(o, ox_reshape(o, x, 6, crd ? crd_dims : dcr_dims), crd ? crd_perm : dcr_perm);
  ox_give(o, 0, ox_reshape(o, x, 4, dims));
}

/* ---- indices ---- */

static wh_datum *indices(ox *o, wh_datum *d) {
  return d->dtype == WH_DTYPE_I32 || d->dtype == WH_DTYPE_I64 ? d : ox_cast(o, d, WH_DTYPE_I64);
}

void ox_lower_gather(ox *o) {
  wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, ox_gather(o, x, indices(o, ox_in(o, 1)), ox_axis(o, ox_attr_i(o, "axis", 0), x->rank)));
}

void ox_lower_gather_elements(ox *o) {
  wh_datum *in[] = {ox_in(o, 0), indices(o, ox_in(o, 1))};
  const wh_attr a = ox_a_i(WH_ATTR_AXIS, ox_axis(o, ox_attr_i(o, "axis", 0), in[0]->rank));
  ox_give(o, 0, ox_node1(o, WH_OP_GATHER_ELEMENTS, in, 2, &a, 1));
}

void ox_lower_gather_nd(ox *o) {
  wh_datum *in[] = {ox_in(o, 0), indices(o, ox_in(o, 1))};
  const wh_attr a = ox_a_i(WH_ATTR_BATCH_DIMS, ox_attr_i(o, "batch_dims", 0));
  ox_give(o, 0, ox_node1(o, WH_OP_GATHER_ND, in, 2, &a, 1));
}

static int64_t reduction(ox *o) {
  static const char *const names[] = {"none", "add", "mul", "min", "max"};
  const wh_str s = ox_attr_s(o, "reduction", "none");
  for (int i = 0; i < 5; i++)
    if (wh_str_is(s, names[i])) return i;
  OX_FAIL(o, ERR_UNSUPPORTED, "its reduction is not known");
  return 0;
}

void ox_lower_scatter_elements(ox *o) {
  wh_datum *x = ox_in(o, 0), *in[] = {x, indices(o, ox_in(o, 1)), ox_in(o, 2)};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, ox_axis(o, ox_attr_i(o, "axis", 0), x->rank)),
                           ox_a_i(WH_ATTR_REDUCTION, reduction(o))};
  if (in[2]->n == 0) {
    ox_give(o, 0, x);
    return;
  }
  ox_give(o, 0, ox_node1(o, WH_OP_SCATTER_ELEMENTS, in, 3, attrs, 2));
}

void ox_lower_scatter_nd(ox *o) {
  wh_datum *x = ox_in(o, 0), *in[] = {x, indices(o, ox_in(o, 1)), ox_in(o, 2)};
  const wh_attr a = ox_a_i(WH_ATTR_REDUCTION, reduction(o));
  if (in[2]->n == 0) {
    ox_give(o, 0, x);
    return;
  }
  ox_give(o, 0, ox_node1(o, WH_OP_SCATTER_ND, in, 3, &a, 1));
}

void ox_lower_trilu(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int64_t k = ox_has(o, 1) ? ox_int(o, ox_in(o, 1)) : 0;
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_UPPER, ox_attr_i(o, "upper", 1) != 0), ox_a_i(WH_ATTR_K, k)};
  ox_give(o, 0, x->n ? ox_node1(o, WH_OP_TRILU, &x, 1, attrs, 2) : x);
}

void ox_lower_cumsum(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int axis = ox_axis(o, ox_int(o, ox_in(o, 1)), x->rank);
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis),
                           ox_a_i(WH_ATTR_EXCLUSIVE, ox_attr_i(o, "exclusive", 0) != 0),
                           ox_a_i(WH_ATTR_REVERSE, ox_attr_i(o, "reverse", 0) != 0)};
  wh_datum *wide = ox_wide(o, x);
  ox_give(o, 0, ox_cast(o, ox_node1(o, WH_OP_CUMSUM, &wide, 1, attrs, 3), x->dtype));
}

void ox_lower_reverse_sequence(ox *o) {
  wh_datum *in[] = {ox_in(o, 0), indices(o, ox_in(o, 1))};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, ox_attr_i(o, "time_axis", 0)),
                           ox_a_i(WH_ATTR_BATCH_AXIS, ox_attr_i(o, "batch_axis", 1))};
  ox_give(o, 0, ox_node1(o, WH_OP_REVERSE_SEQUENCE, in, 2, attrs, 2));
}

/* x as one more axis of `depth` places: on where it equals the place's number, counted from either end */
void ox_lower_one_hot(ox *o) {
  wh_datum *x = ox_in(o, 0), *values = ox_in(o, 2);
  const wh_datum *depth_in = ox_in(o, 1);
  const int64_t depth = depth_in->n == 1 ? ox_int(o, ox_reshape(o, ox_in(o, 1), 0, NULL)) : -1;
  if (depth < 0 || depth > WH_DIM_LIMIT || values->n != 2)
    OX_FAIL(o, ERR_CORRUPT, "its depth or its values are none");
  if (o->st != WH_OK) return;
  const int rank = x->rank + 1, axis = ox_axis(o, ox_attr_i(o, "axis", -1), rank);
  if (rank > WH_MAX_RANK) OX_FAIL(o, ERR_LIMIT, "its result has rank %d", rank);
  wh_datum *places = ox_new(o, WH_DTYPE_I64, 1, &depth);
  for (int64_t i = 0; i < depth && o->st == WH_OK; i++) ((int64_t *)(uintptr_t)places->data)[i] = i;
  if (o->st != WH_OK) return;
  wh_datum *id = ox_insert_axes(o, ox_cast(o, x, WH_DTYPE_I64), 1u << axis, rank),
           *n = ox_num(o, id, (double)depth);
  id = ox_where(o, ox_binary(o, WH_OP_LESS, id, ox_num(o, id, 0)), ox_add(o, id, n), id);
  wh_datum *hit = ox_binary(o, WH_OP_EQUAL, id, ox_per_channel(o, places, rank, axis));
  wh_datum *off = ox_reshape(o, ox_part(o, values, 0, 0, 1), 0, NULL),
           *on = ox_reshape(o, ox_part(o, values, 0, 1, 1), 0, NULL);
  ox_give(o, 0, ox_where(o, hit, on, off));
}
