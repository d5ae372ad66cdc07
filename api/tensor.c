/* tensor.c - what callers say of a tensor, checked and printed. */
#include <inttypes.h>
#include <stdio.h>

#include "api/api_internal.h"
#include "core/base/dtype.h"

const char *wh_shape_text(wh_dtype dtype, int32_t rank, const int64_t *dims, char out[WH_SHAPE_TEXT]) {
  size_t n = (size_t)snprintf(out, WH_SHAPE_TEXT, "%s[", wh_dtype_name(dtype));
  for (int32_t i = 0; i < rank && i < WH_MAX_RANK && n < WH_SHAPE_TEXT; i++)
    n += (size_t)snprintf(out + n, WH_SHAPE_TEXT - n, "%s%" PRId64, i ? ", " : "", dims[i]);
  if (n < WH_SHAPE_TEXT) (void)snprintf(out + n, WH_SHAPE_TEXT - n, "]");
  return out;
}

bool wh_tensor_bytes(wh_dtype dtype, int32_t rank, const int64_t *dims, size_t *out) {
  size_t n = 1, row;
  for (int32_t i = 0; i + 1 < rank; i++)
    if (!wh_mul_size(n, (size_t)dims[i], &n)) return false;
  return wh_dtype_row_bytes(dtype, rank ? (uint64_t)dims[rank - 1] : 1, &row) && wh_mul_size(n, row, out);
}

wh_status wh_check_tensor(const wh_tensor *t, const char *kind, const char *name) {
  char text[WH_SHAPE_TEXT];
  size_t n = 0;
  if (!wh_dtype_get(t->dtype))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s': %d is no dtype", kind, name, (int)t->dtype);
  if (t->rank < 0 || t->rank > WH_MAX_RANK)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s': a rank of %d; 0 to %d", kind, name, (int)t->rank,
                   WH_MAX_RANK);
  wh_shape_text(t->dtype, t->rank, t->dims, text);
  for (int32_t i = 0; i < t->rank; i++)
    if (t->dims[i] < 0)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s' is %s: no dim is negative", kind, name, text);
  if (!wh_tensor_bytes(t->dtype, t->rank, t->dims, &n))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s' is %s, which has no number of bytes", kind, name, text);
  if (n != t->n_bytes)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s' is %s, which takes %zu bytes, and has %" PRIu64, kind, name,
                   text, n, t->n_bytes);
  if (n && !t->data) return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s': its data is NULL", kind, name);
  return WH_OK;
}

wh_trace_event wh_public_trace_event(const wh_run_trace_event *event) {
  wh_trace_event e = {.struct_size = sizeof e,
                      .instruction = (uint32_t)event->step,
                      .node = event->node->name,
                      .op = wh_op_get(event->node->op)->name,
                      .dtype = event->port.dtype,
                      .rank = event->port.rank,
                      .data = event->port.data,
                      .n_bytes = event->n_bytes};
  memcpy(e.dims, event->port.dims, sizeof e.dims);
  return e;
}
