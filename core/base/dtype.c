/* dtype.c - the table behind dtype.h, made from WH_DTYPE_LIST. */
#include "core/base/dtype.h"

#include <string.h>

#include "core/base/allocator.h"

static const wh_dtype_info wh_dtype_table[] = {
#define WH_DTYPE_ROW(name, number, text, elems, bytes, class_of) \
  [number] = {text, elems, bytes, WH_CLASS_##class_of},
    WH_DTYPE_LIST(WH_DTYPE_ROW)
#undef WH_DTYPE_ROW
};
#define N_DTYPES (sizeof wh_dtype_table / sizeof wh_dtype_table[0])

const wh_dtype_info *wh_dtype_get(wh_dtype dtype) {
  size_t i = (size_t)dtype;
  return i < N_DTYPES && wh_dtype_table[i].name ? &wh_dtype_table[i] : NULL;
}

const char *wh_dtype_name(wh_dtype dtype) {
  const wh_dtype_info *info = wh_dtype_get(dtype);
  return info ? info->name : "?";
}

bool wh_dtype_from_name(const char *name, size_t n, wh_dtype *out) {
  for (size_t i = 0; i < N_DTYPES; i++) {
    const char *s = wh_dtype_table[i].name;
    if (s && strlen(s) == n && memcmp(s, name, n) == 0) {
      *out = (wh_dtype)i;
      return true;
    }
  }
  return false;
}

bool wh_dtype_is(wh_dtype dtype, wh_dtype_class class_of) {
  const wh_dtype_info *info = wh_dtype_get(dtype);
  return info && info->class_of == class_of;
}

bool wh_dtype_row_bytes(wh_dtype dtype, uint64_t n, size_t *out) {
  const wh_dtype_info *info = wh_dtype_get(dtype);
  if (!info || info->block_bytes == 0 || n > SIZE_MAX) return false;
  const size_t rest = (size_t)n % info->block_elems;
  if (rest && info->class_of == WH_CLASS_QUANTISED) return false;
  return wh_mul_size((size_t)n / info->block_elems + (rest != 0), info->block_bytes, out);
}
