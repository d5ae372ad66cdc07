/* linear_q_fixture.h - random weights and activations for the test and the bench of quantised products. */
#ifndef WH_TESTS_LINEAR_Q_FIXTURE_H
#define WH_TESTS_LINEAR_Q_FIXTURE_H

#include "backends/cpu/linear_q.h"

typedef struct fixture_rng {
  uint64_t state; /* not 0 */
} fixture_rng;
uint32_t fixture_random(fixture_rng *rng);
float fixture_random_unit(fixture_rng *rng); /* [-1, 1) */

/* Bytes of n rows of k values of the type in a file. */
size_t fixture_weight_bytes(wh_dtype dtype, int64_t n, int64_t k);
/* Random blocks. Codes take every value; scales and minima are finite. `wild`: also zero, negative, subnormal
 * and large ones, and runs of the extreme codes. */
void fixture_weights(fixture_rng *rng, wh_dtype dtype, int64_t n, int64_t k, bool wild, uint8_t *dst);

/* docs/NUMERICS.md, "quantize_act", in plain C: x[m][k] into a q8a buffer of wh_q8a_bytes(m, k). */
void fixture_quantize(const float *x, int64_t m, int64_t k, void *q8a);

#endif
