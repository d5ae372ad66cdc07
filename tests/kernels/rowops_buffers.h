/* rowops_buffers.h - reproducible inputs for the row-op tests, in guarded buffers. */
#ifndef WH_TESTS_ROWOPS_BUFFERS_H
#define WH_TESTS_ROWOPS_BUFFERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/exact_math.h"
#include "tests/kernels/guarded.h"

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
/* [-1, 1) */
static inline float random_unit(uint64_t *state) {
  return (float)(int32_t)(random_next(state) >> 32) * 0x1p-31f;
}

/* FILL_ORDINARY: about [-4, 4]. FILL_WIDE: magnitudes 2^-149 to 2^40 with zeros of both signs among them.
 * FILL_TINY: groups on both sides of the threshold of quantize_act. FILL_SPIKES: mostly zeros. FILL_GRID:
 * values whose codes are ties and block maxima that are the group's by a power of two. FILL_EDGES: ordinary,
 * with magnitudes at the largest finite number. */
typedef enum fill {
  FILL_ORDINARY,
  FILL_WIDE,
  FILL_TINY,
  FILL_SPIKES,
  FILL_GRID,
  FILL_ZERO,
  FILL_EDGES,
  N_FILLS
} fill;

static inline float random_value(uint64_t *state, fill kind, size_t index) {
  float v = random_unit(state);
  uint64_t dice = random_next(state);
  switch (kind) {
    case FILL_ORDINARY:
      return v * 4.0f;
    case FILL_WIDE:
      if (dice % 8 == 0) return dice & 8 ? -0.0f : 0.0f;
      return ldexpf(v, (int)(dice >> 8 & 0xff) % 190 - 149);
    case FILL_TINY:
      return ldexpf(v, -99 - (int)(index / 256 % 3) - (int)(dice % 4 * 12));
    case FILL_SPIKES:
      return dice % 37 ? 0.0f : v * 1000.0f;
    case FILL_GRID:
      return ldexpf(dice % 8 ? (float)((int)(dice >> 8 & 0xff) % 253 - 126) + 0.5f : copysignf(127.0f, v),
                    -(int)(index / 32 % 4));
    case FILL_EDGES:
      return dice % 5 ? v : copysignf(3.4028235e38f, v);
    default:
      return 0.0f;
  }
}
static inline void fill_floats(float *x, size_t n, fill kind, uint64_t *state) {
  for (size_t i = 0; i < n; i++) x[i] = random_value(state, kind, i);
}

/* n floats; released with guarded_free. */
static inline guarded filled(size_t n, fill kind, uint64_t seed) {
  guarded g;
  fill_floats(guarded_new(&g, n * sizeof(float), 0), n, kind, &seed);
  return g;
}
static inline float *floats(const guarded *g) { return (float *)(void *)g->data; }

#endif
