/* measure_reads.h - loops that read memory as fast as a processor lets them: the template, for vectors of
 * WH_READ_VECTOR bytes. Which loop is fastest depends on the processor's make, so all are tried.
 *
 * Defines WH_READ_LOOP_DEFINE(isa), which defines every loop of WH_READ_LOOPS for a level. */
#ifndef WH_CPU_MEASURE_READS_H
#define WH_CPU_MEASURE_READS_H

#include "backends/cpu/measure_kernels.h"

#define READ_LINE 64
#define READ_LINES 4 /* read together, by a loop of one stream or of four */

typedef uint64_t read_vector __attribute__((vector_size(WH_READ_VECTOR)));

/* n_bytes from p on, as `streams` (1 or READ_LINES) even parts side by side, of which each has `lines` lines
 * read before the next one; lines are asked for in turns. `locality` as in __builtin_prefetch; below 0: none.
 */
static inline __attribute__((always_inline)) uint64_t read_memory(const char *p, size_t n_bytes,
                                                                  const int streams, const int lines,
                                                                  const int locality, const int ahead) {
  const size_t part = n_bytes / (size_t)streams, run = (size_t)lines, turns = (size_t)streams,
               round = run * turns;
  read_vector sum[READ_LINES] = {{0}};
  for (size_t i = 0; i < part; i += run * READ_LINE) {
    _Pragma("GCC unroll 64") for (size_t l = 0; l < round; l++) {
      const char *line = p + l / run * part + i + l % run * READ_LINE,
                 *soon = p + l % turns * part + i + l / turns * READ_LINE + ahead;
      if (locality == 0) __builtin_prefetch(soon, 0, 0);
      if (locality == 3) __builtin_prefetch(soon, 0, 3);
      _Pragma("GCC unroll 4") for (size_t v = 0; v < READ_LINE; v += WH_READ_VECTOR) sum[l % READ_LINES] |=
          *(const read_vector *)(const void *)(line + v);
    }
  }
  const read_vector all = sum[0] | sum[1] | sum[2] | sum[3];
  uint64_t bits = 0;
  for (size_t i = 0; i < WH_READ_VECTOR / 8; i++) bits |= all[i];
  return bits;
}

#define WH_READ_LOOP_ONE(name, streams, lines, locality, ahead, isa)  \
  uint64_t wh_k_read_##name##__##isa(const void *p, size_t n_bytes) { \
    return read_memory(p, n_bytes, streams, lines, locality, ahead);  \
  }
#define WH_READ_LOOP(name, text, streams, lines, locality, ahead, isa) \
  WH_READ_LOOP_ONE(name, streams, lines, locality, ahead, isa)
#define WH_READ_LOOP_DEFINE(isa) WH_READ_LOOPS(WH_READ_LOOP, isa)

#endif
