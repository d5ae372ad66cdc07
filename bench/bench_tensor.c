/* bench_tensor.c - ops on tensors on the CPU backend, one node at a time: the best of many runs, its bytes
 * and its flops a second. Arguments: threads (1), a part of the case's name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/cpu_backend.h"
#include "bench/timing.h"
#include "tests/backend/executor.h"

#define SECONDS 0.3

typedef struct op_case {
  const char *name, *inputs, *node; /* text form; inputs are %1, %2 ... */
  double flops;
} op_case;

static const op_case cases[] = {
    {"add same", "%1 = input \"a\" f32[64, 56, 56] %2 = input \"b\" f32[64, 56, 56]",
     "add(%1, %2) \"n\" : f32[64, 56, 56]", 0},
    {"add tiny", "%1 = input \"a\" f32[16] %2 = input \"b\" f32[16]", "add(%1, %2) \"n\" : f32[16]", 0},
    {"max tiny", "%1 = input \"a\" f32[16] %2 = input \"b\" f32[1]", "max(%1, %2) \"n\" : f32[16]", 0},
    {"concat tiny", "%1 = input \"a\" f32[1, 16] %2 = input \"b\" f32[1, 16]",
     "concat(%1, %2) {axis = 1} \"n\" : f32[1, 32]", 0},
    {"add channel", "%1 = input \"a\" f32[64, 56, 56] %2 = input \"b\" f32[64, 1, 1]",
     "add(%1, %2) \"n\" : f32[64, 56, 56]", 0},
    {"mul row", "%1 = input \"a\" f32[128, 384] %2 = input \"b\" f32[128, 1]",
     "mul(%1, %2) \"n\" : f32[128, 384]", 0},
    {"max scalar", "%1 = input \"a\" f32[64, 56, 56] %2 = input \"b\" f32[]",
     "max(%1, %2) \"n\" : f32[64, 56, 56]", 0},
    {"less", "%1 = input \"a\" f32[64, 56, 56] %2 = input \"b\" f32[]",
     "less(%1, %2) \"n\" : bool[64, 56, 56]", 0},
    {"pow scalar", "%1 = input \"a\" f32[128, 384] %2 = input \"b\" f32[]",
     "pow(%1, %2) \"n\" : f32[128, 384]", 0},
    {"erf", "%1 = input \"a\" f32[128, 1536]", "erf(%1) \"n\" : f32[128, 1536]", 0},
    {"log", "%1 = input \"a\" f32[128, 384]", "log(%1) \"n\" : f32[128, 384]", 0},
    {"sin", "%1 = input \"a\" f32[128, 384]", "sin(%1) \"n\" : f32[128, 384]", 0},
    {"cast i64 f32", "%1 = input \"a\" i64[128, 384]",
     "cast(%1) {to = 0, saturate = 1} \"n\" : f32[128, 384]", 0},
    {"where", "%1 = input \"c\" bool[128, 384] %2 = input \"a\" f32[128, 384] %3 = input \"b\" f32[]",
     "where(%1, %2, %3) \"n\" : f32[128, 384]", 0},
    {"transpose 2d", "%1 = input \"a\" f32[1024, 1024]",
     "transpose(%1) {perm = [1, 0]} \"n\" : f32[1024, 1024]", 0},
    {"transpose nchw nhwc", "%1 = input \"a\" f32[1, 64, 56, 56]",
     "transpose(%1) {perm = [0, 2, 3, 1]} \"n\" : f32[1, 56, 56, 64]", 0},
    {"transpose heads", "%1 = input \"a\" f32[128, 12, 32]",
     "transpose(%1) {perm = [1, 0, 2]} \"n\" : f32[12, 128, 32]", 0},
    {"transpose keys", "%1 = input \"a\" f32[128, 12, 32]",
     "transpose(%1) {perm = [1, 2, 0]} \"n\" : f32[12, 32, 128]", 0},
    {"concat channels", "%1 = input \"a\" f32[1, 64, 56, 56] %2 = input \"b\" f32[1, 64, 56, 56]",
     "concat(%1, %2) {axis = 1} \"n\" : f32[1, 128, 56, 56]", 0},
    {"concat last", "%1 = input \"a\" f32[4096, 12] %2 = input \"b\" f32[4096, 20]",
     "concat(%1, %2) {axis = 1} \"n\" : f32[4096, 32]", 0},
    {"slice half", "%1 = input \"a\" f32[128, 768]",
     "slice(%1) {shape = [128, 384], starts = [0, 384], steps = [1, 1]} \"n\" : f32[128, 384]", 0},
    {"slice step 2", "%1 = input \"a\" f32[64, 56, 56]",
     "slice(%1) {shape = [64, 28, 28], starts = [0, 0, 0], steps = [1, 2, 2]} \"n\" : f32[64, 28, 28]", 0},
    {"pad 1", "%1 = input \"a\" f32[64, 56, 56]",
     "pad(%1) {pads = [0, 1, 1, 0, 1, 1], mode = 0} \"n\" : f32[64, 58, 58]", 0},
    {"gather rows", "%1 = input \"a\" f32[3000, 384] %2 = input \"i\" i64[128]",
     "gather(%1, %2) {axis = 0} \"n\" : f32[128, 384]", 0},
    {"sum last", "%1 = input \"a\" f32[128, 384]",
     "reduce_sum(%1) {axes = [1], keep = 1} \"n\" : f32[128, 1]", 0},
    {"sum spatial", "%1 = input \"a\" f32[1, 512, 7, 7]",
     "reduce_sum(%1) {axes = [2, 3], keep = 1} \"n\" : f32[1, 512, 1, 1]", 0},
    {"sum first", "%1 = input \"a\" f32[512, 1000]",
     "reduce_sum(%1) {axes = [0], keep = 1} \"n\" : f32[1, 1000]", 0},
    {"max last", "%1 = input \"a\" f32[128, 384]",
     "reduce_max(%1) {axes = [1], keep = 1} \"n\" : f32[128, 1]", 0},
    {"arg_max", "%1 = input \"a\" f32[40, 6625]",
     "arg_max(%1) {axis = 1, keep = 0, last = 0} \"n\" : i64[40]", 0},
    {"matmul 128x384x1536", "%1 = input \"a\" f32[128, 384] %2 = input \"b\" f32[384, 1536]",
     "matmul(%1, %2) \"n\" : f32[128, 1536]", 2.0 * 128 * 384 * 1536},
    {"matmul 12 heads qk", "%1 = input \"a\" f32[12, 128, 32] %2 = input \"b\" f32[12, 32, 128]",
     "matmul(%1, %2) \"n\" : f32[12, 128, 128]", 2.0 * 12 * 128 * 128 * 32},
    {"matmul 12 heads pv", "%1 = input \"a\" f32[12, 128, 128] %2 = input \"b\" f32[12, 128, 32]",
     "matmul(%1, %2) \"n\" : f32[12, 128, 32]", 2.0 * 12 * 128 * 128 * 32},
    {"matmul 1024 cube", "%1 = input \"a\" f32[1024, 1024] %2 = input \"b\" f32[1024, 1024]",
     "matmul(%1, %2) \"n\" : f32[1024, 1024]", 2.0 * 1024 * 1024 * 1024},
    {"matmul one row", "%1 = input \"a\" f32[1, 1024] %2 = input \"b\" f32[1024, 1024]",
     "matmul(%1, %2) \"n\" : f32[1, 1024]", 2.0 * 1024 * 1024},
    {"matmul f64", "%1 = input \"a\" f64[128, 384] %2 = input \"b\" f64[384, 384]",
     "matmul(%1, %2) \"n\" : f64[128, 384]", 2.0 * 128 * 384 * 384},
    {"matmul_integer", "%1 = input \"a\" u8[128, 384] %2 = input \"b\" i8[384, 384]",
     "matmul_integer(%1, %2) \"n\" : i32[128, 384]", 2.0 * 128 * 384 * 384},
};

