/* backend_abi.h - the boundary between core and everything that computes (version 3).
 *
 * A backend is one struct of functions. It owns no activation memory: it says what a node needs (claim), and
 * core's planner places every buffer. Nothing that core hands over at planning holds a pointer into memory
 * that a run uses: steps name slots, and a frame says where the slots are. So one compiled block serves any
 * number of runs, and a run may move its buffers by presenting another frame.
 *
 * Every struct starts with its size, sizes and versions are checked at registration (backends.h), and fields
 * are only appended. A backend sees core/base, core/ir and this header: it is compiled with this tree's,
 * which are not installed, and linked with what it calls of core/base. Every function is there, but
 * `parallel`, `free_memory` and `buffer_grow`.
 *
 * Threads: a device may be called from several threads at once. `claim`, `value_bytes`, `compile`, `describe`
 * and `pack` are pure; what a queue runs, it runs in order. */
#ifndef WH_BACKEND_ABI_H
#define WH_BACKEND_ABI_H

#include "core/ir/graph.h"
#include "whimbrel/device.h"

/* Raised with every change of this interface, which op_list.def is a part of: an op is its number. */
#define WH_BACKEND_ABI_VERSION 7u
/* Of docs/NUMERICS.md: changes whenever a definition gives other bits, so that what was saved is not mixed.
 */
#define WH_NUMERICS_VERSION 4u

/* ---- memory ---- */

/* The backend's: memory of one device. */
typedef struct wh_buffer wh_buffer;

typedef enum wh_memory_kind {
  WH_MEMORY_DEVICE, /* what its kernels read fastest; all of it is there at once */
  WH_MEMORY_POOL, /* the same, but perhaps little of it is ever used: pages may be taken at the first touch */
  WH_MEMORY_WEIGHTS, /* as DEVICE, but not zeroed: every byte is written before it is read */
  WH_MEMORY_HOST     /* addressed by the host as well: what copies to and from the device pass through */
} wh_memory_kind;

#define WH_BUFFER_ALIGN 256u /* of a buffer's first byte; slots keep WH_PLAN_ALIGN within it */

/* ---- queues ---- */

/* The backend's: work of one device, in order. */
typedef struct wh_queue wh_queue;

/* A moment of a queue: reached when the work that was given to it up to then is done. Value 0 of a NULL
 * queue: always reached. */
typedef struct wh_point {
  wh_queue *queue;
  uint64_t value;
} wh_point;

/* ---- what runs ---- */

#define WH_NO_SLOT UINT32_MAX

/* An operand: a value and the slot that holds it. Its shape is g->values[value].shape. Value 0: absent. */
typedef struct wh_arg {
  wh_value value;
  uint32_t slot;   /* WH_NO_SLOT: absent */
  uint32_t layout; /* of a weight: the id that claim named and core chose; 0: as the model has it */
} wh_arg;

typedef struct wh_step {
  wh_node node;
  uint32_t first_arg; /* n_inputs args, then n_outputs */
  uint16_t n_inputs, n_outputs;
  uint32_t scratch; /* slot, or WH_NO_SLOT; shared by the step's workers */
  uint32_t phase;   /* steps of one phase are independent; a later phase waits for all earlier ones */
} wh_step;

/* Straight-line work of one device. Everything is borrowed and outlives the code that is compiled from it. */
typedef struct wh_block {
  const wh_graph *graph;
  const wh_step *steps; /* in order, phases ascending */
  size_t n_steps;
  const wh_arg *args;
  uint32_t n_slots;
} wh_block;

/* Where a run has its slots and how large its dims are. Immutable while work that was given it is under way.
 */
typedef struct wh_frame {
  uint64_t id; /* frames of equal id are equal in all that follows: what was derived from one may be kept */
  wh_buffer *const *buffers; /* [n_slots] NULL: unused */
  const uint64_t *offsets;   /* [n_slots] bytes within it */
  const uint64_t *n_bytes;   /* [n_slots] */
  const int64_t *dims;       /* [graph->dims.n] every dim expression's value, by wh_dim */
  uint32_t fault;            /* slot of a wh_fault, or WH_NO_SLOT */
  /* [n_slots] true: a constant that is not packed yet, as the model has it and of as many bytes, whatever
   * layout its steps chose (wh_claim, from_model); NULL: none */
  const bool *as_model;
} wh_frame;

