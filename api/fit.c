/* fit.c - how many of a model's layers a device with memory of its own has room for. Plans are made as a
 * session would have them, until the one is found that takes most of the device and fits; nothing is loaded
 * for that. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/cpu/cpu_backend.h"

/* What the offload could have, in the order of what it takes: the last layers, one more each time, then all
 * of the model. Of a mixture the layers come without their experts first, then the experts of the last
 * layers. */
static uint32_t n_choices(const wh_model *m) {
  const uint32_t n = (uint32_t)m->hparams.n_layers;
  return m->hparams.n_experts ? 2 * n + 2 : n + 2;
}

static void choose(const wh_model *m, uint32_t i, wh_program_key *key) {
  const uint32_t n = (uint32_t)m->hparams.n_layers;
  key->offload_layers = i < n + 1 ? i : n + 1;
  key->kept_experts = !m->hparams.n_experts ? 0 : i < n + 1 ? i : n - (i - n - 1);
}

static wh_status find(wh_session *s, wh_program_key *key) {
  const wh_model *m = wh_session_get_model(s);
  uint32_t fits = 0, too_many = n_choices(m); /* nothing always fits */
  while (too_many - fits > 1) {
    /* all of it first: that is what most devices are chosen for */
    const uint32_t i = too_many == n_choices(m) ? too_many - 1 : fits + (too_many - fits) / 2;
    wh_device_memory memory;
    choose(m, i, key);
    WH_TRY(wh_session_try(s, key, &memory));
    if (!memory.is_own || wh_device_memory_need(&memory) <= memory.available)
      fits = i;
    else
      too_many = i;
  }
  choose(m, fits, key);
  return WH_OK;
}

wh_status wh_fit_layers(wh_session *s, wh_device *host, wh_device *target, uint32_t *layers,
                        uint32_t *kept_experts) {
  wh_program_key key = {.device = host, .offload = target};
  WH_TRY(find(s, &key));
  *layers = key.offload_layers;
  *kept_experts = key.kept_experts;
  return WH_OK;
}

/* A processor to plan with, where the session has none. */
static wh_status open_processor(wh_device *out) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.isa = "ref";
  o.n_threads = 1;
  out->backend = &wh_backend_cpu;
  return wh_backend_cpu.open(0, &o, &out->device);
}

wh_status wh_fit_explain(wh_session *s, wh_device *host, wh_device *target) {
  const wh_error_record why = *wh_last_error();
  const uint32_t n = (uint32_t)wh_session_get_model(s)->hparams.n_layers;
  uint32_t layers = 0, kept = 0;
  wh_device own = {.alloc = NULL};
  wh_status st = host ? WH_OK : open_processor(&own);
  if (st == WH_OK) st = wh_fit_layers(s, host ? host : &own, target, &layers, &kept);
  if (own.device) own.backend->close(own.device);
  if (st != WH_OK) { /* it is the first error that counts */
    wh_error_set(&why);
    return why.status;
  }
  char experts[64] = "";
  if (kept) (void)snprintf(experts, sizeof experts, ", %u of them without their experts", kept);
  return wh_fail_at(why.file, why.line, why.status, "%s; %u of the model's %u layers would fit%s",
                    why.message, layers < n ? layers : n, n, experts);
}
