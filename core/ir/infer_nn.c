/* infer_nn.c - shape rules of the ops that look at neighbours: convolutions, pools, resampling, recurrent
 * layers, quantisation of tensors. */
#include <string.h>

#include "core/ir/formula.h"
#include "core/ir/infer_internal.h"

#define MOST ((int64_t)1 << 31) /* of a stride, a dilation, a kernel or padding */

static bool constant(const infer_ctx *c, wh_dim d, int64_t *value) {
  *value = wh_dim_get(&c->g->dims, d)->value;
  return wh_dim_is_const(&c->g->dims, d);
}

static wh_status number(const infer_ctx *c, int64_t value, wh_dim *out) {
  return wh_dim_const(&c->g->dims, value, out);
}

static wh_status combine(const infer_ctx *c, wh_dim_kind kind, wh_dim a, int64_t b, wh_dim *out) {
  wh_dim d;
  WH_TRY(number(c, b, &d));
  return wh_dim_binary(&c->g->dims, kind, a, d, out);
}

/* n numbers, each in low..high. */
static wh_status want_ints(const infer_ctx *c, wh_attr_key key, size_t n, int64_t low, int64_t high) {
  const wh_attr *a = wh_infer_attr(c, key);
  if (a->n != n) return wh_infer_wrong_attr(c, key, "has another number of entries than the op needs");
  for (size_t i = 0; i < n; i++)
    if (a->ints[i] < low || a->ints[i] > high)
      return wh_infer_wrong_attr(c, key, "has an entry out of range");
  return WH_OK;
}

static wh_status want_int(const infer_ctx *c, wh_attr_key key, int64_t low, int64_t high) {
  const int64_t i = wh_infer_attr(c, key)->i;
  return i < low || i > high ? wh_infer_wrong_attr(c, key, "is out of range") : WH_OK;
}

static wh_status want_flag(const infer_ctx *c, wh_attr_key key) { return want_int(c, key, 0, 1); }

/* ---- windows ---- */

/* x[n, c, space ..] of 1 to 3 axes of space */
static wh_status want_space(const infer_ctx *c, size_t i, int *n_space) {
  const wh_shape *x = in(c, i);
  if (!x) return wrong(c, i, "is missing");
  if (x->rank < 3 || x->rank > 5) return wrong(c, i, "must have rank 3 to 5: images, channels, space");
  *n_space = x->rank - 2;
  return WH_OK;
}

/* The places of a window of `reach` elements along an axis. `ceil`: also those that begin inside and end
 * outside. */
static wh_status places_of(const infer_ctx *c, wh_dim size, int64_t reach, int64_t stride, int64_t before,
                           int64_t after, bool ceil, wh_dim *out) {
  wh_dim padded, all;
  WH_TRY(combine(c, WH_DIM_ADD, size, before + after, &padded));
  WH_TRY(combine(c, WH_DIM_MAX, padded, reach,
                 &all)); /* never less than the window, so that nothing is negative */
  if (all != padded && wh_dim_is_const(&c->g->dims, padded)) return wrong(c, 0, "is smaller than the window");
  WH_TRY(combine(c, WH_DIM_SUB, all, reach, &all));
  WH_TRY(combine(c, ceil ? WH_DIM_CEILDIV : WH_DIM_FLOORDIV, all, stride, &all));
  WH_TRY(combine(c, WH_DIM_ADD, all, 1, out));
  if (!ceil) return WH_OK;
  wh_dim begins; /* windows that begin before the padding behind */
  WH_TRY(combine(c, WH_DIM_ADD, size, before, &begins));
  WH_TRY(combine(c, WH_DIM_CEILDIV, begins, stride, &begins));
  return wh_dim_binary(&c->g->dims, WH_DIM_MIN, *out, begins, out);
}

static wh_status window_attrs(const infer_ctx *c, int n_space, size_t n_pads) {
  WH_TRY(want_ints(c, WH_ATTR_STRIDES, (size_t)n_space, 1, MOST));
  WH_TRY(want_ints(c, WH_ATTR_DILATIONS, (size_t)n_space, 1, MOST));
  return want_ints(c, WH_ATTR_PADS, n_pads, 0, MOST);
}

