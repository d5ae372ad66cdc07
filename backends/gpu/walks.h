/* walks.h - what the families of ops on tensors share: how walks, elements and indices go into the argument
 * structs of kernels, and the grids of kernels whose threads have elements. */
#ifndef WH_GPU_WALKS_H
#define WH_GPU_WALKS_H

#include "backends/gpu/gpu_internal.h"
#include "backends/gpu/kernels/elements.h"
#include "backends/gpu/kernels/index_args.h"
#include "backends/gpu/kernels/walk.h"
#include "core/base/nd.h"

gpu_divisor gpu_divisor_of(int64_t n); /* n of 0 is never divided by */
gpu_walk gpu_walk_of(const wh_nd *nd);

/* The inputs of a step as they broadcast over its output; strides in elements, dims joined. */
wh_nd gpu_broadcast(const gpu_operand *in, int n_in, const gpu_operand *out);

/* Blocks of up to 256 threads, at least n in all. */
gpu_grid gpu_flat_grid(int64_t n);

gpu_type gpu_type_of(wh_dtype d); /* of numbers and bool; bool is u8 */
int64_t gpu_element_bytes(wh_dtype d);
uint32_t gpu_log2(int64_t size); /* of a power of two */
static inline uint32_t gpu_log2_bytes(wh_dtype d) { return gpu_log2(gpu_element_bytes(d)); }
void gpu_strides(const gpu_operand *o, int64_t unit, int64_t stride[WH_MAX_RANK]); /* in row-major order */
int64_t gpu_product(const int64_t *dims, int n);
static inline int64_t gpu_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Whether the output has no elements: products of dims of what has some do not overflow. */
static inline bool gpu_is_empty(const gpu_step *s) { return gpu_elements(&s->out[0]) == 0; }

/* Looks for the first of `indices`, whose entry i is to lie within least[i % period]..most[i % period], and
 * notes it as the step's fault. */
WH_NODISCARD wh_status gpu_check_indices(gpu_emit *e, const gpu_step *s, const gpu_operand *indices,
                                         int period, const int64_t *least, const int64_t *most);
/* The same of indices of an axis of n, of which negative ones count from the end. */
WH_NODISCARD wh_status gpu_check_axis(gpu_emit *e, const gpu_step *s, const gpu_operand *indices, int64_t n);

#endif
