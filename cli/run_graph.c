/* run_graph.c - see run_graph.h. */
#include "cli/run_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/json_out.h"
#include "cli/labels.h"
#include "cli/npz.h"

/* "probabilities  f32[1, 10]  least 0.01 at 3, largest 0.9 at 7, mean 0.1" */
static void write_line(cli_output *out, const char *name, const wh_tensor *t) {
  const cli_range r = cli_range_of(t);
  char shape[256];
  cli_output_text(out, name, strlen(name));
  cli_tensor_text(t, shape, sizeof shape);
  cli_output_printf(out, "  %s", shape);
  if (r.n_numbers)
    cli_output_printf(out, "  least %.9g at %" PRIu64 ", largest %.9g at %" PRIu64 ", mean %.9g", r.least,
                      r.least_at, r.largest, r.largest_at, r.mean);
  if (r.n_nan) cli_output_printf(out, "%s%" PRIu64 " NaN", r.n_numbers ? ", " : "  ", r.n_nan);
  cli_output_printf(out, "\n");
}

/* {"name": "probabilities", "type": "f32", "shape": [1, 10], "least": 0.01, "least_at": 3, ...} */
static json_t *line_json(const char *name, const wh_tensor *t) {
  const cli_range r = cli_range_of(t);
  json_t *row = json_object(), *shape = json_array();
  cli_json_set(row, "name", cli_json_string(name, strlen(name)));
  cli_json_set_text(row, "type", wh_dtype_name(t->dtype));
  for (int d = 0; d < t->rank; d++) cli_json_append(shape, json_integer(t->dims[d]));
  cli_json_set(row, "shape", shape);
  if (r.n_numbers) {
    cli_json_set_real(row, "least", r.least);
    cli_json_set_whole(row, "least_at", r.least_at);
    cli_json_set_real(row, "largest", r.largest);
    cli_json_set_whole(row, "largest_at", r.largest_at);
    cli_json_set_real(row, "mean", r.mean);
  }
  cli_json_set_whole(row, "n_nan", r.n_nan);
  return row;
}

#define NAME_BYTES 128
typedef char safe_name[NAME_BYTES];

/* A name of the model as one of a file. */
static void make_safe(const char *name, uint32_t i, safe_name safe) {
  size_t k = 0;
  for (; name[k] && k < NAME_BYTES - 1; k++) {
    const char c = name[k];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && k);
    safe[k] = plain ? c : '_';
  }
  safe[k] = '\0';
  if (k == 0) (void)snprintf(safe, NAME_BYTES, "output%" PRIu32, i);
}

static bool is_taken(const safe_name *names, uint32_t n, const char *name) {
  for (uint32_t i = 0; i < n; i++)
    if (strcasecmp(names[i], name) == 0) return true; /* folders exist that know no case */
  return false;
}

/* Names of outputs n are names[0..n): "a/b" behind "a_b" becomes "a_b_2". */
static void make_name(const char *name, safe_name *names, uint32_t n) {
  make_safe(name, n, names[n]);
  const size_t length = strlen(names[n]);
  for (uint32_t k = 2; is_taken(names, n, names[n]); k++) {
    char end[16];
    const size_t n_end = (size_t)snprintf(end, sizeof end, "_%" PRIu32, k);
    const size_t at = length + n_end < NAME_BYTES ? length : NAME_BYTES - 1 - n_end;
    memcpy(names[n] + at, end, n_end + 1);
  }
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
  if (mkdir(path, 0777) == 0) return CLI_OK;
  struct stat s;
  const int error = errno != EEXIST ? errno : stat(path, &s) != 0 ? errno : S_ISDIR(s.st_mode) ? 0 : ENOTDIR;
  return error ? cli_fail(CLI_IO, "%s: %s", path, strerror(error)) : CLI_OK;
}

static cli_exit keep(keeper *k, const char *name, const wh_tensor *t) {
  char path[PATH_MAX + NAME_BYTES + 8];
  if (k->npz.out) return cli_npz_write(&k->npz, name, t);
  if (!k->folder) return CLI_OK;
  (void)snprintf(path, sizeof path, "%s/%s.npy", k->folder, name); /* the folder is there, so it fits */
  CLI_TRY_WH(wh_npy_save(path, t));
  return CLI_OK;
}

static cli_exit give_outputs(const cli_graph_engine *g, keeper *k, safe_name *names, const cli_labels *labels,
                             cli_output *out, json_t *list) {
  bool labelled = labels->n == 0;
  for (uint32_t i = 0; i < g->info.n_outputs; i++) {
    const char *name;
    wh_tensor t;
    CLI_TRY(cli_graph_output(g, i, &name, &t));
    make_name(name, names, i);
    json_t *row = list ? line_json(name, &t) : NULL;
    if (list) cli_json_append(list, row);
    if (!list) write_line(out, name, &t);
    if (cli_labels_fit(labels, &t)) {
      labelled = true;
      if (list)
        cli_json_set(row, "classes", cli_labels_json(labels, &t));
      else
        cli_labels_print(labels, &t, out);
    }
    if (k->npz.out || k->folder) {
      CLI_TRY(keep(k, names[i], &t));
      if (list) cli_json_set_text(row, "kept_as", names[i]);
      make_safe(name, i, names[g->info.n_outputs]);
      if (strcmp(names[i], names[g->info.n_outputs]) != 0)
        cli_warn("output '%s' is kept as %s, as another has its name", name, names[i]);
    }
  }
  if (k->npz.out) CLI_TRY(cli_npz_end(&k->npz));
  if (labelled) return CLI_OK;
  return cli_fail(CLI_USAGE, "--labels: there are %zu labels, and no output of floats has so many columns",
                  labels->n);
}

/* Runs, and says what came of it. */
static cli_exit run_once(cli_graph_engine *g, keeper *k, const cli_labels *labels, bool json,
                         cli_output *out) {
  CLI_TRY(cli_graph_run(g));
  safe_name *names = calloc(g->info.n_outputs + 1, sizeof *names);
  if (!names) return cli_fail(CLI_LIMIT, "out of memory");
  json_t *list = json ? json_array() : NULL;
  if (g->said.n && !json) cli_output_text(out, g->said.data, g->said.n);
  cli_exit code = give_outputs(g, k, names, labels, out, list);
  free(names);
  if (code != CLI_OK || !json) {
    json_decref(list);
    return code;
  }
  json_t *root = json_object();
  cli_json_set(root, "model", cli_json_model(g->engine.model));
  cli_json_set(root, "device", cli_json_device(g->engine.device));
  cli_json_set(root, "outputs", list);
  return cli_json_write(out, root, false);
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
  if (code == CLI_OK) code = keep_begin(outputs->path, &k); /* before what may take long */
  if (code == CLI_OK) code = run_once(&g, &k, &labels, outputs->json, &out);
  if (code == CLI_OK) code = cli_output_finish(&out);
  cli_output_abandon(&out);
  cli_output_abandon(&k.file);
  cli_buffer_deinit(&k.npz.directory);
  cli_graph_close(&g);
  cli_labels_deinit(&labels);
  return code;
}
