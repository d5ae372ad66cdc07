/* cases_rows.c - shapes for row ops and elementwise ops. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define D(...) ((const int64_t[]){__VA_ARGS__})

typedef struct case_shape {
  int64_t n_rows;
  int rank;
  int64_t dims[WH_MAX_RANK];
} case_shape;

/* Values for the attributes that an op must carry. */
static size_t attrs_of(wh_op op, int variant, wh_attr attrs[WH_ATTR_COUNT]) {
  size_t n = 0;
  for (wh_attr_key key = 0; key < WH_ATTR_COUNT; key++) {
    if (!(wh_op_get(op)->attrs & (uint64_t)1 << key)) continue;
    wh_attr a = {.key = key, .i = variant & 1};
    a.f = key == WH_ATTR_EPS     ? (variant ? 1e-6f : 1e-5f)
          : key == WH_ATTR_ALPHA ? (variant ? -0.3f : 30.0f)
                                 : 1.25f;
    attrs[n++] = a;
  }
  return n;
}

static void run_op(suite_case *c, wh_op op, int variant, const wh_value *inputs, size_t n) {
  wh_attr attrs[WH_ATTR_COUNT];
  const size_t n_attrs = attrs_of(op, variant, attrs);
  (void)case_node(c, op, inputs, n, attrs, n_attrs);
  case_run(c);
}

/* Odd sizes, no rows, one, many, every rank. */
static const case_shape any_rank[] = {
    {0, 1, {1}},
    {0, 1, {7}},
    {0, 1, {1000}},
    {0, 1, {4099}},
    {0, 2, {ROWS, 33}},
    {1, 2, {ROWS, 64}},
    {3, 2, {ROWS, 65}},
    {70, 2, {ROWS, 100}},
    {2, 3, {ROWS, 3, 17}},
    {2, 4, {3, ROWS, 1, 31}},
    {3, 5, {2, 1, ROWS, 2, 16}},
    {1, 6, {ROWS, 2, 1, 3, 2, 9}},
    {2, 7, {1, 2, ROWS, 1, 2, 1, 40}},
    {2, 8, {2, 1, 3, 1, ROWS, 1, 2, 5}},
};

SUITE_CASES(unary) {
  for (size_t i = 0; i < COUNT(any_rank); i++)
    for (int variant = 0; variant < 2; variant++) {
      const case_shape *k = &any_rank[i];
      suite_case *c = case_begin(s, k->n_rows, "%s shape %zu", wh_op_get(op)->name, i);
      const wh_value x = case_input(c, WH_DTYPE_F32, k->rank, k->dims, variant ? FILL_WILD : FILL_PLAIN);
      run_op(c, op, variant, &x, 1);
    }
}

SUITE_CASES(same) {
  for (size_t i = 0; i < COUNT(any_rank); i++) {
    const case_shape *k = &any_rank[i];
    suite_case *c = case_begin(s, k->n_rows, "%s shape %zu", wh_op_get(op)->name, i);
    wh_value in[2];
    for (int n = 0; n < 2; n++)
      in[n] = case_input(c, WH_DTYPE_F32, k->rank, k->dims, n ? FILL_PLAIN : FILL_WILD);
    run_op(c, op, 0, in, wh_op_get(op)->min_inputs);
  }
}

/* Weights are there from left to right: an op may have none, or a bias alone. */
static void norm_case(suite *s, wh_op op, const case_shape *k, unsigned with, int variant) {
  suite_case *c = case_begin(s, k->n_rows, "%s, %lld long, %lld rows, weights %u", wh_op_get(op)->name,
                             (long long)k->dims[k->rank - 1], (long long)k->n_rows, with);
  wh_value in[3] = {case_input(c, WH_DTYPE_F32, k->rank, k->dims, variant ? FILL_WILD : FILL_PLAIN)};
  for (unsigned i = 1; i < wh_op_get(op)->max_inputs; i++)
    in[i] = with & 1u << i ? case_const(c, WH_DTYPE_F32, 1, &k->dims[k->rank - 1]) : 0;
  run_op(c, op, variant, in, wh_op_get(op)->max_inputs);
}

SUITE_CASES(norm) {
  static const case_shape extra[] = {{1, 2, {ROWS, 1}}, {5, 2, {ROWS, 576}}, {129, 2, {ROWS, 63}}};
  for (unsigned with = 0; with < 1u << wh_op_get(op)->max_inputs; with += 2)
    for (size_t i = 0; i < COUNT(any_rank) + COUNT(extra); i++)
      norm_case(s, op, i < COUNT(any_rank) ? &any_rank[i] : &extra[i - COUNT(any_rank)], with, (int)(i & 1));
}

/* Rows of whole blocks: short last groups, last tiles of rows. */
static const case_shape blocks[] = {
    {0, 2, {ROWS, 64}},       {1, 2, {ROWS, 32}},
    {1, 2, {ROWS, 1024}},     {3, 2, {ROWS, 288}},
    {64, 2, {ROWS, 256}},     {65, 2, {ROWS, 576}},
    {130, 2, {ROWS, 96}},     {3, 3, {ROWS, 5, 160}},
    {2, 4, {2, ROWS, 3, 32}}, {1, 8, {1, 2, 1, ROWS, 1, 2, 1, 64}},
};

SUITE_CASES(norm_quantize) {
  for (unsigned with = 0; with < 1u << wh_op_get(op)->max_inputs; with += 2)
    for (size_t i = 0; i < COUNT(blocks); i++) norm_case(s, op, &blocks[i], with, (int)(i & 1));
}

