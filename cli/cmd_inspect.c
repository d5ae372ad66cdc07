/* cmd_inspect.c - `whimbrel inspect`: what a model file holds, and how it would run here. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/graph_engine.h"
#include "cli/inspect_graph.h"
#include "cli/json_out.h"
#include "cli/kernel_table.h"
#include "cli/memory.h"
#include "cli/units.h"
#include "cli/verbs.h"

typedef struct inspect_options {
  bool metadata, tensors, hashes, graph, source, optimised, plan, kernels;
  bool graph_of_programs; /* an ONNX model's, which has no other */
} inspect_options;

#define INSPECT(field) offsetof(inspect_options, field)
static const cli_option inspect_option_list[] = {
    {"metadata", 0, CLI_OPTION_FLAG, INSPECT(metadata), NULL, "The file's metadata.", 0, 0, 0, 0},
    {"tensors", 0, CLI_OPTION_FLAG, INSPECT(tensors), NULL, "The weights: type, shape, size.", 0, 0, 0, 0},
    {"hashes", 0, CLI_OPTION_FLAG, INSPECT(hashes), NULL, "The weights with the xxHash128 of their bytes.", 0,
     0, 0, 0},
    {"graph", 0, CLI_OPTION_FLAG, INSPECT(graph), NULL, "The graph as text, after the passes.", 0, 0, 0, 0},
    {"source", 0, CLI_OPTION_FLAG, INSPECT(source), NULL, "With --graph: before the passes.", 0, 0, 0, 0},
    {"optimised", 0, CLI_OPTION_FLAG, INSPECT(optimised), NULL, "With --graph: after the passes (default).",
     0, 0, 0, 0},
    {"plan", 0, CLI_OPTION_FLAG, INSPECT(plan), NULL,
     "The program with its buffers, and where the memory goes.", 0, 0, 0, 0},
    {"kernels", 0, CLI_OPTION_FLAG, INSPECT(kernels), NULL, "Which kernels were chosen, and why.", 0, 0, 0,
     0},
};

typedef struct inspected {
  cli_graph_engine g; /* device, session or runner only where a section needs them */
  inspect_options sections;
} inspected;

static bool needs_device(const inspect_options *o) { return o->plan || o->kernels; }

/* --- metadata and tensors
 * ------------------------------------------------------------------------------------- */

#define KEY_BYTES 256
#define VALUE_BYTES 4096

static bool is_graph(const wh_model_info *info) { return strncmp(info->format, "GGUF", 4) != 0; }

static void write_port(cli_output *out, const char *what, const wh_port_info *p) {
  cli_output_printf(out, "  %-13s ", what);
  cli_output_text(out, p->name, strlen(p->name));
  cli_output_printf(out, "  ");
  cli_output_text(out, p->text, strlen(p->text));
  cli_output_printf(out, "\n");
}

/* A model that is no language model: what it takes and gives. */
static cli_exit write_ports_text(cli_output *out, const wh_model *model, const wh_model_info *info) {
  char file_bytes[CLI_BYTES_TEXT], weight_bytes[CLI_BYTES_TEXT];
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  CLI_TRY_WH(wh_model_get_graph_info(model, &g));
  cli_output_printf(out, "%s\n", info->path);
  cli_output_printf(out, "  format        %s, %s\n", info->format,
                    cli_bytes_text(info->file_bytes, file_bytes));
  cli_output_printf(out, "  name          ");
  cli_output_text(out, info->name, strlen(info->name));
  if (info->n_parameters)
    cli_output_printf(out, "\n  parameters    %" PRIu64 ", %s of weights\n", info->n_parameters,
                      cli_bytes_text(info->weight_bytes, weight_bytes));
  else
    cli_output_printf(out, "\n  parameters    none among initializers\n");
  for (uint32_t i = 0; i < g.n_inputs; ++i) {
    wh_port_info p = WH_PORT_INFO_INIT;
    CLI_TRY_WH(wh_model_get_input(model, i, &p));
    write_port(out, "input", &p);
  }
  for (uint32_t i = 0; i < g.n_outputs; ++i) {
    wh_port_info p = WH_PORT_INFO_INIT;
    CLI_TRY_WH(wh_model_get_output(model, i, &p));
    write_port(out, "output", &p);
  }
  return cli_output_flush(out);
}

