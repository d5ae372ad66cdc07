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
  static const wh_dim_kind divisions[] = {WH_DIM_FLOORDIV, WH_DIM_CEILDIV, WH_DIM_MOD};
  for (size_t i = 0; i < 3; i++) /* b is 0..7 */
    assert_int_equal(wh_dim_binary(&f.t, divisions[i], f.a, f.b, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_KIND_COUNT, f.a, f.b, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_CONST, f.a, f.b, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_symbol(&f.t, "a", 1, 99, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_symbol(&f.t, "c", -1, 9, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_symbol(&f.t, "c", 5, 4, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_symbol(&f.t, "c", 0, WH_DIM_LIMIT + 1, &d), WH_ERR_LIMIT);
  char longest[WH_SYMBOL_NAME_BYTES + 1] = {0};
  memset(longest, 'n', WH_SYMBOL_NAME_BYTES);
  assert_int_equal(wh_dim_symbol(&f.t, longest, 1, 2, &d), WH_ERR_LIMIT);
  assert_int_equal(wh_dim_symbol(&f.t, "", 1, 2, &d), WH_ERR_INVALID_ARGUMENT);
  for (unsigned i = 3; i < WH_MAX_SYMBOLS; i++) {
    char name[16];
    wh_dim more;
    (void)snprintf(name, sizeof name, "Dim #%u", i);
    assert_ok(wh_dim_symbol(&f.t, name, 1, 2, &more));
    assert_int_equal(wh_dim_find_symbol(&f.t, name), i);
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

/* The output size of a convolution, a pooling with ceil_mode, a slice: what exporters write. */
static void differences_need_a_proof(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim d = 12345, three = constant(&f, 3), seven = constant(&f, 7), two = constant(&f, 2),
         one = constant(&f, 1);
  wh_dim padded = binary(&f, WH_DIM_ADD, f.a, constant(&f, 6));
  wh_dim convolved =
      binary(&f, WH_DIM_ADD, binary(&f, WH_DIM_FLOORDIV, binary(&f, WH_DIM_SUB, padded, seven), two), one);
  assert_prints(&f, convolved, "(((a - 1) / 2) + 1)");
  assert_int_equal(wh_dim_get(&f.t, convolved)->min, 1);
  assert_int_equal(wh_dim_get(&f.t, convolved)->max, 50);
  assert_prints(&f, binary(&f, WH_DIM_CEILDIV, binary(&f, WH_DIM_SUB, padded, three), two),
                "((a + 3) ceildiv 2)");

  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_SUB, f.a, two, &d), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("the dimension (a - 2) can be negative: as low as -1");
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_SUB, f.a, f.b, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_SUB, three, seven, &d), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(d, 12345);

  assert_int_equal(binary(&f, WH_DIM_SUB, f.a, f.a), constant(&f, 0));
  assert_int_equal(binary(&f, WH_DIM_SUB, f.a, f.zero), f.a);
  assert_int_equal(binary(&f, WH_DIM_SUB, seven, three), constant(&f, 4));
  assert_int_equal(binary(&f, WH_DIM_SUB, binary(&f, WH_DIM_ADD, f.a, f.b), f.b), f.a);
  assert_int_equal(binary(&f, WH_DIM_SUB, binary(&f, WH_DIM_ADD, f.a, f.b), f.a), f.b);
  wh_dim less = binary(&f, WH_DIM_SUB, f.a, one);
  assert_int_equal(binary(&f, WH_DIM_ADD, less, one), f.a);
  assert_int_equal(binary(&f, WH_DIM_ADD, less, three), binary(&f, WH_DIM_ADD, f.a, two));
  assert_int_equal(binary(&f, WH_DIM_ADD, binary(&f, WH_DIM_ADD, f.a, one), two),
                   binary(&f, WH_DIM_ADD, f.a, three));
  assert_int_equal(wh_dim_binary(&f.t, WH_DIM_SUB, less, one, &d), WH_ERR_INVALID_ARGUMENT); /* a - 2 */

  /* no interval proves these, their form does: a difference that stops at 0 */
  wh_dim rest = binary(&f, WH_DIM_SUB, f.a, binary(&f, WH_DIM_MIN, f.b, f.a));
  wh_dim excess = binary(&f, WH_DIM_SUB, binary(&f, WH_DIM_MAX, f.b, f.a), f.b);
  assert_int_equal(wh_dim_get(&f.t, rest)->min, 0);
  assert_int_equal(wh_dim_get(&f.t, rest)->max, 100);
  assert_int_equal(wh_dim_get(&f.t, excess)->min, 0);
  const int64_t symbols[] = {3, 5, 0};
  assert_int_equal(wh_dim_eval(&f.t, rest, symbols), 0);
  assert_int_equal(wh_dim_eval(&f.t, excess, symbols), 0);
  wh_dim_table_deinit(&f.t);
}

/* An image whose side is a multiple of 32 is halved by windows five times and doubled again. */
static void multiples_meet_again(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  const wh_dim one = constant(&f, 1), two = constant(&f, 2), three = constant(&f, 3), four = constant(&f, 4);
  wh_dim side = binary(&f, WH_DIM_MUL, f.a, constant(&f, 32)), sides[6] = {side};
  for (int i = 0; i < 5; i++) { /* 3 taps, a stride of 2, padding of 1 on both sides */
    side = binary(&f, WH_DIM_SUB, binary(&f, WH_DIM_ADD, side, two), three);
    sides[i + 1] = side = binary(&f, WH_DIM_ADD, binary(&f, WH_DIM_FLOORDIV, side, two), one);
  }
  assert_int_equal(side, f.a);
  for (int i = 4; i >= 0; i--) {
    side = binary(&f, WH_DIM_MUL, side, two);
    assert_int_equal(side, sides[i]);
  }
  static const wh_dim_kind kinds[] = {WH_DIM_FLOORDIV, WH_DIM_CEILDIV, WH_DIM_MOD};
  for (int64_t offset = -7; offset <= 7; offset++) /* 8 a + offset, by 4 */
    for (size_t i = 0; i < 3; i++) {
      const wh_dim eight = binary(&f, WH_DIM_MUL, f.a, constant(&f, 8)),
                   moved = binary(&f, offset < 0 ? WH_DIM_SUB : WH_DIM_ADD, eight,
                                  constant(&f, offset < 0 ? -offset : offset)),
                   d = binary(&f, kinds[i], moved, four);
      for (int64_t a = 1; a <= 100; a++) {
        const int64_t v = 8 * a + offset, symbols[] = {a, 0, 0},
                      want = i == 0   ? v / 4
                             : i == 1 ? (v + 3) / 4
                                      : v % 4;
        assert_int_equal(wh_dim_eval(&f.t, d, symbols), want);
      }
    }
  assert_int_equal(binary(&f, WH_DIM_SUB, f.a, binary(&f, WH_DIM_SUB, f.a, one)), one);
  wh_dim_table_deinit(&f.t);
}

static void divisions_round_as_they_say(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim seven = constant(&f, 7), two = constant(&f, 2), one = constant(&f, 1), eight = constant(&f, 8);
  assert_int_equal(binary(&f, WH_DIM_CEILDIV, seven, two), constant(&f, 4));
  assert_int_equal(binary(&f, WH_DIM_CEILDIV, eight, two), constant(&f, 4));
  assert_int_equal(binary(&f, WH_DIM_MOD, seven, two), one);
  assert_int_equal(binary(&f, WH_DIM_MOD, eight, two), constant(&f, 0));
  assert_int_equal(binary(&f, WH_DIM_CEILDIV, f.a, one), f.a);
  assert_int_equal(binary(&f, WH_DIM_MOD, f.a, one), constant(&f, 0));
  assert_int_equal(binary(&f, WH_DIM_MOD, f.a, f.a), constant(&f, 0));
  assert_int_equal(binary(&f, WH_DIM_MOD, f.b, eight), f.b); /* already smaller */
  assert_int_equal(binary(&f, WH_DIM_FLOORDIV, f.a, f.a), one);
  wh_dim by_a = binary(&f, WH_DIM_FLOORDIV, eight, f.a); /* a is at least 1 */
  assert_int_equal(wh_dim_get(&f.t, by_a)->min, 0);
  assert_int_equal(wh_dim_get(&f.t, by_a)->max, 8);
  wh_dim mod = binary(&f, WH_DIM_MOD, f.a, eight);
  assert_int_equal(wh_dim_get(&f.t, mod)->max, 7);
  wh_dim_table_deinit(&f.t);
}

/* Values at the largest symbols are not the largest values: what wh_dim_max_all is for. */
static void the_largest_value_is_the_intervals(void **state) {
  (void)state;
  dims_fixture f;
  setup(&f);
  wh_dim left = binary(&f, WH_DIM_SUB, constant(&f, 100), f.a),
         mod = binary(&f, WH_DIM_MOD, f.a, constant(&f, 8));
  int64_t *at = malloc(f.t.n * sizeof *at), *most = malloc(f.t.n * sizeof *most);
  assert_true(at && most);
  const int64_t symbols_max[] = {64, 7, 0};
  assert_ok(wh_dim_eval_all(&f.t, symbols_max, at));
  assert_ok(wh_dim_max_all(&f.t, symbols_max, most));
  assert_int_equal(at[left], 36);
  assert_int_equal(most[left], 99);
  assert_int_equal(at[mod], 0);
  assert_int_equal(most[mod], 7);
  assert_int_equal(most[f.a], 64);
  static const struct {
    int64_t symbols[3];
    const char *error;
  } bad[] = {{{101, 0, 0}, "dimension 'a' is 101: must be 1 to 100"},
             {{0, 0, 0}, "dimension 'a' is 0: must be 1 to 100"},
             {{1, -1, 0}, "dimension 'b' is -1: must be 0 to 7"},
             {{1, INT64_MAX, 0}, "dimension 'b' is 9223372036854775807"},
             {{1, 0, 1}, "dimension 'zero' is 1: must be 0 to 0"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(wh_dim_eval_all(&f.t, bad[i].symbols, at), WH_ERR_INVALID_ARGUMENT);
    assert_error_says(bad[i].error);
    assert_int_equal(wh_dim_max_all(&f.t, bad[i].symbols, at), WH_ERR_INVALID_ARGUMENT);
  }
  free(at);
  free(most);
  wh_dim_table_deinit(&f.t);
}

static int64_t plain(wh_dim_kind kind, int64_t p, int64_t q) {
  switch ((int)kind) {
    case WH_DIM_ADD:
      return p + q;
    case WH_DIM_SUB:
      return p - q;
    case WH_DIM_MUL:
      return p * q;
    case WH_DIM_FLOORDIV:
      return p / q;
    case WH_DIM_CEILDIV:
      return (p + q - 1) / q;
    case WH_DIM_MOD:
      return p % q;
    case WH_DIM_MIN:
      return p < q ? p : q;
    default:
      return p > q ? p : q;
  }
}

/* Random expressions of every kind: value against the formula, inside the interval, at most what
 * wh_dim_max_all says for narrower symbols. */
static void values_match_plain_arithmetic(void **state) {
  (void)state;
  enum { N = 32, POINTS = 8 };
  test_rng rng = {20240607};
  int64_t all[4 * N], most[4 * N];
  size_t n_of_kind[WH_DIM_KIND_COUNT] = {0};
  for (int round = 0; round < 400; round++) {
    dims_fixture f;
    setup(&f);
    const int64_t top[3] = {1 + rng_below(&rng, 100), rng_below(&rng, 8), 0};
    int64_t symbols[POINTS][3] = {{0}}, values[POINTS][N] = {{0}};
    wh_dim dims[N] = {f.a, f.b, constant(&f, 3), constant(&f, 0)};
    for (int s = 0; s < POINTS; s++) {
      symbols[s][0] = values[s][0] = 1 + rng_below(&rng, (uint32_t)top[0]);
      symbols[s][1] = values[s][1] = rng_below(&rng, (uint32_t)top[1] + 1);
      values[s][2] = 3;
    }
    for (int n = 4, tries = 0; n < N && tries < 400; tries++) {
      wh_dim_kind kind = (wh_dim_kind)(WH_DIM_ADD + (int)rng_below(&rng, WH_DIM_KIND_COUNT - WH_DIM_ADD));
      uint32_t x = rng_below(&rng, (uint32_t)n), y = rng_below(&rng, (uint32_t)n);
      if (wh_dim_binary(&f.t, kind, dims[x], dims[y], &dims[n]) != WH_OK) continue;
      n_of_kind[wh_dim_get(&f.t, dims[n])->kind]++;
      for (int s = 0; s < POINTS; s++) {
        values[s][n] = plain(kind, values[s][x], values[s][y]);
        assert_int_equal(wh_dim_eval(&f.t, dims[n], symbols[s]), values[s][n]);
        assert_in_range(values[s][n], wh_dim_get(&f.t, dims[n])->min, wh_dim_get(&f.t, dims[n])->max);
      }
      n++;
      assert_in_range(f.t.n, 1, sizeof all / sizeof all[0]);
      assert_ok(wh_dim_max_all(&f.t, top, most));
      for (int s = 0; s < POINTS; s++) {
        assert_ok(wh_dim_eval_all(&f.t, symbols[s], all));
        for (int i = 0; i < n; i++) {
          assert_int_equal(all[dims[i]], values[s][i]);
          assert_in_range(all[dims[i]], 0, most[dims[i]]);
        }
      }
      for (size_t i = 0; i < f.t.n; i++) assert_in_range(most[i], 0, f.t.exprs[i].max);
    }
    wh_dim_table_deinit(&f.t);
  }
  for (int kind = WH_DIM_ADD; kind < WH_DIM_KIND_COUNT; kind++)
    if (n_of_kind[kind] < 50)
      fail_msg("only %zu of '%s'", n_of_kind[kind], wh_dim_kind_text((wh_dim_kind)kind));
}

/* Far more expressions than the table once took, found again by what they are; a copy numbers them alike. */
static void many_expressions_are_found_again(void **state) {
  (void)state;
  enum { N = 20000 };
  dims_fixture f;
  setup(&f);
  for (int round = 0; round < 2; round++) {
    for (int64_t i = 1; i <= N; i++) (void)binary(&f, WH_DIM_ADD, f.a, constant(&f, i));
    assert_int_equal(f.t.n, 3 + 2 * N);
  }
  wh_dim_table copy;
  wh_dim_table_init(&copy, NULL);
  assert_ok(wh_dim_table_copy(&f.t, &copy));
  assert_int_equal(copy.n, f.t.n);
  for (size_t i = 0; i < copy.n; i++) assert_memory_equal(&copy.exprs[i], &f.t.exprs[i], sizeof *copy.exprs);
  assert_int_equal(wh_dim_find_symbol(&copy, "b"), 1);
  assert_int_equal(wh_dim_find_symbol(&copy, "none"), -1);
  wh_dim_table_deinit(&copy);
  wh_dim_table_deinit(&f.t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(constants_fold),
      cmocka_unit_test(neutral_operands_vanish),
      cmocka_unit_test(equal_expressions_are_one_dim),
      cmocka_unit_test(operand_order_ignores_history),
      cmocka_unit_test(limits_are_errors),
      cmocka_unit_test(expressions_stay_small),
      cmocka_unit_test(differences_need_a_proof),
      cmocka_unit_test(multiples_meet_again),
      cmocka_unit_test(divisions_round_as_they_say),
      cmocka_unit_test(the_largest_value_is_the_intervals),
      cmocka_unit_test(values_match_plain_arithmetic),
      cmocka_unit_test(many_expressions_are_found_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
