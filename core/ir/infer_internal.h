/* infer_internal.h - what the files of shape rules share: a node in the making, and sentences about what is
 * wrong with it. */
#ifndef WH_IR_INFER_INTERNAL_H
#define WH_IR_INFER_INTERNAL_H

#include "core/ir/graph.h"

typedef struct infer_ctx {
  wh_graph *g;
  const char *name; /* the node's */
  const char *op;
  const wh_value *inputs;
  size_t n_inputs;
  const wh_attr *attrs;
  const wh_node_def *def;
} infer_ctx;

/* The shape of an operand, or NULL: it is absent. */
static inline const wh_shape *in(const infer_ctx *c, size_t i) {
  return i < c->n_inputs && c->inputs[i] ? &c->g->values[c->inputs[i]].shape : NULL;
}
/* An attribute that the op requires: it is there. */
const wh_attr *wh_infer_attr(const infer_ctx *c, wh_attr_key key);

/* "node 'x' (op): input 0: <what>" */
wh_status wh_infer_wrong(const infer_ctx *c, size_t i, const char *what);
wh_status wh_infer_wrong_attr(const infer_ctx *c, wh_attr_key key, const char *what);
/* rank -1: any */
wh_status wh_infer_want(const infer_ctx *c, size_t i, wh_dtype dtype, int rank);
wh_status wh_infer_want_dim(const infer_ctx *c, size_t i, int axis, wh_dim dim);
#define wrong wh_infer_wrong
#define want wh_infer_want
#define want_dim wh_infer_want_dim

/* Of tensors of any rank (infer_tensor.c): what an operand holds, what an attribute says. */
wh_status wh_infer_want_number(const infer_ctx *c, size_t i);
wh_status wh_infer_want_movable(const infer_ctx *c, size_t i);
wh_status wh_infer_want_same_type(const infer_ctx *c, size_t i, size_t as);
wh_status wh_infer_attr_in_range(const infer_ctx *c, wh_attr_key key, int64_t first, int64_t last,
                                 const char *what, int *out);
wh_status wh_infer_axis_of(const infer_ctx *c, wh_attr_key key, int rank, int *axis);
wh_status wh_infer_flag(const infer_ctx *c, wh_attr_key key);
/* Makes *out the shape over which it and `s`, the shape of input i, broadcast. */
wh_status wh_infer_broadcast(const infer_ctx *c, size_t i, const wh_shape *s, wh_shape *out);
#define broadcast wh_infer_broadcast
#define want_number wh_infer_want_number
#define want_movable wh_infer_want_movable
#define want_same_type wh_infer_want_same_type
#define attr_in_range wh_infer_attr_in_range
#define axis_of wh_infer_axis_of
#define flag wh_infer_flag

static inline const wh_dim_expr *expr(const infer_ctx *c, wh_dim d) { return wh_dim_get(&c->g->dims, d); }
static inline bool is_one(const infer_ctx *c, wh_dim d) {
  return expr(c, d)->min == 1 && expr(c, d)->max == 1;
}

/* The rules: infer.c, infer_tensor.c, infer_move.c, infer_nn.c, infer_codes.c. */
#define WH_OP(op_name, text, min_in, max_in, n_out, op_attrs, traits, rule) \
  wh_status wh_infer_##rule(const infer_ctx *c, wh_shape *out);
#include "core/ir/op_list.def"

#endif
