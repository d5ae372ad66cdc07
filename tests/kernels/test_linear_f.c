/* test_linear_f.c - products with float weights: every level gives the reference's bits for any size, stride,
 * epilogue and team; the reference agrees with binary64; packing refuses what is not finite. */
#include "tests/kernels/guarded.h" /* first */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/rowops.h"
#include "core/base/exact_math.h"
#include "tests/kernels/levels.h"

/* Every kernel of the list that dispatch is made of. With its own needs as the mask it is the one chosen. */
typedef struct kernel {
  const char *isa;
  uint64_t needs;
  wh_linear_f_fn fn;
} kernel;
static const kernel kernels[] = {
#define WH_LINEAR_F_KERNEL(isa, needs) {#isa, needs, wh_k_linear_f_##isa},
#include "backends/cpu/kernels_linear_f.def"
#undef WH_LINEAR_F_KERNEL
};
#define N_KERNELS (sizeof kernels / sizeof kernels[0])

static uint32_t seed = 1;
static uint32_t next_random(void) {
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}
/* mostly ordinary values, some zeros, large and tiny ones */
static float mixed(void) {
  float x = ((float)next_random() - 8388607.5f) / 8388608.0f;
  switch (next_random() & 63) {
    case 0:
      return 0.0f;
    case 1:
      return -0.0f;
    case 2:
      return x * 1000.0f;
    case 3:
      return x * 0x1p-20f;
    case 4:
      return x * 0x1p-130f;
    default:
      return x;
  }
}

typedef enum epilogue { PLAIN, BIAS, RESIDUAL, IN_PLACE, N_EPILOGUES } epilogue;

typedef struct problem {
  int64_t m, n, k, ldx, ldy;
  epilogue epilogue;
  guarded w, x, bias, residual; /* w: the file's rows */
} problem;

static void fill_floats(float *x, int64_t rows, int64_t n, int64_t ld) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < n; i++) x[r * ld + i] = mixed();
}

static problem problem_new(int64_t m, int64_t n, int64_t k, epilogue e) {
  problem p = {.m = m, .n = n, .k = k, .ldx = k + m % 3, .ldy = n + m % 4, .epilogue = e};
  fill_floats(guarded_new(&p.w, (size_t)(n * k) * 4, 0), n, k, k);
  fill_floats(guarded_new(&p.x, (size_t)((m - 1) * p.ldx + k) * 4, 0xff), m, k, p.ldx);
  fill_floats(guarded_new(&p.bias, (size_t)n * 4, 0xff), 1, n, n);
  fill_floats(guarded_new(&p.residual, (size_t)((m - 1) * p.ldy + n) * 4, 0xff), m, n, p.ldy);
  return p;
}

static void problem_free(problem *p) {
  assert_true(guarded_free(&p->w) && guarded_free(&p->x) && guarded_free(&p->bias) &&
              guarded_free(&p->residual));
}

typedef struct call {
  wh_linear_f_fn fn;
  wh_linear_f_args args;
  void *packed;
  const void *file;
  bool finite[4];
} call;

static void run_pack(void *arg, const wh_worker *w) {
  call *c = arg;
  int64_t begin, end;
  wh_worker_range(w, c->args.layout->n_panels, &begin, &end);
  c->finite[w->index] = wh_linear_f_pack(c->args.layout, c->file, c->packed, begin, end);
}
static void run_product(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->fn(&c->args, w);
}

