/* cases_codes.c - formulas between codes, elementwise and at the end of integer products, and at the end of
 * products of f32. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/backend/cases_formula.h"

#define MOST_ENDS 7

static const wh_dtype results[] = {WH_DTYPE_U8, WH_DTYPE_I8, WH_DTYPE_F32};

/* `plain`: of steps that run in registers. */
static void formula_of(suite *s, uint32_t n_inputs, bool plain, char text[WH_FORMULA_TEXT + 1]) {
  static const wh_op short_ones[] = {WH_OP_ADD,  WH_OP_SUB, WH_OP_MUL, WH_OP_DIV,  WH_OP_MIN,
                                     WH_OP_RELU, WH_OP_NEG, WH_OP_ABS, WH_OP_ROUND};
  if (plain)
    random_formula(s, n_inputs, short_ones, COUNT(short_ones), text);
  else
    random_formula(s, n_inputs, formula_ops, COUNT(formula_ops), text);
}

/* An operand; bytes of all values. */
static wh_value term(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims) {
  const wh_value v = case_input(c, dtype, rank, dims, suite_random(c->s, 4) ? FILL_PLAIN : FILL_WILD);
  if (dtype == WH_DTYPE_I8 || dtype == WH_DTYPE_U8)
    for (size_t i = 0; i < c->n_bytes[v]; i++) ((uint8_t *)c->data[v])[i] = (uint8_t)suite_random(c->s, 256);
  if (dtype == WH_DTYPE_I32) /* more digits than f32 has */
    for (size_t i = 0; i < c->n_bytes[v] / 4; i++)
      ((int32_t *)c->data[v])[i] = (int32_t)(suite_random(c->s, 0x7fffffff) - 0x3fffffff);
  return v;
}

/* Constant weights: of any size, or as models have them, of which few are large, or all as large as can be.
 */
static wh_value weights(suite_case *c, wh_dtype dtype, int rank, const int64_t *dims, size_t round) {
  const uint8_t middle = dtype == WH_DTYPE_I8 ? 0 : 128;
  const wh_value v = case_const(c, dtype, rank, dims);
  for (size_t i = 0; i < c->n_bytes[v]; i++) {
    uint8_t *code = (uint8_t *)c->data[v] + i;
    const int centred = (int8_t)(*code - middle);
    if (round % 3 == 1 && suite_random(c->s, 16)) *code = (uint8_t)(centred / 2 + middle);
    if (round % 3 == 2) *code = (uint8_t)((centred < 0 ? -128 : 127) + middle);
  }
  return v;
}

static wh_dtype random_type(suite *s) {
  static const wh_dtype types[] = {WH_DTYPE_F32, WH_DTYPE_U8, WH_DTYPE_I8, WH_DTYPE_I32};
  return types[suite_random(s, COUNT(types))];
}

static bool computes(suite *s, wh_op op, uint32_t trait) {
  if (s->target->backend->traits & trait) return true;
  s->per_op[op]++; /* its graphs have none */
  return false;
}

/* ---- elementwise ---- */

