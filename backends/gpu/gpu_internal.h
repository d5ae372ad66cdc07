/* gpu_internal.h - what the host files of the GPU backends share: the device, and how a step becomes
 * launches.
 *
 * A family of ops is one file family_<name>.c with a table of gpu_op, and its kernels in kernels/. Its emit
 * functions run at submit, with all operands known, and enqueue launches; they neither allocate nor wait. */
#ifndef WH_GPU_INTERNAL_H
#define WH_GPU_INTERNAL_H

#include "backends/gpu/kernels.h"
#include "core/backend_abi.h"

typedef struct gpu_device gpu_device; /* device.h */
typedef struct gpu_emit gpu_emit;     /* a queue that takes launches: queue.c */

#define GPU_LEAST_INPUTS 6 /* that a step shows; those which its node lacks are absent */

typedef struct gpu_operand {
  uint64_t address; /* on the device; 0: absent */
  uint64_t n_bytes;
  uint32_t layout; /* of a weight: as packed; 0: as the model has it */
  wh_dtype dtype;
  int32_t rank;
  int64_t dims[WH_MAX_RANK];
} gpu_operand;

/* A step where its operands are known. */
typedef struct gpu_step {
  const wh_graph *graph;
  const wh_node_info *node;
  wh_node index;
  const gpu_operand *in;           /* the node's, and at least GPU_LEAST_INPUTS */
  const gpu_operand *out;          /* the node's */
  uint64_t scratch, scratch_bytes; /* on the device; 0: none was claimed */
  uint64_t fault;                  /* on the device, a wh_fault; 0: nobody asks */
} gpu_step;

int64_t gpu_elements(const gpu_operand *o);
int64_t gpu_row_length(const gpu_operand *o); /* the last dimension; 1 of a scalar */
int64_t gpu_rows(const gpu_operand *o);       /* the product of the others */

typedef struct gpu_grid {
  uint32_t x, y, z;      /* blocks */
  uint32_t threads;      /* of a block, along x */
  uint32_t shared_bytes; /* dynamic */
} gpu_grid;

/* Enqueues a kernel whose one parameter is the struct at `args` (kernels/<family>_args.h), which is copied. A
 * grid with a zero launches nothing. */
WH_NODISCARD wh_status gpu_launch(gpu_emit *e, gpu_kernel kernel, gpu_grid grid, const void *args,
                                  size_t n_bytes);
/* Enqueues a fill of bytes, and a copy within the device. */
WH_NODISCARD wh_status gpu_fill(gpu_emit *e, uint64_t address, uint8_t byte, uint64_t n_bytes);
WH_NODISCARD wh_status gpu_move(gpu_emit *e, uint64_t to, uint64_t from, uint64_t n_bytes);

/* What the backend knows about an op. */
typedef struct gpu_op {
  wh_op op;
  const char *name; /* of its kernel, for reports */
  /* Sets c->supported to false with a reason for what it cannot do, scratch and layouts; NULL: any operands
   * that the graph allows, none of both. */
  wh_status (*claim)(const gpu_device *d, const wh_graph *g, const wh_node_info *node, const int64_t *dims,
                     wh_claim *c);
  wh_status (*emit)(gpu_emit *e, const gpu_step *step);
} gpu_op;

/* The families' tables; each ends with an entry whose emit is NULL. */
extern const gpu_op gpu_ops_linear[]; /* family_linear.c: products, and those of chosen experts */
/* family_lm.c: norms, quantisation, rope, attention, gates, experts' choice, rows by index */
extern const gpu_op gpu_ops_lm[];
extern const gpu_op gpu_ops_map[];    /* family_map.c: elementwise of any type, cast, where */
extern const gpu_op gpu_ops_move[];   /* family_move.c: structure; gather and scatter */
extern const gpu_op gpu_ops_reduce[]; /* family_reduce.c: reductions, arg, topk, cumsum, matmul */
extern const gpu_op gpu_ops_nn[];     /* family_nn.c: convolutions, pools, recurrent layers, resampling */

/* ---- steps that are one launch ---- */

#define GPU_MOST_JOINED 4

/* Small launches are latency. Of the steps from `first` on, how many go together, at least 1: products of one
 * x, as queries, keys and values are (family_linear.c); what happens to heads before attention
 * (family_heads.c); attention, and what quantises its result (family_attention.c). */
size_t gpu_products_joined(const wh_block *block, size_t first);
size_t gpu_heads_joined(const wh_block *block, size_t first);
size_t gpu_attention_joined(const wh_block *block, size_t first);
/* Enqueues them, or the first ones of them. */
wh_status gpu_emit_products(gpu_emit *e, const gpu_step *steps, size_t n);
wh_status gpu_emit_heads(gpu_emit *e, const gpu_step *steps, size_t n);
wh_status gpu_emit_attention_codes(gpu_emit *e, const gpu_step *steps);

/* ---- weights: weights.c ---- */

/* Packed forms of the weights of products; what wh_backend.pack does. */
wh_status gpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks);

/* ---- values: values.c ---- */

wh_status gpu_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out);
/* `bytes`: the value as the device has it, copied to the host. */
wh_status gpu_row_major(const wh_graph *g, wh_value v, const int64_t *dims, const void *bytes,
                        void *row_major);

#endif
