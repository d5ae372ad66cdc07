/* family_index.c - gathers and scatters: elements of any size by indices. Indices outside are noted as faults
 * first, by a kernel that only looks. */
#include <string.h>

#include "backends/gpu/family_move.h"
#include "core/base/allocator.h"

wh_status gpu_emit_gather(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *ids = &s->in[1], *y = s->out;
  const int axis = (int)wh_node_i(s->node, WH_ATTR_AXIS);
  WH_TRY(gpu_check_axis(e, s, ids, x->dims[axis]));
  if (gpu_is_empty(s)) return WH_OK;
  const int64_t bytes = gpu_product(x->dims + axis + 1, x->rank - axis - 1) * gpu_element_bytes(x->dtype),
                word = gpu_word(bytes, x->address | y->address);
  const gpu_gather_args a = {.x = x->address,
                             .indices = ids->address,
                             .y = y->address,
                             .n = gpu_elements(y) * gpu_element_bytes(y->dtype) / word,
                             .axis = x->dims[axis],
                             .words = gpu_divisor_of(bytes / word),
                             .count = gpu_divisor_of(gpu_elements(ids)),
                             .type = gpu_type_of(ids->dtype),
                             .size = gpu_log2(word)};
  return gpu_launch(e, GPU_K_gather, gpu_flat_grid(a.n), &a, sizeof a);
}

/* Operand 0: the indices, 1: x; the axis has stride 0 in x. `lines`: only where each line along the axis
 * begins. */
static gpu_elements_args elements_of(const gpu_operand *ids, const gpu_operand *x, int axis, bool lines) {
  gpu_elements_args a = {.indices = ids->address,
                         .axis = x->dims[axis],
                         .length = ids->dims[axis],
                         .type = gpu_type_of(ids->dtype),
                         .size = gpu_log2_bytes(x->dtype)};
  wh_nd nd = {.rank = ids->rank, .n_operands = 2};
  gpu_strides(ids, 1, nd.stride[0]);
  gpu_strides(x, 1, nd.stride[1]);
  for (int d = 0; d < ids->rank; d++) nd.dims[d] = d == axis && lines ? 1 : ids->dims[d];
  a.step[0] = nd.stride[0][axis];
  a.step[1] = nd.stride[1][axis];
  nd.stride[1][axis] = 0;
  wh_nd_collapse(&nd);
  a.n = wh_nd_elements(&nd);
  a.walk = gpu_walk_of(&nd);
  return a;
}

wh_status gpu_emit_gather_elements(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *ids = &s->in[1];
  const int axis = (int)wh_node_i(s->node, WH_ATTR_AXIS);
  WH_TRY(gpu_check_axis(e, s, ids, x->dims[axis]));
  if (gpu_is_empty(s)) return WH_OK;
  gpu_elements_args a = elements_of(ids, x, axis, false);
  a.x = x->address;
  a.y = s->out->address;
  return gpu_launch(e, GPU_K_gather_elements, gpu_flat_grid(a.n), &a, sizeof a);
}

/* Notes the first entry of the tuples that lies outside its axis of `dims`. */
static wh_status check_tuples(gpu_emit *e, const gpu_step *s, const int64_t *dims) {
  const gpu_operand *ids = &s->in[1];
  const int length = (int)ids->dims[ids->rank - 1];
  int64_t least[WH_MAX_RANK], most[WH_MAX_RANK];
  if (length == 0) return WH_OK;
  for (int d = 0; d < length; d++) {
    least[d] = -dims[d];
    most[d] = dims[d] - 1;
  }
  return gpu_check_indices(e, s, ids, length, least, most);
}

static gpu_tuple_args tuples_of(const gpu_operand *ids, const int64_t *dims) {
  gpu_tuple_args a = {.indices = ids->address,
                      .tuples = gpu_rows(ids),
                      .length = (uint32_t)ids->dims[ids->rank - 1],
                      .type = gpu_type_of(ids->dtype)};
  memcpy(a.dims, dims, a.length * sizeof *dims);
  return a;
}

