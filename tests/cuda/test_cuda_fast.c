/* test_cuda_fast.c - mode `fast` on CUDA: products of many rows by a library, within the bound of
 * docs/NUMERICS.md; what the library does not take, or fails at, is exact, and the device says so. With
 * WH_TEST_GPU the bound is that of NVIDIA's library on a GPU (scripts/gpu-check). */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#include "backends/cuda/cuda_backend.h"
#include "core/base/exact_math.h"
#include "tests/backend/suite.h"
#include "tests/cuda/emulator_options.h"
#include <cmocka.h>
/* clang-format on */

#define OK(call) \
  if ((call) != WH_OK) fail_msg("%s: %s", #call, wh_last_error()->message)
#define D(...) ((const int64_t[]){__VA_ARGS__})

static void (*fake_fail)(char what);
static unsigned (*fake_products)(void), (*fake_left)(void);
static bool hardware; /* and NVIDIA's library: nothing is a fake */

static void find(void *library, const char *name, void *to) {
  void *f = dlsym(library, name);
  assert_non_null(f);
  memcpy(to, &f, sizeof f);
}

static wh_status try_open(const char *library, suite_target *t) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  *t = (suite_target){.label = "cuda emulated, fast", .backend = &wh_backend_cuda};
  o.name = hardware ? "cuda" : "cuda:emulated";
  o.numerics = WH_NUMERICS_FAST;
  o.n_threads = 1;
  wh_cuda_blas_path(hardware ? NULL : library);
  return wh_backend_cuda.open(0, &o, &t->dev);
}

static suite_target open_fast(const char *library) {
  suite_target t;
  OK(try_open(library, &t));
  return t;
}

static void close_fast(const suite_target *t) {
  t->backend->close(t->dev);
  if (!hardware) assert_int_equal(emulator_take_reports(), 0);
}

static void assert_products(unsigned n) {
  if (!hardware) assert_int_equal(fake_products(), n);
}

static void assert_says(const suite_target *t, wh_numerics numerics, const char *words) {
  wh_device_info info = WH_DEVICE_INFO_INIT;
  t->backend->get_info(t->dev, &info);
  assert_int_equal(info.numerics, numerics);
  if (!strstr(info.binding_reason, words)) fail_msg("'%s' says nothing of '%s'", info.binding_reason, words);
}

/* ---- products ---- */

#define MOST_PRODUCTS 3

/* One x, and matrices that it meets. */
typedef struct products {
  suite_case *c;
  wh_dtype dtype;
  int64_t rows, n, k;
  size_t count;
  wh_value x, w[MOST_PRODUCTS], as_f32[MOST_PRODUCTS], y[MOST_PRODUCTS];
} products;

static bool is_wide(wh_dtype d) { return d == WH_DTYPE_F16 || d == WH_DTYPE_BF16; }

static products make(suite *s, wh_dtype dtype, int64_t rows, int64_t n, int64_t k, size_t count) {
  products p = {case_begin(s, rows, "fast"), dtype, rows, n, k, count, 0, {0}, {0}, {0}};
  suite_case *c = p.c;
  wh_value x = p.x = case_input(c, WH_DTYPE_F32, 2, D(ROWS, k), FILL_PLAIN), in[MOST_PRODUCTS][4] = {{0}};
  if (dtype != WH_DTYPE_F32)
    x = case_node(c, wh_dtype_is_quantised(dtype) ? WH_OP_QUANTIZE_ACT : WH_OP_QUANTIZE_WIDE, &x, 1, NULL, 0);
  for (size_t i = 0; i < count; i++) {
    in[i][0] = x;
    in[i][1] = p.w[i] = case_const(c, dtype, 2, D(n, k));
    in[i][2] = case_const(c, WH_DTYPE_F32, 1, &n);
    if (i % 2 == 0) in[i][3] = case_input(c, WH_DTYPE_F32, 2, D(ROWS, n), FILL_PLAIN);
  }
  for (size_t i = 0; i < count; i++) p.y[i] = case_node(c, WH_OP_LINEAR, in[i], 4, NULL, 0);
  for (size_t i = 0; i < count && wh_dtype_is_quantised(dtype); i++) {
    const wh_value gather[2] = {p.w[i], case_indices(c, 1, D(n), 0, 1)};
    for (int64_t r = 0; r < n; r++) ((int32_t *)c->data[gather[1]])[r] = (int32_t)r;
    p.as_f32[i] = case_node(c, WH_OP_GATHER_ROWS, gather, 2, NULL, 0);
  }
  (void)case_compute(c);
  return p;
}

