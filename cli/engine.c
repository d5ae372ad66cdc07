/* engine.c - see engine.h. */
#include "cli/engine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/advice.h"
#include "cli/interrupt.h"
#include "cli/memory.h"
#include "cli/model_path.h"
#include "cli/pack_folder.h"

double cli_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool cli_is_graph_folder(const char *path) {
  char file[PATH_MAX];
  const int n = snprintf(file, sizeof file, "%s/graph.txt", path);
  return n > 0 && (size_t)n < sizeof file && access(file, F_OK) == 0;
}

cli_exit cli_model_open(const char *path, wh_model **out) {
  wh_model_options options = WH_MODEL_OPTIONS_INIT;
  options.allocator = cli_allocator();
  wh_status status = cli_is_graph_folder(path) ? wh_model_open_folder(path, &options, out)
                                               : wh_model_open(path, &options, out);
  if (status == WH_OK) return CLI_OK;
  cli_exit code = cli_fail_input(status);
  if (!cli_is_graph_folder(path)) CLI_TRY(cli_model_path_check(path)); /* of what is no file, a better one */
  return code;
}

/* "cuda:1" is of the backend cuda. Those that are not linked in lie beside the program, or, of an installed
 * one, where the libraries lie.
 */
static const char *backend_folder(const char *name, char path[PATH_MAX]) {
  char file[PATH_MAX + 64];
  const int n_name = (int)strcspn(name, ":");
  const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
  if (n <= 0) return NULL;
  path[n] = '\0';
  char *slash = strrchr(path, '/');
  if (!slash) return NULL;
  *slash = '\0';
  snprintf(file, sizeof file, "%s/whimbrel-backend-%.*s.so", path, n_name < 32 ? n_name : 32, name);
  const size_t room = PATH_MAX - (size_t)(slash - path);
  if (access(file, F_OK) != 0 && sizeof "/" CLI_BACKENDS_FROM_PROGRAM <= room)
    memcpy(slash, "/" CLI_BACKENDS_FROM_PROGRAM, sizeof "/" CLI_BACKENDS_FROM_PROGRAM);
  return path;
}

wh_status cli_device_try(const cli_engine_options *options, const char *name, wh_device **out) {
  char folder[PATH_MAX];
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.name = name;
  o.backend_folder = backend_folder(name ? name : "", folder);
  o.isa = options->isa;
  o.n_threads = options->threads;
  o.numerics = options->numerics;
  o.binding = options->binding;
  o.prefetch = options->prefetch;
  o.gpu_graphs = options->gpu_graphs;
  o.allocator = cli_allocator();
  return wh_device_create(&o, out);
}

/* The first GPU that works; else why CUDA's does not. */
static wh_status try_gpus(const cli_engine_options *options, wh_device **out) {
  if (cli_device_try(options, "cuda", out) == WH_OK) return WH_OK;
  if (cli_device_try(options, "hip", out) == WH_OK) return WH_OK;
  return cli_device_try(options, "cuda", out);
}

/* Of "cuda:0+cuda:1" number `i`; false: there are not so many. */
static bool name_of(const char *list, uint32_t i, char *out, size_t n_bytes) {
  for (; i && list; i--) {
    list = strchr(list, '+');
    if (list) list++;
  }
  if (!list) return false;
  (void)snprintf(out, n_bytes, "%.*s", (int)strcspn(list, "+"), list);
  return true;
}

cli_exit cli_device_open(const cli_engine_options *options, wh_device **out) {
  char name[256];
  cli_engine_options of_gpu = *options;
  cli_split split;
  CLI_TRY(cli_split_of(options, &split));
  if (split.is_wanted) of_gpu.isa = NULL; /* the processor's */
  const bool any = options->device && strcmp(options->device, "auto") == 0;
  if (any || (split.is_wanted && !options->device)) {
    const wh_status status = try_gpus(&of_gpu, out);
    if (status == WH_OK) return CLI_OK;
    if (!any) return cli_fail_library(status);
    CLI_TRY_WH(cli_device_try(options, "cpu", out));
    return CLI_OK;
  }
  const bool named = options->device && name_of(options->device, 0, name, sizeof name);
  CLI_TRY_WH(cli_device_try(&of_gpu, named ? name : NULL, out));
  return CLI_OK;
}

