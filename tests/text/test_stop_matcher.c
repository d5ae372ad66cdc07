/* test_stop_matcher.c - against a search of the whole text, with random texts cut at random places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text_buffer.h"
#include "text/sampler.h"

static uint32_t test_state = 12345;
static uint32_t test_random(uint32_t below) {
  test_state = test_state * 1664525u + 1013904223u;
  return (uint32_t)(((uint64_t)test_state * below) >> 32);
}

/* The definition: the stop that ends first, the longest of those that end there. Returns the bytes before it,
 * and in *end where it ends; without one, n and n + 1. */
static size_t search(const char *text, size_t n, const char *const *stops, size_t n_stops, size_t *end) {
  for (size_t e = 1; e <= n; e++) {
    size_t longest = 0;
    for (size_t i = 0; i < n_stops; i++) {
      size_t k = strlen(stops[i]);
      if (k <= e && k > longest && memcmp(text + e - k, stops[i], k) == 0) longest = k;
    }
    if (longest) {
      *end = e;
      return e - longest;
    }
  }
  *end = n + 1;
  return n;
}

/* How much of text[0, n) a matcher may show: all that cannot begin a stop string. */
static size_t showable(const char *text, size_t n, const char *const *stops, size_t n_stops) {
  for (size_t start = 0; start < n; start++)
    for (size_t i = 0; i < n_stops; i++)
      if (n - start < strlen(stops[i]) && memcmp(text + start, stops[i], n - start) == 0) return start;
  return n;
}

static void check(const char *text, size_t n, const char *const *stops, size_t n_stops) {
  wh_stop_matcher *m = NULL;
  wh_text_buffer out;
  bool stopped = false;
  size_t end, before = search(text, n, stops, n_stops, &end);
  wh_text_buffer_init(&out, NULL);
  assert_int_equal(wh_stop_matcher_create(stops, n_stops, NULL, &m), WH_OK);
  for (size_t pos = 0; pos < n;) {
    size_t chunk = 1 + test_random(4);
    if (chunk > n - pos) chunk = n - pos;
    assert_int_equal(wh_stop_matcher_push(m, text + pos, chunk, &out, &stopped), WH_OK);
    pos += chunk;
    assert_int_equal(stopped, end <= pos);
    assert_int_equal(out.len, stopped ? before : showable(text, pos, stops, n_stops));
  }
  assert_int_equal(wh_stop_matcher_finish(m, &out), WH_OK);
  assert_int_equal(out.len, before);
  assert_memory_equal(out.data ? out.data : "", text, before);
  wh_stop_matcher_destroy(m);
  wh_text_buffer_deinit(&out);
}

static void test_random_texts(void **state) {
  (void)state;
  for (int round = 0; round < 20000; round++) {
    char text[32], words[4][8];
    const char *stops[4];
    size_t n = test_random(sizeof text), n_stops = test_random(5);
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + test_random(2));
    for (size_t i = 0; i < n_stops; i++) {
      size_t k = 1 + test_random(6);
      for (size_t b = 0; b < k; b++) words[i][b] = (char)('a' + test_random(2));
      words[i][k] = '\0';
      stops[i] = words[i];
    }
    check(text, n, stops, n_stops);
  }
}

static void test_cases(void **state) {
  (void)state;
  check("one\nUser: x", 11, (const char *const[]){"\nUser:", "\n\n"}, 2);
  check("ab\xe2\x82\xac rest", 10, (const char *const[]){"\xe2\x82\xac"}, 1); /* bytes, not characters */
  check("aXbcd", 5, (const char *const[]){"XbcdY", "bc"}, 2); /* a waiting beginning hides no complete stop */
  check("<|im_en<|im_end|>", 17, (const char *const[]){"<|im_end|>"}, 1);
  check("no stop strings", 15, NULL, 0);
  check("a\0b\0c", 5, (const char *const[]){"c"}, 1);
}

static void test_errors(void **state) {
  (void)state;
  wh_stop_matcher *m = NULL;
  static char long_stop[5000];
  memset(long_stop, 'a', sizeof long_stop - 1);
  const char *many[65];
  for (size_t i = 0; i < 65; i++) many[i] = "x";
  assert_int_equal(wh_stop_matcher_create((const char *const[]){""}, 1, NULL, &m), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_stop_matcher_create((const char *const[]){"a", NULL}, 2, NULL, &m),
                   WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_stop_matcher_create((const char *const[]){long_stop}, 1, NULL, &m), WH_ERR_LIMIT);
  assert_int_equal(wh_stop_matcher_create(many, 65, NULL, &m), WH_ERR_LIMIT);
  assert_null(m);
  wh_stop_matcher_destroy(NULL);
}

static int n_alloc, n_live, fail_at;
static void *failing_alloc(void *ctx, size_t size, size_t align) {
  (void)ctx;
  if (n_alloc++ == fail_at) return NULL;
  n_live++;
  return wh_allocator_default()->alloc(NULL, size, align);
}
static void failing_free(void *ctx, void *ptr) {
  (void)ctx;
  n_live--;
  wh_allocator_default()->free(NULL, ptr);
}

static void test_memory(void **state) {
  (void)state;
  const wh_allocator alloc = {NULL, failing_alloc, failing_free};
  wh_status status = WH_ERR_OUT_OF_MEMORY;
  for (fail_at = 0; status != WH_OK; fail_at++) {
    wh_stop_matcher *m = NULL;
    wh_text_buffer out;
    bool stopped;
    n_alloc = 0;
    wh_text_buffer_init(&out, &alloc);
    status = wh_stop_matcher_create((const char *const[]){"stop", "halt"}, 2, &alloc, &m);
    if (status == WH_OK) status = wh_stop_matcher_push(m, "go on stop", 10, &out, &stopped);
    if (status != WH_OK) assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
    wh_stop_matcher_destroy(m);
    wh_text_buffer_deinit(&out);
    assert_int_equal(n_live, 0);
  }
  assert_true(fail_at > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_texts), cmocka_unit_test(test_cases),
                                     cmocka_unit_test(test_errors), cmocka_unit_test(test_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
