/* test_backend_ops.c - every op on every backend and level against the references, bit for bit. The list of
 * ops is op_list.def's, and each shape rule has a function that makes its cases: an op with another rule does
 * not compile here before it has some, and one whose rule makes none fails. An argument such as "cpu neon"
 * picks some targets by a pattern, a second one such as "conv*" some ops. WH_GPU_COUNTERS names a file for
 * what the GPU's kernels counted. */
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#include "tests/backend/reference.h"
#include "tests/backend/suite.h"
#include "tests/backend/targets.h"
#include <cmocka.h>
/* clang-format on */

/* What a backend has to pass at least, so that cases are not lost unseen. Raise it with new ones. */
#define LEAST_CASES 10372

#define LEAST_PRODUCTS 1162 /* of the target for warpgroups */

static const struct {
  wh_op op;
  suite_cases_fn cases;
} rules[] = {
#define cases_if NULL     /* what the host runs around devices, and */
#define cases_loop NULL   /* what only one backend knows, have no */
#define cases_custom NULL /* cases here: every backend must refuse them */
#define cases_softmax cases_unary
#define WH_OP(name, text, min_in, max_in, outs, attrs, traits, rule) {WH_OP_##name, cases_##rule},
#include "core/ir/op_list.def"
};

static targets all;
static const char *only; /* a pattern of ops; NULL: all */

/* What differs there. */
static void test_products(void **state) {
  suite s = {.target = *state, .random = 21};
  cases_linear(&s, WH_OP_LINEAR);
  cases_products_of_many_rows(&s);
  cases_expert_linear(&s, WH_OP_EXPERT_LINEAR);
  print_message("%s: %zu cases, %zu values\n", s.target->label, s.n_cases, s.n_compared);
  assert_true(s.n_cases >= LEAST_PRODUCTS);
}

/* Of an op's own cases: one more of another op, or another op, does not change them. */
static uint64_t seed_of(wh_op op) {
  uint64_t seed = 20;
  for (const char *c = wh_op_get(op)->name; *c; c++) seed = seed * 31 + (uint64_t)*c;
  return seed;
}

static void test_all_ops(void **state) {
  suite s = {.target = *state};
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
    const size_t before = s.per_op[rules[i].op];
    if (!rules[i].cases || (only && fnmatch(only, wh_op_get(rules[i].op)->name, 0))) continue;
    s.random = seed_of(rules[i].op);
    rules[i].cases(&s, rules[i].op);
    if (s.per_op[rules[i].op] == before) fail_msg("op %s has no cases", wh_op_get(rules[i].op)->name);
  }
  print_message("%s: %zu cases, %zu values, %zu of them of more than one number\n", s.target->label,
                s.n_cases, s.n_compared, s.n_varied);
  if (only) {
    assert_true(s.n_cases > 0);
    return;
  }
  assert_int_equal(ref_largest_integer, 63 * 32 * 127 * 8 * 8); /* of Q4_K, as docs/NUMERICS.md has it */
  assert_true(s.n_cases >= LEAST_CASES);
  assert_true(s.n_varied >= LEAST_CASES); /* zeros have the right bits under any definition */
}

int main(int argc, char **argv) {
  struct CMUnitTest tests[MAX_TARGETS];
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  if (argc > 2) only = argv[2];
  targets_count(getenv("WH_GPU_COUNTERS"));
  targets_open(&all);
  targets_open_warpgroups(&all);
  for (size_t i = 0; i < all.n; i++)
    tests[i] = (struct CMUnitTest){
        all.items[i].label, strcmp(all.items[i].label, WARPGROUP_TARGET) ? test_all_ops : test_products, NULL,
        NULL, &all.items[i]};
  int failed = _cmocka_run_group_tests("backend_ops", tests, all.n, NULL, NULL);
  failed += (int)targets_close(&all);
  return failed;
}
