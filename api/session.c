/* session.c - the public face of a running model: the model's program for these options, and one run of it.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "core/base/log.h"
#include "core/base/memory_budget.h"

#define DEFAULT_CONTEXT 4096u
#define DEFAULT_BATCH 512u

struct wh_session {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  wh_model *model;                        /* a reference, as are the devices */
  wh_device *devices[WH_SESSION_DEVICES]; /* references; of these the program has the first */
  wh_program_key key;
  wh_program *program; /* the model's */
  wh_lm *lm;
  wh_hash128 identity; /* what saved sequences are bound to */
  bool has_identity;
  wh_session_options options;
  uint32_t rope_border; /* LongRoPE; 0: none */
  uint32_t n_pages;
  wh_run_memory memory;
  wh_device_memory on_device[WH_SESSION_DEVICES]; /* before it was taken */
  wh_trace_fn trace;
  void *trace_ctx;
  wh_extraction extraction; /* of the next run */
};

static wh_status fill_options(const wh_model *m, wh_session_options *o) {
  if (!o->context) {
    int64_t trained = m->hparams.context_length;
    o->context = trained > 0 && trained < DEFAULT_CONTEXT ? (uint32_t)trained : DEFAULT_CONTEXT;
  }
  if (!o->max_batch) o->max_batch = DEFAULT_BATCH;
  if (!o->max_outputs) o->max_outputs = 1;
  if (!o->max_sequences) o->max_sequences = 1;
  uint64_t positions = (uint64_t)o->context * o->max_sequences;
  if (o->max_batch > positions) o->max_batch = (uint32_t)positions; /* a longer batch could never fit */
  if (o->context > WH_MODEL_MAX_CONTEXT)
    return WH_FAIL(ERR_LIMIT, "a context of %u tokens: at most %d", o->context, WH_MODEL_MAX_CONTEXT);
  if (o->max_sequences > WH_MODEL_MAX_SLOTS)
    return WH_FAIL(ERR_LIMIT, "%u sequences: at most %d", o->max_sequences, WH_MODEL_MAX_SLOTS);
  if (o->max_batch > WH_MODEL_MAX_TOKENS || o->max_outputs > WH_MODEL_MAX_OUTPUTS)
    return WH_FAIL(ERR_LIMIT, "a batch of %u tokens with %u outputs is too large", o->max_batch,
                   o->max_outputs);
  return WH_OK;
}

static wh_lm_options limits_of(wh_session *s) {
  return (wh_lm_options){.alloc = s->alloc,
                         .context = s->options.context,
                         .max_batch = s->options.max_batch,
                         .max_outputs = s->options.max_outputs,
                         .max_sequences = s->options.max_sequences,
                         .n_pages = s->n_pages,
                         .long_rope_border = s->rope_border,
                         .numbered_find_prefixes = s->options.find_prefixes != 0,
                         .owner = s,
                         .progress = {s->options.progress, s->options.progress_ctx}};
}

/* As many pages as fit into so many bytes. */
static wh_status choose_pages(wh_session *s, uint64_t n_bytes) {
  int64_t symbols[WH_LM_MAX_SYMBOLS];
  wh_layout *layout = NULL;
  char have[WH_BYTES_TEXT], need[WH_BYTES_TEXT];
  s->n_pages = 1;
  const wh_lm_options limits = limits_of(s);
  WH_TRY(wh_lm_symbols(s->program->graph, &limits, symbols));
  WH_TRY(wh_program_get_layout(s->program, symbols, &layout));
  uint64_t page = 0;
  for (size_t d = 0; d < s->program->n_devices; d++) page += layout->memory[d].state_bytes;
  wh_layout_release(layout);
  const uint64_t n = page ? n_bytes / page : 1;
  if (n == 0)
    return WH_FAIL(ERR_LIMIT, "%s for attention state: a page of %d positions takes %s",
                   wh_bytes_text(n_bytes, have), WH_KV_PAGE, wh_bytes_text(page, need));
  s->n_pages = n < WH_MODEL_MAX_PAGES ? (uint32_t)n : WH_MODEL_MAX_PAGES;
  return WH_OK;
}

