/* test_gguf_faults.c - reading and writing with the 1st, 2nd, 3rd ... allocation failing, until one succeeds.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "formats/gguf_write.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"

#define MODEL WH_TEST_DATA_DIR "/gguf_py.gguf"

/* Whether attempt k succeeded. */
static bool attempt(const failing_allocator *a, wh_status status, size_t k, size_t least) {
  assert_int_equal(a->n_live, 0);
  if (status == WH_OK) {
    assert_true(k > least); /* the failures did reach the code under test */
    return true;
  }
  assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
  assert_int_equal(wh_last_error()->status, WH_ERR_OUT_OF_MEMORY);
  return false;
}

static void open_file(void **state) {
  (void)state;
  for (size_t k = 1;; k++) {
    failing_allocator a;
    wh_model_file *f = NULL;
    wh_status status = wh_model_file_open(MODEL, failing_allocator_init(&a, k), &f);
    assert_true((f != NULL) == (status == WH_OK));
    wh_model_file_close(f);
    if (attempt(&a, status, k, 10)) return;
  }
}

static void open_memory(void **state) {
  (void)state;
  wh_file *file;
  assert_int_equal(wh_file_open(MODEL, NULL, &file), WH_OK);
  for (size_t k = 1;; k++) {
    failing_allocator a;
    wh_model_file *f = NULL;
    wh_status status = wh_model_file_open_memory("x", wh_file_data(file), wh_file_size(file),
                                                 failing_allocator_init(&a, k), &f);
    assert_true((f != NULL) == (status == WH_OK));
    wh_model_file_close(f);
    if (attempt(&a, status, k, 8)) break;
  }
  wh_file_close(file);
}

static void write_file(void **state) {
  (void)state;
  temp_folder folder = temp_folder_create();
  wh_model_file *f;
  assert_int_equal(wh_model_file_open(MODEL, NULL, &f), WH_OK);
  wh_gguf_content content = {.meta = wh_model_file_meta(f, 0),
                             .n_meta = wh_model_file_n_meta(f),
                             .weights = wh_model_file_weight(f, 0),
                             .n_weights = wh_model_file_n_weights(f)};
  for (size_t k = 1;; k++) {
    failing_allocator a;
    wh_status status =
        wh_gguf_write(temp_path_of(&folder, "m.gguf").text, &content, failing_allocator_init(&a, k));
    assert_int_equal(temp_folder_count(&folder), status == WH_OK ? 1 : 0);
    if (attempt(&a, status, k, 6)) break;
  }
  wh_model_file_close(f);
  temp_folder_remove(&folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(open_file), cmocka_unit_test(open_memory),
                                     cmocka_unit_test(write_file)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
