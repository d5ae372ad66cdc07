/* test_gguf_read.c - GGUF files assembled by hand: what a good one says, and the refusal of each kind of bad
 * one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/hash.h"
#include "formats/limits.h"
#include "formats/model_file.h"
#include "tests/formats/gguf_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data,
                           size_t n_bytes); /* fuzz_gguf.c: reads all that a file offers */

static gguf_bytes b;

static wh_model_file *opened(void) {
  wh_model_file *f = NULL;
  if (wh_model_file_open_memory("good.gguf", b.data, b.n, NULL, &f) != WH_OK)
    fail_msg("refused: %s", wh_last_error()->message);
  return f;
}

/* `b` is refused with this status and a message that holds `part`. */
static void refused(wh_status status, const char *part) {
  wh_model_file *f = NULL;
  assert_int_equal(wh_model_file_open_memory("bad.gguf", b.data, b.n, NULL, &f), status);
  assert_null(f);
  const char *message = wh_last_error()->message;
  if (strncmp(message, "bad.gguf: ", 10) != 0 || !strstr(message, part))
    fail_msg("message is \"%s\", want \"bad.gguf: \" and \"%s\"", message, part);
}

/* Two tensors, three metadata entries; nothing after the last tensor's bytes. */
static void assemble_good(uint32_t version) {
  gb_header(&b, version, 2, 3);
  gb_meta_str(&b, "general.architecture", "llama");
  gb_meta_u32(&b, "llama.block_count", 2);
  gb_array(&b, "tokens", 8, 3);
  gb_str(&b, "<s>"), gb_str(&b, ""), gb_str(&b, "a b");
  gb_tensor_2d(&b, "quantised", 32, 2, 8, 0); /* q8_0: 68 bytes */
  gb_tensor_2d(&b, "plain", 4, 3, 0, 96);
  gb_pad(&b, 32);
  gb_data(&b, 96 + 48);
}

static void good_file_of_version(uint32_t version, const char *format) {
  assemble_good(version);
  wh_model_file *f = opened();
  assert_string_equal(wh_model_file_format(f), format);
  assert_string_equal(wh_model_file_path(f), "good.gguf");
  assert_int_equal(wh_model_file_total_bytes(f), b.n);
  assert_int_equal(wh_model_file_n_meta(f), 3);
  assert_true(wh_str_is(wh_model_file_meta(f, 2)->key, "tokens"));
  assert_null(wh_model_file_meta(f, 3));
  const wh_meta_value *tokens = wh_model_file_find_meta(f, "tokens");
  assert_int_equal(tokens->kind, WH_META_ARRAY);
  assert_int_equal(tokens->elem_kind, WH_META_STRING);
  assert_int_equal(tokens->n, 3);
  assert_true(wh_str_is(tokens->strings[0], "<s>"));
  assert_int_equal(tokens->strings[1].len, 0);
  assert_true(wh_str_is(tokens->strings[2], "a b"));
  assert_null(wh_model_file_find_meta(f, "token"));

  assert_int_equal(wh_model_file_n_weights(f), 2);
  assert_null(wh_model_file_weight(f, 2));
  assert_null(wh_model_file_find_weight(f, "tokens"));
  const wh_weight_view *w = wh_model_file_find_weight(f, "quantised");
  assert_ptr_equal(w, wh_model_file_weight(f, 0));
  assert_int_equal(w->dtype, WH_DTYPE_Q8_0);
  assert_int_equal(w->rank, 2);
  assert_int_equal(w->dims[0], 2); /* rows first: the file has them last */
  assert_int_equal(w->dims[1], 32);
  assert_int_equal(w->n_bytes, 68);
  assert_ptr_equal(w->data, b.data + b.n - 144);
  w = wh_model_file_find_weight(f, "plain");
  assert_int_equal(w->n_bytes, 48);
  assert_ptr_equal(w->data, b.data + b.n - 48);
  wh_model_file_weight_dont_need(f, w); /* hints on bytes that are not mapped do nothing */
  wh_model_file_weight_dont_need(f, w);
  wh_model_file_close(f);
}
static void good_file_v3(void **state) { (void)state, good_file_of_version(3, "GGUF v3"); }
static void good_file_v2(void **state) { (void)state, good_file_of_version(2, "GGUF v2"); }

