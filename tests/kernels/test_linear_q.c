/* test_linear_q.c - every product kernel for quantised weights against the reference kernel, bit for bit:
 * every level that this machine has, odd sizes, wild values, one to three workers, guard pages and canaries.
 * The reference itself is held against an independent dequantisation in binary64 by test_linear_q_ref.c. */
#define _DEFAULT_SOURCE /* guarded.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/linear_q_format.h"
#include "backends/cpu/linear_q_kernels.h"
#include "backends/cpu/rowops.h"
#include "tests/kernels/guarded.h"
#include "tests/kernels/levels.h"
#include "tests/kernels/linear_q_fixture.h"

#define CANARY 0x7fa5a5a5u
#define CANARY_ROWS 2
#define N_TEAMS 3

static wh_team *teams[N_TEAMS];    /* of 1, 2 and 3 workers */
static int n_compared[MAX_LEVELS]; /* results of a level's kernels */

/* Kernels by type, from the list that dispatch is made of, and the control. */
typedef struct kernel {
  wh_dtype dtype;
  const char *isa;
  uint64_t needs;
  wh_linear_q_fn fn;
} kernel;
static const kernel KERNELS[] = {
#define WH_KERNEL(type, lower, isa, needs) {WH_DTYPE_##type, #isa, needs, wh_k_linear_##lower##__##isa},
#include "backends/cpu/kernels_linear_q.def"
#undef WH_KERNEL
};
#define N_KERNELS (sizeof KERNELS / sizeof KERNELS[0])

#if defined(__x86_64__) || defined(__aarch64__)
/* linear_q_control.c: the first vector level's template with one operation changed. */
void wh_k_linear_q4_1__control(const wh_linear_q_args *args, const wh_worker *worker);
#endif

/* --- one problem --- */

typedef enum epilogue { PLAIN, BIAS, RESIDUAL, BIAS_AND_ALIAS, N_EPILOGUES } epilogue;

typedef struct problem {
  wh_dtype dtype;
  int64_t m, n, k, ld;
  epilogue tail;
  guarded file, x, bias, residual;
} problem;

static problem make_problem(fixture_rng *rng, wh_dtype dtype, int64_t m, int64_t n, int64_t k,
                            epilogue tail) {
  problem p = {.dtype = dtype, .m = m, .n = n, .k = k, .ld = n + 3, .tail = tail};
  size_t file_bytes = fixture_weight_bytes(dtype, n, k);
  fixture_weights(rng, dtype, n, k, true, guarded_new(&p.file, file_bytes, 0));
  float *x = malloc((size_t)(m * k) * sizeof *x);
  assert_non_null(x);
  for (int64_t r = 0; r < m; r++) {
    const uint32_t kind = fixture_random(rng) % 8;
    const bool zero_row = kind == 0, level_row = kind < 3; /* level: sums of products as large as can be */
    float group_scale = 1.0f, block_scale = 1.0f;
    for (int64_t i = 0; i < k; i++) {
      if (i % 256 == 0) {
        int e = (int)(fixture_random(rng) % 48) - 24;
        group_scale = zero_row ? 0.0f : __builtin_ldexpf(1.0f, fixture_random(rng) % 32 ? e : -120);
      }
      if (i % 32 == 0) {
        block_scale = __builtin_ldexpf(1.0f, -(int)(fixture_random(rng) % 6));
        if (level_row && fixture_random(rng) % 2) block_scale = -block_scale;
      }
      x[r * k + i] = (level_row ? 1.0f : fixture_random_unit(rng)) * group_scale * block_scale;
    }
  }
  fixture_quantize(x, m, k, guarded_new(&p.x, wh_q8a_bytes(m, k), 0));
  free(x);
  float *bias = guarded_new(&p.bias, (size_t)n * sizeof *bias, 0);
  float *residual = guarded_new(&p.residual, (size_t)((m - 1) * p.ld + n) * sizeof *residual, 0);
  for (int64_t i = 0; i < n; i++) bias[i] = fixture_random_unit(rng);
  for (int64_t i = 0; i < (m - 1) * p.ld + n; i++) residual[i] = 1e3f * fixture_random_unit(rng);
  return p;
}

