/* Every planted bug is reported, under the name that it has, in every order; and its repair is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "tests/cuda/emulator.h"

static const char *const orders[] = {"seed=0", "seed=1", "seed=77", "seed=123456789"};
enum { N_ORDERS = sizeof orders / sizeof *orders };

static CUmodule planted, kernels;
static CUdeviceptr x, y; /* 4 KiB, x written, y written */

static int open_emulator(void **unused) {
  (void)unused;
  static float ones[1024];
  emulator_open();
  planted = emulator_module("planted.ptx");
  kernels = emulator_module("kernels.ptx");
  for (int i = 0; i < 1024; i++) ones[i] = 1;
  x = emulator_upload(ones, sizeof ones);
  y = emulator_upload(ones, sizeof ones);
  return 0;
}

static int fresh(void **unused) {
  (void)unused;
  cu.clear();
  return cu.set("seed=0,fail=0");
}

static int at_end(void **unused) {
  (void)unused;
  cu.clear();
  assert_false(cu.release(x) || cu.release(y) || cu.module_unload(planted) || cu.module_unload(kernels) ||
               cu.context_release(0));
  emulator_expect_none();
  return 0;
}

/* The launch fails with the report in every order. */
static void expect(const char *kernel, unsigned blocks, unsigned threads, unsigned shared, void **p,
                   const char *kind) {
  for (int o = 0; o < N_ORDERS; o++) {
    cu.clear();
    assert_int_equal(cu.set(orders[o]), 0);
    assert_int_equal(emulator_run(emulator_function(planted, kernel), blocks, threads, shared, p),
                     CUDA_ERROR_LAUNCH_FAILED);
    if (!emulator_reported(kind)) fail_msg("%s, %s: no report of %s", kernel, orders[o], kind);
    assert_int_equal(cu.synchronize(), CUDA_SUCCESS); /* an error is given once */
  }
  assert_int_equal(cu.set("seed=0"), 0);
}

static void missing_barriers(void **unused) {
  (void)unused;
  int n = 3;
  void *p[] = {&y, &x, &n};
  expect("missing_barrier", 1, 64, 0, p, "race-shared");
  expect("missing_second_barrier", 1, 64, 0, p, "race-shared");
  expect("missing_warp_sync", 1, 32, 0, p, "race-shared");
}

static void bounds(void **unused) {
  (void)unused;
  int n = 64, at = 0;
  CUdeviceptr small = emulator_room(64 * 4);
  void *p[] = {&small, &x, &n};
  expect("out_of_bounds", 2, 64, 0, p, "out-of-bounds");
  void *q[] = {&y, &at};
  assert_int_equal(emulator_run(emulator_function(planted, "out_of_shared"), 1, 32, 32 * 4, q), CUDA_SUCCESS);
  at = 1;
  expect("out_of_shared", 1, 32, 32 * 4, q, "out-of-bounds-shared");
  assert_false(cu.release(small));
}

static void copies_that_nobody_waits_for(void **unused) {
  (void)unused;
  void *p[] = {&y, &x};
  expect("missing_wait", 1, 32, 0, p, "copy-not-awaited");
  expect("wait_without_barrier", 1, 64, 0, p, "race-shared");
}

static void barriers(void **unused) {
  (void)unused;
  void *p[] = {&y};
  expect("wrong_pairing", 1, 64, 0, p, "barrier-deadlock");
  expect("divergent_barrier", 1, 32, 0, p, "divergent-barrier");
}

static void unset_memory(void **unused) {
  (void)unused;
  void *p[] = {&y};
  expect("uninitialised_shared", 1, 64, 0, p, "uninitialised-shared");
  CUdeviceptr unset = emulator_room(4096);
  int n = 32;
  void *q[] = {&y, &unset, &x, &n};
  assert_int_equal(emulator_run(emulator_function(kernels, "vector_add"), 1, 32, 0, q),
                   CUDA_ERROR_LAUNCH_FAILED);
  assert_true(emulator_reported("uninitialised-global"));
  assert_false(cu.release(unset));
}

static void races_between_blocks(void **unused) {
  (void)unused;
  void *p[] = {&y};
  expect("race_between_blocks", 4, 32, 0, p, "race-blocks");
  assert_int_equal(emulator_run(emulator_function(planted, "race_between_blocks"), 1, 32, 0, p),
                   CUDA_SUCCESS);
}

