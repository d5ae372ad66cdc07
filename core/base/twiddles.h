/* base/twiddles.h - roots of unity, for discrete Fourier transforms. */
#ifndef WH_BASE_TWIDDLES_H
#define WH_BASE_TWIDDLES_H

#include <stdint.h>

/* exp(-2 pi i k / n) for k = first .. first + count - 1 as pairs (re, im): within half a unit in the last
 * place of fp32 and 1e-15, symmetric, +-1 and 0 where they are exact. n >= 1. */
void wh_twiddles(int64_t n, int64_t first, int64_t count, float *out);

#endif
