/* programs.c - the programs of a model that its sessions and runners share: one per devices and cache type,
 * made by the first session that asks, gone with the last. Programs on the same device share their weights as
 * well. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/cpu/cpu_backend.h"
#include "core/passes/passes.h"
#include "core/plan/fold_evaluator.h"

#define LAYER_NAME_BYTES 32

struct shared_program {
  wh_program_key key;
  wh_program *program;
  uint32_t n_sessions, rope_border;
  shared_program *next;
};

static void weight_done(void *ctx, const void *origin, uint64_t n_bytes) {
  (void)n_bytes;
  wh_model_file_weight_dont_need(ctx, origin);
}

/* Constants are folded by the host, whatever the device: exact kernels have the same bits everywhere. */
static wh_status fold_and_fuse(wh_graph *g, const wh_device *device, const wh_allocator *alloc) {
  wh_fold_device d = {device->backend, device->device};
  const wh_fold_evaluator fold = {&d, wh_fold_eval};
  if (device->backend == &wh_backend_cpu) return wh_passes_run(g, &fold);
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.isa = "ref";
  o.n_threads = 1;
  o.allocator = alloc;
  d.backend = &wh_backend_cpu;
  WH_TRY(wh_backend_cpu.open(0, &o, &d.device));
  wh_status st = wh_passes_run(g, &fold);
  wh_backend_cpu.close(d.device);
  return st;
}

/* By the names that every family gives its nodes. What follows the attention of the offload's first layers
 * may stay with the first device, and what follows the last layer is where that is. */
static size_t layer_rules(const wh_program_key *key, int64_t n_layers, char names[][LAYER_NAME_BYTES],
                          wh_place_rule *rules) {
  size_t n = 0;
  int64_t at = n_layers;
  uint32_t last = 0, kept = key->kept_experts;
  for (uint32_t d = 1; d < key->n_devices; d++) {
    at -= key->layers[d];
    if (key->layers[d]) last = d;
  }
  if (key->moves_all) rules[n++] = (wh_place_rule){"", 1};
  if (last && (key->moves_all || !key->has_offload)) rules[n++] = (wh_place_rule){"output", last};
  for (uint32_t d = 1; d < key->n_devices; d++)
    for (uint32_t i = 0; i < key->layers[d]; i++, at++) {
      (void)snprintf(names[n], LAYER_NAME_BYTES, "blk.%lld.", (long long)at);
      rules[n] = (wh_place_rule){names[n], d};
      n++;
      if (!kept) continue;
      kept--;
      (void)snprintf(names[n], LAYER_NAME_BYTES, "blk.%lld.ffn_", (long long)at);
      rules[n] = (wh_place_rule){names[n], 0};
      n++;
    }
  return n;
}

/* By the names that wh_pass_share gives. */
static size_t share_rules(const wh_program_key *key, char names[][LAYER_NAME_BYTES], wh_place_rule *rules) {
  for (uint32_t d = 1; d < key->n_devices; d++) {
    (void)snprintf(names[d - 1], LAYER_NAME_BYTES, WH_SHARE_PREFIX "%u.", d);
    rules[d - 1] = (wh_place_rule){names[d - 1], d};
  }
  return key->n_devices - 1;
}

static bool same_devices(const wh_program_key *a, const wh_program_key *b) {
  return a->n_devices == b->n_devices &&
         memcmp(a->devices, b->devices, a->n_devices * sizeof a->devices[0]) == 0;
}

/* That of the backend, unless it has several of the devices. */
static const char *name_in(const wh_program_key *key, uint32_t device) {
  const wh_device *d = key->devices[device];
  for (uint32_t i = 0; i < key->n_devices; i++)
    if (i != device && key->devices[i]->backend == d->backend) return d->name;
  return NULL;
}

static wh_status make_graph(const wh_model *m, const wh_program_key *key, uint32_t context, wh_graph **out,
                            wh_model_hparams *hparams) {
  const wh_model_build_options build = {.kv_dtype = key->kv_dtype, .context = context};
  wh_graph *g = NULL;
  WH_TRY(wh_model_make_graph(m, &build, &g, hparams));
  const wh_status st = fold_and_fuse(g, key->devices[0], m->alloc);
  if (st == WH_OK)
    *out = g;
  else
    wh_graph_destroy(g);
  return st;
}

wh_status wh_model_unshared_graph(const wh_model *m, const wh_program_key *key, uint32_t context,
                                  wh_graph **out) {
  wh_model_hparams hparams;
  return make_graph(m, key, context, out, &hparams);
}

