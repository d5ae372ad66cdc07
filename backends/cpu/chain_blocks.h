/* chain_blocks.h - plain steps of a chain over a block of vectors that stay in registers from step to step,
 * written over one vector type: included once by each chain_<isa>.c, which first includes its level's
 * (vec_<isa>.h). Every step is its op on each element, rounded as that is. */
#ifndef WH_CPU_CHAIN_BLOCKS_H
#define WH_CPU_CHAIN_BLOCKS_H

#include <string.h>

#include "backends/cpu/chain.h"
#include "backends/cpu/whole.h"

#define BLOCK_INLINE static inline __attribute__((always_inline))
#define BLOCK_VECS 8
#define BLOCK_ROWS 4 /* with all vectors together */

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
typedef struct piece {
  const wh_chain_part *of;
  int64_t row, col, n;
} piece;

BLOCK_INLINE int64_t offset_of(const wh_chain_row *row, const piece *p) {
  return row->local ? p->row * row->step + p->col : (p->of->row + p->row) * row->step + p->of->at + p->col;
}

/* A piece through all ops: whole vectors, or one that is not. */
BLOCK_INLINE void block(const int rows, const int vecs, const bool whole, const wh_chain_op *op,
                        const wh_chain_op *end, const piece *p) {
  vf v[BLOCK_VECS];
  const vf_mask some = vf_first(whole ? VF_LANES : p->n);
  EACH V = vf_zero();
  for (; op < end; op++) {
    const int64_t by = op->x_row.step;
    const int64_t at = op->code & 1 ? offset_of(&op->x_row, p) : (p->of->row + p->row) * by;
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
    }
    if (!op->save) continue;
    if (op->codes) {
      uint8_t *const codes = (uint8_t *)(void *)op->save + offset_of(&op->save_row, p);
      EACH {
        uint8_t part[VF_LANES], *to = codes + r * op->save_row.step + i * VF_LANES;
        vf_store_codes(whole ? to : part, V, op->codes == WH_CHAIN_I8);
        if (!whole) memcpy(to, part, (size_t)p->n);
      }
      continue;
    }
    float *const save = op->save + offset_of(&op->save_row, p);
    EACH {
      float *to = save + r * op->save_row.step + i * VF_LANES;
      if (whole)
        vf_store(to, V);
      else
        vf_store_first(p->n, to, V);
    }
  }
}

/* `rows` rows: as many vectors at a time as there are room and elements for. */
BLOCK_INLINE void run_rows(const int rows, const wh_chain_op *ops, const wh_chain_op *end, piece p,
                           int64_t n) {
  const int most = BLOCK_VECS / rows;
  for (; p.col + most * VF_LANES <= n; p.col += most * VF_LANES) block(rows, most, true, ops, end, &p);
#define REST(vecs)                                             \
  if ((vecs) < most && p.col + (vecs)*VF_LANES <= n) {         \
    block(rows, (vecs) < most ? vecs : 1, true, ops, end, &p); \
    p.col += (vecs)*VF_LANES;                                  \
  }
  REST(4)
  REST(2)
  REST(1)
#undef REST
  p.n = n - p.col;
  if (p.n) block(rows, 1, false, ops, end, &p);
}

static void chain_run(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part) {
  const wh_chain_op *end = ops + n_ops;
  piece p = {.of = part};
  for (; part->n <= VF_LANES && p.row + BLOCK_VECS <= part->rows; p.row += BLOCK_VECS)
    run_rows(BLOCK_VECS, ops, end, p, part->n);
  for (; p.row + BLOCK_ROWS <= part->rows; p.row += BLOCK_ROWS) run_rows(BLOCK_ROWS, ops, end, p, part->n);
  if (p.row + 2 <= part->rows) {
    run_rows(2, ops, end, p, part->n);
    p.row += 2;
  }
  if (p.row < part->rows) run_rows(1, ops, end, p, part->n);
}

#endif