SUITE_CASES(quantize_wide) {
  static const case_shape rows[] = {{0, 2, {ROWS, 128}},  {1, 2, {ROWS, 1}},      {1, 2, {ROWS, 1024}},
                                    {3, 2, {ROWS, 129}},  {64, 2, {ROWS, 127}},   {65, 2, {ROWS, 576}},
                                    {130, 2, {ROWS, 96}}, {3, 3, {ROWS, 5, 200}}, {2, 4, {2, ROWS, 3, 7}}};
  for (size_t i = 0; i < COUNT(rows); i++)
    for (int fill = 0; fill < 3; fill++) {
      suite_case *c = case_begin(s, rows[i].n_rows, "%s shape %zu fill %d", wh_op_get(op)->name, i, fill);
      wh_value x = case_input(c, WH_DTYPE_F32, rows[i].rank, rows[i].dims, fill ? FILL_WILD : FILL_PLAIN);
      if (fill == 2 && c->n_bytes[x]) memset(c->data[x], 0, c->n_bytes[x] / 8 * 4); /* blocks of nothing */
      run_op(c, op, 0, &x, 1);
    }
}

SUITE_CASES(quantize) {
  for (size_t i = 0; i < COUNT(blocks); i++)
    for (int fill = 0; fill < 3; fill++) {
      const case_shape *k = &blocks[i];
      suite_case *c = case_begin(s, k->n_rows, "%s shape %zu fill %d", wh_op_get(op)->name, i, fill);
      wh_value in[2];
      for (uint32_t n = 0; n < wh_op_get(op)->min_inputs; n++) {
        in[n] = case_input(c, WH_DTYPE_F32, k->rank, k->dims, fill ? FILL_WILD : FILL_PLAIN);
        if (fill == 2 && c->n_bytes[in[n]]) /* groups of nothing */
          memset(c->data[in[n]], 0, c->n_bytes[in[n]] / 2);
      }
      run_op(c, op, 0, in, wh_op_get(op)->min_inputs);
    }
}

static wh_attr shape_attr(suite_case *c, int rank, const int64_t *dims) {
  wh_attr a = {.key = WH_ATTR_SHAPE, .rank = rank};
  for (int i = 0; i < rank; i++) a.dims[i] = case_dim(c, dims[i]);
  return a;
}

/* A view of an input and one of a node, each with a user. */
SUITE_CASES(reshape) {
  static const case_shape to[] = {{0, 2, {ROWS, 24}},
                                  {3, 3, {ROWS, 2, 12}},
                                  {5, 4, {2, ROWS, 3, 4}},
                                  {1, 6, {1, 1, ROWS, 1, 1, 24}},
                                  {2, 8, {1, ROWS, 2, 1, 3, 1, 4, 1}}};
  for (size_t i = 0; i < COUNT(to); i++) {
    suite_case *c = case_begin(s, to[i].n_rows, "%s shape %zu", wh_op_get(op)->name, i);
    const wh_value x = case_input(c, WH_DTYPE_F32, 3, D(ROWS, 6, 4), FILL_PLAIN);
    const wh_attr there = shape_attr(c, to[i].rank, to[i].dims), back = shape_attr(c, 3, D(ROWS, 6, 4));
    const wh_value before = case_node(c, op, &x, 1, &there, 1);
    const wh_value between = case_node(c, WH_OP_NEG, &before, 1, NULL, 0);
    const wh_value after = case_node(c, op, &between, 1, &back, 1);
    (void)case_node(c, WH_OP_RELU, &after, 1, NULL, 0);
    case_run(c);
  }
}

SUITE_CASES(rope_table) {
  static const int64_t sizes[][2] = {{0, 16}, {1, 1}, {1, 32}, {5, 17}, {67, 64}};
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (int far = 0; far < 2; far++) {
      suite_case *c =
          case_begin(s, sizes[i][0], "%s of %lld frequencies", wh_op_get(op)->name, (long long)sizes[i][1]);
      wh_value in[2] = {case_indices(c, 1, D(ROWS), 0, far ? 131000 : 40), 0};
      in[1] = case_const(c, WH_DTYPE_F32, 1, &sizes[i][1]);
      for (int64_t f = 0; f < sizes[i][1]; f++) /* as rotary frequencies are: 1 and less */
        ((float *)c->data[in[1]])[f] = wh_f32_from_bits(0x3f800000u - (uint32_t)(f * 0x1234567 % 0x8000000));
      run_op(c, op, far, in, 2);
    }
}

SUITE_CASES(rope) {
  static const int64_t sizes[][4] = {
      {0, 2, 8, 4}, {1, 1, 2, 1}, {1, 9, 64, 32}, {3, 4, 80, 16}, {33, 3, 34, 17}};
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (int neox = 0; neox < 2; neox++) {
      const int64_t *k = sizes[i];
      suite_case *c = case_begin(s, k[0], "%s of %lld heads of %lld, %lld turned", wh_op_get(op)->name,
                                 (long long)k[1], (long long)k[2], (long long)k[3]);
      wh_value in[2] = {case_input(c, WH_DTYPE_F32, 3, D(ROWS, k[1], k[2]), FILL_WILD), 0};
      in[1] = case_input(c, WH_DTYPE_F32, 3, D(ROWS, 2, k[3]), FILL_PLAIN);
      run_op(c, op, neox, in, 2);
    }
}
