/* chain.c - see chain.h. */
#include "backends/cpu/chain.h"

#include <string.h>

#define PIECE 512

/* ---- selection ---- */

static bool select_step(uint64_t features, const wh_rowops *rowops, wh_op op, wh_chain_step *s) {
  switch (op) {
#define MAP(name, map_name) \
  case WH_OP_##name:        \
    s->map = wh_map_select(features, WH_MAP_##map_name, WH_DTYPE_F32, NULL);
    MAP(ADD, add) break;
    MAP(SUB, sub) break;
    MAP(MUL, mul) break;
    MAP(DIV, div) break;
    MAP(MIN, min) break;
    MAP(MAX, max) break;
    MAP(RELU, relu) break;
    MAP(NEG, neg) break;
    MAP(ABS, abs) break;
    MAP(SIGN, sign) break;
    MAP(FLOOR, floor) break;
    MAP(CEIL, ceil) break;
    MAP(ROUND, round) break;
    MAP(ERF, erf) break;
#undef MAP
    case WH_OP_EXP:
      s->unary = rowops->exp;
      break;
    case WH_OP_TANH:
      s->unary = rowops->tanh;
      break;
    case WH_OP_SIGMOID:
      s->unary = rowops->sigmoid;
      break;
    case WH_OP_SILU:
      s->unary = rowops->silu;
      break;
    case WH_OP_GELU:
      s->unary = rowops->gelu;
      break;
    case WH_OP_GELU_ERF:
      s->unary = rowops->gelu_erf;
      break;
    default:
      return false;
  }
  return s->map || s->unary;
}

/* A place for every result that no later step's operand has. */
static void place_results(wh_chain *c) {
  uint32_t last_use[WH_FORMULA_INPUTS + WH_FORMULA_STEPS] = {0};
  for (uint32_t s = 0; s < c->n_steps; s++)
    for (unsigned i = 0; i < c->steps[s].n_in; i++) last_use[c->steps[s].in[i]] = s;
  for (uint32_t s = 0; s < c->n_steps; s++) {
    uint32_t taken = 0;
    for (uint32_t k = 0; k < s; k++)
      if (last_use[c->n_inputs + k] >= s) taken |= 1u << c->steps[k].temp;
    while (taken >> c->steps[s].temp & 1) c->steps[s].temp++;
  }
}

bool wh_chain_select(uint64_t features, const wh_rowops *rowops, const wh_formula *f, wh_chain *out) {
  wh_chain c = {.n_inputs = f->n_inputs, .n_steps = f->n_steps};
  for (uint32_t s = 0; s < f->n_steps; s++) {
    if (!select_step(features, rowops, f->steps[s].op, &c.steps[s])) return false;
    c.steps[s].n_in = f->steps[s].n_in;
    memcpy(c.steps[s].in, f->steps[s].in, sizeof c.steps[s].in);
  }
  place_results(&c);
  *out = c;
  return true;
}

/* ---- runs ---- */

static void run_step(const wh_chain_step *s, int64_t n, const wh_chain_input *values, float *y, wh_team *team) {
  const wh_chain_input *a = &values[s->in[0]], *b = &values[s->in[s->n_in - 1]];
  if (s->map) {
    const wh_map_run r = {.n = n, .in = {a->x, b->x}, .step = {a->step, b->step}, .out = y};
    s->map(&r);
  } else {
    const wh_unary_args args = {.n = n, .x = a->x, .y = y};
    const wh_worker alone = {0, 1, team};
    s->unary(&args, &alone);
  }
}

static void run_piece(const wh_chain *c, int64_t n, wh_chain_input *values, float *y, wh_team *team) {
  _Alignas(64) float temps[WH_FORMULA_STEPS][PIECE];
  for (uint32_t s = 0; s < c->n_steps; s++) {
    const wh_chain_step *step = &c->steps[s];
    const bool last = s + 1 == c->n_steps;
    wh_chain_input *result = &values[c->n_inputs + s];
    result->step = values[step->in[0]].step | values[step->in[step->n_in - 1]].step;
    float *to = last && result->step ? y : temps[step->temp];
    result->x = to;
    run_step(step, result->step ? n : 1, values, to, team);
    for (int64_t i = 0; last && !result->step && i < n; i++) y[i] = to[0];
  }
}

void wh_chain_run(const wh_chain *c, int64_t n, const wh_chain_input *in, float *y, wh_team *team) {
  const wh_chain_step *last = &c->steps[c->n_steps - 1];
  const bool in_place = in[0].x == y && in[0].step;
  const bool copies = in_place && (last->in[0] == 0 || last->in[last->n_in - 1] == 0);
  _Alignas(64) float copy[PIECE]; /* kernels do not write what they read */
  for (int64_t at = 0; at < n; at += PIECE) {
    wh_chain_input values[WH_FORMULA_INPUTS + WH_FORMULA_STEPS];
    const int64_t count = n - at < PIECE ? n - at : PIECE;
    for (uint32_t i = 0; i < c->n_inputs; i++)
      values[i] = (wh_chain_input){in[i].x + (in[i].step ? at : 0), in[i].step};
    if (copies) {
      memcpy(copy, values[0].x, (size_t)count * sizeof *copy);
      values[0].x = copy;
    }
    run_piece(c, count, values, y + at, team);
  }
}
