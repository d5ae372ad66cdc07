/* fuzz_graph_text.c - any bytes: parsing refuses them or gives a graph whose text is a fixed point, that can
 * be cloned, and that the passes either refuse or bring to a form that they leave alone. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/ir/graph.h"
#include "core/passes/passes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()

static wh_text_buffer text_of(const wh_graph *g) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, NULL);
  REQUIRE(wh_graph_print(g, &b) == WH_OK);
  return b;
}

static bool same_text(const wh_text_buffer *a, const wh_text_buffer *b) {
  return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  wh_graph *g = NULL, *again = NULL, *copy = NULL;
  if (wh_graph_parse((const char *)data, n_bytes, NULL, &g) != WH_OK) {
    REQUIRE(g == NULL && wh_last_error()->message[0] != '\0');
    return 0;
  }
  wh_text_buffer first = text_of(g);
  REQUIRE(wh_graph_parse(first.data, first.len, NULL, &again) == WH_OK);
  REQUIRE(wh_graph_clone(g, &copy) == WH_OK);
  wh_text_buffer second = text_of(again), cloned = text_of(copy);
  REQUIRE(same_text(&first, &second) && same_text(&first, &cloned));
  if (wh_passes_run(g, NULL) == WH_OK) {
    wh_text_buffer once = text_of(g);
    REQUIRE(wh_passes_run(g, NULL) == WH_OK);
    wh_text_buffer twice = text_of(g);
    REQUIRE(same_text(&once, &twice));
    wh_text_buffer_deinit(&once);
    wh_text_buffer_deinit(&twice);
  }
  wh_text_buffer_deinit(&first);
  wh_text_buffer_deinit(&second);
  wh_text_buffer_deinit(&cloned);
  wh_graph_destroy(g);
  wh_graph_destroy(again);
  wh_graph_destroy(copy);
  return 0;
}
