/* test_codes.c - convolutions and products of 8-bit codes with packed weights, of any sizes, types and zero
 * points, at every level of this machine: the sums of the definition, or what a small chain makes of them. */
#include "tests/kernels/guarded.h" /* first */

#include <stdio.h>
#include <stdlib.h>

#include "backends/cpu/matmul_codes.h"
#include "tests/kernels/levels.h"

static uint32_t rng = 1;
static int64_t any(int64_t n) { return (int64_t)((rng = rng * 1664525u + 1013904223u) >> 8) % n; }

/* Codes of any size, and whole runs of the largest. */
static uint8_t *codes(guarded *g, int64_t n) {
  uint8_t *x = guarded_new(g, (size_t)n, 0xa5);
  const int64_t large = any(3);
  for (int64_t i = 0; i < n; i++) x[i] = (uint8_t)(large == 0 ? (any(2) ? 0x80 : 0xff) : any(256));
  return x;
}

static wh_dtype any_type(void) { return any(2) ? WH_DTYPE_I8 : WH_DTYPE_U8; }
static int32_t code(const uint8_t *x, int64_t i, wh_dtype type) {
  return wh_code_at(x, i, type == WH_DTYPE_I8);
}

static void compare(const char *level, const int32_t *got, const int32_t *want, int64_t n, const char *what) {
  for (int64_t i = 0; i < n; i++)
    if (got[i] != want[i])
      fail_msg("%s: %s: result %lld is %#x, not %#x", level, what, (long long)i, (unsigned)got[i],
               (unsigned)want[i]);
}

/* The kernels of a level are its own, and only the reference has none. */
static void check_level(const test_level *level, const char *name, const char *kernel) {
#if defined(__x86_64__)
  char want[64];
  snprintf(want, sizeof want, "%s__%s", kernel, level->name);
  if (strcmp(level->name, "ref") == 0)
    assert_null(name);
  else
    assert_string_equal(name ? name : "none", want);
#else
  (void)level, (void)kernel;
  assert_null(name);
#endif
}

/* ---- what follows sums: an output's own number is added ---- */

static void select_chain(uint64_t features, wh_chain *c) {
  static const wh_formula add = {.n_inputs = 2, .n_steps = 1, .steps = {{WH_OP_ADD, 2, {0, 1}}}};
  static const wh_dtype types[] = {WH_DTYPE_I32, WH_DTYPE_F32};
  wh_rowops rowops;
  wh_rowops_select(features, &rowops);
  assert_true(wh_chain_select(features, &rowops, &add, types, WH_DTYPE_F32, c));
}

static float *numbers(guarded *g, int64_t n) {
  float *x = guarded_new(g, (size_t)n * sizeof *x, 0);
  for (int64_t i = 0; i < n; i++) x[i] = (float)any(2000) / 8.0f - 100.0f;
  return x;
}

static void add_number(int32_t *sum, float number) {
  const float y = (float)*sum + number;
  memcpy(sum, &y, sizeof y);
}

typedef struct job {
  const wh_conv_codes_isa *conv;
  const wh_conv_integer_args *args;
  const wh_codes_isa *isa;
  const wh_matmul_part *part;
  const wh_chain *chain; /* of the product, or NULL */
  const float *numbers;
  bool a_signed, b_signed;
  const void *panels;
  char *scratch;
  size_t each;
} job;

static void run_conv(void *arg, const wh_worker *worker) {
  const job *j = arg;
  wh_conv_codes_run(j->conv, j->args, j->panels, j->scratch, 0, worker);
}
static void run_product(void *arg, const wh_worker *worker) {
  const job *j = arg;
  wh_codes_end end;
  if (j->chain) {
    end.chain = j->chain;
    end.team = worker->team;
    end.ld_sums = wh_matmul_codes_ld(j->isa);
    end.y = j->part->y;
    end.ld_y = j->part->ldy;
    end.in[1] = (wh_chain_input){.x = j->numbers, .step = 1};
    wh_codes_end_begin(&end);
  }
  wh_matmul_codes_run_packed(j->isa, j->part, j->a_signed, j->b_signed, j->panels, j->scratch, j->each,
                             j->chain ? &end : NULL, worker);
}