SUITE_CASES(chain_codes) {
  static const formula_operands all[] = {
      FORMULA_OPERANDS,
      {7, 4, {2, 2, 0, 0}, {{ROWS, 77}, {ROWS, 77}, {0}, {0}}},
  };
  /* what quantised models have: codes added to codes, and the nearest code to a NaN and to infinities */
  static const char *const texts[] = {
      "sub 0 2; mul 4 3; sub 1 2; mul 6 3; add 5 7; div 8 3; round 9; add 10 2", "div 0 3; add 4 1",
      "mul 1 0; round 4", "div 0 3; round 4; add 5 2"};
  if (!computes(s, op, WH_BACKEND_CODES)) return;
  for (int round = 0; round < 120; round++) {
    const size_t k = round < 24 ? COUNT(all) - 1 : (size_t)round % COUNT(all);
    char text[WH_FORMULA_TEXT + 1];
    if (round < 24)
      (void)snprintf(text, sizeof text, "%s", texts[round / 6]);
    else
      formula_of(s, all[k].n, round % 3 > 0, text);
    suite_case *c = case_begin(s, all[k].n_rows, "%s \"%.100s\"", wh_op_get(op)->name, text);
    const wh_attr attrs[] = {formula_attr(text),
                             {.key = WH_ATTR_TO, .i = results[(size_t)round % COUNT(results)]}};
    wh_value in[4];
    const bool wild = round / 6 == 1 || round / 6 == 3;
    for (uint32_t i = 0; i < all[k].n; i++)
      in[i] = wild ? case_input(c, WH_DTYPE_F32, all[k].rank[i], all[k].dims[i], FILL_WILD)
                   : term(c, random_type(s), all[k].rank[i], all[k].dims[i]);
    if (wild && c->n_bytes[in[0]] >= 20) {
      static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f};
      memcpy(c->data[in[0]], odd, sizeof odd);
    }
    if (round / 6 == 3) { /* a scale and a zero point as models have them */
      ((float *)c->data[in[3]])[0] = 0.017f;
      ((float *)c->data[in[2]])[0] = (float)(round % 2 * 3);
    }
    (void)case_node(c, op, in, all[k].n, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* ---- products ---- */

/* Over sums (input 0): as quantised models have it, or any. */
static void end_formula(suite *s, size_t round, char text[WH_FORMULA_TEXT + 1]) {
  static const char *const texts[] = {
      "mul 0 1; add 8 2; div 9 3; round 10; add 11 4", "mul 0 1; add 2 8",
      "mul 0 1; add 8 2; sub 5 4; mul 10 3; add 9 11; relu 12; div 13 3; round 14", "add 6 0; mul 8 0",
      "erf 0; mul 8 7; add 9 2"};
  if (round % 8 < COUNT(texts))
    (void)snprintf(text, WH_FORMULA_TEXT + 1, "%s", texts[round % 8]);
  else
    formula_of(s, 1 + MOST_ENDS, round % 2 == 0, text);
}

/* The operands of such a formula behind a convolution of m outputs: of all widths. */
static void end_operands(suite_case *c, int64_t m, const int64_t out[2], wh_dtype number, wh_dtype residual,
                         wh_value in[MOST_ENDS]) {
  in[0] = case_const(c, WH_DTYPE_F32, 3, D(m, 1, 1));
  in[1] = term(c, WH_DTYPE_F32, 4, D(1, m, 1, 1));
  in[2] = case_const(c, WH_DTYPE_F32, 0, NULL);
  in[3] = term(c, number, 0, NULL);
  in[4] = term(c, residual, 4, D(ROWS, m, out[0], out[1]));
  in[5] = term(c, WH_DTYPE_F32, 4, D(ROWS, m, 1, 1));
  in[6] = term(c, random_type(c->s), 3, D(m, out[0], out[1]));
}

/* An operand without the axes that are one in front, as wide as the places. */
static void narrow_operand(suite *s, wh_op op) {
  suite_case *c = case_begin(s, 1, "%s, an operand of two axes", wh_op_get(op)->name);
  const int64_t ones[] = {1, 1, 1}, pads[6] = {0};
  const char text[] = "add 0 1";
  const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 3, .ints = ones},
                           {.key = WH_ATTR_DILATIONS, .n = 3, .ints = ones},
                           {.key = WH_ATTR_PADS, .n = 6, .ints = pads},
                           {.key = WH_ATTR_GROUP, .i = 1},
                           formula_attr(text),
                           {.key = WH_ATTR_TO, .i = WH_DTYPE_F32}};
  wh_value in[5] = {term(c, WH_DTYPE_U8, 5, D(ROWS, 20, 1, 1, 7))};
  in[1] = case_const(c, WH_DTYPE_I8, 5, D(8, 20, 1, 1, 1));
  in[4] = term(c, WH_DTYPE_F32, 2, D(1, 7));
  (void)case_node(c, op, in, 5, attrs, COUNT(attrs));
  case_run(c);
}

