/* test_base_memory.c - checked sizes, the allocation helpers, the arena and the text buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/arena.h"
#include "core/base/text_buffer.h"
#include "tests/base/failing_allocator.h"

static void sizes_do_not_wrap(void **state) {
  (void)state;
  size_t r = 42;
  assert_false(wh_mul_size(SIZE_MAX / 2 + 1, 2, &r));
  assert_false(wh_add_size(SIZE_MAX, 1, &r));
  assert_false(wh_align_size(SIZE_MAX - 30, 32, &r));
  assert_true(r == 42); /* untouched */
  assert_true(wh_mul_size(SIZE_MAX / 2, 2, &r) && r == SIZE_MAX - 1);
  assert_true(wh_mul_size(0, SIZE_MAX, &r) && r == 0);
  assert_true(wh_add_size(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
  assert_true(wh_align_size(0, 32, &r) && r == 0);
  assert_true(wh_align_size(33, 32, &r) && r == 64);
  assert_true(wh_align_size(SIZE_MAX - 31, 32, &r) && r == SIZE_MAX - 31);
}

static void blocks_are_aligned_and_zeroed(void **state) {
  (void)state;
  static const size_t aligns[] = {1, 16, 64, 4096, 2u << 20};
  for (size_t i = 0; i < sizeof aligns / sizeof aligns[0]; i++) {
    char *p = wh_alloc_uninit(NULL, 3, aligns[i]);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % aligns[i], 0);
    wh_free(NULL, p);
  }
  unsigned char *z = wh_alloc_array(NULL, 100, 7);
  assert_non_null(z);
  for (int i = 0; i < 700; i++) assert_int_equal(z[i], 0);
  wh_free(NULL, z);
  wh_free(NULL, NULL);
  void *empty = wh_alloc_zeroed(NULL, 0);
  assert_non_null(empty);
  wh_free(NULL, empty);
}

static void impossible_requests_return_null(void **state) {
  (void)state;
  failing_allocator a;
  const wh_allocator *alloc = failing_allocator_init(&a, 0);
  assert_null(wh_alloc_array(alloc, SIZE_MAX / 8 + 1, 8));
  assert_null(wh_alloc_string(alloc, "", SIZE_MAX));
  assert_int_equal(a.n_requests, 0); /* refused before the allocator saw a wrapped size */
  (void)failing_allocator_init(&a, 1);
  assert_null(wh_alloc_zeroed(alloc, 8));
}

static void strings_are_terminated(void **state) {
  (void)state;
  char *s = wh_alloc_string(NULL, "a\0bc", 3);
  assert_non_null(s);
  assert_memory_equal(s, "a\0b", 4);
  wh_free(NULL, s);
  s = wh_alloc_string(NULL, NULL, 0);
  assert_string_equal(s, "");
  wh_free(NULL, s);
}

static void arrays_grow_and_keep_their_items(void **state) {
  (void)state;
  failing_allocator a;
  const wh_allocator *alloc = failing_allocator_init(&a, 0);
  int *items = NULL;
  size_t capacity = 0;
  for (int i = 0; i < 1000; i++) {
    assert_true(wh_grow_array(alloc, (void **)&items, &capacity, (size_t)i, (size_t)i + 1, sizeof *items));
    items[i] = i;
  }
  for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
  assert_int_equal(a.n_live, 1);
  assert_true(a.n_requests < 12); /* it doubles */
  int *before = items;
  size_t capacity_before = capacity;
  a.fail_at = a.n_requests + 1;
  assert_false(wh_grow_array(alloc, (void **)&items, &capacity, 1000, 5000, sizeof *items));
  assert_false(wh_grow_array(alloc, (void **)&items, &capacity, 1000, SIZE_MAX / 2, sizeof *items));
  assert_false(wh_grow_array(alloc, (void **)&items, &capacity, 1000, SIZE_MAX, 1));
  assert_ptr_equal(items, before);
  assert_int_equal(capacity, capacity_before);
  wh_free(alloc, items);
  assert_int_equal(a.n_live, 0);
}