static void must(wh_status st) {
  if (st == WH_OK) return;
  (void)fprintf(stderr, "%s\n", wh_last_error()->message);
  exit(1);
}

static double fill_inputs(executor *x, const wh_graph *g, const int64_t *dims) {
  double bytes = 0;
  for (wh_value v = 1; v < g->n_values; v++) {
    size_t n;
    if (!wh_value_row_major_bytes(g, v, dims, &n)) exit(1);
    bytes += (double)n;
    if (g->values[v].kind != WH_VALUE_INPUT) continue;
    float *data = calloc(n + 8, 1);
    if (!data) exit(1);
    for (size_t i = 0; g->values[v].shape.dtype == WH_DTYPE_F32 && i < n / 4; i++)
      data[i] = 0.5f + (float)(i * 2654435761u % 65536u) * 0x1p-15f;
    must(executor_write(x, v, data, n));
    free(data);
  }
  return bytes;
}

static void run_case(const op_case *c, const suite_target *target) {
  char text[1024];
  wh_graph *g = NULL;
  executor *x = NULL;
  int n_inputs = 0;
  for (const char *p = c->inputs; (p = strchr(p, '%')); p++) n_inputs++;
  (void)snprintf(text, sizeof text, "graph \"g\" { %s %%%d = %s output \"o\" %%%d }", c->inputs, n_inputs + 1,
                 c->node, n_inputs + 1);
  must(wh_graph_parse(text, strlen(text), NULL, &g));
  int64_t *dims = calloc(g->dims.n + 1, sizeof *dims);
  if (!dims) exit(1);
  for (wh_dim d = 0; d < g->dims.n; d++) dims[d] = wh_dim_eval(&g->dims, d, NULL);
  must(executor_create(target, g, dims, NULL, &x));
  const double bytes = fill_inputs(x, g, dims);
  wh_step_info info = {.struct_size = sizeof info};
  target->backend->describe(target->dev, executor_code(x), 0, &info);
  double best = 1e9;
  for (double begin = timing_now(); timing_now() - begin < SECONDS;) {
    const double t = timing_now();
    must(executor_run(x, 0, 1));
    const double took = timing_now() - t;
    if (took < best) best = took;
  }
  (void)printf("%-22s %9.1f us %7.2f GB/s %7.2f GFLOP/s  %s\n", c->name, best * 1e6, bytes / best * 1e-9,
               c->flops / best * 1e-9, info.kernel);
  executor_destroy(x);
  free(dims);
  wh_graph_destroy(g);
}

int main(int argc, char **argv) {
  wh_device_options options = WH_DEVICE_OPTIONS_INIT;
  options.n_threads = argc > 1 ? atoi(argv[1]) : 1;
  suite_target target = {"cpu", &wh_backend_cpu, NULL};
  must(wh_backend_cpu.open(0, &options, &target.dev));
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (argc < 3 || strstr(cases[i].name, argv[2])) run_case(&cases[i], &target);
  wh_backend_cpu.close(target.dev);
  return 0;
}
