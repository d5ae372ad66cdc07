/* chain_registers.h - plain steps of a chain over vectors that stay in registers from step to step, written
 * over one vector type: included behind a level's (vec_<isa>.h) by what has the elements. Every step is its
 * op on each element, rounded as that is. */
#ifndef WH_CPU_CHAIN_REGISTERS_H
#define WH_CPU_CHAIN_REGISTERS_H

#include <string.h>

#include "backends/cpu/chain.h"
#include "backends/cpu/unroll.h"
#include "backends/cpu/vec_math.h"

#define CHAIN_MOST 32 /* vectors of a tile: no level has more registers */

INLINE vf chain_hard_swish(vf x, vf a, vf b, vf most) {
  b = vf_add(vf_zero(), b); /* now sums are never -0, for which relu takes a step more */
  return vf_mul(vf_at_most(vf_at_least(vf_add(vf_mul(x, a), b), vf_zero()), most), x);
}

/* x / s as IEEE has it, without a division: `near` is one of the two numbers next to the quotient, so that
 * the rest is exact, and with the reciprocal rounded to nearest the sum is the quotient rounded (Markstein
 * 1990). Large x are kept where nothing overflows; what does so far below zero is NaN, which has the least
 * code, too. Vectors of eight divide as fast. */
INLINE vf chain_quotient(vf x, const float *divisor, const float *c) {
  if (VF_LANES < 16) return vf_div(x, vf_set1(*divisor));
  x = vf_at_most(x, vf_set1(c[3]));
  const vf near = vf_fma(x, vf_set1(c[1]), vf_mul(x, vf_set1(c[2])));
  return vf_fma(vf_fma(near, vf_set1(c[0]), x), vf_set1(c[1]), near);
}

/* Each function has one loop for all who call it: unrolled it would not fit the registers. */
#define FUNCTION(name, f)                                        \
  case WH_CHAIN_##name:                                          \
    for (; i + VF_MANY <= n; i += VF_MANY) vf_##f##_many(v + i); \
    for (; i < n; i++) v[i] = vf_##f(v[i]);                      \
    break;
static __attribute__((noinline)) void chain_function(wh_chain_code code, int n, vf *v) {
  int i = 0;
  switch (code) {
    FUNCTION(EXP, exp)
    FUNCTION(TANH, tanh)
    FUNCTION(ERF, erf)
    FUNCTION(SIGMOID, sigmoid)
    FUNCTION(SILU, silu)
    FUNCTION(GELU, gelu_tanh)
    FUNCTION(GELU_ERF, gelu_erf)
    FUNCTION(SWISH, swish)
    default:
      break;
  }
}
#undef FUNCTION

#define EACH UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < vecs; i++)
#define V v[r * vecs + i]
#define OPERAND \
  (whole ? vf_load(from + r * by + i * VF_LANES) : vf_load_some(some, from + r * by + i * VF_LANES))
/* An operand that stays, and one that moves on with the elements. */
#define STEP2(name, expression)                             \
  case 2 * WH_CHAIN_##name: {                               \
    UNROLL for (int r = 0; r < rows; r++) {                 \
      const vf b = vf_set1(from[r * by]);                   \
      UNROLL for (int i = 0; i < vecs; i++) V = expression; \
    }                                                       \
    break;                                                  \
  }                                                         \
  case 2 * WH_CHAIN_##name + 1:                             \
    EACH {                                                  \
      const vf b = OPERAND;                                 \
      V = expression;                                       \
    }                                                       \
    break;
/* An operand that stays for all. */
#define STEP_BOUND(name, expression)                                \
  case 2 * WH_CHAIN_##name: {                                       \
    const vf b = vf_set1(*from);                                    \
    UNROLL for (int i = 0; i < rows * vecs; i++) v[i] = expression; \
    break;                                                          \
  }
/* Operands of other types; a piece that is no whole vector is read from a copy. */
#define STEP_LOAD(name, type, load)                                                       \
  case 2 * WH_CHAIN_##name:                                                               \
    UNROLL for (int r = 0; r < rows; r++) {                                               \
      const vf b = vf_set1((float)((const type *)(const void *)op->x)[at + r * by]);      \
      UNROLL for (int i = 0; i < vecs; i++) V = b;                                        \
    }                                                                                     \
    break;                                                                                \
  case 2 * WH_CHAIN_##name + 1:                                                           \
    EACH {                                                                                \
      const type *codes = (const type *)(const void *)op->x + at + r * by + i * VF_LANES; \
      type part[VF_LANES] = {0};                                                          \
      if (!whole) codes = memcpy(part, codes, (size_t)p->n * sizeof *part);               \
      V = load(codes);                                                                    \
    }                                                                                     \
    break;
#define STEP1(name, expression) \
  case 2 * WH_CHAIN_##name:     \
    EACH V = expression;        \
    break;

