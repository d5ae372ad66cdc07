/* test_exact_math_wide.c - base/exact_math_wide.h against libm in long double: the errors of docs/NUMERICS.md
 * in binary64 and, rounded, in f32; what special arguments give; powers that must be exact. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base/exact_math_wide.h"

#define SAMPLES 100000

static uint64_t state = 1;

/* splitmix64 (Steele, Lea and Flood 2014) */
static uint64_t random_bits(void) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static double random_unit(void) { return (double)(random_bits() >> 11) * 0x1p-53; }

static long double softplus_oracle(long double x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
static long double sigmoid_oracle(long double x) { return 1.0L / (1.0L + expl(-x)); }

typedef struct function {
  const char *name;
  double (*wide)(double);
  long double (*oracle)(long double);
  double max_ulp;
  double least, most; /* magnitudes, drawn by their logarithms */
  bool positive;
} function;

static const function functions[] = {
    {"exp", wh_wide_exp, expl, 1.02, 1e-20, 700.0, false},
    {"log", wh_wide_log, logl, 2.0, 1e-310, 1e308, true},
    {"log", wh_wide_log, logl, 2.0, 0.5, 2.0, true},
    {"log1p", wh_wide_log1p, log1pl, 2.5, 1e-20, 1e10, true},
    {"sin", wh_wide_sin, sinl, 1.6, 1e-20, 1e9, false},
    {"cos", wh_wide_cos, cosl, 1.6, 1e-20, 1e9, false},
    {"tan", wh_wide_tan, tanl, 2.8, 1e-20, 1e9, false},
    {"asin", wh_wide_asin, asinl, 2.6, 1e-20, 1.0, false},
    {"acos", wh_wide_acos, acosl, 2.4, 1e-20, 1.0, false},
    {"atan", wh_wide_atan, atanl, 1.8, 1e-20, 1e20, false},
    {"sinh", wh_wide_sinh, sinhl, 3.4, 1e-20, 709.0, false},
    {"cosh", wh_wide_cosh, coshl, 2.8, 1e-20, 709.0, false},
    {"tanh", wh_wide_tanh, tanhl, 3.0, 1e-20, 30.0, false},
    {"asinh", wh_wide_asinh, asinhl, 2.7, 1e-20, 1e300, false},
    {"acosh", wh_wide_acosh, acoshl, 3.5, 1.0, 1e300, true},
    {"atanh", wh_wide_atanh, atanhl, 2.9, 1e-20, 0.99999999, false},
    {"sigmoid", wh_wide_sigmoid, sigmoid_oracle, 2.1, 1e-5, 700.0, false},
    {"softplus", wh_wide_softplus, softplus_oracle, 3.0, 1e-5, 700.0, false},
    {"erf", wh_wide_erf, erfl, 5.0, 1e-20, 6.0, false},
};

/* A unit of the last place of a number with so many bits and the given least exponent. */
static long double unit(long double x, int bits, int least) {
  int e;
  (void)frexpl(x, &e);
  return ldexpl(1.0L, e - bits < least ? least : e - bits);
}

static void errors_stay_within_the_table(void **s) {
  (void)s;
  for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
    const function *k = &functions[f];
    double worst = 0, worst_narrow = 0, at = 0;
    for (int i = 0; i < SAMPLES; i++) {
      double x = exp(log(k->least) + random_unit() * (log(k->most) - log(k->least)));
      x = x < k->least ? k->least : x > k->most ? k->most : x;
      if (!k->positive && random_bits() & 1) x = -x;
      const long double want = k->oracle((long double)x);
      const double error = (double)(fabsl((long double)k->wide(x) - want) / unit(want, 53, -1074));
      if (!(error <= worst)) {
        worst = error;
        at = x;
      }
      const long double narrow = k->oracle((long double)(float)x);
      const float got = (float)k->wide((double)(float)x);
      if (isinf(got) || isnan((double)narrow) || (float)x == 0.0f) continue;
      const double e = (double)(fabsl((long double)got - narrow) / unit(narrow, 24, -149));
      if (!(e <= worst_narrow)) worst_narrow = e;
    }
    print_message("%s: %.3f ulp at %.17g; in f32 %.4f\n", k->name, worst, at, worst_narrow);
    assert_true(worst <= k->max_ulp);
    assert_true(worst_narrow <= 0.51);
  }
}

