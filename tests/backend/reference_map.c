/* reference_map.c - elementwise ops over operands that broadcast, and casts, an element at a time. */
#include <stdlib.h>

#include "core/base/exact_math_wide.h"
#include "tests/backend/reference_elements.h"

/* ---- floats: f32 arithmetic in f32 ---- */

static double round_to(const ref_value *v, double x) {
  return v->dtype == WH_DTYPE_F32 ? (double)(float)x : x;
}

static double smaller(double x, double z) {
  if (isnan(x) || isnan(z)) return (double)NAN;
  if (x == z) return signbit(x) ? x : z;
  return x < z ? x : z;
}

/* Sums, differences, products and quotients of two f32 are rounded right by way of f64 (Figueroa 1995). */
static double float_of(const ref_node *n, double x, double z) {
  switch (n->node->op) {
    case WH_OP_ADD:
      return x + z;
    case WH_OP_SUB:
      return x - z;
    case WH_OP_MUL:
      return x * z;
    case WH_OP_DIV:
      return x / z;
    case WH_OP_MIN:
      return smaller(x, z);
    case WH_OP_MAX:
      return -smaller(-x, -z);
    case WH_OP_MOD: {
      const double r = fmod(x, z);
      const bool other = r != 0 && signbit(r) != signbit(z);
      return !ref_int_attr(n, WH_ATTR_FMOD) && other ? round_to(&n->out, r + z) : r;
    }
    default:
      abort();
  }
}

static __int128 integer_of(const ref_node *n, __int128 x, __int128 z, int bits) {
  switch (n->node->op) {
    case WH_OP_ADD:
      return x + z;
    case WH_OP_SUB:
      return x - z;
    case WH_OP_MUL:
      return (__int128)((unsigned __int128)x * (unsigned __int128)z);
    case WH_OP_DIV:
      return z ? x / z : 0;
    case WH_OP_MIN:
      return x < z ? x : z;
    case WH_OP_MAX:
      return x < z ? z : x;
    case WH_OP_MOD: {
      const __int128 r = z ? x % z : 0;
      const bool other = r != 0 && (r < 0) != (z < 0);
      return !ref_int_attr(n, WH_ATTR_FMOD) && other ? r + z : r;
    }
    case WH_OP_BIT_AND:
    case WH_OP_AND:
      return x & z;
    case WH_OP_BIT_OR:
    case WH_OP_OR:
      return x | z;
    case WH_OP_BIT_XOR:
    case WH_OP_XOR:
      return x ^ z;
    case WH_OP_SHIFT_LEFT:
      return z < 0 || z >= bits ? 0 : (__int128)((unsigned __int128)x << z);
    case WH_OP_SHIFT_RIGHT:
      return z < 0 || z >= bits ? (x < 0 ? -1 : 0) : x >> z;
    default:
      abort();
  }
}

void ref_map2(ref_node *n) {
  ref_value *y = &n->out;
  for (int64_t i = 0; i < ref_elements(y); i++) {
    const int64_t a = ref_broadcast(y, i, &n->in[0]), b = ref_broadcast(y, i, &n->in[1]);
    if (ref_holds_floats(y))
      ref_set_float(y, i, float_of(n, ref_float(&n->in[0], a), ref_float(&n->in[1], b)));
    else
      ref_set_integer(y, i,
                      integer_of(n, ref_integer(&n->in[0], a), ref_integer(&n->in[1], b),
                                 8 * wh_dtype_get(y->dtype)->block_bytes));
  }
}

void ref_compare(ref_node *n) {
  ref_value *y = &n->out;
  for (int64_t i = 0; i < ref_elements(y); i++) {
    const int64_t a = ref_broadcast(y, i, &n->in[0]), b = ref_broadcast(y, i, &n->in[1]);
    bool less, equal;
    if (ref_holds_floats(&n->in[0])) {
      less = ref_float(&n->in[0], a) < ref_float(&n->in[1], b);
      equal = ref_float(&n->in[0], a) == ref_float(&n->in[1], b);
    } else {
      less = ref_integer(&n->in[0], a) < ref_integer(&n->in[1], b);
      equal = ref_integer(&n->in[0], a) == ref_integer(&n->in[1], b);
    }
    const wh_op op = n->node->op;
    ref_set_integer(y, i, op == WH_OP_EQUAL ? equal : op == WH_OP_LESS ? less : less || equal);
  }
}

