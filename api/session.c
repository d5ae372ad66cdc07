/* session.c - the public face of a running model: builds its graph for these options, runs the passes,
 * creates the program. */
#include <string.h>

#include "api/api_internal.h"
#include "core/base/log.h"
#include "core/exec/run_session.h"
#include "core/passes/passes.h"
#include "core/plan/fold_evaluator.h"

#define DEFAULT_CONTEXT 4096u
#define DEFAULT_BATCH 512u

struct wh_session {
  const wh_allocator *alloc;
  const wh_model *model;
  wh_graph *graph;
  wh_run_session *run;
  wh_session_options options;
};

static void weight_done(void *ctx, const void *origin) { wh_model_file_weight_dont_need(ctx, origin); }

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

static wh_status memory_budget(const wh_session_options *o, wh_memory_budget *out) {
  if (!o->memory_limit) return wh_memory_budget_read(o->allocator, out);
  *out = (wh_memory_budget){o->memory_limit, "the limit that was set"};
  return WH_OK;
}

/* Pages of files that do not stay in memory are read again in each run. What a token reads counts: of a
 * mixture of experts, or of an embedding, that is a part. */
static void warn_of_slow_files(const wh_session *s, const wh_memory_budget *budget, const wh_log *log) {
  wh_session_memory m = WH_SESSION_MEMORY_INIT;
  char in_files[WH_BYTES_TEXT], rest[WH_BYTES_TEXT];
  wh_session_get_memory(s, &m);
  const wh_program *p = wh_run_session_program(s->run);
  uint64_t files = 0, left = 0;
  for (size_t i = 0; i < wh_program_n_instrs(p); i++) files += wh_program_instr(p, i)->weight_bytes;
  files -= m.packed_weights < files ? m.packed_weights : files;
  if (budget->available > m.peak) left = budget->available - m.peak;
  if (files <= left) return;
  wh_log_write(
      log, WH_LOG_WARNING,
      "%s of weights are used from their file but %s of memory are left for its pages by %s: they will "
      "be read from the disk again and again",
      wh_bytes_text(files, in_files), wh_bytes_text(left, rest), budget->limit);
}

wh_status wh_session_create(const wh_model *model, wh_device *device, const wh_session_options *options,
                            wh_session **out) {
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  WH_READ_OPTIONS(&o, options);
  WH_TRY(fill_options(model, &o));
  wh_session *s = wh_alloc_zeroed(o.allocator, sizeof *s);
  if (!s) return WH_OOM("session");
  s->alloc = o.allocator;
  s->model = model;
  s->options = o;
  const wh_model_build_options build = {.kv_dtype = o.kv_dtype, .context = o.context};
  wh_model_hparams hparams;
  wh_status st = wh_model_build_graph(model->file, &build, s->alloc, &s->graph, &hparams);
  wh_fold_device fold_device = {device->backend, device->device};
  const wh_fold_evaluator fold = {&fold_device, wh_fold_eval};
  if (st == WH_OK) st = wh_passes_run(s->graph, &fold);
  wh_memory_budget budget = {.available = UINT64_MAX};
  if (st == WH_OK) st = memory_budget(&o, &budget);
  s->options.pack_cache = NULL; /* the caller's, for creation only */
  s->options.log = NULL;
  if (st == WH_OK) {
    wh_hash128 stamp;
    wh_pack_cache_options cache = {.folder = o.pack_cache, .mapped = o.pack_cache_mapped, .log = o.log};
    if (o.pack_cache && wh_model_file_stamp(model->file, &stamp)) cache.model_stamp = &stamp;
    const wh_run_session_options ro = {.backend = device->backend,
                                       .device = device->device,
                                       .alloc = s->alloc,
                                       .context = o.context,
                                       .max_batch = o.max_batch,
                                       .max_outputs = o.max_outputs,
                                       .max_sequences = o.max_sequences,
                                       .weight_done = weight_done,
                                       .weight_done_ctx = model->file,
                                       .pack_cache = o.pack_cache ? &cache : NULL,
                                       .memory = &budget};
    st = wh_run_session_create(s->graph, &ro, &s->run);
    if (st == WH_OK) warn_of_slow_files(s, &budget, o.log);
    if (st == WH_ERR_CORRUPT) st = wh_fail_prefix("%s", wh_model_file_path(model->file));
  }
  if (st != WH_OK) {
    wh_session_destroy(s);
    return st;
  }
  *out = s;
  return WH_OK;
}

