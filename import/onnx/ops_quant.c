/* ops_quant.c - tensors as codes, and products of codes. */
#include <float.h>
#include <string.h>

#include "import/onnx/lowerings.h"

/* Codes that the core has no op for: they are cast, and computed with as f32. */
static bool is_cast_code(wh_dtype d) { return wh_dtype_is_float(d) || d == WH_DTYPE_I2 || d == WH_DTYPE_U2; }

/* One for all, one per place of the axis, or one per block of it: as a value that broadcasts over x. */
static wh_datum *spread(ox *o, wh_datum *s, const wh_datum *x, int axis, int64_t block) {
  if (o->st != WH_OK || s->n == 1) return o->st == WH_OK ? ox_reshape(o, s, 0, NULL) : s;
  if (block == 0 || s->rank != x->rank) return ox_per_channel(o, s, x->rank, axis);
  int64_t dims[WH_MAX_RANK + 1], blocks = s->dims[axis];
  if (x->rank >= WH_MAX_RANK || block < 0 || __builtin_mul_overflow(blocks, block, &blocks))
    OX_FAIL(o, ERR_LIMIT, "its blocks are too many");
  if (o->st != WH_OK) return s;
  s = ox_insert_axes(o, s, 2u << axis, x->rank + 1);
  memcpy(dims, s->dims, sizeof s->dims);
  dims[axis + 1] = block;
  s = ox_expand(o, s, x->rank + 1, dims);
  memmove(dims + axis + 1, dims + axis + 2, (size_t)(x->rank - axis - 1) * sizeof *dims);
  dims[axis] = blocks;
  return ox_part(o, ox_reshape(o, s, x->rank, dims), axis, 0, x->dims[axis]);
}

/* One scale or zero point has no axis of its own, whatever its rank. */
static wh_datum *alone(ox *o, wh_datum *s) {
  return s && s->n == 1 && s->rank == 1 && o->st == WH_OK ? ox_reshape(o, s, 0, NULL) : s;
}

static int code_axis(ox *o, const wh_datum *x, const wh_datum *scale) {
  return scale->n > 1 || scale->rank > 1 ? ox_axis(o, ox_attr_i(o, "axis", 1), x->rank) : 0;
}

wh_datum *ox_quantize(ox *o, wh_datum *x, wh_datum *scale, wh_datum *zero, wh_dtype to, int axis,
                      int64_t block) {
  const bool saturate = ox_attr_i(o, "saturate", 1) != 0;
  scale = alone(o, scale);
  zero = alone(o, zero);
  if (is_cast_code(to)) {
    wh_datum *y = ox_div(o, ox_f32(o, x), spread(o, ox_f32(o, scale), x, axis, block));
    if (!wh_dtype_is_float(to)) y = ox_unary(o, WH_OP_ROUND, y);
    if (zero) y = ox_add(o, y, spread(o, ox_f32(o, zero), x, axis, block));
    return ox_cast_sat(o, y, to, saturate);
  }
  wh_datum *in[] = {ox_f32(o, x), ox_f32(o, scale), zero};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_i(WH_ATTR_BLOCK, block), ox_a_i(WH_ATTR_TO, to),
                           ox_a_i(WH_ATTR_SATURATE, saturate)};
  return ox_node1(o, WH_OP_QUANTIZE_LINEAR, in, zero ? 3 : 2, attrs, 4);
}

wh_datum *ox_dequantize(ox *o, wh_datum *x, wh_datum *scale, wh_datum *zero, int axis, int64_t block) {
  scale = alone(o, scale);
  zero = alone(o, zero);
  if (is_cast_code(x->dtype)) {
    wh_datum *y = ox_f32(o, x);
    if (zero) y = ox_sub(o, y, spread(o, ox_f32(o, zero), x, axis, block));
    return ox_mul(o, y, spread(o, ox_f32(o, scale), x, axis, block));
  }
  wh_datum *in[] = {x, ox_f32(o, scale), zero};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_i(WH_ATTR_BLOCK, block)};
  wh_datum *y = ox_node1(o, WH_OP_DEQUANTIZE_LINEAR, in, zero ? 3 : 2, attrs, 2);
  ox_codes *codes = ox_array(o, 1, sizeof *codes);
  if (o->st != WH_OK || y->kind != WH_DATUM_BUILT || !codes) return y;
  *codes = (ox_codes){x, scale, zero, axis, block};
  y->codes = codes;
  return y;
}

