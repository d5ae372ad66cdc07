/* build.c - nodes of the stage's graph: operands made to fit, outputs as data. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import/onnx/importer.h"

static bool want_graph(ox *o) {
  if (o->st == WH_OK && !o->g) ox_try(o, wh_graph_create("onnx", o->alloc, &o->g));
  return o->st == WH_OK;
}

static void shape_of(ox *o, const wh_datum *d, wh_shape *out) {
  *out = (wh_shape){.dtype = d->dtype, .rank = d->rank};
  for (int i = 0; i < d->rank; i++) out->dims[i] = ox_dim(o, d->dims[i]);
}

static void push(ox *o, wh_datum ***list, size_t *n, size_t *capacity, wh_datum *d) {
  if (!wh_grow_array(o->alloc, (void **)list, capacity, *n, *n + 1, sizeof **list)) {
    if (o->st == WH_OK) o->st = WH_OOM("ONNX graph");
    return;
  }
  (*list)[(*n)++] = d;
}

wh_value ox_value(ox *o, wh_datum *d) {
  if (!want_graph(o)) return 0;
  if (d->value && d->stage == o->stage) return d->value;
  if (d->kind != WH_DATUM_TENSOR || !d->data) {
    OX_FAIL(o, ERR_UNSUPPORTED, "%s cannot be computed with on a device",
            d->strings ? "strings" : "sequences, optionals and values of another stage");
    return 0;
  }
  char name[24];
  wh_shape shape;
  wh_value v = 0;
  shape_of(o, d, &shape);
  if (ox_has_open_elements(o, d)) {
    v = ox_value(o, ox_open_value(o, d));
  } else if (d->is_weight && ox_has_open_dims(o, d)) {
    OX_FAIL(o, ERR_UNSUPPORTED, "a constant's shape is open");
  } else if (d->is_weight) {
    size_t n_bytes = 0;
    (void)snprintf(name, sizeof name, "w%u", o->n_names++);
    if (o->st == WH_OK && !wh_shape_bytes(o->g, &shape, NULL, &n_bytes))
      OX_FAIL(o, ERR_LIMIT, "a weight's size overflows");
    if (o->st == WH_OK)
      ox_try(o, wh_graph_add_const(o->g, name, &shape, d->data, n_bytes, d->is_kept ? d->data : NULL, &v));
  } else {
    (void)snprintf(name, sizeof name, "i%zu", o->n_feeds);
    if (o->st == WH_OK) ox_try(o, wh_graph_add_input(o->g, name, &shape, &v));
    push(o, &o->feeds, &o->n_feeds, &o->feeds_capacity, d);
  }
  d->value = v;
  d->stage = o->stage;
  return v;
}

/* As ox_count, of open dims as they are in this execution. */
static bool count_now(ox *o, const int64_t *dims, int rank, size_t *n) {
  int64_t now[WH_MAX_RANK];
  if (!o->symbols || rank > WH_MAX_RANK) return ox_count(dims, rank, n);
  for (int i = 0; i < rank; i++) now[i] = ox_dim_now(o, dims[i]);
  return ox_count(now, rank, n);
}

/* What a node gives. Without elements, it is known. */
static wh_datum *result(ox *o, wh_value v) {
  const wh_shape *s = &o->g->values[v].shape;
  wh_datum *d = ox_array(o, 1, sizeof *d);
  if (!d) return &o->nothing;
  d->kind = WH_DATUM_BUILT;
  d->dtype = s->dtype;
  d->rank = s->rank;
  for (int i = 0; i < s->rank; i++) d->dims[i] = ox_dim_of(o, s->dims[i]);
  if (!count_now(o, d->dims, d->rank, &d->n)) OX_FAIL(o, ERR_LIMIT, "a value has too many elements");
  d->value = v;
  d->stage = o->stage;
  if (d->n == 0 && ox_has_open_dims(o, d)) OX_FAIL(o, ERR_UNSUPPORTED, "an open value may be empty");
  if (d->n == 0) return ox_new(o, d->dtype, d->rank, d->dims);
  push(o, &o->built, &o->n_built, &o->built_capacity, d);
  return d;
}