void wh_session_destroy(wh_session *s) {
  if (!s) return;
  wh_run_session_destroy(s->run);
  wh_graph_destroy(s->graph);
  wh_free(s->alloc, s);
}

const wh_session_options *wh_session_get_options(const wh_session *s) { return &s->options; }
const wh_model *wh_session_get_model(const wh_session *s) { return s->model; }

wh_status wh_session_run(wh_session *s, const wh_batch *batch) {
  wh_batch b = WH_BATCH_INIT;
  WH_READ_OPTIONS(&b, batch);
  wh_status st = wh_run_session_run(s->run, &b);
  return st == WH_ERR_CORRUPT ? wh_fail_prefix("%s", wh_model_file_path(s->model->file)) : st;
}

const float *wh_session_logits(const wh_session *s, uint32_t output) {
  return wh_run_session_logits(s->run, output);
}
uint32_t wh_session_length(const wh_session *s, uint32_t seq) { return wh_run_session_length(s->run, seq); }
uint32_t wh_session_context(const wh_session *s) { return s->options.context; }
wh_status wh_session_truncate(wh_session *s, uint32_t seq, uint32_t length) {
  return wh_run_session_truncate(s->run, seq, length);
}
void wh_session_set_trace(wh_session *s, wh_trace_fn fn, void *ctx) {
  wh_run_session_set_trace(s->run, fn, ctx);
}

void wh_session_get_memory(const wh_session *s, wh_session_memory *memory) {
  const wh_program *p = wh_run_session_program(s->run);
  wh_program_memory m;
  wh_program_get_memory(p, &m);
  wh_session_memory full = WH_SESSION_MEMORY_INIT;
  full.n_instructions = (uint32_t)wh_program_n_instrs(p);
  full.activations = m.arena_bytes;
  full.activations_lower_bound = m.plan.lower_bound_bytes;
  full.activations_unshared = m.plan.unshared_bytes;
  full.kv_state = m.state_bytes;
  full.packed_weights = m.packed_bytes;
  full.mapped_weights = m.mapped_bytes;
  full.cached_weights = m.cached_bytes;
  full.other = m.other_bytes;
  full.peak = full.activations + full.kv_state + full.packed_weights + full.other;
  WH_WRITE_INFO(memory, full);
}

void wh_session_get_packing(const wh_session *s, wh_session_packing *packing) {
  const wh_program_packing p = wh_program_get_packing(wh_run_session_program(s->run));
  wh_session_packing full = WH_SESSION_PACKING_INIT;
  full.n_packed = p.n_packed;
  full.n_cached = p.n_cached;
  full.n_in_place = p.n_in_place;
  full.hashed_model = p.hashed_model;
  full.stored = p.stored;
  WH_WRITE_INFO(packing, full);
}

wh_status wh_session_keep_packed(wh_session *s) { return wh_run_session_keep_packed(s->run); }

wh_status wh_session_get_instruction(const wh_session *s, uint32_t i, wh_instruction_info *info) {
  const wh_program *p = wh_run_session_program(s->run);
  if (i >= wh_program_n_instrs(p)) return WH_FAIL(ERR_NOT_FOUND, "no instruction %u", i);
  const wh_instr *in = wh_program_instr(p, i);
  wh_instruction_info full = WH_INSTRUCTION_INFO_INIT;
  full.barrier = in->barrier;
  full.node = in->node->name;
  full.op = wh_op_get(in->node->op)->name;
  full.kernel = in->kernel;
  full.reason = in->reason;
  full.weight_bytes = in->weight_bytes;
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_session_plan_text(const wh_session *s, char **out) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, s->alloc);
  wh_program_print(wh_run_session_program(s->run), &b);
  if (b.oom || !b.data) {
    wh_text_buffer_deinit(&b);
    return WH_OOM("plan text");
  }
  *out = b.data;
  return WH_OK;
}

void wh_session_string_destroy(const wh_session *s, char *text) { wh_free(s->alloc, text); }

void wh_hash_text(const void *data, size_t n_bytes, char out[33]) {
  wh_hash_format(wh_hash_bytes(data, n_bytes), out);
}
