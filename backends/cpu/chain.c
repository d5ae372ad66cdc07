/* chain.c - see chain.h. */
#include "backends/cpu/chain.h"

#include <math.h>
#include <string.h>

#include "core/base/exact_math.h"

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
#undef MAP
    case WH_OP_EXP:
      s->unary = rowops->exp;
      break;
    case WH_OP_TANH:
      s->unary = rowops->tanh;
      break;
    case WH_OP_ERF:
      s->unary = rowops->erf;
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

/* ---- runs of plain steps ---- */

static wh_chain_fn select_blocks(uint64_t features) {
  wh_chain_fn fn = NULL;
  (void)features;
#define WH_CHAIN_KERNEL(isa, needs) \
  if ((features & (needs)) == (needs)) fn = wh_k_chain_##isa;
#include "backends/cpu/kernels_chain.def"
#undef WH_CHAIN_KERNEL
  return fn;
}

static wh_chain_code plain_code(wh_op op) {
  switch (op) {
#define PLAIN(op)  \
  case WH_OP_##op: \
    return WH_CHAIN_##op;
    PLAIN(ADD)
    PLAIN(SUB)
    PLAIN(MUL)
    PLAIN(DIV)
    PLAIN(MIN)
    PLAIN(MAX)
    PLAIN(RELU)
    PLAIN(NEG)
    PLAIN(ABS)
    PLAIN(ROUND)
    PLAIN(EXP)
    PLAIN(TANH)
    PLAIN(ERF)
    PLAIN(SIGMOID)
    PLAIN(SILU)
    PLAIN(GELU)
    PLAIN(GELU_ERF)
#undef PLAIN
    default:
      return WH_CHAIN_NONE;
  }
}

/* Which operand of step s a block has in its registers, the result of the step before; -1: none. */
static int carried_operand(const wh_chain *c, uint32_t s) {
  if (!s || !c->steps[s].code || !c->steps[s - 1].code) return -1;
  const uint32_t before = c->n_inputs + s - 1;
  for (int i = 0; i < c->steps[s].n_in; i++)
    if (c->steps[s].in[i] == before) return i;
  return -1;
}

static void find_saved(wh_chain *c) {
  for (uint32_t s = 0; s < c->n_steps; s++) {
    const int carried = carried_operand(c, s);
    for (int i = 0; i < c->steps[s].n_in; i++) {
      if (c->steps[s].in[i] < c->n_inputs) continue;
      wh_chain_step *of = &c->steps[c->steps[s].in[i] - c->n_inputs];
      of->uses++;
      if (i != carried) of->saved = true;
    }
  }
}

/* A place for every result that no later step's operand has. */
static void place_results(wh_chain *c) {
  uint32_t last_use[WH_FORMULA_INPUTS + WH_CHAIN_STEPS] = {0};
  for (uint32_t s = 0; s < c->n_steps; s++) {
    uint32_t until = s; /* plain steps run together: what stays for all elements must not be overwritten */
    while (until + 1 < c->n_steps && c->steps[until].code && c->steps[until + 1].code) until++;
    for (unsigned i = 0; i < c->steps[s].n_in; i++) last_use[c->steps[s].in[i]] = until;
  }
  for (uint32_t s = 0; s < c->n_steps; s++) {
    uint32_t taken = 0;
    for (uint32_t k = 0; k < s; k++)
      if (last_use[c->n_inputs + k] >= s) taken |= 1u << c->steps[k].temp;
    while (taken >> c->steps[s].temp & 1) c->steps[s].temp++;
    if (c->steps[s].saved && c->steps[s].temp >= c->n_temps) c->n_temps = c->steps[s].temp + 1u;
  }
}

static wh_chain_code load_of(wh_dtype type) {
  return type == WH_DTYPE_I32  ? WH_CHAIN_LOAD_I32
         : type == WH_DTYPE_I8 ? WH_CHAIN_LOAD_I8
         : type == WH_DTYPE_U8 ? WH_CHAIN_LOAD_U8
                               : WH_CHAIN_NONE;
}

