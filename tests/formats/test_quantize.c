/* test_quantize.c - floats to block types, read again by the runtime's own decoder: the error of each type,
 * beside that of plain rounding; importance; rows that are odd. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/rowops.h"
#include "core/base/allocator.h"
#include "formats/quantize/quantize.h"

#define N 4096

/* Errors of normal weights, relative; at most: about those of the best fits known, 2 % above what is
 * measured. */
static const struct {
  wh_dtype dtype;
  double error;
} types[] = {
    {WH_DTYPE_Q4_0, 0.083},  {WH_DTYPE_Q4_1, 0.072},  {WH_DTYPE_Q5_0, 0.041},   {WH_DTYPE_Q5_1, 0.0345},
    {WH_DTYPE_Q8_0, 0.0055}, {WH_DTYPE_Q2_K, 0.268},  {WH_DTYPE_Q3_K, 0.147},   {WH_DTYPE_Q4_K, 0.072},
    {WH_DTYPE_Q5_K, 0.0353}, {WH_DTYPE_Q6_K, 0.0169}, {WH_DTYPE_IQ4_NL, 0.075}, {WH_DTYPE_IQ4_XS, 0.0756},
    {WH_DTYPE_MXFP4, 0.114}, {WH_DTYPE_F16, 0.0003},  {WH_DTYPE_BF16, 0.0018},  {WH_DTYPE_F32, 0},
};
#define N_TYPES (sizeof types / sizeof types[0])

static float x[N], y[N];
static uint8_t blocks[N * 4 + 64];

static double uniform(uint64_t *state) { /* splitmix64 */
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static void make_normal(uint64_t seed, double deviation) {
  for (int i = 0; i < N; i++)
    x[i] = (float)(deviation * sqrt(-2 * log(uniform(&seed) + 1e-300)) *
                   cos(6.283185307179586 * uniform(&seed)));
}

/* Writes x in the type and reads it into y; nothing beyond the row's bytes is touched. */
static void there_and_back(wh_dtype dtype, const float *importance) {
  size_t n_bytes = 0;
  assert_true(wh_dtype_row_bytes(dtype, N, &n_bytes));
  memset(blocks, 0xa5, sizeof blocks);
  wh_quantize_row(dtype, x, importance, N, blocks);
  for (size_t i = n_bytes; i < n_bytes + 64; i++) assert_int_equal(blocks[i], 0xa5);
  assert_true(wh_dequantize_row(dtype, blocks, y, N));
}

static double error_of(const float *importance) {
  double error = 0, square = 0;
  for (int i = 0; i < N; i++) {
    const double w = importance ? importance[i] : 1, d = (double)y[i] - x[i];
    error += w * d * d;
    square += w * (double)x[i] * x[i];
  }
  return square > 0 ? sqrt(error / square) : sqrt(error);
}

static void errors_are_small(void **state) {
  (void)state;
  for (size_t t = 0; t < N_TYPES; t++)
    for (int k = 0; k < 3; k++) {
      make_normal((uint64_t)k + 1, k == 0 ? 0.02 : k == 1 ? 1.5 : 1e-3);
      assert_true(wh_can_quantize(types[t].dtype));
      there_and_back(types[t].dtype, NULL);
      const double e = error_of(NULL),
                   most = types[t].error * (k == 2 && types[t].dtype == WH_DTYPE_F16 ? 2 : 1);
      if (!(e <= most)) fail_msg("%s: %g, at most %g", wh_dtype_name(types[t].dtype), e, most);
    }
  assert_false(wh_can_quantize(WH_DTYPE_I8) || wh_can_quantize(WH_DTYPE_Q8A) ||
               wh_can_quantize(WH_DTYPE_F64));
}

/* A few columns that count a hundred times as much are met better, by every type that has something to
 * choose. */
static void importance_is_heeded(void **state) {
  (void)state;
  static float importance[N];
  make_normal(9, 0.02);
  for (int i = 0; i < N; i++) importance[i] = i % 8 == 3 ? 100.0f : 1.0f;
  for (size_t t = 0; t < N_TYPES; t++) {
    if (wh_dtype_get(types[t].dtype)->class_of != WH_CLASS_QUANTISED || types[t].dtype == WH_DTYPE_Q8_0)
      continue;
    there_and_back(types[t].dtype, NULL);
    const double before = error_of(importance);
    there_and_back(types[t].dtype, importance);
    if (!(error_of(importance) < 0.98 * before))
      fail_msg("%s: %g with importance, %g without", wh_dtype_name(types[t].dtype), error_of(importance),
               before);
  }
}

/* Importance of nothing is no importance. */
static void importance_may_be_zero(void **state) {
  (void)state;
  static float none[N], one[N];
  static uint8_t kept[sizeof blocks];
  make_normal(4, 0.02);
  for (int i = 0; i < N; i++) one[i] = 7;
  for (size_t t = 0; t < N_TYPES; t++) {
    there_and_back(types[t].dtype, none);
    memcpy(kept, blocks, sizeof kept);
    there_and_back(types[t].dtype, NULL);
    assert_memory_equal(kept, blocks, sizeof kept);
    there_and_back(types[t].dtype, one);
    assert_true(error_of(NULL) <= 1.001 * types[t].error);
  }
}

static void odd_rows_are_met(void **state) {
  (void)state;
  for (size_t t = 0; t < N_TYPES; t++) {
    const wh_dtype dtype = types[t].dtype;
    memset(x, 0, sizeof x);
    there_and_back(dtype, NULL);
    assert_true(error_of(NULL) == 0);
    for (int sign = -1; sign <= 1; sign += 2) { /* one value among zeros, and equal ones */
      memset(x, 0, sizeof x);
      x[77] = (float)sign * 0.5f;
      there_and_back(dtype, NULL);
      if (!(error_of(NULL) < 0.07))
        fail_msg("%s: one value has error %g", wh_dtype_name(dtype), error_of(NULL));
      for (int i = 0; i < N; i++) x[i] = (float)sign * 0.25f;
      there_and_back(dtype, NULL);
      if (!(error_of(NULL) < 0.07))
        fail_msg("%s: equal ones have error %g", wh_dtype_name(dtype), error_of(NULL));
    }
    for (int i = 0; i < N; i++) x[i] = i % 3 ? 1e-30f : -1e-38f; /* below every scale: anything near zero */
    there_and_back(dtype, NULL);
    for (int i = 0; i < N; i++) assert_true(fabsf(y[i]) < 1e-6f);
    for (int i = 0; i < N; i++) x[i] = (float)(i % 7 - 3) * 1000.0f;
    there_and_back(dtype, NULL);
    assert_true(error_of(NULL) < 0.35);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_are_small),
      cmocka_unit_test(importance_is_heeded),
      cmocka_unit_test(importance_may_be_zero),
      cmocka_unit_test(odd_rows_are_met),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
