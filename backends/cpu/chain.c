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

/* The operand beside `value` of a step that computes op on it; -1: it is none. */
static int other_operand(const wh_formula *f, uint32_t s, wh_op op, uint32_t value) {
  if (s >= f->n_steps || f->steps[s].op != op || f->steps[s].in[0] == f->steps[s].in[1]) return -1;
  for (int i = 0; i < 2; i++)
    if (f->steps[s].in[i] == value) return f->steps[s].in[1 - i];
  return -1;
}

static uint32_t uses_of(const wh_formula *f, uint32_t value) {
  uint32_t n = 0;
  for (uint32_t s = 0; s < f->n_steps; s++)
    for (unsigned i = 0; i < f->steps[s].n_in; i++) n += f->steps[s].in[i] == value;
  return n;
}

/* x * scale + shift, and relu of that: a normalisation and what follows it. */
static void join_affine(const wh_formula *f, uint32_t s, wh_chain *c) {
  const uint32_t product = f->n_inputs + s, sum = product + 1;
  const wh_formula_step *step = &f->steps[s];
  const int shift = other_operand(f, s + 1, WH_OP_ADD, product);
  if (step->op != WH_OP_MUL || step->in[0] == step->in[1] || shift < 0 || shift >= (int)f->n_inputs ||
      uses_of(f, product) != 1)
    return;
  for (int i = 0; i < 2; i++) {
    if (step->in[i] >= f->n_inputs || step->in[i] == 0) continue; /* input 0 is what moves */
    c->steps[s].scale = step->in[i];
    c->steps[s].shift = (uint8_t)shift;
    c->steps[s].join = 2;
  }
  if (c->steps[s].join && s + 2 < f->n_steps && f->steps[s + 2].op == WH_OP_RELU &&
      f->steps[s + 2].in[0] == sum && uses_of(f, sum) == 1)
    c->steps[s].join = 3;
}

/* relu(a + b) is one kernel. */
static void join_relu(uint64_t features, const wh_formula *f, uint32_t s, wh_chain *c) {
  const uint32_t sum = f->n_inputs + s;
  if (f->steps[s].op != WH_OP_ADD || s + 1 >= f->n_steps || f->steps[s + 1].op != WH_OP_RELU ||
      f->steps[s + 1].in[0] != sum || uses_of(f, sum) != 1)
    return;
  c->steps[s + 1] = c->steps[s];
  c->steps[s + 1].map = wh_map_select(features, WH_MAP_add_relu, WH_DTYPE_F32, NULL);
  c->steps[s] = (wh_chain_step){.n_in = 0}; /* nothing is left to do */
}

/* A place for every result that no later step's operand has. */
static void place_results(wh_chain *c) {
  uint32_t last_use[WH_FORMULA_INPUTS + WH_FORMULA_STEPS] = {0};
  for (uint32_t s = 0; s < c->n_steps; s++) {
    const uint32_t until = s + (c->steps[s].join ? c->steps[s].join - 1u : 0u);
    for (unsigned i = 0; i < c->steps[s].n_in; i++)
      if (last_use[c->steps[s].in[i]] < until) last_use[c->steps[s].in[i]] = until;
  }
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
  c.affine = wh_map_select(features, WH_MAP_affine, WH_DTYPE_F32, NULL);
  for (uint32_t s = 0; s < f->n_steps; s++) join_affine(f, s, &c);
  for (uint32_t s = 0; s < f->n_steps; s++) join_relu(features, f, s, &c);
  place_results(&c);
  *out = c;
  return true;
}

/* ---- runs ---- */

static void run_step(const wh_chain_step *s, int64_t n, const wh_chain_input *values, float *y,
                     wh_team *team) {
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

static bool joins(const wh_chain_step *s, const wh_chain_input *values) {
  return values[s->in[s->in[0] == s->scale]].step && !values[s->scale].step && !values[s->shift].step;
}

static void run_piece(const wh_chain *c, int64_t n, wh_chain_input *values, float *y, wh_team *team) {
  _Alignas(64) float temps[WH_FORMULA_STEPS][PIECE];
  for (uint32_t s = 0; s < c->n_steps; s++) {
    const wh_chain_step *step = &c->steps[s];
    if (step->join && joins(step, values)) {
      const uint32_t end = s + step->join;
      const wh_chain_input x = values[step->in[step->in[0] == step->scale]];
      float *to = end == c->n_steps ? y : temps[c->steps[end - 1].temp];
      const wh_map_run r = {.n = n,
                            .in = {x.x, values[step->scale].x, values[step->shift].x},
                            .out = to,
                            .mode = step->join == 3};
      c->affine(&r);
      values[c->n_inputs + end - 1] = (wh_chain_input){to, 1};
      s = end - 1;
      continue;
    }
    if (!step->n_in) continue;
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
