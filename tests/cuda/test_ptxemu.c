/* Kernels that nvcc compiled, run by the emulator: the right numbers, and nothing reported; in several
 * orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "core/base/exact_math.h"
#include "tests/cuda/emulator.h"

static const char *const orders[] = {"seed=0", "seed=1", "seed=77", "seed=123456789"};
#define EACH_ORDER(o) for (size_t o = 0; o < sizeof orders / sizeof *orders && !cu.set(orders[o]); o++)

static CUmodule kernels;
static uint64_t state = 1;

static uint32_t any(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 32);
}
static float unit(void) { return (float)(int32_t)any() * 0x1p-31f; }

static int open_emulator(void **unused) {
  (void)unused;
  emulator_open();
  kernels = emulator_module("kernels.ptx");
  return 0;
}

static int fresh(void **unused) {
  (void)unused;
  state = 1;
  cu.clear();
  return 0;
}

static int at_end(void **unused) {
  (void)unused;
  cu.clear();
  assert_int_equal(cu.module_unload(kernels), CUDA_SUCCESS);
  assert_int_equal(cu.context_release(0), CUDA_SUCCESS);
  emulator_expect_none(); /* no test leaves anything behind */
  return 0;
}

static void adds_vectors(void **unused) {
  (void)unused;
  enum { N = 1000 };
  float a[N], b[N], y[N];
  for (int i = 0; i < N; i++) a[i] = unit(), b[i] = unit();
  CUdeviceptr da = emulator_upload(a, sizeof a), db = emulator_upload(b, sizeof b),
              dy = emulator_room(sizeof y);
  int n = N;
  void *p[] = {&dy, &da, &db, &n};
  EACH_ORDER(o) {
    assert_int_equal(emulator_run(emulator_function(kernels, "vector_add"), (N + 127) / 128, 128, 0, p),
                     CUDA_SUCCESS);
    emulator_download(y, dy, sizeof y);
    for (int i = 0; i < N; i++) assert_true(y[i] == a[i] + b[i]);
  }
  emulator_expect_none();
  assert_false(cu.release(da) || cu.release(db) || cu.release(dy));
}

