/* What sm_90a adds, on the emulator: products of a warpgroup against a plain product, and every planted bug
 * under its name in every order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "tests/cuda/emulator.h"

enum { ROWS = 64, TOKENS = 16, STEPS = 5, K = STEPS * 16, STAGE = TOKENS * 32 };

static const char *const orders[] = {"seed=0", "seed=1", "seed=77", "seed=123456789"};
enum { N_ORDERS = sizeof orders / sizeof *orders };

static CUmodule hopper;

static int open_emulator(void **unused) {
  (void)unused;
  emulator_open();
  assert_int_equal(cu.set("strict=1"), 0);
  hopper = emulator_module("hopper.ptx");
  return 0;
}

static int close_emulator(void **unused) {
  (void)unused;
  cu.clear();
  assert_false(cu.set("seed=0,strict=0") || cu.module_unload(hopper) || cu.context_release(0));
  emulator_expect_none();
  return 0;
}

/* ---- operands ---- */

static uint32_t state = 1;
static int random_code(int most) {
  state = state * 1664525u + 1013904223u;
  return (int)(state >> 8) % (2 * most + 1) - most;
}

/* The binary16 of a whole number below 2048. */
static uint16_t half_of(int v) {
  const unsigned sign = v < 0 ? 0x8000u : 0, size = (unsigned)(v < 0 ? -v : v);
  if (!size) return 0;
  const unsigned top = 31u - (unsigned)__builtin_clz(size);
  return (uint16_t)(sign | (top + 15) << 10 | ((size << 10 >> top) & 1023));
}

/* Where 16 bytes of a row lie: [half][rows / 8][8][16 bytes]. */
static size_t piece_at(size_t rows, size_t row, size_t half) {
  return (half * (rows / 8) + row / 8) * 128 + row % 8 * 16;
}

/* y = a b' of halves: a in rows of K, b packed a step after another. */
typedef struct {
  uint16_t a[ROWS][K];
  uint8_t b[STEPS][STAGE];
  float y[ROWS][TOKENS];
} halves;

static void make_halves(halves *m, int most_a, int most_b) {
  static int b[TOKENS][K];
  static int a[ROWS][K];
  for (int r = 0; r < ROWS; r++)
    for (int k = 0; k < K; k++) m->a[r][k] = half_of(a[r][k] = random_code(most_a));
  for (int t = 0; t < TOKENS; t++)
    for (int k = 0; k < K; k++) {
      const uint16_t h = half_of(b[t][k] = random_code(most_b));
      memcpy(m->b[k / 16] + piece_at(TOKENS, (size_t)t, (size_t)k % 16 / 8) + k % 8 * 2, &h, 2);
    }
  for (int r = 0; r < ROWS; r++)
    for (int t = 0; t < TOKENS; t++) {
      int sum = 0;
      for (int k = 0; k < K; k++) sum += a[r][k] * b[t][k];
      m->y[r][t] = (float)sum;
    }
}

typedef struct {
  CUdeviceptr y, a, b;
  int steps;
} arguments;

static arguments upload(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
  return (arguments){emulator_room(ROWS * TOKENS * 4), emulator_upload(a, a_bytes),
                     emulator_upload(b, b_bytes), STEPS};
}

static CUresult launch(const char *kernel, arguments *g, unsigned threads, const char *order) {
  void *p[] = {&g->y, &g->a, &g->b, &g->steps};
  cu.clear();
  assert_int_equal(cu.set(order), 0);
  return emulator_run(emulator_function(hopper, kernel), 1, threads, 0, p);
}

static void release(const arguments *g) {
  cu.clear();
  assert_false(cu.release(g->y) || cu.release(g->a) || cu.release(g->b));
}

/* Which of two faults comes first is the order's choice. */
static void expect_either(const char *kernel, arguments *g, unsigned threads, const char *kind,
                          const char *other) {
  for (int o = 0; o < N_ORDERS; o++) {
    if (launch(kernel, g, threads, orders[o]) != CUDA_ERROR_LAUNCH_FAILED)
      fail_msg("%s, %s: nothing is reported", kernel, orders[o]);
    if (!emulator_reported(kind) && !emulator_reported(other))
      fail_msg("%s, %s: no report of %s", kernel, orders[o], kind);
  }
}
static void expect(const char *kernel, arguments *g, unsigned threads, const char *kind) {
  expect_either(kernel, g, threads, kind, kind);
}

static void expect_right(const char *kernel, arguments *g, unsigned threads, const char *order, void *y,
                         size_t n_bytes) {
  const CUresult r = launch(kernel, g, threads, order);
  emulator_expect_none();
  assert_int_equal(r, CUDA_SUCCESS);
  emulator_download(y, g->y, n_bytes);
}

/* ---- right ones ---- */

static void ring_is_a_product(void **unused) {
  (void)unused;
  static halves m;
  float y[ROWS][TOKENS];
  make_halves(&m, 128, 1016); /* the largest codes of quantised products */
  arguments g = upload(m.a, sizeof m.a, m.b, sizeof m.b);
  for (int o = 0; o < N_ORDERS; o++) {
    expect_right("hopper_ring", &g, 160, orders[o], y, sizeof y);
    assert_memory_equal(y, m.y, sizeof y);
  }
  release(&g);
}