static void a_file_may_hold_nothing(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 0);
  wh_model_file *f = opened();
  assert_int_equal(wh_model_file_n_meta(f), 0);
  assert_null(wh_model_file_find_meta(f, "x"));
  assert_null(wh_model_file_find_weight(f, "x"));
  wh_model_file_close(f);
  wh_model_file_close(NULL);
}

static void every_scalar_type(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 13);
  gb_key(&b, "u8", 0), gb_u8(&b, 0xfe);
  gb_key(&b, "i8", 1), gb_u8(&b, 0xfe);
  gb_key(&b, "u16", 2), gb_u16(&b, 0xfffe);
  gb_key(&b, "i16", 3), gb_u16(&b, 0xfffe);
  gb_key(&b, "u32", 4), gb_u32(&b, 0xfffffffe);
  gb_key(&b, "i32", 5), gb_u32(&b, 0xfffffffe);
  gb_key(&b, "u64", 10), gb_u64(&b, INT64_MAX);
  gb_key(&b, "i64", 11), gb_u64(&b, (uint64_t)INT64_MIN);
  gb_key(&b, "f32", 6), gb_f32(&b, 0.1f);
  gb_key(&b, "f64", 12), gb_f64(&b, 0.1);
  gb_key(&b, "true", 7), gb_u8(&b, 1);
  gb_key(&b, "false", 7), gb_u8(&b, 0);
  gb_meta_str(&b, "string", "\xc3\xa9");
  wh_model_file *f = opened();
  static const struct {
    const char *key;
    int64_t value;
  } ints[] = {{"u8", 0xfe},        {"i8", -2},  {"u16", 0xfffe},    {"i16", -2},
              {"u32", 0xfffffffe}, {"i32", -2}, {"u64", INT64_MAX}, {"i64", INT64_MIN}};
  for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
    int64_t v = 0;
    assert_int_equal(wh_model_file_get_int(f, ints[i].key, INT64_MIN, INT64_MAX, &v), WH_OK);
    assert_true(v == ints[i].value);
  }
  double x = 0;
  assert_int_equal(wh_model_file_get_float(f, "f32", &x), WH_OK);
  assert_true(x == (double)0.1f);
  assert_int_equal(wh_model_file_get_float(f, "f64", &x), WH_OK);
  assert_true(x == 0.1);
  bool t = false;
  assert_int_equal(wh_model_file_get_bool_or(f, "true", false, &t), WH_OK);
  assert_true(t);
  assert_int_equal(wh_model_file_get_bool_or(f, "false", true, &t), WH_OK);
  assert_false(t);
  wh_str s;
  assert_int_equal(wh_model_file_get_string(f, "string", &s), WH_OK);
  assert_true(wh_str_is(s, "\xc3\xa9"));
  wh_model_file_close(f);
}

static void every_array_type(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 13);
  gb_array(&b, "u8", 0, 2), gb_u8(&b, 1), gb_u8(&b, 0xfe);
  gb_array(&b, "i8", 1, 2), gb_u8(&b, 1), gb_u8(&b, 0xfe);
  gb_array(&b, "u16", 2, 2), gb_u16(&b, 1), gb_u16(&b, 0xfffe);
  gb_array(&b, "i16", 3, 2), gb_u16(&b, 1), gb_u16(&b, 0xfffe);
  gb_array(&b, "u32", 4, 2), gb_u32(&b, 1), gb_u32(&b, 0xfffffffe);
  gb_array(&b, "i32", 5, 2), gb_u32(&b, 1), gb_u32(&b, 0xfffffffe);
  gb_array(&b, "u64", 10, 2), gb_u64(&b, 1), gb_u64(&b, INT64_MAX);
  gb_array(&b, "i64", 11, 2), gb_u64(&b, 1), gb_u64(&b, UINT64_MAX - 1);
  gb_array(&b, "bool", 7, 2), gb_u8(&b, 1), gb_u8(&b, 0);
  gb_array(&b, "f32", 6, 2), gb_f32(&b, 1), gb_f32(&b, 0.1f);
  gb_array(&b, "f64", 12, 2), gb_f64(&b, 1), gb_f64(&b, 0.1);
  gb_array(&b, "string", 8, 2), gb_str(&b, "1"), gb_str(&b, "two");
  gb_array(&b, "none", 5, 0);
  static const int64_t second[] = {0xfe, -2, 0xfffe, -2, 0xfffffffe, -2, INT64_MAX, -2, 0};
  wh_model_file *f = opened();
  for (size_t i = 0; i < 9; i++) {
    const wh_meta_value *v = &wh_model_file_meta(f, i)->value;
    assert_int_equal(v->elem_kind, i < 8 ? WH_META_INT : WH_META_BOOL);
    assert_int_equal(v->n, 2);
    assert_true(v->ints[0] == 1 && v->ints[1] == second[i]);
    assert_null(v->floats);
    assert_null(v->strings);
  }
  const wh_meta_value *v = wh_model_file_find_meta(f, "f32");
  assert_true(v->elem_kind == WH_META_FLOAT && v->floats[0] == 1 && v->floats[1] == (double)0.1f);
  v = wh_model_file_find_meta(f, "f64");
  assert_true(v->elem_kind == WH_META_FLOAT && v->floats[0] == 1 && v->floats[1] == 0.1);
  v = wh_model_file_find_meta(f, "string");
  assert_true(wh_str_is(v->strings[0], "1") && wh_str_is(v->strings[1], "two"));
  v = wh_model_file_find_meta(f, "none");
  assert_true(v->kind == WH_META_ARRAY && v->n == 0 && v->ints);
  wh_model_file_close(f);
}

