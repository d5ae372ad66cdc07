/* cases_chain.c - formulas over operands that broadcast, alone and at the end of convolutions. */
#include <stdio.h>

#include "tests/backend/cases_formula.h"

static void chain_case(suite *s, wh_op op, const formula_operands *o, const char *text) {
  suite_case *c = case_begin(s, o->n_rows, "%s \"%.100s\"", wh_op_get(op)->name, text);
  const wh_attr formula = formula_attr(text);
  wh_value in[4];
  for (uint32_t i = 0; i < o->n; i++)
    in[i] = case_input(c, WH_DTYPE_F32, o->rank[i], o->dims[i], suite_random(s, 2) ? FILL_WILD : FILL_PLAIN);
  (void)case_node(c, op, in, o->n, &formula, 1);
  case_run(c);
}

SUITE_CASES(chain) {
  static const formula_operands all[] = {
      FORMULA_OPERANDS,
      {2, 2, {2, 0}, {{ROWS, 21}, {0}}},
  };
  /* all ops, alone; a step that nobody needs; a result of inputs that do not move */
  for (size_t i = 0; i < COUNT(formula_ops); i++) {
    char text[WH_FORMULA_TEXT + 1];
    wh_formula f = {.n_inputs = 2,
                    .n_steps = 1,
                    .steps = {{formula_ops[i], (uint8_t)wh_formula_operands(formula_ops[i]), {0, 1}}}};
    (void)wh_formula_print(&f, text);
    chain_case(s, op, &all[1], text);
  }
  chain_case(s, op, &all[0], "exp 0; relu 0; neg 0");
  chain_case(s, op, &all[2], "exp 2; mul 2 2; add 3 4");
  chain_case(s, op, &all[1], "add 0 1; max 2 1; min 3 1; mul 0 4; div 5 1");
  /* bounds that are one for all, of any value */
  for (int round = 0; round < 24; round++)
    chain_case(s, op, &all[COUNT(all) - 1], round % 2 ? "max 0 1; mul 2 0" : "min 0 1; mul 2 0");
  for (int round = 0; round < 60; round++) {
    const formula_operands *o = &all[(size_t)round % COUNT(all)];
    char text[WH_FORMULA_TEXT + 1];
    random_formula(s, o->n, formula_ops, COUNT(formula_ops), text);
    chain_case(s, op, o, text);
  }
}

/* Operands of every kind that an end may have: all elements, a channel's, an image's and channel's, one. */
static size_t end_operands(suite_case *c, int64_t m, const int64_t out[2], wh_value *in) {
  in[3] = case_input(c, WH_DTYPE_F32, 4, D(ROWS, m, out[0], out[1]), FILL_WILD);
  in[4] = case_const(c, WH_DTYPE_F32, 3, D(m, 1, 1));
  in[5] = case_input(c, WH_DTYPE_F32, 4, D(ROWS, m, 1, 1), FILL_PLAIN);
  in[6] = case_const(c, WH_DTYPE_F32, 0, NULL);
  in[7] = case_const(c, WH_DTYPE_F32, 3, D(m, out[0], out[1]));
  return 8;
}

/* Groups of one channel and operands that are the same for all places: of odd numbers of channels, planes
 * that are narrow, long enough to be cut and wider than what is written at a time. */
static void depthwise_chains(suite *s, wh_op op) {
  static const struct {
    int64_t group, m, in[2], kernel[2], stride;
  } all[] = {{24, 24, {14, 14}, {3, 3}, 1}, {19, 19, {7, 7}, {5, 5}, 1},  {9, 18, {15, 28}, {5, 5}, 2},
             {8, 8, {110, 9}, {3, 3}, 1},   {11, 11, {90, 6}, {2, 3}, 2}, {8, 16, {3, 300}, {3, 3}, 1},
             {13, 13, {2, 301}, {1, 7}, 2}, {8, 8, {12, 3}, {3, 3}, 1}};
  static const char *const texts[] = {"relu 0", "mul 0 1; add 4 2; relu 5",
                                      "add 0 1; max 4 3; min 5 2; mul 0 6; div 7 3"};
  for (size_t i = 0; i < COUNT(texts) * COUNT(all); i++) {
    const size_t k = i % COUNT(all);
    const int64_t strides[] = {all[k].stride, all[k].stride}, ones[] = {1, 1},
                  pads[] = {all[k].kernel[0] / 2, all[k].kernel[1] / 2, all[k].kernel[0] / 2,
                            all[k].kernel[1] / 2};
    suite_case *c = case_begin(s, i ? 1 + i % 2 : 0, "%s depthwise %zu", wh_op_get(op)->name, i);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = strides},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = ones},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = pads},
                             {.key = WH_ATTR_GROUP, .i = all[k].group},
                             formula_attr(texts[i / COUNT(all)])};
    const int64_t m = all[k].m;
    const wh_value in[] = {
        case_input(c, WH_DTYPE_F32, 4, D(ROWS, all[k].group, all[k].in[0], all[k].in[1]), FILL_WILD),
        case_const(c, WH_DTYPE_F32, 4, D(m, 1, all[k].kernel[0], all[k].kernel[1])),
        i % 3 ? 0 : case_const(c, WH_DTYPE_F32, 1, &m),
        case_const(c, WH_DTYPE_F32, 3, D(m, 1, 1)),
        case_input(c, WH_DTYPE_F32, 4, D(ROWS, m, 1, 1), FILL_PLAIN),
        case_const(c, WH_DTYPE_F32, 0, NULL)};
    (void)case_node(c, op, in, COUNT(in), attrs, COUNT(attrs));
    case_run(c);
  }
}

