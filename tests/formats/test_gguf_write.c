/* test_gguf_write.c - what the writer writes is what the reader reads, and what gguf-py writes; what it
 * refuses; what it leaves behind when the disk is full. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>

#include "formats/gguf_write.h"
#include "formats/limits.h"
#include "tests/base/temp_folder.h"

static temp_folder folder;

static int set_up(void **state) {
  (void)state;
  folder = temp_folder_create();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  return 0;
}

static wh_model_file *opened(const char *path) {
  wh_model_file *f = NULL;
  if (wh_model_file_open(path, NULL, &f) != WH_OK) fail_msg("refused: %s", wh_last_error()->message);
  return f;
}

static void written(const char *path, const wh_gguf_content *content) {
  if (wh_gguf_write(path, content, NULL) != WH_OK) fail_msg("not written: %s", wh_last_error()->message);
}

static wh_weight_view weight(const char *name, wh_dtype dtype, int64_t rows, int64_t cols, const void *data) {
  return (wh_weight_view){
      .name = wh_str_from(name), .dtype = dtype, .rank = 2, .dims = {rows, cols}, .data = data};
}

static void same_files(const char *a, const char *b) {
  wh_file *x, *y;
  assert_int_equal(wh_file_open(a, NULL, &x), WH_OK);
  assert_int_equal(wh_file_open(b, NULL, &y), WH_OK);
  assert_int_equal(wh_file_size(x), wh_file_size(y));
  assert_memory_equal(wh_file_data(x), wh_file_data(y), wh_file_size(x));
  wh_file_close(x);
  wh_file_close(y);
}

/* All that a file says, as the writer wants it. */
static wh_gguf_content content_of(const wh_model_file *f) {
  return (wh_gguf_content){.meta = wh_model_file_meta(f, 0),
                           .n_meta = wh_model_file_n_meta(f),
                           .weights = wh_model_file_weight(f, 0),
                           .n_weights = wh_model_file_n_weights(f)};
}

static void the_reference_file_is_read(void **state) {
  (void)state;
  wh_model_file *f = opened(WH_TEST_DATA_DIR "/gguf_py.gguf");
  int64_t n = 0;
  wh_str s;
  assert_int_equal(wh_model_file_get_int(f, "u64", 0, INT64_MAX, &n), WH_OK);
  assert_true(n == INT64_MAX);
  assert_int_equal(wh_model_file_get_string(f, "string", &s), WH_OK);
  assert_true(wh_str_is(s, "na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97"));
  const wh_meta_value *v = wh_model_file_find_meta(f, "ints");
  assert_true(v->n == 3 && v->ints[1] == -2);
  v = wh_model_file_find_meta(f, "bools");
  assert_true(v->n == 3 && v->elem_kind == WH_META_BOOL && v->ints[0] == 1 && v->ints[1] == 0);
  const wh_weight_view *cube = wh_model_file_find_weight(f, "cube");
  assert_true(cube->rank == 3 && cube->dims[0] == 2 && cube->dims[1] == 3 && cube->dims[2] == 5);
  for (int32_t i = 0; i < 30; i++) {
    int32_t x;
    memcpy(&x, (const uint8_t *)cube->data + 4 * i, sizeof x);
    assert_int_equal(x, i);
  }
  assert_int_equal(wh_model_file_find_weight(f, "q4_1.weight")->n_bytes, 3 * 2 * 20);
  wh_model_file_weight_dont_need(f, cube);
  wh_model_file_close(f);
}

static void the_reference_file_is_reproduced(void **state) {
  (void)state;
  temp_path copy = temp_path_of(&folder, "copy.gguf");
  wh_model_file *f = opened(WH_TEST_DATA_DIR "/gguf_py.gguf");
  wh_gguf_content content = content_of(f);
  written(copy.text, &content);
  wh_model_file_close(f);
  same_files(WH_TEST_DATA_DIR "/gguf_py.gguf", copy.text);
}

