/* weights.c - packed forms of the weights of products. */
#include "backends/gpu/gpu_backend.h"

wh_status gpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  (void)dev;
  (void)g;
  (void)tasks;
  (void)n_tasks;
  return WH_FAIL(ERR_UNSUPPORTED, "GPUs pack no weights yet");
}
