/* run_graph.c - see run_graph.h. */
#include "cli/run_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/engine.h"
#include "cli/output.h"
#include "whimbrel/whimbrel.h"

bool cli_is_graph_run(const char *model, const cli_graph_options *options) {
  const size_t n = model ? strlen(model) : 0;
  return options->inputs.n || options->random || options->dims.n ||
         (n > 5 && strcmp(model + n - 5, ".onnx") == 0);
}

/* The part of NAME=VALUE behind the first "=" that ends such a name; NULL: it is another's. */
static const char *value_of(const char *item, const char *name) {
  const size_t n = strlen(name);
  return strncmp(item, name, n) == 0 && item[n] == '=' ? item + n + 1 : NULL;
}

static cli_exit check_names(const wh_model *model, const cli_graph_options *o) {
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  CLI_TRY_WH(wh_model_get_graph_info(model, &g));
  for (size_t i = 0; i < o->inputs.n; i++) {
    bool known = false;
    for (uint32_t k = 0; k < g.n_inputs && !known; k++) {
      wh_port_info p = WH_PORT_INFO_INIT;
      CLI_TRY_WH(wh_model_get_input(model, k, &p));
      known = value_of(o->inputs.items[i], p.name) != NULL;
    }
    if (!known)
      return cli_fail(
          CLI_USAGE,
          "--input %s: the model has no such input, or it is not NAME=FILE.npy (see whimbrel inspect)",
          o->inputs.items[i]);
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

static cli_exit set_random(wh_runner *runner, size_t i, const wh_port_info *p, const cli_graph_options *o,
                           uint64_t *state) {
  wh_tensor t = WH_TENSOR_INIT;
  uint64_t n = 1;
  t.dtype = p->dtype;
  t.rank = p->rank;
  if (p->rank < 0)
    return cli_fail(CLI_USAGE, "input '%s' has any number of dimensions: give it as a file", p->name);
  for (int d = 0; d < p->rank; d++) {
    t.dims[d] = p->dims[d].min == p->dims[d].max ? p->dims[d].min : 1;
    for (size_t k = 0; k < o->dims.n; k++) {
      const char *value = value_of(o->dims.items[k], p->dims[d].text);
      if (value) t.dims[d] = strtoll(value, NULL, 10);
    }
    if (t.dims[d] < 0 || t.dims[d] > INT64_C(1) << 30)
      return cli_fail(CLI_USAGE, "--dim: %s is out of range", p->dims[d].text);
    n *= (uint64_t)t.dims[d];
    if (n > UINT64_C(1) << 32)
      return cli_fail(CLI_LIMIT, "input '%s' would be too large for --random", p->name);
  }
  void *data = malloc((size_t)n * 8 + 1);
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

static cli_exit set_inputs(const wh_model *model, wh_runner *runner, const cli_graph_options *o) {
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  uint64_t state = o->seed;
  CLI_TRY_WH(wh_model_get_graph_info(model, &g));
  for (uint32_t i = 0; i < g.n_inputs; i++) {
    wh_port_info p = WH_PORT_INFO_INIT;
    const char *path = NULL;
    CLI_TRY_WH(wh_model_get_input(model, i, &p));
    for (size_t k = 0; k < o->inputs.n && !path; k++) path = value_of(o->inputs.items[k], p.name);
    if (path)
      CLI_TRY(set_file(runner, i, path));
    else if (o->random)
      CLI_TRY(set_random(runner, i, &p, o, &state));
  }
  return CLI_OK;
}

static double element(const wh_tensor *t, uint64_t i) {
  switch (t->dtype) {
    case WH_DTYPE_F32:
      return ((const float *)t->data)[i];
    case WH_DTYPE_F64:
      return ((const double *)t->data)[i];
    case WH_DTYPE_I64:
      return (double)((const int64_t *)t->data)[i];
    case WH_DTYPE_I32:
      return ((const int32_t *)t->data)[i];
    case WH_DTYPE_I8:
      return ((const int8_t *)t->data)[i];
    case WH_DTYPE_U8:
    case WH_DTYPE_BOOL:
      return ((const uint8_t *)t->data)[i];
    default:
      return NAN;
  }
}

/* "probabilities  f32[1, 10]  least 0.01 at 3, largest 0.9 at 7, mean 0.1" */
static void summarise(cli_output *out, const char *name, const wh_tensor *t) {
  uint64_t n = 1, low = 0, high = 0, n_nan = 0;
  double sum = 0;
  cli_output_text(out, name, strlen(name));
  cli_output_printf(out, "  %s[", wh_dtype_name(t->dtype));
  for (int d = 0; d < t->rank; d++) {
    cli_output_printf(out, "%s%" PRId64, d ? ", " : "", t->dims[d]);
    n *= (uint64_t)t->dims[d];
  }
  cli_output_printf(out, "]");
  if (n && !isnan(element(t, 0) - element(t, 0))) {
    for (uint64_t i = 0; i < n; i++) {
      const double v = element(t, i);
      n_nan += isnan(v);
      sum += isnan(v) ? 0 : v;
      if (v < element(t, low)) low = i;
      if (v > element(t, high)) high = i;
    }
    cli_output_printf(out, "  least %.9g at %" PRIu64 ", largest %.9g at %" PRIu64 ", mean %.9g",
                      element(t, low), low, element(t, high), high, sum / (double)n);
    if (n_nan) cli_output_printf(out, ", %" PRIu64 " NaN", n_nan);
  }
  cli_output_printf(out, "\n");
}

/* A name of the model as one of a file. */
static void file_name(const char *folder, const char *name, size_t i, char *out, size_t n) {
  char safe[128];
  size_t k = 0;
  for (; name[k] && k < sizeof safe - 1; k++) {
    const char c = name[k];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && k);
    safe[k] = plain ? c : '_';
  }
  safe[k] = '\0';
  if (k == 0) (void)snprintf(safe, sizeof safe, "output%zu", i);
  (void)snprintf(out, n, "%s/%s.npy", folder, safe);
}

static cli_exit give_outputs(const wh_model *model, const wh_runner *runner, const char *folder,
                             cli_output *out) {
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  CLI_TRY_WH(wh_model_get_graph_info(model, &g));
  if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST)
    return cli_fail(CLI_IO, "%s: %s", folder, strerror(errno));
  for (uint32_t i = 0; i < g.n_outputs; i++) {
    wh_port_info p = WH_PORT_INFO_INIT;
    wh_tensor t = WH_TENSOR_INIT;
    char path[4096];
    CLI_TRY_WH(wh_model_get_output(model, i, &p));
    CLI_TRY_WH(wh_runner_get_output_at(runner, i, &t));
    summarise(out, p.name, &t);
    if (!folder) continue;
    file_name(folder, p.name, i, path, sizeof path);
    CLI_TRY_WH(wh_npy_save(path, &t));
  }
  return CLI_OK;
}

cli_exit cli_run_graph(const char *path, const cli_engine_options *options, const cli_graph_options *o,
                       const char *folder) {
  cli_output out = {0};
  cli_engine engine = {0};
  wh_runner *runner = NULL;
  wh_runner_options ro = WH_RUNNER_OPTIONS_INIT;
  ro.memory_limit = options->memory_limit << 20;
  cli_exit code = cli_output_open(NULL, &out);
  if (code == CLI_OK) code = cli_engine_begin(path, options, &engine);
  if (code == CLI_OK) code = check_names(engine.model, o);
  if (code == CLI_OK) {
    wh_status st = wh_runner_create(engine.model, engine.device, &ro, &runner);
    if (st != WH_OK) code = cli_fail_library(st);
  }
  if (code == CLI_OK) code = set_inputs(engine.model, runner, o);
  if (code == CLI_OK) {
    wh_status st = wh_runner_run(runner);
    if (st != WH_OK) code = cli_fail_library(st);
  }
  if (code == CLI_OK) code = give_outputs(engine.model, runner, folder, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  wh_runner_destroy(runner);
  cli_engine_close(&engine);
  return code;
}
