/* test_nonfinite.c - what row ops and quantised products make of NaN and infinities (docs/NUMERICS.md, "NaN
 * and infinities"), at every level of this machine. */
#define _DEFAULT_SOURCE /* mmap */
#include "backends/cpu/linear_q_kernels.h"
#include "backends/cpu/rowops.h"

#include "tests/kernels/linear_q_fixture.h"
#include "tests/kernels/rowops_buffers.h"
#include "tests/kernels/usable_features.h"

#define MAX_LEVELS 8
typedef struct level {
  const char *name;
  uint64_t mask;
  wh_rowops ops;
} level;
static level levels[MAX_LEVELS];
static int n_levels;
static const wh_worker alone = {0, 1, NULL};

static int find_levels(void **state) {
  (void)state;
  const uint64_t available = test_features();
  for (int i = 0; wh_cpu_level_at(i) && n_levels < MAX_LEVELS; i++) {
    level *l = &levels[n_levels];
    l->name = wh_cpu_level_at(i);
    if (wh_cpu_level_mask(l->name, available, &l->mask) != WH_OK) continue;
    wh_rowops_select(l->mask, &l->ops);
    n_levels++;
  }
  return n_levels ? 0 : -1;
}

/* A NaN is a NaN, whatever its bits. */
static bool same(float a, float b) { return isnan(a) ? isnan(b) != 0 : wh_f32_bits(a) == wh_f32_bits(b); }

static void expect(const level *l, const char *op, float x, float want, float got) {
  if (!same(want, got)) fail_msg("%s, %s(%a): %a, not %a", l->name, op, (double)x, (double)got, (double)want);
}

/* ---- elementwise ---- */

#define N 37 /* full vectors and a tail, of every width */

static void unary_ops(void **state) {
  (void)state;
  for (int i = 0; i < n_levels; i++) {
    const wh_rowops *t = &levels[i].ops;
    const struct {
      const char *name;
      void (*run)(const wh_unary_args *, const wh_worker *);
      float pos_inf, neg_inf, neg_zero; /* what these give; a NaN gives NaN */
    } ops[] = {{"neg", t->neg, -INFINITY, INFINITY, 0},
               {"sqrt", t->sqrt, INFINITY, NAN, -0.0f},
               {"exp", t->exp, INFINITY, 0, 1},
               {"tanh", t->tanh, 1, -1, 0},
               {"erf", t->erf, 1, -1, -0.0f},
               {"sigmoid", t->sigmoid, 1, 0, 0.5f},
               {"silu", t->silu, INFINITY, NAN, -0.0f},
               {"gelu", t->gelu, INFINITY, NAN, -0.0f},
               {"gelu_erf", t->gelu_erf, INFINITY, NAN, -0.0f},
               {"scale", t->scale, INFINITY, -INFINITY, -0.0f},
               {"softcap", t->softcap, 30, -30, 0}};
    for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++)
      for (int at = 0; at < N; at++) {
        const float in[] = {NAN, -NAN, INFINITY, -INFINITY, -0.0f};
        const float want[] = {NAN, NAN, ops[o].pos_inf, ops[o].neg_inf, ops[o].neg_zero};
        for (int k = 0; k < 5; k++) {
          float x[N], y[N], ordinary[N];
          for (int j = 0; j < N; j++) x[j] = 0.25f + (float)j / N;
          const wh_unary_args before = {N, x, ordinary, 30.0f}, a = {N, x, y, 30.0f};
          ops[o].run(&before, &alone);
          x[at] = in[k];
          ops[o].run(&a, &alone);
          expect(&levels[i], ops[o].name, in[k], want[k], y[at]);
          for (int j = 0; j < N; j++)
            if (j != at) expect(&levels[i], ops[o].name, x[j], ordinary[j], y[j]);
        }
      }
  }
}

static void binary_ops(void **state) {
  (void)state;
  static const float in[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 2.5f};
  for (int i = 0; i < n_levels; i++) {
    const wh_rowops *t = &levels[i].ops;
    for (int p = 0; p < 36; p++)
      for (int at = 0; at < N; at += 5) {
        float a[N], b[N], y[4][N];
        for (int j = 0; j < N; j++) a[j] = b[j] = 1.0f;
        const float x = a[at] = in[p / 6], z = b[at] = in[p % 6];
        for (int o = 0; o < 4; o++) {
          const wh_binary_args args = {N, N, a, b, y[o]};
          (o == 0 ? t->add : o == 1 ? t->sub : o == 2 ? t->mul : t->div)(&args, &alone);
        }
        expect(&levels[i], "add", x, x + z, y[0][at]);
        expect(&levels[i], "sub", x, x - z, y[1][at]);
        expect(&levels[i], "mul", x, x * z, y[2][at]);
        expect(&levels[i], "div", x, x / z, y[3][at]);
        expect(&levels[i], "add", 1, 2, y[0][(at + 1) % N]);
      }
  }
}

/* ---- rows ---- */

enum { ROWS = 2, LENGTH = 100 };
typedef enum row_op { SOFTMAX, RMS_NORM, LAYER_NORM, N_ROW_OPS } row_op;