SUITE_CASES(conv_chain) {
  depthwise_chains(s, op);
  static const struct {
    int64_t images, group, own, m, in[2], kernel, stride, pad;
  } all[] = {{1, 1, 3, 33, {21, 30}, 3, 2, 1},  {2, 1, 40, 20, {13, 17}, 1, 1, 0},
             {1, 1, 600, 70, {7, 7}, 1, 1, 0},  {2, 24, 1, 24, {13, 12}, 5, 1, 2},
             {3, 5, 1, 10, {1, 1}, 1, 1, 0},    {1, 2, 30, 40, {14, 14}, 3, 1, 1},
             {1, 1, 16, 24, {40, 40}, 3, 1, 1}, {1, 1, 2, 40, {70, 70}, 40, 35, 0},
             {2, 1, 40, 70, {1, 1}, 1, 1, 0},   {1, 1, 520, 8, {20, 20}, 1, 1, 0},
             {1, 1, 70, 36, {13, 17}, 1, 1, 0}, {1, 1, 530, 40, {20, 21}, 1, 1, 0},
             {2, 1, 70, 40, {40, 21}, 1, 2, 0}, {1, 1, 80, 150, {5, 7}, 3, 1, 1},
             {1, 1, 16, 16, {3, 270}, 3, 1, 1}};
  static const char *const texts[] = {"relu 0", "mul 0 2; add 6 2; relu 7", "add 1 0; relu 6",
                                      "mul 3 0; add 6 5", "add 0 4; max 6 4; min 7 4; mul 0 8; div 9 4"};
  for (size_t i = 0; i < 6 * COUNT(all); i++) {
    const size_t k = i % COUNT(all);
    const int64_t out[] = {(all[k].in[0] + 2 * all[k].pad - all[k].kernel) / all[k].stride + 1,
                           (all[k].in[1] + 2 * all[k].pad - all[k].kernel) / all[k].stride + 1};
    const int64_t strides[] = {all[k].stride, all[k].stride}, ones[] = {1, 1},
                  pads[] = {all[k].pad, all[k].pad, all[k].pad, all[k].pad};
    char text[WH_FORMULA_TEXT + 1];
    if (i / COUNT(all) < COUNT(texts))
      (void)snprintf(text, sizeof text, "%s", texts[i / COUNT(all)]);
    else
      random_formula(s, 6, formula_ops, COUNT(formula_ops), text);
    suite_case *c = case_begin(s, all[k].images, "%s %zu \"%.90s\"", wh_op_get(op)->name, k, text);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = strides},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = ones},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = pads},
                             {.key = WH_ATTR_GROUP, .i = all[k].group},
                             formula_attr(text)};
    wh_value in[8] = {case_input(c, WH_DTYPE_F32, 4,
                                 D(ROWS, all[k].group * all[k].own, all[k].in[0], all[k].in[1]), FILL_PLAIN)};
    in[1] = case_const(c, WH_DTYPE_F32, 4, D(all[k].m, all[k].own, all[k].kernel, all[k].kernel));
    in[2] = i % 2 ? case_const(c, WH_DTYPE_F32, 1, &all[k].m) : 0;
    (void)case_node(c, op, in, end_operands(c, all[k].m, out, in), attrs, COUNT(attrs));
    case_run(c);
  }
}
