/* chain_blocks.h - plain steps of a chain over a block of vectors that stay in registers from step to step,
 * written over one vector type: included once by each chain_<isa>.c, which first includes its level's
 * (vec_<isa>.h). Every step is its op on each element, rounded as that is. */
#ifndef WH_CPU_CHAIN_BLOCKS_H
#define WH_CPU_CHAIN_BLOCKS_H

#include "backends/cpu/chain.h"
#include "backends/cpu/whole.h"

#define BLOCK_INLINE static inline __attribute__((always_inline))
#define BLOCK_VECS 8
#define BLOCK_REST 4 /* of a block that is not whole */

#define EACH UNROLL for (int i = 0; i < vecs; i++)
#define OPERAND (whole ? vf_load(from + i * VF_LANES) : vf_load_some(some[i], from + i * VF_LANES))
/* An operand that stays, and one that moves on with the elements. */
#define STEP2(name, expression)   \
  case 2 * WH_CHAIN_##name: {     \
    const vf b = vf_set1(*op->x); \
    EACH v[i] = expression;       \
    break;                        \
  }                               \
  case 2 * WH_CHAIN_##name + 1:   \
    EACH {                        \
      const vf b = OPERAND;       \
      v[i] = expression;          \
    }                             \
    break;
#define STEP1(name, expression) \
  case 2 * WH_CHAIN_##name:     \
    EACH v[i] = expression;     \
    break;

/* Elements [at, at + n) of all steps, n at most `vecs` vectors and as many where they are whole. */
BLOCK_INLINE void block(const int vecs, const bool whole, const wh_chain_op *op, const wh_chain_op *end,
                        int64_t at, int64_t n) {
  vf v[BLOCK_VECS];
  vf_mask some[BLOCK_VECS];
  EACH {
    const int64_t left = n - i * VF_LANES;
    v[i] = vf_zero();
    some[i] = vf_first(left < 0 ? 0 : min_i64(left, VF_LANES));
  }
  for (; op < end; op++) {
    const float *from = op->x + at;
    switch (op->code) {
      STEP2(LOAD, b)
      STEP2(ADD, vf_add(v[i], b))
      STEP2(SUB, vf_sub(v[i], b))
      STEP2(SUB_FROM, vf_sub(b, v[i]))
      STEP2(MUL, vf_mul(v[i], b))
      STEP2(DIV, vf_div(v[i], b))
      STEP2(DIV_INTO, vf_div(b, v[i]))
      STEP2(MIN, vf_minimum(v[i], b))
      STEP2(MAX, vf_maximum(v[i], b))
      STEP1(RELU, vf_relu(v[i]))
      STEP1(NEG, vf_neg(v[i]))
      STEP1(ABS, vf_abs(v[i]))
    }
    if (!op->save) continue;
    EACH {
      float *to = op->save + at + i * VF_LANES;
      if (whole)
        vf_store(to, v[i]);
      else
        vf_store_some(some[i], to, v[i]);
    }
  }
}

static void chain_run(const wh_chain_op *ops, size_t n_ops, int64_t n) {
  const int64_t most = BLOCK_VECS * VF_LANES, rest = BLOCK_REST * VF_LANES;
  int64_t at = 0;
  for (; at + most <= n; at += most) block(BLOCK_VECS, true, ops, ops + n_ops, at, most);
  for (; at < n; at += rest) block(BLOCK_REST, false, ops, ops + n_ops, at, n - at);
}

#endif
