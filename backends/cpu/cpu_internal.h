/* cpu_internal.h - what the CPU backend's own files share: the device, compiled code, and instructions. */
#ifndef WH_CPU_INTERNAL_H
#define WH_CPU_INTERNAL_H

#include <stdatomic.h>

#include "backends/cpu/attention.h"
#include "backends/cpu/chain.h"
#include "backends/cpu/expert_linear.h"
#include "backends/cpu/fast_blas.h"
#include "backends/cpu/features.h"
#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/map.h"
#include "backends/cpu/matmul.h"
#include "backends/cpu/matmul_blocks.h"
#include "backends/cpu/nn.h"
#include "backends/cpu/reduce.h"
#include "backends/cpu/rowops.h"
#include "core/backend_abi.h"
#include "core/base/team.h"
#include "core/base/thread_binding.h"
#include "core/base/topology.h"
#include "core/base/turn.h"

/* Of the panels that linear_q_pack.c, linear_f.c, linear_h.c, conv_winograd.c, conv_codes_pack.c,
 * conv_codes_winograd.c and matmul_codes.c write: to be raised with every change of their bytes, or pack
 * caches on disk would be read wrongly.
 * tests/kernels/test_pack_version.c notices when it was not. */
#define WH_CPU_PACK_VERSION 6u

/* ---- the device: device.c ---- */

typedef struct cpu_device {
  const wh_allocator *alloc;
  const char *no_tiles;         /* why the system gives none; NULL where it does */
  uint64_t available, features; /* masks: the machine's, and what may be used */
  wh_numerics numerics;
  wh_team *team;
  wh_rowops rowops;
  wh_nn nn;
  wh_fast_blas blas;    /* opened in mode `fast` only */
  wh_cpu_budget budget; /* what a start needs */
  wh_topology topology; /* asked for by reports only: hwloc costs milliseconds */
  bool has_topology;
  wh_thread_binding threads; /* of the team; its lists are the team's own */
  char levels[96];
  wh_cpu_fetch fetch;       /* how weights that are read once are asked for */
  const char *fetch_why;    /* static */
  char reason[96];          /* "highest level in use is avx512vnni" */
  char product_reason[224]; /* the same for products with quantised weights, and how these are asked for */

  bool shares_all; /* every run is the whole team's: work.c */

  wh_turn turn;     /* the team and what follows have one caller at a time */
  wh_queue *queues; /* all of them; changes while locked */
} cpu_device;

void wh_cpu_lock(cpu_device *d);
void wh_cpu_unlock(cpu_device *d);
/* Loaded at the first call; when that fails, what the budget knows. The device is locked or not yet shared.
 */
const wh_topology *wh_cpu_topology(cpu_device *d);

uint32_t wh_cpu_count(void);
wh_status wh_cpu_open(uint32_t index, const wh_device_options *options, void **dev);
void wh_cpu_close(void *dev);
void wh_cpu_get_info(void *dev, wh_device_info *info);
void wh_cpu_parallel(void *dev, wh_parallel_fn fn, void *arg);
wh_status wh_cpu_measure_locked(void *dev, double seconds, wh_device_roofline *out);
/* measure.c; the caller has locked the device */
wh_status wh_cpu_measure(void *dev, double seconds, wh_device_roofline *out);

/* ---- memory: buffers.c ---- */

struct wh_buffer {
  char *data;
  uint64_t n_bytes;
  size_t mapped_bytes; /* taken from the system in pages; 0: from the allocator, or not ours */
  bool imported;
};

wh_status wh_cpu_buffer_create(void *dev, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out);
wh_status wh_cpu_buffer_import(void *dev, const void *host, uint64_t n_bytes, wh_buffer **out);
wh_status wh_cpu_buffer_grow(void *dev, wh_buffer *buffer, uint64_t n_bytes);
void wh_cpu_buffer_destroy(void *dev, wh_buffer *buffer);
void *wh_cpu_buffer_host(void *dev, wh_buffer *buffer);
uint64_t wh_cpu_buffer_footprint(void *dev, wh_memory_kind kind, uint64_t n_bytes);

/* ---- code: compile.c ---- */

#define CPU_LEAST_INPUTS 6 /* that an instruction has; those which its node lacks are absent */

typedef struct cpu_operand {
  void *data;    /* NULL: absent */
  bool as_model; /* a weight that is not packed yet */
  wh_dtype dtype;
  int32_t rank;
  int64_t dims[WH_MAX_RANK];
} cpu_operand;

typedef struct cpu_instr cpu_instr;
typedef void (*cpu_run_fn)(const cpu_instr *instr, const wh_worker *worker);