/* What a block takes: of part `of` `n` elements behind `col` of the rows behind `row`. */
typedef struct chain_piece {
  const wh_chain_part *of;
  int64_t row, col, n;
} chain_piece;

INLINE int64_t chain_offset(const wh_chain_row *row, const chain_piece *p) {
  return row->local ? p->row * row->step + p->col : (p->of->row + p->row) * row->step + p->of->at + p->col;
}

INLINE void chain_save_codes(const int rows, const int vecs, const bool whole, const vf *v, int64_t n,
                             uint8_t *to, int64_t step, const bool is_signed) {
  UNROLL for (int r = 0; r < rows; r++, to += step) {
    if (whole && vecs % 2 == 0) {
      UNROLL for (int i = 0; i < vecs; i += 2)
          vf_store_two_codes(to + i * VF_LANES, v[r * vecs + i], v[r * vecs + i + 1], is_signed);
      continue;
    }
    UNROLL for (int i = 0; i < vecs; i++) {
      uint8_t part[VF_LANES];
      vf_store_codes(whole ? to + i * VF_LANES : part, v[r * vecs + i], is_signed);
      if (!whole) memcpy(to, part, (size_t)n);
    }
  }
}

/* A piece, v[rows][vecs], through all ops: whole vectors, or one that is not. */
INLINE void chain_in_registers(const int rows, const int vecs, const bool whole, vf *v, const wh_chain_op *op,
                               const wh_chain_op *end, const chain_piece *p) {
  const vf_mask some = vf_first(whole ? VF_LANES : p->n);
  for (; op < end; op++) {
    const int64_t by = op->x_row.step;
    const int64_t at = op->code & 1 ? chain_offset(&op->x_row, p) : (p->of->row + p->row) * by;
    const float *from = op->x + at;
    switch (op->code) {
      STEP2(LOAD, b)
      STEP2(ADD, vf_add(V, b))
      STEP2(SUB, vf_sub(V, b))
      STEP2(SUB_FROM, vf_sub(b, V))
      STEP2(MUL, vf_mul(V, b))
      STEP2(DIV, vf_div(V, b))
      STEP2(DIV_INTO, vf_div(b, V))
      STEP2(MIN, vf_minimum(V, b))
      STEP2(MAX, vf_maximum(V, b))
      STEP1(RELU, vf_relu(V))
      STEP1(NEG, vf_neg(V))
      STEP1(ABS, vf_abs(V))
      STEP1(ROUND, vf_rint(V))
      STEP_LOAD(LOAD_I32, int32_t, vf_from_i32)
      STEP_LOAD(LOAD_I8, int8_t, vf_from_s8)
      STEP_LOAD(LOAD_U8, uint8_t, vf_from_u8)
      STEP_BOUND(AT_MOST, vf_at_most(v[i], b))
      STEP_BOUND(AT_LEAST, vf_at_least(v[i], b))
      case 2 * WH_CHAIN_SCALE: {
        const float *shift = op->shift + (p->of->row + p->row) * op->shift_step;
        UNROLL for (int r = 0; r < rows; r++) {
          const vf a = vf_set1(from[r * by]), b = vf_set1(shift[r * op->shift_step]);
          UNROLL for (int i = 0; i < vecs; i++) V = vf_add(vf_mul(V, a), b);
        }
        break;
      }
      case 2 * WH_CHAIN_HARD_SWISH: {
        const vf a = vf_set1(op->c[0]), b = vf_set1(op->c[1]), most = vf_set1(op->c[2]);
        EACH V = chain_hard_swish(V, a, b, most);
        break;
      }
      case 2 * WH_CHAIN_QUOTIENT:
        EACH V = chain_quotient(V, op->x, op->c);
        break;
      default: {
        vf all[CHAIN_MOST]; /* v stays in registers wherever no function is called */
        UNROLL for (int i = 0; i < rows * vecs; i++) all[i] = v[i];
        chain_function((wh_chain_code)(op->code / 2), rows * vecs, all);
        UNROLL for (int i = 0; i < rows * vecs; i++) v[i] = all[i];
      }
    }
    if (!op->save) continue;
    const int64_t step = op->save_row.step, first = chain_offset(&op->save_row, p);
    if (op->codes) {
      uint8_t *const codes = (uint8_t *)(void *)op->save + first;
      if (op->codes == WH_CHAIN_I8)
        chain_save_codes(rows, vecs, whole, v, p->n, codes, step, true);
      else
        chain_save_codes(rows, vecs, whole, v, p->n, codes, step, false);
      continue;
    }
    float *const save = op->save + first;
    EACH {
      float *to = save + r * step + i * VF_LANES;
      if (whole)
        vf_store(to, V);
      else
        vf_store_first(p->n, to, V);
    }
  }
}

#undef EACH
#undef V
#undef OPERAND
#undef STEP2
#undef STEP_BOUND
#undef STEP_LOAD
#undef STEP1

#endif
