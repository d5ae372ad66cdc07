/* test_cuda_graphs.c - steps that are submitted again are recorded and launched as one graph: the bits of
 * single launches, far fewer calls of the driver, and nothing that is left. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

/* clang-format off */
#include "backends/cuda/cuda_backend.h"
#include "backends/hip/hip_backend.h"
#include "core/base/hash.h"
#include "tests/backend/small_block.h"
#include "tests/backend/targets.h"
#include "tests/cuda/emulator_options.h"
#include <cmocka.h>
/* clang-format on */

enum { MOST_ROWS = 12, CONTEXT = 64 };

static suite_target target;

#define OK(call)                                                   \
  do {                                                             \
    if ((call) != WH_OK) fail_msg("%s", wh_last_error()->message); \
  } while (0)

typedef struct session {
  suite s;
  small_block m;
  executor *x;
} session;

static void begin(session *n) {
  n->s = (suite){.target = &target, .random = 5};
  n->m = small_block_make(&n->s, MOST_ROWS, CONTEXT);
  int64_t *dims = case_dims(n->m.c, MOST_ROWS);
  OK(executor_create(&target, n->m.c->g, dims, NULL, &n->x));
  free(dims);
}

static void bind(session *n, int64_t rows) {
  int64_t *dims = case_dims(n->m.c, rows);
  OK(executor_bind(n->x, dims));
  free(dims);
}

static void end(session *n) {
  executor_destroy(n->x);
  case_free(n->m.c);
}

/* The calls that submitting takes. */
static unsigned step(session *n, int64_t position, bool at_once) {
  small_block_inputs(&n->m, position);
  OK(small_block_write(&n->m, n->x));
  emulator_options("fail=0"); /* counts from here on */
  const size_t n_steps = executor_n_steps(n->x);
  for (size_t i = 0; i < n_steps; i += at_once ? n_steps : 1)
    OK(executor_run(n->x, i, at_once ? n_steps : 1)); /* single steps are never recorded */
  return emulator_calls();
}

static wh_hash128 hash_of(session *n) {
  OK(executor_read(n->x, n->m.logits, n->m.c->data[n->m.logits]));
  return wh_hash_bytes(n->m.c->data[n->m.logits], n->m.c->n_bytes[n->m.logits]);
}

/* Positions move on in the same frame, as in decoding. */
static void test_tokens(void **state) {
  (void)state;
  session a, b;
  unsigned calls[6];
  begin(&a);
  begin(&b);
  bind(&a, 1);
  bind(&b, 1);
  for (int i = 0; i < 6; i++) {
    calls[i] = step(&a, i, true);
    (void)step(&b, i, false);
    const wh_hash128 with = hash_of(&a), without = hash_of(&b);
    if (!wh_hash_equal(with, without)) fail_msg("token %d has other bits in a graph", i);
  }
  print_message("calls of the driver for a token: %u launched, %u recorded, %u as a graph\n", calls[0],
                calls[1], calls[2]);
  assert_true(calls[2] * 4 < calls[1]);
  for (int i = 3; i < 6; i++) assert_int_equal(calls[i], calls[2]);
  end(&a);
  end(&b);
}

/* Other dims have other launches; those that come back have their graph still, unless too many came between.
 */
static void test_shapes(void **state) {
  (void)state;
  session a, b;
  begin(&a);
  begin(&b);
  for (int turn = 0; turn < 3; turn++)
    for (int64_t rows = 1; rows <= 4; rows++) {
      bind(&a, rows);
      bind(&b, rows);
      const unsigned calls = step(&a, 2 * rows, true);
      (void)step(&b, 2 * rows, false);
      const wh_hash128 with = hash_of(&a), without = hash_of(&b);
      if (!wh_hash_equal(with, without)) fail_msg("%d rows, turn %d: other bits", (int)rows, turn);
      if (turn == 2) assert_true(calls < 10);
    }
  for (int turn = 0; turn < 3; turn++)
    for (int64_t rows = 1; rows <= MOST_ROWS; rows++) {
      bind(&a, rows);
      const unsigned calls = step(&a, 0, true);
      if (rows > 4 || turn) assert_true(calls >= 10); /* more shapes than a queue keeps */
    }
  end(&a);
  end(&b);
}

/* The option: every step is launched, however often it comes. */
static void test_off(void **state) {
  (void)state;
  const suite_target kept = target;
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.name = "cuda:emulated";
  o.gpu_graphs = WH_GPU_GRAPHS_OFF;
  OK(target.backend->open(0, &o, &target.dev));
  session a;
  unsigned calls[4];
  begin(&a);
  bind(&a, 1);
  for (int i = 0; i < 4; i++) calls[i] = step(&a, i, true);
  assert_int_equal(calls[3], calls[1]);
  assert_true(calls[3] > 15);
  end(&a);
  target.backend->close(target.dev);
  target = kept;
}

#ifdef WH_SIMT /* HIP, whose kernels the host runs */
static void test_hip(void **state) {
  (void)state;
  const suite_target kept = target;
  wh_hip_library_path(WH_SIMT);
  OK(target_open(&wh_backend_hip, NULL, 1, NULL, &target));
  session a, b;
  begin(&a);
  begin(&b);
  for (int i = 0; i < 8; i++) {
    bind(&a, i % 2 + 1);
    bind(&b, i % 2 + 1);
    (void)step(&a, i, true);
    (void)step(&b, i, false);
    const wh_hash128 with = hash_of(&a), without = hash_of(&b);
    if (!wh_hash_equal(with, without)) fail_msg("run %d has other bits in a graph", i);
  }
  end(&a);
  end(&b);
  target.backend->close(target.dev);
  void *library = dlopen(WH_SIMT, RTLD_NOW | RTLD_NOLOAD);
  assert_non_null(library);
  union {
    void *address;
    uint64_t (*count)(void);
  } left = {dlsym(library, "simt_left")};
  assert_non_null(left.address);
  assert_int_equal(left.count(), 0);
  target = kept;
}
#endif

static int open_device(void **state) {
  (void)state;
  emulator_options("strict,seed=4,memory=256");
  return target_open(&wh_backend_cuda, NULL, 1, NULL, &target) == WH_OK ? 0 : -1;
}

static int close_device(void **state) {
  (void)state;
  target.backend->close(target.dev);
  return (int)emulator_take_reports(); /* of leaks, too */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_off),
#ifdef WH_SIMT
      cmocka_unit_test(test_hip),
#endif
  };
  return cmocka_run_group_tests_name("cuda_graphs", tests, open_device, close_device);
}
