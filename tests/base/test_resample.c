/* test_resample.c - resampling tables against the examples of ONNX's documentation, and what holds of all;
 * roots of unity against libm. */
#include "core/base/resample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "core/base/twiddles.h"
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static void assert_ok(wh_status st) {
  if (st != WH_OK) fail_msg("%s", wh_last_error()->message);
}

typedef struct axis_table {
  int64_t taps;
  int32_t *index;
  float *weight;
} axis_table;

static axis_table table_of(const wh_resample_spec *s) {
  axis_table t = {0};
  assert_ok(wh_resample_taps(s, &t.taps));
  t.index = calloc((size_t)(s->n_out * t.taps), sizeof *t.index);
  t.weight = calloc((size_t)(s->n_out * t.taps), sizeof *t.weight);
  assert_true(t.index && t.weight);
  wh_resample_tables(s, t.index, t.weight);
  return t;
}

static void table_free(axis_table *t) {
  free(t->index);
  free(t->weight);
}

/* x[rows][columns] of 1, 2, 3 ..., both axes resampled. */
static void resample_matrix(const wh_resample_spec *rows, const wh_resample_spec *columns, double *y) {
  axis_table r = table_of(rows), c = table_of(columns);
  for (int64_t i = 0; i < rows->n_out; i++)
    for (int64_t j = 0; j < columns->n_out; j++) {
      double sum = 0.0;
      for (int64_t a = 0; a < r.taps; a++)
        for (int64_t b = 0; b < c.taps; b++) {
          const int32_t at = r.index[i * r.taps + a], to = c.index[j * c.taps + b];
          const double x = at < 0 || to < 0 ? 10.0 : (double)(at * columns->n_in + to + 1);
          sum += x * (double)r.weight[i * r.taps + a] * (double)c.weight[j * c.taps + b];
        }
      y[i * columns->n_out + j] = sum;
    }
  table_free(&r);
  table_free(&c);
}

typedef struct example {
  const char *name;
  wh_resample_spec rows, columns;
  double want[10]; /* as many first ones as are not all given */
  int n_want;
} example;

#define LIN .mode = WH_RESAMPLE_LINEAR
#define CUB .mode = WH_RESAMPLE_CUBIC, .cubic_a = -0.75
#define NEAR .mode = WH_RESAMPLE_NEAREST
#define SIZE(in, out, by) .n_in = (in), .n_out = (out), .scale = (by)