void ox_lower_dequantize_linear(ox *o) {
  wh_datum *x = ox_in(o, 0), *scale = ox_in(o, 1);
  wh_datum *y =
      ox_dequantize(o, x, scale, ox_maybe(o, 2), code_axis(o, x, scale), ox_attr_i(o, "block_size", 0));
  ox_give(o, 0, ox_cast(o, y, ox_attr_dtype(o, "output_dtype", scale->dtype)));
}

/* As u8 between the least and the largest element, 0 among them. */
wh_datum *ox_dynamic_codes(ox *o, wh_datum *x, wh_datum **scale, wh_datum **zero) {
  wh_datum *none = ox_num(o, x, 0), *top = ox_num(o, x, 255);
  const unsigned all = (1u << x->rank) - 1;
  wh_datum *high = ox_binary(o, WH_OP_MAX, ox_reduce(o, WH_OP_REDUCE_MAX, x, all, false), none);
  wh_datum *low = ox_binary(o, WH_OP_MIN, ox_reduce(o, WH_OP_REDUCE_MIN, x, all, false), none);
  *scale = ox_div(o, ox_sub(o, high, low), top);
  wh_datum *z = ox_unary(o, WH_OP_ROUND, ox_div(o, ox_sub(o, none, low), *scale));
  z = ox_binary(o, WH_OP_MIN, ox_binary(o, WH_OP_MAX, z, none), top);
  *zero = ox_cast(o, z, WH_DTYPE_U8);
  return ox_quantize(o, x, *scale, *zero, WH_DTYPE_U8, 0, 0);
}

void ox_lower_dynamic_quantize_linear(ox *o) {
  wh_datum *scale, *zero, *y = ox_dynamic_codes(o, ox_in(o, 0), &scale, &zero);
  ox_give(o, 0, y);
  ox_give(o, 1, scale);
  ox_give(o, 2, zero);
}

/* One zero point as a scalar, several as a row. */
static wh_datum *zero_point(ox *o, wh_datum *z) {
  if (!z) return NULL;
  const int64_t n = (int64_t)z->n;
  return z->n == 1 ? ox_reshape(o, z, 0, NULL) : ox_reshape(o, z, 1, &n);
}

wh_datum *ox_matmul_codes(ox *o, wh_datum *a, wh_datum *za, wh_datum *b, wh_datum *zb) {
  const bool row = a->rank == 1, column = b->rank == 1;
  if (row) a = ox_insert_axes(o, a, 1, 2);
  if (column) b = ox_insert_axes(o, b, 2, 2);
  wh_datum *in[] = {a, b, zero_point(o, za), zero_point(o, zb)};
  wh_datum *y = ox_node1(o, WH_OP_MATMUL_INTEGER, in, 4, NULL, 0);
  if (o->st != WH_OK) return y;
  unsigned drop = 0;
  if (row) drop |= 1u << (y->rank - 2);
  if (column) drop |= 1u << (y->rank - 1);
  return drop ? ox_drop_axes(o, y, drop) : y;
}

void ox_lower_matmul_integer(ox *o) {
  ox_give(o, 0, ox_matmul_codes(o, ox_in(o, 0), ox_maybe(o, 2), ox_in(o, 1), ox_maybe(o, 3)));
}

void ox_lower_conv_integer(ox *o) {
  wh_datum *in[] = {ox_in(o, 0), ox_in(o, 1), zero_point(o, ox_maybe(o, 2)), zero_point(o, ox_maybe(o, 3))};
  ox_give(o, 0, ox_conv(o, WH_OP_CONV_INTEGER, in, 4));
}

