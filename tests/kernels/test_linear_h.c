/* test_linear_h.c - products with 16-bit weights: every kernel gives the reference's bits for any size,
 * epilogue and team, and for values at the limits of the codes; the reference agrees with binary64 within the
 * bound that docs/NUMERICS.md states; packing refuses what is not finite. */
#include "tests/kernels/guarded.h" /* first */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends/cpu/linear_h_format.h"
#include "backends/cpu/rowops.h"
#include "core/base/exact_math.h"
#include "tests/kernels/levels.h"

#define CANARY 0x7fa5a5a5u
#define N_TEAMS 3
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static wh_team *teams[N_TEAMS]; /* of 1, 2 and 3 workers */
static const wh_worker alone = {0, 1, NULL};

/* Every kernel of the list that dispatch is made of; the reference is the first. */
static const struct kernel {
  const char *isa;
  uint64_t needs;
  wh_linear_q_fn fn;
} kernels[] = {
#define WH_LINEAR_H_KERNEL(isa, needs) {#isa, needs, wh_k_linear_h__##isa},
#include "backends/cpu/kernels_linear_h.def"
#undef WH_LINEAR_H_KERNEL
};

static uint32_t seed = 1;
static uint32_t next_random(void) {
  seed = seed * 1664525u + 1013904223u;
  return seed >> 8;
}
static float unit(void) { return ((float)next_random() - 8388607.5f) / 8388608.0f; }

/* What rows of activations and weights hold. */
typedef enum fill {
  ORDINARY,
  MIXED,   /* zeros of both signs, large and tiny values */
  ONE_BIG, /* a value per block that leaves the others a code or none */
  LIMITS,  /* all codes at the limit, of one sign or the other: the largest dots */
  NOTHING, /* zeros, and below 2^-100 */
  N_FILLS
} fill;

static float value(fill f, int64_t k) {
  const float x = unit();
  switch (f) {
    case MIXED: {
      static const float by[] = {0.0f, -0.0f, 1000.0f, 0x1p-20f, 0x1p-130f};
      const uint32_t which = next_random() % 64;
      return which < COUNT(by) ? x * by[which] : x;
    }
    case ONE_BIG:
      return k % 128 == 77 ? 3e4f * x : x;
    case LIMITS:
      return (k / 128) % 3 == 2 && next_random() % 2 ? -1.0f : 1.0f;
    case NOTHING:
      return next_random() % 2 ? x * 0x1p-110f : 0.0f;
    default:
      return x;
  }
}

typedef enum epilogue { PLAIN, BIAS, RESIDUAL, BIAS_IN_PLACE, N_EPILOGUES } epilogue;

typedef struct problem {
  wh_dtype dtype;
  int64_t m, n, k, ld;
  epilogue tail;
  guarded file, x, bias, residual;
  float *floats; /* x before it is quantised */
} problem;

static float weight_of(const problem *p, int64_t i) {
  const uint16_t h = ((const uint16_t *)(const void *)p->file.data)[i];
  return p->dtype == WH_DTYPE_F16 ? wh_f32_from_f16(h) : wh_f32_from_bf16(h);
}

static void quantize(const problem *p, void *q13a) {
  wh_rowops ref;
  wh_rowops_select(0, &ref);
  ref.quantize_wide(&(wh_quantize_wide_args){p->m, p->k, p->k, p->floats, q13a}, &alone);
}