/* A compiled step: what does not depend on a run. */
typedef struct cpu_kernel {
  cpu_run_fn run; /* args_<family>.c */
  const wh_node_info *node;
  wh_node index;
  const char *name, *reason;
  union { /* of row ops, by family */
#define CPU_FN_FIELD(family) wh_##family##_fn family;
    WH_ROWOP_FAMILIES(CPU_FN_FIELD)
#undef CPU_FN_FIELD
  } rowop;
  union { /* of kernels_nn.def, by family */
#define CPU_FN_FIELD(family) wh_##family##_fn family;
    WH_NN_FAMILIES(CPU_FN_FIELD)
#undef CPU_FN_FIELD
  } nn;
  const wh_linear_f_isa *steps; /* of recurrent layers and matmuls whose weights are packed */
  wh_linear_q_fn linear_q;      /* of integer products: quantised and 16-bit weights */
  wh_cpu_fetch fetch;           /* of linear_q */
  wh_linear_f_fn linear_f;
  wh_attention_fn attention;
  wh_kv_append_fn kv_append;
  wh_map_fn map;
  wh_chain chain;
  wh_reduction reduction;
  wh_matmul_fn matmul;
  wh_blocks_wide_fn blocks_wide; /* of matmul_blocks of q13a */
  uint64_t features;             /* of matmul and linear_f */
  const wh_fast_blas *blas;
  wh_expert_layout layout; /* of a weight; a plain matrix is that of one expert; id 0: as the model has it */
} cpu_kernel;

/* A step where its operands are known. */
struct cpu_instr {
  const cpu_kernel *kernel;
  const cpu_operand *in;                /* the node's, and at least CPU_LEAST_INPUTS */
  const cpu_operand *out;               /* the node's */
  void *scratch;                        /* shared by the workers */
  size_t scratch_bytes, worker_scratch; /* of all workers; of each */
  uint32_t step;                        /* for what workers claim; a step has two */
  bool barrier;                         /* wait for all earlier instructions first */
  wh_fault *fault;                      /* or NULL */
  atomic_uint *bad_weight; /* the queue's: node + 1 of the first that found a weight not finite, or 0 */
};

struct wh_code {
  wh_block block;
  cpu_kernel *kernels; /* [block.n_steps] */
  size_t n_operands;   /* of all instructions */
};