static cli_exit write_model_text(cli_output *out, const wh_model *model, const wh_model_info *info) {
  char hash[33];
  CLI_TRY_WH(wh_model_graph_hash(model, hash));
  char file_bytes[CLI_BYTES_TEXT], weight_bytes[CLI_BYTES_TEXT];
  cli_output_printf(out, "%s\n", info->path);
  cli_output_printf(out, "  format        %s, %s\n", info->format,
                    cli_bytes_text(info->file_bytes, file_bytes));
  cli_output_printf(out, "  architecture  %s, %u layers, embedding %" PRIu64 ", vocabulary %" PRIu64 "\n",
                    info->architecture, info->n_layers, info->n_embedding, info->n_vocab);
  if (info->n_experts)
    cli_output_printf(out, "  experts       %" PRIu64 " a layer, of which a token uses %" PRIu64 "\n",
                      info->n_experts, info->n_experts_used);
  cli_output_printf(out, "  name          ");
  cli_output_text(out, info->name, strlen(info->name));
  cli_output_printf(out, "\n  parameters    %" PRIu64 ", %s of weights\n", info->n_parameters,
                    cli_bytes_text(info->weight_bytes, weight_bytes));
  cli_output_printf(out, "  context       %" PRIu64 "\n", info->context_length);
  cli_output_printf(out, "  graph hash    %s\n", hash);
  return cli_output_flush(out);
}

typedef cli_exit (*metadata_fn)(void *ctx, const char *key, const char *value);

static cli_exit for_each_metadata(const wh_model *model, metadata_fn fn, void *ctx) {
  char key[KEY_BYTES], value[VALUE_BYTES];
  size_t n = wh_model_n_metadata(model);
  for (size_t i = 0; i < n; ++i) {
    CLI_TRY_WH(wh_model_get_metadata(model, i, key, sizeof key, value, sizeof value));
    CLI_TRY(fn(ctx, key, value));
  }
  return CLI_OK;
}

static cli_exit metadata_line(void *ctx, const char *key, const char *value) {
  cli_output *out = ctx;
  cli_output_printf(out, "  ");
  cli_output_text(out, key, strlen(key));
  cli_output_printf(out, " = ");
  cli_output_text(out, value, strlen(value));
  cli_output_printf(out, "\n");
  return cli_output_flush(out);
}

static cli_exit metadata_member(void *ctx, const char *key, const char *value) {
  json_t *object = ctx, *text = cli_json_string(value, strlen(value)),
         *name = cli_json_string(key, strlen(key));
  cli_json_set(object, name ? json_string_value(name) : "", text);
  json_decref(name);
  return CLI_OK;
}

static void shape_text(const wh_weight_info *w, char *out, size_t n_bytes) {
  size_t used = 0;
  out[0] = '\0';
  for (int32_t d = 0; d < w->rank && used < n_bytes; ++d) {
    int n = snprintf(out + used, n_bytes - used, "%s%" PRId64, d ? " x " : "", w->dims[d]);
    used += n > 0 ? (size_t)n : 0;
  }
}

static cli_exit write_tensors_text(cli_output *out, const wh_model *model, bool hashes) {
  size_t n = wh_model_n_weights(model);
  cli_output_printf(out, "\ntensors (%zu):\n", n);
  for (size_t i = 0; i < n; ++i) {
    wh_weight_info w = WH_WEIGHT_INFO_INIT;
    char shape[WH_MAX_RANK * 24], bytes[CLI_BYTES_TEXT];
    CLI_TRY_WH(wh_model_get_weight(model, i, &w));
    shape_text(&w, shape, sizeof shape);
    cli_output_printf(out, "  %-7s %-18s %10s  ", wh_dtype_name(w.dtype), shape,
                      cli_bytes_text(w.n_bytes, bytes));
    if (hashes) {
      char hash[33];
      CLI_TRY_WH(wh_model_weight_hash(model, i, hash));
      cli_output_printf(out, "%s  ", hash);
    }
    cli_output_text(out, w.name, strlen(w.name));
    cli_output_printf(out, "\n");
  }
  return cli_output_flush(out);
}

