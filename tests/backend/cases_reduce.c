/* cases_reduce.c - shapes and attributes for reductions and ops along one axis. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define INT(attr, value) \
  { .key = WH_ATTR_##attr, .i = (value) }

static const wh_dtype numbers[] = {WH_DTYPE_F32, WH_DTYPE_F64, WH_DTYPE_I8,  WH_DTYPE_I16, WH_DTYPE_I32,
                                   WH_DTYPE_I64, WH_DTYPE_U8,  WH_DTYPE_U16, WH_DTYPE_U32, WH_DTYPE_U64};

/* NaN, infinities and zeros of both signs, here and there. */
static void make_special(suite_case *c, wh_value v) {
  static const double specials[] = {0.0, -0.0, (double)INFINITY, -(double)INFINITY, (double)NAN, 1.0};
  const wh_dtype dtype = c->g->values[v].shape.dtype;
  const size_t size = wh_dtype_get(dtype)->block_bytes, n = c->n_bytes[v] / size;
  for (size_t i = suite_random(c->s, 5); i < n && wh_dtype_is_float(dtype); i += 1 + suite_random(c->s, 9)) {
    const double x = specials[suite_random(c->s, COUNT(specials))];
    const float narrow = (float)x;
    memcpy((char *)c->data[v] + i * size, dtype == WH_DTYPE_F32 ? (const void *)&narrow : (const void *)&x,
           size);
  }
}

/* Few different values, so that there are equal ones. */
static void make_equal(suite_case *c, wh_value v) {
  const size_t size = wh_dtype_get(c->g->values[v].shape.dtype)->block_bytes, n = c->n_bytes[v] / size;
  for (size_t i = 4; i < n; i++)
    memcpy((char *)c->data[v] + i * size, (char *)c->data[v] + suite_random(c->s, 4) * size, size);
}

SUITE_CASES(reduce) {
  static const struct {
    int64_t n_rows;
    int rank;
    int64_t dims[WH_MAX_RANK];
    size_t n_axes;
    int64_t axes[WH_MAX_RANK];
  } k[] = {
      {3, 2, {ROWS, 200}, 1, {1}},
      {5, 2, {ROWS, 7}, 1, {0}},
      {150, 2, {ROWS, 70}, 1, {0}},
      {3, 3, {ROWS, 5, 33}, 2, {0, 2}},
      {3, 3, {ROWS, 13, 10}, 2, {2, 1}},
      {2, 4, {3, ROWS, 4, 5}, 2, {1, 3}},
      {2, 4, {3, ROWS, 9, 40}, 2, {0, 2}},
      {2, 8, {2, 1, 3, 1, ROWS, 1, 2, 5}, 4, {0, 2, 4, 6}},
      {3, 2, {ROWS, 5}, 0, {0}},
      {3, 3, {ROWS, 1, 5}, 1, {1}},
      {0, 2, {ROWS, 5}, 1, {0}}, /* of nothing */
      {0, 2, {ROWS, 5}, 1, {1}},
      {3, 2, {ROWS, 0}, 1, {1}},
      {1, 0, {0}, 0, {0}},
      {3, 1, {1000}, 1, {0}},
  };
  for (size_t i = 0; i < COUNT(k); i++)
    for (size_t t = 0; t < COUNT(numbers); t++)
      for (int keep = 0; keep < 2; keep++) {
        if (t > 1 && (i + t + (size_t)keep) % 3) continue;
        suite_case *c =
            case_begin(s, k[i].n_rows, "%s %zu of %s", wh_op_get(op)->name, i, wh_dtype_name(numbers[t]));
        const wh_value x = case_input(c, numbers[t], k[i].rank, k[i].dims, keep ? FILL_PLAIN : FILL_WILD);
        if (!keep && i & 1) make_special(c, x);
        const wh_attr attrs[] = {{.key = WH_ATTR_AXES, .n = k[i].n_axes, .ints = k[i].axes}, INT(KEEP, keep)};
        (void)case_node(c, op, &x, 1, attrs, 2);
        case_run(c);
      }
}

typedef struct axis_case {
  int64_t n_rows;
  int rank, axis;
  int64_t dims[4];
  int64_t k; /* of topk */
} axis_case;

static const axis_case lines[] = {
    {3, 2, 1, {ROWS, 50}, 5},      {3, 2, 1, {ROWS, 50}, 50}, {3, 2, 0, {40, ROWS}, 7},
    {2, 3, 1, {2, 9, ROWS}, 3},    {0, 2, 1, {ROWS, 5}, 2},   {1, 1, 0, {300}, 1},
    {2, 2, 1, {ROWS, 1}, 1},       {2, 2, 1, {ROWS, 6}, 0},   {2, 2, 1, {ROWS, 1500}, 40},
    {1, 2, 1, {ROWS, 1100}, 1024},
};

static void axis_cases(suite *s, wh_op op) {
  for (size_t i = 0; i < COUNT(lines); i++)
    for (size_t t = 0; t < COUNT(numbers); t++)
      for (int flags = 0; flags < 8; flags++) {
        if (t > 1 && (i + t + (size_t)flags) % 4) continue;
        const axis_case *k = &lines[i];
        suite_case *c = case_begin(s, k->n_rows, "%s %zu of %s, flags %d", wh_op_get(op)->name, i,
                                   wh_dtype_name(numbers[t]), flags);
        const wh_value x = case_input(c, numbers[t], k->rank, k->dims, FILL_WILD);
        const bool distinct = k->dims[1] > 1000 && !(flags & 2);
        if (op != WH_OP_CUMSUM && c->n_bytes[x] > 64 && !distinct) make_equal(c, x);
        if (flags & 4) make_special(c, x);
        const wh_attr all[] = {
            INT(AXIS, k->axis),      INT(KEEP, flags & 1),      INT(LAST, flags >> 1 & 1),   INT(K, k->k),
            INT(LARGEST, flags & 1), INT(EXCLUSIVE, flags & 1), INT(REVERSE, flags >> 1 & 1)};
        wh_attr attrs[COUNT(all)];
        size_t n = 0;
        for (size_t a = 0; a < COUNT(all); a++)
          if (wh_op_get(op)->attrs & (uint64_t)1 << all[a].key) attrs[n++] = all[a];
        (void)case_node(c, op, &x, 1, attrs, n);
        case_run(c);
      }
}

SUITE_CASES(arg) { axis_cases(s, op); }
SUITE_CASES(topk) {
  axis_cases(s, op);
  for (int equal = 0; equal < 2; equal++) { /* GPUs cut lines of f32 into pieces; ties lie in both */
    suite_case *c = case_begin(s, 2, "topk of long lines, %s", equal ? "ties" : "no ties");
    const wh_value x = case_input(c, WH_DTYPE_F32, 2, (const int64_t[]){ROWS, 4500}, FILL_WILD);
    if (equal) make_equal(c, x);
    const wh_attr attrs[] = {INT(AXIS, 1), INT(K, equal ? 300 : 1024), INT(LARGEST, equal)};
    (void)case_node(c, op, &x, 1, attrs, COUNT(attrs));
    case_run(c);
  }
}
SUITE_CASES(cumsum) { axis_cases(s, op); }
