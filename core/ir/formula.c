/* formula.c - see formula.h. */
#include "core/ir/formula.h"

#include <stdio.h>
#include <string.h>

unsigned wh_formula_operands(wh_op op) {
  switch (op) {
#define WH_FORMULA_CASE(name, n) \
  case WH_OP_##name:             \
    return n;
    WH_FORMULA_OPS(WH_FORMULA_CASE)
#undef WH_FORMULA_CASE
    default:
      return 0;
  }
}

/* Takes " 12" off the front; false: there is no number. */
static bool take_number(const char **at, const char *end, uint32_t *out) {
  const char *p = *at;
  uint32_t n = 0;
  if (p == end || *p != ' ') return false;
  const char *first = ++p;
  while (p < end && *p >= '0' && *p <= '9' && n < 100) n = n * 10 + (uint32_t)(*p++ - '0');
  if (p == first) return false;
  *at = p;
  *out = n;
  return true;
}

/* A step, and whether another one follows. */
static bool take_step(const char **at, const char *end, uint32_t n_values, wh_formula_step *out, bool *more) {
  const char *name = *at;
  while (*at < end && **at != ' ' && **at != ';') ++*at;
  if (!wh_op_from_name(name, (size_t)(*at - name), &out->op)) return false;
  out->n_in = (uint8_t)wh_formula_operands(out->op);
  for (unsigned i = 0; i < out->n_in; i++) {
    uint32_t value;
    if (!take_number(at, end, &value) || value >= n_values) return false;
    out->in[i] = (uint8_t)value;
  }
  *more = *at < end;
  if (*more && (end - *at < 2 || memcmp(*at, "; ", 2) != 0)) return false;
  *at += *more ? 2 : 0;
  return out->n_in > 0;
}

wh_status wh_formula_parse(const char *text, size_t n, uint32_t n_inputs, wh_formula *out) {
  wh_formula f = {.n_inputs = n_inputs};
  const char *at = text, *end = text + n;
  bool more = true;
  if (n_inputs < 1 || n_inputs > WH_FORMULA_INPUTS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a formula has 1 to %u inputs, not %u", WH_FORMULA_INPUTS, n_inputs);
  while (more) {
    if (f.n_steps == WH_FORMULA_STEPS)
      return WH_FAIL(ERR_LIMIT, "a formula has at most %u steps", WH_FORMULA_STEPS);
    if (!take_step(&at, end, n_inputs + f.n_steps, &f.steps[f.n_steps], &more))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "step %u of the formula is none: an elementwise op and its operands",
                     f.n_steps);
    f.n_steps++;
  }
  *out = f;
  return WH_OK;
}

size_t wh_formula_print(const wh_formula *f, char text[WH_FORMULA_TEXT + 1]) {
  size_t n = 0;
  text[0] = 0;
  for (uint32_t s = 0; s < f->n_steps; s++) {
    const wh_formula_step *step = &f->steps[s];
    n += (size_t)snprintf(text + n, WH_FORMULA_TEXT + 1 - n, "%s%s", s ? "; " : "", wh_op_get(step->op)->name);
    for (unsigned i = 0; i < step->n_in; i++)
      n += (size_t)snprintf(text + n, WH_FORMULA_TEXT + 1 - n, " %u", step->in[i]);
  }
  return n;
}