/* y [m][n], dense */
static void product(const problem *p, uint64_t mask, int n_threads, float *y) {
  wh_linear_layout layout;
  wh_team *team;
  guarded packed, out, scratch;
  assert_int_equal(wh_linear_f_layout(mask, WH_DTYPE_F32, p->n, p->k, &layout), WH_OK);
  assert_int_equal(wh_team_create(n_threads, NULL, NULL, &team), WH_OK);
  size_t per_worker = wh_linear_f_scratch_bytes(mask, &layout, p->m);
  assert_int_equal(per_worker % 64, 0);
  float *ys = guarded_new(&out, (size_t)((p->m - 1) * p->ldy + p->n) * 4, 0xc3);
  if (p->epilogue == IN_PLACE) memcpy(ys, p->residual.data, p->residual.bytes);
  call c = {.fn = wh_linear_f_select(mask, WH_DTYPE_F32, NULL), .file = p->w.data};
  c.packed = guarded_new(&packed, layout.n_bytes, 0xff);
  c.args = (wh_linear_f_args){.layout = &layout,
                              .w = layout.id ? c.packed : c.file,
                              .x = (const float *)(const void *)p->x.data,
                              .ldx = p->ldx,
                              .m = p->m,
                              .y = ys,
                              .ldy = p->ldy,
                              .ldr = p->ldy,
                              .features = mask,
                              .step = 1,
                              .scratch = guarded_new(&scratch, per_worker * (size_t)n_threads, 0xff),
                              .scratch_bytes = per_worker};
  if (p->epilogue == BIAS || p->epilogue == RESIDUAL) c.args.bias = (const float *)(const void *)p->bias.data;
  if (p->epilogue == RESIDUAL) c.args.residual = (const float *)(const void *)p->residual.data;
  if (p->epilogue == IN_PLACE) c.args.residual = ys;
  wh_team_run(team, run_pack, &c);
  for (int i = 0; i < n_threads; i++) assert_true(c.finite[i]);
  wh_team_run(team, run_product, &c);
  for (int64_t r = 0; r < p->m; r++) {
    memcpy(y + r * p->n, ys + r * p->ldy, (size_t)p->n * 4);
    for (int64_t i = p->n; r + 1 < p->m && i < p->ldy; i++)
      assert_true(p->epilogue == IN_PLACE || wh_f32_bits(ys[r * p->ldy + i]) == 0xc3c3c3c3u);
  }
  wh_team_destroy(team);
  assert_true(guarded_free(&packed) && guarded_free(&out) && guarded_free(&scratch));
}

static float *new_output(const problem *p) {
  float *y = malloc((size_t)(p->m * p->n) * sizeof *y);
  assert_non_null(y);
  return y;
}

static void check(const problem *p) {
  float *want = new_output(p), *got = new_output(p);
  uint64_t all = wh_cpu_features_detect();
  product(p, 0, 1, want);
  for (const kernel *k = kernels; k < kernels + N_KERNELS; k++) {
    if ((all & k->needs) != k->needs) continue;
    for (int threads = k->needs ? 1 : 3; threads <= 3; threads++) {
      memset(got, 0x5a, (size_t)(p->m * p->n) * 4);
      product(p, k->needs | (threads == 2 ? WH_CPU_MANY_WAYS : 0), threads, got);
      for (int64_t j = 0; j < p->m * p->n; j++)
        if (wh_f32_bits(want[j]) != wh_f32_bits(got[j]))
          fail_msg("%s, %d threads, m %d n %d k %d, epilogue %d: row %d column %d is %a, not %a", k->isa,
                   threads, (int)p->m, (int)p->n, (int)p->k, (int)p->epilogue, (int)(j / p->n),
                   (int)(j % p->n), (double)got[j], (double)want[j]);
    }
  }
  free(want);
  free(got);
}

/* Every count of rows up to two tiles, every width around a panel, lengths around a chunk. */
static void test_levels(void **state) {
  (void)state;
  const int64_t cols[] = {1, 7, 15, 16, 17, 31, 32, 33, 48, 49, 65, 130},
                lengths[] = {1, 2, 13, 31, 147, 511, 512, 513, 1030};
  int turn = 0;
  for (int64_t m = 1; m <= 25; m++)
    for (int i = 0; i < 3; i++, turn++) {
      problem p =
          problem_new(m, cols[(turn * 7) % 12], lengths[(turn * 2 + m) % 9], (epilogue)(turn % N_EPILOGUES));
      check(&p);
      problem_free(&p);
    }
}