static cli_exit tensors_json(const wh_model *model, bool hashes, json_t *list) {
  size_t n = wh_model_n_weights(model);
  for (size_t i = 0; i < n; ++i) {
    wh_weight_info w = WH_WEIGHT_INFO_INIT;
    char hash[33];
    CLI_TRY_WH(wh_model_get_weight(model, i, &w));
    if (hashes) CLI_TRY_WH(wh_model_weight_hash(model, i, hash));
    json_t *tensor = json_object(), *dims = json_array();
    cli_json_set_text(tensor, "name", w.name);
    cli_json_set_text(tensor, "dtype", wh_dtype_name(w.dtype));
    for (int32_t d = 0; d < w.rank; ++d) cli_json_append(dims, json_integer(w.dims[d]));
    cli_json_set(tensor, "shape", dims);
    cli_json_set_whole(tensor, "bytes", w.n_bytes);
    if (hashes) cli_json_set_text(tensor, "hash", hash);
    cli_json_append(list, tensor);
  }
  return CLI_OK;
}

/* --- plan and kernels
 * ----------------------------------------------------------------------------------------- */

static uint64_t start_bytes; /* of the process, before it opened anything */

typedef struct memory_row {
  const char *name, *text;
  uint64_t n_bytes;
} memory_row;
#define N_MEMORY_ROWS 10

/* Predicts a `run` with these options: what the library took to get here, with a tokenizer and a sampler, and
 * what the process had before it started. */
static void memory_rows(const wh_session *session, memory_row rows[N_MEMORY_ROWS]) {
  wh_session_memory m = WH_SESSION_MEMORY_INIT;
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  uint64_t in_process = 0; /* what devices have in memory of their own is not */
  wh_session_get_memory(session, &m);
  for (uint32_t i = 0; wh_session_get_placement(session, i, &p) == WH_OK; ++i)
    if (!p.free_bytes) in_process += p.packed_weights + p.kv_state + p.activations;
  const memory_row filled[N_MEMORY_ROWS] = {
      {"activations", "activations, planned", m.activations},
      {"activations_lower_bound", "  no plan can be below", m.activations_lower_bound},
      {"activations_unshared", "  without sharing", m.activations_unshared},
      {"kv_state", "attention state", m.kv_state},
      {"packed_weights", "packed weights", m.packed_weights},
      {"other", "model, tokenizer, program", cli_allocated() - in_process},
      {"start", "the program itself", start_bytes},
      {"peak", "total beyond the file", cli_allocated() + start_bytes},
      {"mapped_weights", "used from the mapped file", m.mapped_weights},
      {"cached_weights", "packed, from the cache", m.cached_weights},
  };
  memcpy(rows, filled, sizeof filled);
}

/* Layers whose attention looks back a limited number of positions, as the graph's text has it. */
typedef struct window_use {
  uint64_t n_layers, n_windowed, window; /* the smallest of them */
} window_use;

static cli_exit find_windows(const wh_model *model, window_use *out) {
  static const char op[] = "= attention(", attribute[] = "window = ";
  *out = (window_use){0};
  char *graph = NULL;
  CLI_TRY_WH(wh_model_graph_text(model, true, &graph));
  for (char *line = graph, *end; line && *line; line = end) {
    end = strchr(line, '\n');
    if (end) *end++ = '\0';
    if (!strstr(line, op)) continue;
    ++out->n_layers;
    const char *at = strstr(line, attribute);
    uint64_t window = at ? strtoull(at + sizeof attribute - 1, NULL, 10) : 0;
    if (!window) continue;
    ++out->n_windowed;
    if (!out->window || window < out->window) out->window = window;
  }
  wh_string_destroy(graph);
  return CLI_OK;
}

static cli_exit write_windows_text(cli_output *out, const wh_model *model, uint32_t context) {
  window_use use;
  CLI_TRY(find_windows(model, &use));
  if (use.n_windowed && use.window < context)
    cli_output_printf(out,
                      "  of the attention state, %" PRIu64 " of %" PRIu64 " layers look at the last %" PRIu64
                      " positions only, but hold all %u\n",
                      use.n_windowed, use.n_layers, use.window, context);
  return CLI_OK;
}