/* The steps, and before the first that wants an input of another type one that makes f32 of it. */
static bool select_steps(uint64_t features, const wh_rowops *rowops, const wh_formula *f,
                         const wh_dtype *types, wh_chain *c) {
  uint8_t at[WH_FORMULA_INPUTS + WH_FORMULA_STEPS]; /* the value that has an input's or a step's f32 */
  for (uint32_t i = 0; i < f->n_inputs; i++) {
    at[i] = load_of(types[i]) ? UINT8_MAX : (uint8_t)i;
    c->bytes[i] = (uint8_t)wh_dtype_get(types[i])->block_bytes;
  }
  for (uint32_t s = 0; s < f->n_steps; s++) {
    const wh_formula_step *from = &f->steps[s];
    for (unsigned i = 0; i < from->n_in; i++) {
      if (at[from->in[i]] != UINT8_MAX) continue;
      const wh_chain_code load = load_of(types[from->in[i]]);
      c->steps[c->n_steps] = (wh_chain_step){
          .n_in = 1, .in = {from->in[i]}, .load = (uint8_t)load, .code = c->blocks ? (uint8_t)load : 0};
      at[from->in[i]] = (uint8_t)(f->n_inputs + c->n_steps++);
    }
    wh_chain_step *to = &c->steps[c->n_steps];
    if (!select_step(features, rowops, from->op, to)) return false;
    to->n_in = from->n_in;
    for (unsigned i = 0; i < from->n_in; i++) to->in[i] = at[from->in[i]];
    if (c->blocks) to->code = (uint8_t)plain_code(from->op);
    at[f->n_inputs + s] = (uint8_t)(f->n_inputs + c->n_steps++);
  }
  return true;
}

bool wh_chain_select(uint64_t features, const wh_rowops *rowops, const wh_formula *f, const wh_dtype *types,
                     wh_dtype to, wh_chain *out) {
  wh_chain c = {.n_inputs = f->n_inputs,
                .blocks = select_blocks(features),
                .to = to == WH_DTYPE_I8   ? WH_CHAIN_I8
                      : to == WH_DTYPE_U8 ? WH_CHAIN_U8
                                          : WH_CHAIN_F32};
  if (!select_steps(features, rowops, f, types, &c)) return false;
  c.plain = c.n_steps > 0;
  for (uint32_t s = 0; s < c.n_steps; s++) c.plain = c.plain && c.steps[s].code;
  find_saved(&c);
  place_results(&c);
  *out = c;
  return true;
}

/* ---- runs ---- */

/* Where elements of a type begin that are so far behind x. */
static const float *ahead(const float *x, int64_t n, size_t bytes) {
  return (const float *)(const void *)((const char *)x + n * (int64_t)bytes);
}

static void load_codes(wh_chain_code load, const void *x, int64_t n, float *restrict y) {
  if (load == WH_CHAIN_LOAD_I32)
    for (int64_t i = 0; i < n; i++) y[i] = (float)((const int32_t *)x)[i];
  if (load == WH_CHAIN_LOAD_I8)
    for (int64_t i = 0; i < n; i++) y[i] = (float)((const int8_t *)x)[i];
  if (load == WH_CHAIN_LOAD_U8)
    for (int64_t i = 0; i < n; i++) y[i] = (float)((const uint8_t *)x)[i];
}

static void save_codes(wh_chain_codes to, const float *x, int64_t step, int64_t n, void *y) {
  const float low = to == WH_CHAIN_I8 ? -128.0f : 0.0f, high = to == WH_CHAIN_I8 ? 127.0f : 255.0f;
  for (int64_t i = 0; i < n; i++) {
    const float v = x[i * step], up = v > low ? v : low, q = rintf(up < high ? up : high);
    if (to == WH_CHAIN_I8)
      ((int8_t *)y)[i] = (int8_t)q;
    else
      ((uint8_t *)y)[i] = (uint8_t)q;
  }
}

void wh_chain_run_step(const wh_chain_step *s, int64_t n, const wh_chain_input *values, float *y,
                       wh_team *team) {
  const wh_chain_input *a = &values[s->in[0]], *b = &values[s->in[s->n_in - 1]];
  if (s->load) {
    load_codes((wh_chain_code)s->load, a->x, n, y);
  } else if (s->map) {
    const wh_map_run r = {.n = n, .in = {a->x, b->x}, .step = {a->step, b->step}, .out = y};
    s->map(&r);
  } else {
    const wh_unary_args args = {.n = n, .x = a->x, .y = y};
    const wh_worker alone = {0, 1, team};
    s->unary(&args, &alone);
  }
}

/* Member by member: what was just written is read again at once, which processors only do well where reads
 * are no wider than the writes were. */
