/* device.h - the device, its memory and its queues, as the host files of this folder know them. */
#ifndef WH_GPU_DEVICE_H
#define WH_GPU_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "backends/gpu/gpu_api.h"
#include "backends/gpu/gpu_backend.h"
#include "backends/gpu/gpu_internal.h"
#include "backends/gpu/kernels/linear_args.h"
#include "backends/gpu/weights.h"
#include "core/base/team.h"

/* A kernel that was launched before. */
typedef struct gpu_function {
  void *function;
  uint32_t shared_bytes; /* dynamic ones that it was allowed */
} gpu_function;

struct gpu_device {
  const gpu_api *api;
  const wh_allocator *alloc;
  int device;
  void *context;   /* the device's primary one */
  void *stream;    /* for what a call does by itself: zeroing, reading values */
  char title[96];  /* the driver's name for it */
  char isa[16];    /* "sm_90" */
  bool warpgroups; /* it runs linear_warpgroup_* */
  bool follows;    /* kernels start before those in front of them have ended, and wait; not without graphs */
  char reason[64];
  char bus[32]; /* "": unknown */
  int driver;
  int processors;
  uint32_t shared_per_block;
  uint64_t memory_bytes, l2_bytes;
  const gpu_op *ops[WH_OP_COUNT];
  wh_team *team;                /* of the host: what packs weights */
  bool no_graphs;               /* every step is launched by itself */
  void *blas;                   /* mode `fast`; NULL: all products are exact */
  atomic_bool blas_failed;      /* it is not asked again */
  _Atomic uint64_t n_codes;     /* that were compiled */
  _Atomic uint64_t peers;       /* bit i: device i's memory was asked for */
  pthread_mutex_t lock;         /* of what follows */
  void *modules[GPU_N_KERNELS]; /* by the first kernel of the module */
  gpu_function functions[GPU_N_KERNELS];
  /* Where the driver was found, and what became of mode `fast`: at first, and where blas_failed. */
  char about[2][320];
};

struct wh_buffer {
  gpu_device *d;
  uint64_t address; /* on the device */
  uint64_t n_bytes;
  void *host; /* pinned memory that `address` is the device's name of; NULL: the device's own */
};

struct gpu_emit {
  gpu_device *d;
  void *stream;
};

/* Makes the device's context the calling thread's. */
wh_status gpu_enter(const gpu_device *d);
wh_status gpu_range(const wh_buffer *b, uint64_t at, uint64_t n_bytes);

/* ---- modules.c ---- */

/* The kernel, loaded if it was not yet, with room for so much dynamic shared memory. */
wh_status gpu_kernel_get(gpu_device *d, gpu_kernel kernel, uint32_t shared_bytes, void **out);
void gpu_modules_unload(gpu_device *d);

/* ---- family_linear_fast.c ---- */

/* Whether products of so many rows may be of bf16, whether one is, and the scratch of such a one. */
bool gpu_is_fast(const gpu_device *d, int64_t rows);
bool gpu_takes_fast(const gpu_device *d, const gpu_weights *w, int64_t rows);
uint64_t gpu_fast_bytes(const gpu_weights *w, int64_t rows);
/* Enqueues it; `a`: of this one matrix. Where the library fails that is kept for gpu_get_info, all later
 * products are exact ones, and so has this one to be: its error is the thread's last one. */
wh_status gpu_emit_fast(gpu_emit *e, const gpu_step *s, const gpu_weights *w, const gpu_linear_args *a);

/* ---- ops.c ---- */
void gpu_ops_collect(const gpu_op *ops[WH_OP_COUNT]);

/* ---- compile.c ---- */

typedef struct gpu_row {
  const gpu_op *op;
  size_t n_joined; /* this step and those behind it that are one launch; at least 1 */
} gpu_row;

struct wh_code {
  wh_block block;
  uint64_t id;          /* no other code of the device has it, nor had */
  size_t most_operands; /* of steps that are joined */
  gpu_row rows[];       /* of each step */
};

/* Enqueues step `first` of [first, end), and those behind it that go in one launch with it: how many there
 * were. `operands` has room for most_operands. */
wh_status gpu_emit_steps(gpu_emit *e, const wh_code *code, size_t first, size_t end, const wh_frame *frame,
                         uint64_t fault, gpu_operand *operands, size_t *n_done);

/* ---- graphs.c ---- */

/* That a queue keeps of a block: prompts in chunks, decoding, some numbers of rows; and in all. */
#define GPU_N_GRAPHS 8
#define GPU_MOST_GRAPHS (1024 * GPU_N_GRAPHS)

/* Steps in one frame, that were submitted before. */
typedef struct gpu_graph {
  void *exec; /* what launches them; NULL: not recorded */
  bool again; /* this is not the first time */
  uint64_t used, frame, code;
  size_t first, count;
  uint64_t *key; /* all that their launches depend on */
  size_t n_key, room;
} gpu_graph;

/* A queue's. What is submitted a second time is recorded, and launched as one from then on. */
typedef struct gpu_graphs {
  bool off; /* nothing is recorded (any more) */
  uint64_t clock;
  gpu_graph *list; /* [n] as many for each code that there was */
  size_t n;
  gpu_graph wanted; /* only its key: of the steps that are looked for */
} gpu_graphs;

/* The entry of these steps, a new one perhaps, which took the place of the one unused for longest. NULL:
 * there is no memory for it, or graphs are off. */
gpu_graph *gpu_graphs_find(gpu_device *d, gpu_graphs *graphs, const wh_code *code, size_t first, size_t count,
                           const wh_frame *frame);
void gpu_graphs_clear(gpu_device *d, gpu_graphs *graphs);
/* Between the two what is enqueued is recorded. `given`: what became of that; an error is returned, and
 * nothing is left of the recording. */
wh_status gpu_capture_begin(gpu_emit *e);
wh_status gpu_capture_end(gpu_emit *e, wh_status given, void **exec);

/* The address of a slot's bytes. */
wh_status gpu_resolve_slot(const wh_frame *frame, uint32_t slot, uint64_t n_bytes, const char *node,
                           uint64_t *address);

#endif