void ref_where(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const bool first = ref_integer(&n->in[0], ref_broadcast(&n->out, i, &n->in[0])) != 0;
    const ref_value *x = &n->in[first ? 1 : 2];
    ref_copy(&n->out, i, x, ref_broadcast(&n->out, i, x));
  }
}

/* ---- powers ---- */

static __int128 clamp(const ref_value *v, double x) {
  const int bits = 8 * wh_dtype_get(v->dtype)->block_bytes;
  const bool is_signed = wh_dtype_is(v->dtype, WH_CLASS_SIGNED);
  const __int128 one = 1, most = is_signed ? (one << (bits - 1)) - 1 : (one << bits) - 1,
                 least = is_signed ? -(one << (bits - 1)) : 0;
  if (isnan(x)) return 0;
  if (x >= ldexp(1.0, 70)) return most;
  if (x <= -ldexp(1.0, 70)) return least;
  const __int128 t = (__int128)x;
  return t > most ? most : t < least ? least : t;
}

static __int128 whole_power(__int128 x, __int128 e) {
  if (e < 0) return x == 1 ? 1 : x == -1 ? (e % 2 ? -1 : 1) : 0;
  uint64_t y = 1, f = (uint64_t)x; /* the low bits are those of the product */
  for (; e > 0; e /= 2) {
    if (e % 2) y *= f;
    f *= f;
  }
  return (__int128)y;
}

void ref_pow(ref_node *n) {
  ref_value *y = &n->out;
  for (int64_t i = 0; i < ref_elements(y); i++) {
    const int64_t a = ref_broadcast(y, i, &n->in[0]), b = ref_broadcast(y, i, &n->in[1]);
    const bool floats = ref_holds_floats(&n->in[1]);
    const double e = floats ? ref_float(&n->in[1], b) : (double)ref_integer(&n->in[1], b);
    if (ref_holds_floats(y)) {
      const double x = ref_float(&n->in[0], a);
      ref_set_float(y, i, e == 2 ? x * x : e == 0.5 && x > 0 ? sqrt(x) : wh_wide_pow(x, e));
      continue;
    }
    const bool whole = floats ? fabs(e) < 0x1p62 && e == trunc(e) : ref_integer(&n->in[1], b) <= INT64_MAX;
    const __int128 x = ref_integer(&n->in[0], a);
    ref_set_integer(y, i,
                    whole ? whole_power(x, floats ? (__int128)e : ref_integer(&n->in[1], b))
                          : clamp(y, wh_wide_pow((double)x, e)));
  }
}

/* ---- one operand ---- */

static double wide(wh_op op, double x) {
  switch (op) {
#define WIDE(OP, name) \
  case WH_OP_##OP:     \
    return wh_wide_##name(x);
    WIDE(EXP, exp)
    WIDE(TANH, tanh)
    WIDE(SIGMOID, sigmoid)
    WIDE(LOG, log)
    WIDE(SIN, sin)
    WIDE(COS, cos)
    WIDE(TAN, tan)
    WIDE(ASIN, asin)
    WIDE(ACOS, acos)
    WIDE(ATAN, atan)
    WIDE(SINH, sinh)
    WIDE(COSH, cosh)
    WIDE(ASINH, asinh)
    WIDE(ACOSH, acosh)
    WIDE(ATANH, atanh)
    WIDE(SOFTPLUS, softplus)
    WIDE(ERF, erf)
#undef WIDE
    case WH_OP_SQRT:
      return sqrt(x);
    case WH_OP_FLOOR:
      return floor(x);
    case WH_OP_CEIL:
      return ceil(x);
    case WH_OP_ROUND:
      return nearbyint(x);
    case WH_OP_NEG:
      return -x;
    case WH_OP_ABS:
      return fabs(x);
    case WH_OP_SIGN:
      return x > 0 ? 1 : x < 0 ? -1 : x;
    default:
      abort();
  }
}

/* Functions that f32 has a definition of its own for (core/base/exact_math.h). */
static bool narrow(wh_op op, float x, float *y) {
  switch (op) {
    case WH_OP_EXP:
      *y = wh_exp_f32(x);
      return true;
    case WH_OP_TANH:
      *y = wh_tanh_f32(x);
      return true;
    case WH_OP_SIGMOID:
      *y = wh_sigmoid_f32(x);
      return true;
    case WH_OP_ERF:
      *y = wh_erf_f32(x);
      return true;
    case WH_OP_SQRT:
      *y = sqrtf(x);
      return true;
    default:
      return false;
  }
}

