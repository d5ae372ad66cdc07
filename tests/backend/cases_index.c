/* cases_index.c - shapes, indices and attributes for gathers and scatters. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define INT(attr, value) \
  { .key = WH_ATTR_##attr, .i = (value) }

typedef struct index_shapes {
  int64_t n_rows;
  int axis; /* or batch dims */
  int rank[2];
  int64_t dims[2][WH_MAX_RANK];
  int64_t size; /* indices are within -size..size-1 */
} index_shapes;

static const wh_dtype types[] = {WH_DTYPE_F32, WH_DTYPE_U8, WH_DTYPE_F16, WH_DTYPE_I64, WH_DTYPE_C128};

/* Indices within their axis, or, of `wild` ones, perhaps outside. */
static wh_value indices(suite_case *c, const index_shapes *k, bool wild, bool wide) {
  const int64_t more = wild ? 2 : 0;
  const wh_value v =
      case_wide_indices(c, k->rank[1], k->dims[1], -k->size - more, 2 * (k->size + more), wide);
  if (wild) c->outside = case_any_outside(c, v, -k->size, k->size - 1);
  return v;
}

static void gather_cases(suite *s, wh_op op, wh_attr_key key, const index_shapes *shapes, size_t n) {
  for (size_t i = 0; i < n; i++)
    for (size_t t = 0; t < COUNT(types); t++)
      for (int wild = 0; wild < 2; wild++) {
        const index_shapes *k = &shapes[i];
        suite_case *c =
            case_begin(s, k->n_rows, "%s %zu of %s", wh_op_get(op)->name, i, wh_dtype_name(types[t]));
        wh_value in[2] = {case_input(c, types[t], k->rank[0], k->dims[0], FILL_PLAIN)};
        in[1] = indices(c, k, wild, (t + i) & 1);
        const wh_attr attr = {.key = key, .i = k->axis};
        (void)case_node(c, op, in, 2, &attr, 1);
        case_run(c);
      }
}

SUITE_CASES(gather) {
  static const index_shapes k[] = {
      {3, 0, {2, 1}, {{20, 33}, {ROWS}}, 20},
      {3, 1, {2, 2}, {{ROWS, 9}, {2, 5}}, 9},
      {2, 1, {3, 0}, {{ROWS, 4, 7}, {0}}, 4},
      {2, 2, {3, 1}, {{ROWS, 3, 50}, {6}}, 50},
      {0, 0, {2, 1}, {{4, 5}, {ROWS}}, 4},
      {1, 0, {1, 1}, {{10}, {3000}}, 10},
      {300, 1, {2, 1}, {{ROWS, 9}, {21}}, 9},
      {2, 0, {2, 7}, {{3, 2}, {1, 2, 1, ROWS, 1, 2, 1}}, 3},
  };
  gather_cases(s, op, WH_ATTR_AXIS, k, COUNT(k));
}

SUITE_CASES(gather_elements) {
  static const index_shapes k[] = {
      {3, 0, {2, 2}, {{5, 7}, {4, 7}}, 5},       {3, 1, {2, 2}, {{ROWS, 7}, {ROWS, 30}}, 7},
      {2, 1, {3, 3}, {{2, 5, 9}, {2, 3, 8}}, 5}, {0, 1, {2, 2}, {{ROWS, 7}, {ROWS, 3}}, 7},
      {1, 0, {1, 1}, {{6}, {2500}}, 6},
  };
  gather_cases(s, op, WH_ATTR_AXIS, k, COUNT(k));
}

SUITE_CASES(gather_nd) {
  static const index_shapes k[] = {
      {3, 0, {2, 2}, {{4, 33}, {ROWS, 1}}, 4},      {3, 0, {3, 2}, {{4, 4, 5}, {ROWS, 2}}, 4},
      {2, 1, {3, 3}, {{3, 4, 5}, {3, ROWS, 1}}, 4}, {2, 2, {4, 3}, {{2, 3, 4, 4}, {2, 3, 2}}, 4},
      {2, 0, {3, 1}, {{4, 4, 4}, {3}}, 4},          {2, 0, {2, 2}, {{ROWS, 4}, {5, 0}}, 4},
  };
  gather_cases(s, op, WH_ATTR_BATCH_DIMS, k, COUNT(k));
}

static void scatter_case(suite *s, wh_op op, const index_shapes *k, int rank, const int64_t *dims,
                         wh_dtype dtype, int reduction, bool wild) {
  suite_case *c = case_begin(s, k->n_rows, "%s of %s, reduction %d", wh_op_get(op)->name,
                             wh_dtype_name(dtype), reduction);
  wh_value in[3] = {case_input(c, dtype, k->rank[0], k->dims[0], FILL_WILD)};
  in[1] = indices(c, k, wild, !(reduction & 1));
  in[2] = case_input(c, dtype, rank, dims, FILL_WILD);
  const wh_attr attrs[] = {INT(REDUCTION, reduction), INT(AXIS, k->axis)};
  (void)case_node(c, op, in, 3, attrs, op == WH_OP_SCATTER_ELEMENTS ? 2 : 1);
  case_run(c);
}

/* Many indices are equal. */
static void scatter_cases(suite *s, wh_op op, const index_shapes *k, int rank, const int64_t *dims) {
  static const wh_dtype numbers[] = {WH_DTYPE_F32, WH_DTYPE_F64, WH_DTYPE_I8,  WH_DTYPE_U16,
                                     WH_DTYPE_I32, WH_DTYPE_I64, WH_DTYPE_U64, WH_DTYPE_U8};
  for (int wild = 0; wild < 2; wild++) {
    for (size_t t = 0; t < COUNT(types); t++) scatter_case(s, op, k, rank, dims, types[t], 0, wild);
    for (size_t t = 0; t < COUNT(numbers); t++)
      for (int reduction = 1; reduction <= 4; reduction++)
        if (t < 2 || (t + (size_t)reduction) % 2)
          scatter_case(s, op, k, rank, dims, numbers[t], reduction, wild);
  }
}

SUITE_CASES(scatter_elements) {
  static const index_shapes k[] = {
      {3, 0, {2, 2}, {{5, 7}, {4, 7}}, 5},
      {3, 1, {2, 2}, {{ROWS, 4}, {ROWS, 30}}, 4},
      {2, 1, {3, 3}, {{2, 5, 9}, {2, 3, 8}}, 5},
      {1, 0, {1, 1}, {{6}, {40}}, 6},
  };
  for (size_t i = 0; i < COUNT(k); i++) scatter_cases(s, op, &k[i], k[i].rank[1], k[i].dims[1]);
}

SUITE_CASES(scatter_nd) {
  static const struct {
    index_shapes k;
    int rank;
    int64_t dims[WH_MAX_RANK];
  } k[] = {
      {{3, 0, {2, 2}, {{4, 33}, {9, 1}}, 4}, 2, {9, 33}},
      {{3, 0, {3, 2}, {{4, 4, ROWS}, {30, 2}}, 4}, 2, {30, ROWS}},
      {{3, 0, {2, 3}, {{4, 4}, {2, ROWS, 2}}, 4}, 2, {2, ROWS}},
      {{1, 0, {2, 2}, {{3, 2600}, {5, 1}}, 3}, 2, {5, 2600}},
  };
  for (size_t i = 0; i < COUNT(k); i++) scatter_cases(s, op, &k[i].k, k[i].rank, k[i].dims);
}
