/* graph_engine.c - see graph_engine.h. */
#include "cli/graph_engine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/memory.h"
#include "cli/npz.h"

#define GRAPH(field) offsetof(cli_graph_options, field)
static const cli_option graph_options[] = {
    {"input", 0, CLI_OPTION_STRINGS, GRAPH(inputs), "NAME=FILE",
     "An input as a NumPy file (.npy); repeatable.", 0, 0, 0, 0},
    {"inputs", 0, CLI_OPTION_STRING, GRAPH(archive), "FILE.npz",
     "All inputs that an archive of NumPy's savez has, by their names.", 0, 0, 0, 0},
    {"random", 0, CLI_OPTION_FLAG, GRAPH(random), NULL, "Inputs without a file are random numbers.", 0, 0, 0,
     0},
    {"random-seed", 0, CLI_OPTION_U64, GRAPH(seed), "N", "... of this seed (default 0).", 0, UINT64_MAX, 0,
     0},
    {"dim", 0, CLI_OPTION_STRINGS, GRAPH(dims), "NAME=N",
     "A dimension that the model leaves open, for random inputs\n(default 1); repeatable.", 0, 0, 0, 0},
    {"max-iterations", 0, CLI_OPTION_U64, GRAPH(max_iterations), "N",
     "Most iterations of the model's loops in one run\n(default 1048576).", 1, UINT64_MAX, 0, 0},
};

cli_option_group cli_graph_group(cli_graph_options *options) {
  return (cli_option_group){"Tensors (ONNX)", graph_options, CLI_N(graph_options), options, NULL};
}

bool cli_is_onnx(const char *model) {
  const size_t n = model ? strlen(model) : 0;
  return n > 5 && strcmp(model + n - 5, ".onnx") == 0;
}

bool cli_graph_has_inputs(const cli_graph_options *options) {
  return options->inputs.n || options->archive || options->image.images.n || options->random;
}

bool cli_is_graph(const char *model, const cli_graph_options *options) {
  return cli_graph_has_inputs(options) || options->dims.n || cli_is_onnx(model) || cli_is_graph_folder(model);
}

cli_exit cli_refuse_graph(const char *model, const char *verb) {
  if (!cli_is_onnx(model)) return CLI_OK;
  return cli_fail(
      CLI_UNSUPPORTED,
      "%s: `%s` is for language models (GGUF); ONNX models have `run`, `bench`, `verify`, `eval`, "
      "`quantize` and `inspect`",
      model, verb);
}

#define DIM_MAX (INT64_C(1) << 30)

/* A dimension that the model leaves open under a name. */
static bool is_open(const wh_axis *a) { return a->min != a->max; }

/* What --dim says of it; -1: nothing. */
static int64_t said_of(const wh_axis *a, const cli_strings *dims) {
  for (size_t k = 0; k < dims->n && is_open(a); k++) {
    const char *value = cli_value_of(dims->items[k], a->text);
    if (value) return strtoll(value, NULL, 10); /* a number: check_dims */
  }
  return -1;
}

/* Each of NAME=N must name an open dimension of an input, and a number. */
static cli_exit check_dims(const wh_model *model, const wh_graph_info *g, const cli_graph_options *o) {
  if (o->dims.n && !o->random)
    return cli_fail(CLI_USAGE, "--dim %s is for random inputs: give --random, or files of that size",
                    o->dims.items[0]);
  for (size_t i = 0; i < o->dims.n; i++) {
    const char *item = o->dims.items[i], *value = NULL;
    for (uint32_t k = 0; k < g->n_inputs && !value; k++) {
      wh_port_info p = WH_PORT_INFO_INIT;
      CLI_TRY_WH(wh_model_get_input(model, k, &p));
      for (int d = 0; d < p.rank && !value; d++)
        if (is_open(&p.dims[d])) value = cli_value_of(item, p.dims[d].text);
    }
    if (!value)
      return cli_fail(CLI_USAGE,
                      "--dim %s: no input has an open dimension of that name, or it is not NAME=N (see "
                      "whimbrel inspect)",
                      item);
    char *end = NULL;
    const long long n = strtoll(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || n > DIM_MAX)
      return cli_fail(CLI_USAGE, "--dim %s: give a whole number up to %lld", item, (long long)DIM_MAX);
  }
  return CLI_OK;
}

