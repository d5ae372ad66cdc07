/* measure_ref.c - roofline loops for any processor. */
#define WH_READ_VECTOR 16
#include "backends/cpu/measure_reads.h"

WH_READ_LOOP_DEFINE(ref)

double wh_k_peak_int8__ref(int64_t n) {
  int32_t a[8] = {0};
  volatile int32_t x = 1;
  for (int64_t k = 0; k < n; k++)
    for (int i = 0; i < 8; i++) a[i] += x * i;
  x = a[0] + a[7];
  return 2.0 * 8 * (double)n;
}

double wh_k_peak_f32__ref(int64_t n) {
  float a[8] = {0};
  volatile float x = 1.0f;
  for (int64_t k = 0; k < n; k++)
    for (int i = 0; i < 8; i++) a[i] += x * 0.5f;
  x = a[0] + a[7];
  return 2.0 * 8 * (double)n;
}