/* The kernel's own order of operations, in C. */
static void rms_row(float *y, const float *x, const float *w, int n, int threads, float eps) {
  float lane[1024] = {0}, s = 0;
  for (int i = 0; i < n; i++) lane[i % threads] = fmaf(x[i], x[i], lane[i % threads]);
  for (int d = 16; d; d >>= 1) {
    float next[1024];
    for (int i = 0; i < threads; i++) next[i] = lane[i] + lane[i ^ d];
    memcpy(lane, next, sizeof lane);
  }
  for (int v = 0; v < threads / 32; v++) s += lane[v * 32];
  const float scale = 1.0f / sqrtf(s / (float)n + eps);
  for (int i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

static void normalises_rows(void **unused) {
  (void)unused;
  enum { ROWS = 5, N = 300, THREADS = 128 };
  float x[ROWS][N], w[N], y[ROWS][N], right[N], eps = 1e-5f;
  for (int i = 0; i < ROWS * N; i++) x[i / N][i % N] = unit();
  for (int i = 0; i < N; i++) w[i] = unit();
  CUdeviceptr dx = emulator_upload(x, sizeof x), dw = emulator_upload(w, sizeof w),
              dy = emulator_room(sizeof y);
  int n = N;
  void *p[] = {&dy, &dx, &dw, &n, &eps};
  EACH_ORDER(o) {
    assert_int_equal(emulator_run(emulator_function(kernels, "rms_norm"), ROWS, THREADS, 0, p), CUDA_SUCCESS);
    emulator_download(y, dy, sizeof y);
    for (int r = 0; r < ROWS; r++) {
      rms_row(right, x[r], w, N, THREADS, eps);
      assert_memory_equal(y[r], right, sizeof right);
    }
  }
  emulator_expect_none();
  assert_false(cu.release(dx) || cu.release(dw) || cu.release(dy));
}

static void multiplies_bytes_by_rows(void **unused) {
  (void)unused;
  enum { ROWS = 8, K = 1056, BLOCKS = K / 32 };
  static int8_t q[ROWS][K], x[K];
  static float scales[ROWS][BLOCKS], xs[BLOCKS];
  float y[ROWS];
  for (int i = 0; i < ROWS * K; i++) q[i / K][i % K] = (int8_t)any();
  for (int i = 0; i < K; i++) x[i] = (int8_t)any();
  for (int i = 0; i < ROWS * BLOCKS; i++) scales[i / BLOCKS][i % BLOCKS] = unit();
  for (int i = 0; i < BLOCKS; i++) xs[i] = unit();
  CUdeviceptr dq = emulator_upload(q, sizeof q), dx = emulator_upload(x, sizeof x),
              ds = emulator_upload(scales, sizeof scales), dxs = emulator_upload(xs, sizeof xs),
              dy = emulator_room(sizeof y);
  int k = K;
  void *p[] = {&dy, &dq, &ds, &dx, &dxs, &k};
  assert_int_equal(emulator_run(emulator_function(kernels, "gemv_q8"), ROWS / 4, 128, 0, p), CUDA_SUCCESS);
  emulator_download(y, dy, sizeof y);
  for (int r = 0; r < ROWS; r++) {
    float lane[32] = {0};
    for (int b = 0; b < BLOCKS; b++) {
      int dot = 0;
      for (int i = 0; i < 32; i++) dot += q[r][b * 32 + i] * x[b * 32 + i];
      lane[b % 32] = fmaf(scales[r][b] * xs[b], (float)dot, lane[b % 32]);
    }
    for (int d = 16; d; d >>= 1) {
      float next[32];
      for (int i = 0; i < 32; i++) next[i] = lane[i] + lane[i ^ d];
      memcpy(lane, next, sizeof lane);
    }
    assert_true(y[r] == lane[0]);
  }
  emulator_expect_none();
  assert_false(cu.release(dq) || cu.release(dx) || cu.release(ds) || cu.release(dxs) || cu.release(dy));
}

static void multiplies_byte_matrices(void **unused) {
  (void)unused;
  enum { K = 96 };
  int8_t a[16][K], b[8][K];
  int c[16][8];
  for (int i = 0; i < 16 * K; i++) a[i / K][i % K] = (int8_t)any();
  for (int i = 0; i < 8 * K; i++) b[i / K][i % K] = (int8_t)any();
  CUdeviceptr da = emulator_upload(a, sizeof a), db = emulator_upload(b, sizeof b),
              dc = emulator_room(sizeof c);
  int k = K;
  void *p[] = {&dc, &da, &db, &k};
  assert_int_equal(emulator_run(emulator_function(kernels, "mma_s8"), 1, 32, 0, p), CUDA_SUCCESS);
  emulator_download(c, dc, sizeof c);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++) {
      int sum = 0;
      for (int t = 0; t < K; t++) sum += a[i][t] * b[j][t];
      assert_int_equal(c[i][j], sum);
    }
  emulator_expect_none();
  assert_false(cu.release(da) || cu.release(db) || cu.release(dc));
}

/* Small whole numbers: sums are exact under every model of the tensor cores. */
static void runs_a_pipeline_of_copies_and_products(void **unused) {
  (void)unused;
  enum { K = 80 };
  uint16_t a[16][K], b[K][8];
  int av[16][K], bv[K][8];
  float c[16][8];
  for (int i = 0; i < 16 * K; i++) av[i / K][i % K] = (int)(any() % 17) - 8;
  for (int i = 0; i < K * 8; i++) bv[i / 8][i % 8] = (int)(any() % 17) - 8;
  for (int i = 0; i < 16 * K; i++) a[i / K][i % K] = wh_f16_from_f32((float)av[i / K][i % K]);
  for (int i = 0; i < K * 8; i++) b[i / 8][i % 8] = wh_f16_from_f32((float)bv[i / 8][i % 8]);
  CUdeviceptr da = emulator_upload(a, sizeof a), db = emulator_upload(b, sizeof b),
              dc = emulator_room(sizeof c);
  int k = K;
  void *p[] = {&dc, &da, &db, &k};
  const char *const models[] = {"mma=cut", "mma=chain"};
  for (size_t m = 0; m < 2 && !cu.set(models[m]); m++) EACH_ORDER(o) {
      assert_int_equal(emulator_run(emulator_function(kernels, "pipeline_f16"), 1, 32, 0, p), CUDA_SUCCESS);
      emulator_download(c, dc, sizeof c);
      for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
          int sum = 0;
          for (int t = 0; t < K; t++) sum += av[i][t] * bv[t][j];
          assert_true(c[i][j] == (float)sum);
        }
    }
  emulator_expect_none();
  assert_false(cu.release(da) || cu.release(db) || cu.release(dc));
}

