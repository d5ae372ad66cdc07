/* exec/run.h - one user's running program: its arenas, its states, the frame that it presents to the devices.
 * Knows no names of a model and no tokens. One thread at a time; runs of one program may work on several
 * threads at the same time. */
#ifndef WH_EXEC_RUN_H
#define WH_EXEC_RUN_H

#include "core/base/memory_budget.h"
#include "core/exec/extract.h"
#include "core/plan/program.h"

typedef struct wh_run wh_run;

typedef struct wh_run_options {
  /* The largest dims at first: memory is taken for them, and states have their sizes. */
  const int64_t *symbols;
  const wh_allocator *alloc;
  wh_progress_sink progress; /* of creation: memory, then weights */
  wh_run *arena_of;          /* NULL, or as in wh_run_take_over */
} wh_run_options;

/* Takes all memory that running needs. The program is retained and loaded. */
WH_NODISCARD wh_status wh_run_create(wh_program *program, const wh_run_options *options, wh_run **out);
void wh_run_destroy(wh_run *r); /* NULL is fine */

/* Dims for the next executions, each from 0 to that of the layout in use (ERR_LIMIT else), whose places stay:
 * allocates nothing. */
WH_NODISCARD wh_status wh_run_bind(wh_run *r, const int64_t *symbols);
/* Dims that may be larger: another layout, and a larger arena when it takes one. ERR_INVALID_ARGUMENT when a
 * state would change its size. */
WH_NODISCARD wh_status wh_run_reshape(wh_run *r, const int64_t *symbols);

/* Runs on the same devices may take turns with one arena: the run gets that of `from` (NULL: nobody's), and a
 * larger one when its layout needs it. `from` has none until it takes one over itself, before anything else
 * is done with it but to destroy it; so it is with `r` after a failure. */
WH_NODISCARD wh_status wh_run_take_over(wh_run *r, wh_run *from);

/* An input or output as the host sees it: row-major, for the dims that are bound. */
typedef struct wh_run_port {
  void *data; /* valid until the next bind, reshape or execution */
  wh_dtype dtype;
  int32_t rank;
  int64_t dims[WH_MAX_RANK];
} wh_run_port;
/* Inputs are to be written before every execution: their memory is reused once they were read. */
wh_run_port wh_run_input(const wh_run *r, size_t i);
wh_run_port wh_run_output(const wh_run *r, size_t i); /* of the last execution */

/* Input i of the next execution, row-major for the dims that are bound; read there where the device can, so
 * it stays until then, else copied. wh_run_input has no place to write to then. */
void wh_run_give_input(wh_run *r, size_t i, const void *data);

/* Whether an output lies where the host does not address it: each execution copies it. */
bool wh_run_output_is_copied(const wh_run *r, size_t i);
/* From now on executions do not; wh_run_fetch_output does, which is nothing for others. */
void wh_run_hold_output(wh_run *r, size_t i);
WH_NODISCARD wh_status wh_run_fetch_output(wh_run *r, size_t i);
/* Output k of `from` is input i of `r`, where it lies: on the one device of r, and of as many bytes or more.
 * `r` is executed between executions of `from`; neither is reshaped, and `from` lives longer. */
WH_NODISCARD wh_status wh_run_take_output(wh_run *r, size_t i, const wh_run *from, size_t k);

/* An index that was out of range (docs/NUMERICS.md, "Faults") is ERR_INVALID_ARGUMENT and names the node.
 * After a failure outputs are undefined, and states are as the steps that ran left them. Allocates nothing.
 */
WH_NODISCARD wh_status wh_run_execute(wh_run *r);

/* Called after each step of an execution for each of its outputs, in row-major form; non-zero ends it
 * (ERR_CANCELLED). One submission per step; the bits are the same. NULL: off. */
typedef struct wh_run_trace_event {
  size_t step;
  const wh_node_info *node;
  wh_value value;
  wh_run_port port;
  size_t n_bytes;
} wh_run_trace_event;
typedef int (*wh_run_trace_fn)(void *ctx, const wh_run_trace_event *event);
void wh_run_set_trace(wh_run *r, wh_run_trace_fn fn, void *ctx);

/* The next executions give `extract` the values of its node's inputs, one submission per step; NULL: off. */
void wh_run_set_extract(wh_run *r, wh_extract *extract);

/* Rows of states: what one index of the first dimension holds, in all states together (they have as many).
 * Bytes are in the form of the devices, which put the first dimension outermost (backend_abi.h). Between
 * executions. */
uint64_t wh_run_state_row_bytes(const wh_run *r);
WH_NODISCARD wh_status wh_run_copy_state_row(wh_run *r, int64_t from, int64_t to); /* from != to */
WH_NODISCARD wh_status wh_run_read_state_row(wh_run *r, int64_t row, void *dst);
WH_NODISCARD wh_status wh_run_write_state_row(wh_run *r, int64_t row, const void *src);

wh_program *wh_run_program(const wh_run *r);
const wh_layout *wh_run_layout(const wh_run *r);
uint64_t wh_run_arena_bytes(const wh_run *r); /* taken of the first device */

/* What a program and one run of it take, in bytes, on all devices together. */
typedef struct wh_run_memory {
  wh_memory_plan arena; /* sums */
  uint64_t arena_bytes; /* in whole pages */
  uint64_t state_bytes;
  wh_weight_memory weights;
  uint64_t other_bytes; /* of program and run */
} wh_run_memory;
/* Before any of it is taken. */
void wh_program_predict_memory(const wh_program *p, const wh_layout *layout, wh_run_memory *out);
/* The same of one device. */
typedef struct wh_device_memory {
  uint64_t weights, states, activations; /* in whole pages */
  uint64_t mapped;                       /* weights that are read where they lie in files */
  bool is_loaded;                        /* `weights` are taken already */
  bool is_own;                           /* it has memory of its own, where everything is copied to */
  uint64_t available;                    /* of that: what is free now, less what is left to its driver */
} wh_device_memory;
WH_NODISCARD wh_status wh_program_device_memory(const wh_program *p, const wh_layout *layout, uint32_t device,
                                                wh_device_memory *out);
uint64_t wh_device_memory_need(const wh_device_memory *m); /* that is to be taken */
/* Whether devices with memory of their own have room for it. ERR_OUT_OF_MEMORY names the device, and says how
 * much is needed, free and missing. */
WH_NODISCARD wh_status wh_program_check_devices(const wh_program *p, const wh_layout *layout);

/* Whether it fits, with the weights unless they are loaded: asked before any of it is taken, since a system
 * that grants memory it does not have ends the process when the pages are touched. Weights that stay in files
 * are not counted: their pages can be dropped. Weights of devices with memory of their own pass through a
 * little of the host's. ERR_OUT_OF_MEMORY has the numbers, also those of such devices. */
WH_NODISCARD wh_status wh_program_check_memory(const wh_program *p, const wh_layout *layout,
                                               const wh_memory_budget *budget);

#endif
