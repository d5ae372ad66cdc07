/* exec_alu.c - integers, bits, predicates and moves. */
#include "backends/cuda/ptxemu/exec_internal.h"

#include "backends/cuda/ptxemu/numbers.h"

#define EACH(expression) EACH_OF(s, expression)

/* The same in the width of the type, signed or not. */
#define EACH_UNSIGNED(size, expression32, expression64) \
  do {                                                  \
    if ((size) == 4)                                    \
      EACH((uint32_t)(expression32));                   \
    else if ((size) == 8)                               \
      EACH((uint64_t)(expression64));                   \
    else                                                \
      EACH(num_truncate((uint64_t)(expression64), t));  \
  } while (0)

static void multiply(const step *s, uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c) {
  const ptx_type t = (ptx_type)s->i->type;
  const bool is_signed = ptx_is_signed(t);
  const unsigned size = ptx_type_bytes(t);
  switch ((ptx_half)s->i->mode) {
    case HALF_LO:
      EACH_UNSIGNED(size, (uint32_t)a[l] * (uint32_t)b[l] + (uint32_t)c[l], a[l] * b[l] + c[l]);
      break;
    case HALF_WIDE: { /* the sum is as wide as the product */
      const ptx_type wide = size == 2 ? PTX_U32 : PTX_U64;
      EACH(num_truncate(num_extend(a[l], t) * num_extend(b[l], t) + c[l], wide));
      break;
    }
    case HALF_HI:
      if (size == 8 && is_signed)
        EACH((uint64_t)(((__int128)(int64_t)a[l] * (int64_t)b[l]) >> 64) + c[l]);
      else if (size == 8)
        EACH((uint64_t)(((unsigned __int128)a[l] * b[l]) >> 64) + c[l]);
      else
        EACH(num_truncate((num_extend(a[l], t) * num_extend(b[l], t) >> 8 * size) + c[l], t));
      break;
  }
}

/* What the hardware gives for a zero divisor is left open: all ones here. */
static uint64_t divide(const ptx_instruction *i, uint64_t a, uint64_t b) {
  const ptx_type t = (ptx_type)i->type;
  const bool rest = i->op == OP_REM;
  if (ptx_is_signed(t)) {
    const int64_t x = num_signed(a, t), y = num_signed(b, t);
    if (!y) return num_truncate(rest ? a : ~(uint64_t)0, t);
    if (y == -1) return rest ? 0 : num_truncate(0 - (uint64_t)x, t);
    return num_truncate((uint64_t)(rest ? x % y : x / y), t);
  }
  const uint64_t x = num_truncate(a, t), y = num_truncate(b, t);
  if (!y) return rest ? x : num_truncate(~(uint64_t)0, t);
  return rest ? x % y : x / y;
}

static uint64_t add_saturating(bool subtract, uint64_t a, uint64_t b) {
  const int64_t v = subtract ? (int64_t)(int32_t)a - (int32_t)b : (int64_t)(int32_t)a + (int32_t)b;
  return (uint32_t)(v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v);
}

/* Shifts by more than the width give zeros, or copies of the sign. */
static uint64_t shift(const ptx_instruction *i, uint64_t a, uint64_t by) {
  const ptx_type t = (ptx_type)i->type;
  const unsigned bits = 8 * ptx_type_bytes(t);
  by &= 0xffffffff;
  if (i->op == OP_SHL) return by >= bits ? 0 : num_truncate(a << by, t);
  if (ptx_is_signed(t)) return num_truncate((uint64_t)(num_signed(a, t) >> (by >= bits ? bits - 1 : by)), t);
  return by >= bits ? 0 : num_truncate(a, t) >> by;
}

/* The same of all lanes; of 32 bits without a branch. */
static void shift_lanes(const step *s, uint64_t *d, const uint64_t *a, const uint64_t *b) {
  const ptx_instruction *i = s->i;
  const ptx_type t = (ptx_type)i->type;
  if (ptx_type_bytes(t) != 4)
    EACH(shift(i, a[l], b[l]));
  else if (i->op == OP_SHL)
    EACH((uint32_t)b[l] > 31 ? 0 : (uint32_t)a[l] << ((uint32_t)b[l] & 31));
  else if (ptx_is_signed(t))
    EACH((uint32_t)((int32_t)a[l] >> ((uint32_t)b[l] > 31 ? 31 : (uint32_t)b[l])));
  else
    EACH((uint32_t)b[l] > 31 ? 0 : (uint32_t)a[l] >> ((uint32_t)b[l] & 31));
}