static void check_conv(wh_team *team) {
  const int64_t kernel = any(2) ? 3 : 1, stride = 1 + any(2), pad = kernel / 2 * any(2),
                in = kernel + any(24), wide = kernel + any(40), c = 1 + any(any(3) ? 40 : 300),
                m = 1 + any(any(2) ? 20 : 80);
  const int64_t out = (in + 2 * pad - kernel) / stride + 1, across = (wide + 2 * pad - kernel) / stride + 1;
  const bool chained = any(2);
  guarded gx, gw, gz, gy, ge;
  wh_conv_integer_args a = {.n = 1 + any(2),
                            .group = 1,
                            .c = c,
                            .m = m,
                            .x_dtype = any_type(),
                            .w_dtype = any_type(),
                            .w_zero_per_output = any(2)};
  a.win = (wh_window){{1, in, wide}, {1, out, across}, {1, kernel, kernel}, {1, stride, stride},
                      {1, 1, 1},     {0, pad, pad},    {0, pad, pad}};
  const int64_t places = out * across, taps = kernel * kernel;
  const uint8_t *x = codes(&gx, a.n * c * in * wide), *w = codes(&gw, m * c * taps), *z = codes(&gz, m + 1);
  const float *add = numbers(&ge, m);
  int32_t *want = malloc((size_t)(a.n * m * places) * sizeof *want),
          *got = guarded_new(&gy, (size_t)(a.n * m * places) * 4, 0);
  assert_non_null(want);
  a.x = x, a.w = w;
  a.x_zero = any(3) ? z + m : NULL;
  a.w_zero = any(3) ? NULL : z;
  a.y = got;
  for (int64_t n = 0, i = 0; n < a.n; n++)
    for (int64_t o = 0; o < m; o++)
      for (int64_t p = 0; p < places; p++, i++) {
        const int32_t xz = a.x_zero ? code(z, m, a.x_dtype) : 0,
                      wz = a.w_zero ? code(z, a.w_zero_per_output ? o : 0, a.w_dtype) : 0;
        want[i] = 0;
        for (int64_t k = 0; k < c * taps; k++) {
          const int64_t h = p / across * stride + k % taps / kernel - pad,
                        v = p % across * stride + k % kernel - pad;
          if (h < 0 || h >= in || v < 0 || v >= wide) continue;
          want[i] += (code(x, ((n * c + k / taps) * in + h) * wide + v, a.x_dtype) - xz) *
                     (code(w, o * c * taps + k, a.w_dtype) - wz);
        }
        if (chained) add_number(&want[i], add[o]);
      }
  for (int l = 0; l < n_levels; l++) {
    const wh_conv_codes_isa *isa = wh_conv_codes_isa_select(levels[l].mask);
    wh_linear_layout layout;
    size_t bytes;
    check_level(&levels[l], isa ? isa->name : NULL, "conv_codes");
    if (!isa) continue;
    wh_chain chain;
    select_chain(levels[l].mask, &chain);
    a.chain = chained ? &chain : NULL;
    a.ends[0] = (wh_conv_end){.x = add, .by_channel = 1};
    assert_true(wh_conv_codes_layout(isa, a.w_dtype, m, c, taps, &layout));
    assert_true(wh_conv_codes_scratch(&a.win, c, m, wh_team_size(team), &bytes));
    guarded gp, gs;
    void *panels = guarded_new(&gp, layout.n_bytes, 0x5a), *scratch = guarded_new(&gs, bytes, 0x5a);
    wh_conv_codes_pack(&layout, w, panels, 0, layout.n_panels);
    memset(got, 0x77, (size_t)(a.n * m * places) * 4);
    wh_team_run(team, run_conv, &(job){.conv = isa, .args = &a, .panels = panels, .scratch = scratch});
    compare(isa->name, got, want, a.n * m * places, chained ? "convolution and a chain" : "convolution");
    assert_true(guarded_free(&gp) & guarded_free(&gs));
  }
  free(want);
  assert_true(guarded_free(&gx) & guarded_free(&gw) & guarded_free(&gz) & guarded_free(&gy) &
              guarded_free(&ge));
}

static int n_begun; /* products whose sums a tile register may begin with: all that zero points add */

