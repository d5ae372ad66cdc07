/* test_dim.c - dims: folding, interning, ranges, limits; evaluation against plain arithmetic. */
#include "tests/ir/graph_fixture.h"

typedef struct dims_fixture {
  wh_dim_table t;
  wh_dim a, b, zero; /* 1..100, 0..7, 0..0 */
} dims_fixture;

static void setup(dims_fixture *f) {
  wh_dim_table_init(&f->t, NULL);
  assert_ok(wh_dim_symbol(&f->t, "a", 1, 100, &f->a));
  assert_ok(wh_dim_symbol(&f->t, "b", 0, 7, &f->b));
  assert_ok(wh_dim_symbol(&f->t, "zero", 0, 0, &f->zero));
}

static wh_dim constant(dims_fixture *f, int64_t value) {
  wh_dim d = UINT32_MAX;
  assert_ok(wh_dim_const(&f->t, value, &d));
  return d;
}

static wh_dim binary(dims_fixture *f, wh_dim_kind kind, wh_dim x, wh_dim y) {
  wh_dim d = UINT32_MAX;
  assert_ok(wh_dim_binary(&f->t, kind, x, y, &d));
  return d;
}

static void assert_prints(const dims_fixture *f, wh_dim d, const char *want) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, NULL);
  wh_dim_print(&f->t, d, &b);
  assert_string_equal(b.data, want);
  wh_text_buffer_deinit(&b);
}

static void constants_fold(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim seven = constant(&f, 7), two = constant(&f, 2);
  assert_int_equal(binary(&f, WH_DIM_ADD, seven, two), constant(&f, 9));
  assert_int_equal(binary(&f, WH_DIM_MUL, seven, two), constant(&f, 14));
  assert_int_equal(binary(&f, WH_DIM_FLOORDIV, seven, two), constant(&f, 3));
  assert_int_equal(binary(&f, WH_DIM_MIN, seven, two), two);
  assert_int_equal(binary(&f, WH_DIM_MAX, seven, two), seven);
  wh_dim_table_deinit(&f.t);
}

static void neutral_operands_vanish(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim zero = constant(&f, 0), one = constant(&f, 1), hundred = constant(&f, 100), eight = constant(&f, 8);
  assert_int_equal(binary(&f, WH_DIM_ADD, f.a, zero), f.a);
  assert_int_equal(binary(&f, WH_DIM_ADD, f.zero, f.a), f.a);
  assert_int_equal(binary(&f, WH_DIM_MUL, one, f.a), f.a);
  assert_int_equal(binary(&f, WH_DIM_MUL, f.a, one), f.a);
  assert_int_equal(binary(&f, WH_DIM_MUL, f.a, zero), zero);
  assert_int_equal(binary(&f, WH_DIM_MUL, f.zero, f.a), zero);
  assert_int_equal(binary(&f, WH_DIM_FLOORDIV, f.a, one), f.a);
  assert_int_equal(binary(&f, WH_DIM_FLOORDIV, f.zero, hundred), zero);
  assert_int_equal(binary(&f, WH_DIM_MIN, f.a, hundred), f.a);
  assert_int_equal(binary(&f, WH_DIM_MAX, f.a, hundred), hundred);
  assert_int_equal(binary(&f, WH_DIM_MAX, f.a, one), f.a);
  assert_int_equal(binary(&f, WH_DIM_MIN, f.b, eight), f.b);
  assert_int_equal(binary(&f, WH_DIM_MIN, f.a, f.a), f.a);
  assert_int_equal(binary(&f, WH_DIM_MAX, f.a, f.a), f.a);
  wh_dim_table_deinit(&f.t);
}

static void equal_expressions_are_one_dim(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  static const wh_dim_kind commutative[] = {WH_DIM_ADD, WH_DIM_MUL, WH_DIM_MIN, WH_DIM_MAX};
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(binary(&f, commutative[i], f.a, f.b), binary(&f, commutative[i], f.b, f.a));
  wh_dim three = constant(&f, 3);
  assert_int_not_equal(binary(&f, WH_DIM_ADD, f.a, three), binary(&f, WH_DIM_MUL, f.a, three));
  size_t n = f.t.n;
  (void)binary(&f, WH_DIM_MAX, f.b, f.a);
  (void)constant(&f, 3);
  assert_int_equal(f.t.n, n);
  wh_dim same;
  assert_ok(wh_dim_symbol(&f.t, "a", 1, 100, &same));
  assert_int_equal(same, f.a);
  wh_dim_table_deinit(&f.t);
}

/* The text must not depend on whether the constant or the symbol was made first. */
static void operand_order_ignores_history(void **state) {
  (void)state;
  for (int constant_first = 0; constant_first < 2; constant_first++) {
    dims_fixture f;
    wh_dim_table_init(&f.t, NULL);
    wh_dim three, sum;
    if (constant_first) three = constant(&f, 3);
    assert_ok(wh_dim_symbol(&f.t, "a", 1, 100, &f.a));
    assert_ok(wh_dim_symbol(&f.t, "b", 0, 7, &f.b));
    three = constant(&f, 3);
    sum = constant_first ? binary(&f, WH_DIM_ADD, f.b, f.a) : binary(&f, WH_DIM_ADD, f.a, f.b);
    assert_prints(&f, binary(&f, WH_DIM_MUL, three, sum), "((a + b) * 3)");
    assert_prints(&f, binary(&f, WH_DIM_MIN, sum, f.a), "(a min (a + b))");
    assert_prints(&f, binary(&f, WH_DIM_FLOORDIV, sum, three), "((a + b) / 3)");
    wh_dim_table_deinit(&f.t);
  }
}