static float weight(const products *p, size_t i, int64_t at) {
  const void *data = p->c->data[p->as_f32[i] ? p->as_f32[i] : p->w[i]];
  if (p->dtype == WH_DTYPE_F16) return wh_f32_from_f16(((const uint16_t *)data)[at]);
  return p->dtype == WH_DTYPE_BF16 ? wh_f32_from_bf16(((const uint16_t *)data)[at])
                                   : ((const float *)data)[at];
}

/* Largest |d| as a part of sum |a b|; the codes of x are within 1/127 of its largest value, 2. */
static double largest_part(const products *p, size_t i, const float *y) {
  const float *want = p->c->data[p->y[i]], *x = p->c->data[p->x];
  double most = 0.0;
  for (int64_t r = 0; r < p->rows; r++)
    for (int64_t j = 0; j < p->n; j++) {
      double sum = 0.0;
      for (int64_t k = 0; k < p->k; k++)
        sum += (fabs((double)x[r * p->k + k]) + 2.0 / 127) * fabs((double)weight(p, i, j * p->k + k));
      most = fmax(most, fabs((double)y[r * p->n + j] - (double)want[r * p->n + j]) / sum);
    }
  return most;
}

/* That part at most: docs/NUMERICS.md. */
static double bound(const products *p) { return 0.004 + 2.0 * (double)p->k * 0x1p-24; }

static wh_status run_once(executor *x, const products *p) {
  const suite_case *c = p->c;
  for (wh_value v = 1; v < c->g->n_values; v++)
    if (c->g->values[v].kind == WH_VALUE_INPUT) WH_TRY(executor_write(x, v, c->data[v], c->n_bytes[v]));
  return executor_run(x, 0, executor_n_steps(x));
}

/* Runs it as often as it takes to be a graph; whether all bits are the exact ones. */
static wh_status try_run(const suite_target *t, const products *p, double *part, bool *exact) {
  suite_case *c = p->c;
  int64_t *dims = case_dims(c, p->rows);
  executor *x = NULL;
  wh_status st = executor_create(t, c->g, dims, NULL, &x);
  *exact = true;
  for (int time = 0; time < 3 && st == WH_OK; time++) st = run_once(x, p);
  for (size_t i = 0; i < p->count && st == WH_OK; i++) {
    float *y = malloc(c->n_bytes[p->y[i]]);
    assert_non_null(y);
    st = executor_read(x, p->y[i], y);
    *exact &= memcmp(y, c->data[p->y[i]], c->n_bytes[p->y[i]]) == 0;
    if (st == WH_OK) *part = fmax(*part, largest_part(p, i, y));
    free(y);
  }
  executor_destroy(x);
  free(dims);
  return st;
}

static bool run(const suite_target *t, const products *p, double *part) {
  bool exact;
  OK(try_run(t, p, part, &exact));
  return exact;
}

/* ---- tests ---- */

