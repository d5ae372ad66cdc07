/* executor.h - runs a graph through a wh_backend as core would: claims, a layout per constant, packing, one
 * block, one frame. Every value has a slot of its own in an arena with gaps between the slots, which must
 * stay as they are; constants and states have buffers of their own. */
#ifndef WH_TESTS_EXECUTOR_H
#define WH_TESTS_EXECUTOR_H

#include "core/backend_abi.h"

typedef struct suite_target {
  const char *label; /* "cpu avx2" */
  const wh_backend *backend;
  void *dev;
} suite_target;

typedef struct executor executor;

typedef struct executor_options {
  uint32_t layout; /* which of a claim's layouts of an operand; the last where there are fewer */
} executor_options;

/* data[v]: bytes of constants, in the model's form. dims: by wh_dim. ERR_UNSUPPORTED: the backend refuses a
 * node. Everything that is made on the way is gone again after an error. */
wh_status executor_create(const suite_target *t, const wh_graph *g, const int64_t *dims,
                          const executor_options *options, executor **out);
void executor_destroy(executor *x);
/* The largest number of layouts that a claim of the graph has. */
uint32_t executor_n_layouts(const executor *x);
size_t executor_n_steps(const executor *x);
wh_queue *executor_queue(executor *x);
wh_code *executor_code(executor *x);
wh_frame *executor_frame(executor *x);

/* Another vector of dims, none larger than at creation: another frame of the same code. */
wh_status executor_bind(executor *x, const int64_t *dims);
/* v lies where `on` does, as the planner has it of what is never live together. */
void executor_overlay(executor *x, wh_value v, wh_value on);
/* An input, in row-major form. */
wh_status executor_write(executor *x, wh_value v, const void *row_major, size_t n_bytes);
/* Steps [first, first + count), and waits for them. */
wh_status executor_run(executor *x, size_t first, size_t count);
wh_status executor_read(executor *x, wh_value v, void *row_major);
wh_status executor_fault(executor *x, wh_fault *out);
/* Whether the gaps of the arena are intact. */
wh_status executor_check_gaps(executor *x, bool *intact);

#endif