void ox_lower_qlinear_matmul(ox *o) {
  wh_datum *y = ox_matmul_codes(o, ox_in(o, 0), ox_in(o, 2), ox_in(o, 3), ox_in(o, 5));
  wh_datum *scale = ox_mul(o, ox_in(o, 1), ox_in(o, 4));
  y = ox_mul(o, ox_f32(o, y), ox_f32(o, scale));
  ox_give(o, 0, ox_quantize(o, y, ox_in(o, 6), ox_in(o, 7), ox_in(o, 7)->dtype, 0, 0));
}

/* x, its scale and zero; w, scale, zero; y's scale, zero; bias i32 in units of both scales' product */
void ox_lower_qlinear_conv(ox *o) {
  wh_datum *x = ox_in(o, 0), *in[] = {x, ox_in(o, 3), zero_point(o, ox_in(o, 2)), zero_point(o, ox_in(o, 5))};
  wh_datum *y = ox_conv(o, WH_OP_CONV_INTEGER, in, 4), *scale = ox_in(o, 4);
  if (ox_has(o, 8)) y = ox_add(o, y, ox_per_channel(o, ox_in(o, 8), y->rank, 1));
  if (scale->n > 1)
    scale = ox_per_channel(o, scale, y->rank, 1);
  else if (o->st == WH_OK)
    scale = ox_reshape(o, scale, 0, NULL);
  scale = ox_mul(o, ox_reshape(o, ox_in(o, 1), 0, NULL), scale);
  ox_give(o, 0,
          ox_quantize(o, ox_mul(o, ox_f32(o, y), scale), ox_in(o, 6), ox_in(o, 7), ox_in(o, 7)->dtype, 0, 0));
}

/* ---- operators between DequantizeLinear and QuantizeLinear ---- */

/* Sums of so many products of two differences of codes are below 2^31. */
#define MOST_PRODUCTS (INT32_MAX / (255 * 255))

static bool is_constant(const wh_datum *d) {
  return !d || (d->kind == WH_DATUM_TENSOR && d->is_weight && d->data);
}

static bool is_at_hand(const ox *o, const wh_datum *d) {
  return (d->kind == WH_DATUM_TENSOR && d->data) || (d->value && d->stage == o->stage);
}

/* The codes of 8 bits that d was made of, with constant scales and zero points: one for all, or one per place
 * of `axis` (-1: not that). NULL: it was not. */
static const ox_codes *codes_of(const ox *o, const wh_datum *d, int axis) {
  const ox_codes *c = d->codes;
  if (!c || d->dtype != WH_DTYPE_F32 || c->block ||
      (c->x->dtype != WH_DTYPE_I8 && c->x->dtype != WH_DTYPE_U8) || c->x->rank != d->rank ||
      memcmp(c->x->dims, d->dims, (size_t)d->rank * sizeof d->dims[0]) != 0 || !is_at_hand(o, c->x) ||
      !is_constant(c->scale) || !is_constant(c->zero))
    return NULL;
  if (c->scale->n == 1) return !c->zero || c->zero->n == 1 ? c : NULL;
  return c->axis == axis && (!c->zero || c->zero->n == c->scale->n) ? c : NULL;
}

/* The codes that d was made of where it rises with them, and each of them is the nearest to what it stands
 * for: of one positive scale, with which neither a difference of codes nor its quotient leaves the normal
 * numbers. */
const ox_codes *ox_codes_in_order(const ox *o, const wh_datum *d) {
  const ox_codes *c = o->st == WH_OK ? codes_of(o, d, -1) : NULL;
  if (!c || c->scale->n != 1 || c->scale->dtype != WH_DTYPE_F32) return NULL;
  float scale;
  memcpy(&scale, c->scale->data, sizeof scale);
  return scale >= FLT_MIN && scale <= FLT_MAX / 256 ? c : NULL;
}

/* Whether two constants of one element are the same; none is a zero. */
static bool same_constant(const wh_datum *a, const wh_datum *b) {
  static const float zero = 0;
  if (!is_constant(a) || !is_constant(b) || (a && b && a->dtype != b->dtype) || (a && a->n != 1) ||
      (b && b->n != 1))
    return false;
  const size_t bytes = a || b ? wh_dtype_get((a ? a : b)->dtype)->block_bytes : 0;
  return bytes <= sizeof zero && memcmp(a ? a->data : &zero, b ? b->data : &zero, bytes) == 0;
}