static wh_status reach_of(const infer_ctx *c, int axis, int64_t kernel, int64_t *out) {
  if (kernel < 1) return wrong(c, 1, "its kernel is empty");
  if (kernel > MOST) return wrong(c, 1, "its kernel is too large");
  *out = wh_infer_attr(c, WH_ATTR_DILATIONS)->ints[axis] * (kernel - 1) + 1;
  return *out <= WH_DIM_LIMIT ? WH_OK : wh_infer_wrong_attr(c, WH_ATTR_DILATIONS, "is too large");
}

static wh_status window_space(const infer_ctx *c, const int64_t *kernel, int n_space, bool ceil,
                              wh_shape *out) {
  const int64_t *stride = wh_infer_attr(c, WH_ATTR_STRIDES)->ints,
                *pad = wh_infer_attr(c, WH_ATTR_PADS)->ints;
  for (int i = 0; i < n_space; i++) {
    int64_t reach;
    WH_TRY(reach_of(c, i, kernel[i], &reach));
    WH_TRY(places_of(c, in(c, 0)->dims[2 + i], reach, stride[i], pad[i], pad[n_space + i], ceil,
                     &out->dims[2 + i]));
  }
  return WH_OK;
}

/* w[m, c / group, kernel ..] with constant dims; kernel takes n_space numbers */
static wh_status conv_weights(const infer_ctx *c, int n_space, int64_t *kernel) {
  const wh_shape *x = in(c, 0), *w = in(c, 1);
  const int64_t group = wh_infer_attr(c, WH_ATTR_GROUP)->i;
  int64_t m, own, channels;
  if (w->rank != x->rank) return wrong(c, 1, "must have the rank of input 0");
  for (int i = 0; i < n_space; i++)
    if (!constant(c, w->dims[2 + i], &kernel[i])) return wrong(c, 1, "its kernel must be constant");
  WH_TRY(want_int(c, WH_ATTR_GROUP, 1, MOST));
  if (!constant(c, w->dims[0], &m) || !constant(c, w->dims[1], &own) || !constant(c, x->dims[1], &channels))
    return wrong(c, 1, "channels must be constant");
  return own > MOST || own * group != channels ? wrong(c, 1, "fits another number of channels") : WH_OK;
}

static wh_status want_bias(const infer_ctx *c, size_t i, wh_dim outputs) {
  if (!in(c, i)) return WH_OK;
  WH_TRY(want(c, i, WH_DTYPE_F32, 1));
  return want_dim(c, i, 0, outputs);
}

static wh_status conv_shape(const infer_ctx *c, wh_shape *out) {
  int n_space;
  int64_t kernel[3], m;
  WH_TRY(want_space(c, 0, &n_space));
  WH_TRY(conv_weights(c, n_space, kernel));
  const wh_shape *x = in(c, 0), *w = in(c, 1);
  if (constant(c, w->dims[0], &m) && m % wh_infer_attr(c, WH_ATTR_GROUP)->i)
    return wrong(c, 1, "its outputs must be a multiple of the groups");
  WH_TRY(window_attrs(c, n_space, (size_t)n_space * 2));
  *out = (wh_shape){.rank = x->rank, .dims = {x->dims[0], w->dims[0]}};
  return window_space(c, kernel, n_space, false, out);
}

wh_status wh_infer_conv(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(want(c, 1, WH_DTYPE_F32, -1));
  WH_TRY(conv_shape(c, out));
  out->dtype = WH_DTYPE_F32;
  WH_TRY(want_bias(c, 2, out->dims[1]));
  if (!in(c, 3)) return WH_OK;
  WH_TRY(want(c, 3, WH_DTYPE_F32, out->rank));
  for (int i = 0; i < out->rank; i++) WH_TRY(want_dim(c, 3, i, out->dims[i]));
  return WH_OK;
}