/* cvt to an integer; a signed one that is narrow fills its register by its sign. */
static void convert(const step *s, uint64_t *d, const uint64_t *a) {
  const ptx_instruction *i = s->i;
  const ptx_type to = (ptx_type)i->type, from = (ptx_type)i->type2;
  if (ptx_is_signed(to) && ptx_type_bytes(to) < 4)
    EACH((uint32_t)num_signed(num_convert(i, a[l]), to));
  else if (i->saturate)
    EACH(num_convert(i, a[l]));
  else if (ptx_is_signed(from) && ptx_type_bytes(from) == 4)
    EACH((uint64_t)(int64_t)(int32_t)a[l] & num_mask(to));
  else if (ptx_is_signed(from))
    EACH((uint64_t)num_signed(a[l], from) & num_mask(to));
  else
    EACH(a[l] & num_mask(from) & num_mask(to));
}

static uint64_t funnel(const ptx_instruction *i, uint64_t low, uint64_t high, uint64_t by) {
  const uint64_t v = (uint32_t)low | (uint64_t)(uint32_t)high << 32;
  unsigned n = (uint32_t)by;
  n = i->wrap ? n & 31 : n > 32 ? 32 : n;
  return (uint32_t)(i->left ? (n ? v >> (32 - n) : v >> 32) : n == 64 ? 0 : v >> n);
}

static uint64_t logic3(uint64_t a, uint64_t b, uint64_t c, unsigned table) {
  uint32_t r = 0;
  for (unsigned k = 0; k < 8; k++)
    if (table >> k & 1) r |= (uint32_t)((k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c));
  return r;
}

static uint64_t permute(uint64_t a, uint64_t b, uint64_t selector) {
  const uint64_t v = (uint32_t)a | b << 32;
  uint32_t r = 0;
  for (unsigned k = 0; k < 4; k++) {
    const unsigned n = selector >> 4 * k & 15;
    uint32_t x = (uint32_t)(v >> 8 * (n & 7)) & 255;
    if (n & 8) x = x & 128 ? 255 : 0; /* its sign, copied */
    r |= x << 8 * k;
  }
  return r;
}

static uint64_t extract(const ptx_instruction *i, uint64_t a, unsigned at, unsigned n) {
  const ptx_type t = (ptx_type)i->type;
  const unsigned bits = 8 * ptx_type_bytes(t);
  const uint64_t v = num_truncate(a, t);
  if (!n) return 0;
  const unsigned top = at + n - 1 < bits ? at + n - 1 : bits - 1;
  const bool sign = ptx_is_signed(t) && v >> top & 1;
  uint64_t r = at < bits ? v >> at : 0;
  const unsigned kept = at < bits ? top - at + 1 : 0;
  const uint64_t mask = kept >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << kept) - 1;
  r &= mask;
  return num_truncate(sign ? r | ~mask : r, t);
}