static void alignment(void **unused) {
  (void)unused;
  void *p[] = {&y, &x};
  expect("misaligned", 1, 32, 0, p, "misaligned");
}

static void lanes_that_are_not_there(void **unused) {
  (void)unused;
  void *p[] = {&y};
  expect("shuffle_from_absent", 1, 32, 0, p, "absent-lanes");
  expect("sync_of_too_few", 1, 32, 0, p, "absent-lanes");
}

static void freed_memory(void **unused) {
  (void)unused;
  CUdeviceptr freed = emulator_upload("0123456789abcdef0123456789abcdef", 32);
  assert_int_equal(cu.release(freed), CUDA_SUCCESS);
  int n = 8;
  void *p[] = {&y, &x, &freed, &n};
  assert_int_equal(emulator_run(emulator_function(kernels, "vector_add"), 1, 32, 0, p),
                   CUDA_ERROR_LAUNCH_FAILED);
  assert_true(emulator_reported("use-after-free"));
  cu.clear();
  assert_int_equal(cu.release(freed), CUDA_ERROR_INVALID_VALUE);
  assert_true(emulator_reported("double-free"));
}

static void leaks(void **unused) {
  (void)unused;
  CUcontext second, first;
  assert_int_equal(cu.context_retain(&first, 0), CUDA_SUCCESS);
  assert_int_equal(cu.context_retain(&second, 1), CUDA_SUCCESS);
  assert_int_equal(cu.context_set(second), CUDA_SUCCESS);
  CUdeviceptr p = emulator_room(100);
  CUstream s = NULL;
  assert_int_equal(cu.stream_create(&s, 0), CUDA_SUCCESS);
  assert_int_equal(cu.context_release(1), CUDA_SUCCESS);
  assert_int_equal(cu.report_count(), 2);
  assert_true(emulator_reported("leak"));
  assert_true(strstr(cu.report(0), "1 allocations with 100 bytes") != NULL);
  (void)p;
  assert_int_equal(cu.context_set(first), CUDA_SUCCESS);
  assert_int_equal(cu.context_release(0), CUDA_SUCCESS);
}

/* A kernel of one device writes what lies on the other; both have their own memory, contexts and streams. */
static void two_devices(void **unused) {
  (void)unused;
  CUcontext second, first;
  float got[32], ones[32];
  for (int i = 0; i < 32; i++) ones[i] = 1;
  assert_false(cu.context_retain(&first, 0) || cu.context_retain(&second, 1) || cu.context_set(second));
  CUdeviceptr there = emulator_upload(ones, sizeof ones);
  assert_int_equal(cu.context_set(first), CUDA_SUCCESS);
  int n = 32;
  void *p[] = {&there, &x, &there, &n};
  assert_int_equal(emulator_run(emulator_function(kernels, "vector_add"), 1, 32, 0, p), CUDA_SUCCESS);
  emulator_download(got, there, sizeof got);
  for (int i = 0; i < 32; i++) assert_true(got[i] == 2.0f);
  emulator_expect_none();
  assert_false(cu.release(there) || cu.context_release(1) || cu.context_release(0));
  emulator_expect_none();
}

static void copies_beyond_an_allocation(void **unused) {
  (void)unused;
  char bytes[128] = {0};
  CUdeviceptr p = emulator_room(100);
  assert_int_equal(cu.upload(p, bytes, 100), CUDA_SUCCESS);
  assert_int_equal(cu.upload(p, bytes, 101), CUDA_ERROR_INVALID_VALUE);
  assert_true(emulator_reported("out-of-bounds"));
  assert_false(cu.release(p));
}

/* ---- streams ---- */