wh_status gpu_emit_gather_nd(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *ids = &s->in[1], *y = s->out;
  const int batch = (int)wh_node_i(s->node, WH_ATTR_BATCH_DIMS), length = (int)ids->dims[ids->rank - 1];
  WH_TRY(check_tuples(e, s, x->dims + batch));
  if (gpu_is_empty(s)) return WH_OK;
  gpu_tuple_args a = tuples_of(ids, x->dims + batch);
  const int behind = batch + length;
  const int64_t bytes = gpu_product(x->dims + behind, x->rank - behind) * gpu_element_bytes(x->dtype),
                word = gpu_word(bytes, x->address | y->address);
  a.x = x->address;
  a.y = y->address;
  a.n = a.tuples * (bytes / word);
  a.words = gpu_divisor_of(bytes / word);
  a.per_batch = gpu_divisor_of(a.tuples / gpu_product(x->dims, batch));
  a.places = gpu_product(x->dims + batch, length);
  a.size = gpu_log2(word);
  return gpu_launch(e, GPU_K_gather_nd, gpu_flat_grid(a.n), &a, sizeof a);
}

/* ---- scatters ---- */

static wh_status copy_all(gpu_emit *e, const gpu_step *s) {
  const uint64_t n_bytes = (uint64_t)(gpu_elements(s->out) * gpu_element_bytes(s->out->dtype));
  return gpu_move(e, s->out->address, s->in[0].address, n_bytes);
}

wh_status gpu_emit_scatter_elements(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *ids = &s->in[1], *y = s->out;
  const int axis = (int)wh_node_i(s->node, WH_ATTR_AXIS);
  WH_TRY(gpu_check_axis(e, s, ids, y->dims[axis]));
  if (gpu_is_empty(s)) return WH_OK;
  WH_TRY(copy_all(e, s));
  if (gpu_elements(ids) == 0) return WH_OK;
  gpu_elements_args a = elements_of(ids, y, axis, true);
  a.x = s->in[2].address;
  a.y = y->address;
  a.reduction = (uint32_t)wh_node_i(s->node, WH_ATTR_REDUCTION);
  a.element = gpu_type_of(y->dtype);
  return gpu_launch(e, GPU_K_scatter_elements, gpu_flat_grid(a.n), &a, sizeof a);
}

/* Without a reduction: an owner for each place. */
wh_status gpu_claim_scatter_nd(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                               const int64_t *dims, wh_claim *c) {
  const wh_shape *x = &g->values[node->inputs[0]].shape, *ids = &g->values[node->inputs[1]].shape;
  const int64_t length = dims[ids->dims[ids->rank - 1]];
  size_t bytes = sizeof(uint32_t);
  (void)d;
  if (wh_node_i(node, WH_ATTR_REDUCTION) != 0) return WH_OK;
  for (int i = 0; i < length; i++)
    if (!wh_mul_size(bytes, (size_t)dims[x->dims[i]], &bytes))
      return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = bytes;
  return WH_OK;
}

static wh_status scatter_last(gpu_emit *e, gpu_tuple_args *a, const gpu_step *s) {
  const gpu_operand *y = s->out;
  const int64_t bytes =
                    gpu_product(y->dims + a->length, y->rank - (int)a->length) * gpu_element_bytes(y->dtype),
                word = gpu_word(bytes, a->x | a->y);
  a->owners = s->scratch;
  a->n = a->tuples * (bytes / word);
  a->words = gpu_divisor_of(bytes / word);
  a->size = gpu_log2(word);
  WH_TRY(gpu_fill(e, a->owners, 0, (uint64_t)gpu_product(y->dims, (int)a->length) * sizeof(uint32_t)));
  WH_TRY(gpu_launch(e, GPU_K_scatter_nd_own, gpu_flat_grid(a->tuples), a, sizeof *a));
  return gpu_launch(e, GPU_K_scatter_nd_write, gpu_flat_grid(a->n), a, sizeof *a);
}

wh_status gpu_emit_scatter_nd(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *ids = &s->in[1], *y = s->out;
  WH_TRY(check_tuples(e, s, y->dims));
  if (gpu_is_empty(s)) return WH_OK;
  WH_TRY(copy_all(e, s));
  gpu_tuple_args a = tuples_of(ids, y->dims);
  if (a.tuples == 0) return WH_OK;
  if (a.tuples >= UINT32_MAX)
    return WH_FAIL(ERR_LIMIT, "node '%s' scatters more than 2^32 - 2 updates", s->node->name);
  a.x = s->in[2].address;
  a.y = y->address;
  a.reduction = (uint32_t)wh_node_i(s->node, WH_ATTR_REDUCTION);
  if (!a.reduction) return scatter_last(e, &a, s);
  a.n = gpu_product(y->dims + a.length, y->rank - (int)a.length);
  a.size = gpu_log2_bytes(y->dtype);
  a.element = gpu_type_of(y->dtype);
  return gpu_launch(e, GPU_K_scatter_nd_reduce, gpu_flat_grid(a.n), &a, sizeof a);
}