static void alignment_is_obeyed(void **state) {
  (void)state;
  static const uint8_t bytes[40] = {1, 2, 3};
  wh_meta_entry meta[] = {wh_gguf_meta_u32("general.alignment", 4096), wh_gguf_meta_f32("x", 0.5f),
                          wh_gguf_meta_bool("y", true), wh_gguf_meta_string("z", "s")};
  wh_weight_view w[] = {weight("a", WH_DTYPE_F32, 2, 5, bytes), weight("b", WH_DTYPE_I8, 4, 10, bytes)};
  wh_gguf_content content = {.meta = meta, .n_meta = 4, .weights = w, .n_weights = 2};
  temp_path path = temp_path_of(&folder, "aligned.gguf");
  written(path.text, &content);
  wh_model_file *f = opened(path.text);
  assert_string_equal(wh_model_file_format(f), "GGUF v3");
  for (size_t i = 0; i < 2; i++) {
    const wh_weight_view *r = wh_model_file_weight(f, i);
    assert_int_equal((uintptr_t)r->data % 4096, 0); /* a mapping begins at a page */
    assert_int_equal(r->n_bytes, 40);
    assert_memory_equal(r->data, bytes, 40);
  }
  assert_int_equal(wh_model_file_total_bytes(f), 3 * 4096);
  double x;
  assert_int_equal(wh_model_file_get_float(f, "x", &x), WH_OK);
  assert_true(x == 0.5);
  wh_model_file_close(f);
}

/* ---- weights made while writing ---- */

typedef struct producer {
  size_t n_bytes, step;
  wh_status status;
} producer;

static wh_status produce(void *ctx, size_t i, wh_file_writer *file) {
  const producer *p = ctx;
  for (size_t at = 0; at < p->n_bytes; at += p->step) {
    uint8_t chunk[64];
    memset(chunk, (int)i + 1, sizeof chunk);
    size_t n = p->n_bytes - at < p->step ? p->n_bytes - at : p->step;
    WH_TRY(wh_file_writer_append(file, chunk, n));
  }
  return p->status == WH_OK ? WH_OK : WH_FAIL(ERR_CANCELLED, "stopped");
}

static wh_gguf_content produced_content(const wh_weight_view *w, producer *p) {
  return (wh_gguf_content){.weights = w, .n_weights = 2, .produce = produce, .ctx = p};
}

static void weights_may_be_produced(void **state) {
  (void)state;
  wh_weight_view w[] = {weight("a", WH_DTYPE_F32, 7, 100, NULL), weight("b", WH_DTYPE_F32, 7, 100, NULL)};
  producer p = {2800, 64, WH_OK};
  wh_gguf_content content = produced_content(w, &p);
  temp_path path = temp_path_of(&folder, "p.gguf");
  written(path.text, &content);
  wh_model_file *f = opened(path.text);
  for (size_t i = 0; i < 2; i++)
    for (size_t k = 0; k < 2800; k++)
      assert_int_equal(((const uint8_t *)wh_model_file_weight(f, i)->data)[k], i + 1);
  wh_model_file_close(f);
}

static void a_failing_producer_leaves_no_file(void **state) {
  (void)state;
  wh_weight_view w[] = {weight("a", WH_DTYPE_F32, 7, 100, NULL), weight("b", WH_DTYPE_F32, 7, 100, NULL)};
  producer fails = {2800, 64, WH_ERR_CANCELLED}, short_of_bytes = {2799, 64, WH_OK};
  temp_path path = temp_path_of(&folder, "p.gguf");
  wh_gguf_content content = produced_content(w, &fails);
  assert_int_equal(wh_gguf_write(path.text, &content, NULL), WH_ERR_CANCELLED);
  content.ctx = &short_of_bytes;
  assert_int_equal(wh_gguf_write(path.text, &content, NULL), WH_ERR_INTERNAL);
  assert_non_null(
      strstr(wh_last_error()->message, "p.gguf: tensor 'a': 2799 bytes were produced, want 2800"));
  assert_int_equal(temp_folder_count(&folder), 0);
}

/* ---- refusals ---- */

static void refused_content(const wh_gguf_content *content, wh_status status, const char *part) {
  temp_path path = temp_path_of(&folder, "refused.gguf");
  assert_int_equal(wh_gguf_write(path.text, content, NULL), status);
  if (!strstr(wh_last_error()->message, part) || !strstr(wh_last_error()->message, "refused.gguf: "))
    fail_msg("message is \"%s\", want \"%s\"", wh_last_error()->message, part);
  assert_int_equal(temp_folder_count(&folder), 0);
}

