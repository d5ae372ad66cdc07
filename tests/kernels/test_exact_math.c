/* test_exact_math.c - base/exact_math.h: every vector twin gives the scalar's bits, and the scalar's errors
 * against libm in binary64 stay within the table of docs/NUMERICS.md. Argument: the stride through the 2^32
 * floats (default 8191; 1 is exhaustive and takes minutes). */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backends/cpu/features.h"
#include "core/base/exact_math.h"
#include "tests/kernels/exact_math_simd.h"

#define BATCH 4096

static uint64_t stride = 8191;

typedef struct function {
  const char *name;
  float (*scalar)(float);
  double (*oracle)(double);
  size_t simd_offset;
  double max_ulp; /* docs/NUMERICS.md, "Measured errors" */
  double lo, hi;  /* where the error is measured */
} function;

static double oracle_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
static double oracle_silu(double x) { return x / (1.0 + exp(-x)); }
static double oracle_gelu_erf(double x) { return 0.5 * x * erfc(-x * 0.70710678118654752440); }
static double oracle_gelu_tanh(double x) {
  double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
  return x / (1.0 + exp(-2.0 * u));
}
static float scalar_sin(float x) {
  float s, c;
  wh_sincos_f32(x, &s, &c);
  return s;
}
static float scalar_cos(float x) {
  float s, c;
  wh_sincos_f32(x, &s, &c);
  return c;
}

/* gelu cancels for negative x (1 + tanh near 0), so its relative error is measured where it matters: x >= -1.
 */
static const function functions[] = {
    {"exp", wh_exp_f32, exp, offsetof(exact_math_simd, exp), 1.02, -103.0, 88.7228},
    {"tanh", wh_tanh_f32, tanh, offsetof(exact_math_simd, tanh), 1.35, -20.0, 20.0},
    {"erf", wh_erf_f32, erf, offsetof(exact_math_simd, erf), 1.26, -6.0, 6.0},
    {"sigmoid", wh_sigmoid_f32, oracle_sigmoid, offsetof(exact_math_simd, sigmoid), 2.5, -80.0, 80.0},
    {"silu", wh_silu_f32, oracle_silu, offsetof(exact_math_simd, silu), 2.45, -80.0, 80.0},
    {"gelu_tanh", wh_gelu_tanh_f32, oracle_gelu_tanh, offsetof(exact_math_simd, gelu_tanh), 4.0, -1.0, 10.0},
    {"gelu_erf", wh_gelu_erf_f32, oracle_gelu_erf, offsetof(exact_math_simd, gelu_erf), 2.55, -1.0, 10.0},
};
#define N_FUNCTIONS (sizeof functions / sizeof functions[0])

/* |got - want| in units of the last place of want */
static double ulp_error(float got, double want) {
  int e;
  frexp(want, &e);
  if (e < -125) e = -125; /* subnormal spacing */
  return fabs((double)got - want) / ldexp(1.0, e - 24);
}

static bool same(float a, float b) { return wh_f32_bits(a) == wh_f32_bits(b) || (isnan(a) && isnan(b)); }

#if defined(__x86_64__) || defined(__aarch64__)
static uint64_t fill(float *x, uint64_t next) {
  for (size_t i = 0; i < BATCH; i++, next += stride) x[i] = wh_f32_from_bits((uint32_t)next);
  return next;
}

typedef void (*array_function)(const float *, float *, size_t);
static array_function simd_function(const exact_math_simd *simd, const function *f) {
  array_function fn;
  memcpy(&fn, (const char *)simd + f->simd_offset, sizeof fn);
  return fn;
}

static float x[BATCH], want[BATCH], got[2 * BATCH];

static void check_level(const exact_math_simd *simd) {
  for (size_t k = 0; k < N_FUNCTIONS; k++) {
    array_function fn = simd_function(simd, &functions[k]);
    for (uint64_t next = 0; next < UINT64_C(1) << 32;) {
      next = fill(x, next);
      fn(x, got, BATCH);
      for (size_t i = 0; i < BATCH; i++) {
        want[i] = functions[k].scalar(x[i]);
        if (!same(want[i], got[i]))
          fail_msg("%s(%a = %08" PRIx32 "): scalar %a, vector %a", functions[k].name, (double)x[i],
                   wh_f32_bits(x[i]), (double)want[i], (double)got[i]);
      }
    }
  }
  for (uint64_t next = 0; next < UINT64_C(1) << 32;) {
    next = fill(x, next);
    simd->sincos(x, got, BATCH);
    for (size_t i = 0; i < BATCH; i++) {
      float s, c;
      wh_sincos_f32(x[i], &s, &c);
      if (!same(s, got[i]) || !same(c, got[BATCH + i]))
        fail_msg("sincos(%a): scalar %a %a, vector %a %a", (double)x[i], (double)s, (double)c, (double)got[i],
                 (double)got[BATCH + i]);
    }
  }
}

static void check_tree(const exact_math_simd *simd) {
  float lanes[64], a[64];
  uint32_t seed = 1;
  for (int round = 0; round < 1000; round++) {
    for (int i = 0; i < 64; i++) {
      seed = seed * 1664525u + 1013904223u;
      lanes[i] = a[i] = ((float)(seed >> 8) - 8388608.0f) * wh_exp2i_f32((int32_t)(seed >> 28));
    }
    for (int h = 32; h > 0; h >>= 1)
      for (int i = 0; i < h; i++) a[i] = a[i] + a[i + h];
    assert_true(same(a[0], simd->sum64_tree(lanes)));
  }
}

