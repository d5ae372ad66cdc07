/* cases_map.c - shapes and types for elementwise ops whose operands broadcast, and for casts. */
#include "tests/backend/suite.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define D(...) ((const int64_t[]){__VA_ARGS__})

static const wh_dtype numbers[] = {WH_DTYPE_F32, WH_DTYPE_F64, WH_DTYPE_I8,  WH_DTYPE_I16, WH_DTYPE_I32,
                                   WH_DTYPE_I64, WH_DTYPE_U8,  WH_DTYPE_U16, WH_DTYPE_U32, WH_DTYPE_U64};
#define N_FLOATS 2 /* of them, the first */

typedef struct two_shapes {
  int64_t n_rows;
  int rank[2];
  int64_t dims[2][WH_MAX_RANK];
} two_shapes;

/* The second repeats, the first does, both do; no elements; runs longer than a piece of work. */
static const two_shapes pairs[] = {
    {3, {2, 2}, {{ROWS, 65}, {ROWS, 65}}},
    {3, {2, 1}, {{ROWS, 33}, {33}}},
    {3, {1, 2}, {{33}, {ROWS, 33}}},
    {5, {2, 2}, {{ROWS, 1}, {1, 7}}},
    {2, {3, 3}, {{1, ROWS, 40}, {3, 1, 40}}},
    {2, {4, 2}, {{2, 3, 1, ROWS}, {4, 1}}},
    {2, {8, 4}, {{2, 1, 3, 1, ROWS, 1, 2, 5}, {1, 3, 1, 5}}},
    {0, {2, 2}, {{ROWS, 5}, {1, 5}}},
    {1, {0, 0}, {{0}, {0}}},
    {1, {0, 1}, {{0}, {1}}},
    {1, {1, 0}, {{3000}, {0}}},
    {1, {0, 1}, {{0}, {2100}}},
    {2, {2, 2}, {{ROWS, 2500}, {1, 2500}}},
};

/* Integers as small as second operands of some ops have to be, some of them negative. */
static void make_small(suite_case *c, wh_value v, int64_t below) {
  const wh_dtype dtype = c->g->values[v].shape.dtype;
  const size_t size = wh_dtype_get(dtype)->block_bytes, n = c->n_bytes[v] / size;
  for (size_t i = 0; i < n && !wh_dtype_is_float(dtype); i++) {
    int64_t x = suite_random(c->s, (uint32_t)below);
    if (wh_dtype_is(dtype, WH_CLASS_SIGNED) && suite_random(c->s, 8) == 0) x = -x;
    memcpy((char *)c->data[v] + i * size, &x, size); /* little-endian */
  }
}

/* Operands with zeros, ones, equal elements, infinities and NaN. */
static void make_special(suite_case *c, wh_value v) {
  static const double specials[] = {0.0,         -0.0, 1.0, -1.0, (double)INFINITY, -(double)INFINITY,
                                    (double)NAN, 2.0};
  const wh_dtype dtype = c->g->values[v].shape.dtype;
  const size_t size = wh_dtype_get(dtype)->block_bytes, n = c->n_bytes[v] / size;
  for (size_t i = suite_random(c->s, 3); i < n; i += 3) {
    const double x = specials[suite_random(c->s, COUNT(specials))];
    const float narrow = (float)x;
    const int64_t whole = isfinite(x) ? (int64_t)x : 0;
    memcpy((char *)c->data[v] + i * size,
           dtype == WH_DTYPE_F32   ? (const void *)&narrow
           : dtype == WH_DTYPE_F64 ? (const void *)&x
                                   : (const void *)&whole,
           size);
  }
}