static void check_product(wh_team *team) {
  const int64_t m = 1 + any(70), n = 1 + any(100), k = any(3) ? 1 + any(300) : 64 * (1 + any(4));
  const wh_dtype a_type = any_type(), b_type = any_type();
  const bool each_row = any(2), each_column = any(2), chained = any(2), no_b_zero = any(2);
  guarded ga, gb, gz, gy, ge;
  const uint8_t *a = codes(&ga, m * k), *b = codes(&gb, k * n);
  uint8_t *z = codes(&gz, m + n);
  const float *add = numbers(&ge, n);
  int32_t *want = malloc((size_t)(m * n) * sizeof *want), *got = guarded_new(&gy, (size_t)(m * n) * 4, 0);
  if (no_b_zero) memset(z + m, b_type == WH_DTYPE_I8 ? 0 : 0x80, (size_t)n); /* of signed codes */
  assert_non_null(want);
  const wh_matmul_part p = {.m = m,
                            .n = n,
                            .k = k,
                            .lda = k,
                            .ldb = n,
                            .ldy = n,
                            .a = a,
                            .b = b,
                            .y = got,
                            .a_zero = any(3) ? z : NULL,
                            .b_zero = any(3) && !no_b_zero ? NULL : z + m,
                            .a_zero_step = each_row,
                            .b_zero_step = each_column};
  n_begun += chained && no_b_zero && !each_row && p.a_zero && code(z, 0, a_type) != 0;
  for (int64_t i = 0; i < m * n; i++) {
    const int32_t az = p.a_zero ? code(z, i / n * each_row, a_type) : 0,
                  bz = p.b_zero ? code(z + m, i % n * each_column, b_type) : 0;
    want[i] = 0;
    for (int64_t j = 0; j < k; j++)
      want[i] += (code(a, i / n * k + j, a_type) - az) * (code(b, j * n + i % n, b_type) - bz);
    if (chained) add_number(&want[i], add[i % n]);
  }
  for (int l = 0; l < n_levels; l++) {
    const wh_codes_isa *isa = wh_codes_isa_select(levels[l].mask);
    wh_linear_layout layout;
    size_t each;
    check_level(&levels[l], isa ? isa->name : NULL, "matmul_codes");
    check_level(&levels[l], isa ? isa->packed_name : NULL, "matmul_codes_panels");
    if (!isa) continue;
    wh_chain chain;
    select_chain(levels[l].mask, &chain);
    assert_true(wh_matmul_codes_layout(isa, b_type, n, k, &layout));
    assert_true(wh_matmul_codes_packed_scratch(isa, k, &each));
    guarded gp, gs;
    void *panels = guarded_new(&gp, layout.n_bytes, 0x5a),
         *scratch = guarded_new(&gs, each * (size_t)wh_team_size(team), 0x5a);
    (isa->turned ? wh_conv_codes_pack : wh_matmul_codes_pack)(&layout, b, panels, 0, layout.n_panels);
    memset(got, 0x77, (size_t)(m * n) * 4);
    wh_team_run(team, run_product,
                &(job){.isa = isa,
                       .part = &p,
                       .chain = chained ? &chain : NULL,
                       .numbers = add,
                       .a_signed = a_type == WH_DTYPE_I8,
                       .b_signed = b_type == WH_DTYPE_I8,
                       .panels = panels,
                       .scratch = scratch,
                       .each = each});
    compare(isa->packed_name, got, want, m * n, chained ? "product and a chain" : "product");
    assert_true(guarded_free(&gp) & guarded_free(&gs));
  }
  free(want);
  assert_true(guarded_free(&ga) & guarded_free(&gb) & guarded_free(&gz) & guarded_free(&gy) &
              guarded_free(&ge));
}

static void test_sums(void **state) {
  (void)state;
  (void)test_features(); /* the trap is this test's */
  for (int threads = 1; threads <= 3; threads++) {
    wh_team *team;
    assert_int_equal(wh_team_create(threads, NULL, NULL, &team), WH_OK);
    for (int i = 0; i < 25; i++) {
      check_conv(team);
      check_product(team);
    }
    wh_team_destroy(team);
  }
  assert_true(n_begun > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums)};
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