static void free_problem(problem *p) {
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
  if (!wh_linear_q_pack(c->layout, c->src, c->dst, begin, end)) abort(); /* every scale is finite */
}

static void run_kernel(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->fn(c->args, w);
}

/* y with canaries round it: [CANARY_ROWS + m + CANARY_ROWS][ld], of which n columns are outputs. Caller
 * frees. */
static float *compute(const problem *p, uint64_t features, wh_linear_q_fn fn, wh_team *team,
                      wh_cpu_fetch fetch) {
  wh_linear_layout layout;
  assert_int_equal(wh_linear_q_layout(features, p->dtype, p->n, p->k, &layout), WH_OK);
  guarded w;
  call c = {.fn = fn, .layout = &layout, .src = p->file.data, .dst = guarded_new(&w, layout.n_bytes, 0xee)};
  wh_team_run(team, run_pack, &c);

  size_t count = (size_t)((p->m + 2 * CANARY_ROWS) * p->ld);
  uint32_t *bits = malloc(count * sizeof *bits);
  assert_non_null(bits);
  for (size_t i = 0; i < count; i++) bits[i] = CANARY;
  float *y = (float *)(void *)bits + CANARY_ROWS * p->ld;
  wh_linear_q_args args = {.layout = &layout,
                           .w = w.data,
                           .x = p->x.data,
                           .m = p->m,
                           .y = y,
                           .ldy = p->ld,
                           .step = 1,
                           .fetch = fetch};
  guarded scratch;
  const size_t scratch_bytes = wh_linear_q_scratch_bytes(features, &layout, p->m);
  if (scratch_bytes) args.scratch = guarded_new(&scratch, scratch_bytes, 0xcc);
  if (p->tail == BIAS || p->tail == BIAS_AND_ALIAS) args.bias = (const float *)(const void *)p->bias.data;
  if (p->tail == RESIDUAL) args.residual = (const float *)(const void *)p->residual.data;
  args.ldr = p->ld;
  if (p->tail == BIAS_AND_ALIAS) {
    args.residual = y;
    for (int64_t r = 0; r < p->m; r++)
      memcpy(y + r * p->ld, p->residual.data + (size_t)(r * p->ld) * sizeof *y, (size_t)p->n * sizeof *y);
  }
  c.args = &args;
  wh_team_run(team, run_kernel, &c);
  assert_true(guarded_free(&w));
  if (scratch_bytes) assert_true(guarded_free(&scratch));

  for (int64_t r = 0; r < p->m + 2 * CANARY_ROWS; r++) {
    bool outside = r < CANARY_ROWS || r >= p->m + CANARY_ROWS;
    for (int64_t i = outside ? 0 : p->n; i < p->ld; i++)
      if (bits[r * p->ld + i] != CANARY)
        fail_msg("%s m%d n%d k%d: written outside the result, row %d column %d", wh_dtype_name(p->dtype),
                 (int)p->m, (int)p->n, (int)p->k, (int)r - CANARY_ROWS, (int)i);
  }
  return (float *)(void *)bits;
}

/* The number of differing outputs; the first one in *at. */
static int64_t differences(const problem *p, const float *a, const float *b, int64_t *at) {
  int64_t count = 0, n = (p->m + 2 * CANARY_ROWS) * p->ld;
  for (int64_t i = 0; i < n; i++)
    if (memcmp(a + i, b + i, sizeof *a) && count++ == 0) *at = i;
  return count;
}

#define FEW_ROWS 4 /* up to here kernels have several ways to ask for weights: the bits are the same */

