/* graph.c - computes with a graph that is no language model: three scores of each row, as probabilities.
 *
 *   cc graph.c $(pkg-config --cflags --libs whimbrel) -o graph && ./graph
 *
 * Compiles as C99 and as C++17. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whimbrel/whimbrel.h>

static const char text[] =
    "graph \"scores\" {\n"
    "  symbol rows 1..1024\n"
    "  %1 = input \"x\" f32[rows, 2]\n"
    "  %2 = const \"weights\" f32[3, 2]\n"
    "  %3 = linear(%1, %2) \"scores\" : f32[rows, 3]\n"
    "  %4 = softmax(%3) \"chances\" : f32[rows, 3]\n"
    "  output \"chances\" %4\n"
    "}\n";

static void check(wh_status status) {
  if (status == WH_OK) return;
  fprintf(stderr, "graph: %s\n", wh_last_error()->message);
  exit(1);
}

static wh_tensor matrix(const float *data, int64_t rows, int64_t columns) {
  wh_tensor t = WH_TENSOR_INIT;
  t.rank = 2;
  t.dims[0] = rows;
  t.dims[1] = columns;
  t.data = data;
  t.n_bytes = (uint64_t)(rows * columns) * sizeof *data;
  return t;
}

int main(void) {
  static const float weights[] = {1, 0, 0, 1, 1, 1}, x[] = {0, 0, 0, 100, -100, 0};
  wh_model *model = NULL;
  wh_device *device = NULL;
  wh_runner *runner = NULL;
  wh_tensor w = matrix(weights, 3, 2), input = matrix(x, 3, 2), chances = WH_TENSOR_INIT;
  wh_constant constant;
  constant.name = "weights";
  constant.tensor = &w;
  check(wh_model_parse(text, strlen(text), &constant, 1, NULL, &model));
  check(wh_device_create(NULL, &device));
  check(wh_runner_create(model, device, NULL, &runner));
  wh_model_destroy(model); /* the runner has references of its own */
  wh_device_destroy(device);
  check(wh_runner_set_input(runner, "x", &input));
  check(wh_runner_run(runner));
  check(wh_runner_get_output(runner, "chances", &chances));
  for (int64_t i = 0; i < chances.dims[0]; i++) {
    const float *row = (const float *)chances.data + i * chances.dims[1];
    printf("%.3f %.3f %.3f\n", (double)row[0], (double)row[1], (double)row[2]);
  }
  wh_runner_destroy(runner);
  return 0;
}
