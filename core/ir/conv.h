/* ir/conv.h - which convolutions minimal filtering F(2x2, 3x3) fits, and which are computed by it by
 * definition (docs/NUMERICS.md, "conv"; ADR 0021). Every backend asks here, as the bits depend on it. */
#ifndef WH_IR_CONV_H
#define WH_IR_CONV_H

#include "core/ir/graph.h"

/* With fewer channels or outputs of a group the transforms cost more than the products that they save. */
#define WH_WINOGRAD_CHANNELS 16
#define WH_WINOGRAD_OUTPUTS 16

/* Whether windows are 3 x 3 and move by one; w: dimensions of the weights [m * group, c, kernel ..]. */
static inline bool wh_conv_is_three_by_three(const wh_node_info *node, int rank, const int64_t *w) {
  const wh_attr *strides = wh_node_attr(node, WH_ATTR_STRIDES),
                *dilations = wh_node_attr(node, WH_ATTR_DILATIONS);
  if (rank != 4 || w[2] != 3 || w[3] != 3) return false;
  for (int i = 0; i < 2; i++)
    if (strides->ints[i] != 1 || dilations->ints[i] != 1) return false;
  return true;
}

/* Of a conv or conv_chain; w: as above. The image's size, the batch and whether weights are constant do not
 * count: the bits are the same whatever is known when. */
static inline bool wh_conv_is_winograd(const wh_node_info *node, int rank, const int64_t *w) {
  return (node->op == WH_OP_CONV || node->op == WH_OP_CONV_CHAIN) &&
         wh_conv_is_three_by_three(node, rank, w) && w[1] >= WH_WINOGRAD_CHANNELS &&
         w[0] / wh_node_i(node, WH_ATTR_GROUP) >= WH_WINOGRAD_OUTPUTS;
}

#endif
