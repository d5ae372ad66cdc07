/* reference.h - docs/NUMERICS.md once more, in loops that share nothing with any backend: what every
 * backend's results are compared with, bit for bit. Values are in row-major form throughout. */
#ifndef WH_TESTS_REFERENCE_H
#define WH_TESTS_REFERENCE_H

#include "core/backend_abi.h"
#include "core/base/exact_math.h"

#define REFERENCE_MAX_INPUTS 11
#define REFERENCE_MAX_OUTPUTS 4

typedef struct ref_value {
  wh_dtype dtype;
  int rank;
  int64_t dims[WH_MAX_RANK];
  void *data; /* NULL: absent */
  size_t n_bytes;
} ref_value;

typedef struct ref_node {
  const wh_node_info *node;
  ref_value in[REFERENCE_MAX_INPUTS];
  ref_value out;                             /* a view's and a state writer's data is its first input's */
  ref_value more[REFERENCE_MAX_OUTPUTS - 1]; /* outputs behind the first */
  bool has_fault;                            /* result: an index lies outside */
  int64_t offence;                           /* the first one */
} ref_node;

typedef void (*reference_fn)(ref_node *n);
/* NULL: an op without a reference, which fails the suite. */
reference_fn reference_of(wh_op op);

static inline int64_t ref_length(const ref_value *v) { return v->rank ? v->dims[v->rank - 1] : 1; }
static inline int64_t ref_elements(const ref_value *v) {
  int64_t n = 1;
  for (int i = 0; i < v->rank; i++) n *= v->dims[i];
  return n;
}
/* All but the last axis. */
static inline int64_t ref_rows(const ref_value *v) {
  int64_t n = 1;
  for (int i = 0; i + 1 < v->rank; i++) n *= v->dims[i];
  return n;
}
static inline void ref_fault(ref_node *n, int64_t value) {
  if (!n->has_fault) n->offence = value;
  n->has_fault = true;
}

/* reference_rows.c: sum64 of n terms that stand in `terms`, or of their squares. */
float ref_sum64(const float *terms, int64_t n);
float ref_sum64_squares(const float *x, int64_t n);
/* reference_linear.c: a row of `k` floats as quantised activations of `rows` rows. */
void ref_quantize_row(const float *x, int64_t k, int64_t row, void *q8a);

/* reference_map.c */
void ref_map1(ref_node *n);
void ref_map2(ref_node *n);
void ref_compare(ref_node *n);
void ref_classify(ref_node *n);
void ref_pow(ref_node *n);
void ref_where(ref_node *n);
void ref_cast(ref_node *n);
void ref_truncate_bf16(ref_node *n);
/* reference_structure.c */
void ref_transpose(ref_node *n);
void ref_slice(ref_node *n);
void ref_concat(ref_node *n);
void ref_pad(ref_node *n);
void ref_expand(ref_node *n);
void ref_tile(ref_node *n);
void ref_trilu(ref_node *n);
void ref_reverse_sequence(ref_node *n);
/* reference_index.c */
void ref_gather(ref_node *n);
void ref_gather_elements(ref_node *n);
void ref_gather_nd(ref_node *n);
void ref_scatter_elements(ref_node *n);
void ref_scatter_nd(ref_node *n);
/* reference_reduce.c */
void ref_reduce(ref_node *n);
void ref_arg(ref_node *n);
void ref_topk(ref_node *n);
void ref_cumsum(ref_node *n);
/* reference_matmul.c */
void ref_matmul(ref_node *n);
void ref_matmul_integer(ref_node *n);
void ref_matmul_blocks(ref_node *n);

void ref_gather_rows(ref_node *n);
void ref_linear(ref_node *n);
void ref_quantize_act(ref_node *n);
void ref_quantize_wide(ref_node *n);
void ref_expert_linear(ref_node *n);
/* The largest magnitude of an integer that became a float in a product with quantised weights. */
extern int32_t ref_largest_integer;
void ref_kv_append(ref_node *n);
void ref_attention(ref_node *n);

#endif