static void limits_are_errors(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim d = 12345, big = constant(&f, WH_DIM_LIMIT), one = constant(&f, 1);
  assert_int_equal(wh_dim_const(&f.t, -1, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_const(&f.t, WH_DIM_LIMIT + 1, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_ADD, big, one, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_MUL, big, big, &d), WH_ERR_LIMIT); /* 2^80: past int64 */
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_MUL, f.a, big, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_ADD, f.a, big, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_FLOORDIV, f.a, constant(&f, 0), &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_FLOORDIV, big, f.a, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_CONST, f.a, f.b, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_symbol(&f.t, "a", 1, 99, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_symbol(&f.t, "c", -1, 9, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_symbol(&f.t, "c", 5, 4, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_symbol(&f.t, "c", 0, WH_DIM_LIMIT + 1, &d), WH_ERR_LIMIT);
  static const char *const bad[] = {
      "", "A", "1a", "a b", "a-b", "\xc3\xa9", "abcdefghijklmnopqrstuvwxyz_0123456789"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(wh_dim_symbol(&f.t, bad[i], 1, 2, &d), WH_ERR_INVALID_ARGUMENT);
  for (int i = 3; i < WH_MAX_SYMBOLS; i++) {
    char name[3] = {'s', (char)('a' + i), '\0'};
    wh_dim more;
    assert_ok(wh_dim_symbol(&f.t, name, 1, 2, &more));
  }
  assert_int_equal(wh_dim_symbol(&f.t, "onemore", 1, 2, &d), WH_ERR_LIMIT);
  assert_int_equal(d, 12345); /* untouched by every failure */
  wh_dim_table_deinit(&f.t);
}

/* x min (x min ...) would print as 2^n terms. */
static void expressions_stay_small(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim d = f.a;
  wh_status st = WH_OK;
  for (int i = 0; i < 100 && st == WH_OK; i++) {
    wh_dim other;
    assert_ok(wh_dim_binary(&f.t, WH_DIM_ADD, f.b, d, &other));
    st = wh_dim_binary(&f.t, WH_DIM_MAX, d, other, &d);
  }
  assert_int_equal(st, WH_ERR_LIMIT);
  assert_true(wh_dim_get(&f.t, d)->n_terms <= WH_DIM_MAX_TERMS);
  wh_dim_table_deinit(&f.t);
}

/* Random expressions: value against the formula, inside the stated range, never smaller for larger symbols.
 */
static void values_match_plain_arithmetic(void **state) {
  (void)state;
  test_rng rng = {20240607};
  for (int round = 0; round < 200; round++) {
    dims_fixture f;
    setup(&f);
    const int64_t symbols[2][3] = {{1 + rng_below(&rng, 50), rng_below(&rng, 4), 0},
                                   {51 + rng_below(&rng, 50), 4 + rng_below(&rng, 4), 0}};
    wh_dim dims[24] = {f.a, f.b, constant(&f, 3), constant(&f, 0)};
    int64_t values[2][24] = {{symbols[0][0], symbols[0][1], 3, 0}, {symbols[1][0], symbols[1][1], 3, 0}};
    for (int n = 4; n < 24; n++) {
      wh_dim_kind kind = (wh_dim_kind)(WH_DIM_ADD + (int)rng_below(&rng, 5));
      uint32_t x = rng_below(&rng, (uint32_t)n),
               y = kind == WH_DIM_FLOORDIV ? 2 : rng_below(&rng, (uint32_t)n);
      if (wh_dim_binary(&f.t, kind, dims[x], dims[y], &dims[n]) != WH_OK) {
        assert_int_equal(wh_last_error()->status, WH_ERR_LIMIT);
        n--;
        if (rng_below(&rng, 8) == 0) break; /* most are at the limit */
        continue;
      }
      for (int s = 0; s < 2; s++) {
        int64_t p = values[s][x], q = values[s][y];
        values[s][n] = kind == WH_DIM_ADD   ? p + q
                       : kind == WH_DIM_MUL ? p * q
                       : kind == WH_DIM_MIN ? (p < q ? p : q)
                       : kind == WH_DIM_MAX ? (p > q ? p : q)
                                            : p / q;
        assert_int_equal(wh_dim_eval(&f.t, dims[n], symbols[s]), values[s][n]);
        assert_in_range(values[s][n], wh_dim_get(&f.t, dims[n])->min, wh_dim_get(&f.t, dims[n])->max);
      }
      assert_true(values[0][n] <= values[1][n]);
    }
    wh_dim_table_deinit(&f.t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(constants_fold),
      cmocka_unit_test(neutral_operands_vanish),
      cmocka_unit_test(equal_expressions_are_one_dim),
      cmocka_unit_test(operand_order_ignores_history),
      cmocka_unit_test(limits_are_errors),
      cmocka_unit_test(expressions_stay_small),
      cmocka_unit_test(values_match_plain_arithmetic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