static void counts_with_atomics(void **unused) {
  (void)unused;
  enum { N = 500 };
  uint8_t x[N];
  unsigned counts[16], right[16] = {0}, largest = 0, odd = 0, top, n_odd;
  for (int i = 0; i < N; i++) {
    x[i] = (uint8_t)any();
    right[x[i] % 16]++;
    if (x[i] > largest) largest = x[i];
    odd += x[i] & 1;
  }
  CUdeviceptr dx = emulator_upload(x, sizeof x), dc = emulator_room(sizeof counts), dl = emulator_room(4),
              dodd = emulator_room(4);
  int n = N;
  void *p[] = {&dc, &dl, &dodd, &dx, &n};
  EACH_ORDER(o) {
    assert_false(cu.set32(dc, 0, 16) || cu.set32(dl, 0, 1) || cu.set32(dodd, 0, 1));
    assert_int_equal(emulator_run(emulator_function(kernels, "histogram"), (N + 63) / 64, 64, 0, p),
                     CUDA_SUCCESS);
    emulator_download(counts, dc, sizeof counts);
    emulator_download(&top, dl, 4);
    emulator_download(&n_odd, dodd, 4);
    assert_memory_equal(counts, right, sizeof counts);
    assert_int_equal(top, largest);
    assert_int_equal(n_odd, odd);
  }
  emulator_expect_none();
  assert_false(cu.release(dx) || cu.release(dc) || cu.release(dl) || cu.release(dodd));
}

static int collatz(int v) {
  int steps = 0;
  for (; v != 1; steps++) v = v % 2 ? 3 * v + 1 : v / 2;
  return steps;
}

static void follows_calls_and_lanes_that_part(void **unused) {
  (void)unused;
  enum { N = 70 };
  int y[N], n = N;
  CUdeviceptr dy = emulator_room(sizeof y);
  void *p[] = {&dy, &n};
  EACH_ORDER(o) {
    assert_int_equal(emulator_run(emulator_function(kernels, "divergent"), 3, 32, 0, p), CUDA_SUCCESS);
    emulator_download(y, dy, sizeof y);
    for (int i = 0; i < N; i++) {
      int ring[8], s = 0;
      for (int j = 0; j < 8; j++) ring[j] = j * i;
      for (int j = 0; j < i % 5; j++) ring[(j + i) % 8] += collatz(i + 1 + j);
      for (int j = 0; j < 8; j++) s += ring[(i * 3 + j) % 8];
      assert_int_equal(y[i], s + collatz(i + 1));
    }
  }
  emulator_expect_none();
  assert_false(cu.release(dy));
}

static void hands_over_by_named_barriers(void **unused) {
  (void)unused;
  int y[32], rounds = 4;
  CUdeviceptr dy = emulator_room(sizeof y);
  void *p[] = {&dy, &rounds};
  EACH_ORDER(o) {
    assert_int_equal(emulator_run(emulator_function(kernels, "handover"), 1, 64, 0, p), CUDA_SUCCESS);
    emulator_download(y, dy, sizeof y);
    for (int i = 0; i < 32; i++) assert_int_equal(y[i], (0 + 1 + 2 + 3) * 32 + 4 * (31 - i));
  }
  emulator_expect_none();
  assert_false(cu.release(dy));
}

static void shares_what_all_warps_read(void **unused) {
  (void)unused;
  int y[128], turns = 5;
  CUdeviceptr dy = emulator_room(sizeof y);
  void *p[] = {&dy, &turns};
  EACH_ORDER(o) {
    assert_int_equal(emulator_run(emulator_function(kernels, "rotate"), 1, 128, 0, p), CUDA_SUCCESS);
    emulator_download(y, dy, sizeof y);
    for (int i = 0; i < 128; i++) {
      int sum = 0;
      for (int t = 0; t < turns; t++) {
        for (int k = 0; k < 4; k++) sum += t * 1000 + (i + 32 * k + t) % 128;
        sum += t * 1000 + i;
      }
      assert_int_equal(y[i], sum);
    }
  }
  emulator_expect_none();
  assert_false(cu.release(dy));
}