static problem problem_new(wh_dtype dtype, int64_t m, int64_t n, int64_t k, epilogue tail, fill f) {
  problem p = {.dtype = dtype, .m = m, .n = n, .k = k, .ld = n + m % 4, .tail = tail};
  uint16_t *w = guarded_new(&p.file, (size_t)(n * k) * 2, 0);
  for (int64_t i = 0; i < n * k; i++) {
    const float v = value(f, i % k);
    w[i] = dtype == WH_DTYPE_F16 ? wh_f16_from_f32(v) : (uint16_t)(wh_f32_bits(v) >> 16);
  }
  p.floats = malloc((size_t)(m * k) * sizeof *p.floats);
  assert_non_null(p.floats);
  for (int64_t i = 0; i < m * k; i++) p.floats[i] = value(f, i % k);
  quantize(&p, guarded_new(&p.x, wh_q13a_bytes(m, k), 0xee));
  float *bias = guarded_new(&p.bias, (size_t)n * sizeof *bias, 0);
  float *residual = guarded_new(&p.residual, (size_t)((m - 1) * p.ld + n) * sizeof *residual, 0);
  for (int64_t i = 0; i < n; i++) bias[i] = unit();
  for (int64_t i = 0; i < (m - 1) * p.ld + n; i++) residual[i] = 1e3f * unit();
  return p;
}

static void problem_free(problem *p) {
  free(p->floats);
  assert_true(guarded_free(&p->file) & guarded_free(&p->x) & guarded_free(&p->bias) &
              guarded_free(&p->residual));
}

typedef struct call {
  wh_linear_q_fn fn;
  const wh_linear_q_args *args;
  const wh_linear_layout *layout;
  const void *src;
  void *dst;
} call;

static void run_pack(void *arg, const wh_worker *w) {
  const call *c = arg;
  int64_t begin, end;
  wh_worker_range(w, c->layout->n_panels, &begin, &end);
  if (!wh_linear_h_pack(c->layout, c->src, c->dst, begin, end)) abort();
}
static void run_product(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->fn(c->args, w);
}

/* y[m][ld], which must end where the result does and keep its gaps. */
static void compute(const problem *p, const struct kernel *kernel, wh_linear_q_fn fn, wh_team *team,
                    wh_cpu_fetch fetch, guarded *out) {
  wh_linear_layout layout;
  guarded w;
  assert_int_equal(wh_linear_h_layout(kernel->needs, p->dtype, p->n, p->k, &layout), WH_OK);
  call c = {.fn = fn, .layout = &layout, .src = p->file.data, .dst = guarded_new(&w, layout.n_bytes, 0xee)};
  wh_team_run(team, run_pack, &c);
  const size_t count = (size_t)((p->m - 1) * p->ld + p->n);
  float *y = guarded_new(out, count * sizeof *y, 0);
  const uint32_t canary = CANARY;
  for (size_t i = 0; i < count; i++) memcpy(&y[i], &canary, sizeof canary);
  wh_linear_q_args args = {.layout = &layout,
                           .w = w.data,
                           .x = p->x.data,
                           .m = p->m,
                           .y = y,
                           .ldy = p->ld,
                           .ldr = p->ld,
                           .step = 1,
                           .fetch = fetch};
  guarded scratch;
  const size_t scratch_bytes = wh_linear_h_scratch_bytes(kernel->needs, &layout, p->m);
  if (scratch_bytes) args.scratch = guarded_new(&scratch, scratch_bytes, 0xcc);
  if (p->tail == BIAS || p->tail == BIAS_IN_PLACE) args.bias = (const float *)(const void *)p->bias.data;
  if (p->tail == RESIDUAL) args.residual = (const float *)(const void *)p->residual.data;
  if (p->tail == BIAS_IN_PLACE) {
    args.residual = y;
    for (int64_t r = 0; r < p->m; r++)
      memcpy(y + r * p->ld, p->residual.data + (size_t)(r * p->ld) * sizeof *y, (size_t)p->n * sizeof *y);
  }
  c.args = &args;
  wh_team_run(team, run_product, &c);
  if (scratch_bytes) assert_true(guarded_free(&scratch));
  for (size_t i = 0; i < count; i++)
    if ((int64_t)i % p->ld >= p->n && memcmp(&y[i], &canary, sizeof canary) != 0)
      fail_msg("%s: written between the rows", kernel->isa);
  assert_true(guarded_free(&w));
}

