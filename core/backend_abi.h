/* backend_abi.h - the boundary between core and everything that computes.
 *
 * A backend is one struct of functions. It owns no activation memory: it says what a node needs (claim), and
 * core's planner places every buffer. Structs start with their size; fields are only appended. A backend sees
 * core/base, core/ir and this header. */
#ifndef WH_BACKEND_ABI_H
#define WH_BACKEND_ABI_H

#include "core/ir/graph.h"
#include "whimbrel/device.h"

#define WH_BACKEND_ABI_VERSION 1u

/* An operand of an instruction: where it is and what it looks like in this run. */
typedef struct wh_operand {
  void *data; /* NULL: absent */
  wh_dtype dtype;
  int32_t rank;
  int64_t dims[WH_MAX_RANK];
} wh_operand;

typedef struct wh_instr wh_instr;
/* worker: the backend's own argument (the CPU backend passes its wh_worker). Cannot fail: claim has checked.
 */
typedef void (*wh_kernel_fn)(const wh_instr *instr, const void *worker);

/* One step of a program (L2). Core fills everything but `fn`, `kernel`, `reason` and `kernel_data`, which
 * compile sets. */
#define WH_INSTR_MAX_INPUTS 5 /* nodes with more are claimed by nobody */
struct wh_instr {
  wh_kernel_fn fn;
  wh_operand in[WH_INSTR_MAX_INPUTS];
  wh_operand out;
  void *scratch; /* WH_PLAN_ALIGN-aligned; shared by the workers of this step */
  size_t scratch_bytes;
  void *kernel_data; /* the backend's, from the device's allocator; freed by release */
  const wh_node_info *node;
  const char *kernel;    /* name, static or the device's */
  const char *reason;    /* why this kernel; static or the device's */
  uint32_t step;         /* grows by 2 along the program */
  bool barrier;          /* wait for all earlier instructions first */
  uint64_t weight_bytes; /* of the weights this step reads for one token; for reports */
};

/* A backend's answer to "can you run this node, and what does it need?" */
typedef struct wh_claim {
  uint32_t struct_size;
  bool supported;
  char reason[160];       /* when refused: one sentence */
  size_t scratch_bytes;   /* for the largest dims */
  int packed_input;       /* operand that wants packing (a constant), or -1 */
  size_t packed_bytes;    /* its packed size */
  uint32_t packed_layout; /* equal numbers for one constant mean equal bytes: packed once */
} wh_claim;

typedef struct wh_pack_task {
  const wh_node_info *node;
  const wh_value_info *weight;
  void *dst;   /* 64-byte aligned */
  bool finite; /* result: false when a scale or weight is NaN or infinite */
} wh_pack_task;

/* A piece of host work: called once for each index below count, at the same time. */
typedef void (*wh_parallel_fn)(void *arg, int index, int count);

typedef struct wh_backend {
  uint32_t struct_size;
  uint32_t abi_version;
  const char *name;

  /* device */
  wh_status (*create)(const wh_device_options *options, void **dev);
  void (*destroy)(void *dev);
  void (*get_info)(void *dev, wh_device_info *info);
  wh_status (*measure)(void *dev, double seconds, wh_device_roofline *out);

  /* claim: symbols_max[i] bounds symbol i */
  wh_status (*claim)(void *dev, const wh_graph *g, const wh_node_info *node, const int64_t *symbols_max,
                     wh_claim *out);
  /* Bytes of a value in this backend's layout: q8a activations and KV states; others are wh_shape_bytes. */
  wh_status (*value_bytes)(void *dev, const wh_graph *g, const wh_shape *shape, bool is_state,
                           const int64_t *symbols, size_t *out);

  /* pack: weights to the layout that claim named, on the device's threads; a pure function of the bytes */
  wh_status (*pack)(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks);

  /* compile: sets fn, kernel, reason, kernel_data */
  wh_status (*compile)(void *dev, const wh_graph *g, const wh_node_info *node, const int64_t *symbols_max,
                       wh_instr *instr);
  void (*release)(void *dev, wh_instr *instr);

  /* run: all instructions in order; `first` and `count` select a part (tracing) */
  wh_status (*run)(void *dev, const wh_instr *instrs, size_t first, size_t count);

  /* host work on the device's threads; NULL: the caller's thread does it */
  void (*parallel)(void *dev, wh_parallel_fn fn, void *arg);
  /* changes whenever `pack` gives other bytes for a layout: packed weights outlive the program on disk */
  uint32_t pack_version;
} wh_backend;

static inline void wh_backend_parallel(const wh_backend *backend, void *dev, wh_parallel_fn fn, void *arg) {
  if (backend->parallel)
    backend->parallel(dev, fn, arg);
  else
    fn(arg, 0, 1);
}

#endif
