/* reference_index.c - gathers and scatters, an element at a time by its coordinates. */
#include <stdlib.h>

#include "tests/backend/reference_elements.h"

/* An index of an axis of n elements, after a fault -1. */
static int64_t index_of(ref_node *n, const ref_value *ids, int64_t i, int64_t size) {
  const int64_t given = (int64_t)ref_integer(ids, i);
  const int64_t k = given < 0 ? given + size : given;
  if (k >= 0 && k < size) return k;
  ref_fault(n, given);
  return -1;
}

static void copy_or_clear(ref_value *y, int64_t to, const ref_value *x, int64_t from) {
  const size_t size = wh_dtype_get(y->dtype)->block_bytes;
  if (from >= 0)
    ref_copy(y, to, x, from);
  else
    memset((char *)y->data + (size_t)to * size, 0, size);
}

/* Faults are those of the indices in their own order. */
static void look_at_all(ref_node *n, const int64_t *sizes, int64_t n_sizes) {
  const ref_value *ids = &n->in[1];
  for (int64_t i = 0; i < ref_elements(ids); i++) (void)index_of(n, ids, i, sizes[i % n_sizes]);
}

void ref_gather(ref_node *n) {
  const ref_value *x = &n->in[0], *ids = &n->in[1];
  const int axis = (int)ref_int_attr(n, WH_ATTR_AXIS);
  look_at_all(n, &x->dims[axis], 1);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK], from[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    for (int d = 0; d < axis; d++) from[d] = at[d];
    from[axis] = index_of(n, ids, ref_flat(ids, at + axis), x->dims[axis]);
    for (int d = axis + 1; d < x->rank; d++) from[d] = at[d - 1 + ids->rank];
    copy_or_clear(&n->out, i, x, from[axis] < 0 ? -1 : ref_flat(x, from));
  }
}

void ref_gather_elements(ref_node *n) {
  const ref_value *x = &n->in[0];
  const int axis = (int)ref_int_attr(n, WH_ATTR_AXIS);
  look_at_all(n, &x->dims[axis], 1);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    at[axis] = index_of(n, &n->in[1], i, x->dims[axis]);
    copy_or_clear(&n->out, i, x, at[axis] < 0 ? -1 : ref_flat(x, at));
  }
}

void ref_gather_nd(ref_node *n) {
  const ref_value *x = &n->in[0], *ids = &n->in[1];
  const int batch = (int)ref_int_attr(n, WH_ATTR_BATCH_DIMS), lead = ids->rank - 1,
            length = (int)ids->dims[lead];
  if (length) look_at_all(n, x->dims + batch, length);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK], tuple[WH_MAX_RANK], from[WH_MAX_RANK];
    bool there = true;
    ref_coordinates(&n->out, i, at);
    for (int d = 0; d < lead; d++) tuple[d] = at[d];
    for (int d = 0; d < batch; d++) from[d] = at[d];
    for (int d = 0; d < length; d++) {
      tuple[lead] = d;
      from[batch + d] = index_of(n, ids, ref_flat(ids, tuple), x->dims[batch + d]);
      there &= from[batch + d] >= 0;
    }
    for (int d = batch + length; d < x->rank; d++) from[d] = at[lead + d - batch - length];
    copy_or_clear(&n->out, i, x, there ? ref_flat(x, from) : -1);
  }
}

/* y[to] becomes the reduction's result of it and updates[from]. */
static void update(const ref_node *n, ref_value *y, int64_t to, int64_t from) {
  const int64_t reduction = ref_int_attr(n, WH_ATTR_REDUCTION);
  const ref_value *u = &n->in[2];
  if (reduction == 0) {
    ref_copy(y, to, u, from);
  } else if (ref_holds_floats(y)) {
    const double a = ref_float(y, to), b = ref_float(u, from);
    const bool nan = isnan(a) || isnan(b);
    const double low = a < b || (a == b && signbit(a)) ? a : b,
                 high = low == a && !(a == b && !signbit(a)) ? b : a;
    ref_set_float(y, to,
                  reduction == 1   ? a + b
                  : reduction == 2 ? a * b
                  : nan            ? (double)NAN
                  : reduction == 3 ? low
                                   : (a == b ? (signbit(a) ? b : a) : high));
  } else {
    const __int128 a = ref_integer(y, to), b = ref_integer(u, from);
    ref_set_integer(y, to,
                    reduction == 1   ? a + b
                    : reduction == 2 ? (__int128)((unsigned __int128)a * (unsigned __int128)b)
                    : reduction == 3 ? (a < b ? a : b)
                                     : (a < b ? b : a));
  }
}

void ref_scatter_elements(ref_node *n) {
  const int axis = (int)ref_int_attr(n, WH_ATTR_AXIS);
  if (n->out.n_bytes) memcpy(n->out.data, n->in[0].data, n->out.n_bytes);
  for (int64_t i = 0; i < ref_elements(&n->in[1]); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->in[1], i, at);
    at[axis] = index_of(n, &n->in[1], i, n->out.dims[axis]);
    if (at[axis] >= 0) update(n, &n->out, ref_flat(&n->out, at), i);
  }
}

void ref_scatter_nd(ref_node *n) {
  const ref_value *ids = &n->in[1], *u = &n->in[2];
  const int lead = ids->rank - 1, length = (int)ids->dims[lead];
  if (length) look_at_all(n, n->out.dims, length);
  if (n->out.n_bytes) memcpy(n->out.data, n->in[0].data, n->out.n_bytes);
  for (int64_t i = 0; i < ref_elements(u); i++) {
    int64_t at[WH_MAX_RANK], tuple[WH_MAX_RANK], to[WH_MAX_RANK];
    bool there = true;
    ref_coordinates(u, i, at);
    for (int d = 0; d < lead; d++) tuple[d] = at[d];
    for (int d = 0; d < length; d++) {
      tuple[lead] = d;
      to[d] = index_of(n, ids, ref_flat(ids, tuple), n->out.dims[d]);
      there &= to[d] >= 0;
    }
    for (int d = length; d < n->out.rank; d++) to[d] = at[lead + d - length];
    if (there) update(n, &n->out, ref_flat(&n->out, to), i);
  }
}