static void test_within_bound(void **state) {
  (void)state;
  const suite_target t = open_fast(WH_FAKE_CUBLASLT);
  suite s = {.target = &t, .random = 3};
  double most = 0.0;
  assert_says(&t, WH_NUMERICS_FAST, "products of 64 rows and more by ");
  for (wh_dtype d = WH_DTYPE_F32; d < WH_DTYPE_Q8A; d++) {
    if (!wh_dtype_get(d) || !(is_wide(d) || wh_dtype_is_quantised(d))) continue;
    products p = make(&s, d, 65, 20, is_wide(d) ? 328 : 256, 1);
    double part = 0.0;
    if (run(&t, &p, &part)) fail_msg("%s: exact, so not by the library", wh_dtype_name(d));
    if (part > bound(&p)) fail_msg("%s: differs by %g of sum |a b|", wh_dtype_name(d), part);
    most = fmax(most, part);
    assert_products(2); /* launched, recorded; then they are part of a graph */
    case_free(p.c);
  }
  print_message("largest difference: %.5f of sum |a b|\n", most);
  close_fast(&t);
  if (!hardware) assert_int_equal(fake_left(), 0);
}

static void test_joined(void **state) {
  (void)state;
  const suite_target t = open_fast(WH_FAKE_CUBLASLT);
  suite s = {.target = &t, .random = 4};
  products p = make(&s, WH_DTYPE_Q4_K, 70, 20, 512, 3);
  double part = 0.0;
  assert_false(run(&t, &p, &part));
  assert_true(part <= bound(&p));
  assert_products(6);
  case_free(p.c);
  close_fast(&t);
}

/* Few rows, rows that are not whole pieces of 16 bytes, F32 weights. */
static void test_what_stays_exact(void **state) {
  (void)state;
  const suite_target t = open_fast(WH_FAKE_CUBLASLT);
  suite s = {.target = &t, .random = 5};
  const struct {
    wh_dtype dtype;
    int64_t rows, n, k;
  } cases[] = {{WH_DTYPE_Q4_0, 63, 20, 64},
               {WH_DTYPE_Q4_0, 1, 20, 64},
               {WH_DTYPE_Q8_0, 70, 18, 64},
               {WH_DTYPE_F16, 70, 20, 60},
               {WH_DTYPE_F32, 70, 20, 64}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    products p = make(&s, cases[i].dtype, cases[i].rows, cases[i].n, cases[i].k, 1);
    double part = 0.0;
    if (!run(&t, &p, &part)) fail_msg("case %zu has other bits", i);
    case_free(p.c);
  }
  assert_products(0);
  close_fast(&t);
}

static unsigned calls_of(const char *library, const products *p) {
  const suite_target t = open_fast(library);
  double part = 0.0;
  emulator_options("fail=0"); /* counts from here on */
  assert_true(run(&t, p, &part));
  const unsigned n = emulator_calls();
  close_fast(&t);
  return n;
}

/* Few rows of several matrices, as in decoding, are the launch that they are on a device without the library.
 */
static void test_few_rows_join(void **state) {
  (void)state;
  suite s = {.target = NULL, .random = 9};
  products p = make(&s, WH_DTYPE_Q4_0, 8, 20, 64, 3);
  assert_int_equal(calls_of(WH_FAKE_CUBLASLT, &p), calls_of(NULL, &p));
  case_free(p.c);
}

/* The library is not there, does not start, has no kernel, fails at a product: exact bits. */
static void test_without(void **state) {
  (void)state;
  const struct {
    const char *library, *words;
    char fails;
    wh_numerics at_first;
  } cases[] = {
      {NULL, "exact all the same: cuBLASLt does not run on the emulator", 0, WH_NUMERICS_EXACT},
      {"/nowhere/libcublasLt.so.12", "exact all the same: there is no cuBLASLt", 0, WH_NUMERICS_EXACT},
      {WH_EMULATOR, "has no cublasLtCreate", 0, WH_NUMERICS_EXACT},
      {WH_FAKE_CUBLASLT, "does not start on this device (status 1)", 'c', WH_NUMERICS_EXACT},
      {WH_FAKE_CUBLASLT, "has no kernel for 70 x 20 x 512 (status 15)", 'k', WH_NUMERICS_FAST},
      {WH_FAKE_CUBLASLT, "exact from now on: ", 'm', WH_NUMERICS_FAST}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fake_fail(cases[i].fails);
    const suite_target t = open_fast(cases[i].library);
    suite s = {.target = &t, .random = 6};
    products p = make(&s, WH_DTYPE_Q4_0, 70, 20, 512, 3);
    double part = 0.0;
    assert_says(&t, cases[i].at_first, "");
    if (!run(&t, &p, &part)) fail_msg("case %zu has other bits", i);
    assert_says(&t, WH_NUMERICS_EXACT, cases[i].words);
    case_free(p.c);
    close_fast(&t);
    assert_int_equal(fake_left(), 0);
  }
  fake_fail(0);
  assert_int_equal(fake_products(), 0);
}