void ox_node_n(ox *o, wh_op op, wh_datum *const *in, size_t n_in, const wh_attr *attrs, size_t n_attrs,
               wh_datum **outs, size_t n_outs) {
  wh_value few_in[8], few_out[8];
  for (size_t i = 0; i < n_outs; i++) outs[i] = &o->nothing;
  wh_value *values = n_in <= 8 ? few_in : ox_array(o, n_in, sizeof *values);
  wh_value *made = n_outs <= 8 ? few_out : ox_array(o, n_outs, sizeof *made);
  if (!values || !made || !want_graph(o)) return;
  for (size_t i = 0; i < n_in; i++) values[i] = in[i] ? ox_value(o, in[i]) : 0;
  if (o->st != WH_OK) return;
  char name[160];
  const wh_onnx_node *src = o->node ? o->node->src : NULL;
  const wh_str from = !src ? wh_str_from("") : src->name.len || !src->n_outputs ? src->name : src->outputs[0];
  (void)snprintf(name, sizeof name, "%u." WH_STR_FMT, o->n_names++, WH_STR_ARG(from));
  const wh_node_def def = {
      .op = op, .name = name, .inputs = values, .n_inputs = n_in, .attrs = attrs, .n_attrs = n_attrs};
  ox_try(o, wh_graph_add(o->g, &def, made));
  for (size_t i = 0; i < n_outs && o->st == WH_OK; i++) outs[i] = result(o, made[i]);
}

wh_datum *ox_node1(ox *o, wh_op op, wh_datum *const *in, size_t n_in, const wh_attr *attrs, size_t n_attrs) {
  wh_datum *out;
  ox_node_n(o, op, in, n_in, attrs, n_attrs, &out, 1);
  return out;
}

wh_attr ox_a_dims(ox *o, wh_attr_key key, int rank, const int64_t *dims) {
  wh_attr a = {.key = key, .rank = rank};
  if (!want_graph(o)) return a;
  if (rank > WH_MAX_RANK) {
    OX_FAIL(o, ERR_LIMIT, "a value has rank %d, at most %d is computed", rank, WH_MAX_RANK);
    return a;
  }
  for (int i = 0; i < rank; i++) a.dims[i] = ox_dim(o, dims[i]);
  return a;
}

/* Both: the node, and what the host computed for itself. */
static wh_datum *with_shadow(ox *o, wh_datum *built, const wh_datum *shadow) {
  if (o->st != WH_OK || !shadow || built->kind != WH_DATUM_BUILT || built->data) return built;
  built->data = shadow->data;
  built->depends = shadow->depends;
  built->is_cheap = true;
  return built;
}

/* Whether the host's result is all that is needed. */
static bool is_settled(const ox *o, const wh_datum *folded) {
  return o->st != WH_OK || (folded && folded->is_weight);
}

/* ---- elementwise ---- */

static bool is_half(const wh_datum *x) { return x->dtype == WH_DTYPE_F16 || x->dtype == WH_DTYPE_BF16; }

wh_datum *ox_wide(ox *o, wh_datum *x) { return is_half(x) ? ox_cast(o, x, WH_DTYPE_F32) : x; }
wh_datum *ox_f32(ox *o, wh_datum *x) { return ox_cast(o, x, WH_DTYPE_F32); }

wh_datum *ox_num(ox *o, const wh_datum *like, double v) { return ox_scalar(o, like->dtype, v); }

wh_datum *ox_unary(ox *o, wh_op op, wh_datum *x) {
  if (o->st != WH_OK) return &o->nothing;
  if (is_half(x)) {
    const wh_dtype back = x->dtype;
    wh_datum *y = ox_unary(o, op, ox_wide(o, x));
    return y->dtype == WH_DTYPE_BOOL ? y : ox_cast(o, y, back);
  }
  wh_datum *shadow = ox_fold_unary(o, op, x);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  return with_shadow(o, ox_node1(o, op, &x, 1, NULL, 0), shadow);
}

wh_datum *ox_binary(ox *o, wh_op op, wh_datum *a, wh_datum *b) {
  if (o->st != WH_OK) return &o->nothing;
  if (is_half(a) && a->dtype == b->dtype) {
    const wh_dtype back = a->dtype;
    wh_datum *y = ox_binary(o, op, ox_wide(o, a), ox_wide(o, b));
    return y->dtype == WH_DTYPE_BOOL ? y : ox_cast(o, y, back);
  }
  wh_datum *in[2] = {a, b};
  ox_meet(o, a, b);
  wh_datum *shadow = ox_fold_binary(o, op, a, b);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  return with_shadow(o, ox_node1(o, op, in, 2, NULL, 0), shadow);
}