/* Bytes of each device. */
static void write_placement_text(cli_output *out, const wh_session *session) {
  wh_session_placement p = WH_SESSION_PLACEMENT_INIT;
  cli_output_printf(out, "\ndevices:\n  %-8s %6s %14s %14s %14s\n", "", "layers", "weights", "state",
                    "activations");
  for (uint32_t i = 0; wh_session_get_placement(session, i, &p) == WH_OK; ++i) {
    char bytes[CLI_BYTES_TEXT];
    cli_output_printf(out, "  %-8s %6u %14" PRIu64 " %14" PRIu64 " %14" PRIu64, p.device, p.n_layers,
                      p.packed_weights, p.kv_state, p.activations);
    if (p.n_kept_experts) cli_output_printf(out, "  %u without their experts", p.n_kept_experts);
    if (p.free_bytes) cli_output_printf(out, "  of %s free", cli_bytes_text(p.free_bytes, bytes));
    cli_output_printf(out, "\n");
  }
}

static cli_exit write_plan_text(cli_output *out, const wh_model *model, const wh_session *session) {
  memory_row rows[N_MEMORY_ROWS];
  memory_rows(session, rows);
  cli_output_printf(out, "\nmemory (context %u):\n", wh_session_context(session));
  for (size_t i = 0; i < N_MEMORY_ROWS; ++i) {
    char bytes[CLI_BYTES_TEXT];
    cli_output_printf(out, "  %-26s %14" PRIu64 "  %s\n", rows[i].text, rows[i].n_bytes,
                      rows[i].n_bytes ? cli_bytes_text(rows[i].n_bytes, bytes) : "");
  }
  CLI_TRY(write_windows_text(out, model, wh_session_context(session)));
  write_placement_text(out, session);
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  wh_session_get_packing(session, &p);
  cli_output_printf(out, "\nweights: %u packed, %u from the pack cache, %u in place\n", p.n_packed,
                    p.n_cached, p.n_in_place);
  char *plan = NULL;
  CLI_TRY_WH(wh_session_plan_text(session, &plan));
  cli_output_printf(out, "\nprogram:\n");
  cli_output_text(out, plan, strlen(plan));
  wh_string_destroy(plan);
  return cli_output_flush(out);
}

static wh_status session_instruction(const void *session, uint32_t i, wh_instruction_info *info) {
  return wh_session_get_instruction(session, i, info);
}

static cli_exit plan_json(const wh_model *model, const wh_session *session, json_t *root) {
  window_use use;
  CLI_TRY(find_windows(model, &use));
  memory_row rows[N_MEMORY_ROWS];
  memory_rows(session, rows);
  json_t *memory = json_object();
  for (size_t i = 0; i < N_MEMORY_ROWS; ++i) cli_json_set_whole(memory, rows[i].name, rows[i].n_bytes);
  cli_json_set(root, "memory", memory);
  cli_json_set(root, "devices", cli_json_placement(session));
  json_t *layers = json_object();
  cli_json_set_whole(layers, "layers", use.n_layers);
  cli_json_set_whole(layers, "windowed_layers", use.n_windowed);
  cli_json_set_whole(layers, "window", use.window);
  cli_json_set(root, "attention", layers);
  cli_json_set_whole(root, "context", wh_session_context(session));
  cli_json_set(root, "weights", cli_json_packing(session));
  char *plan = NULL;
  CLI_TRY_WH(wh_session_plan_text(session, &plan));
  cli_json_set_text(root, "plan", plan);
  wh_string_destroy(plan);
  return CLI_OK;
}

/* --- the verb
 * ------------------------------------------------------------------------------------------------- */

