/* reference_structure.c - ops that move elements, an element at a time by its coordinates. */
#include <stdlib.h>

#include "tests/backend/reference_elements.h"

static const int64_t *ints(const ref_node *n, wh_attr_key key) { return wh_node_attr(n->node, key)->ints; }

void ref_transpose(ref_node *n) {
  const int64_t *perm = ints(n, WH_ATTR_PERM);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t to[WH_MAX_RANK], from[WH_MAX_RANK];
    ref_coordinates(&n->out, i, to);
    for (int d = 0; d < n->out.rank; d++) from[perm[d]] = to[d];
    ref_copy(&n->out, i, &n->in[0], ref_flat(&n->in[0], from));
  }
}

void ref_slice(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    for (int d = 0; d < n->out.rank; d++)
      at[d] = ints(n, WH_ATTR_STARTS)[d] + at[d] * ints(n, WH_ATTR_STEPS)[d];
    ref_copy(&n->out, i, &n->in[0], ref_flat(&n->in[0], at));
  }
}

void ref_concat(ref_node *n) {
  const int64_t axis = ref_int_attr(n, WH_ATTR_AXIS);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    const ref_value *x = n->in;
    ref_coordinates(&n->out, i, at);
    while (at[axis] >= x->dims[axis]) at[axis] -= (x++)->dims[axis];
    ref_copy(&n->out, i, x, ref_flat(x, at));
  }
}

/* One step at a time towards the inside. */
static int64_t inside(int64_t mode, int64_t i, int64_t n) {
  while (i < 0 || i >= n) {
    if (mode == 2) i = i < 0 ? 0 : n - 1;
    if (mode == 3) i += i < 0 ? n : -n;
    if (mode == 1) i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
  }
  return i;
}

void ref_pad(ref_node *n) {
  const int64_t mode = ref_int_attr(n, WH_ATTR_MODE), *pads = ints(n, WH_ATTR_PADS);
  const size_t size = wh_dtype_get(n->out.dtype)->block_bytes;
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    bool outside = false;
    ref_coordinates(&n->out, i, at);
    for (int d = 0; d < n->out.rank; d++) {
      at[d] -= pads[d];
      outside |= at[d] < 0 || at[d] >= n->in[0].dims[d];
      if (mode) at[d] = inside(mode, at[d], n->in[0].dims[d]);
    }
    if (!outside || mode)
      ref_copy(&n->out, i, &n->in[0], ref_flat(&n->in[0], at));
    else if (n->in[1].data)
      ref_copy(&n->out, i, &n->in[1], 0);
    else
      memset((char *)n->out.data + (size_t)i * size, 0, size);
  }
}

void ref_expand(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++)
    ref_copy(&n->out, i, &n->in[0], ref_broadcast(&n->out, i, &n->in[0]));
}

void ref_tile(ref_node *n) {
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    for (int d = 0; d < n->out.rank; d++) at[d] %= n->in[0].dims[d];
    ref_copy(&n->out, i, &n->in[0], ref_flat(&n->in[0], at));
  }
}

void ref_trilu(ref_node *n) {
  const int64_t k = ref_int_attr(n, WH_ATTR_K);
  const size_t size = wh_dtype_get(n->out.dtype)->block_bytes;
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    const __int128 above = (__int128)at[n->out.rank - 1] - at[n->out.rank - 2] - k;
    if (ref_int_attr(n, WH_ATTR_UPPER) ? above >= 0 : above <= 0)
      ref_copy(&n->out, i, &n->in[0], i);
    else
      memset((char *)n->out.data + (size_t)i * size, 0, size);
  }
}

void ref_reverse_sequence(ref_node *n) {
  const int64_t time = ref_int_attr(n, WH_ATTR_AXIS), batch = ref_int_attr(n, WH_ATTR_BATCH_AXIS);
  for (int64_t b = 0; b < ref_elements(&n->in[1]); b++) {
    const int64_t length = (int64_t)ref_integer(&n->in[1], b);
    if (length < 0 || length > n->in[0].dims[time]) ref_fault(n, length);
  }
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t at[WH_MAX_RANK];
    ref_coordinates(&n->out, i, at);
    const int64_t length = (int64_t)ref_integer(&n->in[1], at[batch]);
    if (length <= n->in[0].dims[time] && at[time] < length) at[time] = length - 1 - at[time];
    ref_copy(&n->out, i, &n->in[0], ref_flat(&n->in[0], at));
  }
}