static const example examples[] = {
    {"resize_downsample_scales_linear",
     {LIN, SIZE(2, 1, 0.6)},
     {LIN, SIZE(4, 2, 0.6)},
     {2.6666665, 4.3333331},
     2},
    {"resize_upsample_scales_linear",
     {LIN, SIZE(2, 4, 2.0)},
     {LIN, SIZE(2, 4, 2.0)},
     {1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5},
     8},
    {"resize_upsample_scales_linear_align_corners",
     {LIN, SIZE(2, 4, 2.0), .place = WH_RESAMPLE_ALIGN_CORNERS},
     {LIN, SIZE(2, 4, 2.0), .place = WH_RESAMPLE_ALIGN_CORNERS},
     {1.0, 1.33333333, 1.66666667, 2.0, 1.66666667, 2.0, 2.33333333, 2.66666667},
     8},
    {"resize_downsample_scales_linear_align_corners",
     {LIN, SIZE(2, 1, 0.6), .place = WH_RESAMPLE_ALIGN_CORNERS},
     {LIN, SIZE(4, 2, 0.6), .place = WH_RESAMPLE_ALIGN_CORNERS},
     {1.0, 3.142857},
     2},
    {"resize_upsample_scales_cubic",
     {CUB, SIZE(4, 8, 2.0)},
     {CUB, SIZE(4, 8, 2.0)},
     {0.47265625, 0.76953125, 1.24609375, 1.875, 2.28125, 2.91015625, 3.38671875, 3.68359375},
     8},
    {"resize_downsample_scales_cubic",
     {CUB, SIZE(4, 3, 0.8)},
     {CUB, SIZE(4, 3, 0.8)},
     {1.47119141, 2.78125, 4.08251953},
     3},
    {"resize_downsample_scales_cubic_align_corners",
     {CUB, SIZE(4, 3, 0.8), .place = WH_RESAMPLE_ALIGN_CORNERS},
     {CUB, SIZE(4, 3, 0.8), .place = WH_RESAMPLE_ALIGN_CORNERS},
     {1.0, 2.39519159, 3.79038317},
     3},
    {"resize_downsample_scales_cubic_A_n0p5_exclude_outside",
     {.mode = WH_RESAMPLE_CUBIC, .cubic_a = -0.5, SIZE(4, 3, 0.8), .exclude_outside = true},
     {.mode = WH_RESAMPLE_CUBIC, .cubic_a = -0.5, SIZE(4, 3, 0.8), .exclude_outside = true},
     {1.36812675, 2.6695014, 4.0133367},
     3},
    {"resize_upsample_scales_cubic_asymmetric",
     {CUB, SIZE(4, 8, 2.0), .place = WH_RESAMPLE_ASYMMETRIC},
     {CUB, SIZE(4, 8, 2.0), .place = WH_RESAMPLE_ASYMMETRIC},
     {1.0, 1.40625, 2.0, 2.5, 3.0, 3.59375, 4.0, 4.09375},
     8},
    {"resize_tf_crop_and_resize",
     {LIN, SIZE(4, 3, 0.75), .place = WH_RESAMPLE_CROP, .begin = 0.4, .end = 0.6},
     {LIN, SIZE(4, 3, 0.75), .place = WH_RESAMPLE_CROP, .begin = 0.6, .end = 0.8},
     {7.6000004, 7.9, 8.2, 8.8, 9.1, 9.400001, 10.0, 10.3, 10.6},
     9},
    {"resize_tf_crop_and_resize_extrapolation_value",
     {LIN, SIZE(4, 3, 0.75), .place = WH_RESAMPLE_CROP, .begin = 0.4, .end = 1.2},
     {LIN, SIZE(4, 3, 0.75), .place = WH_RESAMPLE_CROP, .begin = 0.6, .end = 1.7},
     {7.6000004, 10.0, 10.0, 12.400001, 10.0, 10.0, 10.0, 10.0, 10.0},
     9},
    {"resize_downsample_scales_linear_antialias",
     {LIN, SIZE(4, 2, 0.6), .antialias = true},
     {LIN, SIZE(4, 2, 0.6), .antialias = true},
     {2.875, 4.5, 9.375, 11.0},
     4},
    {"resize_downsample_scales_cubic_antialias",
     {CUB, SIZE(4, 2, 0.6), .antialias = true},
     {CUB, SIZE(4, 2, 0.6), .antialias = true},
     {2.5180721, 4.2858863, 9.589329, 11.357142},
     4},
    {"resize_downsample_scales_nearest", {NEAR, SIZE(2, 1, 0.6)}, {NEAR, SIZE(4, 2, 0.6)}, {1.0, 3.0}, 2},
    {"resize_upsample_sizes_nearest_ceil_half_pixel",
     {NEAR, SIZE(4, 8, 2.0), .nearest = WH_RESAMPLE_CEIL},
     {NEAR, SIZE(4, 8, 2.0), .nearest = WH_RESAMPLE_CEIL},
     {1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0, 6.0},
     10},
    {"resize_upsample_sizes_nearest_floor_align_corners",
     {NEAR, SIZE(4, 8, 2.0), .nearest = WH_RESAMPLE_FLOOR, .place = WH_RESAMPLE_ALIGN_CORNERS},
     {NEAR, SIZE(4, 8, 2.0), .nearest = WH_RESAMPLE_FLOOR, .place = WH_RESAMPLE_ALIGN_CORNERS},
     {1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 1.0, 1.0},
     10},
    {"resize_upsample_sizes_nearest_round_prefer_ceil_asymmetric",
     {NEAR, SIZE(4, 8, 2.0), .nearest = WH_RESAMPLE_ROUND_PREFER_CEIL, .place = WH_RESAMPLE_ASYMMETRIC},
     {NEAR, SIZE(4, 8, 2.0), .nearest = WH_RESAMPLE_ROUND_PREFER_CEIL, .place = WH_RESAMPLE_ASYMMETRIC},
     {1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0, 6.0},
     10},
    {"resize_downsample_sizes_linear_pytorch_half_pixel",
     {LIN, SIZE(4, 3, 0.75), .place = WH_RESAMPLE_PYTORCH_HALF_PIXEL},
     {LIN, SIZE(4, 1, 0.25), .place = WH_RESAMPLE_PYTORCH_HALF_PIXEL},
     {1.6666666, 7.0, 12.333333},
     3},
    {"resize_downsample_scales_linear_half_pixel_symmetric",
     {LIN, SIZE(1, 1, 1.0)},
     {LIN, SIZE(4, 2, 0.6), .place = WH_RESAMPLE_HALF_PIXEL_SYMMETRIC},
     {1.6666667, 3.3333333},
     2},
};

