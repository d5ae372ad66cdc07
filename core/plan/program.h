/* plan/program.h - L2: a graph bound to one device. A flat array of instructions with every pointer resolved;
 * running it looks nothing up, allocates nothing and takes no lock; weights that move in (weights.h) do so
 * before a run. */
#ifndef WH_PLAN_PROGRAM_H
#define WH_PLAN_PROGRAM_H

#include "core/backend_abi.h"
#include "core/base/memory_budget.h"
#include "core/plan/memory_plan.h"
#include "core/plan/pack_cache.h"

typedef struct wh_program wh_program;

typedef struct wh_program_options {
  const wh_backend *backend;
  void *device;
  const int64_t *symbols_max; /* the largest value of every symbol of the graph */
  const wh_allocator *alloc;
  /* Called with the origin of each constant that was packed or copied when its mapped pages are no longer
   * needed, once or more; may be NULL. */
  void (*weight_done)(void *ctx, const void *origin);
  void *weight_done_ctx;
  const wh_pack_cache_options *pack_cache; /* NULL: weights are packed at each start */
  const wh_memory_budget *memory;          /* for creation; NULL: no limit but the allocator's */
} wh_program_options;

/* Claims every node (a refusal is ERR_UNSUPPORTED, says how many nodes and names the first with their
 * reasons), plans, refuses what does not fit into the budget (ERR_OUT_OF_MEMORY, with the sizes), takes
 * memory, packs the weights, compiles. `g` is compact (no dead nodes) and must outlive the program. Inputs
 * are to be written before every run: their memory is reused once they were read. */
WH_NODISCARD wh_status wh_program_create(wh_graph *g, const wh_program_options *options, wh_program **out);
void wh_program_destroy(wh_program *p);

/* Binds symbol values (0 to the maximum; ERR_LIMIT else) for the next runs; allocates nothing. */
WH_NODISCARD wh_status wh_program_bind(wh_program *p, const int64_t *symbols);
WH_NODISCARD wh_status wh_program_run(wh_program *p);
/* Instructions [first, first + count) only; in order, each once, they make a run. */
WH_NODISCARD wh_status wh_program_run_part(wh_program *p, size_t first, size_t count);

/* Where a graph input or output lies; NULL when the graph has none of that name. */
wh_operand *wh_program_input(wh_program *p, const char *name);
const wh_operand *wh_program_output(const wh_program *p, const char *name);

size_t wh_program_n_instrs(const wh_program *p);
const wh_instr *wh_program_instr(const wh_program *p, size_t i);
/* Live bytes of an instruction's output in the current binding. */
size_t wh_program_output_bytes(const wh_program *p, size_t i);

typedef struct wh_program_memory {
  wh_memory_plan plan;
  size_t arena_bytes; /* plan.arena_bytes in whole pages */
  size_t state_bytes, packed_bytes, mapped_bytes, other_bytes;
  size_t cached_bytes; /* packed weights that are mapped from the cache; packed_bytes are memory of our own */
} wh_program_memory;
void wh_program_get_memory(const wh_program *p, wh_program_memory *out);

/* What became of the weights that the device wants in a layout of its own. */
typedef struct wh_program_packing {
  uint32_t n_packed, n_cached, n_in_place; /* packed now, found packed, used as the file has them */
  bool hashed_model;                       /* the cache did not know the model file */
  bool stored;                             /* wh_program_keep_packed wrote what was packed now */
} wh_program_packing;
wh_program_packing wh_program_get_packing(const wh_program *p);

/* Writes what was packed at this start into the pack cache, if there is one: for when nobody waits. */
WH_NODISCARD wh_status wh_program_keep_packed(wh_program *p);

/* One line per instruction: kernel, operands with offsets, barriers. */
void wh_program_print(const wh_program *p, wh_text_buffer *out);

#endif
