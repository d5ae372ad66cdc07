/* family_move.h - what family_move.c and family_index.c share: one table, and words. */
#ifndef WH_GPU_FAMILY_MOVE_H
#define WH_GPU_FAMILY_MOVE_H

#include "backends/gpu/walks.h"

/* The largest word, 1 to 16 bytes, of which a run of bytes and all addresses (or their bits) are multiples.
 */
int64_t gpu_word(int64_t n_bytes, uint64_t addresses);

wh_status gpu_emit_gather(gpu_emit *e, const gpu_step *s);
wh_status gpu_emit_gather_elements(gpu_emit *e, const gpu_step *s);
wh_status gpu_emit_gather_nd(gpu_emit *e, const gpu_step *s);
wh_status gpu_emit_scatter_elements(gpu_emit *e, const gpu_step *s);
wh_status gpu_claim_scatter_nd(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                               const int64_t *dims, wh_claim *c);
wh_status gpu_emit_scatter_nd(gpu_emit *e, const gpu_step *s);

#endif