/* The model's program for the session, and its layout. */
static wh_status plan(wh_session *s, const wh_program_key *key, const wh_pack_cache_options *cache,
                      wh_layout **out) {
  int64_t symbols[WH_LM_MAX_SYMBOLS];
  const wh_lm_options first = limits_of(s);
  const wh_program_request request = {
      .limits = &first,
      .pack_cache = cache,
      .pack_while_running = s->options.pack_while_running,
      .progress = {.fn = s->options.progress, .ctx = s->options.progress_ctx}};
  WH_TRY(wh_model_take_program(s->model, key, &request, &s->program, &s->rope_border));
  if (s->options.kv_bytes) WH_TRY(choose_pages(s, s->options.kv_bytes));
  const wh_lm_options limits = limits_of(s);
  WH_TRY(wh_lm_symbols(s->program->graph, &limits, symbols));
  return wh_program_get_layout(s->program, symbols, out);
}

static void give_program(wh_session *s) {
  if (s->program) wh_model_give_program(s->model, s->program);
  s->program = NULL;
}

wh_status wh_session_try(wh_session *s, const wh_program_key *key, wh_device_memory out[WH_SESSION_DEVICES]) {
  wh_layout *layout = NULL;
  wh_program *const kept = s->program;
  s->program = NULL;
  wh_status st = plan(s, key, NULL, &layout);
  for (uint32_t d = 0; d < key->n_devices && st == WH_OK; d++)
    st = wh_program_device_memory(s->program, layout, d, &out[d]);
  wh_layout_release(layout);
  give_program(s);
  s->program = kept;
  return st;
}

static wh_status memory_budget(const wh_session_options *o, wh_memory_budget *out) {
  if (!o->memory_limit) return wh_memory_budget_read(o->allocator, out);
  *out = (wh_memory_budget){o->memory_limit, "the limit that was set"};
  return WH_OK;
}

/* Pages of files that do not stay in memory are read again in each run. What a token reads counts: of a
 * mixture of experts, or of an embedding, that is a part. */
static void warn_of_slow_files(const wh_session *s, const wh_memory_budget *budget, const wh_log *log) {
  char in_files[WH_BYTES_TEXT], rest[WH_BYTES_TEXT];
  const wh_run_memory *m = &s->memory;
  const uint64_t taken = m->arena_bytes + m->state_bytes + m->weights.packed_bytes + m->other_bytes;
  uint64_t files = 0, left = budget->available > taken ? budget->available - taken : 0;
  for (size_t i = 0; i < s->program->n_steps; i++) files += s->program->weight_bytes[i];
  files -= m->weights.packed_bytes < files ? m->weights.packed_bytes : files;
  if (files <= left) return;
  wh_log_write(
      log, WH_LOG_WARNING,
      "%s of weights are used from their file but %s of memory are left for its pages by %s: they will "
      "be read from the disk again and again",
      wh_bytes_text(files, in_files), wh_bytes_text(left, rest), budget->limit);
}

