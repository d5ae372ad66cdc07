/* cases_formula.h - what cases of formulas share: random ones, and operands that broadcast. */
#ifndef WH_TESTS_CASES_FORMULA_H
#define WH_TESTS_CASES_FORMULA_H

#include <string.h>

#include "core/ir/formula.h"
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define D(...) ((const int64_t[]){__VA_ARGS__})

static const wh_op formula_ops[] = {
#define STEP(op, n) WH_OP_##op,
    WH_FORMULA_OPS(STEP)
#undef STEP
};

typedef struct formula_operands {
  int64_t n_rows;
  uint32_t n;
  int rank[4];
  int64_t dims[4][4];
} formula_operands;

/* Shapes that every formula of elements meets. */
#define FORMULA_OPERANDS                                                          \
  {3, 1, {2}, {{ROWS, 600}}}, {2, 2, {2, 1}, {{ROWS, 1030}, {1030}}},             \
      {3, 3, {2, 2, 1}, {{ROWS, 1}, {1, 37}, {1}}},                               \
      {1, 4, {4, 3, 0, 4}, {{2, 3, ROWS, 50}, {3, 1, 1}, {0}, {1, 1, ROWS, 50}}}, \
      {5, 2, {2, 2}, {{ROWS, 1}, {ROWS, 1}}}, {0, 2, {2, 0}, {{ROWS, 4}, {0}}}, { \
    1, 2, {0, 0}, {                                                               \
      {0}, { 0 }                                                                  \
    }                                                                             \
  }

static inline wh_attr formula_attr(const char *text) {
  return (wh_attr){.key = WH_ATTR_FORMULA, .n = strlen(text), .text = text};
}

/* Steps over anything that came before; most take the result before them, so that all lengths are met. */
static inline void random_formula(suite *s, uint32_t n_inputs, const wh_op *ops, size_t n_ops,
                                  char text[WH_FORMULA_TEXT + 1]) {
  wh_formula f = {.n_inputs = n_inputs, .n_steps = 1 + suite_random(s, WH_FORMULA_STEPS)};
  for (uint32_t i = 0; i < f.n_steps; i++) {
    wh_formula_step *step = &f.steps[i];
    step->op = ops[suite_random(s, (uint32_t)n_ops)];
    step->n_in = (uint8_t)wh_formula_operands(step->op);
    for (unsigned k = 0; k < step->n_in; k++) step->in[k] = (uint8_t)suite_random(s, n_inputs + i);
    if (i && suite_random(s, 4)) step->in[0] = (uint8_t)(n_inputs + i - 1);
  }
  (void)wh_formula_print(&f, text);
}

#endif
