/* base/finite.h - whether numbers are finite. */
#ifndef WH_BASE_FINITE_H
#define WH_BASE_FINITE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether none of n floats is a NaN or infinite. `floats` need not be aligned. */
bool wh_all_finite(const void *floats, size_t n);

#endif
