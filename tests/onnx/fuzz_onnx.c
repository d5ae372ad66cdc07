/* fuzz_onnx.c - any bytes as an ONNX model: reading, importing and running it, twice with the same inputs,
 * ends in outputs that have their bytes or in a message, within small limits. The corpus test runs the same
 * function. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/onnx_runner.h"
#include "formats/onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()
#define MOST_INPUTS 16
#define MEMORY_LIMIT (UINT64_C(1) << 20)

static volatile uint8_t sink; /* reads that the compiler must not drop */

static void touch(const void *p, size_t n) {
  const uint8_t *bytes = p;
  if (n) sink = (uint8_t)(bytes[0] ^ bytes[n - 1]);
}

static bool failed(wh_status st) {
  if (st == WH_OK) return false;
  REQUIRE(wh_last_error()->status == st && st != WH_ERR_INTERNAL);
  REQUIRE(wh_last_error()->message[0] && !strchr(wh_last_error()->message, '\n'));
  return true;
}

/* Elements 1, 2, 3, 0, 1 ... of the type and shape that the model wants; names and what is open are 2. */
static bool make_input(const wh_onnx_type *type, wh_tensor *t) {
  static const uint8_t one[] = {1, 2, 3, 0};
  size_t n = 0, size = 0;
  *t = (wh_tensor)WH_TENSOR_INIT;
  t->dtype = type->dtype == WH_DTYPE_FORCE_32 ? WH_DTYPE_F32 : type->dtype;
  t->rank = type->has_shape ? type->rank : 1;
  for (int d = 0; d < t->rank; d++)
    t->dims[d] = !type->has_shape || type->dims[d].value < 0 ? 2 : type->dims[d].value;
  if (!wh_tensor_bytes(t->dtype, t->rank, t->dims, &n) || n > MEMORY_LIMIT) return false;
  if (!wh_dtype_row_bytes(t->dtype, 1, &size) || !size) return false;
  uint8_t *bytes = wh_alloc_zeroed(NULL, n + 1);
  REQUIRE(bytes);
  for (size_t i = 0; i < n / size; i++) {
    const uint8_t v = one[i % sizeof one];
    const float f = v;
    if (t->dtype == WH_DTYPE_F32)
      memcpy(bytes + i * size, &f, sizeof f);
    else
      bytes[i * size] = t->dtype == WH_DTYPE_BOOL ? v & 1 : v;
  }
  t->data = bytes;
  t->n_bytes = n;
  return true;
}

static void free_data(const void *data) {
  union {
    const void *in;
    void *out;
  } u = {data};
  wh_free(NULL, u.out);
}

static void run(const wh_onnx_net *net, const wh_tensor *const *inputs) {
  static wh_device *device; /* for all of the process */
  if (!device) {
    wh_device_options o = WH_DEVICE_OPTIONS_INIT;
    o.isa = "ref"; /* what is built with sanitizers */
    o.n_threads = 1;
    REQUIRE(wh_device_create(&o, &device) == WH_OK);
  }
  const wh_plan_device d = {.backend = device->backend, .dev = device->device};
  const wh_onnx_limits limits = {.max_iterations = 100, .max_bytes = MEMORY_LIMIT};
  wh_onnx_runner *r = NULL;
  REQUIRE(wh_onnx_runner_create(net, &d, MEMORY_LIMIT, &limits, NULL, &r) == WH_OK);
  for (int pass = 0; pass < 2; pass++) {
    if (failed(wh_onnx_runner_run(r, inputs))) break;
    for (size_t i = 0; i < wh_onnx_net_n_outputs(net); i++) {
      wh_tensor t;
      if (!failed(wh_onnx_runner_output(r, i, &t))) touch(t.data, (size_t)t.n_bytes);
    }
  }
  wh_onnx_runner_destroy(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  wh_onnx_file *file = NULL;
  wh_onnx_net *net = NULL;
  wh_tensor inputs[MOST_INPUTS];
  const wh_tensor *list[MOST_INPUTS] = {NULL};
  (void)wh_onnx_looks_like(data, n_bytes);
  if (failed(wh_onnx_open_memory("fuzz", data, n_bytes, NULL, &file))) return 0;
  if (!failed(wh_onnx_net_create(file, NULL, &net))) {
    const size_t n = wh_onnx_net_n_inputs(net);
    for (size_t i = 0; i < n && i < MOST_INPUTS; i++)
      if (make_input(&wh_onnx_net_input(net, i)->type, &inputs[i])) list[i] = &inputs[i];
    if (n <= MOST_INPUTS) run(net, list);
    for (size_t i = 0; i < n && i < MOST_INPUTS; i++)
      if (list[i]) free_data(list[i]->data);
  }
  wh_onnx_net_destroy(net);
  wh_onnx_close(file);
  return 0;
}