/* y = x + x on one stream, z = y + y on another; right with an event between them. */
static void use_two_streams(bool with_event, const char *order) {
  enum { N = 64 };
  float from[N], to[N];
  for (int i = 0; i < N; i++) from[i] = (float)i;
  CUstream a = NULL, b = NULL;
  CUevent e = NULL;
  assert_int_equal(cu.set(order), 0);
  assert_false(cu.stream_create(&a, 1) || cu.stream_create(&b, 1) || cu.event_create(&e, 0));
  CUdeviceptr dx = emulator_upload(from, sizeof from), dy = emulator_upload(from, sizeof from),
              dz = emulator_room(sizeof to);
  int n = N;
  void *p[] = {&dy, &dx, &dx, &n}, *q[] = {&dz, &dy, &dy, &n};
  const CUfunction add = emulator_function(kernels, "vector_add");
  assert_int_equal(cu.launch(add, 1, 1, 1, N, 1, 1, 0, a, p, NULL), CUDA_SUCCESS);
  assert_int_equal(cu.event_record(e, a), CUDA_SUCCESS);
  if (with_event) assert_int_equal(cu.stream_wait(b, e, 0), CUDA_SUCCESS);
  assert_int_equal(cu.launch(add, 1, 1, 1, N, 1, 1, 0, b, q, NULL), CUDA_SUCCESS);
  if (with_event) {
    assert_int_equal(cu.stream_synchronize(b), CUDA_SUCCESS);
    emulator_download(to, dz, sizeof to);
    for (int i = 0; i < N; i++) assert_true(to[i] == 4.0f * (float)i);
    emulator_expect_none();
  } else {
    assert_int_equal(cu.synchronize(), CUDA_ERROR_LAUNCH_FAILED);
    assert_true(emulator_reported("stream-order"));
  }
  cu.clear();
  assert_false(cu.release(dx) || cu.release(dy) || cu.release(dz));
  assert_false(cu.stream_destroy(a) || cu.stream_destroy(b) || cu.event_destroy(e));
}

static void order_of_streams(void **unused) {
  (void)unused;
  for (int o = 0; o < N_ORDERS; o++) {
    use_two_streams(true, orders[o]);
    use_two_streams(false, orders[o]);
  }
}

/* An upload is read from pinned memory when its turn comes: who changes it before gets what he asked for. */
static void copies_are_late(void **unused) {
  (void)unused;
  int *pinned = NULL, got = 0, pageable = 7;
  CUstream s = NULL;
  assert_false(cu.host_alloc((void **)&pinned, 64, 0) || cu.stream_create(&s, 1));
  CUdeviceptr p = emulator_room(4);
  *pinned = 1;
  assert_int_equal(cu.upload_async(p, pinned, 4, s), CUDA_SUCCESS);
  *pinned = 2;
  assert_int_equal(cu.stream_synchronize(s), CUDA_SUCCESS);
  emulator_download(&got, p, 4);
  assert_int_equal(got, 2);
  assert_int_equal(cu.upload_async(p, &pageable, 4, s), CUDA_SUCCESS); /* pageable memory is read at once */
  pageable = 8;
  assert_int_equal(cu.stream_synchronize(s), CUDA_SUCCESS);
  emulator_download(&got, p, 4);
  assert_int_equal(got, 7);
  emulator_expect_none();
  assert_false(cu.release(p) || cu.host_free(pinned) || cu.stream_destroy(s));
}

/* ---- failures that are asked for, limits, and errors of modules ---- */

static void fails_the_nth_call(void **unused) {
  (void)unused;
  char option[32];
  for (int n = 1; n <= 3; n++) {
    (void)snprintf(option, sizeof option, "fail=%d", n);
    assert_int_equal(cu.set(option), 0);
    CUdeviceptr p = 0;
    for (int i = 1; i <= 3; i++) {
      const CUresult r = cu.alloc(&p, 16);
      assert_int_equal(r, i == n ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS);
      if (!r) assert_int_equal(cu.release(p), CUDA_SUCCESS);
    }
    assert_int_equal(cu.calls(), 3);
  }
  assert_int_equal(cu.set("fail=1,fail_code=719"), 0);
  assert_int_equal(cu.synchronize(), 719);
  assert_int_equal(cu.set("fail=0,fail_code=0"), 0);
  assert_int_equal(cu.set("fails=1"), -1);
  assert_int_equal(cu.set("profile=none"), -1);
}