static void check_problem(const problem *p, int workers, const char *what) {
  guarded want, got;
  compute(p, &kernels[0], kernels[0].fn, teams[0], WH_CPU_FETCH, &want);
  for (size_t i = 1; i < COUNT(kernels); i++) {
    if (kernels[i].needs & ~test_features()) continue;
    for (int fetch = WH_CPU_FETCH; fetch <= WH_CPU_FETCH_NEAR; fetch++) {
      compute(p, &kernels[i], kernels[i].fn, teams[workers - 1], (wh_cpu_fetch)fetch, &got);
      for (size_t j = 0; j < want.bytes / 4; j++)
        if (memcmp(want.data + j * 4, got.data + j * 4, 4) != 0)
          fail_msg("%s %s m%d n%d k%d, %s, %d workers: row %d column %d is not the reference's",
                   wh_dtype_name(p->dtype), kernels[i].isa, (int)p->m, (int)p->n, (int)p->k, what, workers,
                   (int)j / (int)p->ld, (int)j % (int)p->ld);
      assert_true(guarded_free(&got));
    }
  }
  assert_true(guarded_free(&want));
}

/* --- tests --- */

static void test_sizes(void **state) {
  (void)state;
  static const int64_t ms[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 16, 27, 63, 64, 65, 130};
  static const int64_t ns[] = {1, 15, 32, 33, 64, 120, 150, 290};
  static const int64_t ks[] = {1, 7, 64, 127, 128, 129, 300, 576, 1544};
  size_t turn = 0;
  for (size_t i = 0; i < COUNT(ms); i++)
    for (size_t j = 0; j < COUNT(ns); j++)
      for (size_t l = 0; l < COUNT(ks); l++, turn++) {
        if (turn % 7 && ms[i] * ns[j] * ks[l] > 200000) continue; /* keeps the whole test at seconds */
        problem p = problem_new(turn % 2 ? WH_DTYPE_F16 : WH_DTYPE_BF16, ms[i], ns[j], ks[l],
                                (epilogue)(turn / 2 % N_EPILOGUES), turn % 5 ? ORDINARY : MIXED);
        check_problem(&p, (int)(turn % N_TEAMS) + 1, "any size");
        problem_free(&p);
      }
}

static void test_limits(void **state) {
  (void)state;
  static const char *const names[] = {"ordinary", "mixed", "one big value", "codes at the limit", "nothing"};
  for (fill f = ORDINARY; f < N_FILLS; f++)
    for (int half = 0; half < 2; half++) {
      problem p = problem_new(half ? WH_DTYPE_F16 : WH_DTYPE_BF16, 17, 40, 700, PLAIN, f);
      check_problem(&p, 1, names[f]);
      problem_free(&p);
    }
  /* The largest dot, 128 * 4095^2, is there, and has not wrapped. */
  problem p = problem_new(WH_DTYPE_F16, 1, 1, 128, PLAIN, LIMITS);
  guarded y;
  compute(&p, &kernels[0], kernels[0].fn, teams[0], WH_CPU_FETCH, &y);
  const float s = 1.0f / 4095.0f;
  assert_true(*(const float *)(const void *)y.data == (s * s) * (float)(128 * 4095 * 4095));
  assert_true(guarded_free(&y));
  problem_free(&p);
}