/* The devices behind the first: those that are named; or, where the best are asked for, the GPUs beside it
 * when the model's weights would take more than half of its memory. */
static cli_exit open_peers(cli_engine *engine) {
  enum { MOST_PEERS = WH_SESSION_DEVICES - 2 };
  char name[256];
  const char *list = engine->options.device;
  const bool any = list ? strcmp(list, "auto") == 0 : engine->options.gpu_layers != NULL;
  const wh_device_info first = cli_engine_device_info(engine);
  cli_engine_options of_gpu = engine->options;
  of_gpu.isa = NULL; /* the processor's */
  if (any && (strcmp(first.name, "cpu") == 0 || engine->info.weight_bytes <= first.memory_bytes / 2))
    return CLI_OK;
  for (uint32_t i = 1; any || (list && name_of(list, i, name, sizeof name)); i++) {
    if (any) (void)snprintf(name, sizeof name, "%s:%u", first.name, i);
    if (engine->n_peers == MOST_PEERS && any) return CLI_OK;
    if (engine->n_peers == MOST_PEERS)
      return cli_fail(CLI_USAGE, "--device: at most %d devices together", MOST_PEERS + 1);
    const wh_status status =
        cli_device_try(any ? &of_gpu : &engine->options, name, &engine->peers[engine->n_peers]);
    if (status != WH_OK) return any ? CLI_OK : cli_fail_library(status);
    engine->n_peers++;
  }
  return CLI_OK;
}

static void log_line(void *ctx, wh_log_level level, const char *message) {
  (void)ctx, (void)level;
  cli_warn("%s", message);
}

/* The line says what takes so long; Ctrl-C ends it. */
static int show_progress(void *ctx, const wh_progress *p) {
  (void)ctx;
  if (p->done_bytes < p->total_bytes)
    cli_progress("%s: %.0f %%", wh_stage_name(p->stage),
                 100.0 * (double)p->done_bytes / (double)p->total_bytes);
  return cli_interrupted();
}

cli_exit cli_session_open(const cli_engine_options *options, const wh_model *model, wh_device *device,
                          const cli_session_needs *needs, wh_session **out) {
  static const wh_log log = {NULL, WH_LOG_WARNING, log_line};
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  o.context = options->context ? options->context : needs->context;
  o.max_batch = options->prompt_chunk;
  /* Small runs of the prompt do not bound those of the answer. */
  if (o.max_batch && o.max_batch < needs->max_outputs) o.max_batch = needs->max_outputs;
  o.max_outputs = needs->max_outputs;
  o.max_sequences = needs->max_sequences;
  o.kv_dtype = cli_kv_type_of(options)->dtype;
  o.allocator = cli_allocator();
  o.pack_cache = options->no_pack_cache ? NULL : options->pack_cache;
  o.pack_cache_mapped = options->pack_cache_mapped;
  if (needs->answers_soon) { /* smaller weights are packed in a moment */
    wh_model_info info = WH_MODEL_INFO_INIT;
    o.pack_while_running = wh_model_get_info(model, &info) == WH_OK && info.weight_bytes >= CLI_LARGE_WEIGHTS;
  }
  o.log = &log;
  o.progress = show_progress;
  o.find_prefixes = needs->find_prefixes;
  o.offload = needs->offload;
  o.peers = needs->peers;
  o.n_peers = needs->n_peers;
  o.split_mode = needs->n_peers ? options->split_mode : WH_SPLIT_LAYERS;
  if (o.offload) {
    cli_split split;
    CLI_TRY(cli_split_of(options, &split));
    o.offload_layers = split.layers;
    o.kept_experts = options->cpu_experts;
  }
  if (options->memory_limit) {
    uint64_t limit = options->memory_limit << 20, taken = cli_allocated(); /* by other models and sessions */
    o.memory_limit = limit > taken ? limit - taken : 1;
  }
  wh_status status = wh_session_create(model, device, &o, out);
  if (status == WH_ERR_CANCELLED) return cli_fail_interrupted();
  return status == WH_OK ? CLI_OK : cli_fail_library(status);
}

