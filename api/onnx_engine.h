/* api/onnx_engine.h - runs the graphs that an execution of an ONNX model builds (import/onnx/net.h), on one
 * device. Programs of equal graphs are made once and kept, the most recently used ones; so are the memory and
 * the packed weights that belong to them. One thread at a time. */
#ifndef WH_API_ONNX_ENGINE_H
#define WH_API_ONNX_ENGINE_H

#include <pthread.h>

#include "core/backend_abi.h"
#include "core/exec/run.h"
#include "import/onnx/net.h"

typedef struct wh_engine wh_engine;
/* The engines of one model: those on the same device use each other's weights, packed once. */
typedef struct wh_engine_pool {
  pthread_mutex_t mutex;
  wh_engine *first;
  /* Told of weights whose bytes are not read where they lie any more; may be NULL, as at first. */
  void (*weight_done)(void *ctx, const void *origin, uint64_t n_bytes);
  void *weight_done_ctx;
} wh_engine_pool;
void wh_engine_pool_init(wh_engine_pool *pool);
void wh_engine_pool_deinit(wh_engine_pool *pool); /* no engine is in it any more */

typedef struct wh_engine_program wh_engine_program;

/* Keeps at most n_programs. The device outlives the engine. memory_limit 0: what the system has. */
WH_NODISCARD wh_status wh_engine_create(const wh_plan_device *device, size_t n_programs,
                                        uint64_t memory_limit, const wh_allocator *alloc, wh_engine **out);
void wh_engine_destroy(wh_engine *e);                    /* NULL is fine */
void wh_engine_join(wh_engine *e, wh_engine_pool *pool); /* before it runs; the pool outlives it */
/* What an execution is given. */
wh_onnx_engine wh_engine_face(wh_engine *e);
/* Of each program that runs from now on. NULL: off. */
/* Of this and later runs; NULL: off. */
void wh_engine_set_extract(wh_engine *e, wh_extract *extract);
void wh_engine_set_trace(wh_engine *e, wh_run_trace_fn fn, void *ctx);
/* The program that ran last has a serial, which is never given twice; the run of a program by its serial, for
 * these values of its symbols: NULL when it is not kept any more. */
wh_engine_program *wh_engine_last(wh_engine *e);
uint64_t wh_engine_serial(const wh_engine_program *program);
WH_NODISCARD wh_status wh_engine_find(wh_engine *e, uint64_t serial, const int64_t *symbols, wh_run **out);
/* Ports of the program that ran or was found last, by the number of the graph's input or output; -1: nothing
 * reads it. */
int wh_engine_input(const wh_engine *e, size_t i);
int wh_engine_output(const wh_engine *e, size_t i);
/* Row-major bytes of a port. */
size_t wh_port_bytes(const wh_run_port *port);
/* What became of the weights of the program that ran or was found last. */
wh_weight_packing wh_engine_packing(const wh_engine *e);
/* How many programs were made. */
uint64_t wh_engine_n_made(const wh_engine *e);
/* The i-th that is kept, in the order in which they were made; NULL past the end. */
const wh_run *wh_engine_run_at(const wh_engine *e, size_t i);

#endif
