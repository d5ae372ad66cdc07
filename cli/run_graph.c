/* run_graph.c - see run_graph.h. */
#include "cli/run_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/labels.h"
#include "cli/npz.h"

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
  char shape[256];
  cli_output_text(out, name, strlen(name));
  for (int d = 0; d < t->rank; d++) n *= (uint64_t)t->dims[d];
  cli_tensor_text(t, shape, sizeof shape);
  cli_output_printf(out, "  %s", shape);
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
static void file_name(const char *name, size_t i, char safe[128]) {
  size_t k = 0;
  for (; name[k] && k < 127; k++) {
    const char c = name[k];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && k);
    safe[k] = plain ? c : '_';
  }
  safe[k] = '\0';
  if (k == 0) (void)snprintf(safe, 128, "output%zu", i);
}

/* Where outputs are kept: a folder, an archive, or nowhere. */
typedef struct keeper {
  const char *folder;
  cli_output file;
  cli_npz_writer npz; /* out NULL: no archive */
} keeper;

static cli_exit keep_begin(const char *path, keeper *k) {
  if (!path) return CLI_OK;
  if (cli_is_npz(path)) {
    CLI_TRY(cli_output_open(path, &k->file));
    k->npz.out = &k->file;
    return CLI_OK;
  }
  k->folder = path;
  return mkdir(path, 0777) == 0 || errno == EEXIST ? CLI_OK
                                                   : cli_fail(CLI_IO, "%s: %s", path, strerror(errno));
}

static cli_exit keep(keeper *k, const char *name, uint32_t i, const wh_tensor *t) {
  char safe[128], path[4096];
  file_name(name, i, safe);
  if (k->npz.out) return cli_npz_write(&k->npz, safe, t);
  if (!k->folder) return CLI_OK;
  (void)snprintf(path, sizeof path, "%s/%s.npy", k->folder, safe);
  CLI_TRY_WH(wh_npy_save(path, t));
  return CLI_OK;
}

static cli_exit give_outputs(const cli_graph_engine *g, keeper *k, const cli_labels *labels,
                             cli_output *out) {
  bool labelled = labels->n == 0;
  for (uint32_t i = 0; i < g->info.n_outputs; i++) {
    const char *name;
    wh_tensor t;
    CLI_TRY(cli_graph_output(g, i, &name, &t));
    summarise(out, name, &t);
    labelled |= labels->n && cli_labels_print(labels, &t, out);
    CLI_TRY(keep(k, name, i, &t));
  }
  if (k->npz.out) CLI_TRY(cli_npz_end(&k->npz));
  if (labelled) return CLI_OK;
  return cli_fail(CLI_USAGE, "--labels: there are %zu labels, and no output of floats has so many columns",
                  labels->n);
}

cli_exit cli_run_graph(const char *path, const cli_engine_options *options, const cli_graph_options *graph,
                       const cli_graph_outputs *outputs) {
  cli_output out = {0};
  cli_labels labels = {.n = 0};
  keeper k = {.folder = NULL};
  cli_graph_engine g = {.runner = NULL};
  cli_exit code = cli_output_open(NULL, &out);
  if (code == CLI_OK && outputs->labels) code = cli_labels_read(outputs->labels, &labels);
  if (code == CLI_OK) code = cli_graph_open(path, options, graph, &g);
  if (code == CLI_OK) code = cli_graph_run(&g);
  if (code == CLI_OK && g.said.n) cli_output_text(&out, g.said.data, g.said.n);
  if (code == CLI_OK) code = keep_begin(outputs->path, &k);
  if (code == CLI_OK) code = give_outputs(&g, &k, &labels, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  cli_output_abandon(&k.file);
  cli_buffer_deinit(&k.npz.directory);
  cli_graph_close(&g);
  cli_labels_deinit(&labels);
  return code;
}