/* One value that is not finite makes its row NaN, and no other. */
static void test_not_finite_activations(void **state) {
  (void)state;
  static const float in[] = {NAN, INFINITY, -INFINITY};
  enum { M = 15, N = 33, K = 300 };
  for (size_t v = 0; v < COUNT(in); v++)
    for (size_t i = 0; i < COUNT(kernels); i++) {
      if (kernels[i].needs & ~test_features()) continue;
      problem p = problem_new(WH_DTYPE_BF16, M, N, K, PLAIN, ORDINARY);
      guarded before, after;
      compute(&p, &kernels[i], kernels[i].fn, teams[0], WH_CPU_FETCH, &before);
      p.floats[4 * K + 7 + (int64_t)(v * 140)] = in[v];
      quantize(&p, p.x.data);
      compute(&p, &kernels[i], kernels[i].fn, teams[0], WH_CPU_FETCH, &after);
      for (int64_t r = 0; r < M; r++)
        for (int64_t c = 0; c < N; c++) {
          const int64_t at = r * p.ld + c;
          const float *b = (const float *)(const void *)before.data,
                      *a = (const float *)(const void *)after.data;
          if (r == 4 ? !isnan(a[at]) : memcmp(&a[at], &b[at], sizeof *a) != 0)
            fail_msg("%s: row %d column %d", kernels[i].isa, (int)r, (int)c);
        }
      assert_true(guarded_free(&before) & guarded_free(&after));
      problem_free(&p);
    }
}

/* Against binary64: every value is off by at most half a code of its block, and the fp32 steps round. */
static void test_error_bound(void **state) {
  (void)state;
  enum { M = 5, N = 9, K = 1000 };
  for (fill f = ORDINARY; f < N_FILLS; f++) {
    problem p = problem_new(f % 2 ? WH_DTYPE_F16 : WH_DTYPE_BF16, M, N, K, PLAIN, f);
    guarded y;
    double worst = 0.0;
    compute(&p, &kernels[0], kernels[0].fn, teams[0], WH_CPU_FETCH, &y);
    for (int64_t r = 0; r < M; r++)
      for (int64_t c = 0; c < N; c++) {
        double sum = 0.0, magnitude = 0.0, bound = 0x1p-190;
        for (int64_t from = 0; from < K; from += 128) {
          const int64_t to = from + 128 < K ? from + 128 : K;
          double top_x = 0x1p-100, top_w = 0x1p-100; /* below, everything is zero */
          for (int64_t k = from; k < to; k++) {
            top_x = fmax(top_x, fabs((double)p.floats[r * K + k]));
            top_w = fmax(top_w, fabs((double)weight_of(&p, c * K + k)));
          }
          /* A block of zeros loses what it held. */
          const double off_x = top_x > 0x1p-100 ? top_x / 8190 : top_x,
                       off_w = top_w > 0x1p-100 ? top_w / 8190 : top_w;
          for (int64_t k = from; k < to; k++) {
            const double x = (double)p.floats[r * K + k], w = (double)weight_of(&p, c * K + k);
            sum += x * w;
            magnitude += fabs(x * w);
            bound += fabs(x) * off_w + fabs(w) * off_x + off_x * off_w;
          }
        }
        bound = bound * 1.001 + 1e-5 * magnitude;
        const double error = fabs((double)((const float *)(const void *)y.data)[r * p.ld + c] - sum);
        if (!(error <= bound)) fail_msg("fill %d: off by %g, at most %g", f, error, bound);
        worst = fmax(worst, error / bound);
      }
    if (f == ORDINARY) assert_true(worst > 0.001); /* the bound is one that could be missed */
    assert_true(guarded_free(&y));
    problem_free(&p);
  }
}

static void test_dispatch_and_layout(void **state) {
  (void)state;
  wh_linear_layout l = {.id = 77};
  for (size_t i = 0; i < COUNT(kernels); i++) {
    const char *name = NULL;
    char want[64];
    (void)snprintf(want, sizeof want, "linear_h__%s", kernels[i].isa);
    assert_true(wh_linear_h_select(kernels[i].needs, WH_DTYPE_F16, &name) == kernels[i].fn);
    assert_string_equal(name, want);
  }
  assert_null(wh_linear_h_select(~0ull, WH_DTYPE_F32, NULL));
  assert_int_equal(wh_linear_h_layout(0, WH_DTYPE_F32, 32, 32, &l), WH_ERR_UNSUPPORTED);
  assert_int_equal(wh_linear_h_layout(0, WH_DTYPE_F16, 0, 32, &l), WH_ERR_LIMIT);
  assert_int_equal(wh_linear_h_layout(0, WH_DTYPE_BF16, 32, INT64_C(1) << 40, &l), WH_ERR_LIMIT);
  assert_int_equal(l.id, 77);
  /* Decoding reads hardly more than the file has. */
  assert_int_equal(wh_linear_h_layout(WH_CPU_AVX2, WH_DTYPE_F16, 2048, 2048, &l), WH_OK);
  assert_true((double)l.n_bytes <= 1.016 * 2048 * 2048 * 2);
}