static void map2_case(suite *s, wh_op op, size_t shape, wh_dtype dtype, wh_dtype second, int variant) {
  const two_shapes *k = &pairs[shape];
  suite_case *c = case_begin(s, k->n_rows, "%s shapes %zu, %s and %s", wh_op_get(op)->name, shape,
                             wh_dtype_name(dtype), wh_dtype_name(second));
  wh_value in[2] = {case_input(c, dtype, k->rank[0], k->dims[0], FILL_WILD),
                    case_input(c, second, k->rank[1], k->dims[1], FILL_WILD)};
  if (op == WH_OP_SHIFT_LEFT || op == WH_OP_SHIFT_RIGHT) make_small(c, in[1], 70);
  if (op == WH_OP_POW) make_small(c, in[1], 9);
  if (variant) {
    make_special(c, in[0]);
    make_special(c, in[1]);
  }
  const wh_attr fmod = {.key = WH_ATTR_FMOD, .i = variant};
  (void)case_node(c, op, in, 2, &fmod, op == WH_OP_MOD);
  case_run(c);
}

static void map2_cases(suite *s, wh_op op, const wh_dtype *types, size_t n_types) {
  for (size_t i = 0; i < COUNT(pairs); i++)
    for (size_t t = 0; t < n_types; t++) /* every shape of the first type, else a few */
      if (t == 0 || (i + t) % 4 == 0 || i < 2) map2_case(s, op, i, types[t], types[t], (int)((i + t) & 1));
}

SUITE_CASES(binary) { map2_cases(s, op, numbers, COUNT(numbers)); }
SUITE_CASES(bits) { map2_cases(s, op, numbers + N_FLOATS, COUNT(numbers) - N_FLOATS); }
SUITE_CASES(logic) { map2_cases(s, op, (const wh_dtype[]){WH_DTYPE_BOOL}, 1); }
SUITE_CASES(compare) {
  map2_cases(s, op, numbers, COUNT(numbers));
  if (op == WH_OP_EQUAL) map2_cases(s, op, (const wh_dtype[]){WH_DTYPE_BOOL}, 1);
}
SUITE_CASES(pow) {
  for (size_t a = 0; a < COUNT(numbers); a++)
    for (size_t b = 0; b < COUNT(numbers); b++)
      map2_case(s, op, (a + b) % 7, numbers[a], numbers[b], (int)(a + b) % 2);
}

static void map1_cases(suite *s, wh_op op, const wh_dtype *types, size_t n_types) {
  static const int64_t sizes[] = {0, 1, 7, 1000, 4099};
  for (size_t t = 0; t < n_types; t++)
    for (size_t i = 0; i < COUNT(sizes); i++)
      for (int mode = 1; mode <= (op == WH_OP_IS_INF ? 3 : 1); mode++) {
        suite_case *c = case_begin(s, sizes[i], "%s of %lld, %s", wh_op_get(op)->name, (long long)sizes[i],
                                   wh_dtype_name(types[t]));
        const wh_value x = case_input(c, types[t], 2, D(1, ROWS), i & 1 ? FILL_PLAIN : FILL_WILD);
        if (types[t] != WH_DTYPE_BOOL && i > 2) make_special(c, x);
        const wh_attr attr = {.key = WH_ATTR_MODE, .i = mode};
        (void)case_node(c, op, &x, 1, &attr, op == WH_OP_IS_INF);
        case_run(c);
      }
}

SUITE_CASES(unary_float) {
  cases_unary(s, op);
  map1_cases(s, op, numbers, N_FLOATS);
}
SUITE_CASES(unary_number) {
  cases_unary(s, op);
  map1_cases(s, op, numbers, COUNT(numbers));
}
SUITE_CASES(truncate_bf16) { map1_cases(s, op, numbers, 1); }
SUITE_CASES(unary_bits) { map1_cases(s, op, numbers + N_FLOATS, COUNT(numbers) - N_FLOATS); }
SUITE_CASES(unary_logic) { map1_cases(s, op, (const wh_dtype[]){WH_DTYPE_BOOL}, 1); }
SUITE_CASES(classify) { map1_cases(s, op, numbers, N_FLOATS); }