wh_datum *ox_cast_sat(ox *o, wh_datum *x, wh_dtype to, bool saturate) {
  if (o->st != WH_OK) return &o->nothing;
  if (x->dtype == to) return x;
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_TO, to), ox_a_i(WH_ATTR_SATURATE, saturate)};
  wh_datum *shadow = ox_fold_cast(o, x, to);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  return with_shadow(o, ox_node1(o, WH_OP_CAST, &x, 1, attrs, 2), shadow);
}

wh_datum *ox_cast(ox *o, wh_datum *x, wh_dtype to) { return ox_cast_sat(o, x, to, true); }

wh_datum *ox_where(ox *o, wh_datum *cond, wh_datum *a, wh_datum *b) {
  if (o->st != WH_OK) return &o->nothing;
  wh_datum *in[3] = {cond, a, b};
  ox_meet(o, cond, a);
  ox_meet(o, cond, b);
  ox_meet(o, a, b);
  wh_datum *shadow = ox_fold_where(o, cond, a, b);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  return with_shadow(o, ox_node1(o, WH_OP_WHERE, in, 3, NULL, 0), shadow);
}

/* ---- structure ---- */

static size_t count(ox *o, int rank, const int64_t *dims) {
  size_t n = 0;
  if (!count_now(o, dims, rank, &n)) OX_FAIL(o, ERR_LIMIT, "a shape overflows");
  return n;
}

static bool same_dims(const wh_datum *x, int rank, const int64_t *dims) {
  return x->rank == rank && (rank == 0 || memcmp(x->dims, dims, (size_t)rank * sizeof *dims) == 0);
}

static bool has_open(const ox *o, int rank, const int64_t *dims) {
  for (int i = 0; i < rank; i++)
    if (ox_is_open(o, dims[i])) return true;
  return false;
}

wh_datum *ox_reshape(ox *o, wh_datum *x, int rank, const int64_t *dims) {
  if (o->st != WH_OK) return &o->nothing;
  if (rank > WH_MAX_RANK) {
    OX_FAIL(o, ERR_LIMIT, "a value has rank %d, at most %d is computed", rank, WH_MAX_RANK);
    return &o->nothing;
  }
  if (count(o, rank, dims) != x->n)
    OX_FAIL(o, ERR_CORRUPT, "a value of %zu elements cannot take a shape of %zu", x->n, count(o, rank, dims));
  if (o->st != WH_OK) return &o->nothing;
  if (same_dims(x, rank, dims)) return x;
  const wh_dtype_info *t = wh_dtype_get(x->dtype);
  const bool same_rows = x->rank && rank && x->dims[x->rank - 1] == dims[rank - 1];
  if (t->block_elems > 1 && x->n > 1 && !same_rows)
    OX_FAIL(o, ERR_UNSUPPORTED, "elements of a part of a byte keep the length of their rows");
  if (x->kind == WH_DATUM_BUILT || ox_has_open_dims(o, x) || has_open(o, rank, dims)) {
    const bool known =
        x->kind == WH_DATUM_BUILT && x->data; /* of inputs, the graph's rule proves the shape */
    const wh_attr shape = ox_a_dims(o, WH_ATTR_SHAPE, rank, dims);
    return with_shadow(o, ox_node1(o, WH_OP_RESHAPE, &x, 1, &shape, 1), known ? x : NULL);
  }
  wh_datum *d = ox_copy(o, x);
  if (o->st != WH_OK) return d;
  d->rank = rank;
  if (rank) memcpy(d->dims, dims, (size_t)rank * sizeof *dims);
  d->value = 0;
  return d;
}

int64_t ox_product(ox *o, const int64_t *dims, int first, int last) {
  int64_t n = 1;
  for (int i = first; i < last; i++) {
    if (ox_is_open(o, n) || ox_is_open(o, dims[i]))
      n = ox_dim_binary(o, WH_DIM_MUL, n, dims[i]);
    else
      n *= dims[i]; /* of a value that there is */
  }
  return n;
}

wh_datum *ox_flatten_to(ox *o, wh_datum *x, int64_t rows, int64_t columns) {
  const int64_t dims[] = {rows, columns};
  return ox_reshape(o, x, 2, dims);
}

wh_datum *ox_drop_axes(ox *o, wh_datum *x, unsigned axes) {
  int64_t dims[WH_MAX_RANK];
  int rank = 0;
  for (int i = 0; i < x->rank; i++)
    if (!(axes >> i & 1)) dims[rank++] = x->dims[i];
  return ox_reshape(o, x, rank, dims);
}