static wh_status make_program(const wh_model *m, const wh_program_key *key, const wh_program_request *q,
                              shared_program *out) {
  wh_graph *g = NULL;
  wh_model_hparams hparams;
  WH_TRY(make_graph(m, key, q->limits ? q->limits->context : 0, &g, &hparams));
  const bool shares = key->split_mode == WH_SPLIT_TENSORS;
  wh_status st = WH_OK;
  if (shares) st = wh_pass_share(g, key->n_devices);
  int64_t *symbols = wh_alloc_array(m->alloc, g->dims.n_symbols + WH_LM_MAX_SYMBOLS, sizeof *symbols);
  if (st == WH_OK && !symbols) st = WH_OOM("program");
  out->rope_border = st == WH_OK ? (uint32_t)hparams.long_rope_border : 0;
  if (st == WH_OK && q->limits) {
    wh_lm_options limits = *q->limits;
    limits.long_rope_border = out->rope_border;
    st = wh_lm_symbols(g, &limits, symbols);
  } else if (st == WH_OK) {
    q->symbols(q->symbols_ctx, g, symbols);
  }
  const size_t most_rules = 2 * (size_t)m->hparams.n_layers + 2 + WH_SESSION_DEVICES;
  char(*names)[LAYER_NAME_BYTES] = wh_alloc_array(m->alloc, most_rules, sizeof *names);
  wh_place_rule *rules = wh_alloc_array(m->alloc, most_rules, sizeof *rules);
  if (st == WH_OK && (!names || !rules)) st = WH_OOM("placement");
  if (st == WH_OK) {
    wh_plan_device devices[WH_SESSION_DEVICES];
    wh_weight_set *weights[WH_SESSION_DEVICES] = {NULL};
    for (uint32_t d = 0; d < key->n_devices; d++)
      devices[d] = (wh_plan_device){key->devices[d]->backend, key->devices[d]->device, name_in(key, d)};
    for (const shared_program *s = m->programs; s; s = s->next)
      if (same_devices(&s->key, key))
        for (uint32_t d = 0; d < key->n_devices; d++) weights[d] = s->program->devices[d].weights;
    const wh_program_options o = {
        .place = {.devices = devices,
                  .n_devices = key->n_devices,
                  .rules = rules,
                  .n_rules = shares ? share_rules(key, names, rules)
                                    : layer_rules(key, m->hparams.n_layers, names, rules)},
        .symbols = symbols,
        .alloc = m->alloc,
        .weight_done = m->file ? weight_done : NULL,
        .weight_done_ctx = m->file,
        .pack_cache = q->pack_cache,
        .pack_while_running = q->pack_while_running,
        .progress = q->progress,
        .weights = weights};
    st = wh_program_create(g, &o, &out->program);
  } else {
    wh_graph_destroy(g);
  }
  wh_free(m->alloc, names);
  wh_free(m->alloc, rules);
  wh_free(m->alloc, symbols);
  return st;
}

static bool same_key(const wh_program_key *a, const wh_program_key *b) {
  return same_devices(a, b) && memcmp(a->layers, b->layers, sizeof a->layers) == 0 &&
         a->has_offload == b->has_offload && a->moves_all == b->moves_all && a->split_mode == b->split_mode &&
         a->kept_experts == b->kept_experts && a->kv_dtype == b->kv_dtype &&
         a->outgrows_rope == b->outgrows_rope;
}

wh_status wh_model_take_program(const wh_model *model, const wh_program_key *key, const wh_program_request *q,
                                wh_program **out, uint32_t *rope_border) {
  wh_model *m = wh_model_changing(model);
  wh_status st = WH_OK;
  (void)pthread_mutex_lock(&m->programs_mutex);
  shared_program *s = m->programs;
  while (s && !same_key(&s->key, key)) s = s->next;
  if (!s) {
    s = wh_alloc_zeroed(m->alloc, sizeof *s);
    st = s ? make_program(m, key, q, s) : WH_OOM("program");
    if (st != WH_OK) {
      wh_free(m->alloc, s);
    } else {
      s->key = *key;
      s->next = m->programs;
      m->programs = s;
    }
  }
  if (st == WH_OK) {
    s->n_sessions++;
    *out = s->program;
    *rope_border = s->rope_border;
  }
  (void)pthread_mutex_unlock(&m->programs_mutex);
  return st;
}

void wh_model_give_program(const wh_model *model, const wh_program *program) {
  wh_model *m = wh_model_changing(model);
  (void)pthread_mutex_lock(&m->programs_mutex);
  for (shared_program **at = &m->programs; *at; at = &(*at)->next) {
    shared_program *s = *at;
    if (s->program != program) continue;
    if (--s->n_sessions == 0) {
      *at = s->next;
      wh_program_release(s->program);
      wh_free(m->alloc, s);
    }
    break;
  }
  (void)pthread_mutex_unlock(&m->programs_mutex);
}
