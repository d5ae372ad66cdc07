/* gpu_step.c - one run of a model on a device, for counting what it launches: S sequences of T tokens each,
 * from their beginning. Its answer is not looked at, so the emulator may run a sample of each launch's
 * blocks:
 *
 *   PTXEMU=profile=h200,sample=8,counts=FILE gpu_step BACKENDS MODEL.gguf S T [DEVICE] (scripts/gpu-predict)
 */
#include <stdio.h>
#include <stdlib.h>

#include "whimbrel/whimbrel.h"

#define SEQUENCES_MAX 1024u
#define TOKENS_MAX 65536u

static int failed(void) {
  fprintf(stderr, "gpu_step: %s\n", wh_last_error()->message);
  return 1;
}

static bool fill_batch(const wh_model *model, uint32_t n_sequences, uint32_t n_tokens, wh_batch *batch) {
  const uint32_t n = n_sequences * n_tokens;
  int32_t *tokens = malloc(n * sizeof *tokens), *sequences = malloc(n * sizeof *sequences);
  int32_t *outputs = malloc(n * sizeof *outputs);
  wh_model_info info = WH_MODEL_INFO_INIT;
  wh_model_get_info(model, &info);
  batch->n_tokens = n;
  batch->tokens = tokens;
  batch->sequences = sequences;
  batch->n_outputs = n;
  batch->output_rows = outputs;
  for (uint32_t i = 0; tokens && sequences && i < n; i++) {
    tokens[i] = (int32_t)(i % info.n_vocab);
    sequences[i] = (int32_t)(i / n_tokens);
  }
  for (uint32_t i = 0; outputs && i < n; i++)
    outputs[i] = (int32_t)i; /* so the last layer computes all rows */
  return tokens && sequences && outputs;
}

int main(int argc, char **argv) {
  const unsigned long n_sequences = argc > 4 ? strtoul(argv[3], NULL, 10) : 0,
                      n_tokens = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
  if (!n_sequences || n_sequences > SEQUENCES_MAX || !n_tokens || n_tokens > TOKENS_MAX) {
    fprintf(stderr, "usage: gpu_step BACKENDS MODEL.gguf SEQUENCES TOKENS [DEVICE]\n");
    return 2;
  }
  wh_device_options on = WH_DEVICE_OPTIONS_INIT;
  on.name = argc > 5 ? argv[5] : "cuda:emulated";
  on.backend_folder = argv[1];
  wh_session_options of = WH_SESSION_OPTIONS_INIT;
  of.context = (uint32_t)(n_tokens + 64);
  of.max_batch = (uint32_t)(n_sequences * n_tokens);
  of.max_outputs = of.max_batch;
  of.max_sequences = (uint32_t)n_sequences;
  wh_device *device = NULL;
  wh_model *model = NULL;
  wh_session *session = NULL;
  wh_batch batch = WH_BATCH_INIT;
  int status = 0;
  if (wh_device_create(&on, &device) != WH_OK || wh_model_open(argv[2], NULL, &model) != WH_OK ||
      wh_session_create(model, device, &of, &session) != WH_OK)
    status = failed();
  else if (!fill_batch(model, (uint32_t)n_sequences, (uint32_t)n_tokens, &batch))
    status = 1;
  else {
    const wh_status ran = wh_session_run(session, &batch);
    if (ran != WH_OK && ran != WH_ERR_CORRUPT) status = failed(); /* corrupt: logits are not finite */
  }
  wh_session_destroy(session);
  wh_model_destroy(model);
  wh_device_destroy(device);
  free((void *)(uintptr_t)batch.tokens);
  free((void *)(uintptr_t)batch.sequences);
  free((void *)(uintptr_t)batch.output_rows);
  return status;
}
