/* family_nn.h - the ops of family_nn.c that stand in files of their own. */
#ifndef WH_GPU_FAMILY_NN_H
#define WH_GPU_FAMILY_NN_H

#include "backends/gpu/kernels/nn_args.h"
#include "backends/gpu/walks.h"

/* family_conv.c */
gpu_window gpu_window_of(const gpu_step *s, const int64_t *kernel);
int64_t gpu_space(const gpu_operand *o); /* elements behind the first two dims */
wh_status gpu_emit_conv(gpu_emit *e, const gpu_step *s);
wh_status gpu_emit_conv_transpose(gpu_emit *e, const gpu_step *s);
wh_status gpu_emit_conv_integer(gpu_emit *e, const gpu_step *s);

/* family_recurrent.c */
wh_status gpu_claim_recurrent(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c);
wh_status gpu_emit_recurrent(gpu_emit *e, const gpu_step *s);

#endif
