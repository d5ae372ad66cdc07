/* formats/quantize/quantize.h - floats to the blocks of GGUF's storage types (docs/NUMERICS.md has the types'
 * meaning).
 *
 * Codes and scales are chosen by their error: the scales tried for a block are those near the one that the
 * largest element asks for, each with the codes nearest to the elements and then the scale that fits those
 * codes best by least squares; scales of sub-blocks, which are integers themselves, are tried one up and one
 * down beside the nearest one. The result is a function of the row alone. */
#ifndef WH_FORMATS_QUANTIZE_H
#define WH_FORMATS_QUANTIZE_H

#include "core/base/dtype.h"

/* Types that rows can be written in: floats of 16 and 32 bits, and every block type. */
bool wh_can_quantize(wh_dtype to);

/* One row of n elements, in whole blocks. importance[n]: what a squared error of each column counts, none of
 * them negative; NULL: all the same. Elements are finite; those beyond what the type's scales reach become
 * infinite. */
void wh_quantize_row(wh_dtype to, const float *x, const float *importance, int64_t n, void *dst);

#endif
