/* convert.h - casts between all types of numbers and bool. Arithmetic: docs/NUMERICS.md, "cast". */
#ifndef WH_CPU_CONVERT_H
#define WH_CPU_CONVERT_H

#include "core/base/dtype.h"

/* dst[i] = src[i] for i < n. Elements of half a byte: both begin with the low half of a byte. `saturate`:
 * what is too large for an f8 becomes its largest value. */
void wh_convert(wh_dtype from, wh_dtype to, bool saturate, const void *src, void *dst, int64_t n);

#endif
