/* output_error.c - see output_error.h. */
#include "cli/output_error.h"

#include <math.h>
#include <string.h>

static cli_exit compare(const char *name, const wh_tensor *a, const wh_tensor *b, cli_output *out,
                        json_t *list) {
  double error = 0, square = 0, worst = 0;
  if (a->dtype != WH_DTYPE_F32 || b->dtype != WH_DTYPE_F32) return CLI_OK;
  if (a->n_bytes != b->n_bytes)
    return cli_fail(CLI_DIFFERENT, "output '%s' has another shape in the result: its shapes depend on values",
                    name);
  const float *x = a->data, *y = b->data;
  for (uint64_t i = 0; i < a->n_bytes / sizeof *x; i++) {
    const double d = fabs((double)y[i] - (double)x[i]);
    if (!(d <= worst)) worst = d; /* NaN stays */
    error += d * d;
    square += (double)x[i] * (double)x[i];
  }
  const double relative = square > 0 ? sqrt(error / square) : sqrt(error);
  if (list) {
    json_t *row = json_object();
    cli_json_set_text(row, "name", name);
    cli_json_set_real(row, "relative_error", relative);
    cli_json_set_real(row, "largest_difference", worst);
    cli_json_append(list, row);
    return CLI_OK;
  }
  cli_output_printf(out, "output ");
  cli_output_text(out, name, strlen(name));
  cli_output_printf(out, ": %.3f %% off, largest difference %.3g\n", 100 * relative, worst);
  return CLI_OK;
}

cli_exit cli_output_error(const char *const paths[2], const cli_engine_options *engine,
                          const cli_graph_options *graph, cli_output *out, json_t *list) {
  cli_graph_engine g[2] = {{.runner = NULL}, {.runner = NULL}};
  cli_exit code = CLI_OK;
  for (int i = 0; i < 2 && code == CLI_OK; i++) {
    code = cli_graph_open(paths[i], engine, graph, &g[i]);
    if (code == CLI_OK) code = cli_graph_run(&g[i]);
  }
  for (uint32_t i = 0; code == CLI_OK && i < g[0].info.n_outputs; i++) {
    const char *name;
    wh_tensor a, b;
    code = cli_graph_output(&g[0], i, &name, &a);
    if (code == CLI_OK) code = cli_graph_output(&g[1], i, &name, &b);
    if (code == CLI_OK) code = compare(name, &a, &b, out, list);
  }
  cli_graph_close(&g[0]);
  cli_graph_close(&g[1]);
  return code;
}