/* Windows of 3 x 3 that move by one, with constant weights: minimal filtering where a level has it. */
void cases_conv_codes_of_three(suite *s, wh_op op) {
  static const struct {
    int64_t images, c, m, in[2], pads[4];
  } all[] = {{1, 16, 16, {5, 9}, {1, 1, 1, 1}},   {2, 33, 20, {14, 14}, {1, 1, 1, 1}},
             {1, 130, 17, {7, 7}, {1, 1, 1, 1}},  {1, 16, 34, {3, 3}, {0, 0, 0, 0}},
             {1, 21, 18, {20, 37}, {2, 0, 1, 3}}, {3, 16, 16, {1, 1}, {1, 1, 1, 1}},
             {1, 60, 25, {30, 32}, {0, 1, 2, 1}}, {1, 1827, 16, {4, 4}, {0, 0, 0, 0}},
             {1, 1828, 16, {4, 4}, {0, 0, 0, 0}}, {0, 16, 16, {6, 6}, {1, 1, 1, 1}}};
  const bool ends = op == WH_OP_CONV_CODES;
  for (size_t i = 0; i < 4 * COUNT(all); i++) {
    const size_t k = i % COUNT(all), round = i / COUNT(all);
    const int64_t *in_dims = all[k].in, *pads = all[k].pads, ones[] = {1, 1}, m = all[k].m, c_in = all[k].c;
    const int64_t out[] = {in_dims[0] + pads[0] + pads[2] - 2, in_dims[1] + pads[1] + pads[3] - 2};
    const wh_dtype of_x = round % 2 ? WH_DTYPE_I8 : WH_DTYPE_U8;
    char text[WH_FORMULA_TEXT + 1] = "";
    if (ends) end_formula(s, round == 3 ? 5 + k : round, text);
    suite_case *c = case_begin(s, all[k].images, "%s of 3 x 3 %zu \"%.90s\"", wh_op_get(op)->name, k, text);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = ones},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = ones},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = pads},
                             {.key = WH_ATTR_GROUP, .i = 1},
                             formula_attr(text),
                             {.key = WH_ATTR_TO, .i = results[i % COUNT(results)]}};
    wh_value in[4 + MOST_ENDS] = {term(c, of_x, 4, D(ROWS, c_in, in_dims[0], in_dims[1]))};
    in[1] = weights(c, WH_DTYPE_I8, 4, D(m, c_in, 3, 3), round);
    if (round == 2) { /* the largest sums */
      memset(c->data[in[0]], 0xff, c->n_bytes[in[0]]);
      memset(c->data[in[1]], i % 2 || k == 8 ? 0x80 : 0x7f, c->n_bytes[in[1]]); /* 1828 overflow as -128 */
    }
    in[2] = round ? term(c, of_x, 0, NULL) : 0;
    if (round == 1 || (round == 3 && k % 3 == 0)) { /* zero points that are 0, or all but the last */
      in[3] = case_const(c, WH_DTYPE_I8, 1, &m);
      memset(c->data[in[3]], 0, c->n_bytes[in[3]]);
      if (round == 3) ((int8_t *)c->data[in[3]])[m - 1] = 3;
    }
    if (ends) end_operands(c, m, out, results[i % 2], results[round % 2], in + 4);
    (void)case_node(c, op, in, ends ? 4 + MOST_ENDS : 4, attrs, ends ? COUNT(attrs) : 4);
    case_run(c);
  }
}

SUITE_CASES(conv_codes) {
  static const struct {
    int64_t images, group, c, m, in[2], kernel, stride, pad;
  } all[] = {{1, 1, 64, 13, {7, 7}, 1, 1, 0},   {1, 1, 120, 40, {7, 7}, 3, 1, 1},
             {2, 1, 3, 7, {37, 41}, 7, 2, 3},   {1, 1, 33, 6, {28, 28}, 1, 2, 0},
             {1, 1, 1100, 20, {5, 5}, 1, 1, 0}, {2, 1, 6, 9, {1, 1}, 1, 1, 0},
             {1, 2, 4, 8, {9, 10}, 3, 1, 1},    {1, 1, 130, 12, {14, 14}, 3, 1, 1}};
  if (!computes(s, op, WH_BACKEND_CODES)) return;
  narrow_operand(s, op);
  for (size_t i = 0; i < 10 * COUNT(all); i++) {
    const size_t k = i % COUNT(all), round = i / COUNT(all);
    const int64_t out[] = {(all[k].in[0] + 2 * all[k].pad - all[k].kernel) / all[k].stride + 1,
                           (all[k].in[1] + 2 * all[k].pad - all[k].kernel) / all[k].stride + 1};
    const int64_t strides[] = {all[k].stride, all[k].stride}, ones[] = {1, 1}, m = all[k].m,
                  pads[] = {all[k].pad, all[k].pad, all[k].pad, all[k].pad};
    const wh_dtype of_x = i % 2 ? WH_DTYPE_I8 : WH_DTYPE_U8, of_w = i % 3 ? WH_DTYPE_I8 : WH_DTYPE_U8;
    char text[WH_FORMULA_TEXT + 1];
    end_formula(s, i, text);
    suite_case *c = case_begin(s, all[k].images, "%s %zu \"%.90s\"", wh_op_get(op)->name, k, text);
    const wh_attr attrs[] = {{.key = WH_ATTR_STRIDES, .n = 2, .ints = strides},
                             {.key = WH_ATTR_DILATIONS, .n = 2, .ints = ones},
                             {.key = WH_ATTR_PADS, .n = 4, .ints = pads},
                             {.key = WH_ATTR_GROUP, .i = all[k].group},
                             formula_attr(text),
                             {.key = WH_ATTR_TO, .i = results[(i + round) % COUNT(results)]}};
    wh_value in[4 + MOST_ENDS] = {
        term(c, of_x, 4, D(ROWS, all[k].group * all[k].c, all[k].in[0], all[k].in[1]))};
    const int64_t w[] = {m, all[k].c, all[k].kernel, all[k].kernel};
    in[1] = round % 4 == 3 ? term(c, of_w, 4, w) : weights(c, of_w, 4, w, round);
    in[2] = i % 5 ? term(c, of_x, 0, NULL) : 0;
    in[3] = i % 4 ? term(c, of_w, i % 4 > 1, &m) : 0;
    end_operands(c, m, out, results[i % 2], results[round % 2], in + 4);
    (void)case_node(c, op, in, 4 + MOST_ENDS, attrs, COUNT(attrs));
    case_run(c);
  }
  cases_conv_codes_of_three(s, op);
}