static void test_not_finite_weights(void **state) {
  (void)state;
  for (int half = 0; half < 2; half++)
    for (int packed = 0; packed < 2; packed++)
      for (int sign = 0; sign < 2; sign++)
        for (int is_nan = 0; is_nan < 2; is_nan++) {
          problem p = problem_new(half ? WH_DTYPE_F16 : WH_DTYPE_BF16, 1, 40, 200, PLAIN, ORDINARY);
          wh_linear_layout l;
          guarded w;
          assert_int_equal(wh_linear_h_layout(packed ? WH_CPU_AVX2 : 0, p.dtype, p.n, p.k, &l), WH_OK);
          guarded_new(&w, l.n_bytes, 0);
          assert_true(wh_linear_h_pack(&l, p.file.data, w.data, 0, 2));
          const uint16_t bad = (uint16_t)((half ? 0x7c00 : 0x7f80) + is_nan + sign * 0x8000);
          memcpy(p.file.data + (37 * 200 + 199) * 2, &bad, 2);
          assert_true(wh_linear_h_pack(&l, p.file.data, w.data, 0, 1));
          assert_false(wh_linear_h_pack(&l, p.file.data, w.data, 1, 2));
          assert_true(guarded_free(&w));
          problem_free(&p);
        }
}

/* Packing widens f16 in its own way: every finite value, as the largest of its block, keeps its sign and
 * scale. */
static void test_every_f16(void **state) {
  (void)state;
  wh_linear_layout l;
  assert_int_equal(wh_linear_h_layout(WH_CPU_AVX2, WH_DTYPE_F16, 1, 1, &l), WH_OK);
  _Alignas(64) uint8_t panel[WH_LINEAR_H_SCALE_BYTES + WH_LINEAR_H_STEP * WH_LINEAR_H_PAIR_BYTES];
  assert_int_equal(l.n_bytes, sizeof panel);
  for (uint32_t h = 0; h < 0x10000; h++) {
    const uint16_t file = (uint16_t)h;
    const float x = wh_f32_from_f16(file), top = fabsf(x) / 4095.0f;
    float scale;
    int16_t code;
    assert_true(wh_linear_h_pack(&l, &file, panel, 0, 1) == (bool)isfinite(x));
    memcpy(&scale, panel, sizeof scale);
    memcpy(&code, panel + WH_LINEAR_H_SCALE_BYTES, sizeof code);
    if (!isfinite(x)) continue;
    if (scale != top || code != (x == 0.0f ? 0 : x < 0 ? -4095 : 4095))
      fail_msg("%04x: %a, %d", h, scale, code);
  }
}

/* Rows of weights of all magnitudes, of zeros, of the smallest ones, and with one that is not finite. */
static void fill_rows(uint16_t *w, wh_dtype dtype, int64_t n, int64_t k, bool bad) {
  const uint16_t infinite = dtype == WH_DTYPE_F16 ? 0x7c00 : 0x7f80;
  uint32_t rng = 7;
  for (int64_t r = 0; r < n; r++)
    for (int64_t i = 0; i < k; i++) {
      const uint16_t bits = (uint16_t)((rng = rng * 1664525u + 1013904223u) >> 16), sign = bits & 0x8000;
      w[r * k + i] = r % 8 == 3                   ? sign
                     : r % 8 == 5                 ? (uint16_t)(sign | (bits & 3))
                     : (bits & 0x7fff) < infinite ? bits
                                                  : (uint16_t)(bits & ~infinite);
    }
  if (bad) w[(n - 1) * k / 2] = infinite;
}