void ref_map1(ref_node *n) {
  const wh_op op = n->node->op;
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    if (!ref_holds_floats(&n->out)) {
      const __int128 x = ref_integer(&n->in[0], i);
      const __int128 y = op == WH_OP_NEG    ? -x
                         : op == WH_OP_ABS  ? (x < 0 ? -x : x)
                         : op == WH_OP_NOT  ? x == 0
                         : op == WH_OP_SIGN ? (x > 0) - (x < 0)
                                            : ~x;
      ref_set_integer(&n->out, i, y);
      continue;
    }
    const double x = ref_float(&n->in[0], i);
    float y;
    if (n->out.dtype == WH_DTYPE_F32 && narrow(op, (float)x, &y))
      ref_set_float(&n->out, i, (double)y);
    else
      ref_set_float(&n->out, i, wide(op, x));
  }
}

void ref_classify(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const double x = ref_float(&n->in[0], i);
    if (n->node->op == WH_OP_IS_NAN) {
      ref_set_integer(&n->out, i, isnan(x) != 0);
      continue;
    }
    const int64_t mode = ref_int_attr(n, WH_ATTR_MODE);
    ref_set_integer(&n->out, i, isinf(x) && (mode == 1 || (mode == 2) == (x > 0)));
  }
}

/* ---- casts ---- */

static void cast_float(ref_value *y, int64_t i, double x, bool saturate) {
  if (y->dtype == WH_DTYPE_F32 || y->dtype == WH_DTYPE_F64) {
    ref_set_float(y, i, x);
    return;
  }
  if (y->dtype == WH_DTYPE_BOOL) {
    ref_set_integer(y, i, x != 0);
  } else if (!ref_holds_floats(y)) {
    ref_value as = *y;
    const int per_byte = wh_dtype_get(y->dtype)->block_elems;
    if (per_byte > 1) { /* as wide a range as its bits have */
      const double all = per_byte == 2 ? 16 : 4,
                   least = wh_dtype_is(y->dtype, WH_CLASS_SIGNED) ? -all / 2 : 0, most = least + all - 1;
      ref_set_integer(y, i, isnan(x) ? 0 : (__int128)(x < least ? least : x > most ? most : x));
      return;
    }
    ref_set_integer(y, i, clamp(&as, x));
  } else if (wh_dtype_get(y->dtype)->block_elems > 1) {
    ref_set_bits(y, i, ref_encode(y->dtype, x, saturate));
  } else if (wh_dtype_get(y->dtype)->block_bytes == 1) {
    ((uint8_t *)y->data)[i] = (uint8_t)ref_encode(y->dtype, x, saturate);
  } else {
    ((uint16_t *)y->data)[i] = (uint16_t)ref_encode(y->dtype, x, false);
  }
}

/* The nearest of bf16, or its neighbour towards zero where that is too far out. */
void ref_truncate_bf16(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    const double x = ref_float(&n->in[0], i);
    uint16_t *y = (uint16_t *)n->out.data + i;
    *y = (uint16_t)ref_encode(WH_DTYPE_BF16, x, false);
    if (!isnan(x) && fabs(ref_float(&n->out, i)) > fabs(x)) --*y;
  }
}

void ref_cast(ref_node *n) {
  const bool saturate = ref_int_attr(n, WH_ATTR_SATURATE) != 0;
  const ref_value *x = &n->in[0];
  ref_value *y = &n->out;
  if (x->dtype == y->dtype) {
    if (y->n_bytes) memcpy(y->data, x->data, y->n_bytes);
    return;
  }
  for (int64_t i = 0; i < ref_elements(y); i++) {
    if (ref_holds_floats(x)) {
      cast_float(y, i, ref_float(x, i), saturate);
      continue;
    }
    const __int128 k = ref_integer(x, i);
    if (y->dtype == WH_DTYPE_BOOL)
      ref_set_integer(y, i, k != 0);
    else if (!ref_holds_floats(y))
      ref_set_integer(y, i, k);
    else if (y->dtype == WH_DTYPE_F32)
      ((float *)y->data)[i] = (float)k;
    else if (y->dtype == WH_DTYPE_F64)
      ((double *)y->data)[i] = (double)k;
    else { /* of the two f64 around it the odd one, which is no tie of a type with fewer bits */
      double d = (double)k;
      const __int128 off = k - (__int128)d;
      if (off && !(wh_f64_bits(d) & 1)) d = nextafter(d, off > 0 ? (double)INFINITY : -(double)INFINITY);
      cast_float(y, i, d, saturate);
    }
  }
}
