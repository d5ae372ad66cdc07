/* base/dtype.h - classes and block geometry of element types. */
#ifndef WH_BASE_DTYPE_H
#define WH_BASE_DTYPE_H

#include <stdbool.h>

#include "core/base/status.h"
#include "whimbrel/tensor.h"

typedef enum wh_dtype_class {
  WH_CLASS_FLOAT,
  WH_CLASS_SIGNED,
  WH_CLASS_UNSIGNED,
  WH_CLASS_BOOL,
  WH_CLASS_COMPLEX,
  WH_CLASS_QUANTISED, /* blocks that share scales */
  WH_CLASS_STRING,    /* on the host only, in no buffer */
  WH_CLASS_OPAQUE     /* the backend's own form */
} wh_dtype_class;

typedef struct wh_dtype_info {
  const char *name;
  uint16_t block_elems, block_bytes; /* bytes 0: none of a known size (q8a, q13a, string) */
  wh_dtype_class class_of;
} wh_dtype_info;

/* NULL for a number that is no dtype. */
const wh_dtype_info *wh_dtype_get(wh_dtype dtype);
bool wh_dtype_from_name(const char *name, size_t n, wh_dtype *out);
/* False for a number that is no dtype, as are the next two. */
bool wh_dtype_is(wh_dtype dtype, wh_dtype_class class_of);
static inline bool wh_dtype_is_quantised(wh_dtype d) { return wh_dtype_is(d, WH_CLASS_QUANTISED); }
static inline bool wh_dtype_is_float(wh_dtype d) { return wh_dtype_is(d, WH_CLASS_FLOAT); }

/* Bytes of a row of n elements; false on overflow, for a type without bytes, or when n is not whole blocks of
 * a quantised type. A row of i4 or u4 ends with its last byte. */
bool wh_dtype_row_bytes(wh_dtype dtype, uint64_t n, size_t *out);

#endif
