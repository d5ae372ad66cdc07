/* plan/layout.h - how large a program's slots are, and where those of the arena lie, for one vector of dims.
 */
#ifndef WH_PLAN_LAYOUT_H
#define WH_PLAN_LAYOUT_H

#include <stdatomic.h>

#include "core/plan/memory_plan.h"
#include "core/plan/place.h"

#define WH_PROGRAM_LAYOUTS 16 /* kept per program */

struct wh_program;

typedef struct wh_layout_memory {
  wh_memory_plan arena;
  uint64_t state_bytes;
} wh_layout_memory;

typedef struct wh_layout {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  size_t n_symbols;
  int64_t *symbols;                             /* what it is for */
  int64_t *dims;                                /* every dim expression of the graph, by wh_dim */
  uint64_t *n_bytes;                            /* by slot */
  uint64_t *offsets;                            /* by slot: in its device's arena or states; weights: 0 */
  uint64_t *room;                               /* by slot of an arena: bytes that its place has */
  wh_layout_memory memory[WH_PLAN_MAX_DEVICES]; /* by device */
} wh_layout;

/* `near`: another of the program, whose places are taken, further apart where they are too small, unless
 * that loses too much room; NULL: none. New ones get some more room than they need, for layouts to come,
 * where the program is to have many shapes. */
WH_NODISCARD wh_status wh_layout_create(const struct wh_program *p, const int64_t *symbols,
                                        const wh_layout *near, const wh_allocator *alloc, wh_layout **out);
void wh_layout_retain(wh_layout *layout);
void wh_layout_release(wh_layout *layout); /* NULL is fine */

/* ERR_LIMIT names the first symbol whose value is outside its range (0 is allowed: nothing to do). */
WH_NODISCARD wh_status wh_graph_check_symbols(const wh_graph *g, const int64_t *symbols);

#endif
