/* base/small_float.h - the forms of the floats of up to 16 bits, by their types. */
#ifndef WH_BASE_SMALL_FLOAT_H
#define WH_BASE_SMALL_FLOAT_H

#include "core/base/dtype.h"
#include "core/base/exact_elements.h"

static inline wh_small_float wh_small_float_of(wh_dtype d) {
  switch (d) {
    case WH_DTYPE_F16:
      return (wh_small_float){5, 10, 15, true, false, false};
    case WH_DTYPE_BF16:
      return (wh_small_float){8, 7, 127, true, false, false};
    case WH_DTYPE_F8E4M3FN:
      return (wh_small_float){4, 3, 7, false, false, false};
    case WH_DTYPE_F8E4M3FNUZ:
      return (wh_small_float){4, 3, 8, false, true, false};
    case WH_DTYPE_F8E5M2:
      return (wh_small_float){5, 2, 15, true, false, false};
    case WH_DTYPE_F4E2M1:
      return (wh_small_float){2, 1, 1, false, false, true};
    default: /* F8E5M2FNUZ */
      return (wh_small_float){5, 2, 16, false, true, false};
  }
}

#endif