static cli_exit write_text(cli_output *out, const inspected *in) {
  const wh_model *model = in->g.engine.model;
  const inspect_options *sections = &in->sections;
  /* The graph alone is a document of its own: it can be diffed. */
  bool only_graph =
      sections->graph && !(sections->metadata || sections->tensors || sections->plan || sections->kernels);
  if (is_graph(&in->g.engine.info))
    CLI_TRY(write_ports_text(out, model, &in->g.engine.info));
  else if (!only_graph)
    CLI_TRY(write_model_text(out, in->g.engine.model, &in->g.engine.info));
  if (sections->metadata) {
    cli_output_printf(out, "\nmetadata (%zu):\n", wh_model_n_metadata(model));
    CLI_TRY(for_each_metadata(model, metadata_line, out));
  }
  if (sections->tensors) CLI_TRY(write_tensors_text(out, model, sections->hashes));
  if (sections->graph) {
    char *graph = NULL;
    CLI_TRY_WH(wh_model_graph_text(model, !sections->source, &graph));
    if (!only_graph) cli_output_printf(out, "\ngraph:\n");
    cli_output_text(out, graph, strlen(graph));
    wh_string_destroy(graph);
  }
  if (in->g.runner)
    return cli_inspect_graph_text(out, in->g.runner, sections->graph_of_programs, sections->plan,
                                  sections->kernels);
  if (sections->plan) CLI_TRY(write_plan_text(out, model, in->g.engine.session));
  if (sections->kernels) CLI_TRY(cli_write_kernels(out, session_instruction, in->g.engine.session));
  return cli_output_flush(out);
}

/* Fills `root`, which the caller owns also on failure. */
static cli_exit fill_json(json_t *root, const inspected *in) {
  const wh_model *model = in->g.engine.model;
  const inspect_options *sections = &in->sections;
  cli_json_set(root, "model", cli_json_model(in->g.engine.model));
  if (sections->metadata) {
    json_t *metadata = json_object();
    cli_json_set(root, "metadata", metadata);
    CLI_TRY(for_each_metadata(model, metadata_member, metadata));
  }
  if (sections->tensors) {
    json_t *tensors = json_array();
    cli_json_set(root, "tensors", tensors);
    CLI_TRY(tensors_json(model, sections->hashes, tensors));
  }
  if (sections->graph) {
    char *graph = NULL;
    CLI_TRY_WH(wh_model_graph_text(model, !sections->source, &graph));
    cli_json_set_text(root, "graph", graph);
    wh_string_destroy(graph);
  }
  if (in->g.engine.device) cli_json_set(root, "device", cli_json_device(in->g.engine.device));
  if (in->g.runner)
    return cli_inspect_graph_json(root, in->g.runner, sections->graph_of_programs, sections->plan,
                                  sections->kernels);
  if (sections->plan) CLI_TRY(plan_json(model, in->g.engine.session, root));
  if (sections->kernels) {
    json_t *instructions = json_array();
    cli_json_set(root, "instructions", instructions);
    CLI_TRY(cli_kernels_json(instructions, session_instruction, in->g.engine.session));
  }
  return CLI_OK;
}

static cli_exit write_json(cli_output *out, const inspected *in) {
  json_t *root = json_object();
  cli_exit code = fill_json(root, in);
  if (code == CLI_OK) return cli_json_write(out, root, false);
  json_decref(root);
  return code;
}

/* What a run takes besides the session. */
static cli_exit build_text_parts(const wh_model *model) {
  const wh_sampling greedy = WH_SAMPLING_INIT;
  wh_generator *generator = NULL;
  size_t n;
  if (wh_model_tokenize(model, "", 0, 0, NULL, 0, &n) != WH_OK) return CLI_OK; /* a model without text */
  CLI_TRY_WH(wh_generator_create(model, &greedy, &generator));
  wh_generator_destroy(generator);
  return CLI_OK;
}

/* A model that takes tensors is run once: an ONNX model's graphs are made for the shapes of a run. */
static cli_exit open_and_run(const char *path, const cli_engine_options *options,
                             const cli_graph_options *graph, inspected *in) {
  cli_graph_options o = *graph;
  o.random = o.lists_host_nodes = true;
  CLI_TRY(cli_graph_open(path, options, &o, &in->g));
  return cli_graph_run(&in->g);
}

