/* base/dtype.h - block geometry of element types. */
#ifndef WH_BASE_DTYPE_H
#define WH_BASE_DTYPE_H

#include <stdbool.h>

#include "core/base/status.h"
#include "whimbrel/tensor.h"

typedef struct wh_dtype_info {
  const char *name;
  uint16_t block_elems, block_bytes; /* bytes 0: opaque (q8a) */
} wh_dtype_info;

/* NULL for a number that is no dtype. */
const wh_dtype_info *wh_dtype_get(wh_dtype dtype);
bool wh_dtype_from_name(const char *name, size_t n, wh_dtype *out);
static inline bool wh_dtype_is_quantised(wh_dtype d) { return d >= WH_DTYPE_Q4_0 && d <= WH_DTYPE_MXFP4; }
static inline bool wh_dtype_is_float(wh_dtype d) {
  return d == WH_DTYPE_F32 || d == WH_DTYPE_F16 || d == WH_DTYPE_BF16 || d == WH_DTYPE_F64;
}

/* Bytes of a row of n elements; false on overflow, for an opaque type, or when n is not whole blocks. */
bool wh_dtype_row_bytes(wh_dtype dtype, uint64_t n, size_t *out);

#endif
