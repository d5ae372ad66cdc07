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

/* One number for all elements: of a hard swish x * min(max(x a + b, 0), most), so that such steps are met
 * with what kernels look for; the first zero is +0. */
static wh_value number(suite_case *c, float x) {
  const wh_value v = case_input(c, WH_DTYPE_F32, 0, NULL, FILL_PLAIN);
  memcpy(c->data[v], &x, sizeof x);
  return v;
}

static void swish_numbers(suite_case *c, size_t i, wh_value in[4]) {
  in[0] = number(c, i % 2 ? 1.0f / 6 : -0.75f);
  in[1] = number(c, i % 2 ? 0.5f : 3.0f);
  in[2] = number(c, i % 5 == 4 ? -0.0f : 0.0f);
  in[3] = number(c, i % 3 ? 1.0f : 6.0f);
}

/* Scales and shifts (1, 2), an operand (3), a hard swish (4 to 7) in all of what they are found among: alone,
 * divided, of sums and of results, one that is wanted again, with parts that end otherwise. */
static const char *const swish_texts[] = {
    "mul 0 1; add 8 2; mul 9 4; add 10 5; max 11 6; min 12 7; mul 9 13",
    "mul 0 1; add 8 2; add 9 5; max 10 6; min 11 7; mul 12 9; div 13 7",
    "mul 0 4; add 8 5; max 9 6; min 10 7; mul 0 11",
    "add 0 5; max 8 6; min 9 7; mul 0 10; div 11 7; mul 12 4; add 13 5",
    "mul 0 1; add 8 2; mul 9 4; add 10 5; max 11 6; min 12 7; mul 9 13; add 14 9",
    "mul 0 1; add 8 2; mul 9 4; add 10 5; max 11 6; min 12 7; mul 9 13; add 3 14; relu 15",
    "mul 0 1; add 8 2; add 9 3; relu 10",
    "mul 1 0; add 2 8; relu 9; sub 10 3",
    "mul 0 4; add 8 5; relu 9; mul 10 4; add 11 5",
    "mul 0 1; add 8 2",
    "mul 0 1; add 8 2; mul 9 4; add 10 5; max 11 6; min 12 7; mul 10 13",
    "mul 0 1; mul 8 4; add 9 5; max 10 6; min 11 7; mul 0 12"};

static void swish_chains(suite *s, wh_op op) {
  for (size_t i = 0; i < 2 * COUNT(swish_texts); i++) {
    suite_case *c =
        case_begin(s, i % 2 ? 2 : 7, "%s of a hard swish \"%s\"", wh_op_get(op)->name, swish_texts[i / 2]);
    const wh_attr formula = formula_attr(swish_texts[i / 2]);
    wh_value in[8] = {case_input(c, WH_DTYPE_F32, 2, D(ROWS, 530), FILL_WILD),
                      i % 2 ? number(c, 1.5f) : case_const(c, WH_DTYPE_F32, 1, D(530)),
                      i % 2 ? number(c, -0.25f) : case_const(c, WH_DTYPE_F32, 1, D(530)),
                      case_input(c, WH_DTYPE_F32, 2, D(ROWS, 530), FILL_WILD)};
    swish_numbers(c, i, in + 4);
    (void)case_node(c, op, in, COUNT(in), &formula, 1);
    case_run(c);
  }
}

SUITE_CASES(chain) {
  swish_chains(s, op);
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
                                      "add 0 1; max 4 3; min 5 2; mul 0 6; div 7 3", "add 0 1; relu 4",
                                      "add 0 3"};
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

/* The same behind few channels, groups of one channel and sums of several parts: of channels and places that
 * fill tiles and do not. */
