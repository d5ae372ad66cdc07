/* plan/program.h - L2: a graph bound to devices. Immutable and shared: blocks of steps, each compiled by its
 * device, whose operands name slots. A slot is a place for one value on one device (or for a step's scratch).
 * Where slots are is decided by others, each with a lifetime of its own:
 *
 *   weight set (weight_set.h)  a model's constants on a device
 *   layout (layout.h)          the sizes of all slots, and places in the arena, for one vector of dims
 *   run (exec/run.h)           the arena, the states, the frame that a run presents to the devices */
#ifndef WH_PLAN_PROGRAM_H
#define WH_PLAN_PROGRAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/plan/layout.h"
#include "core/plan/place.h"
#include "core/plan/weight_set.h"

typedef enum wh_slot_kind {
  WH_SLOT_WEIGHT, /* in the device's weight set */
  WH_SLOT_STATE,  /* lives across runs */
  WH_SLOT_ARENA   /* shares the arena with others that are live at other times */
} wh_slot_kind;

typedef struct wh_slot {
  wh_slot_kind kind;
  uint16_t device;
  wh_value value;     /* whose bytes; views and written states have their root's slot; 0: scratch or faults */
  wh_node scratch_of; /* WH_NO_NODE: no scratch */
  uint32_t first, last; /* ARENA: phases in which it is live, inclusive */
  uint64_t n_bytes;     /* WEIGHT: as it never changes */
  /* ARENA: it is an operand of node `concat` and may lie within that one's result (parts.h) */
  bool is_part, has_parts;
  uint32_t whole; /* the result's slot */
  wh_node concat;
  unsigned operand;
} wh_slot;

/* Before a block: a value that another device made. */
typedef struct wh_program_copy {
  wh_value value;
  uint32_t from, to; /* slots */
  uint32_t maker;    /* the block that made it */
} wh_program_copy;

typedef struct wh_program_block {
  uint16_t device;
  size_t first_step;
  wh_block block; /* the steps from first_step on */
  wh_code *code;
  const wh_program_copy *copies;
  size_t n_copies;
} wh_program_block;

typedef struct wh_program_device {
  wh_plan_device device;
  wh_weight_set *weights;           /* NULL: it reads none */
  uint32_t first_weight, n_weights; /* slots of its wants, in their order */
  uint32_t fault;                   /* slot of its fault word */
} wh_program_device;

/* A graph input or output. */
typedef struct wh_program_port {
  const char *name;
  wh_value value;
  uint32_t slots[WH_PLAN_MAX_DEVICES]; /* by device; WH_NO_SLOT: not there. Outputs are on one device */
} wh_program_port;

typedef struct wh_program {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  wh_graph *graph; /* its own */
  wh_program_device devices[WH_PLAN_MAX_DEVICES];
  uint32_t n_devices, n_slots, n_phases;
  wh_slot *slots;
  wh_step *steps;
  wh_arg *args;
  size_t n_steps, n_args;
  uint64_t *weight_bytes; /* by step: of weights that it reads for one token */
  uint16_t *device_of;    /* by node */
  wh_program_block *blocks;
  wh_program_copy *copies;
  size_t n_blocks, n_copies;
  wh_program_port *inputs, *outputs;
  size_t n_inputs, n_outputs;
  bool many_shapes;                       /* as in wh_program_options */
  pthread_mutex_t mutex;                  /* of the layouts */
  wh_layout *layouts[WH_PROGRAM_LAYOUTS]; /* most recently used first */
} wh_program;

typedef struct wh_program_options {
  wh_place_options place;
  const int64_t *symbols; /* of the first layout: any values that the graph allows */
  const wh_allocator *alloc;
  /* as in wh_weight_options */
  void (*weight_done)(void *ctx, const void *origin, uint64_t n_bytes);
  void *weight_done_ctx;
  const wh_pack_cache_options
      *pack_cache;         /* for creation, on device 0; NULL: weights are packed at each start */
  bool pack_while_running; /* as in wh_weight_options */
  bool any_vectors;        /* as in wh_weight_options */
  bool many_shapes; /* many layouts follow each other: they may share places, which have some more room */
  wh_progress_sink progress;
  /* Weight sets that programs of the same model on these devices have, by device; NULL where there is none.
   * One that fits is shared. */
  wh_weight_set *const *weights;
  wh_weight_set *const *lenders; /* as in wh_weight_options, for device 0 */
  size_t n_lenders;
} wh_program_options;

/* Claims every node (a refusal is ERR_UNSUPPORTED, says how many nodes and names the first with their
 * reasons), schedules, chooses layouts of weights, compiles; takes no memory for weights or activations.
 * `graph` is compact (no dead nodes) and becomes the program's own, also on failure. */
WH_NODISCARD wh_status wh_program_create(wh_graph *graph, const wh_program_options *options,
                                         wh_program **out);
void wh_program_retain(wh_program *p);
void wh_program_release(wh_program *p); /* NULL is fine; devices must live until then */
/* Loads the weights of all devices; does nothing when that is done. Threads may ask at the same time.
 * `progress` is told. */
WH_NODISCARD wh_status wh_program_load(wh_program *p, const wh_progress_sink *progress);

/* The layout for these symbol values, made now or found among the last ones; retained for the caller.
 * ERR_LIMIT for a value that the graph does not allow. Threads may ask at the same time. */
WH_NODISCARD wh_status wh_program_get_layout(wh_program *p, const int64_t *symbols, wh_layout **out);

/* Index of an input or output by name, or -1. */
int wh_program_find_input(const wh_program *p, const char *name);
int wh_program_find_output(const wh_program *p, const char *name);

/* What there is to say of a step. Strings live as long as the program. */
typedef struct wh_program_step_info {
  const wh_node_info *node;
  const char *kernel, *reason, *device;
  bool barrier; /* waits for the steps before it */
  uint64_t weight_bytes;
} wh_program_step_info;
void wh_program_describe(const wh_program *p, size_t step, wh_program_step_info *out);

/* One line per step: kernel, operands with places, barriers; copies between devices. program_text.c */
void wh_program_print(const wh_program *p, const wh_layout *layout, wh_text_buffer *out);

#endif