/* Each of NAME=FILE must name an input. */
static cli_exit check_names(const wh_model *model, const wh_graph_info *g, const char *option,
                            const cli_strings *items) {
  for (size_t i = 0; i < items->n; i++) {
    bool known = false;
    for (uint32_t k = 0; k < g->n_inputs && !known; k++) {
      wh_port_info p = WH_PORT_INFO_INIT;
      CLI_TRY_WH(wh_model_get_input(model, k, &p));
      known = cli_value_of(items->items[i], p.name) != NULL;
    }
    if (!known)
      return cli_fail(CLI_USAGE,
                      "--%s %s: the model has no such input, or it is not NAME=FILE (see whimbrel inspect)",
                      option, items->items[i]);
  }
  return CLI_OK;
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

/* Floats in [0, 1), bytes of any value, 0 or 1 for other integers and booleans: what most models accept. */
static cli_exit fill(wh_dtype dtype, uint64_t n, uint64_t *state, void *data) {
  for (uint64_t i = 0; i < n; i++) {
    const uint64_t r = next_random(state);
    const double u = (double)(r >> 40) * 0x1p-24;
    switch (dtype) {
      case WH_DTYPE_F32:
        ((float *)data)[i] = (float)u;
        break;
      case WH_DTYPE_F64:
        ((double *)data)[i] = u;
        break;
      case WH_DTYPE_I64:
      case WH_DTYPE_U64:
        ((uint64_t *)data)[i] = r >> 63;
        break;
      case WH_DTYPE_I32:
      case WH_DTYPE_U32:
        ((uint32_t *)data)[i] = (uint32_t)(r >> 63);
        break;
      case WH_DTYPE_U8:
      case WH_DTYPE_I8:
        ((uint8_t *)data)[i] = (uint8_t)(r >> 56);
        break;
      case WH_DTYPE_BOOL:
        ((uint8_t *)data)[i] = (uint8_t)(r >> 63);
        break;
      default:
        return cli_fail(CLI_USAGE, "--random makes no values of type %s: give the input as a file",
                        wh_dtype_name(dtype));
    }
  }
  return CLI_OK;
}

static size_t element_bytes(wh_dtype dtype) {
  switch (dtype) {
    case WH_DTYPE_F64:
    case WH_DTYPE_I64:
    case WH_DTYPE_U64:
      return 8;
    case WH_DTYPE_F32:
    case WH_DTYPE_I32:
    case WH_DTYPE_U32:
      return 4;
    default:
      return 1;
  }
}

#define RANDOM_MAX (1 << 28) /* elements */

static cli_exit set_random(wh_runner *runner, size_t i, const wh_port_info *p, const cli_graph_options *o,
                           uint64_t *state) {
  wh_tensor t = WH_TENSOR_INIT;
  uint64_t n = 1;
  t.dtype = p->dtype;
  t.rank = p->rank;
  if (p->rank < 0)
    return cli_fail(CLI_USAGE, "input '%s' has any number of dimensions: give it as a file", p->name);
  for (int d = 0; d < p->rank; d++) {
    const int64_t said = said_of(&p->dims[d], &o->dims);
    t.dims[d] = said >= 0 ? said : is_open(&p->dims[d]) ? 1 : p->dims[d].min;
    n *= (uint64_t)t.dims[d];
    if (t.dims[d] > DIM_MAX || n > RANDOM_MAX)
      return cli_fail(CLI_LIMIT, "input '%s' would have more than %d elements: give it as a file", p->name,
                      RANDOM_MAX);
  }
  void *data = malloc((size_t)n * element_bytes(p->dtype) + 1);
  if (!data) return cli_fail(CLI_LIMIT, "out of memory");
  t.data = data;
  t.n_bytes = n * element_bytes(p->dtype);
  cli_exit code = fill(p->dtype, n, state, data);
  if (code == CLI_OK) {
    wh_status st = wh_runner_set_input_at(runner, i, &t);
    if (st != WH_OK) code = cli_fail_library(st);
  }
  free(data);
  return code;
}

static cli_exit set_file(wh_runner *runner, size_t i, const char *path) {
  wh_npy_file *file = NULL;
  CLI_TRY_WH(wh_npy_load(path, NULL, &file));
  wh_status st = wh_runner_set_input_at(runner, i, wh_npy_tensor(file));
  wh_npy_destroy(file);
  return st == WH_OK ? CLI_OK : cli_fail_library(st);
}

/* Sets the input, if the archive has one of its name. */
static cli_exit set_member(wh_runner *runner, size_t i, const cli_npz *npz, const char *name, bool *found) {
  wh_npy_file *file;
  void *bytes;
  CLI_TRY(cli_npz_read(npz, name, &file, &bytes));
  *found = file != NULL;
  if (!file) return CLI_OK;
  const wh_status st = wh_runner_set_input_at(runner, i, wh_npy_tensor(file));
  wh_npy_destroy(file);
  free(bytes);
  return st == WH_OK ? CLI_OK : cli_fail_library(st);
}

static const char *find_value(const cli_strings *items, const char *name) {
  const char *value = NULL;
  for (size_t k = 0; k < items->n && !value; k++) value = cli_value_of(items->items[k], name);
  return value;
}

/* Of a folder with a graph, whose inputs lie beside it; types that NumPy has no word for are bytes there. */
static cli_exit set_from_folder(wh_runner *runner, size_t i, const wh_port_info *p, const char *folder) {
  char path[PATH_MAX];
  wh_npy_file *file = NULL;
  if (p->name[0] == '.' || strchr(p->name, '/')) /* nothing leads out of the folder */
    return cli_fail(CLI_MODEL, "%s: input '%s' is no name of a file", folder, p->name);
  snprintf(path, sizeof path, "%s/%s.npy", folder, p->name);
  CLI_TRY_WH(wh_npy_load(path, NULL, &file));
  wh_tensor t = *wh_npy_tensor(file);
  t.dtype = p->dtype;
  if (t.rank != p->rank) { /* bytes */
    t.rank = p->rank;
    for (int d = 0; d < p->rank; d++) t.dims[d] = p->dims[d].max;
  }
  wh_status st = wh_runner_set_input_at(runner, i, &t);
  wh_npy_destroy(file);
  return st == WH_OK ? CLI_OK : cli_fail_library(st);
}

static cli_exit set_inputs(cli_graph_engine *g, const cli_graph_options *o, const char *model_path,
                           const cli_npz *npz) {
  uint64_t state = o->seed;
  size_t n_found = 0;
  for (uint32_t i = 0; i < g->info.n_inputs; i++) {
    wh_port_info p = WH_PORT_INFO_INIT;
    CLI_TRY_WH(wh_model_get_input(g->engine.model, i, &p));
    const char *path = find_value(&o->inputs, p.name);
    bool is_set = true;
    if (path)
      CLI_TRY(set_file(g->runner, i, path));
    else if (find_value(&o->image.images, p.name))
      CLI_TRY(cli_image_set(g->runner, i, &p, &o->image, &g->said));
    else if (cli_is_graph_folder(model_path))
      CLI_TRY(set_from_folder(g->runner, i, &p, model_path));
    else
      is_set = false;
    if (!is_set && npz->path) {
      CLI_TRY(set_member(g->runner, i, npz, p.name, &is_set));
      n_found += is_set;
    }
    if (!is_set && o->random) CLI_TRY(set_random(g->runner, i, &p, o, &state));
  }
  if (!npz->path || n_found) return CLI_OK;
  return cli_fail(CLI_USAGE,
                  "--inputs %s: nothing in it is called as an input of the model (see whimbrel inspect)",
                  npz->path);
}

/* ---- the engine ---- */

static int ask(void *ctx, const wh_progress *progress) {
  (void)ctx, (void)progress;
  return cli_interrupted();
}

cli_exit cli_graph_open(const char *path, const cli_engine_options *options, const cli_graph_options *graph,
                        cli_graph_engine *out) {
  cli_graph_engine g = {.info = WH_GRAPH_INFO_INIT};
  cli_npz npz = {.path = NULL};
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  o.allocator = cli_allocator();
  o.memory_limit = options->memory_limit << 20;
  o.max_iterations = graph->max_iterations;
  o.lists_host_nodes = graph->lists_host_nodes;
  o.progress = ask;
  if (options->gpu_layers || options->cpu_experts)
    return cli_fail(CLI_USAGE, "--gpu-layers and --cpu-experts are for language models, which have layers");
  if (options->device && strchr(options->device, '+'))
    return cli_fail(CLI_USAGE, "devices work together on language models: give this model one");
  cli_exit code = cli_engine_begin(path, options, &g.engine);
  wh_status st = WH_OK;
  if (code == CLI_OK) st = wh_model_get_graph_info(g.engine.model, &g.info);
  if (code == CLI_OK && st == WH_OK) code = check_names(g.engine.model, &g.info, "input", &graph->inputs);
  if (code == CLI_OK && st == WH_OK)
    code = check_names(g.engine.model, &g.info, "image", &graph->image.images);
  if (code == CLI_OK && st == WH_OK) code = check_dims(g.engine.model, &g.info, graph);
  if (code == CLI_OK && st == WH_OK) st = wh_runner_create(g.engine.model, g.engine.device, &o, &g.runner);
  if (st != WH_OK) code = cli_fail_library(st);
  if (code == CLI_OK && graph->archive) code = cli_npz_open(graph->archive, &npz);
  if (code == CLI_OK) code = set_inputs(&g, graph, path, &npz);
  cli_npz_close(&npz);
  if (code == CLI_OK)
    *out = g;
  else
    cli_graph_close(&g);
  return code;
}

cli_exit cli_graph_run(cli_graph_engine *g) {
  if (cli_interrupted()) return cli_fail_interrupted();
  wh_status st = wh_runner_run(g->runner);
  if (st == WH_ERR_CANCELLED && cli_interrupted()) return cli_fail_interrupted();
  return st == WH_OK ? CLI_OK : cli_fail_library(st);
}

cli_exit cli_graph_output(const cli_graph_engine *g, uint32_t i, const char **name, wh_tensor *tensor) {
  wh_port_info p = WH_PORT_INFO_INIT;
  *tensor = (wh_tensor)WH_TENSOR_INIT;
  CLI_TRY_WH(wh_model_get_output(g->engine.model, i, &p));
  CLI_TRY_WH(wh_runner_get_output_at(g->runner, i, tensor));
  *name = p.name;
  return CLI_OK;
}

void cli_graph_close(cli_graph_engine *g) {
  wh_runner_destroy(g->runner);
  cli_engine_close(&g->engine);
  cli_buffer_deinit(&g->said);
  *g = (cli_graph_engine){.runner = NULL};
}