/* Elements of one byte to sixteen; conditions, choices and both that repeat. */
SUITE_CASES(where) {
  static const wh_dtype types[] = {WH_DTYPE_F32, WH_DTYPE_U8,   WH_DTYPE_F16,
                                   WH_DTYPE_I64, WH_DTYPE_C128, WH_DTYPE_BOOL};
  static const struct {
    int64_t n_rows;
    int rank[3];
    int64_t dims[3][4];
  } shapes[] = {
      {3, {2, 2, 2}, {{ROWS, 65}, {ROWS, 65}, {ROWS, 65}}},
      {3, {2, 0, 2}, {{ROWS, 1}, {0}, {1, 65}}},
      {4, {1, 3, 2}, {{9}, {2, ROWS, 1}, {1, 9}}},
      {1, {0, 1, 1}, {{0}, {1500}, {1500}}},
      {0, {2, 1, 0}, {{ROWS, 3}, {3}, {0}}},
  };
  for (size_t i = 0; i < COUNT(shapes); i++)
    for (size_t t = 0; t < COUNT(types); t++) {
      suite_case *c = case_begin(s, shapes[i].n_rows, "where shapes %zu of %s", i, wh_dtype_name(types[t]));
      wh_value in[3];
      for (int k = 0; k < 3; k++)
        in[k] = case_input(c, k ? types[t] : WH_DTYPE_BOOL, shapes[i].rank[k], shapes[i].dims[k], FILL_PLAIN);
      (void)case_node(c, op, in, 3, NULL, 0);
      case_run(c);
    }
}

/* From every type to every type. */
SUITE_CASES(cast) {
  static const wh_dtype types[] = {WH_DTYPE_F32,        WH_DTYPE_F64,        WH_DTYPE_F16, WH_DTYPE_BF16,
                                   WH_DTYPE_F8E4M3FN,   WH_DTYPE_F8E4M3FNUZ, WH_DTYPE_I8,  WH_DTYPE_F8E5M2,
                                   WH_DTYPE_F8E5M2FNUZ, WH_DTYPE_I16,        WH_DTYPE_I32, WH_DTYPE_I64,
                                   WH_DTYPE_U8,         WH_DTYPE_U16,        WH_DTYPE_U32, WH_DTYPE_U64,
                                   WH_DTYPE_I4,         WH_DTYPE_U4,         WH_DTYPE_I2,  WH_DTYPE_U2,
                                   WH_DTYPE_F4E2M1,     WH_DTYPE_F8E8M0,     WH_DTYPE_BOOL};
  for (size_t a = 0; a < COUNT(types); a++)
    for (size_t b = 0; b < COUNT(types); b++)
      for (int saturate = 0; saturate < 2; saturate++) {
        suite_case *c = case_begin(s, 5, "cast %s to %s", wh_dtype_name(types[a]), wh_dtype_name(types[b]));
        const wh_value x = case_input(c, types[a], 3, D(3, ROWS, 31), FILL_WILD);
        if (a < 2) make_special(c, x);
        const int per_byte = wh_dtype_get(types[a])->block_elems; /* 31 to a row: its padding is zero */
        const size_t row = per_byte > 1 ? 32 / (size_t)per_byte : 0;
        for (size_t i = row; row && i <= c->n_bytes[x]; i += row)
          ((uint8_t *)c->data[x])[i - 1] &= per_byte == 2 ? 15 : 63;
        if (wh_dtype_get(types[a])->block_bytes == 8 && !wh_dtype_is_float(types[a]) && saturate)
          for (size_t i = 0; i < c->n_bytes[x] / 8; i++) { /* near ties of what has fewer bits */
            const uint64_t k =
                ((uint64_t)1 << 62) + ((uint64_t)(suite_random(s, 512)) << 53) + suite_random(s, 3) - 1;
            memcpy((char *)c->data[x] + i * 8, &k, 8);
          }
        const wh_attr attrs[] = {{.key = WH_ATTR_TO, .i = types[b]},
                                 {.key = WH_ATTR_SATURATE, .i = saturate}};
        (void)case_node(c, op, &x, 1, attrs, 2);
        case_run(c);
      }
}