SUITE_CASES(matmul_codes) {
  static const struct {
    int64_t n_rows, k, n;
    int a_rank;
    int64_t a[3];
    bool batches; /* of b, too */
  } all[] = {{1, 70, 33, 2, {ROWS, 70}, false},     {5, 300, 40, 2, {ROWS, 300}, false},
             {50, 64, 100, 2, {ROWS, 64}, false},   {13, 33, 7, 3, {2, ROWS, 33}, false},
             {128, 520, 64, 2, {ROWS, 520}, false}, {0, 16, 16, 2, {ROWS, 16}, false},
             {4, 20, 24, 3, {2, ROWS, 20}, true},   {3, 9, 1, 2, {ROWS, 9}, false}};
  if (!computes(s, op, WH_BACKEND_CODES)) return;
  for (size_t i = 0; i < 10 * COUNT(all); i++) {
    const size_t k = i % COUNT(all), round = i / COUNT(all);
    const wh_dtype of_a = i % 2 ? WH_DTYPE_I8 : WH_DTYPE_U8, of_b = i % 3 ? WH_DTYPE_I8 : WH_DTYPE_U8;
    const int64_t n = all[k].n, b[] = {2, all[k].k, n};
    const int b_from = all[k].batches ? 0 : 1;
    int64_t y[3] = {all[k].a[0], all[k].a[1], n}, rows[3] = {all[k].a[0], all[k].a[1], 1};
    const int rank = all[k].a_rank;
    y[rank - 1] = n;
    rows[rank - 1] = 1;
    char text[WH_FORMULA_TEXT + 1];
    end_formula(s, i, text);
    suite_case *c = case_begin(s, all[k].n_rows, "%s %zu \"%.90s\"", wh_op_get(op)->name, k, text);
    const wh_attr attrs[] = {formula_attr(text),
                             {.key = WH_ATTR_TO, .i = results[(i + round) % COUNT(results)]}};
    wh_value in[4 + MOST_ENDS] = {term(c, of_a, rank, all[k].a)};
    in[1] = round % 4 == 3 || all[k].batches ? term(c, of_b, 3 - b_from, b + b_from)
                                             : weights(c, of_b, 2, b + 1, round);
    in[2] = i % 5 ? term(c, of_a, 0, NULL) : 0;
    in[3] = i % 4 ? term(c, of_b, i % 4 > 1, &n) : 0;
    in[4] = case_const(c, WH_DTYPE_F32, 1, &n);
    in[5] = term(c, WH_DTYPE_F32, 2, D(1, n));
    in[6] = case_const(c, WH_DTYPE_F32, 0, NULL);
    in[7] = term(c, results[i % 2], 0, NULL);
    in[8] = term(c, results[round % 2], rank, y);
    in[9] = term(c, WH_DTYPE_F32, rank, rows);
    in[10] = term(c, random_type(s), 1, D(1));
    (void)case_node(c, op, in, 4 + MOST_ENDS, attrs, COUNT(attrs));
    case_run(c);
  }
}