static void getter_failed(wh_status status, const char *message) {
  assert_int_equal(status, WH_ERR_CORRUPT);
  assert_string_equal(wh_last_error()->message, message);
}

static void getters_check_kind_range_and_presence(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 4);
  gb_meta_u32(&b, "n", 7);
  gb_meta_str(&b, "s", "x");
  gb_key(&b, "inf", 6), gb_u32(&b, 0x7f800000);
  gb_key(&b, "t", 7), gb_u8(&b, 1);
  wh_model_file *f = opened();
  int64_t n = 42;
  double x = 42;
  wh_str s = {0};
  bool t = true;
  getter_failed(wh_model_file_get_int(f, "n", 8, 9, &n), "good.gguf: metadata 'n' is 7, want 8 to 9");
  getter_failed(wh_model_file_get_int_or(f, "n", 1, 6, 3, &n), "good.gguf: metadata 'n' is 7, want 1 to 6");
  getter_failed(wh_model_file_get_int(f, "m", 8, 9, &n), "good.gguf: metadata 'm' is missing");
  getter_failed(wh_model_file_get_int(f, "s", 8, 9, &n),
                "good.gguf: metadata 's' is a string, want an integer");
  getter_failed(wh_model_file_get_float(f, "m", &x), "good.gguf: metadata 'm' is missing");
  getter_failed(wh_model_file_get_float(f, "n", &x), "good.gguf: metadata 'n' is an integer, want a float");
  getter_failed(wh_model_file_get_float(f, "inf", &x),
                "good.gguf: metadata 'inf' is inf, want a finite number");
  getter_failed(wh_model_file_get_bool_or(f, "n", false, &t),
                "good.gguf: metadata 'n' is an integer, want a bool");
  getter_failed(wh_model_file_get_string(f, "m", &s), "good.gguf: metadata 'm' is missing");
  getter_failed(wh_model_file_get_string_or(f, "t", "y", &s),
                "good.gguf: metadata 't' is a bool, want a string");
  assert_true(n == 42 && x == 42 && !s.data && t); /* outputs untouched */
  assert_int_equal(wh_model_file_get_int_or(f, "m", 1, 6, 3, &n), WH_OK);
  assert_int_equal(n, 3);
  assert_int_equal(wh_model_file_get_bool_or(f, "m", false, &t), WH_OK);
  assert_false(t);
  assert_int_equal(wh_model_file_get_string_or(f, "m", "y", &s), WH_OK);
  assert_true(wh_str_is(s, "y"));
  assert_int_equal(wh_model_file_get_string_or(f, "m", NULL, &s), WH_OK);
  assert_null(s.data);
  wh_model_file_close(f);
}

static void many_names_are_all_found(void **state) {
  (void)state;
  char key[16];
  gb_header(&b, 3, 0, 500);
  for (uint32_t i = 0; i < 500; i++) {
    (void)snprintf(key, sizeof key, "key.%u", i);
    gb_meta_u32(&b, key, i);
  }
  wh_model_file *f = opened();
  for (uint32_t i = 0; i < 500; i++) {
    int64_t v = -1;
    (void)snprintf(key, sizeof key, "key.%u", i);
    assert_int_equal(wh_model_file_get_int(f, key, 0, 499, &v), WH_OK);
    assert_int_equal(v, i);
  }
  assert_null(wh_model_file_find_meta(f, "key.500"));
  wh_model_file_close(f);
}

