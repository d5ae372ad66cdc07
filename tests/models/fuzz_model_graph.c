/* fuzz_model_graph.c - any bytes as a model file: opening it and building its graph fails cleanly or gives a
 * graph that verifies. */
#include <stdlib.h>
#include <string.h>

#include "import/families/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  uint8_t *bytes =
      wh_alloc_uninit(NULL, size, WH_ALIGN_SIMD); /* weights are placed relative to an aligned start */
  if (!bytes) return 0;
  memcpy(bytes, data, size);
  wh_model_file *file = NULL;
  wh_graph *g = NULL;
  wh_status status = wh_model_file_open_memory("fuzz", bytes, size, NULL, &file);
  if (status == WH_OK) status = wh_model_build_graph(file, NULL, NULL, &g, NULL);
  if (status == WH_OK && wh_graph_verify(g) != WH_OK) abort();
  if (status == WH_ERR_INVALID_ARGUMENT) abort(); /* whatever is wrong is the file's fault */
  wh_graph_destroy(g);
  wh_model_file_close(file);
  wh_free(NULL, bytes);
  return 0;
}
