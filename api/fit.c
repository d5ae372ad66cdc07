/* fit.c - which of a model's layers devices with memory of their own have room for. Plans are made as a
 * session would have them, until the one is found that takes most of the devices and fits; nothing is loaded
 * for that. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/cpu/cpu_backend.h"

#define MOST_SHIFTS 8 /* of layers between devices, until each has room for its own */

typedef struct fit {
  wh_session *s;
  wh_program_key *key;
  uint32_t n_layers; /* the model's */
  wh_device_memory memory[WH_SESSION_DEVICES];
} fit;

static uint32_t n_layers_of(const wh_session *s) {
  return (uint32_t)wh_session_get_model(s)->hparams.n_layers;
}

/* Without an offload the first device is one of those that share; what it has follows from the others. */
static uint32_t first_of(const wh_program_key *key) { return key->has_offload ? 1 : 0; }

/* As free memory is; a device that computes in the host's has as much as the largest. */
static wh_status weigh(const fit *f, double weights[WH_SESSION_DEVICES]) {
  double largest = 0;
  for (uint32_t d = first_of(f->key); d < f->key->n_devices; d++) {
    const wh_device *device = f->key->devices[d];
    uint64_t left = 0;
    if (device->backend->free_memory) WH_TRY(device->backend->free_memory(device->device, &left));
    weights[d] = (double)left;
    if (weights[d] > largest) largest = weights[d];
  }
  for (uint32_t d = first_of(f->key); d < f->key->n_devices; d++)
    if (!f->key->devices[d]->backend->free_memory || largest == 0) weights[d] = largest > 0 ? largest : 1;
  return WH_OK;
}

static wh_status share_out(fit *f, uint32_t n_layers) {
  double weights[WH_SESSION_DEVICES] = {0}, total = 0, so_far = 0;
  uint32_t given = 0;
  WH_TRY(weigh(f, weights));
  for (uint32_t d = 0; d < f->key->n_devices; d++) total += weights[d];
  memset(f->key->layers, 0, sizeof f->key->layers);
  for (uint32_t d = first_of(f->key); d < f->key->n_devices; d++) {
    so_far += weights[d];
    const uint32_t until = (uint32_t)(n_layers * (so_far / total) + 0.5);
    f->key->layers[d] = until - given;
    given = until;
  }
  return WH_OK;
}

/* Layers go from the device that lacks most memory to the one that has most left. False: that is no help. */
static bool shift_layers(fit *f) {
  uint32_t poor = 0, rich = 0;
  double most_left = 0, least_left = 0;
  for (uint32_t d = first_of(f->key); d < f->key->n_devices; d++) {
    const double left = f->memory[d].is_own
                            ? (double)f->memory[d].available - (double)wh_device_memory_need(&f->memory[d])
                            : 1e30;
    if (left > most_left) most_left = left, rich = d;
    if (left < least_left) least_left = left, poor = d;
  }
  const uint32_t have = f->key->layers[poor];
  if (least_left >= 0 || most_left <= 0 || !have) return false;
  const double layer = (double)wh_device_memory_need(&f->memory[poor]) / have;
  uint32_t n = 1 + (uint32_t)(-least_left / layer);
  const double room = most_left / layer;
  if (n > room && room >= 1) n = (uint32_t)room;
  if (n > have) n = have;
  f->key->layers[poor] -= n;
  f->key->layers[rich] += n;
  return true;
}

/* Whether so many layers fit, on devices that then have them as the key says. */
static wh_status try_layers(fit *f, uint32_t n_layers, bool *fits) {
  WH_TRY(share_out(f, n_layers));
  for (int i = 0;; i++) {
    WH_TRY(wh_session_try(f->s, f->key, f->memory));
    *fits = true;
    for (uint32_t d = first_of(f->key); d < f->key->n_devices; d++)
      *fits =
          *fits && (!f->memory[d].is_own || wh_device_memory_need(&f->memory[d]) <= f->memory[d].available);
    if (*fits || i == MOST_SHIFTS || !shift_layers(f)) return WH_OK;
  }
}

/* What an offload could have, in the order of what it takes: the last layers, one more each time, then all of
 * the model. Of a mixture the layers come without their experts first, then the experts of the last layers.
 */