/* Every instruction set's packing gives the same bytes. */
static void test_packing_is_one(void **state) {
  (void)state;
  static const uint64_t masks[] = {WH_CPU_NEON, WH_CPU_AVX2, WH_CPU_AVX2 | WH_CPU_AVX512};
  static const int64_t sizes[][2] = {{32, 128}, {64, 384}, {70, 300}, {33, 1000}};
  for (size_t s = 0; s < COUNT(sizes); s++)
    for (int half = 0; half < 2; half++)
      for (int bad = 0; bad < 2; bad++) {
        const wh_dtype dtype = half ? WH_DTYPE_F16 : WH_DTYPE_BF16;
        const int64_t n = sizes[s][0], k = sizes[s][1];
        guarded src, want = {.data = NULL};
        guarded_new(&src, (size_t)(n * k) * 2, 0);
        fill_rows((uint16_t *)src.data, dtype, n, k, bad);
        for (size_t i = 0; i < COUNT(masks); i++) {
          const uint64_t simd = WH_CPU_AVX2 | WH_CPU_AVX512;
          if (masks[i] & simd & ~wh_cpu_features_detect()) continue;
          wh_linear_layout l;
          guarded got;
          assert_int_equal(wh_linear_h_layout(masks[i], dtype, n, k, &l), WH_OK);
          guarded_new(&got, l.n_bytes, 0);
          assert_true(wh_linear_h_pack(&l, src.data, got.data, 0, l.n_panels) == !bad);
          if (!want.data) {
            want = got;
            continue;
          }
          assert_memory_equal(got.data, want.data, l.n_bytes);
          assert_true(guarded_free(&got));
        }
        assert_true(guarded_free(&want) & guarded_free(&src));
      }
}

#if defined(__x86_64__)
/* linear_h_control.c: the AVX2 template with one operation changed. */
void wh_k_linear_h__control(const wh_linear_q_args *args, const wh_worker *worker);
#endif

/* Proof that the comparison can fail: a kernel with one fused operation split in two is caught. */
static void test_control(void **state) {
  (void)state;
#if defined(__x86_64__)
  if (!(wh_cpu_features_detect() & WH_CPU_AVX2)) skip();
  const struct kernel control = {"control", WH_CPU_AVX2, wh_k_linear_h__control};
  problem p = problem_new(WH_DTYPE_F16, 17, 64, 576, PLAIN, ORDINARY);
  guarded want, got;
  compute(&p, &kernels[0], kernels[0].fn, teams[0], WH_CPU_FETCH, &want);
  compute(&p, &control, control.fn, teams[0], WH_CPU_FETCH, &got);
  assert_memory_not_equal(want.data, got.data, want.bytes);
  assert_true(guarded_free(&want) & guarded_free(&got));
  problem_free(&p);
#else
  skip();
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dispatch_and_layout),
      cmocka_unit_test(test_not_finite_weights),
      cmocka_unit_test(test_every_f16),
      cmocka_unit_test(test_packing_is_one),
      cmocka_unit_test(test_control),
      cmocka_unit_test(test_error_bound),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_not_finite_activations),
      cmocka_unit_test(test_sizes),
  };
  for (int i = 0; i < N_TEAMS; i++)
    if (wh_team_create(i + 1, NULL, NULL, &teams[i]) != WH_OK) return 1;
  const int failed = cmocka_run_group_tests(tests, find_levels, NULL);
  for (int i = 0; i < N_TEAMS; i++) wh_team_destroy(teams[i]);
  return failed;
}