/* What a kernel may report (docs/NUMERICS.md, "Faults"): the first of the lowest node index stays. Zero:
 * none. A kernel that reports computes on with the value that its definition names, in bounds. */
typedef struct wh_fault {
  uint32_t node_plus_1;
  uint32_t code; /* wh_fault_code */
  int64_t value; /* the offending one */
} wh_fault;
typedef enum wh_fault_code {
  WH_FAULT_NONE,
  WH_FAULT_INDEX, /* value: the index */
  WH_FAULT_WEIGHT /* a weight, read as the model has it, holds a NaN or an infinity; value: 0 */
} wh_fault_code;

/* The backend's: a compiled block. */
typedef struct wh_code wh_code;

typedef struct wh_step_info {
  uint32_t struct_size;
  const char *kernel; /* name; lives as long as the code */
  const char *reason; /* why this kernel */
} wh_step_info;

/* ---- claims and packing ---- */

#define WH_CLAIM_MAX_LAYOUTS 8

/* A form in which a node can read a constant operand. Equal ids for one constant mean equal bytes. */
typedef struct wh_weight_layout {
  uint32_t input;
  uint32_t id;    /* 0: as the model has it, read in place */
  size_t n_bytes; /* of the constant in this layout */
} wh_weight_layout;

/* A backend's answer to "can you run this node, and what does it need?" */
typedef struct wh_claim {
  uint32_t struct_size;
  bool supported;
  char reason[160];       /* when refused: one sentence */
  uint64_t scratch_bytes; /* for these dims */
  /* Per constant operand, best first; an operand without an entry is read as the model has it and is not
   * looked at, one whose only entry is 0 is (pack with dst NULL). Core chooses one layout per constant and
   * device where its users have one in common. */
  uint32_t n_layouts;
  wh_weight_layout layouts[WH_CLAIM_MAX_LAYOUTS];
  /* Bit i: the operand of layouts[i] may also come as the model has it, when a frame says so: the same bits,
   * slower. So a model computes before its weights are packed. What is not finite is then a fault. */
  uint32_t from_model;
  uint32_t any_address; /* bit i: constant operand i is read wherever it lies, when it is not packed */
  bool no_scratch;      /* whatever the dims: the node is not asked again for others */
} wh_claim;

typedef struct wh_pack_task {
  wh_node node;           /* a user of the weight */
  wh_value weight;        /* its bytes: g->values[weight].data */
  uint32_t layout;        /* from the user's claim */
  void *dst;              /* host memory for the whole of it, 64-byte aligned; NULL: it is only checked */
  bool finite;            /* result: false when a scale or weight in the part is NaN or infinite */
  uint32_t part, n_parts; /* which part of the weight: large ones are packed in several calls */
} wh_pack_task;

/* A piece of host work: called once for each index below count, at the same time. */
typedef void (*wh_parallel_fn)(void *arg, int index, int count);

/* ---- the backend ---- */

/* Computes `chain` and `conv_chain`; graphs for other backends have the single ops. */
#define WH_BACKEND_CHAINS 1u
/* `copy` also takes what lies on another of its devices, and work of one waits for points of another. */
#define WH_BACKEND_PEERS 2u
/* Computes `matmul_blocks` of f32; in graphs for other backends its weights are decoded. Of q13a it has no
 * other form: a device that does not compute it leaves it to the host. */
#define WH_BACKEND_BLOCKS 4u
/* Computes `chain_codes`, `conv_codes` and `matmul_codes`; graphs for other backends have the single ops. */
#define WH_BACKEND_CODES 8u
/* Computes `matmul_chain`; graphs for other backends have a product and a chain. */
#define WH_BACKEND_PRODUCTS 16u
/* `concat` leaves an operand that lies at its place in the result already. */
#define WH_BACKEND_PARTS 32u

/* Computes `matmul_attention`; graphs for other backends have its products and the softmax. */
#define WH_BACKEND_ATTENTION 64u

