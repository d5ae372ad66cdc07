/* measure.h - a team's roofline: what its threads can do at most with given features, now. */
#ifndef WH_CPU_MEASURE_H
#define WH_CPU_MEASURE_H

#include <stddef.h>

#include "backends/cpu/features.h"
#include "core/base/team.h"

typedef enum wh_measure_kind {
  WH_MEASURE_READ, /* bytes per second of loads from memory */
  WH_MEASURE_INT8, /* operations per second (2 per multiply-add) on bytes */
  WH_MEASURE_F32   /* ... on floats */
} wh_measure_kind;

/* What reading needs so that caches do not count: cyclic reads of four times the last cache still found a
 * sixth of their lines there. */
size_t wh_measure_buffer_bytes(size_t l3_bytes, uint64_t memory_bytes);

/* All workers at once for `seconds`. READ: `buffer` is 64-byte aligned memory in huge pages that was written
 * to, at least 256 bytes a worker; otherwise NULL and 0. */
double wh_measure_rate(wh_team *team, uint64_t features, wh_measure_kind kind, const void *buffer,
                       size_t n_bytes, double seconds);

#endif
