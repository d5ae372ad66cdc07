/* onnx.c - runs an ONNX model: its first input from a NumPy file, the first numbers of its outputs printed.
 *
 *   cc onnx.c $(pkg-config --cflags --libs whimbrel) -o onnx && ./onnx model.onnx input.npy
 *
 * Compiles as C99 and as C++17. */
#include <stdio.h>
#include <stdlib.h>
#include <whimbrel/whimbrel.h>

static void check(wh_status status) {
  if (status == WH_OK) return;
  fprintf(stderr, "onnx: %s\n", wh_last_error()->message);
  exit(1);
}

int main(int argc, char **argv) {
  wh_model *model = NULL;
  wh_device *device = NULL;
  wh_runner *runner = NULL;
  wh_npy_file *input = NULL;
  wh_graph_info graph = WH_GRAPH_INFO_INIT;
  if (argc != 3) return fprintf(stderr, "usage: onnx MODEL.onnx INPUT.npy\n"), 2;
  check(wh_model_open(argv[1], NULL, &model));
  check(wh_device_create(NULL, &device));
  check(wh_runner_create(model, device, NULL, &runner));
  check(wh_npy_load(argv[2], NULL, &input));
  check(wh_runner_set_input_at(runner, 0, wh_npy_tensor(input)));
  check(wh_runner_run(runner));
  check(wh_model_get_graph_info(model, &graph));
  for (uint32_t i = 0; i < graph.n_outputs; i++) {
    wh_port_info port = WH_PORT_INFO_INIT;
    wh_tensor y = WH_TENSOR_INIT;
    check(wh_model_get_output(model, i, &port));
    check(wh_runner_get_output_at(runner, i, &y));
    printf("%s:", port.name);
    for (uint64_t k = 0; y.dtype == WH_DTYPE_F32 && k < y.n_bytes / 4 && k < 8; k++)
      printf(" %g", (double)((const float *)y.data)[k]);
    printf("\n");
  }
  wh_npy_destroy(input);
  wh_runner_destroy(runner);
  wh_device_destroy(device);
  wh_model_destroy(model);
  return 0;
}