/* The session keeps its devices, those too that it turns out not to need. */
static wh_status take_devices(wh_session *s, wh_device *device) {
  const wh_session_options *o = &s->options;
  wh_program_key *key = &s->key;
  if (o->n_peers && !o->peers)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%u peers, but 'peers' is NULL", o->n_peers);
  if (o->n_peers > WH_SESSION_DEVICES - 2)
    return WH_FAIL(ERR_LIMIT, "%u peers: at most %u", o->n_peers, WH_SESSION_DEVICES - 2);
  if (o->split_mode > WH_SPLIT_TENSORS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "split mode %u is none that there is", o->split_mode);
  if (o->split_mode == WH_SPLIT_TENSORS && o->offload)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "tensors are shared by devices that have all of the model: with an offload "
                   "layers are");
  key->devices[key->n_devices++] = device;
  if (o->offload) key->devices[key->n_devices++] = o->offload;
  for (uint32_t i = 0; i < o->n_peers; i++) {
    if (!o->peers[i]) return WH_FAIL(ERR_INVALID_ARGUMENT, "peer %u is NULL", i);
    key->devices[key->n_devices++] = o->peers[i];
  }
  for (uint32_t i = 1; i < key->n_devices; i++)
    for (uint32_t k = o->offload && o->n_peers ? 1 : 0; o->n_peers && k < i; k++)
      if (key->devices[i] == key->devices[k])
        return WH_FAIL(ERR_INVALID_ARGUMENT, "device %u of the session is device %u once more", i, k);
  key->has_offload = o->offload != NULL;
  key->kept_experts = o->offload ? o->kept_experts : 0;
  key->split_mode = (wh_split_mode)(key->n_devices > 1 ? o->split_mode : WH_SPLIT_LAYERS);
  key->kv_dtype = o->kv_dtype;
  key->outgrows_rope = wh_model_outgrows_rope(s->model, o->context);
  return WH_OK;
}

static wh_status check_devices(wh_session *s, const wh_layout *layout) {
  for (uint32_t d = 0; d < s->program->n_devices; d++)
    WH_TRY(wh_program_device_memory(s->program, layout, d, &s->on_device[d]));
  wh_status st = wh_program_check_devices(s->program, layout);
  if (st != WH_ERR_OUT_OF_MEMORY) return st;
  return wh_fit_explain(s, &s->key);
}

static wh_status open_session(wh_session *s, const wh_session_options *o) {
  wh_memory_budget budget;
  wh_layout *layout = NULL;
  wh_hash128 stamp;
  wh_pack_cache_options cache = {.folder = o->pack_cache, .mapped = o->pack_cache_mapped, .log = o->log};
  s->n_pages = wh_lm_pages_for(o->context) * o->max_sequences;
  WH_TRY(wh_fit_layers(s, s->options.offload_layers, &s->key));
  if (o->pack_cache && wh_model_file_stamp(s->model->file, &stamp)) cache.model_stamp = &stamp;
  wh_status st = plan(s, &s->key, o->pack_cache ? &cache : NULL, &layout);
  if (st == WH_OK) st = memory_budget(o, &budget);
  if (st == WH_OK) st = check_devices(s, layout);
  if (st == WH_OK) st = wh_program_check_memory(s->program, layout, &budget);
  if (st == WH_OK) wh_program_predict_memory(s->program, layout, &s->memory);
  wh_layout_release(layout);
  WH_TRY(st);
  const wh_lm_options limits = limits_of(s);
  WH_TRY(wh_lm_create(s->program, &limits, &s->lm));
  warn_of_slow_files(s, &budget, o->log);
  return WH_OK;
}

wh_status wh_session_create(const wh_model *model, wh_device *device, const wh_session_options *options,
                            wh_session **out) {
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  WH_WANT(model, "model");
  WH_WANT(device, "device");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_SESSION_OPTIONS_INIT);
  WH_TRY(wh_model_want_file(model));
  WH_TRY(fill_options(model, &o));
  wh_session *s = wh_alloc_zeroed(o.allocator, sizeof *s);
  if (!s) return WH_OOM("session");
  atomic_init(&s->n_refs, 1);
  s->alloc = o.allocator;
  s->model = wh_model_retain(wh_model_changing(model));
  s->options = o;
  s->options.pack_cache = NULL; /* the caller's, for creation only */
  s->options.log = NULL;
  wh_status st = take_devices(s, device);
  for (uint32_t d = 0; d < s->key.n_devices; d++) s->devices[d] = wh_device_retain(s->key.devices[d]);
  s->options.peers = NULL;
  if (st == WH_OK) st = open_session(s, &o);
  if (st == WH_ERR_CORRUPT) st = wh_fail_prefix("%s", wh_model_file_path(model->file));
  if (st != WH_OK) {
    wh_session_destroy(s);
    return st;
  }
  *out = s;
  return WH_OK;
}