static cli_exit open_inspected(const char *path, const cli_engine_options *options,
                               const cli_graph_options *graph, inspected *in) {
  inspect_options *o = &in->sections;
  cli_session_needs needs = {0};
  start_bytes = cli_process_bytes();
  const bool is_onnx = cli_is_onnx(path);
  if (is_onnx && o->source)
    return cli_fail(CLI_USAGE, "%s: an ONNX model's own graph is its file; --graph shows what is made of it",
                    path);
  if (is_onnx && o->graph) {
    o->graph_of_programs = true;
    o->graph = false;
  }
  if (cli_is_graph(path, graph) && (needs_device(o) || o->graph_of_programs))
    return open_and_run(path, options, graph, in);
  if (cli_graph_has_inputs(graph) || graph->dims.n)
    return cli_fail(CLI_USAGE,
                    "inputs are for a tensor model's --graph, --plan and --kernels, which take a run");
  if (needs_device(o)) {
    CLI_TRY(cli_engine_begin(path, options, &in->g.engine));
    CLI_TRY(cli_engine_start(&in->g.engine, &needs));
    return build_text_parts(in->g.engine.model);
  }
  CLI_TRY(cli_model_open(path, &in->g.engine.model));
  in->g.engine.info = (wh_model_info)WH_MODEL_INFO_INIT;
  wh_model_get_info(in->g.engine.model, &in->g.engine.info);
  if (!*in->g.engine.info.path) in->g.engine.info.path = path;
  return CLI_OK;
}

static cli_exit run(const cli_verb *verb, int argc, char **argv) {
  inspected in = {0};
  inspect_options *sections = &in.sections;
  cli_engine_options engine_options = CLI_ENGINE_OPTIONS_INIT;
  cli_graph_options graph_options = {.seed = 0};
  cli_output_options output_options = CLI_OUTPUT_OPTIONS_INIT;
  const cli_option_group groups[] = {{"What to show (default: --metadata --tensors)", inspect_option_list,
                                      CLI_N(inspect_option_list), sections, NULL},
                                     cli_graph_group(&graph_options),
                                     cli_engine_group(&engine_options),
                                     cli_output_group(&output_options)};
  const char *model = NULL;
  cli_positionals positionals = {&model, 1, 1, 0};
  CLI_TRY(cli_parse(verb, groups, CLI_N(groups), argc, argv, &positionals));
  CLI_TRY(cli_require_positionals(verb, &positionals));
  if (sections->source && sections->optimised)
    return cli_fail(CLI_USAGE, "--source and --optimised exclude each other; run inspect twice");
  if (sections->source || sections->optimised) sections->graph = true;
  if (sections->hashes) sections->tensors = true;
  if (!sections->graph && !sections->plan && !sections->kernels && !sections->metadata && !sections->tensors)
    sections->metadata = sections->tensors = true;
  cli_set_quiet(output_options.quiet);

  cli_output out = {0};
  cli_exit code = cli_output_open(output_options.path, &out);
  if (code == CLI_OK) code = open_inspected(model, &engine_options, &graph_options, &in);
  if (code == CLI_OK) code = output_options.json ? write_json(&out, &in) : write_text(&out, &in);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  cli_graph_close(&in.g);
  return code;
}

const cli_verb cli_verb_inspect = {
    .name = "inspect",
    .arguments = "MODEL [options]",
    .summary = "Show what a model file holds and how it would run here.",
    .details =
        "Shows a model's metadata, weights and graph, and how it would run on this machine: the program, "
        "where its\n"
        "memory goes on each device, which kernels were chosen and why. An ONNX model is run once for that, "
        "with\n"
        "inputs from --input or random ones; what the host works out itself is listed with the kernels.",
    .examples =
        "  whimbrel inspect model.gguf\n"
        "  whimbrel inspect model.gguf --graph --source -o graph.txt\n"
        "  whimbrel inspect model.gguf --plan --ctx 2048\n"
        "  whimbrel inspect model.gguf --plan --device cuda --gpu-layers auto\n"
        "  whimbrel inspect model.gguf --kernels --isa avx2 --json\n"
        "  whimbrel inspect model.onnx --kernels --dim batch=4",
    .run = run,
};