wh_datum *ox_insert_axes(ox *o, wh_datum *x, unsigned axes, int rank) {
  int64_t dims[32];
  int from = 0;
  if (rank > WH_MAX_RANK)
    OX_FAIL(o, ERR_LIMIT, "a value has rank %d, at most %d is computed", rank, WH_MAX_RANK);
  if (o->st != WH_OK) return &o->nothing;
  for (int i = 0; i < rank; i++) dims[i] = axes >> i & 1 || from >= x->rank ? 1 : x->dims[from++];
  return ox_reshape(o, x, rank, dims);
}

wh_datum *ox_per_channel(ox *o, wh_datum *x, int rank, int axis) {
  int64_t dims[WH_MAX_RANK];
  if (x->rank != 1) return x;
  for (int i = 0; i < rank; i++) dims[i] = i == axis ? x->dims[0] : 1;
  return ox_reshape(o, x, rank, dims);
}

/* dst[c][r] = src[r][c], of elements of `size` bytes. */
static inline void move_columns(char *dst, const char *src, size_t rows, size_t columns, size_t size) {
  enum { PART = 16 }; /* rows whose elements are written beside each other while they are near */
  for (size_t r0 = 0; r0 < rows; r0 += PART)
    for (size_t c = 0; c < columns; c++)
      for (size_t r = r0; r < rows && r < r0 + PART; r++)
        memcpy(dst + (c * rows + r) * size, src + (r * columns + c) * size, size);
}

/* A weight of the file as its columns: moved once, not in every run. */
static wh_datum *columns_of(ox *o, wh_datum *w) {
  const int64_t dims[] = {w->dims[1], w->dims[0]};
  const size_t size = ox_size_of(w->dtype);
  bool fresh;
  wh_datum *t = ox_derive(o, w->dtype, 2, dims, &w, 1, &fresh);
  if (!fresh || o->st != WH_OK) return t;
  char *to = (char *)(uintptr_t)t->data;
  if (size == sizeof(float)) /* a size that the compiler knows takes a tenth of the time */
    move_columns(to, w->data, (size_t)dims[1], (size_t)dims[0], sizeof(float));
  else
    move_columns(to, w->data, (size_t)dims[1], (size_t)dims[0], size);
  ox_made(o, t);
  return t;
}

wh_datum *ox_transpose(ox *o, wh_datum *x, const int64_t *perm) {
  enum { FEW = 1024 }; /* that folding takes */
  if (o->st != WH_OK) return &o->nothing;
  bool moves = false; /* whether axes of more than one element change their order */
  int64_t last = -1, dims[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) {
    dims[i] = x->dims[perm[i]];
    if (dims[i] == 1) continue;
    moves = moves || perm[i] < last;
    last = perm[i];
  }
  if (!moves) return ox_reshape(o, x, x->rank, dims);
  if (x->rank == 2 && x->is_weight && x->is_kept && x->n > FEW && ox_size_of(x->dtype))
    return columns_of(o, x);
  wh_datum *shadow = ox_fold_transpose(o, x, perm);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  const wh_attr a = ox_a_ints(WH_ATTR_PERM, perm, (size_t)x->rank);
  return with_shadow(o, ox_node1(o, WH_OP_TRANSPOSE, &x, 1, &a, 1), shadow);
}

wh_datum *ox_slice(ox *o, wh_datum *x, const int64_t *starts, const int64_t *steps, const int64_t *counts) {
  if (o->st != WH_OK) return &o->nothing;
  bool whole = true;
  for (int i = 0; i < x->rank; i++)
    whole = whole && starts[i] == 0 && steps[i] == 1 && counts[i] == x->dims[i];
  if (whole) return x;
  if (count(o, x->rank, counts) == 0)
    return o->st == WH_OK ? ox_new(o, x->dtype, x->rank, counts) : &o->nothing;
  wh_datum *shadow = ox_fold_slice(o, x, starts, steps, counts);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  const wh_attr attrs[] = {ox_a_ints(WH_ATTR_STARTS, starts, (size_t)x->rank),
                           ox_a_ints(WH_ATTR_STEPS, steps, (size_t)x->rank),
                           ox_a_dims(o, WH_ATTR_SHAPE, x->rank, counts)};
  return with_shadow(o, ox_node1(o, WH_OP_SLICE, &x, 1, attrs, 3), shadow);
}