static void test_blocks(void **state) {
  (void)state;
  const int64_t sizes[][3] = {{97, 64, 520}, {130, 33, 96}, {49, 290, 40}, {200, 20, 30},
                              {96, 257, 17}, {5, 300, 600}, {13, 1090, 35}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    for (epilogue e = PLAIN; e < N_EPILOGUES; e++) {
      problem p = problem_new(sizes[i][0], sizes[i][1], sizes[i][2], e);
      check(&p);
      problem_free(&p);
    }
}

/* Tall tiles and what they leave over, panels of half the width, rows in place that lie far apart, close or
 * upon each other's cache sets (k about a multiple of 512), and those copied for it. */
static void test_few_outputs(void **state) {
  (void)state;
  const int64_t rows[] = {12, 13, 23, 24, 25, 36, 37, 48, 61, 99, 203},
                cols[] = {1, 15, 16, 17, 32, 33, 48, 64, 96},
                lengths[] = {1, 27, 147, 255, 508, 512, 577, 1023};
  int turn = 0;
  for (size_t m = 0; m < sizeof rows / sizeof rows[0]; m++)
    for (size_t n = 0; n < sizeof cols / sizeof cols[0]; n++, turn++) {
      problem p = problem_new(rows[m], cols[n], lengths[turn * 5 % 8], (epilogue)(turn / 2 % N_EPILOGUES));
      check(&p);
      problem_free(&p);
    }
}

static double weight(const problem *p, int64_t i) {
  return (double)((const float *)(const void *)p->w.data)[i];
}

/* |d| <= (512 + chunks + 2) eps sum|x w| plus an eps for each epilogue addition: one rounding per step. */
static void test_oracle(void **state) {
  (void)state;
  problem p = problem_new(3, 20, 1300, RESIDUAL);
  float *y = new_output(&p);
  const float *x = (const float *)(const void *)p.x.data, *bias = (const float *)(const void *)p.bias.data;
  const float *residual = (const float *)(const void *)p.residual.data;
  double worst = 0.0;
  product(&p, 0, 1, y);
  for (int64_t m = 0; m < p.m; m++)
    for (int64_t n = 0; n < p.n; n++) {
      double sum = (double)bias[n] + (double)residual[m * p.ldy + n], magnitude = fabs((double)bias[n]);
      magnitude += fabs((double)residual[m * p.ldy + n]);
      for (int64_t k = 0; k < p.k; k++) {
        double term = (double)x[m * p.ldx + k] * weight(&p, n * p.k + k);
        sum += term;
        magnitude += fabs(term);
      }
      double bound = (512.0 + 3.0 + 2.0 + 2.0) * 0x1p-24 * magnitude;
      double error = fabs((double)y[m * p.n + n] - sum);
      assert_true(error <= bound);
      worst = fmax(worst, error / bound);
    }
  assert_true(worst > 0.0);
  free(y);
  problem_free(&p);
}

/* The comparison sees the difference between a fused and an unfused step, and between one chunk of 513 and
 * two. */
static void test_control(void **state) {
  (void)state;
  problem p = problem_new(4, 33, 1000, PLAIN);
  float *y = new_output(&p);
  const float *x = (const float *)(const void *)p.x.data, *w = (const float *)(const void *)p.w.data;
  int64_t unfused_differs = 0, one_chunk_differs = 0;
  product(&p, wh_cpu_features_detect(), 2, y);
  for (int64_t m = 0; m < p.m; m++)
    for (int64_t n = 0; n < p.n; n++) {
      float a = 0.0f, b = 0.0f;
      for (int64_t k = 0; k < p.k; k++) {
        float product_rounded = x[m * p.ldx + k] * w[n * p.k + k];
        a = a + product_rounded;
        b = fmaf(x[m * p.ldx + k], w[n * p.k + k], b);
      }
      unfused_differs += wh_f32_bits(a) != wh_f32_bits(y[m * p.n + n]);
      one_chunk_differs += wh_f32_bits(b) != wh_f32_bits(y[m * p.n + n]);
    }
  assert_true(unfused_differs > 0);
  assert_true(one_chunk_differs > 0);
  free(y);
  problem_free(&p);
}

static void test_not_finite(void **state) {
  (void)state;
  const uint32_t bad[3] = {0x7f800000u, 0xff800000u, 0x7f800001u};
  for (int level = 0; level < 2; level++)
    for (size_t i = 0; i < 3; i++) {
      problem p = problem_new(1, 40, 11, PLAIN);
      wh_linear_layout l;
      guarded packed;
      assert_int_equal(wh_linear_f_layout(level ? WH_CPU_AVX2 : 0, WH_DTYPE_F32, p.n, p.k, &l), WH_OK);
      guarded_new(&packed, l.n_bytes, 0);
      assert_true(wh_linear_f_pack(&l, p.w.data, packed.data, 0, 2));
      memcpy(p.w.data + (39 * 11 + 10) * 4, &bad[i], 4);
      assert_true(wh_linear_f_pack(&l, p.w.data, packed.data, 0, 1));
      assert_false(wh_linear_f_pack(&l, p.w.data, packed.data, 1, 2));
      assert_true(guarded_free(&packed));
      problem_free(&p);
    }
}

/* A row that was packed has the bits of the file's row. */
static void test_unpack(void **state) {
  (void)state;
  problem p = problem_new(1, 77, 131, PLAIN);
  wh_linear_layout l;
  guarded packed;
  assert_int_equal(wh_linear_f_layout(WH_CPU_AVX2, WH_DTYPE_F32, p.n, p.k, &l), WH_OK);
  assert_true(wh_linear_f_pack(&l, p.w.data, guarded_new(&packed, l.n_bytes, 0xee), 0, l.n_panels));
  for (int64_t row = 0; row < p.n; row++) {
    float got[131], want[131];
    wh_linear_f_unpack_row(&l, packed.data, row, got);
    assert_true(wh_dequantize_row(WH_DTYPE_F32, p.w.data + (size_t)(row * p.k) * 4, want, p.k));
    assert_memory_equal(got, want, sizeof got);
  }
  assert_true(guarded_free(&packed));
  problem_free(&p);
}

/* Each kernel is chosen for its needs, and each level of the machine has one of the list. */
static void test_every_kernel_is_reached(void **state) {
  (void)state;
  for (size_t k = 0; k < N_KERNELS; k++)
    assert_true(wh_linear_f_select(kernels[k].needs, WH_DTYPE_F32, NULL) == kernels[k].fn);
  for (int l = 0; l < n_levels; l++) {
    size_t found = 0;
    for (size_t k = 0; k < N_KERNELS; k++)
      found += wh_linear_f_select(levels[l].mask, WH_DTYPE_F32, NULL) == kernels[k].fn;
    assert_int_equal(found, 1);
  }
}

static void test_layout(void **state) {
  (void)state;
  wh_linear_layout l = {.n = -1};
  const char *name = NULL;
  assert_int_equal(wh_linear_f_layout(0, WH_DTYPE_Q8_0, 32, 32, &l), WH_ERR_UNSUPPORTED);
  assert_int_equal(wh_linear_f_layout(0, WH_DTYPE_F16, 32, 32, &l), WH_ERR_UNSUPPORTED);
  assert_null(wh_linear_f_select(0, WH_DTYPE_BF16, NULL));
  assert_int_equal(wh_linear_f_layout(0, WH_DTYPE_F32, 0, 32, &l), WH_ERR_LIMIT);
  assert_int_equal(wh_linear_f_layout(0, WH_DTYPE_F32, 32, INT64_MAX, &l), WH_ERR_LIMIT);
  assert_int_equal(l.n, -1);
  assert_null(wh_linear_f_select(~UINT64_C(0), WH_DTYPE_F64, NULL));
  assert_non_null(wh_linear_f_select(0, WH_DTYPE_F32, &name));
  assert_string_equal(name, "linear_f_ref");
  assert_int_equal(wh_linear_f_layout(WH_CPU_AVX2, WH_DTYPE_F32, 2049, 100, &l), WH_OK);
  assert_int_equal(l.n_bytes, (2048 + 16) * 100 * 4); /* 1.008 of the file's bytes */
  assert_int_equal(l.n_panels, 65);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_layout),      cmocka_unit_test(test_every_kernel_is_reached),
      cmocka_unit_test(test_levels),      cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_few_outputs), cmocka_unit_test(test_oracle),
      cmocka_unit_test(test_control),     cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_unpack),
  };
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