/* An operand of a formula over the convolution: its space is all or one element. */
static wh_status want_end(const infer_ctx *c, size_t i, const wh_shape *y) {
  WH_TRY(want(c, i, WH_DTYPE_F32, -1));
  const wh_shape *s = in(c, i);
  if (s->rank > y->rank) return wrong(c, i, "has more axes than the output");
  bool all = true, one = true;
  for (int d = 0; d < s->rank; d++) {
    const wh_dim of = y->dims[y->rank - s->rank + d];
    const bool is_one = wh_dim_get(&c->g->dims, s->dims[d])->max == 1, is_space = y->rank - s->rank + d >= 2;
    if (!is_one && s->dims[d] != of) return want_dim(c, i, d, of);
    one = one && (is_one || !is_space);
    all = all && (s->dims[d] == of || !is_space);
  }
  all = all && s->rank >= y->rank - 2;
  return one || all ? WH_OK : wrong(c, i, "has neither all nor one element of space");
}

wh_status wh_infer_conv_chain(const infer_ctx *c, wh_shape *out) {
  const wh_attr *a = wh_infer_attr(c, WH_ATTR_FORMULA);
  wh_formula f;
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(want(c, 1, WH_DTYPE_F32, -1));
  WH_TRY(conv_shape(c, out));
  out->dtype = WH_DTYPE_F32;
  WH_TRY(want_bias(c, 2, out->dims[1]));
  if (wh_formula_parse(a->text, a->n, wh_formula_conv_inputs((uint32_t)c->n_inputs), &f) != WH_OK)
    return wh_fail_prefix("node '%s' (%s)", c->name, c->op);
  for (size_t i = 3; i < c->n_inputs; i++) WH_TRY(want_end(c, i, out));
  return WH_OK;
}

static bool is_byte(const wh_shape *s) { return s->dtype == WH_DTYPE_I8 || s->dtype == WH_DTYPE_U8; }

/* One of x's type, or one per output. */
static wh_status want_zero(const infer_ctx *c, size_t i, size_t of, bool per_output) {
  const wh_shape *z = in(c, i);
  int64_t n = 1;
  if (!z) return WH_OK;
  if (z->dtype != in(c, of)->dtype) return wrong(c, i, "must have the type of what it is the zero of");
  if (z->rank == 0 || (z->rank == 1 && constant(c, z->dims[0], &n) && n == 1)) return WH_OK;
  if (!per_output || z->rank != 1) return wrong(c, i, "must be one number");
  return want_dim(c, i, 0, in(c, of)->dims[0]);
}

wh_status wh_infer_conv_integer(const infer_ctx *c, wh_shape *out) {
  for (size_t i = 0; i < 2; i++)
    if (!in(c, i) || !is_byte(in(c, i))) return wrong(c, i, "must be i8 or u8");
  WH_TRY(conv_shape(c, out));
  out->dtype = WH_DTYPE_I32;
  WH_TRY(want_zero(c, 2, 0, false));
  return want_zero(c, 3, 1, true);
}

wh_status wh_infer_conv_transpose(const infer_ctx *c, wh_shape *out) {
  int n_space;
  int64_t kernel[3], m, group = wh_infer_attr(c, WH_ATTR_GROUP)->i, channels, own;
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(want_space(c, 0, &n_space));
  const wh_shape *x = in(c, 0), *w = in(c, 1);
  WH_TRY(want(c, 1, WH_DTYPE_F32, x->rank));
  WH_TRY(want_int(c, WH_ATTR_GROUP, 1, MOST));
  if (!constant(c, x->dims[1], &channels) || !constant(c, w->dims[0], &own) || !constant(c, w->dims[1], &m))
    return wrong(c, 1, "channels must be constant");
  if (own != channels || channels % group) return wrong(c, 1, "fits another number of channels");
  WH_TRY(window_attrs(c, n_space, (size_t)n_space));
  for (int i = 0; i < n_space; i++) {
    int64_t reach;
    if (!constant(c, w->dims[2 + i], &kernel[i])) return wrong(c, 1, "its kernel must be constant");
    WH_TRY(reach_of(c, i, kernel[i], &reach));
  }
  const wh_attr *shape = wh_infer_attr(c, WH_ATTR_SHAPE);
  if (shape->rank != n_space) return wh_infer_wrong_attr(c, WH_ATTR_SHAPE, "must be the space of the output");
  *out = (wh_shape){.dtype = WH_DTYPE_F32, .rank = x->rank, .dims = {x->dims[0]}};
  WH_TRY(combine(c, WH_DIM_MUL, w->dims[1], group, &out->dims[1]));
  memcpy(&out->dims[2], shape->dims, (size_t)n_space * sizeof shape->dims[0]);
  return want_bias(c, 2, out->dims[1]);
}