/* What the backend knows about an op. */
typedef struct cpu_op {
  /* NULL: it runs on any operands that the graph allows */
  wh_status (*claim)(const cpu_device *d, const wh_graph *g, const wh_node_info *node, const int64_t *dims,
                     wh_claim *claim);
  /* Sets run, name and what that needs. args: inputs, then outputs. */
  wh_status (*compile)(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
} cpu_op;
extern const cpu_op wh_cpu_ops[WH_OP_COUNT]; /* ops.c */

wh_status wh_cpu_compile(void *dev, const wh_block *block, wh_code **out);
void wh_cpu_code_destroy(void *dev, wh_code *code);
void wh_cpu_describe(void *dev, const wh_code *code, size_t step, wh_step_info *out);
/* The block's instructions for a frame; `instrs` has one for each step, `operands` n_operands for them:
 * zeros, or the code's for another frame. */
wh_status wh_cpu_resolve(const cpu_device *d, const wh_code *code, const wh_frame *frame,
                         atomic_uint *bad_weight, cpu_instr *instrs, cpu_operand *operands);

/* work.c: whether these are over before a team has woken. */
bool wh_cpu_is_short(const cpu_instr *instrs, size_t n);
/* For tests of kernels on small operands: from now on every run is the whole team's. */
void wh_cpu_share_all(void *dev);

/* args_<family>.c: the compile column of ops.c. */
wh_status wh_cpu_compile_linear(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_expert_linear(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                       cpu_kernel *k);
wh_status wh_cpu_compile_kv_append(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_attention(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_rowop(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_nn(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);

wh_status wh_cpu_compile_map(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_chain(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_cast(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_move(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_claim_gather(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c);
wh_status wh_cpu_compile_index(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_reduce(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_lines(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
bool wh_cpu_is_matmul(const wh_node_info *node);
wh_status wh_cpu_compile_matmul(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k);
wh_status wh_cpu_compile_matmul_attention(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                          cpu_kernel *k);
wh_status wh_cpu_compile_matmul_blocks(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                       cpu_kernel *k);

/* For args_<family>.c */
/* The kernels of the node's formula. */
wh_status wh_cpu_select_chain(const cpu_device *d, const wh_dtype *types, uint32_t n_inputs, wh_dtype to,
                              cpu_kernel *k);
/* Of a formula over operands of any of its types, from input `first` of the node on, behind sums where that
 * is not 0. */
wh_status wh_cpu_select_codes(const cpu_device *d, const wh_graph *g, uint32_t first, cpu_kernel *k);
/* Input i of the kernel's chain: where it lies, or its one element in *one. */
const float *wh_cpu_chain_input(const wh_chain *c, uint32_t i, const cpu_operand *x, float *one);
/* `in` has the chain's inputs. */
void wh_cpu_run_chain(const cpu_instr *in, const wh_worker *worker);
/* The node's operands from input 4 on, behind its sums, which lie where `sums` says. */
void wh_cpu_run_codes(const cpu_instr *in, void *sums, const wh_worker *worker);
/* Bytes of a product's sums, in whole lines; false: too many. */
bool wh_cpu_sum_bytes(const wh_graph *g, const wh_node_info *node, const int64_t *dims, size_t *out);
/* What follows a product with these dims: the kernel's chain over it and the operands from input `first` on.
 * y and its rows' distance are the caller's. */
struct wh_end_rows;
void wh_cpu_end_rows(const cpu_instr *in, int first, int rank, const int64_t *dims, const wh_worker *worker,
                     struct wh_end_rows *rows);
int64_t wh_cpu_elements(const cpu_operand *o);
int64_t wh_cpu_row_length(const cpu_operand *o);
int64_t wh_cpu_rows(const cpu_operand *o);
/* Notes an index outside its range. One worker of the team does that, and instructions come in order, so the
 * frame needs no lock. */
void wh_cpu_report_index(const cpu_instr *in, int64_t value);
/* Notes a weight that is not finite; any worker. */
void wh_cpu_report_weight(const cpu_instr *in);

/* ---- claims: claim.c ---- */

wh_status wh_cpu_claim(void *dev, const wh_graph *g, wh_node node, const int64_t *dims, wh_claim *out);
wh_status wh_cpu_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out);
/* The claim column of ops.c. */
wh_status wh_cpu_claim_linear(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c);
wh_status wh_cpu_claim_attention(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                 const int64_t *dims, wh_claim *c);
wh_status wh_cpu_claim_rowop(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                             const int64_t *dims, wh_claim *c);
wh_status wh_cpu_claim_map(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                           const int64_t *dims, wh_claim *c);
wh_status wh_cpu_claim_matmul(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c);
wh_status wh_cpu_claim_matmul_attention(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                        const int64_t *dims, wh_claim *c);
wh_status wh_cpu_claim_matmul_blocks(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                     const int64_t *dims, wh_claim *c);
/* Whether an op's row op takes the operands; of several ops, map loops take others. */
bool wh_cpu_rowop_takes(const wh_graph *g, const wh_node_info *node);
wh_status wh_cpu_claim_nn(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                          const int64_t *dims, wh_claim *c); /* args_nn.c */
/* How a product keeps a constant of this shape packed; matrix.id 0: not at all. ERR_UNSUPPORTED: there is no
 * such product. */
wh_status wh_cpu_weight_layout(const cpu_device *d, const wh_graph *g, const wh_shape *w,
                               wh_expert_layout *out);
/* The same for the constant of a matmul; ERR_INTERNAL: it is not kept packed. */
wh_status wh_cpu_matmul_layout(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                               wh_expert_layout *out);
/* The same for the weights of a convolution, as a linear's w[m, (channel, tap)] has them; ERR_UNSUPPORTED. */
#define WH_CONV_PANELS 17u
#define WH_CONV_WINOGRAD_PANELS 18u            /* conv_winograd.h; */
#define WH_CONV_WINOGRAD_WIDE 47u              /* of 16 outputs */
bool wh_cpu_is_conv(const wh_node_info *node); /* with weights that may be kept so */
wh_status wh_cpu_conv_layout(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                             wh_expert_layout *out);
/* What products can pack panel by panel as they go, into a worker's scratch. */
bool wh_cpu_packs_as_it_goes(const wh_node_info *node, const wh_linear_layout *l);
/* Which input of a node is a weight that may be packed; -1: none. */
int wh_cpu_weight_input(const wh_node_info *node);
bool wh_cpu_is_state(const wh_graph *g, wh_value v);

/* ---- packing: pack.c ---- */

wh_status wh_cpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks);

/* ---- queues: queue.c ---- */

wh_status wh_cpu_queue_create(void *dev, wh_queue **out);
void wh_cpu_queue_destroy(wh_queue *queue);
wh_status wh_cpu_submit(wh_queue *queue, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                        const wh_point *waits, size_t n_waits, wh_point *done);
wh_status wh_cpu_upload(wh_queue *queue, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                        const wh_point *waits, size_t n_waits, wh_point *done);
wh_status wh_cpu_download(wh_queue *queue, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                          const wh_point *waits, size_t n_waits, wh_point *done);
wh_status wh_cpu_copy(wh_queue *queue, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                      uint64_t n_bytes, const wh_point *waits, size_t n_waits, wh_point *done);
wh_status wh_cpu_wait(wh_point point);
/* Before code goes: what queues have derived from it. */
void wh_cpu_queues_forget(cpu_device *d, const wh_code *code);

/* ---- debugging: read_value.c ---- */

wh_status wh_cpu_read_value(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, wh_buffer *buffer,
                            uint64_t offset, void *row_major);

#endif
