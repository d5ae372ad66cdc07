/* test_lookup.c - what prompt lookup drafts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lm/lookup.h"

enum { ROOM = 64, UNTOUCHED = -7 };

/* The draft of at most `most` tokens behind `text` must be `draft`, and nothing else may be written. */
static void expect_draft(const int32_t *text, size_t n, size_t most, const int32_t *draft, size_t n_draft) {
  int32_t tokens[ROOM];
  for (size_t i = 0; i < ROOM; ++i) tokens[i] = i < n ? text[i] : UNTOUCHED;
  assert_int_equal(wh_lookup_draft(tokens, n, most, tokens + n), n_draft);
  assert_memory_equal(tokens, text, n * sizeof *text);
  for (size_t i = 0; i < n_draft; ++i) assert_int_equal(tokens[n + i], draft[i]);
  for (size_t i = n + n_draft; i < ROOM; ++i) assert_int_equal(tokens[i], UNTOUCHED);
}

#define TEXT(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)
#define NOTHING NULL, 0

static void test_what_followed_is_drafted(void **state) {
  (void)state;
  expect_draft(TEXT(1, 2, 3, 4, 5, 6, 7, 1, 2, 3), 4, TEXT(4, 5, 6, 7));
  expect_draft(TEXT(1, 2, 3, 4, 5, 6, 7, 1, 2, 3), 1, TEXT(4));
}

static void test_the_longest_match_counts(void **state) {
  (void)state;
  /* 2 3 stands nearer, but 1 2 3 is longer */
  expect_draft(TEXT(1, 2, 3, 4, 4, 9, 2, 3, 5, 5, 1, 2, 3), 2, TEXT(4, 4));
}

static void test_of_equal_matches_the_most_recent_counts(void **state) {
  (void)state;
  expect_draft(TEXT(1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3), 1, TEXT(5));
  expect_draft(TEXT(8, 2, 3, 4, 9, 2, 3, 5, 7, 2, 3), 1, TEXT(5));
}

static void test_two_tokens_are_enough_and_one_is_not(void **state) {
  (void)state;
  expect_draft(TEXT(2, 3, 4, 9, 2, 3), 2, TEXT(4, 9));
  expect_draft(TEXT(3, 4, 9, 3), 2, NOTHING);
}

static void test_a_short_period_goes_on(void **state) {
  (void)state;
  expect_draft(TEXT(5, 5, 5), 4, TEXT(5, 5, 5, 5));
  expect_draft(TEXT(0, 1, 2, 1, 2), 5, TEXT(1, 2, 1, 2, 1));
}

static void test_nothing_to_draft(void **state) {
  (void)state;
  expect_draft(TEXT(1, 2, 3, 4, 5, 6), 4, NOTHING);
  expect_draft(TEXT(1, 2, 3, 1, 2, 3), 0, NOTHING);
  expect_draft(TEXT(1, 1), 4, NOTHING);
  expect_draft(TEXT(1), 4, NOTHING);
  expect_draft(NULL, 0, 4, NOTHING);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_followed_is_drafted),
      cmocka_unit_test(test_the_longest_match_counts),
      cmocka_unit_test(test_of_equal_matches_the_most_recent_counts),
      cmocka_unit_test(test_two_tokens_are_enough_and_one_is_not),
      cmocka_unit_test(test_a_short_period_goes_on),
      cmocka_unit_test(test_nothing_to_draft),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