static void choose_pack_folder(cli_engine *engine) {
  char path[PATH_MAX];
  if (engine->options.pack_cache) return;
  cli_pack_choice choice = cli_pack_folder(engine->info.weight_bytes, path, sizeof path);
  if (choice == CLI_PACK_KEEP) engine->options.pack_cache = engine->own_pack_folder = strdup(path);
  if (choice == CLI_PACK_NO_FOLDER)
    cli_warn("cannot make the folder %s: %s; packed weights are not kept (--no-pack-cache asks for that)",
             path, strerror(errno));
}

/* A model that is split: the device becomes the offload of the processor. */
static cli_exit split_model(cli_engine *engine) {
  cli_split split;
  CLI_TRY(cli_split_of(&engine->options, &split));
  if (!split.is_wanted) return CLI_OK;
  const wh_device_info info = cli_engine_device_info(engine);
  if (strcmp(info.name, "cpu") == 0) {
    if (engine->options.device && strcmp(engine->options.device, "auto") == 0) return CLI_OK;
    return cli_fail(CLI_USAGE,
                    "--gpu-layers and --cpu-experts split a model between the processor and a GPU: name it "
                    "with --device (`whimbrel devices` lists what there is)");
  }
  engine->offload = engine->device;
  engine->device = NULL;
  CLI_TRY_WH(cli_device_try(&engine->options, "cpu", &engine->device));
  return CLI_OK;
}

static int interrupted(void *ctx) { return (void)ctx, cli_interrupted(); }

static cli_exit open_session(cli_engine *engine, const cli_session_needs *needs) {
  const cli_engine_options *options = &engine->options;
  cli_session_needs with_offload = *needs;
  CLI_TRY(split_model(engine));
  with_offload.offload = engine->offload;
  with_offload.peers = engine->peers;
  with_offload.n_peers = engine->n_peers;
  if (needs->may_keep_packed && !options->no_pack_cache) choose_pack_folder(engine);
  CLI_TRY(cli_session_open(options, engine->model, engine->device, &with_offload, &engine->session));
  wh_session_set_interrupt(engine->session, interrupted, NULL);
  cli_advise(engine);
  engine->prompt_chunk = options->prompt_chunk ? options->prompt_chunk : CLI_PROMPT_CHUNK;
  if (engine->prompt_chunk > wh_session_context(engine->session))
    engine->prompt_chunk = wh_session_context(engine->session);
  engine->max_outputs = needs->max_outputs ? needs->max_outputs : 1;
  return CLI_OK;
}

cli_exit cli_engine_begin(const char *path, const cli_engine_options *options, cli_engine *out) {
  cli_engine engine = {.info = WH_MODEL_INFO_INIT, .options = *options};
  double start = cli_seconds();
  CLI_TRY(cli_check_engine_options(options));
  cli_exit code = cli_device_open(options, &engine.device);
  if (code == CLI_OK) code = cli_model_open(path, &engine.model);
  if (code != CLI_OK) {
    cli_engine_close(&engine);
    return code;
  }
  wh_model_get_info(engine.model, &engine.info);
  if (!*engine.info.path) engine.info.path = path; /* a folder with a graph */
  code = open_peers(&engine);
  if (code != CLI_OK) {
    cli_engine_close(&engine);
    return code;
  }
  engine.load_seconds = cli_seconds() - start;
  *out = engine;
  return CLI_OK;
}

cli_exit cli_engine_start(cli_engine *engine, const cli_session_needs *needs) {
  double start = cli_seconds();
  cli_progress("loading %s ...", engine->info.path);
  cli_exit code = open_session(engine, needs);
  cli_progress("%s", "");
  if (code == CLI_OK && cli_interrupted()) code = cli_fail_interrupted();
  engine->load_seconds += cli_seconds() - start;
  return code;
}

cli_exit cli_engine_open(const char *path, const cli_engine_options *options, const cli_session_needs *needs,
                         cli_engine *out) {
  cli_engine engine;
  CLI_TRY(cli_engine_begin(path, options, &engine));
  cli_exit code = cli_engine_start(&engine, needs);
  if (code != CLI_OK) {
    cli_engine_close(&engine);
    return code;
  }
  *out = engine;
  return CLI_OK;
}