/* Operands of every kind that broadcasts over batches, rows and columns. */
SUITE_CASES(matmul_chain) {
  static const struct {
    int64_t n_rows;
    int rank; /* of a and y */
    int64_t a[4], n;
    bool batches; /* of b, too */
  } all[] = {{1, 2, {ROWS, 70}, 33, false},       {5, 2, {ROWS, 300}, 40, false},
             {50, 2, {ROWS, 64}, 100, false},     {3, 3, {2, ROWS, 33}, 7, false},
             {130, 2, {ROWS, 1030}, 64, false},   {0, 2, {ROWS, 16}, 16, false},
             {4, 3, {2, ROWS, 20}, 24, true},     {9, 4, {2, 3, ROWS, 12}, 65, true},
             {13, 3, {ROWS, 11, 24}, 40, false},  {3, 2, {ROWS, 9}, 1, false},
             {2, 4, {2, ROWS, 1, 40}, 600, true}, {700, 2, {ROWS, 5}, 17, false},
             {100, 2, {ROWS, 40}, 48, false}};
  if (!computes(s, op, WH_BACKEND_PRODUCTS)) return;
  for (size_t i = 0; i < 10 * COUNT(all); i++) {
    const size_t k = i % COUNT(all), round = i / COUNT(all);
    const int rank = all[k].rank, b_rank = all[k].batches ? rank : 2;
    const int64_t n = all[k].n, *a = all[k].a;
    int64_t b[4], y[4], rows[4], batches[4], columns[4];
    for (int d = 0; d < rank; d++) {
      y[d] = d < rank - 1 ? a[d] : n;
      b[d] = d < rank - 2 ? a[d] : d < rank - 1 ? a[rank - 1] : n;
      rows[d] = d < rank - 1 ? y[d] : 1;
      batches[d] = d < rank - 2 ? y[d] : 1;
      columns[d] = d == 0 && rank > 2 ? y[d] : d < rank - 1 ? 1 : n; /* as a mask of keys */
    }
    char text[WH_FORMULA_TEXT + 1];
    formula_of(s, WH_FORMULA_INPUTS, round % 2, text);
    if (round % 4 == 1) /* on registers, with two results that stay */
      (void)snprintf(text, sizeof text, "add 0 1; mul 8 2; sub 9 %zu; mul 10 8; add 11 9", 1 + k % 7);
    suite_case *c = case_begin(s, all[k].n_rows, "%s %zu \"%.90s\"", wh_op_get(op)->name, k, text);
    const wh_attr attr = formula_attr(text);
    wh_value in[2 + MOST_ENDS] = {term(c, WH_DTYPE_F32, rank, a)};
    in[1] = round % 3 == 2 || all[k].batches ? term(c, WH_DTYPE_F32, b_rank, b + rank - b_rank)
                                             : case_const(c, WH_DTYPE_F32, b_rank, b + rank - b_rank);
    in[2] = case_const(c, WH_DTYPE_F32, 1, &n);
    in[3] = term(c, WH_DTYPE_F32, rank, y);
    in[4] = term(c, WH_DTYPE_F32, rank, rows);
    in[5] = term(c, WH_DTYPE_F32, rank, batches);
    in[6] = term(c, WH_DTYPE_F32, rank, columns);
    in[7] = term(c, WH_DTYPE_F32, 0, NULL);
    in[8] = term(c, WH_DTYPE_F32, 2, y + rank - 2);
    (void)case_node(c, op, in, 2 + MOST_ENDS, &attr, 1);
    case_run(c);
  }
}

/* Where the axes of [b, h, s, d] lie in memory. */
typedef struct axes_order {
  int64_t perm[4]; /* of the op */
} axes_order;

static wh_value in_order(suite_case *c, const int64_t dims[4], const axes_order *o) {
  int64_t memory[4];
  for (int d = 0; d < 4; d++) memory[o->perm[d]] = dims[d];
  return term(c, WH_DTYPE_F32, 4, memory);
}

/* Some keys that a row, or all of them, may not see; rows that see none. */
static wh_value mask_of(suite_case *c, int rank, const int64_t *dims) {
  const wh_value v = case_input(c, WH_DTYPE_F32, rank, dims, FILL_PLAIN);
  for (size_t i = 0; i < c->n_bytes[v] / sizeof(float); i++)
    if (suite_random(c->s, 4) == 0 || i / (size_t)dims[rank - 1] % 7 == 3)
      ((float *)c->data[v])[i] = -INFINITY;
  return v;
}

