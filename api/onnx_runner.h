/* api/onnx_runner.h - a runner's part for ONNX models: executions, and what is kept of them for the next one.
 */
#ifndef WH_API_ONNX_RUNNER_H
#define WH_API_ONNX_RUNNER_H

#include "api/onnx_engine.h"
#include "whimbrel/tensor.h"

typedef struct wh_onnx_runner wh_onnx_runner;

/* limits NULL: import/onnx/net.h's own. */
WH_NODISCARD wh_status wh_onnx_runner_create(const wh_onnx_net *net, const wh_plan_device *device,
                                             uint64_t memory_limit, const wh_onnx_limits *limits,
                                             const wh_allocator *alloc, wh_onnx_runner **out);
void wh_onnx_runner_destroy(wh_onnx_runner *r); /* NULL is fine */
/* Shares weights with the model's other runners; before it runs. */
void wh_onnx_runner_join(wh_onnx_runner *r, wh_engine_pool *pool);
/* inputs[i] of the net; NULL: never set. They need not live longer than the call. */
WH_NODISCARD wh_status wh_onnx_runner_run(wh_onnx_runner *r, const wh_tensor *const *inputs);
void wh_onnx_runner_set_extract(wh_onnx_runner *r, wh_extract *extract); /* NULL: off */
void wh_onnx_runner_set_trace(wh_onnx_runner *r, wh_run_trace_fn fn, void *ctx);
/* What became of the weights of the last run's program. */
wh_weight_packing wh_onnx_runner_packing(const wh_onnx_runner *r);
/* How many programs were made; and those that are kept, as wh_engine_run_at has them. */
uint64_t wh_onnx_runner_n_programs(const wh_onnx_runner *r);
const wh_run *wh_onnx_runner_run_at(const wh_onnx_runner *r, size_t i);
/* Of the last run that went through the nodes; NULL: none did. */
const wh_onnx_trace *wh_onnx_runner_trace(const wh_onnx_runner *r);
/* Output i of the last run, which succeeded; valid until the next. */
WH_NODISCARD wh_status wh_onnx_runner_output(const wh_onnx_runner *r, size_t i, wh_tensor *out);

#endif
