/* ir/conv.h - which convolutions are Winograd's minimal filtering F(2x2, 3x3) by definition
 * (docs/NUMERICS.md, "conv"; ADR 0021). Every backend asks here, as the bits depend on it. */
#ifndef WH_IR_CONV_H
#define WH_IR_CONV_H

#include "core/ir/graph.h"

/* With fewer channels or outputs of a group the transforms cost more than the products that they save. */
#define WH_WINOGRAD_CHANNELS 16
#define WH_WINOGRAD_OUTPUTS 16

/* Of a conv or conv_chain, and the dimensions of its weights w[m * group, c, kernel ..]. The image's size,
 * the batch and whether weights are constant do not count: the bits are the same whatever is known when. */
static inline bool wh_conv_is_winograd(const wh_node_info *node, int rank, const int64_t *w) {
  if ((node->op != WH_OP_CONV && node->op != WH_OP_CONV_CHAIN) || rank != 4 || w[2] != 3 || w[3] != 3)
    return false;
  const int64_t *stride = wh_node_attr(node, WH_ATTR_STRIDES)->ints,
                *dilation = wh_node_attr(node, WH_ATTR_DILATIONS)->ints;
  for (int i = 0; i < 2; i++)
    if (stride[i] != 1 || dilation[i] != 1) return false;
  return w[1] >= WH_WINOGRAD_CHANNELS && w[0] / wh_node_i(node, WH_ATTR_GROUP) >= WH_WINOGRAD_OUTPUTS;
}

#endif