static void set_row(wh_chain_row *to, const wh_chain_row *from) {
  to->step = from->step;
  to->local = from->local;
}

static void set_input(wh_chain_input *to, const float *x, int64_t step, const wh_chain_row *row) {
  to->x = x;
  to->step = step;
  set_row(&to->row, row);
}

static void set_op(wh_chain_op *op, unsigned code, const wh_chain_input *x) {
  op->code = code;
  op->x = x->x;
  op->save = NULL;
  op->codes = WH_CHAIN_F32;
  set_row(&op->x_row, &x->row);
}

/* Bounds that are the same for all elements take one instruction where their value says so. */
static wh_chain_code bound_code(wh_chain_code code, const wh_chain_input *x) {
  if ((code != WH_CHAIN_MIN && code != WH_CHAIN_MAX) || x->step || x->row.step) return code;
  if (*x->x < 0.0f || *x->x > 0.0f) return code == WH_CHAIN_MIN ? WH_CHAIN_AT_MOST : WH_CHAIN_AT_LEAST;
  return code == WH_CHAIN_MAX && wh_f32_bits(*x->x) == 0 ? WH_CHAIN_RELU : code;
}

static unsigned operand_code(wh_chain_code code, const wh_chain_input *x) {
  code = bound_code(code, x);
  return 2 * (unsigned)code + (unsigned)x->step;
}

/* The ops of step s, which has operand `carried` in the registers, to ops[]; how many. */
static size_t step_ops(const wh_chain_step *step, int carried, const wh_chain_input *values,
                       wh_chain_op *ops) {
  size_t n = 0;
  wh_chain_code code = (wh_chain_code)step->code;
  if (step->load) {
    set_op(ops, 2 * (unsigned)code + (unsigned)values[step->in[0]].step, &values[step->in[0]]);
    return 1;
  }
  if (carried < 0) {
    carried = 0;
    const wh_chain_input *first = &values[step->in[0]];
    set_op(&ops[n++], operand_code(WH_CHAIN_LOAD, first), first);
  }
  if (carried == 1 && code == WH_CHAIN_SUB) code = WH_CHAIN_SUB_FROM;
  if (carried == 1 && code == WH_CHAIN_DIV) code = WH_CHAIN_DIV_INTO;
  const wh_chain_input *x = step->n_in == 1 ? &values[0] : &values[step->in[1 - carried]];
  set_op(&ops[n], step->n_in == 1 ? 2 * (unsigned)code : operand_code(code, x), x);
  if (step->n_in == 1) ops[n].x_row.step = 0;
  return n + 1;
}

/* ---- ops that run as one, with the same roundings ---- */

static bool stays(const wh_chain_op *op, wh_chain_code code) { return op->code == 2 * (unsigned)code; }

/* An operand that is one number for all elements. */
static bool is_number(const wh_chain_op *op, wh_chain_code code) {
  return stays(op, code) && op->x_row.step == 0;
}

/* Whether `mul` multiplies by what the op `before` loads or saves. */
static bool multiplies_again(const wh_chain_op *mul, const wh_chain_op *before) {
  if (mul->code != 2 * WH_CHAIN_MUL + 1) return false;
  const bool loads = before->code == 2 * WH_CHAIN_LOAD + 1 && before->x == mul->x &&
                     before->x_row.step == mul->x_row.step && before->x_row.local == mul->x_row.local;
  return loads || (before->save == mul->x && !before->codes);
}

/* How many ops from ops[0] on are a hard swish: x * min(max(x * c0 + c1, 0), c2), where x is what the op
 * before loads or saves; 0: none. */
static size_t match_hard_swish(const wh_chain_op *ops, size_t n, const wh_chain_op *before, float c[3]) {
  const size_t scaled = n && is_number(ops, WH_CHAIN_MUL) && !ops->save;
  c[0] = scaled ? *ops->x : 1.0f; /* x * 1 is x */
  if (n < 4 + scaled) return 0;
  const wh_chain_op *add = ops + scaled, *least = add + 1, *most = add + 2, *mul = add + 3;
  if (!is_number(add, WH_CHAIN_ADD) || !stays(least, WH_CHAIN_RELU) || !is_number(most, WH_CHAIN_AT_MOST) ||
      add->save || least->save || most->save || !multiplies_again(mul, before))
    return 0;
  c[1] = *add->x;
  c[2] = *most->x;
  return 4 + scaled;
}

