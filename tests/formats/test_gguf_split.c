/* test_gguf_split.c - models of several files: opened from any part, and each way in which parts may not fit.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "formats/model_file.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/formats/gguf_bytes.h"

static temp_folder folder;
static gguf_bytes b;
static size_t parts_bytes; /* of all files that set_up has saved */

typedef struct part {
  uint16_t no, count;
  int32_t n_tensors;
  const char *tensor;
} part;

static temp_path part_path(int no, int count) {
  char name[64];
  (void)snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", no + 1, count);
  return temp_path_of(&folder, name);
}

static void save(const char *path) { assert_int_equal(wh_file_write(path, b.data, b.n, NULL), WH_OK); }

/* A part with one tensor, whose data says which part it is; the first part has the model's metadata. */
static void save_part(const char *path, part p) {
  gb_header(&b, 3, 1, p.no == 0 ? 4 : 3);
  gb_meta_u16(&b, "split.no", p.no);
  gb_meta_u16(&b, "split.count", p.count);
  gb_meta_i32(&b, "split.tensors.count", p.n_tensors);
  if (p.no == 0) gb_meta_str(&b, "general.architecture", "llama");
  gb_tensor_2d(&b, p.tensor, 8, 1, 24, 0);
  gb_pad(&b, 32);
  for (int i = 0; i < 8; i++) gb_u8(&b, (uint8_t)(p.no + 1));
  save(path);
}

static int set_up(void **state) {
  (void)state;
  static const char *tensors[] = {"a", "b", "c"};
  folder = temp_folder_create();
  parts_bytes = 0;
  for (uint16_t no = 0; no < 3; no++) {
    save_part(part_path(no, 3).text, (part){no, 3, 3, tensors[no]});
    parts_bytes += b.n;
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  return 0;
}

static void refused_from(int no, wh_status status, const char *message_part) {
  wh_model_file *f = NULL;
  assert_int_equal(wh_model_file_open(part_path(no, 3).text, NULL, &f), status);
  assert_null(f);
  if (!strstr(wh_last_error()->message, message_part) || !strstr(wh_last_error()->message, "/m-0000"))
    fail_msg("message is \"%s\", want \"%s\"", wh_last_error()->message, message_part);
}

static void every_part_opens_the_model(void **state) {
  (void)state;
  for (int no = 0; no < 3; no++) {
    wh_model_file *f = NULL;
    if (wh_model_file_open(part_path(no, 3).text, NULL, &f) != WH_OK)
      fail_msg("%s", wh_last_error()->message);
    assert_string_equal(wh_model_file_path(f), part_path(0, 3).text);
    assert_int_equal(wh_model_file_n_weights(f), 3);
    assert_non_null(wh_model_file_find_meta(f, "general.architecture"));
    static const char *names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
      const wh_weight_view *w = wh_model_file_weight(f, i);
      assert_ptr_equal(w, wh_model_file_find_weight(f, names[i]));
      assert_int_equal(((const uint8_t *)w->data)[7], i + 1);
      wh_model_file_weight_dont_need(f, w);
      assert_int_equal(((const uint8_t *)w->data)[0], i + 1);
    }
    assert_int_equal(wh_model_file_total_bytes(f), parts_bytes);
    wh_model_file_close(f);
  }
}

static void many_parts_are_all_found_by_name(void **state) {
  (void)state;
  for (uint16_t no = 0; no < 40; no++) {
    char name[8];
    (void)snprintf(name, sizeof name, "t%d", no);
    save_part(part_path(no, 40).text, (part){no, 40, 40, name});
  }
  wh_model_file *f = NULL;
  assert_int_equal(wh_model_file_open(part_path(17, 40).text, NULL, &f), WH_OK);
  assert_int_equal(wh_model_file_n_weights(f), 40);
  for (uint16_t no = 0; no < 40; no++) {
    char name[8];
    (void)snprintf(name, sizeof name, "t%d", no);
    const wh_weight_view *w = wh_model_file_find_weight(f, name);
    assert_ptr_equal(w, wh_model_file_weight(f, no));
    assert_int_equal(*(const uint8_t *)w->data, no + 1);
  }
  assert_null(wh_model_file_find_weight(f, "t40"));
  wh_model_file_close(f);
}

static void a_count_of_one_is_not_split(void **state) {
  (void)state;
  for (uint16_t count = 0; count < 2; count++) {
    temp_path path = temp_path_of(&folder, "whole.gguf");
    save_part(path.text, (part){0, count, 1, "a"});
    wh_model_file *f = NULL;
    assert_int_equal(wh_model_file_open(path.text, NULL, &f), WH_OK);
    assert_int_equal(wh_model_file_n_weights(f), 1);
    wh_model_file_close(f);
  }
}