static void check_problem(const problem *p, uint64_t available, int n_workers) {
  const kernel *ref = NULL;
  for (size_t i = 0; i < N_KERNELS && !ref; i++)
    if (KERNELS[i].dtype == p->dtype && strcmp(KERNELS[i].isa, "ref") == 0) ref = &KERNELS[i];
  assert_non_null(ref);
  float *want = compute(p, 0, ref->fn, teams[0], WH_CPU_FETCH);
  for (size_t i = 0; i < N_KERNELS; i++) {
    const kernel *k = &KERNELS[i];
    if (k->dtype != p->dtype || (k->needs & ~available)) continue;
    for (int fetch = WH_CPU_FETCH; fetch <= (p->m <= FEW_ROWS ? WH_CPU_FETCH_NEAR : WH_CPU_FETCH); fetch++) {
      float *got = compute(p, k->needs, k->fn, teams[n_workers - 1], (wh_cpu_fetch)fetch);
      for (int l = 0; l < n_levels; l++) n_compared[l] += strcmp(levels[l].name, k->isa) == 0;
      int64_t at = 0, count = differences(p, want, got, &at);
      if (count)
        fail_msg(
            "%s %s m%d n%d k%d tail%d, fetch %d, %d workers: %d of %d differ, first at row %d column %d: %a, "
            "want "
            "%a",
            wh_dtype_name(p->dtype), k->isa, (int)p->m, (int)p->n, (int)p->k, (int)p->tail, fetch, n_workers,
            (int)count, (int)(p->m * p->n), (int)(at / p->ld) - CANARY_ROWS, (int)(at % p->ld),
            (double)got[at], (double)want[at]);
      free(got);
    }
  }
  free(want);
}

/* --- tests --- */

static const int64_t MS[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 63, 64, 65, 130};
static const int64_t NS[] = {1, 15, 16, 31, 32, 33, 64, 120, 150, 192, 290};
static const int64_t KS[] = {32, 64, 288, 576, 1536, 2048}, KS_SUPER[] = {256, 512, 768, 1536, 2048};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Every m with every n; k, the epilogue and the number of workers go round at coprime steps. */
static void test_type(void **state) {
  wh_dtype dtype = *(const wh_dtype *)*state;
  const bool super = wh_dtype_get(dtype)->block_elems == 256;
  const int64_t *ks = super ? KS_SUPER : KS;
  size_t n_ks = super ? COUNT(KS_SUPER) : COUNT(KS), turn = 0;
  uint64_t available = test_features();
  fixture_rng rng = {0x9e3779b97f4a7c15ull + (uint64_t)dtype};
  for (size_t i = 0; i < COUNT(MS); i++)
    for (size_t j = 0; j < COUNT(NS); j++, turn++) {
      int64_t k = ks[(turn + i) % n_ks];
      if (MS[i] * NS[j] * k > 6000000) k = ks[turn % 3]; /* keeps the whole test at seconds */
      problem p = make_problem(&rng, dtype, MS[i], NS[j], k, (epilogue)(turn % N_EPILOGUES));
      check_problem(&p, available, (int)(turn % N_TEAMS) + 1);
      if (MS[i] <= 4) check_problem(&p, available, 1); /* all panels side by side */
      free_problem(&p);
    }
}

/* A task of more rows than a panel call of the tile unit takes. */
static void test_tall(void **state) {
  (void)state;
  static const wh_dtype types[] = {WH_DTYPE_Q4_0, WH_DTYPE_Q5_1, WH_DTYPE_Q2_K, WH_DTYPE_Q4_K};
  const uint64_t available = test_features();
  fixture_rng rng = {13};
  for (size_t i = 0; i < COUNT(types); i++) {
    const int64_t k = wh_dtype_get(types[i])->block_elems == 256 ? 256 : 64;
    problem p = make_problem(&rng, types[i], 600, 192, k, RESIDUAL);
    check_problem(&p, available, 1);
    free_problem(&p);
  }
}