void cli_note_packing(const cli_engine *engine) {
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  if (!engine->options.pack_cache) return;
  wh_session_get_packing(engine->session, &p);
  cli_note("[loaded in %.2f s: %u weights from the pack cache, %u packed, %u in place]", engine->load_seconds,
           p.n_cached, p.n_packed, p.n_in_place);
}

wh_device_info cli_engine_device_info(const cli_engine *engine) {
  wh_device_info info = WH_DEVICE_INFO_INIT;
  wh_device_get_info(engine->device, &info);
  return info;
}

bool cli_session_keep_packed(wh_session *session) {
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  wh_session_get_packing(session, &p);
  if (!p.n_packed || p.stored || cli_interrupted()) return false;
  cli_progress("keeping the packed weights for the next start ...");
  wh_status status = wh_session_keep_packed(session);
  cli_progress("%s", "");
  if (status != WH_OK && status != WH_ERR_CANCELLED)
    cli_warn("the packed weights could not be kept: out of memory");
  wh_session_get_packing(session, &p);
  return p.stored;
}

void cli_engine_keep_packed(cli_engine *engine) {
  if (!engine->options.pack_cache || !cli_session_keep_packed(engine->session)) return;
  if (!engine->own_pack_folder) return;
  cli_pack_folder_trim_to_disk(engine->own_pack_folder);
  cli_note("[kept the packed weights in %s for the next start; --no-pack-cache keeps none]",
           engine->own_pack_folder);
}

void cli_engine_close(cli_engine *engine) {
  if (engine->session) cli_engine_keep_packed(engine);
  free(engine->own_pack_folder);
  wh_session_destroy(engine->session);
  wh_model_destroy(engine->model);
  wh_device_destroy(engine->device);
  wh_device_destroy(engine->offload);
  for (uint32_t i = 0; i < engine->n_peers; i++) wh_device_destroy(engine->peers[i]);
  *engine = (cli_engine){0};
}

cli_exit cli_tokenize(const wh_model *model, const char *text, size_t n_bytes, uint32_t flags, int32_t **ids,
                      size_t *n) {
  /* No tokenizer makes more than a token a byte and a few special ones; ask again in case one does. */
  size_t capacity = n_bytes + 8, count = 0;
  for (;;) {
    int32_t *buffer = calloc(capacity, sizeof *buffer);
    if (!buffer) return cli_fail(CLI_LIMIT, "out of memory for the tokens of %zu bytes of text", n_bytes);
    wh_status status = wh_model_tokenize(model, text, n_bytes, flags, buffer, capacity, &count);
    if (status == WH_OK && count <= capacity) {
      *ids = buffer;
      *n = count;
      return CLI_OK;
    }
    free(buffer);
    if (status != WH_OK) return cli_fail_library(status);
    capacity = count;
  }
}

cli_exit cli_run_tokens(cli_engine *engine, uint32_t sequence, const int32_t *tokens, size_t n,
                        uint32_t chunk) {
  int32_t sequences[512]; /* the number once for each token; sequence 0 needs no list */
  if (chunk > engine->prompt_chunk) chunk = engine->prompt_chunk;
  if (sequence > 0 && chunk > CLI_N(sequences)) chunk = CLI_N(sequences);
  for (size_t i = 0; i < CLI_N(sequences); ++i) sequences[i] = (int32_t)sequence;
  for (size_t done = 0; done < n;) {
    if (cli_interrupted()) return cli_fail_interrupted();
    uint32_t count = n - done < chunk ? (uint32_t)(n - done) : chunk;
    wh_batch batch = WH_BATCH_INIT;
    batch.n_tokens = count;
    batch.tokens = tokens + done;
    batch.sequences = sequence > 0 ? sequences : NULL;
    batch.n_outputs = done + count == n;
    batch.n_to_follow = (uint32_t)(n - done - count);
    CLI_TRY_WH(wh_session_run(engine->session, &batch));
    done += count;
    if (n > chunk && done < n) cli_progress("reading the prompt: %zu of %zu tokens", done, n);
  }
  cli_progress("%s", "");
  return CLI_OK;
}

int32_t cli_argmax(const float *logits, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; ++i)
    if (logits[i] > logits[best]) best = i;
  return (int32_t)best;
}