wh_session *wh_session_retain(wh_session *s) {
  if (s) wh_refs_add(&s->n_refs);
  return s;
}

void wh_session_destroy(wh_session *s) {
  if (!s || !wh_refs_drop(&s->n_refs)) return;
  wh_lm_destroy(s->lm);
  wh_extraction_drop(&s->extraction, s->alloc);
  give_program(s);
  for (uint32_t d = WH_SESSION_DEVICES; d-- > 0;) wh_device_destroy(s->devices[d]);
  wh_model_destroy(s->model);
  wh_free(s->alloc, s);
}

const wh_session_options *wh_session_get_options(const wh_session *s) { return &s->options; }
wh_lm *wh_session_get_lm(const wh_session *s) { return s->lm; }
wh_status wh_session_name_file(const wh_session *s, wh_status st) {
  return st == WH_ERR_CORRUPT ? wh_fail_prefix("%s", wh_model_file_path(s->model->file)) : st;
}
const wh_model *wh_session_get_model(const wh_session *s) { return s->model; }

wh_status wh_session_extract(wh_session *s, const char *node, const char *folder) {
  WH_WANT(s, "session");
  WH_WANT(node, "node");
  WH_WANT(folder, "folder");
  WH_TRY(wh_extraction_begin(&s->extraction, node, folder, s->alloc));
  wh_run_set_extract(wh_lm_run_of(s->lm), s->extraction.extract);
  return WH_OK;
}

static bool has_computed(const wh_session *s) {
  for (uint32_t i = 0; i < s->options.max_sequences; i++)
    if (wh_session_length(s, i)) return true;
  return false;
}

wh_status wh_session_run(wh_session *s, const wh_batch *batch) {
  wh_batch b = WH_BATCH_INIT;
  WH_WANT(s, "session");
  wh_lm_drop_rows(s->lm);
  WH_WANT(batch, "batch");
  WH_READ_OPTIONS(&b, batch, WH_BATCH_INIT);
  const bool has_past = s->extraction.extract && has_computed(s);
  WH_TRY(wh_session_name_file(s, wh_lm_run(s->lm, &b)));
  if (!s->extraction.extract) return WH_OK;
  wh_run_set_extract(wh_lm_run_of(s->lm), NULL);
  return wh_extraction_end(&s->extraction, has_past, s->alloc);
}

const float *wh_session_logits(const wh_session *s, uint32_t output) {
  return s ? wh_lm_row(s->lm, output) : NULL;
}
wh_status wh_session_sample(wh_session *s, uint32_t output, wh_generator *generator, int32_t *token) {
  wh_lm_best best;
  bool decided = false;
  WH_WANT(s, "session");
  WH_WANT(generator, "generator");
  WH_WANT(token, "token");
  if (wh_lm_row_best(s->lm, output, &best))
    WH_TRY(wh_generator_sample_best(generator, &best, token, &decided));
  if (decided) return WH_OK;
  const float *logits = wh_lm_row(s->lm, output);
  if (!logits) WH_TRY(wh_session_row_status(s, output));
  return wh_generator_sample(generator, logits, token);
}
wh_status wh_session_row_status(const wh_session *s, uint32_t output) {
  WH_WANT(s, "session");
  return wh_session_name_file(s, wh_lm_row_status(s->lm, output));
}
uint32_t wh_session_length(const wh_session *s, uint32_t sequence) {
  uint32_t n = 0;
  const wh_sequence *numbered = s ? wh_lm_numbered(s->lm, sequence) : NULL;
  if (numbered) (void)wh_lm_sequence_tokens(numbered, &n);
  return n;
}
uint32_t wh_session_context(const wh_session *s) { return s ? s->options.context : 0; }
wh_status wh_session_truncate(wh_session *s, uint32_t seq, uint32_t length) {
  WH_WANT(s, "session");
  wh_sequence *numbered = NULL;
  WH_TRY(wh_session_get_sequence(s, seq, &numbered));
  return wh_lm_sequence_truncate(numbered, length);
}
/* The graph after the passes, with all its constants, is what decides the logits. */
static wh_status hash_graph(wh_session *s, const wh_graph *g) {
  wh_text_buffer text;
  wh_text_buffer_init(&text, s->alloc);
  wh_status st = wh_graph_print(g, &text);
  if (st != WH_OK) {
    wh_text_buffer_deinit(&text);
    return st;
  }
  if (text.oom || !text.data) {
    wh_text_buffer_deinit(&text);
    return WH_OOM("graph text");
  }
  wh_hash128 both[2] = {wh_hash_bytes(text.data, strlen(text.data))};
  wh_text_buffer_deinit(&text);
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *value = &g->values[v];
    size_t n = 0;
    if (value->kind != WH_VALUE_CONST || !value->data) continue;
    if (!wh_shape_bytes(g, &value->shape, wh_run_layout(wh_lm_run_of(s->lm))->symbols, &n))
      return WH_FAIL(ERR_LIMIT, "'%s' is too large", value->name);
    both[1] = wh_hash_bytes(value->data, n);
    both[0] = wh_hash_bytes(both, sizeof both);
  }
  s->identity = both[0];
  s->has_identity = true;
  return WH_OK;
}