/* Against a reduction by an exact remainder: pi/2 has no multiple near these. */
static void large_arguments_are_reduced(void **s) {
  (void)s;
  /* sin and cos of 2^k: Kahan's and others' published values */
  assert_true(fabs(wh_wide_sin(0x1p120) - 0.377820109360752) < 1e-15);
  assert_true(fabs(wh_wide_cos(0x1p120) - -0.925879022854838) < 1e-15);
  assert_true(fabs(wh_wide_sin(1e22) - -0.8522008497671888) < 1e-15);
  assert_true(fabs(wh_wide_cos(1e22) - 0.5232147853951389) < 1e-15);
  for (int i = 0; i < 20000; i++) {
    const double x = exp(log(1e6) + random_unit() * (log(1.7e308) - log(1e6)));
    const double a = wh_wide_sin(x), b = wh_wide_cos(x);
    assert_true(fabs(a * a + b * b - 1.0) < 1e-15);
    assert_true(fabs(a - sin(x)) < 5e-16);
    assert_true(fabs(b - cos(x)) < 5e-16);
    assert_true(wh_f64_bits(wh_wide_sin(-x)) == wh_f64_bits(-a));
    assert_true(wh_f64_bits(wh_wide_cos(-x)) == wh_f64_bits(b));
  }
}

static bool same(double a, double b) { return isnan(a) ? isnan(b) : wh_f64_bits(a) == wh_f64_bits(b); }

static void special_arguments_give_what_they_must(void **s) {
  (void)s;
  const double inf = (double)INFINITY, nan = (double)NAN, pi_half = 0x1.921fb54442d18p+0;
  const struct {
    double (*wide)(double);
    double x, y;
  } rows[] = {
      {wh_wide_exp, -inf, 0.0},       {wh_wide_exp, inf, inf},      {wh_wide_exp, 0.0, 1.0},
      {wh_wide_log, 0.0, -inf},       {wh_wide_log, -0.0, -inf},    {wh_wide_log, -1.0, nan},
      {wh_wide_log, inf, inf},        {wh_wide_log, 1.0, 0.0},      {wh_wide_sin, inf, nan},
      {wh_wide_cos, -inf, nan},       {wh_wide_tan, inf, nan},      {wh_wide_sin, -0.0, -0.0},
      {wh_wide_asin, 1.0, pi_half},   {wh_wide_asin, 1.5, nan},     {wh_wide_acos, -1.0, 2 * pi_half},
      {wh_wide_acos, 1.0, 0.0},       {wh_wide_acos, -1.5, nan},    {wh_wide_atan, inf, pi_half},
      {wh_wide_atan, -inf, -pi_half}, {wh_wide_sinh, -inf, -inf},   {wh_wide_cosh, -inf, inf},
      {wh_wide_sinh, -0.0, -0.0},     {wh_wide_tanh, -inf, -1.0},   {wh_wide_asinh, -inf, -inf},
      {wh_wide_acosh, 1.0, 0.0},      {wh_wide_acosh, 0.5, nan},    {wh_wide_acosh, inf, inf},
      {wh_wide_atanh, 1.0, inf},      {wh_wide_atanh, -1.0, -inf},  {wh_wide_atanh, 2.0, nan},
      {wh_wide_softplus, -inf, 0.0},  {wh_wide_softplus, inf, inf}, {wh_wide_sigmoid, -inf, 0.0},
      {wh_wide_sigmoid, inf, 1.0},    {wh_wide_erf, -inf, -1.0},    {wh_wide_erf, 0.0, 0.0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const double y = rows[i].wide(rows[i].x);
    if (!same(y, rows[i].y)) fail_msg("row %zu: f(%g) is %g, not %g", i, rows[i].x, y, rows[i].y);
    assert_true(isnan(rows[i].wide(nan)));
  }
}

static void powers(void **s) {
  (void)s;
  const double inf = (double)INFINITY, nan = (double)NAN;
  static const double some[] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 1e300, 0x1p53, 0x1p53 + 2};
  double all[21];
  for (size_t i = 0; i < 9; i++) {
    all[2 * i] = some[i];
    all[2 * i + 1] = -some[i];
  }
  all[18] = inf;
  all[19] = -inf;
  all[20] = nan;
  for (int i = 0; i < 21; i++)
    for (int k = 0; k < 21; k++) { /* the rules of C, as libm has them */
      const double want = pow(all[i], all[k]), got = wh_wide_pow(all[i], all[k]);
      const bool close = same(want, got) || fabs(want - got) <= 4e-16 * fabs(want);
      if (!close) fail_msg("%g to the %g is %g, not %g", all[i], all[k], got, want);
    }
  for (int base = 2; base < 400; base++) {
    double product = 1;
    for (int e = 0; product <= 0x1p53; e++, product *= base) assert_true(wh_wide_pow(base, e) == product);
  }
  double worst = 0;
  for (int i = 0; i < SAMPLES; i++) {
    const double x = exp((random_unit() - 0.5) * 200), y = (random_unit() - 0.5) * 13;
    const long double want = powl((long double)x, (long double)y);
    const double e = (double)(fabsl((long double)wh_wide_pow(x, y) - want) / unit(want, 53, -1074));
    if (!(e <= worst)) worst = e;
  }
  print_message("pow: %.3f ulp\n", worst);
  assert_true(worst <= 1.2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_stay_within_the_table),
      cmocka_unit_test(large_arguments_are_reduced),
      cmocka_unit_test(special_arguments_give_what_they_must),
      cmocka_unit_test(powers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