/* ---- the elementary functions of the numerics contract ---- */

static void same_bits(float got, float right, float x, int which) {
  if (got != got && right != right) return; /* a NaN's bits are left open */
  if (wh_f32_bits(got) != wh_f32_bits(right))
    fail_msg("function %d of %a: %a and not %a", which, (double)x, (double)got, (double)right);
}

static void computes_the_contract_s_functions(void **unused) {
  (void)unused;
  enum { N = 4096, FUNCTIONS = 9 };
  static float x[N], y[FUNCTIONS][N];
  for (int i = 0; i < N; i++) /* any bits; and what models see */
    x[i] = i % 2 ? wh_f32_from_bits(any()) : unit() * (float)(1 << any() % 8);
  const float edges[] = {0.0f,   -0.0f,       INFINITY, -INFINITY, NAN,       88.7228317f,
                         88.73f, -87.336540f, -87.34f,  0.625f,    0x1p-149f, -0x1p-127f};
  memcpy(x, edges, sizeof edges);
  CUmodule m = emulator_module("exact_math.ptx");
  CUdeviceptr dx = emulator_upload(x, sizeof x), dy = emulator_room(sizeof y);
  int n = N;
  void *p[] = {&dy, &dx, &n};
  assert_int_equal(emulator_run(emulator_function(m, "exact_math"), N / 128, 128, 0, p), CUDA_SUCCESS);
  emulator_download(y, dy, sizeof y);
  for (int i = 0; i < N; i++) {
    float s, c;
    wh_sincos_f32(fabsf(x[i]) < 4194304.0f ? x[i] : 0.0f, &s, &c);
    const float right[FUNCTIONS] = {wh_exp_f32(x[i]),
                                    wh_tanh_f32(x[i]),
                                    wh_sigmoid_f32(x[i]),
                                    wh_silu_f32(x[i]),
                                    wh_gelu_tanh_f32(x[i]),
                                    wh_erf_f32(x[i]),
                                    wh_gelu_erf_f32(x[i]),
                                    s,
                                    c};
    for (int f = 0; f < FUNCTIONS; f++) same_bits(y[f][i], right[f], x[i], f);
  }
  emulator_expect_none();
  assert_false(cu.release(dx) || cu.release(dy) || cu.module_unload(m));
}

static void computes_the_contract_s_f64_functions(void **unused) {
  (void)unused;
  enum { N = 2048 };
  static double x[N], y[2][N];
  for (int i = 0; i < N; i++) x[i] = (double)unit() * (1 << any() % 9) + 1e-3;
  CUmodule m = emulator_module("exact_math.ptx");
  CUdeviceptr dx = emulator_upload(x, sizeof x), dy = emulator_room(sizeof y);
  int n = N;
  void *p[] = {&dy, &dx, &n};
  assert_int_equal(emulator_run(emulator_function(m, "exact_math_f64"), N / 128, 128, 0, p), CUDA_SUCCESS);
  emulator_download(y, dy, sizeof y);
  for (int i = 0; i < N; i++) {
    const double right[2] = {wh_log_f64(fabs(x[i])), wh_exp_f64(x[i])};
    assert_memory_equal(&y[0][i], &right[0], 8);
    assert_memory_equal(&y[1][i], &right[1], 8);
  }
  emulator_expect_none();
  assert_false(cu.release(dx) || cu.release(dy) || cu.module_unload(m));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(adds_vectors, fresh),
      cmocka_unit_test_setup(normalises_rows, fresh),
      cmocka_unit_test_setup(multiplies_bytes_by_rows, fresh),
      cmocka_unit_test_setup(multiplies_byte_matrices, fresh),
      cmocka_unit_test_setup(runs_a_pipeline_of_copies_and_products, fresh),
      cmocka_unit_test_setup(counts_with_atomics, fresh),
      cmocka_unit_test_setup(follows_calls_and_lanes_that_part, fresh),
      cmocka_unit_test_setup(hands_over_by_named_barriers, fresh),
      cmocka_unit_test_setup(shares_what_all_warps_read, fresh),
      cmocka_unit_test_setup(computes_the_contract_s_functions, fresh),
      cmocka_unit_test_setup(computes_the_contract_s_f64_functions, fresh),
  };
  return cmocka_run_group_tests(tests, open_emulator, at_end);
}
