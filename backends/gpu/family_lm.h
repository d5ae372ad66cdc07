/* family_lm.h - what the files of the language models' family share. */
#ifndef WH_GPU_FAMILY_LM_H
#define WH_GPU_FAMILY_LM_H

#include "backends/gpu/gpu_internal.h"
#include "backends/gpu/kernels/lm_args.h"

/* Blocks for n items, so many in a block. */
uint32_t gpu_blocks(uint64_t n, uint32_t per_block);
/* A size as kernels take them, below 2^31 - 1. */
WH_NODISCARD wh_status gpu_size(int64_t n, const char *what, uint32_t *out);

wh_status gpu_emit_quantize_act(gpu_emit *e, const gpu_step *s);

/* family_heads.c: rope, kv_append; and where rows stand, `positions` being the first of those operands */
wh_status gpu_emit_head(gpu_emit *e, const gpu_step *s);
wh_status gpu_places_of(const gpu_step *s, const gpu_operand *positions, int64_t pages, gpu_places *p);

/* family_attention.c */
wh_status gpu_claim_attention(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c);
wh_status gpu_emit_attention(gpu_emit *e, const gpu_step *s);

#endif