wh_datum *ox_part(ox *o, wh_datum *x, int axis, int64_t start, int64_t n) {
  int64_t starts[WH_MAX_RANK] = {0}, steps[WH_MAX_RANK], counts[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) {
    steps[i] = 1;
    counts[i] = x->dims[i];
  }
  if (axis < x->rank && start == 0 && n == x->dims[axis]) return x;
  const bool is_open = axis < x->rank && start == 0 && ox_is_open(o, n) && !ox_is_open(o, x->dims[axis]) &&
                       ox_dim_at_most(o, n, x->dims[axis]);
  if (!is_open && (axis >= x->rank || start < 0 || n < 0 || start > x->dims[axis] - n))
    OX_FAIL(o, ERR_CORRUPT, "%" PRId64 " elements from %" PRId64 " on are not in the value", n, start);
  if (o->st != WH_OK) return &o->nothing;
  starts[axis] = start;
  counts[axis] = n;
  return ox_slice(o, x, starts, steps, counts);
}

wh_datum *ox_concat(ox *o, int axis, wh_datum *const *x, size_t n) {
  if (o->st != WH_OK) return &o->nothing;
  wh_datum **some = ox_array(o, n, sizeof *some);
  size_t k = 0;
  if (!some) return &o->nothing;
  for (size_t i = 0; i < n; i++)
    if (x[i]->n) some[k++] = x[i];
  if (k == 1) return some[0];
  if (k == 0) {
    wh_datum *d = ox_copy(o, x[0]);
    for (size_t i = 1; i < n && axis < d->rank; i++)
      d->dims[axis] += x[i]->rank == d->rank ? x[i]->dims[axis] : 0;
    return ox_new(o, d->dtype, d->rank, d->dims);
  }
  wh_datum *shadow = ox_fold_concat(o, axis, some, k);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  const wh_attr a = ox_a_i(WH_ATTR_AXIS, axis);
  return with_shadow(o, ox_node1(o, WH_OP_CONCAT, some, k, &a, 1), shadow);
}

wh_datum *ox_expand(ox *o, wh_datum *x, int rank, const int64_t *dims) {
  if (o->st != WH_OK || same_dims(x, rank, dims)) return o->st == WH_OK ? x : &o->nothing;
  if (count(o, rank, dims) == x->n && rank <= WH_MAX_RANK && !has_open(o, rank, dims))
    return ox_reshape(o, x, rank, dims);
  if (o->st == WH_OK && count(o, rank, dims) == 0) return ox_new(o, x->dtype, rank, dims);
  wh_datum *shadow = ox_fold_expand(o, x, rank, dims);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  const wh_attr a = ox_a_dims(o, WH_ATTR_SHAPE, rank, dims);
  return with_shadow(o, ox_node1(o, WH_OP_EXPAND, &x, 1, &a, 1), shadow);
}

wh_datum *ox_pad(ox *o, wh_datum *x, const int64_t *pads, int mode, wh_datum *value) {
  if (o->st != WH_OK) return &o->nothing;
  bool any = false;
  for (int i = 0; i < 2 * x->rank; i++) any = any || pads[i];
  if (!any) return x;
  const wh_attr attrs[] = {ox_a_ints(WH_ATTR_PADS, pads, 2 * (size_t)x->rank), ox_a_i(WH_ATTR_MODE, mode)};
  wh_datum *in[] = {x, value};
  return ox_node1(o, WH_OP_PAD, in, value ? 2 : 1, attrs, 2);
}

wh_datum *ox_gather(ox *o, wh_datum *x, wh_datum *ids, int axis) {
  if (o->st != WH_OK) return &o->nothing;
  wh_datum *shadow = ox_fold_gather(o, x, ids, axis);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  const wh_attr a = ox_a_i(WH_ATTR_AXIS, axis);
  wh_datum *in[] = {x, ids};
  return with_shadow(o, ox_node1(o, WH_OP_GATHER, in, 2, &a, 1), shadow);
}

/* ---- reductions and products ---- */

wh_datum *ox_reduce(ox *o, wh_op op, wh_datum *x, unsigned axes, bool keep) {
  int64_t list[WH_MAX_RANK];
  size_t n = 0;
  if (o->st != WH_OK) return &o->nothing;
  for (int i = 0; i < x->rank; i++)
    if (axes >> i & 1) list[n++] = i;
  if (is_half(x)) return ox_cast(o, ox_reduce(o, op, ox_wide(o, x), axes, keep), x->dtype);
  wh_datum *shadow = ox_fold_reduce(o, op, x, axes, keep);
  if (is_settled(o, shadow)) return shadow ? shadow : &o->nothing;
  const wh_attr attrs[] = {ox_a_ints(WH_ATTR_AXES, list, n), ox_a_i(WH_ATTR_KEEP, keep)};
  return with_shadow(o, ox_node1(o, op, &x, 1, attrs, 2), shadow);
}