static void a_missing_part_is_named(void **state) {
  (void)state;
  (void)remove(part_path(1, 3).text);
  refused_from(0, WH_ERR_NOT_FOUND, "m-00002-of-00003.gguf: part 2 of 3 of the model is missing");
  (void)remove(part_path(0, 3).text);
  refused_from(2, WH_ERR_NOT_FOUND, "m-00001-of-00003.gguf: part 1 of 3 of the model is missing");
}

static void a_renamed_part_is_refused(void **state) {
  (void)state;
  temp_path path = temp_path_of(&folder, "renamed.gguf");
  wh_model_file *f = NULL;
  assert_int_equal(rename(part_path(1, 3).text, path.text), 0);
  assert_int_equal(wh_model_file_open(path.text, NULL, &f), WH_ERR_INVALID_ARGUMENT);
  assert_non_null(strstr(wh_last_error()->message, "must be named NAME-00002-of-00003.gguf"));
  path = temp_path_of(&folder, "m");
  save_part(path.text, (part){1, 3, 3, "b"}); /* shorter than the suffix */
  assert_int_equal(wh_model_file_open(path.text, NULL, &f), WH_ERR_INVALID_ARGUMENT);
}

static void a_part_of_another_place_is_refused(void **state) {
  (void)state;
  save_part(part_path(1, 3).text, (part){2, 3, 3, "b"});
  refused_from(0, WH_ERR_CORRUPT,
               "m-00002-of-00003.gguf: the name says part 2 of 3, its metadata says part 3 of 3");
  save_part(part_path(1, 3).text, (part){1, 4, 3, "b"});
  refused_from(0, WH_ERR_CORRUPT, "its metadata says part 2 of 4");
}

static void parts_of_different_models_are_refused(void **state) {
  (void)state;
  save_part(part_path(2, 3).text, (part){2, 3, 17, "c"});
  refused_from(0, WH_ERR_CORRUPT,
               "m-00003-of-00003.gguf: metadata 'split.tensors.count' is 17, in another part 3");
}

static void a_wrong_total_is_refused(void **state) {
  (void)state;
  save_part(part_path(0, 3).text, (part){0, 3, 4, "a"});
  save_part(part_path(1, 3).text, (part){1, 3, 4, "b"});
  save_part(part_path(2, 3).text, (part){2, 3, 4, "c"});
  refused_from(0, WH_ERR_CORRUPT, "metadata 'split.tensors.count' is 4, but the parts hold 3 tensors");
}

static void a_tensor_in_two_parts_is_refused(void **state) {
  (void)state;
  save_part(part_path(2, 3).text, (part){2, 3, 3, "a"});
  refused_from(0, WH_ERR_CORRUPT, "m-00003-of-00003.gguf: tensor 'a' is in part 3 and in a part before it");
}

static void a_damaged_part_is_named(void **state) {
  (void)state;
  b.n = 40;
  save(part_path(2, 3).text);
  refused_from(0, WH_ERR_CORRUPT, "m-00003-of-00003.gguf: ");
}

static void bad_split_metadata_is_refused(void **state) {
  (void)state;
  save_part(part_path(0, 3).text, (part){3, 3, 3, "a"});
  refused_from(0, WH_ERR_CORRUPT, "metadata 'split.no' is 3, want 0 to 2");
  save_part(part_path(0, 3).text, (part){0, 5000, 3, "a"});
  refused_from(0, WH_ERR_CORRUPT, "metadata 'split.count' is 5000, want 0 to 1024");
  save_part(part_path(0, 3).text, (part){0, 3, -1, "a"});
  refused_from(0, WH_ERR_CORRUPT, "metadata 'split.tensors.count' is -1");
}

static void a_part_in_memory_is_refused(void **state) {
  (void)state;
  wh_model_file *f = NULL;
  assert_int_equal(wh_model_file_open_memory("bytes", b.data, b.n, NULL, &f), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "bytes: part 3 of 3 of a split model"));
}

static void every_failed_allocation_is_reported(void **state) {
  (void)state;
  temp_path path = part_path(1, 3);
  for (size_t k = 1;; k++) {
    failing_allocator a;
    wh_model_file *f = NULL;
    wh_status status = wh_model_file_open(path.text, failing_allocator_init(&a, k), &f);
    wh_model_file_close(f);
    assert_int_equal(a.n_live, 0);
    if (status == WH_OK) {
      assert_true(k > 30);
      return;
    }
    assert_null(f);
    assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(wh_last_error()->status, WH_ERR_OUT_OF_MEMORY);
  }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(every_part_opens_the_model),
      T(many_parts_are_all_found_by_name),
      T(a_count_of_one_is_not_split),
      T(a_missing_part_is_named),
      T(a_renamed_part_is_refused),
      T(a_part_of_another_place_is_refused),
      T(parts_of_different_models_are_refused),
      T(a_wrong_total_is_refused),
      T(a_tensor_in_two_parts_is_refused),
      T(a_damaged_part_is_named),
      T(bad_split_metadata_is_refused),
      T(a_part_in_memory_is_refused),
      T(every_failed_allocation_is_reported),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
