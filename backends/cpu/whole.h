/* whole.h - arithmetic of counts, for cutting work into pieces. */
#ifndef WH_CPU_WHOLE_H
#define WH_CPU_WHOLE_H

#include <stdint.h>

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