/* Heads side by side or one behind the other, keys in either order, heads that share keys; masks of every
 * shape that broadcasts. */
SUITE_CASES(matmul_attention) {
  static const struct {
    int64_t n_rows, b, h, kv, keys, depth, width;
  } all[] = {{1, 1, 2, 2, 7, 20, 17},    {5, 2, 3, 3, 16, 32, 32},    {33, 1, 4, 2, 33, 16, 40},
             {100, 2, 1, 1, 65, 64, 64}, {3, 2, 4, 1, 130, 9, 1},     {200, 1, 2, 1, 200, 24, 48},
             {484, 1, 2, 1, 2736, 3, 4}, /* the last task has four rows */
             {0, 1, 2, 2, 5, 8, 8},      {3, 1, 2, 2, 0, 8, 8},       {6, 2, 2, 1, 3, 0, 5},
             {9, 1, 3, 3, 1, 1, 33},     {26, 2, 2, 2, 700, 12, 16},  {50, 1, 1, 1, 512, 600, 8},
             {4, 1, 8, 4, 64, 64, 64},   {130, 3, 2, 2, 48, 32, 100}, {1, 1, 1, 1, 75, 16, 150},
             {19, 1, 1, 1, 130, 20, 70}, {2, 1, 1, 1, 0, 4, 40}};
  static const axes_order orders[][4] = {{{{0, 1, 2, 3}}, {{0, 1, 2, 3}}, {{0, 1, 2, 3}}, {{0, 1, 2, 3}}},
                                         {{{0, 2, 1, 3}}, {{0, 2, 3, 1}}, {{0, 2, 1, 3}}, {{0, 2, 1, 3}}},
                                         {{{0, 1, 2, 3}}, {{0, 1, 3, 2}}, {{0, 1, 2, 3}}, {{0, 2, 1, 3}}},
                                         {{{1, 0, 2, 3}}, {{1, 2, 0, 3}}, {{2, 1, 0, 3}}, {{1, 2, 0, 3}}}};
  static const char *const texts[] = {"",        "mul 0 1; add 8 2", "mul 0 1; tanh 8; mul 9 7; add 10 3",
                                      "add 0 4", "add 6 0; add 5 8", "add 0 2; mul 8 8; exp 0; sub 9 10"};
  if (!computes(s, op, WH_BACKEND_ATTENTION)) return;
  for (size_t i = 0; i < COUNT(orders) * COUNT(texts) * COUNT(all); i++) {
    const size_t k = i % COUNT(all), round = i / COUNT(all);
    const axes_order *o = orders[round % COUNT(orders)];
    const char *text = texts[(round / COUNT(orders) + k) % COUNT(texts)];
    const int64_t b = all[k].b, h = all[k].h, kv = all[k].kv, t = all[k].keys, d = all[k].depth,
                  e = all[k].width;
    if (t > 1000 && round >= COUNT(orders)) continue;
    suite_case *c = case_begin(s, all[k].n_rows, "%s %zu order %zu \"%s\"", wh_op_get(op)->name, k,
                               round % COUNT(orders), text);
    int64_t perm[16];
    for (int x = 0; x < 4; x++) memcpy(perm + 4 * x, o[x].perm, sizeof o[x].perm);
    const wh_attr attrs[] = {formula_attr(text), {.key = WH_ATTR_PERM, .n = 16, .ints = perm}};
    wh_value in[10] = {in_order(c, D(b, h, ROWS, d), &o[0]), in_order(c, D(b, kv, d, t), &o[1]),
                       in_order(c, D(b, kv, t, e), &o[2])};
    in[3] = term(c, WH_DTYPE_F32, 0, NULL);
    in[4] = mask_of(c, 4, D(b, 1, 1, t));
    in[5] = mask_of(c, 2, D(ROWS, t));
    in[6] = mask_of(c, 4, D(b, h, ROWS, t));
    in[7] = term(c, WH_DTYPE_F32, 3, D(h, 1, 1));
    in[8] = term(c, WH_DTYPE_F32, 4, D(1, h, ROWS, t));
    in[9] = term(c, WH_DTYPE_F32, 4, D(b, 1, ROWS, 1));
    (void)case_node(c, op, in, *text ? 10 : 3, attrs, 2);
    case_run(c);
  }
}