static void swish_convs(suite *s, wh_op op) {
  static const struct {
    int64_t group, own, m, in[2], kernel, stride;
  } all[] = {{1, 16, 64, {12, 13}, 1, 1}, {1, 40, 30, {7, 7}, 1, 1},   {1, 24, 72, {16, 16}, 1, 1},
             {1, 160, 36, {5, 10}, 1, 1}, {1, 200, 40, {9, 9}, 1, 1},  {1, 18, 34, {9, 20}, 1, 2},
             {1, 3, 16, {20, 22}, 3, 2},  {24, 1, 24, {14, 14}, 3, 1}, {19, 1, 19, {7, 7}, 5, 1},
             {9, 1, 18, {15, 28}, 5, 2},  {40, 1, 40, {9, 100}, 3, 1}};
  for (size_t i = 0; i < COUNT(swish_texts) * COUNT(all); i++) {
    const size_t k = i % COUNT(all);
    const char *text = swish_texts[i / COUNT(all)];
    const int64_t pad = all[k].kernel / 2, m = all[k].m,
                  out[] = {(all[k].in[0] + 2 * pad - all[k].kernel) / all[k].stride + 1,
                           (all[k].in[1] + 2 * pad - all[k].kernel) / all[k].stride + 1};
    const int64_t strides[] = {all[k].stride, all[k].stride}, ones[] = {1, 1}, pads[] = {pad, pad, pad, pad};
    suite_case *c =
        case_begin(s, 1 + (i % 4 == 3), "%s of a hard swish %zu \"%s\"", wh_op_get(op)->name, k, text);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = strides},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = ones},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = pads},
                             {.key = WH_ATTR_GROUP, .i = all[k].group},
                             formula_attr(text)};
    wh_value in[10] = {case_input(c, WH_DTYPE_F32, 4,
                                  D(ROWS, all[k].group * all[k].own, all[k].in[0], all[k].in[1]), FILL_PLAIN),
                       case_const(c, WH_DTYPE_F32, 4, D(m, all[k].own, all[k].kernel, all[k].kernel)),
                       i % 2 ? case_const(c, WH_DTYPE_F32, 1, &m) : 0};
    in[3] = i % 3 ? case_const(c, WH_DTYPE_F32, 3, D(m, 1, 1)) : number(c, 0.75f);
    in[4] = i % 3 ? case_const(c, WH_DTYPE_F32, 3, D(m, 1, 1)) : number(c, -0.25f);
    /* of groups of one channel something that is the same for all places */
    in[5] = all[k].group > 1 ? number(c, 0.5f)
                             : case_input(c, WH_DTYPE_F32, 4, D(ROWS, m, out[0], out[1]), FILL_WILD);
    swish_numbers(c, i, in + 6);
    (void)case_node(c, op, in, COUNT(in), attrs, COUNT(attrs));
    case_run(c);
  }
}

/* What relu gets is +0 or -0 by the sum's sign, and it gives +0: behind tiles of places, of few channels and
 * of groups of one channel. */
static void zero_convs(suite *s, wh_op op) {
  static const struct {
    int64_t group, own, m, kernel;
  } all[] = {{1, 16, 20, 1}, {1, 18, 20, 3}, {1, 200, 20, 1}, {24, 1, 24, 3}};
  for (size_t i = 0; i < COUNT(all); i++) {
    const int64_t ones[] = {1, 1}, pads[] = {0, 0, 0, 0}, k = all[i].kernel;
    suite_case *c = case_begin(s, 1, "%s to zeros %zu", wh_op_get(op)->name, i);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = ones},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = ones},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = pads},
                             {.key = WH_ATTR_GROUP, .i = all[i].group},
                             formula_attr("mul 0 1; add 3 2; relu 4")};
    const wh_value in[] = {
        case_input(c, WH_DTYPE_F32, 4, D(ROWS, all[i].group * all[i].own, 13, 14), FILL_PLAIN),
        case_const(c, WH_DTYPE_F32, 4, D(all[i].m, all[i].own, k, k)), 0, number(c, -0.0f), number(c, -0.0f)};
    (void)case_node(c, op, in, COUNT(in), attrs, COUNT(attrs));
    case_run(c);
  }
}

SUITE_CASES(conv_chain) {
  depthwise_chains(s, op);
  zero_convs(s, op);
  swish_convs(s, op);
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
  static const char *const texts[] = {"relu 0",
                                      "mul 0 2; add 6 2; relu 7",
                                      "add 1 0; relu 6",
                                      "mul 3 0; add 6 5",
                                      "add 0 4; max 6 4; min 7 4; mul 0 8; div 9 4",
                                      "add 0 2; add 1 6; relu 7"};
  for (size_t i = 0; i < 7 * COUNT(all); i++) {
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
