/* test_trie.c - a set of strings: what is in it, and that no strings make its table slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/trie.h"

static int32_t value_of(const wh_trie *t, wh_str text) {
  uint32_t node = WH_TRIE_ROOT;
  for (size_t i = 0; i < text.len; i++) {
    node = wh_trie_step(t, node, (unsigned char)text.data[i]);
    if (node == WH_TRIE_ROOT) return -1;
  }
  return t->values[node];
}

static void finds_what_was_added(void **state) {
  (void)state;
  enum { N = 5000 };
  wh_trie t;
  char texts[N][3];
  wh_trie_init(&t, wh_allocator_default());
  for (int i = 0; i < N; i++) { /* of one to three bytes, also of zeros; many are beginnings of others */
    memcpy(texts[i], (char[]){(char)(i * 7), (char)(i / 256), (char)i}, 3);
    assert_int_equal(wh_trie_add(&t, (wh_str){texts[i], 1 + (size_t)i % 3}, i), WH_OK);
  }
  for (int i = 0; i < N; i++) {
    const wh_str text = {texts[i], 1 + (size_t)i % 3};
    int first = 0;
    while (1 + (size_t)first % 3 != text.len || memcmp(texts[first], text.data, text.len) != 0) first++;
    assert_int_equal(value_of(&t, text), first);
  }
  assert_int_equal(value_of(&t, (wh_str){"\xff\xff\xff\xff", 4}), -1);
  wh_trie_deinit(&t);
}

/* The longest run of slots in use: what a look-up may have to go through. */
static size_t longest_run(const wh_trie *t) {
  size_t longest = 0, run = 0;
  for (size_t i = 0; i <= t->mask; i++) {
    run = t->edges[i] ? run + 1 : 0;
    if (run > longest) longest = run;
  }
  return longest;
}

/* Nodes are numbered in order, so that a file can choose each next byte to come out beside the last one under
 * a hash that it knows: as it once was, and as it is with a multiplier that is guessed. */
static size_t known_slot(uint64_t key, int n_bits, bool guess) {
  const uint64_t m = UINT64_C(0x9e3779b97f4a7c15), h = (key + 1) * m;
  return guess ? wh_trie_slot(&(wh_trie){.multiplier = m, .shift = 64 - n_bits}, key)
               : (size_t)((h ^ h >> 32) & ((UINT64_C(1) << n_bits) - 1));
}

static void no_strings_make_it_slow(void **state) {
  (void)state;
  enum { N = 60000, BITS = 17, SLOTS = 1 << BITS };
  for (int guess = 0; guess < 2; guess++) {
    wh_trie t;
    char *text = malloc(N);
    assert_non_null(text);
    for (uint32_t node = 0; node < N; node++) {
      size_t lowest = SLOTS;
      for (int byte = 0; byte < 256; byte++) {
        const size_t slot = known_slot(wh_trie_key(node, (unsigned char)byte), BITS, guess);
        if (slot < lowest) text[node] = (char)byte, lowest = slot;
      }
    }
    wh_trie_init(&t, wh_allocator_default());
    assert_int_equal(wh_trie_add(&t, (wh_str){text, N}, 1), WH_OK);
    assert_int_equal(t.mask, SLOTS - 1);
    assert_int_equal(value_of(&t, (wh_str){text, N}), 1);
    const size_t longest = longest_run(&t);
    print_message("longest run: %zu slots\n", longest);
    assert_true(longest < 500); /* about 30 by chance */
    wh_trie_deinit(&t);
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(finds_what_was_added),
                                     cmocka_unit_test(no_strings_make_it_slow)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