static void refuses_what_a_device_has_not(void **unused) {
  (void)unused;
  int n = 1;
  void *p[] = {&y, &x, &x, &n};
  const CUfunction f = emulator_function(kernels, "vector_add");
  assert_int_equal(cu.launch(f, 1, 1, 1, 1025, 1, 1, 0, NULL, p, NULL), CUDA_ERROR_INVALID_VALUE);
  assert_int_equal(cu.launch(f, 1, 1, 1, 32, 1, 1, 48 * 1024 + 1, NULL, p, NULL), CUDA_ERROR_INVALID_VALUE);
  assert_int_equal(cu.launch(f, 0, 1, 1, 32, 1, 1, 0, NULL, p, NULL), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr large;
  assert_int_equal(cu.alloc(&large, (size_t)1 << 30), CUDA_ERROR_OUT_OF_MEMORY);
  int count = 0;
  assert_false(cu.device_count(&count));
  assert_int_equal(count, 2);
}

static void expect_error(const char *text, const char *sentence) {
  CUmodule m;
  cu.clear();
  assert_int_equal(cu.module_load(&m, text), CUDA_ERROR_INVALID_PTX);
  assert_int_equal(cu.report_count(), 1);
  if (!strstr(cu.report(0), sentence)) fail_msg("\"%s\" does not hold \"%s\"", cu.report(0), sentence);
}

#define HEAD ".version 8.0\n.target sm_80\n.address_size 64\n"

static void names_the_line_of_an_error(void **unused) {
  (void)unused;
  expect_error(HEAD ".visible .entry f()\n{\n.reg .b32 %r<2>;\nadd.s32 %r1, %r1, %r2;\nret;\n}\n",
               "line 7: %r2 is not declared");
  expect_error(HEAD ".visible .entry f()\n{\nbra $L1;\n}\n", "line 6: there is no label $L1");
  expect_error(HEAD ".visible .entry f()\n{\n", "line 6: the text ends within a function");
  expect_error(HEAD ".visible .entry f()\n{\ntcgen05.fence::before_thread_sync;\n}\n",
               "line 6: tcgen05 is not supported");
  expect_error(HEAD ".visible .entry f()\n{\n.reg .f32 %f<2>;\nadd.f32.odd %f1, %f1, %f1;\n}\n",
               "line 7: add with .odd is not supported");
  expect_error(HEAD
               ".visible .entry f(.param .b64 p[8])\n{\n.reg .b64 %d<5>;\nld.param.v4.b64 {%d1, %d2, %d3, "
               "%d4}, [p];\n}\n",
               "line 7: an access of more than 16 bytes is not supported");
  expect_error(HEAD ".shared .align 3 .b8 s[4];\n", "line 4: an alignment has to be a power of two");
  expect_error(HEAD ".global .align 4 .b8 s[2] = {1, 2, 3};\n",
               "line 4: more values than the variable holds");
  expect_error(HEAD "\"open", "line 4: \"\"open\" is not PTX");
  expect_error(HEAD ".visible .entry f()\n{\n.reg .b32 %r<99999999>;\n}\n", "is too large here");
}

/* Any prefix of a module is refused or taken; it is never read beyond its end. */
static void bears_every_prefix(void **unused) {
  (void)unused;
  char path[1024];
  (void)snprintf(path, sizeof path, "%s/planted.ptx", WH_TEST_PTX);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  static char text[1 << 16];
  const size_t n = fread(text, 1, sizeof text - 1, f);
  (void)fclose(f);
  for (size_t i = 0; i < n; i += 13) {
    char *prefix = malloc(i + 1);
    assert_non_null(prefix);
    memcpy(prefix, text, i);
    prefix[i] = 0;
    CUmodule m;
    if (!cu.module_load(&m, prefix)) assert_int_equal(cu.module_unload(m), CUDA_SUCCESS);
    free(prefix);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(missing_barriers, fresh),
      cmocka_unit_test_setup(bounds, fresh),
      cmocka_unit_test_setup(copies_that_nobody_waits_for, fresh),
      cmocka_unit_test_setup(barriers, fresh),
      cmocka_unit_test_setup(unset_memory, fresh),
      cmocka_unit_test_setup(races_between_blocks, fresh),
      cmocka_unit_test_setup(alignment, fresh),
      cmocka_unit_test_setup(lanes_that_are_not_there, fresh),
      cmocka_unit_test_setup(freed_memory, fresh),
      cmocka_unit_test_setup(leaks, fresh),
      cmocka_unit_test_setup(two_devices, fresh),
      cmocka_unit_test_setup(copies_beyond_an_allocation, fresh),
      cmocka_unit_test_setup(order_of_streams, fresh),
      cmocka_unit_test_setup(copies_are_late, fresh),
      cmocka_unit_test_setup(fails_the_nth_call, fresh),
      cmocka_unit_test_setup(refuses_what_a_device_has_not, fresh),
      cmocka_unit_test_setup(names_the_line_of_an_error, fresh),
      cmocka_unit_test_setup(bears_every_prefix, fresh),
  };
  return cmocka_run_group_tests(tests, open_emulator, at_end);
}
