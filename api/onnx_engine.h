/* api/onnx_engine.h - runs the graphs that an execution of an ONNX model builds (import/onnx/net.h), on one
 * device. Programs of equal graphs are made once and kept, the most recently used ones; so are the memory and
 * the packed weights that belong to them. One thread at a time. */
#ifndef WH_API_ONNX_ENGINE_H
#define WH_API_ONNX_ENGINE_H

#include "core/backend_abi.h"
#include "core/exec/run.h"
#include "import/onnx/net.h"

typedef struct wh_engine wh_engine;
typedef struct wh_engine_program wh_engine_program;

/* Keeps at most n_programs. The device outlives the engine. memory_limit 0: what the system has. */
WH_NODISCARD wh_status wh_engine_create(const wh_plan_device *device, size_t n_programs,
                                        uint64_t memory_limit, const wh_allocator *alloc, wh_engine **out);
void wh_engine_destroy(wh_engine *e); /* NULL is fine */
/* What an execution is given. */
wh_onnx_engine wh_engine_face(wh_engine *e);
/* Of each program that runs from now on. NULL: off. */
/* Of this and later runs; NULL: off. */
void wh_engine_set_extract(wh_engine *e, wh_extract *extract);
void wh_engine_set_trace(wh_engine *e, wh_run_trace_fn fn, void *ctx);
/* The program that ran last has a serial, which is never given twice; the run of a program by its serial,
 * NULL when it is not kept any more. */
wh_engine_program *wh_engine_last(wh_engine *e);
uint64_t wh_engine_serial(const wh_engine_program *program);
wh_run *wh_engine_find(wh_engine *e, uint64_t serial);
/* Ports of the program that ran or was found last, by the number of the graph's input or output; -1: nothing
 * reads it. */
int wh_engine_input(const wh_engine *e, size_t i);
int wh_engine_output(const wh_engine *e, size_t i);
/* Row-major bytes of a port, and a copy into one. */
size_t wh_port_bytes(const wh_run_port *port);
void wh_copy_into_port(wh_run_port port, const void *data);
/* How many programs were made. */
uint64_t wh_engine_n_made(const wh_engine *e);

#endif