/* How devices share it out decides nothing. */
static wh_status make_identity(wh_session *s) {
  wh_graph *g = NULL;
  if (s->key.split_mode != WH_SPLIT_TENSORS) return hash_graph(s, s->program->graph);
  WH_TRY(wh_model_unshared_graph(s->model, &s->key, s->options.context, &g));
  const wh_status st = hash_graph(s, g);
  wh_graph_destroy(g);
  return st;
}

wh_status wh_session_identity(wh_session *s, wh_lm_identity *out) {
  const wh_program *p = s->program;
  if (!s->has_identity) WH_TRY(make_identity(s));
  *out = (wh_lm_identity){.model = s->identity, .pack_version = p->devices[0].device.backend->pack_version};
  char text[WH_SESSION_DEVICES * 48];
  size_t n = 0;
  for (uint32_t d = 0; d < p->n_devices && n < sizeof text; d++)
    n += (size_t)snprintf(text + n, sizeof text - n,
                          !d                                      ? "%s"
                          : s->key.split_mode == WH_SPLIT_TENSORS ? "+%s"
                                                                  : "+%s %u",
                          p->devices[d].device.backend->name, (unsigned)s->key.layers[d]);
  if (n < sizeof out->device)
    memcpy(out->device, text, n + 1);
  else
    (void)snprintf(out->device, sizeof out->device, "%u devices %016llx", p->n_devices,
                   (unsigned long long)wh_hash_bytes(text, n < sizeof text ? n : sizeof text).low);
  return WH_OK;
}

void wh_session_set_interrupt(wh_session *s, wh_interrupt_fn fn, void *ctx) {
  if (s) wh_lm_set_interrupt(s->lm, fn, ctx);
}

static int pass_on(void *ctx, const wh_run_trace_event *event) {
  const wh_session *s = ctx;
  const wh_trace_event e = wh_public_trace_event(event);
  return s->trace(s->trace_ctx, &e);
}

void wh_session_set_trace(wh_session *s, wh_trace_fn fn, void *ctx) {
  if (!s) return;
  s->trace = fn;
  s->trace_ctx = ctx;
  wh_lm_set_trace(s->lm, fn ? pass_on : NULL, s);
}