static void operands_of_shared_memory(void **unused) {
  (void)unused;
  static uint8_t a[ROWS * 32], b[TOKENS * 32];
  static int8_t ac[ROWS][32], bc[TOKENS][32];
  int32_t want[ROWS][TOKENS], got[ROWS][TOKENS];
  for (size_t r = 0; r < ROWS + TOKENS; r++)
    for (size_t k = 0; k < 32; k++) {
      const size_t rows = r < ROWS ? ROWS : TOKENS, row = r < ROWS ? r : r - ROWS;
      int8_t *code = r < ROWS ? &ac[row][k] : &bc[row][k];
      *code = (int8_t)random_code(127);
      (r < ROWS ? a : b)[piece_at(rows, row, k / 16) + k % 16] = (uint8_t)*code;
    }
  for (int r = 0; r < ROWS; r++)
    for (int t = 0; t < TOKENS; t++) {
      want[r][t] = 0;
      for (int k = 0; k < 32; k++) want[r][t] += ac[r][k] * bc[t][k];
    }
  arguments g = upload(a, sizeof a, b, sizeof b);
  expect_right("hopper_shared_s8", &g, 128, "seed=5", got, sizeof got);
  assert_memory_equal(got, want, sizeof got);
  release(&g);
}

/* Halves 1 and 2 alike in every row: 16 products of each, whatever their order in k. */
static void halves_of_shared_memory(void **unused) {
  (void)unused;
  static uint16_t a[ROWS * 16], b[TOKENS * 16];
  float y[ROWS][TOKENS];
  for (size_t r = 0; r < ROWS; r++)
    for (size_t k = 0; k < 16; k++) a[piece_at(ROWS, r, k / 8) / 2 + k % 8] = half_of((int)r - 20);
  for (size_t t = 0; t < TOKENS; t++)
    for (size_t k = 0; k < 16; k++) b[piece_at(TOKENS, t, k / 8) / 2 + k % 8] = half_of((int)t + 1);
  arguments g = upload(a, sizeof a, b, sizeof b);
  expect_right("hopper_shared_f16", &g, 128, "seed=3", y, sizeof y);
  for (int r = 0; r < ROWS; r++)
    for (int t = 0; t < TOKENS; t++) assert_true(y[r][t] == (float)(16 * (r - 20) * (t + 1)));
  expect("no_proxy_fence", &g, 128, "proxy-fence");
  release(&g);
}

/* ---- planted bugs ---- */

static void planted_bugs(void **unused) {
  (void)unused;
  static halves m;
  make_halves(&m, 7, 127);
  arguments g = upload(m.a, sizeof m.a, m.b, sizeof m.b);
  expect("no_wgmma_wait", &g, 160, "wgmma-not-awaited");
  expect("no_wgmma_fence", &g, 160, "wgmma-fence");
  expect("early_release", &g, 160, "race-shared");
  expect_either("no_full_wait", &g, 160, "uninitialised-shared", "copy-not-awaited");
  expect("no_expect", &g, 160, "mbarrier-deadlock");
  expect("lone_warp", &g, 160, "warpgroup-parted");
  release(&g);
}

static void arrivals_order_a_warp_that_has_met(void **unused) {
  (void)unused;
  float y[32];
  arguments g = upload(y, 16, y, 16);
  for (int o = 0; o < N_ORDERS; o++) {
    expect_right("hopper_hand_over", &g, 64, orders[o], y, sizeof y);
    for (int i = 0; i < 32; i++) assert_true(y[i] == (float)i);
  }
  expect("no_warp_sync", &g, 64, "race-shared");
  release(&g);
}

/* Sums that pass 2^24 have the bits that the order gives them. */
static void inexact_sums(void **unused) {
  (void)unused;
  static halves m;
  make_halves(&m, 2047, 2047);
  arguments g = upload(m.a, sizeof m.a, m.b, sizeof m.b);
  expect("hopper_ring", &g, 160, "inexact-sum");
  release(&g);
}

/* A launch that may start before the work in front of it has ended waits for that before it touches memory,
 * in every thread. */
#define FOLLOW(name, before, behind)                                                 \
  ".visible .entry " name                                                            \
  "(.param .u64 p)\n{\n.reg .b64 %d<3>;\n.reg .b32 %r<4>;\n.reg .pred %p<2>;\n"      \
  "ld.param.u64 %d1, [p];\nmov.u32 %r1, %tid.x;\nsetp.ne.u32 %p1, %r1, 31;\n" before \
  "griddepcontrol.wait;\ngriddepcontrol.launch_dependents;\n" behind "ret;\n}\n"
#define TOUCH "mul.wide.u32 %d2, %r1, 4;\nadd.s64 %d1, %d1, %d2;\nst.global.u32 [%d1], %r1;\n"
#define COPY                                                                  \
  "shl.b32 %r2, %r1, 2;\nmul.wide.u32 %d2, %r1, 4;\nadd.s64 %d1, %d1, %d2;\n" \
  "cp.async.ca.shared.global [%r2], [%d1], 4;\n"
