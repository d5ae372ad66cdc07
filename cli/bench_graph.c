/* bench_graph.c - see bench_graph.h. */
#include "cli/bench_graph.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/memory.h"
#include "cli/units.h"

#define RUNS_MIN 10
#define RUNS_MAX 10000
#define SECONDS_WANTED 1.0

typedef struct graph_bench {
  cli_graph_engine g;
  double first; /* seconds: planning, packing weights, running */
  double *runs; /* sorted at the end */
  uint32_t n;
  char (*hashes)[33]; /* of each output of the first run */
} graph_bench;

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static cli_exit timed_run(graph_bench *b, double *seconds) {
  const double start = cli_seconds();
  CLI_TRY(cli_graph_run(&b->g));
  *seconds = cli_seconds() - start;
  return CLI_OK;
}

/* Keeps the outputs' hashes, or compares with what was kept. */
static cli_exit check_outputs(graph_bench *b, bool keep) {
  for (uint32_t i = 0; i < b->g.info.n_outputs; i++) {
    const char *name;
    wh_tensor t;
    char hash[33];
    CLI_TRY(cli_graph_output(&b->g, i, &name, &t));
    wh_hash_text(t.data, t.n_bytes, hash);
    if (keep)
      memcpy(b->hashes[i], hash, sizeof hash);
    else if (strcmp(b->hashes[i], hash) != 0)
      return cli_fail(CLI_DIFFERENT, "%s: output '%s' of a repetition is not that of the first run",
                      b->g.engine.info.path, name);
  }
  return CLI_OK;
}

static cli_exit time_runs(graph_bench *b, uint32_t repetitions) {
  double warm = 0;
  b->hashes = calloc(b->g.info.n_outputs + 1, sizeof *b->hashes);
  if (!b->hashes) return cli_fail(CLI_LIMIT, "out of memory");
  CLI_TRY(timed_run(b, &b->first));
  CLI_TRY(check_outputs(b, true));
  CLI_TRY(timed_run(b, &warm));
  b->n = repetitions;
  if (!b->n) {
    const double fit = warm > 0 ? SECONDS_WANTED / warm : RUNS_MAX;
    b->n = fit > RUNS_MAX ? RUNS_MAX : fit < RUNS_MIN ? RUNS_MIN : (uint32_t)fit;
  }
  b->runs = calloc(b->n, sizeof *b->runs);
  if (!b->runs) return cli_fail(CLI_LIMIT, "out of memory");
  for (uint32_t i = 0; i < b->n; i++) CLI_TRY(timed_run(b, &b->runs[i]));
  qsort(b->runs, b->n, sizeof *b->runs, compare_doubles);
  return check_outputs(b, false);
}

/* Between the two values that the share `q` of them lies between. */
static double quantile(const graph_bench *b, double q) {
  const double at = q * (b->n - 1);
  const uint32_t i = (uint32_t)at;
  return i + 1 < b->n ? b->runs[i] + (at - i) * (b->runs[i + 1] - b->runs[i]) : b->runs[i];
}

/* Most memory that the process has had, pages of the model's file included. */
static uint64_t peak_bytes(void) {
  struct rusage u;
  return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
}

static cli_exit write_text(const graph_bench *b, cli_output *out) {
  const wh_device_info d = cli_engine_device_info(&b->g.engine);
  char own[CLI_BYTES_TEXT], peak[CLI_BYTES_TEXT];
  const double median = quantile(b, 0.5);
  cli_output_printf(out, "%s on %s (%s, %u thread%s, %s)\n", b->g.engine.info.path, d.name, d.isa,
                    d.n_threads, d.n_threads == 1 ? "" : "s",
                    d.numerics == WH_NUMERICS_FAST ? "fast" : "exact");
  cli_output_printf(out, "  run      median %.3f ms, quartiles %.3f and %.3f, least %.3f, of %u\n",
                    1e3 * median, 1e3 * quantile(b, 0.25), 1e3 * quantile(b, 0.75), 1e3 * b->runs[0], b->n);
  cli_output_printf(out, "  rate     %.2f runs/s\n", 1 / median);
  cli_output_printf(out, "  start    %.1f ms to open the model, %.1f ms for the first run\n",
                    1e3 * b->g.engine.load_seconds, 1e3 * b->first);
  cli_output_printf(out, "  memory   %s beyond files, %s at most with the files' pages\n",
                    cli_bytes_text(cli_process_bytes(), own), cli_bytes_text(peak_bytes(), peak));
  cli_output_printf(out, "  checked  the last run's outputs have the first one's bits\n");
  return cli_output_flush(out);
}

static json_t *result_json(const graph_bench *b) {
  json_t *root = json_object(), *run = json_object(), *samples = json_array();
  cli_json_set(root, "model", cli_json_model(b->g.engine.model));
  cli_json_set(root, "device", cli_json_device(b->g.engine.device));
  cli_json_set(root, "answer_checked", json_true());
  cli_json_set_whole(root, "repetitions", b->n);
  cli_json_set_real(root, "load_seconds", b->g.engine.load_seconds);
  cli_json_set_real(root, "first_run_seconds", b->first);
  cli_json_set_real(run, "median", quantile(b, 0.5));
  cli_json_set_real(run, "lower_quartile", quantile(b, 0.25));
  cli_json_set_real(run, "upper_quartile", quantile(b, 0.75));
  cli_json_set_real(run, "min", b->runs[0]);
  cli_json_set_real(run, "max", b->runs[b->n - 1]);
  for (uint32_t i = 0; i < b->n; i++) cli_json_append(samples, json_real(b->runs[i]));
  cli_json_set(run, "sorted_samples", samples);
  cli_json_set(root, "run_seconds", run);
  cli_json_set_real(root, "runs_per_second", 1 / quantile(b, 0.5));
  cli_json_set_whole(root, "memory_bytes", cli_process_bytes());
  cli_json_set_whole(root, "peak_bytes", peak_bytes());
  return root;
}

cli_exit cli_bench_graph(const char *model, const cli_engine_options *engine, const cli_graph_options *graph,
                         uint32_t repetitions, cli_output *out, json_t *list) {
  graph_bench b = {.g = {.runner = NULL}};
  cli_graph_options options = *graph;
  options.random = true;
  cli_exit code = cli_graph_open(model, engine, &options, &b.g);
  if (code == CLI_OK) code = time_runs(&b, repetitions);
  if (code == CLI_OK && list) cli_json_append(list, result_json(&b));
  if (code == CLI_OK && !list) code = write_text(&b, out);
  free(b.runs);
  free(b.hashes);
  cli_graph_close(&b.g);
  return code;
}