wh_status wh_session_get_memory(const wh_session *s, wh_session_memory *memory) {
  WH_WANT(s, "session");
  WH_WANT_INFO(memory, "memory", WH_SESSION_MEMORY_INIT);
  const wh_run_memory *m = &s->memory;
  wh_session_memory full = WH_SESSION_MEMORY_INIT;
  full.n_instructions = (uint32_t)s->program->n_steps;
  full.activations = m->arena_bytes;
  full.activations_lower_bound = m->arena.lower_bound_bytes;
  full.activations_unshared = m->arena.unshared_bytes;
  full.kv_state = m->state_bytes;
  full.packed_weights = m->weights.packed_bytes;
  full.mapped_weights = m->weights.mapped_bytes;
  full.cached_weights = m->weights.cached_bytes;
  full.other = m->other_bytes + m->weights.other_bytes + wh_lm_own_bytes(s->lm);
  full.peak = full.activations + full.kv_state + full.packed_weights + full.other;
  WH_WRITE_INFO(memory, full);
  return WH_OK;
}

wh_status wh_session_get_placement(const wh_session *s, uint32_t i, wh_session_placement *placement) {
  WH_WANT(s, "session");
  WH_WANT_INFO(placement, "placement", WH_SESSION_PLACEMENT_INIT);
  if (i >= s->program->n_devices) return WH_FAIL(ERR_NOT_FOUND, "the session has no device %u", i);
  const wh_device_memory *m = &s->on_device[i];
  const wh_program_key *key = &s->key;
  uint32_t before = 0, others = 0; /* layers of devices 1 to i - 1; of all but the first */
  for (uint32_t d = 1; d < key->n_devices; d++) {
    if (d < i) before += key->layers[d];
    others += key->layers[d];
  }
  wh_session_placement full = WH_SESSION_PLACEMENT_INIT;
  full.n_layers = i ? key->layers[i] : (uint32_t)s->model->hparams.n_layers - others;
  if (key->split_mode == WH_SPLIT_TENSORS) full.n_layers = (uint32_t)s->model->hparams.n_layers;
  const uint32_t kept = key->kept_experts > before ? key->kept_experts - before : 0;
  full.n_kept_experts = !i ? 0 : kept < full.n_layers ? kept : full.n_layers;
  full.device = wh_plan_device_name(&s->program->devices[i].device);
  full.packed_weights = m->weights;
  full.kv_state = m->states;
  full.activations = m->activations;
  full.mapped_weights = m->mapped;
  full.free_bytes = m->is_own ? m->available : 0;
  WH_WRITE_INFO(placement, full);
  return WH_OK;
}

wh_status wh_session_get_packing(const wh_session *s, wh_session_packing *packing) {
  WH_WANT(s, "session");
  WH_WANT_INFO(packing, "packing", WH_SESSION_PACKING_INIT);
  wh_weight_packing p = {0};
  if (s->program->devices[0].weights) p = wh_weight_set_get_packing(s->program->devices[0].weights);
  wh_session_packing full = WH_SESSION_PACKING_INIT;
  full.n_packed = p.n_packed;
  full.n_cached = p.n_cached;
  full.n_in_place = p.n_in_place;
  full.hashed_model = p.hashed_model;
  full.stored = p.stored;
  WH_WRITE_INFO(packing, full);
  return WH_OK;
}

wh_status wh_session_keep_packed(wh_session *s) {
  WH_WANT(s, "session");
  const wh_progress_sink progress = {s->options.progress, s->options.progress_ctx};
  wh_weight_set *weights = s->program->devices[0].weights;
  return weights ? wh_weight_set_keep(weights, &progress) : WH_OK;
}

wh_status wh_session_get_instruction(const wh_session *s, uint32_t i, wh_instruction_info *info) {
  WH_WANT(s, "session");
  WH_WANT_INFO(info, "info", WH_INSTRUCTION_INFO_INIT);
  return wh_describe_instruction(s->program, i, info);
}

wh_status wh_session_plan_text(const wh_session *s, char **out) {
  WH_WANT(s, "session");
  WH_WANT(out, "out");
  return wh_describe_plan(wh_lm_run_of(s->lm), s->alloc, out);
}

void wh_hash_text(const void *data, size_t n_bytes, char out[33]) {
  if (!out) return;
  if (data || !n_bytes)
    wh_hash_format(wh_hash_bytes(data ? data : "", n_bytes), out);
  else
    out[0] = '\0';
}
