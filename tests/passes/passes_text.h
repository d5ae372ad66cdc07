/* passes_text.h - graphs as text before and after a pass: what the tests of passes share. */
#ifndef WH_TESTS_PASSES_TEXT_H
#define WH_TESTS_PASSES_TEXT_H

#include "core/passes/passes.h"
#include "tests/base/failing_allocator.h"
#include "tests/ir/random_graph.h"

static const char head[] =
    "graph \"g\" {\n"
    "  symbol t 1..64\n"
    "  %1 = input \"x\" f32[t, 64]\n"
    "  %2 = input \"y\" f32[t, 64]\n"
    "  %3 = const \"w\" f32[64, 64]\n"
    "  %4 = const \"wq\" q4_0[64, 64]\n"
    "  %5 = const \"b\" f32[64]\n"
    "  %6 = const \"one\" f32[1]\n"
    "  %7 = input \"p\" i32[t]\n"
    "  %8 = state \"keys\" f16[t, 4, 64, 16]\n";

#define F " : f32[t, 64]\n"
#define Q " : q8a[t, 64]\n"
#define EPS "{eps = 0x1p-10}"

typedef wh_status (*pass_fn)(wh_graph *);

static inline wh_graph *with_head(const char *body) {
  char text[4096];
  assert_true(snprintf(text, sizeof text, "%s%s}\n", head, body) < (int)sizeof text);
  return graph_from_text(text);
}

/* The pass turns `before` into `after`, which is well-formed; running it again changes nothing. */
static inline void assert_rewrites(pass_fn pass, const char *before, const char *after) {
  wh_graph *g = with_head(before), *want = with_head(after);
  char *text = graph_text(want);
  for (int round = 0; round < 2; round++) {
    assert_ok(pass(g));
    assert_ok(wh_pass_compact(g));
    assert_ok(wh_graph_verify(g));
    assert_graph_text(g, text);
  }
  free(text);
  wh_graph_destroy(g);
  wh_graph_destroy(want);
}

static inline void assert_keeps(pass_fn pass, const char *body) { assert_rewrites(pass, body, body); }

#endif
