/* test_unicode.c - letter case, kinds of characters and normalisation, compared with Python over all
 * characters that it assigns (make_unicode_goldens.py). Templates are what asks for case, so templates ask
 * here. */
#include "tests/text/tokenizer_golden.h"
#include "text/chat_template.h"
#include "text/normalize.h"
#include "text/unicode.h"

enum { CHUNK = 1000, N_CHARS = 0x110000 };

/* Renders `source` with the variable s. */
static void render(const char *source, wh_str s, wh_text_buffer *out) {
  wh_chat_template *t = NULL;
  json_t *context = json_object();
  assert_int_equal(json_object_set_new(context, "s", json_stringn(s.data, s.len)), 0);
  char *json = json_dumps(context, 0);
  assert_non_null(json);
  assert_int_equal(wh_chat_template_compile(wh_str_from(source), NULL, &t), WH_OK);
  wh_text_buffer_clear(out);
  if (wh_chat_template_render(t, wh_str_from(json), 0, out) != WH_OK)
    fail_msg("%s: %s", source, wh_last_error()->message);
  wh_chat_template_destroy(t);
  free(json);
  json_decref(context);
}

static void expect(const char *what, wh_str in, wh_str want, const wh_text_buffer *got) {
  wh_str text = {got->data ? got->data : "", got->len};
  if (!wh_str_equal(want, text))
    fail_msg("%s of '%.*s': got '%.*s', want '%.*s'", what, (int)in.len, in.data, (int)text.len, text.data,
             (int)want.len, want.data);
}

/* A flag for each code point in the array's ranges. */
static bool *flags_of(const json_t *ranges) {
  bool *flags = calloc(N_CHARS, sizeof *flags);
  assert_non_null(flags);
  for (size_t i = 0; i + 1 < json_array_size(ranges); i += 2)
    for (json_int_t c = json_integer_value(json_array_get(ranges, i)),
                    last = json_integer_value(json_array_get(ranges, i + 1));
         c <= last; c++)
      flags[c] = true;
  return flags;
}

/* Calls `check` with the assigned characters, CHUNK at a time. */
typedef void (*chunk_check)(const char *name, const void *golden, const uint32_t *chars, size_t n,
                            wh_str text);
static void each_chunk(const bool *unassigned, chunk_check check, const char *name, const void *golden) {
  uint32_t chars[CHUNK];
  char bytes[CHUNK * 4];
  size_t n = 0, n_bytes = 0;
  for (uint32_t c = 0; c < N_CHARS; c++) {
    if ((c < 0xd800 || c >= 0xe000) && !unassigned[c]) {
      chars[n++] = c;
      n_bytes += wh_utf8_encode(c, bytes + n_bytes);
    }
    if (n == CHUNK || (c + 1 == N_CHARS && n)) {
      check(name, golden, chars, n, (wh_str){bytes, n_bytes});
      n = n_bytes = 0;
    }
  }
}

static void check_mapping(const char *name, const void *golden, const uint32_t *chars, size_t n,
                          wh_str text) {
  char source[128], key[5] = {0};
  wh_text_buffer want, got;
  wh_text_buffer_init(&want, NULL);
  wh_text_buffer_init(&got, NULL);
  for (size_t i = 0; i < n; i++) {
    size_t n_key = wh_utf8_encode(chars[i], key);
    key[n_key] = '\0';
    const json_t *mapped = chars[i] ? json_object_get(golden, key) : NULL;
    wh_str m = mapped ? golden_str(mapped) : (wh_str){key, n_key};
    wh_text_buffer_append(&want, m.data, m.len);
    wh_text_buffer_append(&want, "\n", 1);
  }
  (void)snprintf(source, sizeof source, "{%% for c in s %%}{{ c.%s() }}{{ '\\n' }}{%% endfor %%}", name);
  render(source, text, &got);
  size_t at = 0, index = 0, start = 0;
  while (at < want.len && at < got.len && want.data[at] == got.data[at]) {
    if (want.data[at] == '\n' && (chars[index] != '\n' || at > start)) {
      index++;
      start = at + 1;
    }
    at++;
  }
  if (want.len != got.len || at < want.len) fail_msg("%s of U+%04X differs", name, (unsigned)chars[index]);
  wh_text_buffer_deinit(&want);
  wh_text_buffer_deinit(&got);
}

static void case_of_every_character(void **state) {
  (void)state;
  json_t *root = golden_load("unicode.json"), *golden;
  bool *unassigned = flags_of(json_object_get(root, "unassigned"));
  const char *name;
  json_object_foreach(json_object_get(root, "mappings"), name, golden) {
    assert_true(json_object_size(golden) > 1000);
    each_chunk(unassigned, check_mapping, name, golden);
  }
  free(unassigned);
  json_decref(root);
}