static void refused_meta(wh_meta_entry e, wh_status status, const char *part) {
  refused_content(&(wh_gguf_content){.meta = &e, .n_meta = 1}, status, part);
}

static void refused_weight(wh_weight_view w, const char *part) {
  refused_content(&(wh_gguf_content){.weights = &w, .n_weights = 1}, WH_ERR_INVALID_ARGUMENT, part);
}

static void bad_metadata_is_refused(void **state) {
  (void)state;
  static const int64_t ints[] = {1, 300};
  wh_meta_value array = {.kind = WH_META_ARRAY, .elem_kind = WH_META_INT, .n = 2, .ints = ints};
  refused_meta(wh_gguf_meta_u32("", 1), WH_ERR_INVALID_ARGUMENT, "metadata ''");
  refused_meta(
      (wh_meta_entry){wh_str_from("k"), {.kind = WH_META_INT, .file_type = WH_GGUF_VALUE_U8, .i = 256}},
      WH_ERR_INVALID_ARGUMENT, "metadata 'k': 256 does not fit its type, 0 to 255");
  refused_meta((wh_meta_entry){wh_str_from("k"),
                               {.kind = WH_META_INT, .file_type = WH_GGUF_VALUE_I32, .i = INT64_MIN}},
               WH_ERR_INVALID_ARGUMENT, "does not fit its type, -2147483648 to 2147483647");
  refused_meta(
      (wh_meta_entry){wh_str_from("k"), {.kind = WH_META_INT, .file_type = WH_GGUF_VALUE_U64, .i = -1}},
      WH_ERR_INVALID_ARGUMENT, "-1 does not fit");
  refused_meta(
      (wh_meta_entry){wh_str_from("k"), {.kind = WH_META_BOOL, .file_type = WH_GGUF_VALUE_BOOL, .i = 2}},
      WH_ERR_INVALID_ARGUMENT, "2 does not fit");
  refused_meta((wh_meta_entry){wh_str_from("k"), {.kind = WH_META_INT, .file_type = WH_GGUF_VALUE_F32}},
               WH_ERR_INVALID_ARGUMENT, "metadata 'k': GGUF type 6 does not suit the value");
  refused_meta((wh_meta_entry){wh_str_from("k"), {.kind = WH_META_INT, .file_type = 13}},
               WH_ERR_INVALID_ARGUMENT, "GGUF type 13");
  array.file_type = WH_GGUF_VALUE_ARRAY;
  array.elem_kind = WH_META_ARRAY;
  refused_meta((wh_meta_entry){wh_str_from("k"), array}, WH_ERR_INVALID_ARGUMENT, "GGUF type 9");
  array.file_type = WH_GGUF_VALUE_I8;
  array.elem_kind = WH_META_INT;
  refused_meta((wh_meta_entry){wh_str_from("k"), array}, WH_ERR_INVALID_ARGUMENT, "300 does not fit");
  refused_meta(wh_gguf_meta_u32("general.alignment", 24), WH_ERR_INVALID_ARGUMENT, "want a power of two");
  wh_meta_entry twice[] = {wh_gguf_meta_u32("k", 1), wh_gguf_meta_u32("k", 1)};
  refused_content(&(wh_gguf_content){.meta = twice, .n_meta = 2}, WH_ERR_CORRUPT,
                  "metadata 'k': the key occurs twice");
}

static void bad_weights_are_refused(void **state) {
  (void)state;
  static const uint8_t bytes[1024];
  refused_weight(weight("", WH_DTYPE_F32, 1, 1, bytes), "tensor ''");
  refused_weight(weight("w", WH_DTYPE_U8, 1, 1, bytes), "tensor 'w': GGUF has no type for u8");
  refused_weight(weight("w", WH_DTYPE_Q4_K, 2, 128, bytes), "the last in whole blocks of q4_k");
  refused_weight(weight("w", WH_DTYPE_F32, 0, 1, bytes), "positive dimensions");
  refused_weight(weight("w", WH_DTYPE_F32, 1, -1, bytes), "positive dimensions");
  refused_weight(weight("w", WH_DTYPE_F32, INT64_MAX, 4, bytes), "positive dimensions");
  refused_weight(weight("w", WH_DTYPE_F32, 1, 1, NULL), "tensor 'w': has no data");
  wh_weight_view deep = weight("w", WH_DTYPE_F32, 1, 1, bytes);
  deep.rank = 5;
  refused_weight(deep, "want 1 to 4 positive dimensions");
  wh_weight_view twice[] = {weight("w", WH_DTYPE_F32, 1, 1, bytes), weight("w", WH_DTYPE_F32, 1, 1, bytes)};
  refused_content(&(wh_gguf_content){.weights = twice, .n_weights = 2}, WH_ERR_CORRUPT,
                  "tensor 'w': the name occurs twice");
}