/* Keys chosen so that all belong into the same slot of the table: refused, not searched for ever. */
static void colliding_names_are_refused(void **state) {
  (void)state;
  size_t n_keys = 0;
  char key[16];
  gb_header(&b, 3, 0, 1100);
  for (uint32_t i = 0; n_keys < 1100; i++) {
    int n = snprintf(key, sizeof key, "%x", i);
    if (wh_hash_bytes(key, (size_t)n).low & 4095) continue; /* a table for 1100 names has 4096 slots */
    gb_key(&b, key, 0), gb_u8(&b, 0);
    n_keys++;
  }
  refused(WH_ERR_LIMIT, "the key's hash is that of too many others");
}

/* ---- not GGUF ---- */

static void no_bytes(void **state) {
  (void)state;
  b.n = 0;
  refused(WH_ERR_CORRUPT, "no bytes");
}

/* ---- header ---- */

static void unknown_versions(void **state) {
  (void)state;
  gb_header(&b, 1, 0, 0), refused(WH_ERR_UNSUPPORTED, "GGUF version 1 is not supported");
  gb_header(&b, 0, 0, 0), refused(WH_ERR_UNSUPPORTED, "GGUF version 0");
  gb_header(&b, 4, 0, 0), refused(WH_ERR_UNSUPPORTED, "GGUF version 4 is not supported, want 2 or 3");
  gb_header(&b, 0x03000000, 0, 0), refused(WH_ERR_UNSUPPORTED, "big-endian");
}

static void counts_beyond_the_file(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), refused(WH_ERR_CORRUPT, "1 metadata entries do not fit 24 bytes");
  gb_header(&b, 3, 1, 0), refused(WH_ERR_CORRUPT, "1 tensors do not fit 24 bytes");
  gb_header(&b, 3, UINT64_MAX, 0), refused(WH_ERR_CORRUPT, "18446744073709551615 tensors");
}

static void counts_beyond_the_limits(void **state) {
  (void)state;
  size_t n = (size_t)16 << 20;
  uint8_t *zeros = calloc(n, 1);
  wh_model_file *f = NULL;
  assert_non_null(zeros);
  gb_header(&b, 3, 0, WH_LIMIT_META_ENTRIES + 1);
  memcpy(zeros, b.data, b.n);
  assert_int_equal(wh_model_file_open_memory("x", zeros, n, NULL, &f), WH_ERR_LIMIT);
  gb_header(&b, 3, WH_LIMIT_WEIGHTS + 1, 0);
  memcpy(zeros, b.data, b.n);
  assert_int_equal(wh_model_file_open_memory("x", zeros, n, NULL, &f), WH_ERR_LIMIT);
  free(zeros);
}

/* ---- metadata ---- */

static void array_beyond_the_limit(void **state) {
  (void)state;
  size_t n = WH_LIMIT_ARRAY_ELEMS + 4096;
  uint8_t *zeros = calloc(n, 1);
  wh_model_file *f = NULL;
  assert_non_null(zeros);
  gb_header(&b, 3, 0, 1), gb_array(&b, "a", 0, WH_LIMIT_ARRAY_ELEMS + 1);
  memcpy(zeros, b.data, b.n);
  assert_int_equal(wh_model_file_open_memory("x", zeros, n, NULL, &f), WH_ERR_LIMIT);
  free(zeros);
}

static void bad_keys(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), gb_meta_u32(&b, "", 1), gb_u32(&b, 0);
  refused(WH_ERR_CORRUPT, "metadata 0 of 1: its name is empty");
  gb_header(&b, 3, 0, 1), gb_u64(&b, 3), gb_raw(&b, "a\0b", 3), gb_u32(&b, 4), gb_u32(&b, 1);
  refused(WH_ERR_CORRUPT, "metadata 'a?b': its name contains a NUL byte");
  gb_header(&b, 3, 0, 1), gb_u64(&b, UINT64_MAX), gb_u64(&b, 0);
  refused(WH_ERR_CORRUPT, "its name runs past the end of the file");
}

static void long_key(void **state) {
  (void)state;
  size_t n = 70000;
  uint8_t *bytes = malloc(n);
  wh_model_file *f = NULL;
  assert_non_null(bytes);
  memset(bytes, 'k', n);
  gb_header(&b, 3, 0, 1), gb_u64(&b, WH_LIMIT_META_KEY_BYTES + 1);
  memcpy(bytes, b.data, b.n);
  assert_int_equal(wh_model_file_open_memory("x", bytes, n, NULL, &f), WH_ERR_LIMIT);
  assert_non_null(strstr(wh_last_error()->message, "kkk...'")); /* clipped */
  free(bytes);
}

