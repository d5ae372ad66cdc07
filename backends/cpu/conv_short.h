/* conv_short.h - what follows most sums, without going through ops: a bias, a scale and a shift of the
 * channel, relu or a hard swish that may be divided, scaled and shifted, a residual, relu. Every part is its
 * steps of the chain, rounded as those are. Included by conv_blocks.h. */
#ifndef WH_CPU_CONV_SHORT_H
#define WH_CPU_CONV_SHORT_H

#include "backends/cpu/chain_registers.h"

typedef enum conv_act {
  CONV_ACT_NONE,
  CONV_ACT_RELU,
  CONV_ACT_POSITIVE, /* relu of sums with a bias or a shift, to which it matters not which zero they are */
  CONV_ACT_HARD_SWISH
} conv_act;

/* Operands of channel m are at [m * step]; NULL: there is none. */
typedef struct conv_short {
  const float *bias, *scale, *shift, *residual;
  int64_t bias_step, scale_step, shift_step; /* 0 or 1 */
  conv_act act;
  float c[3];                           /* of the hard swish */
  const float *divisor, *gain, *offset; /* of what act gives: one for all */
  bool relu;                            /* behind the residual */
} conv_short;

/* An op whose results nobody else wants; if it has an operand, one of a channel. */
static bool short_is(const wh_chain_op *op, const wh_chain_op *end, wh_chain_code code, bool moves) {
  if (op >= end || op->code != 2 * (unsigned)code + moves || (op->save && op + 1 < end)) return false;
  return !wh_chain_has_operand(code) || (!op->x_row.local && op->x_row.step <= (moves ? 0 : 1));
}

static bool short_number(const wh_chain_op *op, const wh_chain_op *end, wh_chain_code code) {
  return short_is(op, end, code, false) && op->x_row.step == 0;
}

/* Ops of an activation; returns the one behind. */
static const wh_chain_op *short_act(const wh_chain_op *op, const wh_chain_op *end, conv_short *s) {
  if (short_is(op, end, WH_CHAIN_RELU, false)) {
    s->act = s->bias || s->scale ? CONV_ACT_POSITIVE : CONV_ACT_RELU;
    return op + 1;
  }
  if (!short_is(op, end, WH_CHAIN_HARD_SWISH, false)) return op;
  s->act = CONV_ACT_HARD_SWISH;
  memcpy(s->c, op++->c, sizeof s->c);
  if (short_number(op, end, WH_CHAIN_DIV)) s->divisor = op++->x;
  if (short_number(op, end, WH_CHAIN_MUL)) s->gain = op++->x;
  if (!s->gain && short_number(op, end, WH_CHAIN_SCALE) && op->shift_step == 0) {
    s->gain = op->x;
    s->offset = op++->shift;
  }
  return op;
}

/* False: there are other ops. */
static bool conv_short_make(const conv_end *e, conv_short *s) {
  const wh_conv_args *a = e->u->a;
  const int64_t plane = wh_window_volume(a->win.out), channel = e->u->group * a->m;
  memset(s, 0, sizeof *s);
  if (!e->n_ops) { /* a chain, if there is one, follows */
    s->bias = a->bias ? a->bias + channel : NULL;
    s->bias_step = 1;
    s->residual = a->residual ? a->residual + (e->u->image * a->group * a->m + channel) * plane : NULL;
    return true;
  }
  const wh_chain_op *op = e->ops + e->n_sums, *end = e->ops + e->n_ops;
  if (!e->n_sums || e->again) return false;
  if (short_is(op, end, WH_CHAIN_ADD, false)) {
    s->bias = op->x;
    s->bias_step = op++->x_row.step;
  }
  if (short_is(op, end, WH_CHAIN_SCALE, false) && op->shift_step <= 1) {
    s->scale = op->x;
    s->scale_step = op->x_row.step;
    s->shift = op->shift;
    s->shift_step = op++->shift_step;
  }
  op = short_act(op, end, s);
  if (op < end && op->code == 2 * WH_CHAIN_ADD + 1 && !op->x_row.local && op->x_row.step == plane &&
      (!op->save || op + 1 == end)) {
    s->residual = op++->x;
    if (short_is(op, end, WH_CHAIN_RELU, false)) {
      s->relu = true;
      op++;
    }
  }
  return op == end;
}

CONV_INLINE void conv_short_act(const int n, const conv_short *s, vf *v) {
  if (s->act == CONV_ACT_RELU) CONV_UNROLL
  for (int i = 0; i < n; i++) v[i] = vf_relu(v[i]);
  if (s->act == CONV_ACT_POSITIVE) CONV_UNROLL
  for (int i = 0; i < n; i++) v[i] = vf_at_least(v[i], vf_zero());
  if (s->act == CONV_ACT_HARD_SWISH) {
    const vf a = vf_set1(s->c[0]), b = vf_set1(s->c[1]), most = vf_set1(s->c[2]);
    CONV_UNROLL
    for (int i = 0; i < n; i++) v[i] = chain_hard_swish(v[i], a, b, most);
  }
  if (s->divisor) CONV_UNROLL
  for (int i = 0; i < n; i++) v[i] = vf_div(v[i], vf_set1(*s->divisor));
  if (s->gain) CONV_UNROLL
  for (int i = 0; i < n; i++) v[i] = vf_mul(v[i], vf_set1(*s->gain));
  if (s->offset) CONV_UNROLL
  for (int i = 0; i < n; i++) v[i] = vf_add(v[i], vf_set1(*s->offset));
}

/* What is added in front of an act: to +0 or -0 it gives +0, which relu does, too. */
CONV_INLINE vf conv_short_addend(const conv_short *s, vf x) {
  return s->act == CONV_ACT_POSITIVE ? vf_add(vf_zero(), x) : x;
}

/* Sums v[rows][vecs] of channels [m, m + rows) to outputs y, whose first is element `at` of the unit's. */
CONV_INLINE void conv_short_end(const int rows, const int vecs, const conv_short *s, vf *v, int64_t m,
                                int64_t at, int64_t plane, float *y) {
  if (s->bias) CONV_UNROLL
  for (int r = 0; r < rows; r++) {
    const vf b = vf_set1(s->bias[(m + r) * s->bias_step]);
    CONV_UNROLL
    for (int i = 0; i < vecs; i++) v[r * vecs + i] = vf_add(v[r * vecs + i], b);
  }
  if (s->scale) CONV_UNROLL
  for (int r = 0; r < rows; r++) {
    const vf a = vf_set1(s->scale[(m + r) * s->scale_step]),
             b = conv_short_addend(s, vf_set1(s->shift[(m + r) * s->shift_step]));
    CONV_UNROLL
    for (int i = 0; i < vecs; i++) v[r * vecs + i] = vf_add(vf_mul(v[r * vecs + i], a), b);
  }
  conv_short_act(rows * vecs, s, v);
  if (s->residual) {
    CONV_UNROLL
    for (int i = 0; i < rows * vecs; i++)
      v[i] = vf_add(vf_load(s->residual + at + i / vecs * plane + i % vecs * VF_LANES), v[i]);
    if (s->relu) CONV_UNROLL
    for (int i = 0; i < rows * vecs; i++) v[i] = vf_relu(v[i]);
  }
  CONV_UNROLL
  for (int i = 0; i < rows * vecs; i++) vf_store(y + at + i / vecs * plane + i % vecs * VF_LANES, v[i]);
}

#endif
