/* plan/weights.h - where a program's constants are: in the device's layouts, packed at this start or found
 * packed in a cache (pack_cache.h); or as the model has them, small vectors copied out of the model's file.
 *
 * Packed weights that come from a cache are used where they lie in its file at first, so that nothing is
 * copied before the first run; then, unless they are to stay there, they move into memory of their own, some
 * before each run. Their bytes are the same in both places. */
#ifndef WH_PLAN_WEIGHTS_H
#define WH_PLAN_WEIGHTS_H

#include "core/plan/program.h"

typedef struct wh_weights wh_weights;

/* Lists the weights that want packing and looks for them in the cache; then their memory is known.
 * `claims`: one per node of g. All are borrowed for the call but g, which must outlive the weights. */
WH_NODISCARD wh_status wh_weights_create(const wh_graph *g, const wh_claim *claims,
                                         const wh_program_options *options, wh_weights **out);
/* Takes that memory and packs; once, before any other call but those about memory. */
WH_NODISCARD wh_status wh_weights_load(wh_weights *weights);
void wh_weights_destroy(wh_weights *weights); /* NULL is fine */

/* The bytes of constant v in a packed layout; NULL: the list has no such weight. *n_bytes: of the weight. */
const void *wh_weights_packed(const wh_weights *weights, wh_value v, uint32_t layout, size_t *n_bytes);
/* The bytes of constant v as the model has them. *mapped: they lie in the model's file. */
const void *wh_weights_plain(const wh_weights *weights, wh_value v, bool *mapped);

/* Moves a share of what is still in the cache's file. True when weights have moved since: their users then
 * ask for each pointer's successor, which is the pointer itself for all others. */
bool wh_weights_move(wh_weights *weights);
const void *wh_weights_moved(const wh_weights *weights, const void *data);

/* Writes what was packed at this start into the cache; nothing when there is none or it came from there.
 * ERR_OUT_OF_MEMORY only; other failures are warnings in the log. */
WH_NODISCARD wh_status wh_weights_keep(wh_weights *weights);

/* Sets packed_bytes and cached_bytes, adds to other_bytes. */
void wh_weights_get_memory(const wh_weights *weights, wh_program_memory *memory);
wh_program_packing wh_weights_get_packing(const wh_weights *weights);
/* "packed+64"; false when `data` does not point into memory of the weights. */
bool wh_weights_print_place(const wh_weights *weights, const void *data, wh_text_buffer *out);

#endif
