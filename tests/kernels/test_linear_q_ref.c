/* test_linear_q_ref.c - the reference kernel of quantised products against binary64 sums over weights that
 * the `gguf` package dequantised (make_dequant_goldens.py): an oracle that shares neither code nor arithmetic
 * with ours.
 *
 * The bound follows from the arithmetic. The oracle multiplies the activations as quantised (S 2^t q, exact
 * in binary64), so what remains is rounding: per group of 256 at most 2 operations for each of 16 half blocks
 * and 2 for the group, each at most eps/2 of a partial sum, and one rounding of each golden weight. A partial
 * sum is at most the sum of (|s q| + |m|) |x|. Golden values are s q + m, whose parts are not known; but a
 * block's random codes span at least half of their range, so |s q| <= 4 max |w| and |m| <= 5 max |w| over the
 * block. */
#define _POSIX_C_SOURCE 200809L
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/linear_q_kernels.h"
#include "tests/kernels/linear_q_fixture.h"

#define M 5

typedef struct golden {
  wh_dtype dtype;
  uint32_t rows, k, row_bytes;
  const uint8_t *blocks;
  const float *values;
} golden;

static uint8_t *file_bytes;
static size_t file_size;

static int read_file(void **state) {
  (void)state;
  FILE *f = fopen(WH_TEST_DATA_DIR "/linear_q_dequant.bin", "rb");
  if (!f) return -1;
  file_bytes = malloc(1 << 20);
  file_size = file_bytes ? fread(file_bytes, 1, 1 << 20, f) : 0;
  fclose(f);
  return file_size > 0 ? 0 : -1;
}
static int free_file(void **state) {
  (void)state;
  free(file_bytes);
  return 0;
}

/* The record at *at, which moves on. */
static golden next_golden(size_t *at) {
  golden g;
  const uint8_t *p = file_bytes + *at;
  assert_true(wh_dtype_from_name((const char *)p, strnlen((const char *)p, 8), &g.dtype));
  memcpy(&g.rows, p + 8, 4);
  memcpy(&g.k, p + 12, 4);
  memcpy(&g.row_bytes, p + 16, 4);
  g.blocks = p + 20;
  size_t raw = ((size_t)g.rows * g.row_bytes + 3) / 4 * 4;
  g.values = (const float *)(const void *)(g.blocks + raw);
  *at += 20 + raw + (size_t)g.rows * g.k * 4;
  assert_true(*at <= file_size);
  return g;
}

typedef struct call {
  wh_linear_q_fn fn;
  wh_linear_q_args args;
} call;
static void run(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->fn(&c->args, w);
}

/* sum of w x in binary64 over the activations as quantised, and the magnitude that the bound is relative to.
 */
static double oracle(const golden *g, uint32_t row, void *q8a, int64_t m, double *magnitude) {
  wh_q8a_tile t = wh_q8a_tile_at(q8a, M, g->k, 0);
  const float *w = g->values + (size_t)row * g->k;
  double sum = 0;
  *magnitude = 0;
  for (uint32_t b = 0; b < g->k / 32; b++) {
    double scale = (double)t.scale[b / 8 * M + m] * (1 << t.t[b * M + m]), top = 0, x_sum = 0;
    for (uint32_t i = 0; i < 32; i++) {
      double x = scale * t.q[(b * M + m) * 32 + i], v = (double)w[b * 32 + i];
      sum += x * v;
      x_sum += fabs(x);
      top = fmax(top, fabs(v));
    }
    *magnitude += top * x_sum;
  }
  return sum;
}

/* Whether every output is within the bound; `flip` changes a byte of each row first. */
static bool within_bound(const golden *g, bool flip) {
  fixture_rng rng = {0xabcdef12345ull + (uint64_t)g->dtype};
  float x[M * 512], y[M * 8];
  assert_true(g->k <= 512 && g->rows <= 8);
  for (uint32_t i = 0; i < M * g->k; i++) x[i] = fixture_random_unit(&rng) * (i % 97 == 0 ? 20.0f : 1.0f);
  void *q8a = aligned_alloc(64, wh_q8a_bytes(M, g->k));
  uint8_t *blocks = malloc((size_t)g->rows * g->row_bytes);
  assert_non_null(q8a);
  assert_non_null(blocks);
  fixture_quantize(x, M, g->k, q8a);
  memcpy(blocks, g->blocks, (size_t)g->rows * g->row_bytes);
  for (uint32_t r = 0; flip && r < g->rows; r++)
    blocks[(r + 1) * g->row_bytes - 4] ^= 0x22; /* codes of a last block; a scale for Q2_K, Q3_K and Q6_K */

  wh_linear_layout layout;
  assert_int_equal(wh_linear_q_layout(0, g->dtype, g->rows, g->k, &layout), WH_OK);
  wh_team *team = NULL;
  assert_int_equal(wh_team_create(1, NULL, NULL, &team), WH_OK);
  call c = {.fn = wh_linear_q_select(0, g->dtype, NULL)};
  c.args =
      (wh_linear_q_args){.layout = &layout, .w = blocks, .x = q8a, .m = M, .y = y, .ldy = g->rows, .step = 1};
  wh_team_run(team, run, &c);
  wh_team_destroy(team);

  bool within = true;
  double groups = ceil((double)g->k / 256), ops = groups * (16 * 2 + 2) + 1;
  for (int64_t m = 0; m < M; m++)
    for (uint32_t row = 0; row < g->rows; row++) {
      double magnitude, want = oracle(g, row, q8a, m, &magnitude);
      if (!(fabs((double)y[m * g->rows + row] - want) <= ops * (FLT_EPSILON / 2) * 9 * magnitude))
        within = false;
    }
  free(q8a);
  free(blocks);
  return within;
}

static void test_types(void **state) {
  (void)state;
  int types = 0;
  for (size_t at = 0; at < file_size; types++) {
    golden g = next_golden(&at);
    if (!within_bound(&g, false)) fail_msg("%s: outside the bound", wh_dtype_name(g.dtype));
  }
  assert_int_equal(types, 13);
}

/* The bound is tight enough to see one changed byte of a row. */
static void test_control(void **state) {
  (void)state;
  for (size_t at = 0; at < file_size;) {
    golden g = next_golden(&at);
    if (within_bound(&g, true)) fail_msg("%s: a changed code was not seen", wh_dtype_name(g.dtype));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_types), cmocka_unit_test(test_control)};
  return cmocka_run_group_tests(tests, read_file, free_file);
}
