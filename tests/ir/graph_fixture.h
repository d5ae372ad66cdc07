/* graph_fixture.h - graphs for tests: from text, to text, seeded random numbers, and what an error said. */
#ifndef WH_TESTS_GRAPH_FIXTURE_H
#define WH_TESTS_GRAPH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ir/graph.h"

/* The message of the last error must hold `part`. */
static inline void assert_error_says(const char *part) {
  if (!strstr(wh_last_error()->message, part))
    fail_msg("the error '%s' does not say '%s'", wh_last_error()->message, part);
}

static inline void assert_ok(wh_status st) {
  if (st != WH_OK) fail_msg("%s: %s", wh_status_name(st), wh_last_error()->message);
}

static inline wh_graph *graph_from_text(const char *text) {
  wh_graph *g = NULL;
  assert_ok(wh_graph_parse(text, strlen(text), NULL, &g));
  return g;
}

/* Free with free(). */
static inline char *graph_text(const wh_graph *g) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, NULL);
  assert_ok(wh_graph_print(g, &b));
  return b.data; /* the default allocator is the heap */
}

static inline void assert_graph_text(const wh_graph *g, const char *want) {
  char *have = graph_text(g);
  assert_string_equal(have, want);
  free(have);
}

/* A file of this folder's data or corpus, NUL-terminated; free with free(). */
static inline char *read_text_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  size_t capacity = 1 << 20;
  char *text = malloc(capacity);
  assert_non_null(text);
  size_t n = fread(text, 1, capacity - 1, f);
  text[n] = '\0';
  (void)fclose(f);
  return text;
}

/* splitmix64 */
typedef struct test_rng {
  uint64_t state;
} test_rng;
static inline uint64_t rng_next(test_rng *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
static inline uint32_t rng_below(test_rng *r, uint32_t n) { return (uint32_t)(rng_next(r) % n); }

#endif