static size_t match_swish(const wh_chain_op *ops, size_t n, const wh_chain_op *before) {
  return n > 1 && stays(ops, WH_CHAIN_SIGMOID) && !ops->save && multiplies_again(ops + 1, before) ? 2 : 0;
}

/* ops[0] and on divide by a number, round, add a zero point and end as codes: then quotients need to be right
 * only as far as codes go. False: not so, or numbers are too large or too small for what is done in place of
 * a division (chain_registers.h). c: minus the divisor, its reciprocal and what that lacks, and an element
 * that has the largest code. */
static bool match_quotient(const wh_chain_op *ops, size_t n, float c[4]) {
  if (n < 2 || n > 3 || !is_number(ops, WH_CHAIN_DIV) || ops->save || !stays(ops + 1, WH_CHAIN_ROUND) ||
      !ops[n - 1].codes || (n == 3 && (!is_number(ops + 2, WH_CHAIN_ADD) || ops[1].save)))
    return false;
  const float s = *ops->x, zero = n == 3 ? *ops[2].x : 0.0f, low = ops[n - 1].codes == WH_CHAIN_I8 ? -128 : 0;
  if (!(s >= 0x1p-40f && s <= 0x1p40f && zero >= -256.0f && zero <= 256.0f)) return false;
  c[0] = -s;
  c[1] = 1.0f / s;
  c[2] = (float)(1.0 / (double)s - (double)c[1]);
  c[3] = s * (low - zero + 256.0f);
  return true;
}

/* Bit i of `for_one`: what ops[i] saves one op loads alone. Returns how many ops are left. */
static size_t fuse_ops(wh_chain_op *ops, size_t n, uint64_t for_one) {
  size_t m = 0;
  for (size_t i = 0, taken; i < n; i += taken) {
    wh_chain_op op = ops[i];
    taken = 1;
    if (i + 1 < n && stays(&op, WH_CHAIN_MUL) && !op.save && stays(&ops[i + 1], WH_CHAIN_ADD)) {
      taken = 2;
      op = ops[i + 1];
      op.code = 2 * WH_CHAIN_SCALE;
      op.shift = op.x;
      op.shift_step = op.x_row.step;
      op.x = ops[i].x;
      op.x_row = ops[i].x_row;
    }
    float c[4];
    if (match_quotient(ops + i, n - i, c)) {
      if (n - i == 2) { /* codes are rounded anyway */
        taken = 2;
        op = ops[i + 1];
      }
      op.code = 2 * WH_CHAIN_QUOTIENT;
      op.x = ops[i].x;
      op.x_row.step = 0;
      memcpy(op.c, c, sizeof c);
    }
    const size_t hard = m ? match_hard_swish(ops + i, n - i, &ops[m - 1], c) : 0,
                 swish = m ? match_swish(ops + i, n - i, &ops[m - 1]) : 0;
    if (hard || swish) {
      if (for_one >> (i - 1) & 1) ops[m - 1].save = NULL;
      taken = hard + swish;
      op = ops[i + taken - 1];
      op.code = 2 * (hard ? WH_CHAIN_HARD_SWISH : WH_CHAIN_SWISH);
      op.x = ops[i].x; /* any address */
      op.x_row.step = 0;
      memcpy(op.c, c, sizeof c);
    }
    ops[m++] = op;
  }
  return m;
}

uint32_t wh_chain_plain_ops(const wh_chain *c, uint32_t s, wh_chain_input *values, const wh_chain_results *to,
                            wh_chain_op *ops, size_t *n_ops) {
  uint64_t for_one = 0;
  *n_ops = 0;
  for (const uint32_t first = s; s < c->n_steps && c->steps[s].code; s++) {
    const wh_chain_step *step = &c->steps[s];
    *n_ops += step_ops(step, s == first ? -1 : carried_operand(c, s), values, ops + *n_ops);
    wh_chain_op *end = &ops[*n_ops - 1];
    const bool last = s + 1 == c->n_steps;
    if (last || step->saved) {
      end->save = last ? to->y : to->temps + step->temp * to->temp_size;
      set_row(&end->save_row, last ? &to->y_row : &to->temp_row);
      end->codes = last ? c->to : WH_CHAIN_F32;
      set_input(&values[c->n_inputs + s], end->save, 1, &end->save_row);
      if (!last && step->uses == 2) for_one |= UINT64_C(1) << (*n_ops - 1); /* and the next step */
    }
  }
  *n_ops = fuse_ops(ops, *n_ops, for_one);
  return s;
}