static wh_status pool_shape(const infer_ctx *c, wh_shape *out) {
  int n_space;
  WH_TRY(want_space(c, 0, &n_space));
  WH_TRY(window_attrs(c, n_space, (size_t)n_space * 2));
  WH_TRY(want_ints(c, WH_ATTR_KERNEL, (size_t)n_space, 1, MOST));
  WH_TRY(want_flag(c, WH_ATTR_CEIL));
  *out = *in(c, 0);
  return window_space(c, wh_infer_attr(c, WH_ATTR_KERNEL)->ints, n_space, wh_infer_attr(c, WH_ATTR_CEIL)->i,
                      out);
}

static wh_status want_ordered(const infer_ctx *c) {
  const wh_shape *x = in(c, 0);
  return x && (x->dtype == WH_DTYPE_F32 || x->dtype == WH_DTYPE_F64 || is_byte(x))
             ? WH_OK
             : wrong(c, 0, "must be f32, f64, i8 or u8");
}

wh_status wh_infer_max_pool(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want_ordered(c));
  return pool_shape(c, out);
}

wh_status wh_infer_max_pool_index(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want_ordered(c));
  WH_TRY(want_flag(c, WH_ATTR_COLUMN_MAJOR));
  WH_TRY(pool_shape(c, out));
  out->dtype = WH_DTYPE_I64;
  return WH_OK;
}

wh_status wh_infer_average_pool(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(want_flag(c, WH_ATTR_COUNT_INCLUDE_PAD));
  return pool_shape(c, out);
}

wh_status wh_infer_lp_pool(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(want_int(c, WH_ATTR_P, 1, 64));
  return pool_shape(c, out);
}

/* ---- resampling ---- */

wh_status wh_infer_resample(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(want(c, 1, WH_DTYPE_I32, 2));
  WH_TRY(want(c, 2, WH_DTYPE_F32, 2));
  for (int i = 0; i < 2; i++) WH_TRY(want_dim(c, 2, i, in(c, 1)->dims[i]));
  *out = *in(c, 0);
  WH_TRY(want_int(c, WH_ATTR_AXIS, 0, out->rank - 1));
  out->dims[wh_infer_attr(c, WH_ATTR_AXIS)->i] = in(c, 1)->dims[0];
  return WH_OK;
}

wh_status wh_infer_grid_sample(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  const wh_shape *x = in(c, 0), *grid = in(c, 1);
  if (x->rank != 4 && x->rank != 5) return wrong(c, 0, "must have rank 4 or 5");
  WH_TRY(want(c, 1, WH_DTYPE_F32, x->rank));
  wh_dim axes;
  WH_TRY(number(c, x->rank - 2, &axes));
  WH_TRY(want_dim(c, 1, 0, x->dims[0]));
  WH_TRY(want_dim(c, 1, x->rank - 1, axes));
  WH_TRY(want_int(c, WH_ATTR_MODE, 0, 2));
  WH_TRY(want_int(c, WH_ATTR_PADDING, 0, 2));
  WH_TRY(want_flag(c, WH_ATTR_ALIGN_CORNERS));
  for (int i = 2; i < x->rank; i++)
    if (wh_dim_get(&c->g->dims, x->dims[i])->min < 1 || wh_dim_get(&c->g->dims, x->dims[i])->max > 1 << 24)
      return wrong(c, 0, "its space must have 1 to 2^24 elements along each axis");
  *out = *x;
  memcpy(&out->dims[2], &grid->dims[1], (size_t)(x->rank - 2) * sizeof grid->dims[0]);
  return WH_OK;
}