static void hostile_names_are_printed_harmlessly(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), gb_meta_str(&b, "\x1b[2J\xff\xc0\x80\xe2\x80\xae\xc3\xa9\n", "x");
  b.data[b.n - 9 - 4] = 99; /* the type */
  refused(WH_ERR_CORRUPT, "metadata '?[2J??????\xc3\xa9?': a value of type 99");
}

static void duplicate_keys(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 2), gb_array(&b, "k", 4, 1), gb_u32(&b, 1), gb_array(&b, "k", 4, 1), gb_u32(&b, 2);
  refused(WH_ERR_CORRUPT, "metadata 'k': the key occurs twice");
}

static void unknown_value_types(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), gb_key(&b, "k", 13), gb_u64(&b, 0);
  refused(WH_ERR_CORRUPT, "metadata 'k': a value of type 13, which GGUF does not have");
  gb_header(&b, 3, 0, 1), gb_array(&b, "k", 13, 1), gb_u64(&b, 0);
  refused(WH_ERR_CORRUPT, "metadata 'k': array elements of type 13");
}

static void array_of_arrays(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), gb_array(&b, "k", 9, 1), gb_u32(&b, 4), gb_u64(&b, 1), gb_u32(&b, 1);
  refused(WH_ERR_UNSUPPORTED, "metadata 'k': an array of arrays");
}

static void bad_bools(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), gb_key(&b, "k", 7), gb_u8(&b, 2);
  refused(WH_ERR_CORRUPT, "metadata 'k': element 0 is a bool that is neither 0 nor 1");
  gb_header(&b, 3, 0, 1), gb_array(&b, "k", 7, 2), gb_u8(&b, 1), gb_u8(&b, 255);
  refused(WH_ERR_CORRUPT, "metadata 'k': element 1 is a bool");
}

static void integers_beyond_int64(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 3), gb_key(&b, "k", 10), gb_u64(&b, (uint64_t)INT64_MAX + 1);
  gb_array(&b, "a", 10, 2), gb_u64(&b, 7), gb_u64(&b, UINT64_MAX);
  gb_array(&b, "s", 10, 2), gb_u64(&b, 7), gb_u64(&b, INT64_MAX);
  wh_model_file *f = opened();
  const wh_meta_value *v = wh_model_file_find_meta(f, "k");
  assert_int_equal(v->kind, WH_META_UINT);
  assert_true((uint64_t)v->i == (uint64_t)INT64_MAX + 1);
  v = wh_model_file_find_meta(f, "a");
  assert_int_equal(v->elem_kind, WH_META_UINT);
  assert_true(v->ints[0] == 7 && (uint64_t)v->ints[1] == UINT64_MAX);
  assert_int_equal(wh_model_file_find_meta(f, "s")->elem_kind, WH_META_INT);
  int64_t i; /* to who wants a number it is one that does not fit */
  assert_int_equal(wh_model_file_get_int(f, "k", INT64_MIN, INT64_MAX, &i), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "'k' is an integer beyond the range of int64"));
  wh_model_file_close(f);
}

static void values_beyond_the_file(void **state) {
  (void)state;
  gb_header(&b, 3, 0, 1), gb_key(&b, "key", 10), gb_u32(&b, 0);
  refused(WH_ERR_CORRUPT, "metadata 'key': its value runs past the end of the file at byte 43");
  gb_header(&b, 3, 0, 1), gb_key(&b, "key", 8), gb_u64(&b, 1);
  refused(WH_ERR_CORRUPT, "metadata 'key': its value runs past");
  gb_header(&b, 3, 0, 1), gb_array(&b, "key", 4, UINT64_MAX), gb_u32(&b, 0);
  refused(WH_ERR_CORRUPT, "metadata 'key': 18446744073709551615 elements do not fit the file");
  gb_header(&b, 3, 0, 1), gb_array(&b, "key", 8, 2), gb_str(&b, "four"), gb_u32(&b, 0), gb_u64(&b, 1);
  refused(WH_ERR_CORRUPT, "metadata 'key': string 1 of 2 runs past");
}