static void check_test(const char *name, const void *golden, const uint32_t *chars, size_t n, wh_str text) {
  const bool *flags = golden;
  char source[128];
  wh_text_buffer got;
  wh_text_buffer_init(&got, NULL);
  (void)snprintf(source, sizeof source, "{%% for c in s %%}{{ 1 if c.%s() else 0 }}{%% endfor %%}", name);
  render(source, text, &got);
  assert_int_equal(got.len, n);
  for (size_t i = 0; i < n; i++)
    if ((got.data[i] == '1') != flags[chars[i]]) fail_msg("%s of U+%04X differs", name, (unsigned)chars[i]);
  wh_text_buffer_deinit(&got);
}

static void kind_of_every_character(void **state) {
  (void)state;
  json_t *root = golden_load("unicode.json"), *golden;
  bool *unassigned = flags_of(json_object_get(root, "unassigned"));
  const char *name;
  json_object_foreach(json_object_get(root, "tests"), name, golden) {
    bool *flags = flags_of(golden);
    each_chunk(unassigned, check_test, name, flags);
    free(flags);
  }
  free(unassigned);
  json_decref(root);
}

/* Neighbours matter: a sigma at the end of a word, letters that begin one. */
static void case_of_texts(void **state) {
  (void)state;
  json_t *root = golden_load("unicode.json"), *texts = json_object_get(root, "texts"), *golden;
  const char *name;
  wh_text_buffer got;
  wh_text_buffer_init(&got, NULL);
  json_object_foreach(json_object_get(root, "methods"), name, golden) {
    bool filter_only = strcmp(name, "title_filter") == 0;
    bool is_filter = filter_only || strcmp(name, "upper") == 0 || strcmp(name, "lower") == 0 ||
                     strcmp(name, "capitalize") == 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
      char source[64];
      wh_str text = golden_item(texts, i);
      if (!filter_only) {
        (void)snprintf(source, sizeof source, "{{ s.%s() }}", name);
        render(source, text, &got);
        expect(source, text, golden_item(golden, i), &got);
      }
      if (is_filter) {
        (void)snprintf(source, sizeof source, "{{ s | %s }}", filter_only ? "title" : name);
        render(source, text, &got);
        expect(source, text, golden_item(golden, i), &got);
      }
    }
  }
  wh_text_buffer_deinit(&got);
  json_decref(root);
}

static void expect_nfc(wh_str in, wh_str want, wh_text_buffer *buffer) {
  wh_str got;
  assert_int_equal(wh_normalize_nfc(in, buffer, &got), WH_OK);
  if (!wh_str_equal(got, want))
    fail_msg("NFC of '%.*s': got '%.*s', want '%.*s'", (int)in.len, in.data, (int)got.len, got.data,
             (int)want.len, want.data);
}

static void nfc(void **state) {
  (void)state;
  json_t *root = golden_load("unicode.json"), *golden = json_object_get(root, "nfc");
  json_t *in = json_object_get(golden, "in"), *out = json_object_get(golden, "out");
  wh_text_buffer buffer;
  wh_text_buffer_init(&buffer, NULL);
  assert_true(json_array_size(in) > 150);
  for (size_t i = 0; i < json_array_size(in); i++) {
    expect_nfc(golden_item(in, i), golden_item(out, i), &buffer);
    expect_nfc(golden_item(out, i), golden_item(out, i), &buffer);
  }
  /* Ill-formed bytes stay, and nothing combines across them; NUL is a character like any other. */
  const wh_str bad = {"e\xcc\x81\xff\xcc\x81\x65\0e\xcc\x81\xe2\x82", 13},
               good = {"\xc3\xa9\xff\xcc\x81\x65\0\xc3\xa9\xe2\x82", 11};
  expect_nfc(bad, good, &buffer);
  /* What cannot change is not copied. */
  wh_str text = wh_str_from("caf\xc3\xa9"), same;
  assert_int_equal(wh_normalize_nfc(text, &buffer, &same), WH_OK);
  assert_ptr_equal(same.data, text.data);
  wh_text_buffer_deinit(&buffer);
  json_decref(root);
}

/* A megabyte of marks in an order that makes sorting by exchange take hours. */
static void nfc_of_many_marks(void **state) {
  (void)state;
  enum { N = 300000 };
  char *text = malloc(4 * N);
  assert_non_null(text);
  for (size_t i = 0; i < N; i++) memcpy(text + 4 * i, "\xcc\x81\xcc\xa3", 4); /* U+0301 (230), U+0323 (220) */
  wh_text_buffer buffer;
  wh_str got;
  wh_text_buffer_init(&buffer, NULL);
  assert_int_equal(wh_normalize_nfc((wh_str){text, 4 * N}, &buffer, &got), WH_OK);
  assert_int_equal(got.len, 4 * N);
  for (size_t i = 0; i < N; i++) {
    assert_memory_equal(got.data + 2 * i, "\xcc\xa3", 2);
    assert_memory_equal(got.data + 2 * (N + i), "\xcc\x81", 2);
  }
  wh_text_buffer_deinit(&buffer);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(case_of_every_character), cmocka_unit_test(kind_of_every_character),
      cmocka_unit_test(case_of_texts), cmocka_unit_test(nfc), cmocka_unit_test(nfc_of_many_marks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
