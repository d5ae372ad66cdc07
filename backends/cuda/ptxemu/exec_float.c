/* exec_float.c - instructions one of whose types is a floating-point type. Approximate ones are the exact
 * function rounded to the type: what a GPU gives for them differs from it in its last bits, so no program may
 * count on either. */
#include "backends/cuda/ptxemu/exec_internal.h"

#include <math.h>

#include "backends/cuda/ptxemu/numbers.h"

static uint64_t flushed(const ptx_instruction *i, ptx_type t, uint64_t v) {
  return i->flush && t == PTX_F32 ? num_bits_f32(num_flush(num_f32(v))) : v;
}

static uint64_t saturated(const ptx_instruction *i, ptx_type t, uint64_t v) {
  if (!i->saturate) return v;
  const double x = num_load(v, t);
  return x > 0 ? (x < 1 ? v : num_store(1, t, ROUND_RN)) : 0;
}

static uint64_t function(ptx_op op, ptx_type t, uint64_t v) {
  const double x = num_load(v, t);
  double y = 0;
  switch (op) {
    case OP_RSQRT:
      y = 1 / sqrt(x);
      break;
    case OP_EX2:
      y = exp2(x);
      break;
    case OP_LG2:
      y = log2(x);
      break;
    case OP_SIN:
      y = sin(x);
      break;
    case OP_COS:
      y = cos(x);
      break;
    default:
      y = tanh(x);
  }
  return num_store(y, t, ROUND_RN);
}

static uint64_t sign_bit(ptx_type t) { return (uint64_t)1 << (8 * ptx_type_bytes(t) - 1); }

/* One value; a pair is two of them. */
static uint64_t scalar(const ptx_instruction *i, ptx_type t, uint64_t a, uint64_t b, uint64_t c) {
  const ptx_op op = (ptx_op)i->op;
  const ptx_round r = (ptx_round)i->rounding;
  switch (op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_FMA:
    case OP_MAD:
      return t == PTX_F16 || t == PTX_BF16 ? num_half(op, t, r, (uint16_t)a, (uint16_t)b, (uint16_t)c)
                                           : num_arithmetic(op, t, r, a, b, c);
    case OP_DIV:
    case OP_SQRT:
      return num_arithmetic(op, t, r, a, b, 0);
    case OP_RCP:
      return num_arithmetic(OP_DIV, t, r, num_store(1, t, ROUND_RN), a, 0);
    case OP_MIN:
    case OP_MAX:
      return num_min_max(op == OP_MAX, i->nan, t, a, b);
    case OP_NEG:
      return a ^ sign_bit(t);
    case OP_ABS:
      return a & ~sign_bit(t);
    case OP_COPYSIGN: /* of a onto b */
      return (b & ~sign_bit(t)) | (a & sign_bit(t));
    default:
      return function(op, t, a);
  }
}

/* binary32 to the nearest, the common case, without the switching of roundings. */
static bool fast(const step *s, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c) {
  const ptx_instruction *i = s->i;
  if (i->type != PTX_F32 || i->rounding > ROUND_RN || i->flush || i->saturate) return false;
  switch ((ptx_op)i->op) {
    case OP_ADD:
      EACH_OF(s, num_bits_f32(num_f32(a[l]) + num_f32(b[l])));
      return true;
    case OP_SUB:
      EACH_OF(s, num_bits_f32(num_f32(a[l]) - num_f32(b[l])));
      return true;
    case OP_MUL:
      EACH_OF(s, num_bits_f32(num_f32(a[l]) * num_f32(b[l])));
      return true;
    case OP_FMA:
    case OP_MAD:
      EACH_OF(s, num_bits_f32(fmaf(num_f32(a[l]), num_f32(b[l]), num_f32(c[l]))));
      return true;
    case OP_NEG:
      EACH_OF(s, (uint32_t)a[l] ^ 0x80000000u);
      return true;
    case OP_ABS:
      EACH_OF(s, (uint32_t)a[l] & 0x7fffffffu);
      return true;
    default:
      return false;
  }
}

static void compute(const step *s, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c) {
  const ptx_instruction *i = s->i;
  if (fast(s, d, a, b, c)) return;
  const ptx_type t = (ptx_type)i->type;
  const bool pair = t == PTX_F16X2 || t == PTX_BF16X2;
  const ptx_type half = t == PTX_F16X2 ? PTX_F16 : PTX_BF16;
  FOR_LANES(l, s->mask) {
    if (pair) {
      const uint64_t low = saturated(i, half, scalar(i, half, a[l] & 0xffff, b[l] & 0xffff, c[l] & 0xffff));
      const uint64_t high =
          saturated(i, half, scalar(i, half, a[l] >> 16 & 0xffff, b[l] >> 16 & 0xffff, c[l] >> 16 & 0xffff));
      d[l] = low | high << 16;
    } else {
      const uint64_t v = scalar(i, t, flushed(i, t, a[l]), flushed(i, t, b[l]), flushed(i, t, c[l]));
      d[l] = saturated(i, t, flushed(i, t, v));
    }
  }
}

/* cvt.rn.f16x2.f32 d, a, b: a is the upper half. */
static void convert_pair(const step *s, uint64_t *d, const uint64_t *a, const uint64_t *b) {
  const ptx_instruction *i = s->i;
  const ptx_type half = i->type == PTX_F16X2 ? PTX_F16 : PTX_BF16;
  FOR_LANES(l, s->mask)
  d[l] = num_store(num_f32(a[l]), half, (ptx_round)i->rounding) << 16 |
         num_store(num_f32(b[l]), half, (ptx_round)i->rounding);
}

EXEC_WIDE void exec_float(const step *s) {
  const ptx_instruction *i = s->i;
  switch ((ptx_op)i->op) {
    case OP_MOV:
    case OP_PACK:
    case OP_UNPACK:
    case OP_SETP:
    case OP_SELP:
    case OP_SET:
      exec_alu(s);
      return;
    default:
      break;
  }
  lanes nowhere, rooms[3];
  static const lanes zeros = {0};
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  const uint64_t *a = i->n_operands > 1 ? exec_source(s, &i->operands[1], rooms[0]) : zeros;
  const uint64_t *b = i->n_operands > 2 ? exec_source(s, &i->operands[2], rooms[1]) : zeros;
  const uint64_t *c = i->n_operands > 3 ? exec_source(s, &i->operands[3], rooms[2]) : zeros;
  switch ((ptx_op)i->op) {
    case OP_CVT:
      if (i->n_operands == 3)
        convert_pair(s, d, a, b);
      else
        FOR_LANES(l, s->mask) d[l] = num_convert(i, a[l]);
      return;
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_FMA:
    case OP_MAD:
    case OP_DIV:
    case OP_SQRT:
    case OP_RCP:
    case OP_MIN:
    case OP_MAX:
    case OP_NEG:
    case OP_ABS:
    case OP_COPYSIGN:
    case OP_RSQRT:
    case OP_EX2:
    case OP_LG2:
    case OP_SIN:
    case OP_COS:
    case OP_TANH:
      compute(s, d, a, b, c);
      return;
    default:
      exec_report(s, (unsigned)__builtin_ctz(s->mask), "unsupported", "this instruction of this type");
  }
}