void ox_lower_quantize_linear(ox *o) {
  wh_datum *x = ox_in(o, 0), *scale = ox_in(o, 1), *zero = ox_maybe(o, 2);
  const wh_dtype to = zero ? zero->dtype : ox_attr_dtype(o, "output_dtype", WH_DTYPE_U8);
  const ox_codes *codes = ox_codes_in_order(o, x);
  if (codes && codes->x->dtype == to && same_constant(codes->scale, scale) &&
      same_constant(codes->zero, zero)) {
    ox_give(o, 0, codes->x); /* these are the nearest */
    return;
  }
  ox_give(o, 0, ox_quantize(o, x, scale, zero, to, code_axis(o, x, scale), ox_attr_i(o, "block_size", 0)));
}

static wh_datum *plain(ox *o, wh_datum *s) {
  return s->n == 1 && o->st == WH_OK ? ox_reshape(o, s, 0, NULL) : s;
}

/* Sums as f32, times what one of them stands for. */
static wh_datum *scaled(ox *o, wh_datum *sums, const ox_codes *a, const ox_codes *b, int axis) {
  wh_datum *scale = ox_mul(o, plain(o, ox_f32(o, a->scale)), plain(o, ox_f32(o, b->scale)));
  if (o->st == WH_OK && scale->n > 1) scale = ox_per_channel(o, scale, sums->rank, axis);
  return ox_mul(o, ox_f32(o, sums), scale);
}

wh_datum *ox_conv_of_codes(ox *o, wh_datum *x, wh_datum *w, wh_datum *bias) {
  const ox_codes *cx = codes_of(o, x, -1), *cw = codes_of(o, w, 0);
  int64_t n = 1;
  if (o->st != WH_OK || !cx || !cw || !is_constant(cw->x) || w->rank < 3) return NULL;
  for (int i = 1; i < w->rank; i++)
    if (__builtin_mul_overflow(n, w->dims[i], &n) || n > MOST_PRODUCTS) return NULL;
  if (bias && (bias->rank != 1 || bias->dims[0] != w->dims[0])) return NULL; /* ox_conv says so */
  wh_datum *in[] = {cx->x, cw->x, zero_point(o, cx->zero), zero_point(o, cw->zero)};
  wh_datum *y = ox_conv(o, WH_OP_CONV_INTEGER, in, 4);
  if (o->st != WH_OK) return y;
  y = scaled(o, y, cx, cw, 1);
  return bias ? ox_add(o, y, ox_per_channel(o, ox_f32(o, bias), y->rank, 1)) : y;
}

wh_datum *ox_matmul_of_codes(ox *o, wh_datum *a, wh_datum *b) {
  const ox_codes *ca = codes_of(o, a, -1), *cb = codes_of(o, b, b->rank - 1);
  if (o->st != WH_OK || !ca || !cb || a->rank < 2 || b->rank < 2) return NULL;
  const int64_t k = b->dims[b->rank - 2];
  if (cb->scale->n > 1 && b->rank != 2) return NULL;
  if (!ox_dim_at_most(o, k, MOST_PRODUCTS)) return NULL; /* of an open one as when it is a number */
  wh_datum *y = ox_matmul_codes(o, ca->x, ca->zero, cb->x, cb->zero);
  return o->st == WH_OK ? scaled(o, y, ca, cb, y->rank - 1) : y;
}

wh_datum *ox_transposed_matrix(ox *o, wh_datum *x) {
  static const int64_t swap[] = {1, 0};
  const ox_codes *c = o->st == WH_OK && x->rank == 2 ? codes_of(o, x, 0) : NULL;
  if (!c) return ox_transpose(o, x, swap);
  return ox_dequantize(o, ox_transpose(o, c->x, swap), c->scale, c->zero, 1 - c->axis, 0);
}