static void bad_alignments(void **state) {
  (void)state;
  static const uint32_t bad[] = {0, 1, 4, 24, WH_LIMIT_ALIGNMENT_MAX * 2, 0x80000000};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    gb_header(&b, 3, 0, 1), gb_meta_u32(&b, "general.alignment", bad[i]);
    refused(WH_ERR_CORRUPT, "want a power of two from 8 to 1048576");
  }
  gb_header(&b, 3, 0, 1), gb_meta_str(&b, "general.alignment", "32");
  refused(WH_ERR_CORRUPT, "metadata 'general.alignment' is not an integer");
}

static void alignment_places_the_data(void **state) {
  (void)state;
  static const uint32_t good[] = {8, 64, 4096};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    gb_header(&b, 3, 1, 1), gb_meta_u32(&b, "general.alignment", good[i]);
    gb_tensor_2d(&b, "t", 2, 1, 0, good[i]);
    gb_pad(&b, good[i]);
    gb_data(&b, good[i] + 8);
    wh_model_file *f = opened();
    assert_ptr_equal(wh_model_file_weight(f, 0)->data, b.data + b.n - 8);
    wh_model_file_close(f);
  }
}

/* ---- tensors ---- */

/* One tensor and enough bytes behind it for any small one. */
static void assemble_tensor(const char *name, uint32_t rank, const uint64_t *dims, uint32_t type,
                            uint64_t offset) {
  gb_header(&b, 3, 1, 0);
  gb_tensor(&b, name, rank, dims, type, offset);
  gb_pad(&b, 32);
  gb_data(&b, 2048);
}

static void every_tensor_type(void **state) {
  (void)state;
  static const struct {
    uint32_t type;
    wh_dtype dtype;
    size_t n_bytes; /* of 256 elements */
  } t[] = {{0, WH_DTYPE_F32, 1024},    {1, WH_DTYPE_F16, 512},     {2, WH_DTYPE_Q4_0, 144},
           {3, WH_DTYPE_Q4_1, 160},    {6, WH_DTYPE_Q5_0, 176},    {7, WH_DTYPE_Q5_1, 192},
           {8, WH_DTYPE_Q8_0, 272},    {10, WH_DTYPE_Q2_K, 84},    {11, WH_DTYPE_Q3_K, 110},
           {12, WH_DTYPE_Q4_K, 144},   {13, WH_DTYPE_Q5_K, 176},   {14, WH_DTYPE_Q6_K, 210},
           {20, WH_DTYPE_IQ4_NL, 144}, {23, WH_DTYPE_IQ4_XS, 136}, {24, WH_DTYPE_I8, 256},
           {25, WH_DTYPE_I16, 512},    {26, WH_DTYPE_I32, 1024},   {27, WH_DTYPE_I64, 2048},
           {28, WH_DTYPE_F64, 2048},   {30, WH_DTYPE_BF16, 512},   {39, WH_DTYPE_MXFP4, 136}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    assemble_tensor("t", 1, (uint64_t[]){256}, t[i].type, 0);
    wh_model_file *f = opened();
    assert_int_equal(wh_model_file_weight(f, 0)->dtype, t[i].dtype);
    assert_int_equal(wh_model_file_weight(f, 0)->n_bytes, t[i].n_bytes);
    wh_model_file_close(f);
  }
}

static void unknown_tensor_types(void **state) {
  (void)state;
  assemble_tensor("t", 1, (uint64_t[]){256}, 16, 0);
  refused(WH_ERR_UNSUPPORTED, "tensor 't': type 16 (IQ2_XXS) is not supported; these are: f32 f16 ");
  assert_non_null(strstr(wh_last_error()->message, "mxfp4")); /* the list fits the record */
  assemble_tensor("t", 1, (uint64_t[]){256}, 15, 0), refused(WH_ERR_UNSUPPORTED, "type 15 (Q8_K)");
  assemble_tensor("t", 1, (uint64_t[]){256}, 34, 0), refused(WH_ERR_UNSUPPORTED, "type 34 (TQ1_0)");
  assemble_tensor("t", 1, (uint64_t[]){256}, 4711, 0),
      refused(WH_ERR_UNSUPPORTED, "type 4711 is not supported");
}

static void bad_tensor_names(void **state) {
  (void)state;
  char name[WH_LIMIT_WEIGHT_NAME_BYTES + 2];
  assemble_tensor("", 1, (uint64_t[]){1}, 0, 0), refused(WH_ERR_CORRUPT, "tensor 0 of 1: its name is empty");
  memset(name, 'x', sizeof name);
  name[sizeof name - 1] = '\0';
  assemble_tensor(name, 1, (uint64_t[]){1}, 0, 0),
      refused(WH_ERR_LIMIT, "its name has 1025 bytes, at most 1024");
}