wh_status wh_infer_roi_align(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 4));
  WH_TRY(want(c, 1, WH_DTYPE_F32, 2));
  const wh_shape *x = in(c, 0), *boxes = in(c, 1), *image = in(c, 2);
  wh_dim four;
  WH_TRY(number(c, 4, &four));
  WH_TRY(want_dim(c, 1, 1, four));
  WH_TRY(want(c, 2, image && image->dtype == WH_DTYPE_I64 ? WH_DTYPE_I64 : WH_DTYPE_I32, 1));
  WH_TRY(want_dim(c, 2, 0, boxes->dims[0]));
  WH_TRY(want_ints(c, WH_ATTR_KERNEL, 2, 1, MOST));
  WH_TRY(want_int(c, WH_ATTR_SAMPLING, 0, 1024));
  WH_TRY(want_flag(c, WH_ATTR_MODE));
  WH_TRY(want_flag(c, WH_ATTR_HALF_PIXEL));
  *out = (wh_shape){.dtype = WH_DTYPE_F32, .rank = 4, .dims = {boxes->dims[0], x->dims[1]}};
  for (int i = 0; i < 2; i++) WH_TRY(number(c, wh_infer_attr(c, WH_ATTR_KERNEL)->ints[i], &out->dims[2 + i]));
  return WH_OK;
}

/* ---- trees ---- */

wh_status wh_infer_trees(const infer_ctx *c, wh_shape *out) {
  const bool wide = in(c, 0) && in(c, 0)->dtype == WH_DTYPE_F64;
  const wh_dtype type = wide ? WH_DTYPE_F64 : WH_DTYPE_F32;
  wh_dim words;
  WH_TRY(want(c, 0, type, 2));
  WH_TRY(want(c, 1, WH_DTYPE_I32, 2));
  WH_TRY(number(c, wide ? 5 : 4, &words));
  WH_TRY(want_dim(c, 1, 1, words));
  WH_TRY(want(c, 2, WH_DTYPE_I32, 1));
  WH_TRY(want(c, 3, type, 2));
  WH_TRY(want_int(c, WH_ATTR_MODE, 0, 2));
  *out = (wh_shape){.dtype = type, .rank = 2, .dims = {in(c, 0)->dims[0], in(c, 3)->dims[1]}};
  return WH_OK;
}

/* ---- signals ---- */

wh_status wh_infer_lrn(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  if (in(c, 0)->rank < 2) return wrong(c, 0, "must have rank 2 or more");
  WH_TRY(want_int(c, WH_ATTR_SIZE, 1, MOST));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_dft(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  const wh_shape *x = in(c, 0);
  if (x->rank < 2) return wrong(c, 0, "must have rank 2 or more: the last axis holds complex numbers");
  wh_dim two;
  WH_TRY(number(c, 2, &two));
  WH_TRY(want_dim(c, 0, x->rank - 1, two));
  WH_TRY(want(c, 1, WH_DTYPE_F32, 2));
  WH_TRY(want_dim(c, 1, 1, two));
  WH_TRY(want_int(c, WH_ATTR_AXIS, 0, x->rank - 2));
  WH_TRY(want_dim(c, 1, 0, x->dims[wh_infer_attr(c, WH_ATTR_AXIS)->i]));
  WH_TRY(want_flag(c, WH_ATTR_INVERSE));
  *out = *x;
  return WH_OK;
}

wh_status wh_infer_det(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  const wh_shape *x = in(c, 0);
  if (x->rank < 2) return wrong(c, 0, "must have rank 2 or more");
  WH_TRY(want_dim(c, 0, x->rank - 1, x->dims[x->rank - 2]));
  *out = *x;
  out->rank -= 2;
  return WH_OK;
}

/* ---- recurrent layers ---- */

static wh_status want_state_of(const infer_ctx *c, size_t i, wh_dim sequences, wh_dim units) {
  if (!in(c, i)) return WH_OK;
  WH_TRY(want(c, i, WH_DTYPE_F32, 2));
  WH_TRY(want_dim(c, i, 0, sequences));
  return want_dim(c, i, 1, units);
}

static wh_status want_vector(const infer_ctx *c, size_t i, wh_dtype dtype, wh_dim n) {
  if (!in(c, i)) return WH_OK;
  WH_TRY(want(c, i, dtype, 1));
  return want_dim(c, i, 0, n);
}

/* x[t, b, gates * h], r[gates * h, h] -> y[t, b, h], then `states` of [b, h] */
static wh_status recurrent(const infer_ctx *c, int gates, int states, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 3));
  WH_TRY(want(c, 1, WH_DTYPE_F32, 2));
  const wh_shape *x = in(c, 0), *r = in(c, 1);
  wh_dim rows;
  WH_TRY(combine(c, WH_DIM_MUL, r->dims[1], gates, &rows));
  WH_TRY(want_dim(c, 1, 0, rows));
  WH_TRY(want_dim(c, 0, 2, rows));
  const size_t n = gates == 4 ? 3 : gates == 3 ? 2 : 1;
  WH_TRY(want_ints(c, WH_ATTR_ACTIVATIONS, n, 0, 10));
  if (wh_infer_attr(c, WH_ATTR_FACTORS)->n != 2 * n)
    return wh_infer_wrong_attr(c, WH_ATTR_FACTORS, "needs two entries per activation");
  WH_TRY(want_flag(c, WH_ATTR_REVERSE));
  if (!(wh_infer_attr(c, WH_ATTR_CLIP)->f >= 0.0f))
    return wh_infer_wrong_attr(c, WH_ATTR_CLIP, "is negative");
  *out = (wh_shape){WH_DTYPE_F32, 3, {x->dims[0], x->dims[1], r->dims[1]}};
  for (int i = 1; i <= states; i++) out[i] = (wh_shape){WH_DTYPE_F32, 2, {x->dims[1], r->dims[1]}};
  return WH_OK;
}