static void what_could_not_be_read_back_is_refused(void **state) {
  (void)state;
  static const wh_str one_string;
  refused_content(&(wh_gguf_content){.n_meta = WH_LIMIT_META_ENTRIES + 1}, WH_ERR_LIMIT,
                  "65537 metadata entries");
  refused_content(&(wh_gguf_content){.n_weights = WH_LIMIT_WEIGHTS + 1}, WH_ERR_LIMIT, "262145 tensors");
  /* The limits are checked before an array is looked at. */
  wh_meta_value array = {.kind = WH_META_ARRAY,
                         .elem_kind = WH_META_STRING,
                         .file_type = WH_GGUF_VALUE_STRING,
                         .n = WH_LIMIT_ARRAY_ELEMS + 1,
                         .strings = &one_string};
  refused_meta((wh_meta_entry){wh_str_from("k"), array}, WH_ERR_LIMIT, "metadata 'k': 16777217 elements");
  array.n = WH_LIMIT_ARRAY_ELEMS;
  wh_meta_entry five[] = {{wh_str_from("a"), array},
                          {wh_str_from("b"), array},
                          {wh_str_from("c"), array},
                          {wh_str_from("d"), array},
                          {wh_str_from("e"), array}};
  refused_content(&(wh_gguf_content){.meta = five, .n_meta = 5}, WH_ERR_LIMIT, "83886080 elements in all");
  wh_weight_view huge[] = {weight("a", WH_DTYPE_I8, 1, INT64_MAX, &one_string),
                           weight("b", WH_DTYPE_I8, 1, INT64_MAX, &one_string)};
  refused_content(&(wh_gguf_content){.weights = huge, .n_weights = 2}, WH_ERR_LIMIT,
                  "tensor 'b': the file would be larger than 64 bits can count");
}

static void a_full_disk_keeps_the_old_file(void **state) {
  (void)state;
  static uint8_t bytes[200000];
  temp_path path = temp_path_of(&folder, "m.gguf");
  wh_weight_view w = weight("w", WH_DTYPE_I8, 200, 1000, bytes);
  wh_meta_entry old = wh_gguf_meta_string("k", "old");
  written(path.text, &(wh_gguf_content){.meta = &old, .n_meta = 1});
  struct rlimit unlimited, limited;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN); /* write() then fails with EFBIG */
  /* the header, the middle of the data, the last byte */
  static const rlim_t limits[] = {10, 100000, 200063};
  for (size_t i = 0; i < 3; i++) {
    limited = unlimited;
    limited.rlim_cur = limits[i];
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
    wh_status status = wh_gguf_write(path.text, &(wh_gguf_content){.weights = &w, .n_weights = 1}, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    assert_int_equal(status, WH_ERR_IO);
    assert_non_null(strstr(wh_last_error()->message, "m.gguf: cannot write: "));
    assert_int_equal(temp_folder_count(&folder), 1);
  }
  (void)signal(SIGXFSZ, old_handler);
  wh_model_file *f = opened(path.text);
  assert_non_null(wh_model_file_find_meta(f, "k"));
  wh_model_file_close(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_reference_file_is_read),
      cmocka_unit_test_setup_teardown(the_reference_file_is_reproduced, set_up, tear_down),
      cmocka_unit_test_setup_teardown(alignment_is_obeyed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(weights_may_be_produced, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_failing_producer_leaves_no_file, set_up, tear_down),
      cmocka_unit_test_setup_teardown(bad_metadata_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(bad_weights_are_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_could_not_be_read_back_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_full_disk_keeps_the_old_file, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
