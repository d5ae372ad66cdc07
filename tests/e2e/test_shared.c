/* test_shared.c - what sessions of one model share: program and weights, so that a further one takes memory
 * for its own activations and attention state only; and gives the bits that it gives alone. */
#define _XOPEN_SOURCE 700
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

/* Counts the bytes that live. */
typedef struct counter {
  size_t n_bytes;
} counter;

#define HEADER 4096 /* in front of every block: its size; keeps any alignment up to this */

static void *count_alloc(void *ctx, size_t size, size_t align) {
  const size_t front = align > HEADER ? align : HEADER;
  char *p = aligned_alloc(front, (size + front + front - 1) / front * front);
  if (!p) return NULL;
  memcpy(p + front - sizeof size, &size, sizeof size);
  memcpy(p + front - 2 * sizeof size, &front, sizeof front);
  ((counter *)ctx)->n_bytes += size;
  return p + front;
}

static void count_free(void *ctx, void *ptr) {
  size_t size, front;
  char *p = ptr;
  memcpy(&size, p - sizeof size, sizeof size);
  memcpy(&front, p - 2 * sizeof size, sizeof front);
  ((counter *)ctx)->n_bytes -= size;
  free(p - front);
}

static void ok(wh_status st) {
  if (st != WH_OK) fail_msg("%s", wh_last_error()->message);
}

static void run_some(wh_session *s, float logits[SMALL_N_VOCAB]) {
  static const int32_t tokens[] = {3, 9, 4, 17};
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = 4;
  b.tokens = tokens;
  b.n_outputs = 1;
  ok(wh_session_run(s, &b));
  memcpy(logits, wh_session_logits(s, 0), SMALL_N_VOCAB * sizeof *logits);
}

static void a_second_session_is_small(void **state) {
  (void)state;
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "small.gguf");
  small_model_put(path.text, WH_DTYPE_Q8_0, 1024);
  counter c = {0};
  const wh_allocator alloc = {&c, count_alloc, count_free};
  wh_device_options dev = WH_DEVICE_OPTIONS_INIT;
  wh_model_options mo = WH_MODEL_OPTIONS_INIT;
  wh_session_options so = WH_SESSION_OPTIONS_INIT;
  dev.n_threads = 2;
  dev.allocator = mo.allocator = so.allocator = &alloc;
  so.context = 64;
  so.max_batch = 4;
  wh_device *device = NULL;
  wh_model *model = NULL;
  wh_session *first = NULL, *second = NULL, *other = NULL;
  float alone[SMALL_N_VOCAB], a[SMALL_N_VOCAB], b[SMALL_N_VOCAB];
  ok(wh_device_create(&dev, &device));
  ok(wh_model_open(path.text, &mo, &model));
  const size_t before = c.n_bytes;
  ok(wh_session_create(model, device, &so, &first));
  const size_t one = c.n_bytes - before;
  run_some(first, alone);
  const size_t between = c.n_bytes;
  ok(wh_session_create(model, device, &so, &second));
  const size_t two = c.n_bytes - between;
  wh_session_memory memory = WH_SESSION_MEMORY_INIT;
  ok(wh_session_get_memory(second, &memory));
  if (memory.packed_weights) { /* the reference kernels read the file */
    assert_true(one > memory.packed_weights);
    assert_true(two < memory.activations + memory.kv_state + 65536);
    assert_true(two < one / 2);
  }
  so.kv_dtype = WH_DTYPE_F32; /* another program, the same weights */
  const size_t before_other = c.n_bytes;
  ok(wh_session_create(model, device, &so, &other));
  if (memory.packed_weights) assert_true(c.n_bytes - before_other < memory.packed_weights / 2);
  ok(wh_session_truncate(first, 0, 0));
  run_some(second, b);
  run_some(first, a);
  assert_memory_equal(a, alone, sizeof alone);
  assert_memory_equal(b, alone, sizeof alone);
  wh_session_destroy(first); /* the others keep what they share */
  ok(wh_session_truncate(second, 0, 0));
  run_some(second, b);
  assert_memory_equal(b, alone, sizeof alone);
  wh_session_destroy(second);
  run_some(other, b);
  wh_session_destroy(other);
  assert_int_equal(c.n_bytes, before); /* weights and programs go with the last session */
  wh_model_destroy(model);
  wh_device_destroy(device);
  assert_int_equal(c.n_bytes, 0);
  temp_folder_remove(&folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_second_session_is_small)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