#if defined(__x86_64__)
static void test_avx2(void **state) {
  (void)state;
  if (!(wh_cpu_features_detect() & WH_CPU_AVX2)) skip();
  check_level(&exact_math_simd_avx2);
  check_tree(&exact_math_simd_avx2);
}

static void test_avx512(void **state) {
  (void)state;
  if (!(wh_cpu_features_detect() & WH_CPU_AVX512)) skip();
  check_level(&exact_math_simd_avx512);
  check_tree(&exact_math_simd_avx512);
}
#else
static void test_neon(void **state) {
  (void)state;
  check_level(&exact_math_simd_neon);
  check_tree(&exact_math_simd_neon);
}
#endif

#endif

static void test_accuracy(void **state) {
  (void)state;
  for (size_t k = 0; k < N_FUNCTIONS; k++) {
    const function *f = &functions[k];
    double worst = 0.0;
    float at = 0.0f;
    for (uint64_t u = 0; u < UINT64_C(1) << 32; u += stride) {
      float v = wh_f32_from_bits((uint32_t)u);
      if (!((double)v >= f->lo && (double)v <= f->hi)) continue;
      if (f->scalar == wh_exp_f32 && v < WH_EXP_MIN) continue; /* +0 by definition */
      double e = ulp_error(f->scalar(v), f->oracle((double)v));
      if (e > worst) worst = e, at = v;
    }
    print_message("%-10s max error %.3f ulp at %a\n", f->name, worst, (double)at);
    assert_true(worst <= f->max_ulp);
  }
}

/* sin and cos: absolute error, for angles up to the positions of any context; NaN beyond. */
static void test_accuracy_sincos(void **state) {
  (void)state;
  static const struct {
    float most;
    double error;
  } ranges[] = {{131072.0f, 9.4e-8}, {0x1p20f, 1.3e-7}, {0x1p22f, 3.2e-6}, {WH_SINCOS_MAX, 2.2e-4}};
  double worst[4] = {0};
  for (uint64_t u = 0; u < UINT64_C(1) << 32; u += stride) {
    const float v = wh_f32_from_bits((uint32_t)u), s = scalar_sin(v), c = scalar_cos(v);
    assert_int_equal(isnan(s) && isnan(c), !(fabsf(v) <= WH_SINCOS_MAX));
    assert_int_equal(isnan(s) || isnan(c), !(fabsf(v) <= WH_SINCOS_MAX));
    const double error = fmax(fabs((double)s - sin((double)v)), fabs((double)c - cos((double)v)));
    for (int i = 0; i < 4; i++)
      if (fabsf(v) <= ranges[i].most) worst[i] = fmax(worst[i], error);
  }
  for (int i = 0; i < 4; i++) {
    print_message("sin, cos   max absolute error %.3g for |x| <= %g\n", worst[i], (double)ranges[i].most);
    assert_true(worst[i] <= ranges[i].error);
  }
}

static void test_special_values(void **state) {
  (void)state;
  assert_true(wh_exp_f32(INFINITY) == INFINITY && wh_exp_f32(-INFINITY) == 0.0f && wh_exp_f32(0.0f) == 1.0f);
  assert_true(isfinite(wh_exp_f32(WH_EXP_MAX)) && wh_exp_f32(nextafterf(WH_EXP_MAX, 100.0f)) == INFINITY);
  assert_true(wh_tanh_f32(INFINITY) == 1.0f && wh_tanh_f32(-INFINITY) == -1.0f);
  assert_true(wh_erf_f32(INFINITY) == 1.0f && wh_erf_f32(-INFINITY) == -1.0f && wh_erf_f32(4.0f) == 1.0f);
  assert_true(signbit(wh_erf_f32(-0.0f)));
  assert_true(isnan(wh_exp_f32(NAN)) && isnan(wh_tanh_f32(NAN)) && isnan(wh_erf_f32(NAN)));
}

/* The comparison itself: one changed coefficient bit must be seen. */
static float exp_with_a_wrong_bit(float v) {
  float r = wh_exp_f32(v);
  return v > 1.0f && v < 1.5f ? wh_f32_from_bits(wh_f32_bits(r) ^ 1u) : r;
}
static void test_control(void **state) {
  (void)state;
  size_t differ = 0;
  for (uint64_t u = 0; u < UINT64_C(1) << 32; u += 65521) {
    float v = wh_f32_from_bits((uint32_t)u);
    differ += !same(wh_exp_f32(v), exp_with_a_wrong_bit(v));
  }
  assert_true(differ > 0);
}

int main(int argc, char **argv) {
  if (argc > 1) stride = strtoull(argv[1], NULL, 10);
  if (stride == 0) return 2;
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_special_values),
    cmocka_unit_test(test_control),
#if defined(__x86_64__)
    cmocka_unit_test(test_avx2),
    cmocka_unit_test(test_avx512),
#elif defined(__aarch64__)
    cmocka_unit_test(test_neon),
#endif
    cmocka_unit_test(test_accuracy),
    cmocka_unit_test(test_accuracy_sincos),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
