/* onnx_structs.h - ONNX graphs as structs, what the reader makes of a file, and a device to run them on. */
#ifndef WH_TESTS_ONNX_STRUCTS_H
#define WH_TESTS_ONNX_STRUCTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/api_internal.h"
#include "api/onnx_engine.h"
#include "api/onnx_runner.h"

#define S(text) \
  { text, sizeof text - 1 }

static wh_device *device;

static inline int open_device(void **state) {
  (void)state;
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.n_threads = 2;
  return wh_device_create(&o, &device) == WH_OK ? 0 : 1;
}
static inline int close_device(void **state) {
  (void)state;
  wh_device_destroy(device);
  return 0;
}

static const wh_onnx_opset opset13 = {{"", 0}, 13};

static inline wh_onnx_file file_of(const wh_onnx_graph *g) {
  return (wh_onnx_file){.path = "test", .graph = *g, .n_opsets = 1, .opsets = &opset13};
}

#define COUNT_OF(list) (sizeof(list) / sizeof(list)[0])
/* A graph of arrays. */
#define GRAPH(its_nodes, its_inputs, its_outputs)                                                         \
  {                                                                                                       \
    .name = S("g"), .n_nodes = COUNT_OF(its_nodes), .nodes = its_nodes, .n_inputs = COUNT_OF(its_inputs), \
    .inputs = its_inputs, .n_outputs = COUNT_OF(its_outputs), .outputs = its_outputs                      \
  }
#define PORT(its_name, its_dtype)                               \
  {                                                             \
    S(its_name), { .kind = WH_ONNX_TENSOR, .dtype = its_dtype } \
  }

static inline wh_plan_device plan_device(void) {
  return (wh_plan_device){.backend = device->backend, .dev = device->device};
}

static inline wh_tensor tensor(wh_dtype dtype, int rank, int64_t d0, int64_t d1, const void *data,
                               uint64_t n_bytes) {
  wh_tensor t = WH_TENSOR_INIT;
  t.dtype = dtype;
  t.rank = rank;
  t.dims[0] = d0;
  t.dims[1] = d1;
  t.data = data;
  t.n_bytes = n_bytes;
  return t;
}

/* A graph that runs; lies still from start to stop. */
typedef struct running {
  wh_onnx_file file;
  wh_onnx_net *net;
  wh_onnx_runner *runner;
} running;

static inline void start(running *r, const wh_onnx_graph *g) {
  const wh_plan_device d = plan_device();
  r->file = file_of(g);
  assert_int_equal(wh_onnx_net_create(&r->file, NULL, &r->net), WH_OK);
  const wh_onnx_limits limits = {.lists_host = true};
  assert_int_equal(wh_onnx_runner_create(r->net, &d, 0, &limits, NULL, &r->runner), WH_OK);
}

static inline void stop(running *r) {
  wh_onnx_runner_destroy(r->runner);
  wh_onnx_net_destroy(r->net);
}

/* Its first output. */
static inline wh_tensor run_of(const running *r, const wh_tensor *const *inputs) {
  wh_tensor y = WH_TENSOR_INIT;
  assert_int_equal(wh_onnx_runner_run(r->runner, inputs), WH_OK);
  assert_int_equal(wh_onnx_runner_output(r->runner, 0, &y), WH_OK);
  return y;
}

#endif