static void arena_blocks_are_disjoint_zeroed_and_freed(void **state) {
  (void)state;
  failing_allocator a;
  wh_arena arena;
  wh_arena_init(&arena, failing_allocator_init(&a, 0), 256);
  unsigned char *p[200];
  static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 1000}; /* the last is larger than a block */
  for (size_t i = 0; i < 200; i++) {
    size_t n = sizes[i % 7];
    p[i] = wh_arena_alloc(&arena, n);
    assert_non_null(p[i]);
    assert_int_equal((uintptr_t)p[i] % 16, 0);
    for (size_t k = 0; k < n; k++) assert_int_equal(p[i][k], 0);
    memset(p[i], (int)i, n);
  }
  for (size_t i = 0; i < 200; i++)
    for (size_t k = 0; k < sizes[i % 7]; k++) assert_int_equal(p[i][k], (unsigned char)i);
  assert_string_equal(wh_arena_string(&arena, "hello", 4), "hell");
  assert_null(wh_arena_alloc(&arena, SIZE_MAX));
  assert_null(wh_arena_alloc(&arena, SIZE_MAX - 20));
  assert_null(wh_arena_array(&arena, SIZE_MAX / 4, 8));
  assert_null(wh_arena_string(&arena, "", SIZE_MAX));
  assert_true(a.n_live > 1);
  a.fail_at = a.n_requests + 1;
  assert_null(wh_arena_alloc(&arena, 4096));
  assert_non_null(wh_arena_alloc(&arena, 4096)); /* a failure does no harm */
  wh_arena_deinit(&arena);
  assert_int_equal(a.n_live, 0);
}

static void text_is_appended_and_terminated(void **state) {
  (void)state;
  wh_text_buffer b;
  wh_text_buffer_init(&b, NULL);
  wh_text_buffer_clear(&b); /* of an empty one */
  wh_text_buffer_puts(&b, "ab");
  wh_text_buffer_append(&b, "c\0d", 3);
  wh_text_buffer_printf(&b, "%d-%s", 42, "x");
  assert_int_equal(b.len, 9);
  assert_memory_equal(b.data, "abc\0d42-x", 10);
  wh_text_buffer_clear(&b);
  assert_int_equal(b.len, 0);
  assert_string_equal(b.data, "");
  for (int i = 0; i < 1000; i++) wh_text_buffer_printf(&b, "%03d", i);
  assert_int_equal(b.len, 3000);
  assert_memory_equal(b.data + 2997, "999", 4);
  assert_false(b.oom);
  wh_text_buffer_deinit(&b);
  assert_null(b.data);
}

static void a_text_buffer_remembers_that_memory_ran_out(void **state) {
  (void)state;
  char chunk[101];
  memset(chunk, 'x', 100);
  chunk[100] = '\0';
  for (size_t k = 1;; k++) {
    failing_allocator a;
    wh_text_buffer b;
    wh_text_buffer_init(&b, failing_allocator_init(&a, k));
    for (int i = 0; i < 50; i++) wh_text_buffer_printf(&b, "%s", chunk);
    bool oom = b.oom;
    size_t len = b.len;
    assert_true(oom ? len < 5000 : len == 5000);
    if (oom) { /* later appends do nothing, even if they would fit */
      wh_text_buffer_puts(&b, "y");
      wh_text_buffer_append(&b, "y", SIZE_MAX);
      assert_int_equal(b.len, len);
      assert_true(!b.data || strlen(b.data) == len);
    }
    wh_text_buffer_deinit(&b);
    assert_int_equal(a.n_live, 0);
    if (!oom) {
      assert_true(k > 3);
      return;
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes_do_not_wrap),
      cmocka_unit_test(blocks_are_aligned_and_zeroed),
      cmocka_unit_test(impossible_requests_return_null),
      cmocka_unit_test(strings_are_terminated),
      cmocka_unit_test(arrays_grow_and_keep_their_items),
      cmocka_unit_test(arena_blocks_are_disjoint_zeroed_and_freed),
      cmocka_unit_test(text_is_appended_and_terminated),
      cmocka_unit_test(a_text_buffer_remembers_that_memory_ran_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