static void documented_examples(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
    const example *e = &examples[i];
    double *y = calloc((size_t)(e->rows.n_out * e->columns.n_out), sizeof *y);
    assert_non_null(y);
    resample_matrix(&e->rows, &e->columns, y);
    for (int k = 0; k < e->n_want; k++)
      if (!(fabs(y[k] - e->want[k]) < 2e-6)) fail_msg("%s: %d: %.8g, not %.8g", e->name, k, y[k], e->want[k]);
    free(y);
  }
}

/* Indices in range; weights that add up to 1. */
static void tables_are_in_range(void **state) {
  (void)state;
  for (int i = 0; i < 3 * 7 * 2 * 2; i++)
    for (int64_t n_in = 1; n_in < 12; n_in += 2)
      for (int64_t n_out = 1; n_out < 30; n_out += 4) {
        const wh_resample_spec s = {.mode = (wh_resample_mode)(i % 3),
                                    .place = (wh_resample_place)(i / 3 % 7),
                                    .n_in = n_in,
                                    .n_out = n_out,
                                    .scale = (double)n_out / (double)n_in,
                                    .begin = -0.5,
                                    .end = 1.5,
                                    .cubic_a = -0.75,
                                    .antialias = i / 21 % 2,
                                    .exclude_outside = i / 42};
        axis_table t = table_of(&s);
        for (int64_t x = 0; x < n_out; x++) {
          double sum = 0.0;
          for (int64_t k = 0; k < t.taps; k++) {
            assert_in_range(t.index[x * t.taps + k] + 1, s.place == WH_RESAMPLE_CROP ? 0 : 1, n_in);
            sum += (double)t.weight[x * t.taps + k];
          }
          if (!(fabs(sum - 1.0) < 1e-6) && !s.exclude_outside) fail_msg("%d: weights add up to %g", i, sum);
        }
        table_free(&t);
      }
}

static void bad_specs_are_refused(void **state) {
  (void)state;
  const wh_resample_spec good = {LIN, SIZE(4, 8, 2.0)};
  wh_resample_spec bad[] = {good, good, good, good, good, good};
  int64_t taps;
  bad[0].n_in = 0;
  bad[1].n_out = 0;
  bad[2].scale = 0.0;
  bad[3].scale = NAN;
  bad[4].begin = INFINITY;
  bad[5].n_in = INT64_MAX;
  assert_ok(wh_resample_taps(&good, &taps));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(wh_resample_taps(&bad[i], &taps), WH_ERR_INVALID_ARGUMENT);
  bad[0] = good;
  bad[0].antialias = true;
  bad[0].scale = 1e-30;
  assert_int_equal(wh_resample_taps(&bad[0], &taps), WH_ERR_LIMIT);
}

static void roots_of_unity(void **state) {
  (void)state;
  static const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 100, 400, 1009, 65536};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    for (int64_t k = 0; k < sizes[i]; k++) {
      float t[2];
      wh_twiddles(sizes[i], k, 1, t);
      const double angle = 6.283185307179586 * (double)k / (double)sizes[i];
      if (fabs((double)t[0] - cos(angle)) > 6e-8 || fabs((double)t[1] + sin(angle)) > 6e-8)
        fail_msg("root %lld of %lld is %g, %g", (long long)k, (long long)sizes[i], (double)t[0],
                 (double)t[1]);
      if (4 * k % sizes[i] == 0) assert_true(t[0] * t[1] == 0.0f && fabsf(t[0]) + fabsf(t[1]) == 1.0f);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(documented_examples),
      cmocka_unit_test(tables_are_in_range),
      cmocka_unit_test(bad_specs_are_refused),
      cmocka_unit_test(roots_of_unity),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