static void bad_ranks(void **state) {
  (void)state;
  uint64_t ones[5] = {1, 1, 1, 1, 1};
  assemble_tensor("t", 0, ones, 0, 0), refused(WH_ERR_CORRUPT, "tensor 't': rank 0, want 1 to 4");
  assemble_tensor("t", 5, ones, 0, 0), refused(WH_ERR_CORRUPT, "tensor 't': rank 5, want 1 to 4");
}

static void bad_dims(void **state) {
  (void)state;
  assemble_tensor("t", 2, (uint64_t[]){4, 0}, 0, 0), refused(WH_ERR_CORRUPT, "tensor 't': dimension 1 is 0");
  assemble_tensor("t", 1, (uint64_t[]){UINT64_MAX}, 0, 0);
  refused(WH_ERR_CORRUPT, "tensor 't': dimension 0 is 18446744073709551615");
}

static void sizes_that_overflow(void **state) {
  (void)state;
  uint64_t g = UINT64_C(1) << 32;
  assemble_tensor("t", 3, (uint64_t[]){g, g, 8}, 0, 0);
  refused(WH_ERR_CORRUPT, "tensor 't': 4294967296 x 4294967296 x 8 elements are more than 64 bits can count");
  assemble_tensor("t", 2, (uint64_t[]){g, g / 2 - 1}, 28, 0); /* elements fit, bytes do not */
  refused(WH_ERR_CORRUPT, "elements of f64 need more bytes than 64 bits can count");
}

static void rows_of_broken_blocks(void **state) {
  (void)state;
  assemble_tensor("t", 2, (uint64_t[]){128, 2}, 12, 0); /* 256 elements, but not in one row */
  refused(WH_ERR_CORRUPT, "tensor 't': rows of 128 elements are not whole blocks of q4_k, which hold 256");
}

static void misaligned_offset(void **state) {
  (void)state;
  assemble_tensor("t", 1, (uint64_t[]){4}, 0, 16);
  refused(WH_ERR_CORRUPT, "tensor 't': offset 16 is not a multiple of the alignment, 32");
}

static void tensors_beyond_the_file(void **state) {
  (void)state;
  assemble_tensor("blk.0.attn_q.weight", 2, (uint64_t[]){4096, 11008}, 12, 0);
  refused(WH_ERR_CORRUPT,
          "tensor 'blk.0.attn_q.weight': 4096 x 11008 elements of q4_k need 25362432 bytes at offset 0 of "
          "the data at "
          "byte 96, but the file ends at byte 2144; the file is truncated or corrupt: download it again");
  assemble_tensor("t", 1, (uint64_t[]){4}, 0, UINT64_MAX - 31),
      refused(WH_ERR_CORRUPT, "tensor 't': 4 elements");
  gb_header(&b, 3, 1, 0), gb_tensor(&b, "t", 1, (uint64_t[]){4}, 0, 0); /* ends before the data section */
  refused(WH_ERR_CORRUPT, "need 16 bytes at offset 0 of the data at byte 64, but the file ends at byte 57");
}

static void tensor_descriptions_beyond_the_file(void **state) {
  (void)state;
  gb_header(&b, 3, 1, 0), gb_str(&b, "long enough a name"), gb_u32(&b, 1), gb_u64(&b, 4), gb_u32(&b, 0);
  refused(WH_ERR_CORRUPT, "tensor 'long enough a name': the file ends at byte 66 inside its description");
}

static void duplicate_tensors(void **state) {
  (void)state;
  gb_header(&b, 3, 2, 0), gb_tensor_2d(&b, "t", 4, 1, 0, 0), gb_tensor_2d(&b, "t", 4, 1, 0, 32);
  gb_pad(&b, 32), gb_data(&b, 64);
  refused(WH_ERR_CORRUPT, "tensor 't': the name occurs twice");
}

