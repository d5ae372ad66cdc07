/* ahead.h - asks for memory that is read soon: a run of lines where the processor does not foresee it. */
#ifndef WH_CPU_AHEAD_H
#define WH_CPU_AHEAD_H

#include <stdint.h>

/* Into a second-level cache. */
static inline void wh_ask_for(const void *from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)from + i, 0, 2);
}

#endif