static void test_dispatch(void **state) {
  (void)state;
  for (size_t i = 0; i < N_KERNELS; i++) {
    const char *name = NULL;
    wh_linear_q_fn fn = wh_linear_q_select(KERNELS[i].needs, KERNELS[i].dtype, &name);
    char want[64];
    snprintf(want, sizeof want, "linear_%s__%s", wh_dtype_name(KERNELS[i].dtype), KERNELS[i].isa);
    assert_string_equal(name, want);
    assert_true(fn == KERNELS[i].fn);
  }
  assert_null(wh_linear_q_select(~0ull, WH_DTYPE_F32, NULL));
}

static void test_layout(void **state) {
  (void)state;
  wh_linear_layout l = {.id = 77};
  assert_int_equal(wh_linear_q_layout(0, WH_DTYPE_F32, 32, 32, &l), WH_ERR_UNSUPPORTED);
  assert_int_equal(wh_linear_q_layout(0, WH_DTYPE_Q4_0, 32, 48, &l), WH_ERR_UNSUPPORTED);
  assert_int_equal(wh_linear_q_layout(0, WH_DTYPE_Q4_K, 32, 288, &l), WH_ERR_UNSUPPORTED);
  assert_int_equal(wh_linear_q_layout(0, WH_DTYPE_Q4_0, 0, 32, &l), WH_ERR_LIMIT);
  assert_int_equal(wh_linear_q_layout(0, WH_DTYPE_Q4_0, INT64_C(1) << 40, 32, &l), WH_ERR_LIMIT);
  assert_int_equal(l.id, 77);
  /* Packing may not cost more than 8 % over the file, so that decoding reads hardly more bytes. */
  for (size_t i = 0; i < N_KERNELS; i++) {
    assert_int_equal(wh_linear_q_layout(KERNELS[i].needs, KERNELS[i].dtype, 2048, 2048, &l), WH_OK);
    assert_true((double)l.n_bytes <= 1.08 * (double)fixture_weight_bytes(KERNELS[i].dtype, 2048, 2048));
    assert_true((size_t)l.n_panels * l.panel_bytes <= l.n_bytes);
  }
}

/* A scale that is not finite is reported from either layout, whichever column, block or field it is in. */
static void test_not_finite(void **state) {
  (void)state;
  fixture_rng rng = {7};
  for (size_t i = 0; i < N_KERNELS; i++) {
    wh_dtype dtype = KERNELS[i].dtype;
    const wh_dtype_info *info = wh_dtype_get(dtype);
    uint64_t features = KERNELS[i].needs;
    wh_linear_layout l;
    assert_int_equal(wh_linear_q_layout(features, dtype, 33, 512, &l), WH_OK);
    size_t bytes = fixture_weight_bytes(dtype, 33, 512);
    uint8_t *file = malloc(bytes), *packed = aligned_alloc(64, (l.n_bytes + 63) / 64 * 64);
    assert_non_null(file);
    assert_non_null(packed);
    fixture_weights(&rng, dtype, 33, 512, false, file);
    assert_true(wh_linear_q_pack(&l, file, packed, 0, l.n_panels));
    int at = 0;
    switch (dtype) {
      case WH_DTYPE_Q2_K:
        at = 82;
        break;
      case WH_DTYPE_Q3_K:
        at = 108;
        break;
      case WH_DTYPE_Q6_K:
        at = 208;
        break;
      case WH_DTYPE_Q4_1:
      case WH_DTYPE_Q5_1:
      case WH_DTYPE_Q4_K:
      case WH_DTYPE_Q5_K:
        at = 2;
        break;
      default:
        break;
    }
    uint8_t *last = file + bytes - info->block_bytes;
    if (dtype == WH_DTYPE_MXFP4) {
      last[0] = 255;
    } else {
      last[at] = 0;
      last[at + 1] = 0x7c;
    }
    assert_true(wh_linear_q_pack(&l, file, packed, 0, 1));
    assert_false(wh_linear_q_pack(&l, file, packed, 1, 2));
    free(file);
    free(packed);
  }
}