static const char following[] = ".version 8.0\n.target sm_90\n.address_size 64\n" FOLLOW("waits", "", TOUCH)
    FOLLOW("too_early", TOUCH, "") FOLLOW("one_does_not_wait", "@!%p1 ret;\n", TOUCH)
        FOLLOW("copies_too_early", COPY, "cp.async.wait_all;\n");

static CUresult launch_following(CUmodule m, const char *name, CUdeviceptr at) {
  CUlaunchAttribute follows = {.id = LAUNCH_PROGRAMMATIC_SERIALIZATION, .value.programmatic = 1};
  const CUlaunchConfig c = {{1, 1, 1}, {32, 1, 1}, 128, NULL, &follows, 1};
  void *p[] = {&at};
  const CUresult r = cu.launch_config(&c, emulator_function(m, name), p, NULL);
  return r ? r : cu.synchronize();
}

static void launches_that_follow(void **unused) {
  (void)unused;
  static const char *const wrong[][2] = {
      {"too_early", "too-early"}, {"one_does_not_wait", "not-followed"}, {"copies_too_early", "too-early"}};
  CUmodule m;
  CUdeviceptr at;
  uint32_t y[32];
  assert_int_equal(cu.module_load(&m, following), CUDA_SUCCESS);
  assert_int_equal(cu.alloc(&at, sizeof y), CUDA_SUCCESS);
  cu.clear();
  assert_int_equal(launch_following(m, "waits", at), CUDA_SUCCESS);
  assert_int_equal(cu.download(y, at, sizeof y), CUDA_SUCCESS);
  for (uint32_t i = 0; i < 32; i++) assert_int_equal(y[i], i);
  for (int i = 0; i < 3; i++) {
    void *p[] = {&at};
    cu.clear();
    assert_int_equal(launch_following(m, wrong[i][0], at), CUDA_ERROR_LAUNCH_FAILED);
    if (!emulator_reported(wrong[i][1])) fail_msg("no report of %s", wrong[i][1]);
    cu.clear(); /* launched behind what has ended, it may */
    assert_int_equal(emulator_run(emulator_function(m, wrong[i][0]), 1, 32, 128, p), CUDA_SUCCESS);
  }
  assert_int_equal(cu.release(at), CUDA_SUCCESS);
  assert_int_equal(cu.module_unload(m), CUDA_SUCCESS);
}

static void refuses_what_it_does_not_know(void **unused) {
  (void)unused;
#define HEAD                                                                                             \
  ".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry f()\n{\n.reg .b64 %d<3>;\n.reg .b32 " \
  "%r<9>;\n.reg .pred %p<2>;\n"
  static const char *const texts[][2] = {
      {HEAD "mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0;\n}\n", "mbarrier with .test_wait"},
      {HEAD "mbarrier.try_wait.shared::cta.b64 %p1, [%r1], %d1;\n}\n", "this form of mbarrier"},
      {HEAD
       "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r1], [%d1], "
       "16, [%r2], %r3;\n}\n",
       "cp with .multicast::cluster"},
      {HEAD "cp.async.bulk.tensor.1d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%d1, "
            "{%r3}], [%r2];\n}\n",
       "cp with .tensor"},
      {HEAD "wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%r1,%r2,%r3,%r4}, %d1, %d2, %p1, 1, 1;\n}\n",
       "wgmma with .m64n8k8"},
      {HEAD "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r1,%r2,%r3,%r4}, %d1, %d2, %p1, 1, 1, 0, "
            "1;\n}\n",
       "wgmma with a transposed operand"},
      {HEAD "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 {%r1,%r2,%r3,%r4}, %d1, %d2, %p1, 1, 1, 0, "
            "0;\n}\n",
       "wgmma with these operands"},
      {HEAD "setmaxnreg.dec.sync.aligned.u32 42;\n}\n", "setmaxnreg of other"},
      {HEAD "fence.proxy.tensormap::generic.release.gpu;\n}\n", "fence with .tensormap::generic"}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    CUmodule m;
    cu.clear();
    assert_int_equal(cu.module_load(&m, texts[i][0]), CUDA_ERROR_INVALID_PTX);
    if (!strstr(cu.report(0), texts[i][1]))
      fail_msg("\"%s\" does not hold \"%s\"", cu.report(0), texts[i][1]);
  }
  cu.clear();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ring_is_a_product),
      cmocka_unit_test(operands_of_shared_memory),
      cmocka_unit_test(halves_of_shared_memory),
      cmocka_unit_test(planted_bugs),
      cmocka_unit_test(arrivals_order_a_warp_that_has_met),
      cmocka_unit_test(inexact_sums),
      cmocka_unit_test(launches_that_follow),
      cmocka_unit_test(refuses_what_it_does_not_know),
  };
  return cmocka_run_group_tests(tests, open_emulator, close_emulator);
}
