/* chain.h - formulas (core/ir/formula.h) over elements that lie one behind the other: each step runs the elementwise
 * kernel of its op, a piece at a time, so that what steps leave for each other stays in a first-level cache. */
#ifndef WH_CPU_CHAIN_H
#define WH_CPU_CHAIN_H

#include "backends/cpu/map.h"
#include "backends/cpu/rowops.h"
#include "core/ir/formula.h"

typedef struct wh_chain_step {
  wh_map_fn map; /* or, of ops that have none, */
  wh_unary_fn unary;
  uint8_t n_in, in[2];
  uint8_t temp; /* where the result goes, but for the last step's */
} wh_chain_step;

typedef struct wh_chain {
  uint32_t n_inputs, n_steps;
  wh_chain_step steps[WH_FORMULA_STEPS];
} wh_chain;

/* Elements that an input gives: one after the other, or with step 0 one for all. */
typedef struct wh_chain_input {
  const float *x;
  int64_t step; /* 0 or 1 */
} wh_chain_input;

/* False: an op has no kernel, which no formula that was parsed has. */
bool wh_chain_select(uint64_t features, const wh_rowops *rowops, const wh_formula *f, wh_chain *out);
/* y may be the memory of input 0, as long as its step is 1. */
void wh_chain_run(const wh_chain *c, int64_t n, const wh_chain_input *in, float *y, wh_team *team);

#endif
