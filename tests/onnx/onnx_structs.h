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

#endif
