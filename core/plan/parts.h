/* plan/parts.h - operands of a concatenation that lie within its result from the start, where the backend
 * leaves there what it finds (WH_BACKEND_PARTS): whoever makes them writes them where they are to be. */
#ifndef WH_PLAN_PARTS_H
#define WH_PLAN_PARTS_H

#include "core/plan/program.h"

/* Marks slots as parts, and lets the whole live from their first phase on. Slots and their lifetimes are
 * known. */
void wh_parts_find(wh_program *p);
/* Whether the slot is a part for these dims (as in wh_layout), and how far behind the whole's first byte: a
 * part must begin where a slot may. */
bool wh_part_is_placed(const wh_program *p, const int64_t *dims, uint32_t slot, uint64_t *at);

#endif