wh_datum *ox_mean(ox *o, wh_datum *x, unsigned axes, bool keep) {
  double n = 1;
  wh_datum *open = NULL; /* of the dims that are open */
  if (is_half(x)) return ox_cast(o, ox_mean(o, ox_wide(o, x), axes, keep), x->dtype);
  for (int i = 0; i < x->rank; i++) {
    if (!(axes >> i & 1)) continue;
    if (!ox_is_open(o, x->dims[i]))
      n *= (double)x->dims[i];
    else
      open = open ? ox_mul(o, open, ox_dim_value(o, x->dims[i], WH_DTYPE_F64))
                  : ox_dim_value(o, x->dims[i], WH_DTYPE_F64);
  }
  wh_datum *count = ox_num(o, x, n);
  if (open) count = ox_cast(o, ox_mul(o, open, ox_scalar(o, WH_DTYPE_F64, n)), x->dtype);
  return ox_div(o, ox_reduce(o, WH_OP_REDUCE_SUM, x, axes, keep), count);
}

wh_datum *ox_softmax(ox *o, wh_datum *x, int axis) {
  int64_t perm[WH_MAX_RANK];
  if (o->st != WH_OK) return &o->nothing;
  if (is_half(x)) return ox_cast(o, ox_softmax(o, ox_wide(o, x), axis), x->dtype);
  for (int i = 0; i < x->rank; i++) perm[i] = i;
  if (x->rank == 0) {
    const int64_t one = 1;
    return ox_reshape(o, ox_softmax(o, ox_reshape(o, x, 1, &one), 0), 0, &one);
  }
  perm[axis] = x->rank - 1;
  perm[x->rank - 1] = axis;
  if (axis != x->rank - 1) return ox_transpose(o, ox_softmax(o, ox_transpose(o, x, perm), x->rank - 1), perm);
  if (x->dtype == WH_DTYPE_F64) { /* no kernel of its own */
    const unsigned last = 1u << axis;
    wh_datum *e = ox_unary(o, WH_OP_EXP, ox_sub(o, x, ox_reduce(o, WH_OP_REDUCE_MAX, x, last, true)));
    return ox_div(o, e, ox_reduce(o, WH_OP_REDUCE_SUM, e, last, true));
  }
  return ox_node1(o, WH_OP_SOFTMAX, &x, 1, NULL, 0);
}

/* numpy's matmul: a row, a column, or stacks of matrices. Integers are computed in f64 where that is exact.
 */
wh_datum *ox_matmul(ox *o, wh_datum *a, wh_datum *b) {
  if (o->st != WH_OK) return &o->nothing;
  if (a->rank == 0 || b->rank == 0) OX_FAIL(o, ERR_CORRUPT, "a product's operand has no axis");
  if (o->st != WH_OK) return &o->nothing;
  if (a->dtype != WH_DTYPE_F32 && a->dtype != WH_DTYPE_F64) {
    const wh_dtype wide = is_half(a) ? WH_DTYPE_F32 : WH_DTYPE_F64;
    return ox_cast(o, ox_matmul(o, ox_cast(o, a, wide), ox_cast(o, b, wide)), a->dtype);
  }
  const bool row = a->rank == 1, column = b->rank == 1;
  if (row) a = ox_insert_axes(o, a, 1, 2);
  if (column) b = ox_insert_axes(o, b, 2, 2);
  wh_datum *in[] = {a, b};
  wh_datum *y = ox_node1(o, WH_OP_MATMUL, in, 2, NULL, 0);
  if (o->st != WH_OK) return y;
  unsigned drop = 0;
  if (row) drop |= 1u << (y->rank - 2);
  if (column) drop |= 1u << (y->rank - 1);
  return drop ? ox_drop_axes(o, y, drop) : y;
}

int ox_broadcast(ox *o, const wh_datum *a, const wh_datum *b, int64_t *dims) {
  const int rank = a->rank > b->rank ? a->rank : b->rank;
  for (int i = 0; i < rank; i++) {
    const int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
    const int64_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
    if (da != db && da != 1 && db != 1)
      OX_FAIL(o, ERR_CORRUPT, "%" PRId64 " and %" PRId64 " elements do not broadcast at axis %d", da, db, i);
    dims[i] = da == 1 ? db : da;
  }
  return rank;
}
