/* test_chat_goldens.c - renders real chat templates and a table of expressions, and compares byte for byte
 * with what Jinja2 made of them (make_chat_goldens.py). An argument names another folder of goldens. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/chat_template.h"

static const char *data_dir = WH_TEST_DATA_DIR;

static json_t *load(const char *name) {
  char path[1024];
  json_error_t error;
  (void)snprintf(path, sizeof path, "%s/%s", data_dir, name);
  json_t *json = json_load_file(path, JSON_ALLOW_NUL, &error);
  if (!json) fail_msg("%s:%d: %s", path, error.line, error.text);
  return json;
}

static wh_str text_of(const json_t *json, const char *key) {
  const json_t *value = json_object_get(json, key);
  return value ? (wh_str){json_string_value(value), json_string_length(value)} : (wh_str){NULL, 0};
}

/* Compares one rendering with its golden; prints and returns false when they differ. */
static bool check(const char *what, wh_str source, const char *context, int64_t now, const json_t *golden) {
  wh_chat_template *t = NULL;
  wh_text_buffer out;
  wh_text_buffer_init(&out, NULL);
  wh_status status = wh_chat_template_compile(source, NULL, &t);
  if (status == WH_OK) status = wh_chat_template_render(t, (wh_str){context, strlen(context)}, now, &out);
  wh_str text = text_of(golden, "text"), raised = text_of(golden, "raised");
  const char *message = wh_last_error()->message;
  bool same;
  if (text.data) {
    same = status == WH_OK && wh_str_equal(text, (wh_str){out.data ? out.data : "", out.len});
    if (!same && status == WH_OK) {
      size_t i = 0;
      while (i < text.len && i < out.len && text.data[i] == out.data[i]) i++;
      print_error("%s: differs at byte %zu of %zu: got '%.60s', want '%.60s'\n", what, i, text.len,
                  out.data ? out.data + i : "", text.data + i);
    } else if (!same) {
      print_error("%s: %s\n", what, message);
    }
  } else {
    same = status != WH_OK && out.len == 0 && strstr(message, "chat template line ");
    if (raised.data)
      same &=
          status == WH_ERR_INVALID_ARGUMENT && strstr(message, raised.len < 380 ? raised.data : "") != NULL;
    if (!same)
      print_error("%s: want error '%s', got %s '%.100s'\n", what,
                  raised.data ? raised.data : text_of(golden, "error").data, wh_status_name(status),
                  status == WH_OK ? (out.data ? out.data : "") : message);
  }
  wh_text_buffer_deinit(&out);
  wh_chat_template_destroy(t);
  return same;
}

typedef struct counts {
  size_t n_templates, n_text, n_bad;
} counts;

static void check_models(const char *file, counts *n) {
  json_t *goldens = load(file);
  const json_t *conversations = json_object_get(goldens, "conversations");
  const json_t *templates = json_object_get(goldens, "templates");
  int64_t now = json_integer_value(json_object_get(goldens, "now"));
  n->n_templates += json_array_size(templates);
  for (size_t c = 0; c < json_array_size(conversations); c++) {
    const json_t *conversation = json_array_get(conversations, c);
    char *context = json_dumps(json_object_get(conversation, "context"), 0);
    assert_non_null(context);
    for (size_t i = 0; i < json_array_size(templates); i++) {
      const json_t *t = json_array_get(templates, i);
      const json_t *golden = json_array_get(json_object_get(t, "results"), c);
      char what[256];
      (void)snprintf(what, sizeof what, "%s, %s", text_of(t, "name").data,
                     text_of(conversation, "name").data);
      n->n_bad += !check(what, text_of(t, "source"), context, now, golden);
      n->n_text += json_object_get(golden, "text") != NULL;
    }
    free(context);
  }
  json_decref(goldens);
}

static void test_models(void **state) {
  (void)state;
  counts n = {0};
  check_models("chat_goldens_0.json", &n);
  check_models("chat_goldens_1.json", &n);
  check_models("chat_goldens_2.json", &n);
  assert_int_equal(n.n_bad, 0);
  assert_true(n.n_templates >= 30);
  assert_true(n.n_text > 300); /* goldens that are errors only would prove little */
}

static void test_expressions(void **state) {
  (void)state;
  json_t *table = load("chat_expressions.json");
  const json_t *cases = json_object_get(table, "cases");
  char *context = json_dumps(json_object_get(table, "context"), 0);
  int64_t now = json_integer_value(json_object_get(table, "now"));
  size_t n_bad = 0;
  assert_non_null(context);
  assert_true(json_array_size(cases) > 500);
  for (size_t i = 0; i < json_array_size(cases); i++) {
    const json_t *golden = json_array_get(cases, i);
    wh_str source = text_of(golden, "source");
    n_bad += !check(source.data, source, context, now, golden);
  }
  free(context);
  json_decref(table);
  assert_int_equal(n_bad, 0);
}

int main(int argc, char **argv) {
  if (argc > 1) data_dir = argv[1];
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_models), cmocka_unit_test(test_expressions)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