static uint32_t n_choices(const fit *f) {
  return wh_session_get_model(f->s)->hparams.n_experts ? 2 * f->n_layers + 2 : f->n_layers + 2;
}

static wh_status try_choice(fit *f, uint32_t i, bool *fits) {
  const uint32_t n = f->n_layers;
  const bool mixture = wh_session_get_model(f->s)->hparams.n_experts != 0;
  f->key->moves_all = i > n;
  f->key->kept_experts = !mixture ? 0 : i <= n ? i : n - (i - n - 1);
  return try_layers(f, i < n ? i : n, fits);
}

static wh_status find_most(fit *f) {
  uint32_t fits = 0, too_many = n_choices(f), tried = too_many; /* nothing always fits */
  bool ok = true;
  while (too_many - fits > 1) {
    /* all of it first: that is what most devices are chosen for */
    const uint32_t i = too_many == n_choices(f) ? too_many - 1 : fits + (too_many - fits) / 2;
    WH_TRY(try_choice(f, i, &ok));
    tried = i;
    if (ok)
      fits = i;
    else
      too_many = i;
  }
  return tried == fits ? WH_OK : try_choice(f, fits, &ok);
}

/* The fewest devices that have room for all of the model; else all of them. */
static wh_status find_devices(fit *f) {
  const uint32_t n_devices = f->key->n_devices;
  bool ok = false;
  for (uint32_t n = 2; n < n_devices && !ok; n++) {
    f->key->n_devices = n;
    WH_TRY(try_choice(f, n_choices(f) - 1, &ok));
  }
  if (ok) return WH_OK;
  f->key->n_devices = n_devices;
  return find_most(f);
}

wh_status wh_fit_layers(wh_session *s, uint32_t n_layers, wh_program_key *key) {
  fit f = {.s = s, .key = key, .n_layers = n_layers_of(s)};
  bool ok;
  if (key->n_devices == 1 || key->split_mode == WH_SPLIT_TENSORS) return WH_OK;
  if (key->has_offload && n_layers == WH_LAYERS_AUTO) return find_devices(&f);
  key->moves_all = key->has_offload && n_layers > f.n_layers;
  if (!key->has_offload || n_layers > f.n_layers) n_layers = f.n_layers;
  key->layers[1] = n_layers; /* one device has no choice */
  return key->n_devices - first_of(key) == 1 ? WH_OK : try_layers(&f, n_layers, &ok);
}

/* A processor to plan with, where the session has none. */
static wh_status open_processor(wh_device *out) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.isa = "ref";
  o.n_threads = 1;
  out->backend = &wh_backend_cpu;
  return wh_backend_cpu.open(0, &o, &out->device);
}

wh_status wh_fit_explain(wh_session *s, const wh_program_key *key) {
  const wh_error_record why = *wh_last_error();
  const uint32_t n = n_layers_of(s);
  wh_device own = {.alloc = NULL};
  wh_program_key with_host = *key;
  wh_status st = WH_OK;
  if (!key->has_offload && key->n_devices < WH_SESSION_DEVICES) {
    st = open_processor(&own);
    memcpy(&with_host.devices[1], key->devices, key->n_devices * sizeof key->devices[0]);
    with_host.devices[0] = &own;
    with_host.n_devices++;
    with_host.has_offload = true;
  }
  with_host.split_mode = WH_SPLIT_LAYERS;
  if (st == WH_OK) st = wh_fit_layers(s, WH_LAYERS_AUTO, &with_host);
  if (own.device) own.backend->close(own.device);
  if (st != WH_OK) { /* it is the first error that counts */
    wh_error_set(&why);
    return why.status;
  }
  uint32_t layers = 0;
  for (uint32_t d = 1; d < with_host.n_devices; d++) layers += with_host.layers[d];
  char experts[64] = "";
  if (with_host.kept_experts)
    (void)snprintf(experts, sizeof experts, ", %u of them without their experts", with_host.kept_experts);
  return wh_fail_at(why.file, why.line, why.status, "%s; %u of the model's %u layers would fit%s",
                    why.message, layers, n, experts);
}