static void overlapping_tensors(void **state) {
  (void)state;
  gb_header(&b, 3, 3, 0);
  gb_tensor_2d(&b, "last", 8, 1, 0, 96), gb_tensor_2d(&b, "first", 8, 1, 0, 0),
      gb_tensor_2d(&b, "long", 9, 1, 0, 64);
  gb_pad(&b, 32), gb_data(&b, 128);
  refused(WH_ERR_CORRUPT, "tensor 'last' at offset 96 overlaps tensor 'long' at offset 64");
  gb_header(&b, 3, 2, 0), gb_tensor_2d(&b, "a", 8, 1, 0, 0), gb_tensor_2d(&b, "b", 8, 1, 0, 0);
  gb_pad(&b, 32), gb_data(&b, 128);
  refused(WH_ERR_CORRUPT, "tensor 'b' at offset 0 overlaps tensor 'a' at offset 0");
}

static void tensors_may_lie_in_any_order(void **state) {
  (void)state;
  gb_header(&b, 3, 2, 0), gb_tensor_2d(&b, "b", 8, 1, 0, 32), gb_tensor_2d(&b, "a", 8, 1, 0, 0);
  gb_pad(&b, 32), gb_data(&b, 64);
  wh_model_file *f = opened();
  assert_ptr_equal(wh_model_file_weight(f, 0)->data, b.data + b.n - 32);
  assert_ptr_equal(wh_model_file_weight(f, 1)->data, b.data + b.n - 64);
  wh_model_file_close(f);
}

/* ---- every byte ---- */

static void truncated_at_every_byte(void **state) {
  (void)state;
  assemble_good(3);
  for (size_t n = 0; n < b.n; n++) {
    uint8_t *exact = malloc(n ? n : 1); /* sanitizers see a read past the end */
    wh_model_file *f = NULL;
    assert_non_null(exact);
    memcpy(exact, b.data, n);
    wh_status status = wh_model_file_open_memory("cut.gguf", exact, n, NULL, &f);
    assert_int_equal(status, WH_ERR_CORRUPT);
    assert_null(f);
    assert_int_equal(strncmp(wh_last_error()->message, "cut.gguf: ", 10), 0);
    free(exact);
  }
}

static void every_byte_changed(void **state) {
  (void)state;
  static const uint8_t flips[] = {0x01, 0x02, 0x80, 0xff};
  assemble_good(3);
  for (size_t i = 0; i < b.n; i++) {
    for (size_t k = 0; k < sizeof flips; k++) {
      b.data[i] ^= flips[k];
      assert_int_equal(LLVMFuzzerTestOneInput(b.data, b.n), 0);
      b.data[i] ^= flips[k];
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_file_v3),
      cmocka_unit_test(good_file_v2),
      cmocka_unit_test(a_file_may_hold_nothing),
      cmocka_unit_test(every_scalar_type),
      cmocka_unit_test(every_array_type),
      cmocka_unit_test(getters_check_kind_range_and_presence),
      cmocka_unit_test(many_names_are_all_found),
      cmocka_unit_test(colliding_names_are_refused),
      cmocka_unit_test(no_bytes),
      cmocka_unit_test(unknown_versions),
      cmocka_unit_test(counts_beyond_the_file),
      cmocka_unit_test(counts_beyond_the_limits),
      cmocka_unit_test(array_beyond_the_limit),
      cmocka_unit_test(bad_keys),
      cmocka_unit_test(long_key),
      cmocka_unit_test(hostile_names_are_printed_harmlessly),
      cmocka_unit_test(duplicate_keys),
      cmocka_unit_test(unknown_value_types),
      cmocka_unit_test(array_of_arrays),
      cmocka_unit_test(bad_bools),
      cmocka_unit_test(integers_beyond_int64),
      cmocka_unit_test(values_beyond_the_file),
      cmocka_unit_test(bad_alignments),
      cmocka_unit_test(alignment_places_the_data),
      cmocka_unit_test(every_tensor_type),
      cmocka_unit_test(unknown_tensor_types),
      cmocka_unit_test(bad_tensor_names),
      cmocka_unit_test(bad_ranks),
      cmocka_unit_test(bad_dims),
      cmocka_unit_test(sizes_that_overflow),
      cmocka_unit_test(rows_of_broken_blocks),
      cmocka_unit_test(misaligned_offset),
      cmocka_unit_test(tensors_beyond_the_file),
      cmocka_unit_test(tensor_descriptions_beyond_the_file),
      cmocka_unit_test(duplicate_tensors),
      cmocka_unit_test(overlapping_tensors),
      cmocka_unit_test(tensors_may_lie_in_any_order),
      cmocka_unit_test(truncated_at_every_byte),
      cmocka_unit_test(every_byte_changed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
