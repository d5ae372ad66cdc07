/* fuse.h - what the rules of fuse.c, fuse_norm.c and chain.c share. */
#ifndef WH_PASSES_FUSE_H
#define WH_PASSES_FUSE_H

#include "core/ir/formula.h"
#include "core/passes/passes.h"

typedef struct wh_fuse {
  wh_graph *g;
  uint32_t *uses; /* per value, from wh_graph_count_uses before this round */
  wh_status status;
} wh_fuse;

/* The node computes `op` on other inputs; its outputs stay. */
bool wh_fuse_become(wh_fuse *c, wh_node_info *n, wh_op op, const wh_value *inputs, size_t n_inputs);
/* The live node that makes an input for this user only, as often as that runs, when it is `op`. */
wh_node_info *wh_fuse_single_use(const wh_fuse *c, const wh_node_info *user, unsigned input, wh_op op);

/* The number that a constant of one f32, f64, i32 or i64 is; false: it is none. */
bool wh_fuse_number(const wh_graph *g, wh_value v, double *out);

/* A step of f32 or a chain, as a formula whose input 0 is the node's input `at`, the others behind it. False:
 * it is neither. chain.c */
bool wh_fuse_formula(wh_graph *g, wh_node n, uint32_t at, wh_formula *out);

bool wh_fuse_norm(wh_fuse *c, wh_node_info *n);

#endif