size_t wh_chain_ops(const wh_chain *c, const wh_chain_input *in, const wh_chain_results *to,
                    wh_chain_op *ops) {
  wh_chain_input values[WH_FORMULA_INPUTS + WH_CHAIN_STEPS];
  size_t n_ops;
  for (uint32_t i = 0; i < c->n_inputs; i++) set_input(&values[i], in[i].x, in[i].step, &in[i].row);
  (void)wh_chain_plain_ops(c, 0, values, to, ops, &n_ops);
  return n_ops;
}

static void run_piece(const wh_chain *c, int64_t n, wh_chain_input *values, float *y, wh_team *team) {
  static const wh_chain_row one_row = {0, false};
  _Alignas(64) float temps[WH_CHAIN_STEPS][PIECE];
  for (uint32_t s = 0; s < c->n_steps;) {
    const wh_chain_step *step = &c->steps[s];
    if (step->code) {
      const wh_chain_results to = {.y = y, .temps = temps[0], .temp_size = PIECE};
      wh_chain_op ops[WH_CHAIN_OPS];
      size_t n_ops;
      s = wh_chain_plain_ops(c, s, values, &to, ops, &n_ops);
      c->blocks(ops, n_ops, &(wh_chain_part){.rows = 1, .n = n});
      continue;
    }
    const bool last = s + 1 == c->n_steps;
    wh_chain_input *result = &values[c->n_inputs + s];
    const int64_t moves = values[step->in[0]].step | values[step->in[step->n_in - 1]].step;
    float *to = last && moves && !c->to ? y : temps[step->temp];
    set_input(result, to, moves, &one_row);
    wh_chain_run_step(step, moves ? n : 1, values, to, team);
    if (last && c->to)
      save_codes(c->to, to, moves, n, y);
    else if (last && !moves)
      for (int64_t i = 0; i < n; i++) y[i] = to[0];
    s++;
  }
}

/* The ops of a plain chain are the same for all pieces. */
static void run_plain(const wh_chain *c, int64_t n, const wh_chain_input *in, float *y) {
  _Alignas(64) float temps[WH_CHAIN_STEPS][PIECE];
  const wh_chain_results to = {.y = y, .temps = temps[0], .temp_row = {0, true}, .temp_size = PIECE};
  wh_chain_input one_row[WH_FORMULA_INPUTS];
  wh_chain_op ops[WH_CHAIN_OPS];
  for (uint32_t i = 0; i < c->n_inputs; i++) one_row[i] = (wh_chain_input){.x = in[i].x, .step = in[i].step};
  const size_t n_ops = wh_chain_ops(c, one_row, &to, ops);
  for (int64_t at = 0; at < n; at += PIECE)
    c->blocks(ops, n_ops, &(wh_chain_part){.rows = 1, .at = at, .n = n - at < PIECE ? n - at : PIECE});
}

void wh_chain_run(const wh_chain *c, int64_t n, const wh_chain_input *in, float *y, wh_team *team) {
  if (c->plain) {
    run_plain(c, n, in, y);
    return;
  }
  const wh_chain_step *last = &c->steps[c->n_steps - 1];
  const bool in_place = in[0].x == y && in[0].step;
  const bool copies = in_place && !last->code && (last->in[0] == 0 || last->in[last->n_in - 1] == 0);
  _Alignas(64) float copy[PIECE]; /* kernels of single steps do not write what they read */
  for (int64_t at = 0; at < n; at += PIECE) {
    wh_chain_input values[WH_FORMULA_INPUTS + WH_CHAIN_STEPS];
    const int64_t count = n - at < PIECE ? n - at : PIECE;
    for (uint32_t i = 0; i < c->n_inputs; i++)
      values[i] = (wh_chain_input){.x = ahead(in[i].x, in[i].step ? at : 0, c->bytes[i]), .step = in[i].step};
    if (copies) {
      memcpy(copy, values[0].x, (size_t)count * sizeof *copy);
      values[0].x = copy;
    }
    run_piece(c, count, values, (float *)(void *)((char *)y + at * (c->to ? 1 : (int64_t)sizeof *y)), team);
  }
}