static uint64_t insert(const ptx_instruction *i, uint64_t a, uint64_t b, unsigned at, unsigned n) {
  const uint64_t mask = at >= 64 ? 0 : (n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << at;
  return num_truncate((b & ~mask) | (at >= 64 ? 0 : a << at & mask), (ptx_type)i->type);
}

static uint64_t reverse_bits(uint64_t v, unsigned bits) {
  uint64_t r = 0;
  for (unsigned k = 0; k < bits; k++) r |= (v >> k & 1) << (bits - 1 - k);
  return r;
}

static uint64_t find_top(const ptx_instruction *i, uint64_t v) {
  const ptx_type t = (ptx_type)i->type;
  v = ptx_is_signed(t) && num_signed(v, t) < 0 ? num_truncate(~v, t) : num_truncate(v, t);
  if (!v) return 0xffffffffu;
  const unsigned top = 63u - (unsigned)__builtin_clzll(v);
  return i->wrap ? 8 * ptx_type_bytes(t) - 1 - top : top; /* .shiftamt: how far it may be shifted up */
}

static uint64_t sum_of_difference(ptx_type t, uint64_t a, uint64_t b, uint64_t c) {
  const bool less =
      ptx_is_signed(t) ? num_signed(a, t) < num_signed(b, t) : num_truncate(a, t) < num_truncate(b, t);
  return num_truncate(c + (less ? b - a : a - b), t);
}

static uint64_t dot4(const ptx_instruction *i, uint64_t a, uint64_t b, uint64_t c) {
  uint32_t sum = (uint32_t)c;
  for (unsigned k = 0; k < 4; k++) {
    const int x = i->type == PTX_S32 ? (int8_t)(a >> 8 * k) : (uint8_t)(a >> 8 * k);
    const int y = i->type2 == PTX_S32 ? (int8_t)(b >> 8 * k) : (uint8_t)(b >> 8 * k);
    sum += (uint32_t)(x * y);
  }
  return sum;
}

static void add(const step *s, uint64_t *d, const uint64_t *a, const uint64_t *b) {
  const ptx_type t = (ptx_type)s->i->type;
  const unsigned size = ptx_type_bytes(t);
  if (s->i->saturate && t == PTX_S32)
    EACH(add_saturating(s->i->op == OP_SUB, a[l], b[l]));
  else if (s->i->op == OP_ADD)
    EACH_UNSIGNED(size, a[l] + b[l], a[l] + b[l]);
  else
    EACH_UNSIGNED(size, a[l] - b[l], a[l] - b[l]);
}

static uint32_t combined(ptx_bool how, uint32_t v, uint32_t with) {
  return how == BOOL_AND ? v & with : how == BOOL_OR ? v | with : how == BOOL_XOR ? v ^ with : v;
}

/* A bit for each lane, by a comparison of values of type T. */
#define BITS_OF(T, load, condition)            \
  do {                                         \
    for (unsigned l = 0; l < EXEC_WARP; l++) { \
      const T x = load(a[l]), y = load(b[l]);  \
      bits |= (uint64_t)(condition) << l;      \
    }                                          \
    return (uint32_t)bits;                     \
  } while (0)

#define COMPARE_ORDERED(T, load)     \
  switch (c) {                       \
    case CMP_EQ:                     \
      BITS_OF(T, load, x == y);      \
    case CMP_NE:                     \
      BITS_OF(T, load, x<y || x> y); \
    case CMP_LT:                     \
      BITS_OF(T, load, x < y);       \
    case CMP_LE:                     \
      BITS_OF(T, load, x <= y);      \
    case CMP_GT:                     \
      BITS_OF(T, load, x > y);       \
    case CMP_GE:                     \
      BITS_OF(T, load, x >= y);      \
    default:                         \
      break;                         \
  }

/* Of lanes outside the mask anything. */
static uint32_t compared(ptx_compare c, ptx_type t, const uint64_t *a, const uint64_t *b, uint32_t mask) {
  uint64_t bits = 0;
  if (t == PTX_S32) {
    COMPARE_ORDERED(int32_t, (int32_t))
  } else if (t == PTX_U32 || t == PTX_B32) {
    COMPARE_ORDERED(uint32_t, (uint32_t))
  } else if (t == PTX_F32) {
    COMPARE_ORDERED(float, num_f32)
  }
  FOR_LANES(l, mask) bits |= (uint64_t)num_compare(c, t, a[l], b[l]) << l;
  return (uint32_t)bits;
}

/* setp p|q, a, b, c: q of the opposite comparison. */
static void compare(const step *s) {
  const ptx_instruction *i = s->i;
  const unsigned n = i->n_operands;
  const bool combines = i->combine != BOOL_NONE;
  const unsigned first = n - (combines ? 3 : 2); /* results before it */
  lanes ra, rb;
  const uint64_t *a = exec_source(s, &i->operands[first], ra),
                 *b = exec_source(s, &i->operands[first + 1], rb);
  const ptx_type t = (ptx_type)i->type2;
  const uint32_t v = compared((ptx_compare)i->compare, t, a, b, s->mask);
  const uint32_t with = combines ? exec_predicate(s, &i->operands[n - 1]) : 0;
  const uint32_t no = combined((ptx_bool)i->combine, ~v, with);
  exec_set_predicate(s, &i->operands[0], combined((ptx_bool)i->combine, v, with));
  if (first > 1) exec_set_predicate(s, &i->operands[1], no);
}

static void pack(const step *s, uint64_t *d) {
  const ptx_operand *v = &s->i->operands[1];
  const unsigned bits = 8 * ptx_type_bytes((ptx_type)s->i->type) / v->n_elements;
  const uint64_t mask = bits >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
  lanes sum = {0};
  for (unsigned k = 0; k < v->n_elements; k++) {
    lanes room;
    const uint64_t *from = exec_source(s, &v->elements[k], room);
    FOR_LANES(l, s->mask) sum[l] |= (from[l] & mask) << bits * k;
  }
  EACH(sum[l]);
}

static void unpack(const step *s) {
  const ptx_operand *v = &s->i->operands[0];
  const unsigned bits = 8 * ptx_type_bytes((ptx_type)s->i->type) / v->n_elements;
  const uint64_t mask = bits >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
  lanes room, copy, nowhere;
  const uint64_t *from = exec_source(s, &s->i->operands[1], room);
  for (unsigned l = 0; l < EXEC_WARP; l++) copy[l] = from[l]; /* it may be one of the results */
  for (unsigned k = 0; k < v->n_elements; k++) {
    uint64_t *d = exec_result(s, &v->elements[k], nowhere);
    EACH(copy[l] >> bits * k & mask);
  }
}

EXEC_WIDE void exec_alu(const step *s) {
  const ptx_instruction *i = s->i;
  const ptx_type t = (ptx_type)i->type;
  const unsigned size = ptx_type_bytes(t);
  if (i->op == OP_UNPACK) {
    unpack(s);
    return;
  }
  if (i->op == OP_SETP) {
    compare(s);
    return;
  }
  lanes nowhere, rooms[4];
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  if (i->op == OP_PACK) {
    pack(s, d);
    return;
  }
  static const lanes zeros = {0};
  const uint64_t *a = i->n_operands > 1 ? exec_source(s, &i->operands[1], rooms[0]) : zeros;
  const uint64_t *b = i->n_operands > 2 ? exec_source(s, &i->operands[2], rooms[1]) : zeros;
  const uint64_t *c = i->n_operands > 3 ? exec_source(s, &i->operands[3], rooms[2]) : zeros;
  const uint64_t *e = i->n_operands > 4 ? exec_source(s, &i->operands[4], rooms[3]) : zeros;
  switch ((ptx_op)i->op) {
    case OP_MOV:
      EACH_UNSIGNED(size, a[l], a[l]);
      break;
    case OP_ADD:
    case OP_SUB:
      add(s, d, a, b);
      break;
    case OP_MUL:
    case OP_MAD:
      multiply(s, d, a, b, c);
      break;
    case OP_DIV:
    case OP_REM:
      EACH(divide(i, a[l], b[l]));
      break;
    case OP_MIN:
    case OP_MAX:
      EACH(num_truncate(num_min_max(i->op == OP_MAX, false, t, a[l], b[l]), t));
      break;
    case OP_NEG:
      EACH(num_truncate(0 - a[l], t));
      break;
    case OP_ABS:
      EACH(num_truncate(num_signed(a[l], t) < 0 ? 0 - a[l] : a[l], t));
      break;
    case OP_AND:
      EACH_UNSIGNED(size, a[l] & b[l], a[l] & b[l]);
      break;
    case OP_OR:
      EACH_UNSIGNED(size, a[l] | b[l], a[l] | b[l]);
      break;
    case OP_XOR:
      EACH_UNSIGNED(size, a[l] ^ b[l], a[l] ^ b[l]);
      break;
    case OP_NOT:
      EACH(num_truncate(~a[l], t));
      break;
    case OP_SHL:
    case OP_SHR:
      shift_lanes(s, d, a, b);
      break;
    case OP_SHF:
      EACH(funnel(i, a[l], b[l], c[l]));
      break;
    case OP_LOP3:
      EACH(logic3(a[l], b[l], c[l], (unsigned)e[l] & 255));
      break;
    case OP_PRMT:
      EACH(permute(a[l], b[l], c[l]));
      break;
    case OP_BFE:
      EACH(extract(i, a[l], (unsigned)b[l] & 255, (unsigned)c[l] & 255));
      break;
    case OP_BFI:
      EACH(insert(i, a[l], b[l], (unsigned)c[l] & 255, (unsigned)e[l] & 255));
      break;
    case OP_POPC:
      EACH((unsigned)__builtin_popcountll(num_truncate(a[l], t)));
      break;
    case OP_CLZ:
      EACH(num_truncate(a[l], t) ? (unsigned)__builtin_clzll(num_truncate(a[l], t)) - (64 - 8 * size)
                                 : 8 * size);
      break;
    case OP_BREV:
      EACH(reverse_bits(a[l], 8 * size));
      break;
    case OP_BFIND:
      EACH(find_top(i, a[l]));
      break;
    case OP_SAD:
      EACH(sum_of_difference(t, a[l], b[l], c[l]));
      break;
    case OP_DP4A:
      EACH(dot4(i, a[l], b[l], c[l]));
      break;
    case OP_SELP: {
      const uint32_t p = exec_predicate(s, &i->operands[3]);
      EACH(p >> l & 1 ? num_truncate(a[l], t) : num_truncate(b[l], t));
      break;
    }
    case OP_SET:
      EACH(num_compare((ptx_compare)i->compare, (ptx_type)i->type2, a[l], b[l])
               ? num_truncate(~(uint64_t)0, t)
               : 0);
      break;
    case OP_CVT:
      convert(s, d, a);
      break;
    default:
      exec_report(s, (unsigned)__builtin_ctz(s->mask), "unsupported", "this instruction of this type");
  }
}
