/* test_chat_hostile.c - templates that want too much end in one error that names their line; failing
 * allocations leave neither leak nor half a result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/chat_template.h"

static wh_status run(wh_str source, const char *context, const wh_allocator *alloc, wh_text_buffer *out) {
  wh_chat_template *t = NULL;
  wh_status status = wh_chat_template_compile(source, alloc, &t);
  if (status == WH_OK) status = wh_chat_template_render(t, wh_str_from(context), 0, out);
  wh_chat_template_destroy(t);
  return status;
}

static void expect_error(const char *source, wh_status expected, const char *part) {
  wh_text_buffer out;
  wh_text_buffer_init(&out, NULL);
  wh_text_buffer_puts(&out, "before");
  wh_status status = run(wh_str_from(source), "{\"s\": \"x\", \"l\": [1, 2, 3]}", NULL, &out);
  if (status != expected || !strstr(wh_last_error()->message, part) ||
      strncmp(wh_last_error()->message, "chat template line ", 19) != 0)
    fail_msg("%.80s: got %s: %s", source, wh_status_name(status),
             status ? wh_last_error()->message : out.data);
  assert_string_equal(out.data, "before"); /* untouched on failure */
  wh_text_buffer_deinit(&out);
}

static void test_limits(void **state) {
  (void)state;
  static const struct {
    const char *source;
    wh_status status;
    const char *part;
  } cases[] = {
      {"\n{{ range(10**9) }}", WH_ERR_LIMIT, "line 2"},
      {"{{ range(0, 10**18, 1) }}", WH_ERR_LIMIT, "range too big"},
      {"{{ 'a' * 10**9 }}", WH_ERR_LIMIT, "repeated"},
      {"{{ [1] * 10**9 }}", WH_ERR_LIMIT, "repeated"},
      {"{{ ('a' * 10**6) * 10**6 }}", WH_ERR_LIMIT, "repeated"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", WH_ERR_LIMIT, "nest deeper"},
      {"{% macro m(x) %}{% if 1 %}{% for i in l %}{{ m(x ~ x) }}{% endfor %}{% endif %}{% endmacro %}{{ "
       "m('a') }}",
       WH_ERR_LIMIT, ""},
      {"{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
       WH_ERR_LIMIT, ""},
      {"{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
       WH_ERR_LIMIT, ""},
      {"{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x "
       "}}",
       WH_ERR_LIMIT, "nest deeper"},
      {"{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ "
       "ns.x|tojson }}",
       WH_ERR_LIMIT, "nest deeper"},
      {"{% set ns = namespace(x=[], y=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% set ns.y = "
       "[ns.y] %}"
       "{% endfor %}{{ ns.x == ns.y }}",
       WH_ERR_LIMIT, "nest deeper"},
      {"{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", WH_ERR_LIMIT, "nest deeper"},
      {"{% set a = range(9999) %}{% for i in a %}{% for j in a %}{% for k in a %}{{ k }}{% endfor %}{% "
       "endfor %}"
       "{% endfor %}",
       WH_ERR_LIMIT, "steps"},
      {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", WH_ERR_LIMIT, ""},
      {"{% set b = 'x' * 10**7 %}{% for i in l %}{{ b }}{{ b }}{{ b }}{% endfor %}", WH_ERR_LIMIT,
       "text grows"},
      {"{% set b = 'x' * 10**6 %}{% for i in range(99999) %}{% if 'y' in b %}{% endif %}{% endfor %}",
       WH_ERR_LIMIT, ""},
      {"{% set b = 'x' * 10**6 %}{{ b.replace('', b) }}", WH_ERR_LIMIT, ""},
      {"{% set b = 'x' * 10**6 %}{{ b|replace('x', b) }}", WH_ERR_LIMIT, ""},
      {"{% set b = 'x' * 10**6 %}{% set c = 'y' ~ 'x' * 10**5 %}{{ b.rfind(c) }}", WH_ERR_LIMIT, "steps"},
      {"{% set b = 'x' * 10**6 %}{{ b.strip('yyyyyyyyyyyyyyyyyyyyyyyyyyyyx' * 1000) }}", WH_ERR_LIMIT,
       "steps"},
      {"{{ 'x'.center(10**9) }}", WH_ERR_LIMIT, ""},
      {"{{ '%999999999d' % 1 }}", WH_ERR_LIMIT, "width"},
      {"{{ '%.999999f' % 1.5 }}", WH_ERR_LIMIT, "precision"},
      {"{{ '{:>99999999}'.format(1) }}", WH_ERR_LIMIT, "width"},
      {"{{ l|tojson(indent=10**9) }}", WH_ERR_LIMIT, "indent"},
      {"{{ 'a'|indent(10**9, true) }}", WH_ERR_LIMIT, "indent"},
      {"{{ l|batch(10**9, 0)|list }}", WH_ERR_INVALID_ARGUMENT, "batch"},
      {"{{ l|slice(10**9)|list }}", WH_ERR_INVALID_ARGUMENT, "slice"},
      {"{{ 2 ** 63 }}", WH_ERR_INVALID_ARGUMENT, "64-bit"},
      {"{{ 9223372036854775807 + 1 }}", WH_ERR_INVALID_ARGUMENT, "64-bit"},
      {"{{ (-9223372036854775807 - 1) // -1 }}", WH_ERR_INVALID_ARGUMENT, "64-bit"},
      {"{{ (-9223372036854775807 - 1)|abs }}", WH_ERR_INVALID_ARGUMENT, "64-bit"},
      {"\n\n{{ s|frobnicate }}", WH_ERR_UNSUPPORTED, "line 3: no filter named 'frobnicate'"},
      {"\n{{ s is frobnicated }}", WH_ERR_UNSUPPORTED, "line 2: no test named 'frobnicated'"},
      {"\n{{ frobnicate(1) }}", WH_ERR_INVALID_ARGUMENT, "line 2: 'frobnicate' is undefined"},
      {"{% endif %}", WH_ERR_INVALID_ARGUMENT, "line 1: tag 'endif' without its block"},
      {"{% if x %}{% endfor %}{% endif %}", WH_ERR_INVALID_ARGUMENT, "tag 'endfor' without its block"},
      {"\n{% frobnicate %}", WH_ERR_UNSUPPORTED, "line 2: unknown tag 'frobnicate'"},
      {"{% for x in l recursive %}{% endfor %}", WH_ERR_UNSUPPORTED, "recursive"},
      {"\n{{ raise_exception('no ' ~ s) }}", WH_ERR_INVALID_ARGUMENT, "line 2: no x"},
      {"{{ '\\ud800' }}", WH_ERR_INVALID_ARGUMENT, "not a character"},
      {"{{ l.append(1) }}", WH_ERR_INVALID_ARGUMENT, "append"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    expect_error(cases[i].source, cases[i].status, cases[i].part);
}

/* `unit` n times between `head` and `tail`. */
static void expect_repeated_error(const char *head, const char *unit, size_t n, const char *tail) {
  size_t unit_bytes = strlen(unit), bytes = strlen(head) + n * unit_bytes + strlen(tail);
  char *source = malloc(bytes + 1), *p = source;
  assert_non_null(source);
  p += sprintf(p, "%s", head);
  for (size_t i = 0; i < n; i++, p += unit_bytes) memcpy(p, unit, unit_bytes);
  (void)sprintf(p, "%s", tail);
  wh_text_buffer out;
  wh_text_buffer_init(&out, NULL);
  wh_status status = run((wh_str){source, bytes}, "{}", NULL, &out);
  if (status == WH_OK || strncmp(wh_last_error()->message, "chat template", 13) != 0)
    fail_msg("%s%s...: %s", head, unit, status ? wh_last_error()->message : "no error");
  wh_text_buffer_deinit(&out);
  free(source);
}

static void test_nesting(void **state) {
  (void)state;
  const size_t n = 60000;
  static const char *const open[] = {"(",
                                     "[",
                                     "{1:",
                                     "-",
                                     "not ",
                                     "a[",
                                     "f(",
                                     "1 if ",
                                     "a|f(",
                                     "1+(",
                                     "{% if 1 %}",
                                     "x is y(",
                                     "1 if 1 else ",
                                     "(x.y[",
                                     "{% for i in [1] %}",
                                     "{% set x %}",
                                     "{% macro m() %}",
                                     "{% filter upper %}",
                                     "{% call(x) m() %}",
                                     "{% with a = 1 %}"};
  for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
    expect_repeated_error(open[i][0] == '{' && open[i][1] == '%' ? "" : "{{ ", open[i], n, "");
  expect_repeated_error("{{ 1", "+1", n,
                        " }}"); /* long chains lean to the left: too deep for the evaluator */
  expect_repeated_error("{{ 'a'", "|upper", n, " }}");
  expect_repeated_error("{{ l", ".x", n, " }}");
  expect_repeated_error("{{ l", "[0]", n, " }}");
  expect_repeated_error("{% set x", "|upper", n, " %}{% endset %}");
  expect_repeated_error("{{ 1", " if 1", n, " }}");
  expect_repeated_error("{{ 1", " and 1", n, " }}");
  expect_repeated_error("", "{{ x }}", 200000, ""); /* more than a MiB */
}

static void test_bad_input(void **state) {
  (void)state;
  static const char *const contexts[] = {"",
                                         "[]",
                                         "1",
                                         "{",
                                         "{\"a\": }",
                                         "{\"a\": 1} x",
                                         "{\"a\": \"\xff\"}",
                                         "{\"a\": \"\\ud800\"}",
                                         "{\"a\": 99999999999999999999}"};
  wh_text_buffer out;
  wh_text_buffer_init(&out, NULL);
  for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
    assert_int_equal(run(wh_str_from("x"), contexts[i], NULL, &out), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(out.len, 0);
  }
  assert_int_equal(run(wh_str_from("a\xc3"), "{}", NULL, &out), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(run(wh_str_from("\xed\xa0\x80"), "{}", NULL, &out), WH_ERR_INVALID_ARGUMENT);
  char deep[4001];
  for (int i = 0; i < 2000; i++) deep[i] = '[';
  for (int i = 2000; i < 4000; i++) deep[i] = ']';
  deep[4000] = '\0';
  char context[4100];
  (void)snprintf(context, sizeof context, "{\"a\": %s}", deep);
  assert_int_equal(run(wh_str_from("x"), context, NULL, &out), WH_ERR_LIMIT);
  assert_int_equal(run((wh_str){"a\0b", 3}, "{}", NULL, &out), WH_OK); /* NUL is a character like others */
  assert_int_equal(out.len, 3);
  wh_text_buffer_deinit(&out);
}

static int n_alloc, n_live, fail_at;
static void *failing_alloc(void *ctx, size_t size, size_t align) {
  (void)ctx;
  if (n_alloc++ == fail_at) return NULL;
  n_live++;
  return wh_allocator_default()->alloc(NULL, size, align);
}
static void failing_free(void *ctx, void *ptr) {
  (void)ctx;
  n_live--;
  wh_allocator_default()->free(NULL, ptr);
}

static void test_memory(void **state) {
  (void)state;
  static const char source[] =
      "{% macro m(x, y=[1, 2]) %}{{ x|upper }}{{ y|join('-') }}{{ caller() if caller }}{% endmacro %}"
      "{% set ns = namespace(n=0) %}{% set big = 'abc' * 60000 %}"
      "{% for x in l|map('string')|list if x %}{% set ns.n = ns.n + 1 %}{{ loop.last }}{{ m(x) }}{% endfor %}"
      "{% call m('z') %}{{ {'a': [1, 2.5, none]}|tojson(indent=2) }}{% endcall %}{{ big|length }}{{ "
      "big|replace('a', "
      "'xy')|trim }}"
      "{{ '%s' % l }}{{ s.split()|sort }}{{ strftime_now('%d %b %Y') }}";
  const wh_allocator alloc = {NULL, failing_alloc, failing_free};
  wh_status status = WH_ERR_OUT_OF_MEMORY;
  for (fail_at = 0; status != WH_OK && fail_at < 1000; fail_at++) {
    wh_text_buffer out;
    n_alloc = 0;
    wh_text_buffer_init(&out, &alloc);
    status = run(wh_str_from(source), "{\"s\": \"a b\", \"l\": [1, 2, 3]}", &alloc, &out);
    if (status != WH_OK) {
      assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
      assert_int_equal(out.len, 0);
    }
    wh_text_buffer_deinit(&out);
    assert_int_equal(n_live, 0);
  }
  assert_int_equal(status, WH_OK);
  assert_true(fail_at > 10);
}

/* One template, rendered twice with different contexts: rendering does not change it. */
static void test_reuse(void **state) {
  (void)state;
  wh_chat_template *t = NULL;
  wh_text_buffer out;
  wh_text_buffer_init(&out, NULL);
  assert_int_equal(wh_chat_template_compile(wh_str_from("{% set x = x ~ 1 %}{{ x }};"), NULL, &t), WH_OK);
  assert_int_equal(wh_chat_template_render(t, wh_str_from("{\"x\": \"a\"}"), 0, &out), WH_OK);
  assert_int_equal(wh_chat_template_render(t, wh_str_from("{\"x\": \"b\"}"), 0, &out), WH_OK);
  assert_string_equal(out.data, "a1;b1;");
  wh_chat_template_destroy(t);
  wh_chat_template_destroy(NULL);
  wh_text_buffer_deinit(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits), cmocka_unit_test(test_nesting),
                                     cmocka_unit_test(test_bad_input), cmocka_unit_test(test_memory),
                                     cmocka_unit_test(test_reuse)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
