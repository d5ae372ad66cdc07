/* cases_structure.c - shapes and attributes for ops that move elements. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define D(...) ((const int64_t[]){__VA_ARGS__})
#define INTS(attr, ...) \
  { .key = WH_ATTR_##attr, .n = sizeof D(__VA_ARGS__) / sizeof(int64_t), .ints = D(__VA_ARGS__) }
#define INT(attr, value) \
  { .key = WH_ATTR_##attr, .i = (value) }

/* Elements of 1, 2, 4, 8 and 16 bytes. */
static const wh_dtype sizes[] = {WH_DTYPE_F32, WH_DTYPE_U8, WH_DTYPE_F16, WH_DTYPE_F64, WH_DTYPE_C128};

static suite_case *begin(suite *s, wh_op op, int64_t n_rows, size_t i, wh_dtype dtype) {
  return case_begin(s, n_rows, "%s %zu of %s", wh_op_get(op)->name, i, wh_dtype_name(dtype));
}

static void finish(suite_case *c, wh_op op, const wh_value *in, size_t n_in, const wh_attr *attrs,
                   size_t n_attrs) {
  (void)case_node(c, op, in, n_in, attrs, n_attrs);
  case_run(c);
}

SUITE_CASES(transpose) {
  static const struct {
    int64_t n_rows;
    int rank;
    int64_t dims[WH_MAX_RANK], perm[WH_MAX_RANK];
  } k[] = {
      {5, 2, {ROWS, 7}, {1, 0}},
      {33, 2, {ROWS, 50}, {1, 0}},
      {0, 2, {ROWS, 50}, {1, 0}},
      {3, 3, {ROWS, 4, 5}, {0, 1, 2}},
      {3, 3, {2, ROWS, 70}, {2, 1, 0}},
      {40, 4, {2, 3, ROWS, 20}, {0, 2, 3, 1}},
      {40, 4, {2, ROWS, 20, 3}, {0, 3, 1, 2}},
      {6, 4, {2, ROWS, 5, 16}, {0, 2, 1, 3}},
      {2, 8, {2, 1, ROWS, 3, 2, 1, 2, 3}, {7, 6, 5, 4, 3, 2, 1, 0}},
      {2, 5, {2, 3, ROWS, 17, 18}, {4, 0, 3, 1, 2}},
      {1, 0, {0}, {0}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(sizes); t++) {
      suite_case *c = begin(s, op, k[i].n_rows, i, sizes[t]);
      const wh_value x = case_input(c, sizes[t], k[i].rank, k[i].dims, FILL_PLAIN);
      const wh_attr perm = {.key = WH_ATTR_PERM, .n = (size_t)k[i].rank, .ints = k[i].perm};
      finish(c, op, &x, 1, &perm, 1);
    }
}

SUITE_CASES(slice) {
  static const struct {
    int64_t n_rows;
    int rank;
    int64_t dims[WH_MAX_RANK], starts[WH_MAX_RANK], steps[WH_MAX_RANK], to[WH_MAX_RANK];
  } k[] = {
      {4, 2, {ROWS, 20}, {0, 3}, {1, 1}, {ROWS, 9}},
      {4, 2, {ROWS, 20}, {0, 19}, {1, -1}, {ROWS, 20}},
      {4, 2, {ROWS, 20}, {0, 18}, {1, -4}, {ROWS, 5}},
      {2, 3, {9, ROWS, 33}, {8, 0, 1}, {-3, 1, 2}, {3, ROWS, 16}},
      {2, 3, {9, ROWS, 33}, {2, 0, 0}, {1, 1, 1}, {4, ROWS, 33}},
      {2, 3, {9, ROWS, 33}, {2, 0, 0}, {1, 1, 1}, {0, ROWS, 33}},
      {0, 2, {ROWS, 33}, {0, 5}, {1, 7}, {ROWS, 4}},
      {1, 1, {5000}, {10}, {1}, {4900}},
      {1, 1, {5}, {4}, {INT64_MIN}, {1}},
      {1, 0, {0}, {0}, {0}, {0}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(sizes); t++) {
      suite_case *c = begin(s, op, k[i].n_rows, i, sizes[t]);
      const wh_value x = case_input(c, sizes[t], k[i].rank, k[i].dims, FILL_PLAIN);
      wh_attr attrs[] = {{.key = WH_ATTR_STARTS, .n = (size_t)k[i].rank, .ints = k[i].starts},
                         {.key = WH_ATTR_STEPS, .n = (size_t)k[i].rank, .ints = k[i].steps},
                         {.key = WH_ATTR_SHAPE, .rank = k[i].rank}};
      for (int d = 0; d < k[i].rank; d++) attrs[2].dims[d] = case_dim(c, k[i].to[d]);
      finish(c, op, &x, 1, attrs, 3);
    }
}

SUITE_CASES(concat) {
  static const struct {
    int64_t n_rows;
    int rank, axis, n;
    int64_t dims[3], along[8];
  } k[] = {
      {3, 2, 0, 2, {0, 7}, {ROWS, 2}},
      {3, 2, 1, 3, {ROWS, 0}, {5, 1, 40}},
      {2, 3, 1, 4, {2, 0, 33}, {ROWS, 1, 3, 2}},
      {0, 2, 0, 3, {0, 5}, {ROWS, 3, ROWS}},
      {3, 2, 1, 8, {ROWS, 0}, {1, 2, 3, 4, 5, 6, 7, 8}},
      {1, 1, 0, 2, {0}, {3000, 2500}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(sizes); t++) {
      suite_case *c = begin(s, op, k[i].n_rows, i, sizes[t]);
      wh_value in[8];
      for (int j = 0; j < k[i].n; j++) {
        int64_t dims[3] = {k[i].dims[0], k[i].dims[1], k[i].dims[2]};
        dims[k[i].axis] = k[i].along[j];
        in[j] = case_input(c, sizes[t], k[i].rank, dims, FILL_PLAIN);
      }
      const wh_attr axis = INT(AXIS, k[i].axis);
      finish(c, op, in, (size_t)k[i].n, &axis, 1);
    }
}

SUITE_CASES(pad) {
  static const struct {
    int64_t n_rows;
    int rank;
    int64_t dims[4], pads[8];
  } k[] = {
      {3, 2, {ROWS, 5}, {1, 2, 3, 4}},
      {3, 2, {ROWS, 5}, {0, 0, 0, 3}},
      {2, 4, {2, 3, 4, 5}, {0, 0, 1, 2, 0, 0, 2, 1}},
      {2, 3, {2, ROWS, 3}, {1, 0, 9, 0, 1, 7}}, /* further than the row is long */
      {1, 2, {ROWS, 1}, {2, 3, 2, 3}},
      {1,
       1,
       {4000},
       {
           3,
       }},
      {1, 0, {0}, {0}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(sizes); t++)
      for (int mode = 0; mode < 5; mode++) {
        const bool symbolic = k[i].dims[0] == ROWS || k[i].dims[1] == ROWS;
        const bool grows = symbolic; /* a symbol may be 0, of which nothing can be repeated */
        suite_case *c = begin(s, op, k[i].n_rows, i, sizes[t]);
        int64_t dims[4];
        for (int d = 0; d < 4; d++)
          dims[d] = grows && mode && mode < 4 && k[i].dims[d] == ROWS ? k[i].n_rows : k[i].dims[d];
        wh_value in[2] = {case_input(c, sizes[t], k[i].rank, dims, FILL_PLAIN), 0};
        if (mode == 4) in[1] = case_input(c, sizes[t], 0, dims, FILL_PLAIN);
        const wh_attr attrs[] = {{.key = WH_ATTR_PADS, .n = 2 * (size_t)k[i].rank, .ints = k[i].pads},
                                 INT(MODE, mode % 4)};
        finish(c, op, in, mode == 4 ? 2 : 1, attrs, 2);
      }
}

SUITE_CASES(expand) {
  static const struct {
    int64_t n_rows;
    int from, to;
    int64_t dims[4], shape[4];
  } k[] = {
      {3, 2, 2, {ROWS, 1}, {ROWS, 40}},
      {3, 1, 3, {7}, {2, ROWS, 7}},
      {3, 4, 4, {1, ROWS, 1, 5}, {2, ROWS, 6, 5}},
      {0, 2, 2, {1, 6}, {ROWS, 6}},
      {1, 0, 1, {0}, {2000}},
      {1, 0, 0, {0}, {0}},
      {3, 3, 3, {ROWS, 11, 1}, {ROWS, 11, 2}}, /* each element a few times */
      {2, 4, 4, {ROWS, 3, 7, 1}, {ROWS, 3, 7, 3}},
      {2, 3, 3, {ROWS, 1, 1}, {ROWS, 6, 2}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(sizes); t++) {
      suite_case *c = begin(s, op, k[i].n_rows, i, sizes[t]);
      const wh_value x = case_input(c, sizes[t], k[i].from, k[i].dims, FILL_PLAIN);
      wh_attr shape = {.key = WH_ATTR_SHAPE, .rank = k[i].to};
      for (int d = 0; d < k[i].to; d++) shape.dims[d] = case_dim(c, k[i].shape[d]);
      finish(c, op, &x, 1, &shape, 1);
    }
}

SUITE_CASES(tile) {
  static const struct {
    int64_t n_rows;
    int rank;
    int64_t dims[WH_MAX_RANK], repeats[WH_MAX_RANK];
  } k[] = {
      {3, 2, {ROWS, 5}, {2, 3}}, {3, 3, {2, ROWS, 5}, {1, 4, 1}},
      {3, 2, {ROWS, 5}, {0, 3}}, {1, 8, {2, 1, 2, 1, ROWS, 2, 1, 3}, {1, 2, 2, 1, 2, 1, 3, 2}},
      {1, 0, {0}, {0}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(sizes); t++) {
      suite_case *c = begin(s, op, k[i].n_rows, i, sizes[t]);
      const wh_value x = case_input(c, sizes[t], k[i].rank, k[i].dims, FILL_PLAIN);
      const wh_attr repeats = {.key = WH_ATTR_REPEATS, .n = (size_t)k[i].rank, .ints = k[i].repeats};
      finish(c, op, &x, 1, &repeats, 1);
    }
}

SUITE_CASES(trilu) {
  static const int64_t ks[] = {0, 1, -1, 3, -4, 100, -100, INT64_MAX, INT64_MIN};
  for (size_t i = 0; i < COUNT(ks); i++)
    for (size_t t = 0; t < COUNT(sizes); t++)
      for (int upper = 0; upper < 2; upper++) {
        suite_case *c = begin(s, op, 5, i, sizes[t]);
        const wh_value x = case_input(c, sizes[t], 3, t & 1 ? D(2, ROWS, 7) : D(3, 7, ROWS), FILL_PLAIN);
        const wh_attr attrs[] = {INT(UPPER, upper), INT(K, ks[i])};
        finish(c, op, &x, 1, attrs, 2);
      }
}

SUITE_CASES(reverse_sequence) {
  static const struct {
    int rank, time, batch;
    int64_t dims[4];
  } k[] = {{2, 0, 1, {7, 5}}, {2, 1, 0, {5, 7}}, {4, 0, 1, {7, 5, 2, 3}}, {4, 3, 1, {2, 5, 3, 7}}};
  for (size_t i = 0; i < COUNT(k); i++)
    for (int variant = 0; variant < 4; variant++) { /* the last: a length outside */
      suite_case *c = begin(s, op, 1, i, sizes[variant]);
      wh_value in[2] = {case_input(c, sizes[variant], k[i].rank, k[i].dims, FILL_PLAIN)};
      in[1] = case_wide_indices(c, 1, D(5), variant == 3 ? -1 : 0, variant == 3 ? 11 : 8, variant & 1);
      if (variant == 3) c->outside = case_any_outside(c, in[1], 0, 7);
      const wh_attr attrs[] = {INT(AXIS, k[i].time), INT(BATCH_AXIS, k[i].batch)};
      finish(c, op, in, 2, attrs, 2);
    }
}