static void run_row_op(const wh_rowops *t, row_op op, const float *x, float *y) {
  const wh_softmax_args s = {ROWS, LENGTH, LENGTH, LENGTH, x, y};
  const wh_norm_args n = {
      .rows = ROWS, .n = LENGTH, .ldx = LENGTH, .ldy = LENGTH, .x = x, .eps = 1e-5f, .y = y};
  if (op == SOFTMAX) t->softmax(&s, &alone);
  if (op == RMS_NORM) t->rms_norm(&n, &alone);
  if (op == LAYER_NORM) t->layer_norm(&n, &alone);
}

static void rows_are_spoiled_alone(void **state) {
  (void)state;
  static const float in[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < n_levels; i++)
    for (row_op op = 0; op < N_ROW_OPS; op++)
      for (int k = 0; k < 3; k++)
        for (int at = 0; at < LENGTH; at++) {
          float x[ROWS * LENGTH], y[ROWS * LENGTH], ordinary[ROWS * LENGTH];
          for (int j = 0; j < ROWS * LENGTH; j++) x[j] = (float)(j * 7 % 13) - 5.5f;
          run_row_op(&levels[i].ops, op, x, ordinary);
          x[at] = in[k];
          run_row_op(&levels[i].ops, op, x, y);
          for (int j = 0; j < ROWS * LENGTH; j++) {
            if (j >= LENGTH) {
              expect(&levels[i], "the next row", x[j], ordinary[j], y[j]);
            } else if (op == SOFTMAX && k == 2) { /* no weight, and the others share it all */
              if (j == at) expect(&levels[i], "softmax", x[j], 0, y[j]);
              if (j != at && !(y[j] > 0 && y[j] < 1)) fail_msg("%s: softmax with -inf", levels[i].name);
            } else if (op == RMS_NORM && k && j != at) { /* x * (1 / sqrt(inf)) */
              expect(&levels[i], "rms_norm", x[j], copysignf(0, x[j]), y[j]);
            } else {
              expect(&levels[i], op == SOFTMAX ? "softmax" : "norm", x[j], NAN, y[j]);
            }
          }
        }
  float x[ROWS * LENGTH], y[ROWS * LENGTH];
  for (int j = 0; j < ROWS * LENGTH; j++) x[j] = -INFINITY;
  for (int i = 0; i < n_levels; i++) {
    run_row_op(&levels[i].ops, SOFTMAX, x, y);
    for (int j = 0; j < ROWS * LENGTH; j++) expect(&levels[i], "softmax of -inf alone", x[j], NAN, y[j]);
  }
}

/* ---- quantised activations and their products ---- */

enum { K = 288, GROUP = 256 }; /* a group, and a short one */

/* Every way to quantised rows; each writes q8a[3][K]. */
typedef enum quantiser { ACT, RMS, SWIGLU, GEGLU, N_QUANTISERS } quantiser;

static void run_quantiser(const wh_rowops *t, quantiser q, const float *x, const float *ones, void *q8a) {
  const wh_quantize_act_args act = {3, K, K, x, q8a};
  const wh_norm_args norm = {.rows = 3, .n = K, .ldx = K, .x = x, .eps = 1e-5f, .q8a = q8a};
  const wh_gated_args gated = {.rows = 3, .n = K, .lda = K, .ldb = K, .a = ones, .b = x, .q8a = q8a};
  if (q == ACT) t->quantize_act(&act, &alone);
  if (q == RMS) t->rms_norm_q8a(&norm, &alone);
  if (q == SWIGLU) t->swiglu_q8a(&gated, &alone);
  if (q == GEGLU) t->geglu_q8a(&gated, &alone);
}

static void groups_that_are_not_finite(void **state) {
  (void)state;
  static const float in[] = {NAN, -NAN, INFINITY, -INFINITY};
  static float x[3 * K], ones[3 * K];
  const size_t bytes = wh_q8a_bytes(3, K);
  for (int j = 0; j < 3 * K; j++) ones[j] = 1.0f;
  for (int i = 0; i < n_levels; i++)
    for (quantiser q = 0; q < N_QUANTISERS; q++)
      for (int k = 0; k < 4; k++)
        for (int at = 0; at < K; at += 7) {
          guarded want, got;
          for (int j = 0; j < 3 * K; j++) x[j] = (float)(j * 31 % 17) - 8.0f;
          x[K + at] = in[k]; /* of the middle row */
          wh_q8a_tile ref = wh_q8a_tile_at(guarded_new(&want, bytes, 0), 3, K, 0);
          wh_q8a_tile have = wh_q8a_tile_at(guarded_new(&got, bytes, 0), 3, K, 0);
          run_quantiser(&levels[0].ops, q, x, ones, want.data);
          run_quantiser(&levels[i].ops, q, x, ones, got.data);
          for (int g = 0; g < 2; g++)
            for (int r = 0; r < 3; r++) {
              const bool spoiled = r == 1 && (q == RMS ? k < 2 || g == at / GROUP : g == at / GROUP);
              expect(&levels[i], "S of", in[k], ref.scale[g * 3 + r], have.scale[g * 3 + r]);
              if (spoiled != (bool)isnan(have.scale[g * 3 + r]))
                fail_msg("%s: S of row %d, group %d", levels[i].name, r, g);
              for (int b = g * 8; b < K / 32 && b < g * 8 + 8; b++)
                for (int d = 0; d < 32; d++)
                  if (spoiled) assert_int_equal(have.q[(b * 3 + r) * 32 + d], 0);
            }
          assert_memory_equal(got.data, want.data, (size_t)((char *)ref.scale - (char *)want.data));
          assert_true(guarded_free(&want) & guarded_free(&got));
        }
}