/* The library of the first device is that of all: the second one's is another file, so its products are
 * exact, and the first one's are as they were. */
static void test_one_library(void **state) {
  (void)state;
  const suite_target t = open_fast(WH_FAKE_CUBLASLT), other = open_fast(WH_OTHER_CUBLASLT);
  suite s = {.target = &t, .random = 8};
  products p = make(&s, WH_DTYPE_Q4_0, 70, 20, 512, 1);
  double part = 0.0;
  assert_says(&t, WH_NUMERICS_FAST, "products of 64 rows and more by ");
  assert_says(&other, WH_NUMERICS_EXACT, "exact all the same: another device's products are by ");
  assert_true(run(&other, &p, &part));
  assert_products(0);
  assert_false(run(&t, &p, &part));
  assert_products(2);
  case_free(p.c);
  other.backend->close(other.dev);
  close_fast(&t);
  assert_int_equal(fake_left(), 0);
}

/* Each call of the driver fails once, the library's own among them: an error, or an answer within the bound.
 */
static void test_driver_fails(void **state) {
  (void)state;
  suite s = {.target = NULL, .random = 7};
  products p = make(&s, WH_DTYPE_Q8_0, 64, 4, 32, 1);
  unsigned n_fine = 0;
  for (unsigned n = 1;; n++) {
    char options[32];
    double part = 0.0;
    bool exact;
    suite_target t;
    (void)snprintf(options, sizeof options, "fail=%u", n);
    emulator_options(options);
    wh_status st = try_open(WH_FAKE_CUBLASLT, &t);
    if (st == WH_OK) {
      st = try_run(&t, &p, &part, &exact);
      t.backend->close(t.dev);
    }
    if (st != WH_OK && st != WH_ERR_DEVICE && st != WH_ERR_OUT_OF_MEMORY)
      fail_msg("call %u: status %d, '%s'", n, st, wh_last_error()->message);
    if (part > bound(&p)) fail_msg("call %u: differs by %g of sum |a b|", n, part);
    if (emulator_take_reports() || fake_left()) fail_msg("call %u: something is left", n);
    if (st == WH_OK && n > emulator_calls()) break; /* none failed */
    n_fine += st == WH_OK;
  }
  assert_true(n_fine > 0); /* those of the library, and of graphs */
  emulator_options("fail=0");
  case_free(p.c);
}

int main(void) {
  const struct CMUnitTest on_hardware[] = {cmocka_unit_test(test_within_bound), cmocka_unit_test(test_joined),
                                           cmocka_unit_test(test_what_stays_exact)};
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_within_bound),     cmocka_unit_test(test_joined),
      cmocka_unit_test(test_what_stays_exact), cmocka_unit_test(test_few_rows_join),
      cmocka_unit_test(test_without),          cmocka_unit_test(test_one_library),
      cmocka_unit_test(test_driver_fails),
  };
  hardware = getenv("WH_TEST_GPU") != NULL;
  if (hardware) return cmocka_run_group_tests_name("cuda_fast", on_hardware, NULL, NULL);
  void *fake = dlopen(WH_FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
  if (!fake) return 1;
  find(fake, "fake_cublaslt_fail", &fake_fail);
  find(fake, "fake_cublaslt_products", &fake_products);
  find(fake, "fake_cublaslt_left", &fake_left);
  emulator_options("strict,seed=5,memory=512,profile=a100");
  return cmocka_run_group_tests_name("cuda_fast", tests, NULL, NULL);
}