wh_status wh_infer_rnn(const infer_ctx *c, wh_shape *out) {
  WH_TRY(recurrent(c, 1, 1, out));
  WH_TRY(want_state_of(c, 2, out->dims[1], out->dims[2]));
  return want_vector(c, 3, WH_DTYPE_I32, out->dims[1]);
}

wh_status wh_infer_gru(const infer_ctx *c, wh_shape *out) {
  WH_TRY(recurrent(c, 3, 1, out));
  WH_TRY(want_flag(c, WH_ATTR_RESET_AFTER));
  WH_TRY(want_vector(c, 2, WH_DTYPE_F32, in(c, 1)->dims[0]));
  WH_TRY(want_state_of(c, 3, out->dims[1], out->dims[2]));
  return want_vector(c, 4, WH_DTYPE_I32, out->dims[1]);
}

wh_status wh_infer_lstm(const infer_ctx *c, wh_shape *out) {
  wh_dim peepholes;
  WH_TRY(recurrent(c, 4, 2, out));
  WH_TRY(want_flag(c, WH_ATTR_COUPLED));
  WH_TRY(want_state_of(c, 2, out->dims[1], out->dims[2]));
  WH_TRY(want_state_of(c, 3, out->dims[1], out->dims[2]));
  WH_TRY(want_vector(c, 4, WH_DTYPE_I32, out->dims[1]));
  WH_TRY(combine(c, WH_DIM_MUL, out->dims[2], 3, &peepholes));
  return want_vector(c, 5, WH_DTYPE_F32, peepholes);
}

/* ---- quantisation of tensors ---- */

/* The scales are one number, one per place of the axis, or, when `block` is not 0, one per `block` places of
 * it; zero points are as many. */
static wh_status want_scales(const infer_ctx *c, wh_dtype codes) {
  const wh_shape *x = in(c, 0), *s = in(c, 1), *z = in(c, 2);
  const int64_t block = wh_infer_attr(c, WH_ATTR_BLOCK)->i, axis = wh_infer_attr(c, WH_ATTR_AXIS)->i;
  WH_TRY(want(c, 1, WH_DTYPE_F32, -1));
  WH_TRY(want_int(c, WH_ATTR_BLOCK, 0, MOST));
  int64_t one = 0;
  if (block) {
    wh_dim cells;
    WH_TRY(want_int(c, WH_ATTR_AXIS, 0, x->rank - 1));
    WH_TRY(want(c, 1, WH_DTYPE_F32, x->rank));
    WH_TRY(combine(c, WH_DIM_CEILDIV, x->dims[axis], block, &cells));
    for (int i = 0; i < x->rank; i++) WH_TRY(want_dim(c, 1, i, i == axis ? cells : x->dims[i]));
  } else if (s->rank != 0 && !(s->rank == 1 && constant(c, s->dims[0], &one) && one == 1)) {
    WH_TRY(want_int(c, WH_ATTR_AXIS, 0, x->rank - 1));
    WH_TRY(want(c, 1, WH_DTYPE_F32, 1));
    WH_TRY(want_dim(c, 1, 0, x->dims[axis]));
  }
  if (!z) return WH_OK;
  WH_TRY(want(c, 2, codes, s->rank));
  for (int i = 0; i < s->rank; i++) WH_TRY(want_dim(c, 2, i, s->dims[i]));
  return WH_OK;
}