/* Kernels by type, from the list that dispatch is made of. */
static const struct kernel {
  wh_dtype dtype;
  const char *isa;
  uint64_t needs;
  wh_linear_q_fn fn;
} kernels[] = {
#define WH_KERNEL(type, lower, isa, needs) {WH_DTYPE_##type, #isa, needs, wh_k_linear_##lower##__##isa},
#include "backends/cpu/kernels_linear_q.def"
#undef WH_KERNEL
};

/* Row 1 of m is not finite in one value: its outputs are NaN, those of the others what they were. */
static void check_product(const struct kernel *kernel, int64_t m, float special, fixture_rng *rng) {
  enum { OUT = 33, DEEP = 512 };
  wh_linear_layout layout;
  guarded file, w, q8a, scratch;
  fixture_weights(rng, kernel->dtype, OUT, DEEP, false,
                  guarded_new(&file, fixture_weight_bytes(kernel->dtype, OUT, DEEP), 0));
  assert_int_equal(wh_linear_q_layout(kernel->needs, kernel->dtype, OUT, DEEP, &layout), WH_OK);
  assert_true(wh_linear_q_pack(&layout, file.data, guarded_new(&w, layout.n_bytes, 0), 0, layout.n_panels));
  float *x = calloc((size_t)(m * DEEP), sizeof *x), *y = calloc((size_t)(2 * m * OUT), sizeof *y);
  assert_true(x && y);
  for (int64_t i = 0; i < m * DEEP; i++) x[i] = fixture_random_unit(rng);
  for (int round = 0; round < 2; round++) {
    const wh_quantize_act_args act = {m, DEEP, DEEP, x, guarded_new(&q8a, wh_q8a_bytes(m, DEEP), 0)};
    levels[0].ops.quantize_act(&act, &alone);
    wh_linear_q_args a = {.layout = &layout,
                          .w = w.data,
                          .x = q8a.data,
                          .m = m,
                          .y = y + round * m * OUT,
                          .ldy = OUT,
                          .step = 1};
    const size_t scratch_bytes = wh_linear_q_scratch_bytes(kernel->needs, &layout, m);
    if (scratch_bytes) a.scratch = guarded_new(&scratch, scratch_bytes, 0xcc);
    kernel->fn(&a, &alone);
    assert_true(guarded_free(&q8a));
    if (scratch_bytes) assert_true(guarded_free(&scratch));
    x[DEEP + fixture_random(rng) % DEEP] = special;
  }
  for (int64_t i = 0; i < m * OUT; i++)
    if (!same(i / OUT == 1 ? NAN : y[i], y[m * OUT + i]))
      fail_msg("%s %s, %a in row 1 of %d: row %d is %a, was %a", wh_dtype_name(kernel->dtype), kernel->isa,
               (double)special, (int)m, (int)(i / OUT), (double)y[m * OUT + i], (double)y[i]);
  free(x);
  free(y);
  assert_true(guarded_free(&file) & guarded_free(&w));
}

static void products_of_rows_that_are_not_finite(void **state) {
  (void)state;
  fixture_rng rng = {0x1234567};
  const uint64_t available = test_features();
  for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
    if (kernels[k].needs & ~available) continue;
    for (int64_t m = 2; m <= 20; m += 6) {
      check_product(&kernels[k], m, NAN, &rng);
      check_product(&kernels[k], m, INFINITY, &rng);
      check_product(&kernels[k], m, -INFINITY, &rng);
    }
  }
}

/* The highest scores win; a NaN is below them all, and of equals the lower index comes first. */
static void experts_are_chosen_past_nans(void **state) {
  (void)state;
  static const float scores[6] = {NAN, -INFINITY, 1, NAN, INFINITY, 1};
  static const int32_t order[6] = {4, 2, 5, 0, 1, 3};
  for (int i = 0; i < n_levels; i++) {
    int32_t selected[6];
    const wh_expert_select_args a = {1, 6, 6, scores, selected};
    levels[i].ops.expert_select(&a, &alone);
    assert_memory_equal(selected, order, sizeof order);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unary_ops),
      cmocka_unit_test(binary_ops),
      cmocka_unit_test(rows_are_spoiled_alone),
      cmocka_unit_test(groups_that_are_not_finite),
      cmocka_unit_test(products_of_rows_that_are_not_finite),
      cmocka_unit_test(experts_are_chosen_past_nans),
  };
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