/* A row that was packed has the bits of the file's row. */
static void test_unpack(void **state) {
  (void)state;
  enum { N = 47, K_MAX = 768 };
  fixture_rng rng = {5};
  for (size_t i = 0; i < N_KERNELS; i++) {
    if (KERNELS[i].needs != 0) continue; /* one per type; packing needs no instruction set */
    const wh_dtype dtype = KERNELS[i].dtype;
    const bool super = wh_dtype_get(dtype)->block_elems == 256;
    const int64_t k = super ? K_MAX : 288; /* the second: a short last group */
    const size_t file_bytes = fixture_weight_bytes(dtype, N, k);
    wh_linear_layout l;
    guarded file, packed;
    fixture_weights(&rng, dtype, N, k, true, guarded_new(&file, file_bytes, 0));
    assert_int_equal(wh_linear_q_layout(WH_CPU_AVX2, dtype, N, k, &l), WH_OK);
    assert_true(wh_linear_q_pack(&l, file.data, guarded_new(&packed, l.n_bytes, 0xee), 0, l.n_panels));
    for (int64_t row = 0; row < N; row++) {
      float got[K_MAX], want[K_MAX];
      wh_linear_q_unpack_row(&l, packed.data, row, got);
      assert_true(wh_dequantize_row(dtype, file.data + (size_t)row * (file_bytes / N), want, k));
      if (memcmp(got, want, (size_t)k * sizeof *got) != 0)
        fail_msg("%s: row %d differs", wh_dtype_name(dtype), (int)row);
    }
    assert_true(guarded_free(&file) & guarded_free(&packed));
  }
}

/* Proof that the comparison can fail: a kernel with one fused operation split in two is caught. */
static void test_control(void **state) {
  (void)state;
#if defined(__x86_64__) || defined(__aarch64__)
  const uint64_t features = wh_cpu_features_detect() & WH_CPU_VECTORS;
  if (!features) skip();
  fixture_rng rng = {11};
  problem p = make_problem(&rng, WH_DTYPE_Q4_1, 17, 64, 576, PLAIN);
  float *want = compute(&p, 0, wh_k_linear_q4_1__ref, teams[0], WH_CPU_FETCH);
  float *got = compute(&p, features, wh_k_linear_q4_1__control, teams[0], WH_CPU_FETCH);
  int64_t at = 0;
  assert_true(differences(&p, want, got, &at) > 0);
  free(want);
  free(got);
  free_problem(&p);
#else
  skip();
#endif
}

static int every_level_ran(void **state) {
  (void)state;
  for (int l = 1; l < n_levels; l++) {
    print_message("level %s: %d results compared\n", levels[l].name, n_compared[l]);
    if (n_compared[l] == 0) return -1;
  }
  return 0;
}

int main(void) {
#define TYPE_TEST(type, lower, ...) {WH_DTYPE_##type, #lower},
  static const struct {
    wh_dtype dtype;
    const char *name;
  } TYPES[] = {WH_QUANT_FORMATS(TYPE_TEST)};
#undef TYPE_TEST
  enum { N_OTHERS = 6 };
  struct CMUnitTest tests[N_OTHERS + COUNT(TYPES)] = {
      cmocka_unit_test(test_dispatch), cmocka_unit_test(test_layout),  cmocka_unit_test(test_not_finite),
      cmocka_unit_test(test_unpack),   cmocka_unit_test(test_control), cmocka_unit_test(test_tall)};
  for (size_t i = 0; i < COUNT(TYPES); i++) {
    static wh_dtype dtypes[COUNT(TYPES)];
    dtypes[i] = TYPES[i].dtype;
    tests[N_OTHERS + i] = (struct CMUnitTest){TYPES[i].name, test_type, NULL, NULL, &dtypes[i]};
  }
  for (int i = 0; i < N_TEAMS; i++)
    if (wh_team_create(i + 1, NULL, wh_allocator_default(), &teams[i]) != WH_OK) return 1;
  int failed = cmocka_run_group_tests(tests, find_levels, every_level_ran);
  for (int i = 0; i < N_TEAMS; i++) wh_team_destroy(teams[i]);
  return failed;
}