typedef struct wh_backend {
  uint32_t struct_size;
  uint32_t abi_version;
  const char *name;
  uint32_t pack_version; /* changes whenever `pack` gives other bytes: packed weights outlive the program */
  uint32_t traits;       /* WH_BACKEND_... */

  /* ---- device ---- */
  /* How many there are now; 0 with a sentence in the error record when something is missing (a driver). */
  uint32_t (*count)(void);
  wh_status (*open)(uint32_t index, const wh_device_options *options, void **dev);
  void (*close)(void *dev);
  void (*get_info)(void *dev, wh_device_info *info); /* sets every string */
  wh_status (*measure)(void *dev, double seconds, wh_device_roofline *out);

  /* ---- memory ---- */
  /* Zeroed, WH_BUFFER_ALIGN-aligned. */
  wh_status (*buffer_create)(void *dev, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out);
  /* Host memory as a buffer, read in place by what is executed, at no other time: it is there until then, and
   * maybe not until the buffer is destroyed. A device that needs more than its address (that would map it)
   * says ERR_UNSUPPORTED: core copies. */
  wh_status (*buffer_import)(void *dev, const void *host, uint64_t n_bytes, wh_buffer **out);
  void (*buffer_destroy)(void *dev, wh_buffer *buffer); /* NULL is fine */
  /* Its address for the host; NULL: it has none. */
  void *(*buffer_host)(void *dev, wh_buffer *buffer);
  /* Bytes of pages that such a buffer takes. */
  uint64_t (*buffer_footprint)(void *dev, wh_memory_kind kind, uint64_t n_bytes);

  /* ---- claim: pure; `dims` are evaluated as in wh_frame ---- */
  wh_status (*claim)(void *dev, const wh_graph *g, wh_node node, const int64_t *dims, wh_claim *out);
  /* Bytes of a value in this backend's form: q8a and q13a activations, and states; others are as
   * wh_shape_bytes. Page p of a state, the index of its first dimension, is the bytes [p, p + 1) *
   * value_bytes / dims[0], in whatever form: pages are copied and kept as ranges of bytes. */
  wh_status (*value_bytes)(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out);

  /* ---- pack: a pure function of the weight's bytes, on the device's threads ---- */
  wh_status (*pack)(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks);

  /* ---- compile: whole blocks, for any dims ---- */
  wh_status (*compile)(void *dev, const wh_block *block, wh_code **out);
  void (*code_destroy)(void *dev, wh_code *code);
  void (*describe)(void *dev, const wh_code *code, size_t step, wh_step_info *out);

  /* ---- run ---- */
  wh_status (*queue_create)(void *dev, wh_queue **out);
  void (*queue_destroy)(wh_queue *queue); /* waits for its work */
  /* Steps [first, first + count) once `waits` are reached; in order and each once, they make a run. The frame
   * and all it points to stay as they are until *done. Errors of the call itself come back here, those of the
   * work when somebody waits for it. */
  wh_status (*submit)(wh_queue *queue, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                      const wh_point *waits, size_t n_waits, wh_point *done);
  wh_status (*upload)(wh_queue *queue, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                      const wh_point *waits, size_t n_waits, wh_point *done);
  wh_status (*download)(wh_queue *queue, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                        const wh_point *waits, size_t n_waits, wh_point *done);
  /* Within the device, or (WH_BACKEND_PEERS) to the queue's device from another; regions do not overlap. */
  wh_status (*copy)(wh_queue *queue, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                    uint64_t n_bytes, const wh_point *waits, size_t n_waits, wh_point *done);
  /* Returns once the point is reached; an error of the work up to it, which ends the queue. */
  wh_status (*wait)(wh_point point);

  /* ---- debug ---- */
  /* The value at (buffer, offset) in the row-major form of docs/NUMERICS.md, "Values in row-major form":
   * wh_value_row_major_bytes bytes. Waits for nothing: its producer is done. */
  wh_status (*read_value)(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, wh_buffer *buffer,
                          uint64_t offset, void *row_major);

  /* ---- host work on the device's threads; NULL: the caller's thread does it ---- */
  void (*parallel)(void *dev, wh_parallel_fn fn, void *arg);

  /* ---- memory of its own: bytes that may be taken now; NULL: it computes in the host's ---- */
  wh_status (*free_memory)(void *dev, uint64_t *n_bytes);

  /* ---- more memory for a buffer that nothing uses now: what is in it is lost, its address may change. On
   * failure it is as before; ERR_UNSUPPORTED, or NULL: core makes another ---- */
  wh_status (*buffer_grow)(void *dev, wh_buffer *buffer, uint64_t n_bytes);
} wh_backend;

static inline void wh_backend_parallel(const wh_backend *backend, void *dev, wh_parallel_fn fn, void *arg) {
  if (backend->parallel)
    backend->parallel(dev, fn, arg);
  else
    fn(arg, 0, 1);
}

#endif