static bool is_code(wh_dtype d) {
  switch (d) {
    case WH_DTYPE_I8:
    case WH_DTYPE_U8:
    case WH_DTYPE_I16:
    case WH_DTYPE_U16:
    case WH_DTYPE_I4:
    case WH_DTYPE_U4:
    case WH_DTYPE_F8E4M3FN:
    case WH_DTYPE_F8E4M3FNUZ:
    case WH_DTYPE_F8E5M2:
    case WH_DTYPE_F8E5M2FNUZ:
      return true;
    default:
      return false;
  }
}

wh_status wh_infer_quantize_linear(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  const int64_t type = wh_infer_attr(c, WH_ATTR_TO)->i;
  const wh_dtype to = (wh_dtype)type;
  if (type != (int64_t)to || !is_code(to)) return wh_infer_wrong_attr(c, WH_ATTR_TO, "is no type of codes");
  WH_TRY(want_flag(c, WH_ATTR_SATURATE));
  WH_TRY(want_scales(c, to));
  *out = *in(c, 0);
  out->dtype = to;
  return WH_OK;
}

wh_status wh_infer_dequantize_linear(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  if (!x || (!is_code(x->dtype) && x->dtype != WH_DTYPE_I32)) return wrong(c, 0, "holds no codes");
  WH_TRY(want_scales(c, x->dtype));
  *out = *x;
  out->dtype = WH_DTYPE_F32;
  return WH_OK;
}

/* Input i of [panels, any or `rows`, 32] */
static wh_status want_panels(const infer_ctx *c, size_t i, wh_dtype dtype, int64_t panels, int64_t *rows) {
  int64_t size[3];
  WH_TRY(want(c, i, dtype, 3));
  for (int d = 0; d < 3; d++)
    if (!constant(c, in(c, i)->dims[d], &size[d])) return wrong(c, i, "must be of a constant size");
  if (size[0] != panels || size[2] != 32 || (*rows && size[1] != *rows))
    return wrong(c, i, "has another size than its panels of 32 outputs need");
  *rows = size[1];
  return WH_OK;
}

/* Codes, scales and zero points of n outputs in panels, of k inputs in blocks. */
wh_status wh_infer_matmul_blocks(const infer_ctx *c, wh_shape *out) {
  const int64_t n = wh_infer_attr(c, WH_ATTR_SIZE)->i, block = wh_infer_attr(c, WH_ATTR_BLOCK)->i;
  const wh_shape *a = in(c, 0);
  int64_t k, words = 0;
  WH_TRY(want_int(c, WH_ATTR_SIZE, 1, MOST - 1));
  WH_TRY(want_int(c, WH_ATTR_BLOCK, 8, 512));
  if (512 % block) return wh_infer_wrong_attr(c, WH_ATTR_BLOCK, "must be a power of two");
  if (a->dtype != WH_DTYPE_Q13A) WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  if (a->rank < 1 || !constant(c, a->dims[a->rank - 1], &k) || k < 1 || k >= MOST)
    return wrong(c, 0, "must end in an axis of a constant length");
  int64_t blocks = (k + block - 1) / block;
  WH_TRY(want_panels(c, 1, WH_DTYPE_U32, (n + 31) / 32, &words));
  WH_TRY(want_panels(c, 2, WH_DTYPE_F32, (n + 31) / 32, &blocks));
  WH_TRY(want_panels(c, 3, WH_DTYPE_U8, (n + 31) / 32, &blocks));
  const int64_t each = words / blocks, bits = each * 32 / block;
  if (words % blocks || each * 32 % block || (bits != 2 && bits != 4 && bits != 8))
    return wrong(c, 1, "must have whole words of codes of 2, 4 or 8 bits for each block");
  *out = *a;
  out->dtype = WH_DTYPE_F32;
  return number(c, n, &out->dims[out->rank - 1]);
}
