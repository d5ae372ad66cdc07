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

/* The definition, in one view of the text: which bytes of it there are is told by `view`. Of the stops that
 * end with byte `end` of the text the longest, as where it begins; `end` itself: none. */
static size_t stop_before(const char *text, const bool *view, size_t end, const char *const *stops,
                          size_t n_stops) {
  size_t first = end;
  for (size_t i = 0; view[end - 1] && i < n_stops; i++) {
    size_t k = strlen(stops[i]), pos = end;
    while (k && pos && (!view[pos - 1] || text[pos - 1] == stops[i][k - 1])) k -= view[--pos];
    if (k == 0 && pos < first) first = pos;
  }
  return first;
}

/* Where in the view a beginning of a stop string that reaches to byte n starts; n: nowhere. */
static size_t begun_before(const char *text, const bool *view, size_t n, const char *const *stops,
                           size_t n_stops) {
  for (size_t start = 0; start < n; start++)
    for (size_t i = 0; view[start] && i < n_stops; i++) {
      size_t k = 0, pos = start;
      while (pos < n && (!view[pos] || text[pos] == stops[i][k])) k += view[pos++];
      if (pos == n && stops[i][k]) return start;
    }
  return n;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static size_t shown_bytes(const bool *shown, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += shown[i];
  return count;
}

/* Pushes the text in pieces that are shown or not as `shown` says, and compares with the definitions. */
static void check_views(const char *text, const bool *shown, size_t n, const char *const *stops,
                        size_t n_stops) {
  static const bool all[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  wh_stop_matcher *m = NULL;
  wh_text_buffer out;
  bool stopped = false;
  size_t end = 0, before = n;
  assert_true(n <= sizeof all / sizeof all[0]);
  while (before == n && end < n) {
    size_t from = smaller(stop_before(text, all, end + 1, stops, n_stops),
                          stop_before(text, shown, end + 1, stops, n_stops));
    if (from <= end) before = from;
    end++;
  }
  if (before == n) end = n + 1;
  wh_text_buffer_init(&out, NULL);
  assert_int_equal(wh_stop_matcher_create(stops, n_stops, NULL, &m), WH_OK);
  for (size_t pos = 0; pos < n;) {
    size_t chunk = 1 + test_random(4), limit = pos + 1;
    while (limit < n && limit < pos + chunk && shown[limit] == shown[pos]) limit++;
    assert_int_equal(wh_stop_matcher_push(m, text + pos, limit - pos, shown[pos], &out, &stopped), WH_OK);
    pos = limit;
    assert_int_equal(stopped, end <= pos);
    size_t showable =
        smaller(begun_before(text, all, pos, stops, n_stops), begun_before(text, shown, pos, stops, n_stops));
    assert_int_equal(out.len, shown_bytes(shown, stopped ? before : showable));
  }
  assert_int_equal(wh_stop_matcher_finish(m, &out), WH_OK);
  assert_int_equal(out.len, shown_bytes(shown, before));
  for (size_t i = 0, k = 0; i < before; i++)
    if (shown[i]) assert_int_equal(out.data[k++], text[i]);
  wh_stop_matcher_destroy(m);
  wh_text_buffer_deinit(&out);
}

static void check(const char *text, size_t n, const char *const *stops, size_t n_stops) {
  bool shown[64];
  for (size_t i = 0; i < 64; i++) shown[i] = true;
  check_views(text, shown, n, stops, n_stops);
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
    bool shown[sizeof text];
    for (size_t i = 0; i < n; i++) shown[i] = test_random(3) > 0;
    check_views(text, shown, n, stops, n_stops);
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

/* Text of a control token, between < and >, is not shown. */
static void check_hidden(const char *text, const char *want, bool want_stop, const char *const *stops,
                         size_t n_stops) {
  wh_stop_matcher *m = NULL;
  wh_text_buffer out;
  bool stopped = false, hidden = false;
  wh_text_buffer_init(&out, NULL);
  assert_int_equal(wh_stop_matcher_create(stops, n_stops, NULL, &m), WH_OK);
  for (const char *p = text; *p; p++) {
    hidden = *p == '<' || hidden;
    assert_int_equal(wh_stop_matcher_push(m, p, 1, !hidden, &out, &stopped), WH_OK);
    if (*p == '>') hidden = false;
  }
  assert_int_equal(wh_stop_matcher_finish(m, &out), WH_OK);
  assert_int_equal(stopped, want_stop);
  assert_string_equal(out.data ? out.data : "", want);
  wh_stop_matcher_destroy(m);
  wh_text_buffer_deinit(&out);
}

static void test_hidden_text(void **state) {
  (void)state;
  check_hidden("ab<x>cd", "ab", true, (const char *const[]){"<x>"}, 1);
  check_hidden("ab<x>cd", "a", true, (const char *const[]){"b<x>c"}, 1); /* reaches into shown text */
  check_hidden("ab<x>cd", "a", true, (const char *const[]){"bc"}, 1);    /* what a reader sees */
  check_hidden("ab<x>cd", "abcd", false, (const char *const[]){"<y>"}, 1);
  check_hidden("ab<x>", "ab", false, (const char *const[]){"<x>c"}, 1); /* hidden text stays hidden */
  check_hidden("ab<x><x>c", "ab", true, (const char *const[]){"<x>c"}, 1);
  check_hidden("<x>", "", true, (const char *const[]){"<x>"}, 1);
  check_hidden("ab<x>cd", "abcd", false, NULL, 0);
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
    if (status == WH_OK) status = wh_stop_matcher_push(m, "go on stop", 10, true, &out, &stopped);
    if (status != WH_OK) assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
    wh_stop_matcher_destroy(m);
    wh_text_buffer_deinit(&out);
    assert_int_equal(n_live, 0);
  }
  assert_true(fail_at > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_texts), cmocka_unit_test(test_cases),
                                     cmocka_unit_test(test_hidden_text), cmocka_unit_test(test_errors),
                                     cmocka_unit_test(test_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
