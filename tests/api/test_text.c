/* test_text.c - what text.h and session.h promise about chats, streams, generators and logits. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/api/small_engine.h"
#include "tests/base/failing_allocator.h"

#define BOTH (WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL)

static int32_t id_of(const char *token) {
  for (int32_t i = 0; i < SMALL_N_VOCAB; i++)
    if (strcmp(small_tokens[i], token) == 0) return i;
  fail_msg("no token %s", token);
  return -1;
}

static void assert_says(const char *part) {
  if (!strstr(wh_last_error()->message, part))
    fail_msg("the error '%s' does not say '%s'", wh_last_error()->message, part);
}

/* ---- chats ---- */

typedef struct id_list {
  int32_t ids[64];
  size_t n;
} id_list;

static id_list tokenize(const wh_model *model, const char *text, uint32_t flags) {
  id_list l = {.n = 0};
  assert_int_equal(wh_model_tokenize(model, text, strlen(text), flags, l.ids, 64, &l.n), WH_OK);
  assert_true(l.n <= 64);
  return l;
}

static void assert_ids(const id_list *l, const int32_t *want, size_t n) {
  assert_int_equal(l->n, n);
  assert_memory_equal(l->ids, want, n * sizeof *want);
}

static wh_status render(const wh_model *model, const char *messages, const char *tools, const char *extra,
                        char **text) {
  wh_chat_options options = WH_CHAT_OPTIONS_INIT;
  size_t n = 0;
  options.tools_json = tools;
  options.extra_json = extra;
  wh_status status = wh_model_render_chat(model, messages, &options, text, &n);
  if (status == WH_OK) assert_int_equal(n, strlen(*text));
  return status;
}

static void a_rendered_chat_has_one_bos(void **state) {
  (void)state;
  small_engine e = small_engine_open(1);
  char *text = NULL;
  assert_int_equal(render(e.model, "[{\"role\":\"user\",\"content\":\"ab\"}]", NULL, NULL, &text), WH_OK);
  assert_string_equal(text, "<s><|user|>ab\n");
  const int32_t want[] = {SMALL_BOS, SMALL_USER, id_of("ab"), id_of("\u010a")};
  const id_list as_the_header_says = tokenize(e.model, text, WH_TOKENIZE_PARSE_SPECIAL);
  assert_ids(&as_the_header_says, want, 4);
  const id_list with_both = tokenize(e.model, text, BOTH);
  assert_ids(&with_both, want, 4);
  wh_string_destroy(text);
  /* what a raw prompt relies on is as it was */
  const int32_t plain[] = {SMALL_BOS, id_of("a")}, two[] = {SMALL_BOS, SMALL_BOS, id_of("a")};
  id_list l = tokenize(e.model, "a", WH_TOKENIZE_ADD_SPECIAL);
  assert_ids(&l, plain, 2);
  l = tokenize(e.model, "a", BOTH);
  assert_ids(&l, plain, 2);
  l = tokenize(e.model, "<s><s>a", BOTH); /* the second was written on purpose */
  assert_ids(&l, two, 3);
  l = tokenize(e.model, "<s><s>a", WH_TOKENIZE_PARSE_SPECIAL);
  assert_ids(&l, two, 3);
  l = tokenize(e.model, "<s>", WH_TOKENIZE_ADD_SPECIAL); /* plain characters */
  assert_int_equal(l.n, 4);
  size_t n;
  assert_int_equal(wh_model_tokenize(e.model, "a", 1, 8, NULL, 0, &n), WH_ERR_INVALID_ARGUMENT);
  assert_says("flags 0x8");
  l = tokenize(e.model, "a", WH_TOKENIZE_ADD_BOS);
  assert_ids(&l, plain, 2);
  small_engine_close(&e);
}

/* The arguments are parts of one JSON text: each must be a whole value of its kind and nothing more. */
static void chat_arguments_are_whole_json_values(void **state) {
  (void)state;
  static const char *const no_list[] = {"",
                                        " ",
                                        "{}",
                                        "{\"role\":\"user\"}",
                                        "null",
                                        "1",
                                        "\"x\"",
                                        "[",
                                        "]",
                                        "[]]",
                                        "[],[]",
                                        "[] []",
                                        "[],\"bos_token\":\"!\",\"x\":[]",
                                        "[{]",
                                        "[\"]",
                                        "[\"\\\"]"};
  static const char *const no_object[] = {"", "[]", "null", "{", "}", "{}}", "{},{}", "{\"}", "x"};
  small_engine e = small_engine_open(1);
  char *text = NULL;
  for (size_t i = 0; i < sizeof no_list / sizeof no_list[0]; i++) {
    wh_status st = render(e.model, no_list[i], NULL, NULL, &text);
    if (st != WH_ERR_INVALID_ARGUMENT) fail_msg("messages %s: %s", no_list[i], wh_status_name(st));
    if (strcmp(no_list[i], "[{]") != 0) assert_says("messages_json must be a JSON list");
    st = render(e.model, "[]", no_list[i], NULL, &text);
    if (st != WH_ERR_INVALID_ARGUMENT) fail_msg("tools %s: %s", no_list[i], wh_status_name(st));
    if (strcmp(no_list[i], "[{]") != 0) assert_says("tools_json must be a JSON list");
  }
  for (size_t i = 0; i < sizeof no_object / sizeof no_object[0]; i++) {
    wh_status st = render(e.model, "[]", NULL, no_object[i], &text);
    if (st != WH_ERR_INVALID_ARGUMENT) fail_msg("extra %s: %s", no_object[i], wh_status_name(st));
    assert_says("extra_json must be a JSON object");
  }
  assert_null(text);
  assert_int_equal(render(e.model, " [ {\"content\":\"]}\\\"[\\\\\"} ]\n", "[ ]", " { } ", &text), WH_OK);
  assert_string_equal(text, "<s><|user|>]}\"[\\\n");
  wh_string_destroy(text);
  assert_int_equal(render(e.model, "[]", NULL, "{\"bos_token\":\"<|user|>\"}", &text), WH_OK);
  assert_string_equal(text, "<|user|>");
  wh_string_destroy(text);
  small_engine_close(&e);
}

/* A NUL in a message is a character like any other, and the length says how many there are. */
static void a_rendered_chat_has_a_length(void **state) {
  (void)state;
  static const char messages[] = "[{\"content\":\"a\\u0000b\"},{\"content\":\"c\"}]";
  static const char want[] = "<s><|user|>a\0b\n<|user|>c\n";
  small_engine e = small_engine_open(1);
  char *text = NULL;
  size_t n = 0, offset = 7, length = 7;
  assert_int_equal(wh_model_render_chat(e.model, messages, NULL, &text, &n), WH_OK);
  assert_int_equal(n, sizeof want - 1);
  assert_memory_equal(text, want, sizeof want); /* with the NUL behind it */
  /* in it, and in any text: */
  assert_int_equal(wh_model_find_control(e.model, text + 3, n - 3, &offset, &length), WH_OK);
  assert_int_equal(offset, 0);
  assert_int_equal(length, strlen("<|user|>"));
  assert_int_equal(wh_model_find_control(e.model, "a\0<s>", 5, &offset, &length), WH_OK);
  assert_int_equal(offset, 2);
  assert_int_equal(length, 3);
  assert_int_equal(wh_model_find_control(e.model, "plain", 5, &offset, &length), WH_OK);
  assert_int_equal(length, 0);
  wh_string_destroy(text);
  small_engine_close(&e);
}

/* ---- streams ---- */

typedef struct shown {
  char text[64];
  size_t n;
  bool stopped;
} shown;

static shown push(wh_text_stream *s, int32_t id) {
  const char *text = NULL;
  shown out = {.n = 0};
  assert_int_equal(wh_text_stream_push(s, id, &text, &out.n, &out.stopped), WH_OK);
  assert_int_equal(strlen(text), out.n);
  memcpy(out.text, text, out.n + 1);
  return out;
}

static shown finish(wh_text_stream *s) {
  const char *text = NULL;
  shown out = {.n = 0};
  assert_int_equal(wh_text_stream_finish(s, &text, &out.n), WH_OK);
  assert_int_equal(strlen(text), out.n);
  memcpy(out.text, text, out.n + 1);
  return out;
}

static void control_tokens_show_on_request(void **state) {
  (void)state;
  small_engine e = small_engine_open(1);
  for (int show = 0; show < 2; show++) {
    wh_text_stream *s = NULL;
    assert_int_equal(wh_text_stream_create(e.model, NULL, 0, show, &s), WH_OK);
    assert_string_equal(push(s, id_of("ab")).text, "ab");
    assert_string_equal(push(s, SMALL_USER).text, show ? "<|user|>" : "");
    assert_string_equal(push(s, SMALL_EOS).text, show ? "</s>" : "");
    const char *text;
    size_t n;
    bool stopped;
    assert_int_equal(wh_text_stream_push(s, SMALL_N_VOCAB, &text, &n, &stopped), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(wh_text_stream_push(s, -1, &text, &n, &stopped), WH_ERR_INVALID_ARGUMENT);
    wh_text_stream_destroy(s);
  }
  small_engine_close(&e);
}

static void finishing_gives_what_was_held_back_once(void **state) {
  (void)state;
  static const char *const stops[] = {"bcd"};
  small_engine e = small_engine_open(1);
  wh_text_stream *s = NULL;
  assert_int_equal(wh_text_stream_create(e.model, stops, 1, false, &s), WH_OK);
  assert_string_equal(push(s, id_of("b")).text, "");
  assert_string_equal(push(s, id_of("c")).text, "");
  assert_string_equal(finish(s).text, "bc");
  assert_string_equal(finish(s).text, "");
  wh_text_stream_destroy(s);
  assert_int_equal(wh_text_stream_create(e.model, NULL, 0, false, &s), WH_OK);
  assert_string_equal(push(s, id_of("\u00c3")).text, ""); /* the first byte of two */
  assert_string_equal(push(s, id_of("\u00a9")).text, "\u00e9");
  assert_string_equal(push(s, id_of("\u00c3")).text, "");
  assert_string_equal(finish(s).text, "\ufffd");
  assert_string_equal(finish(s).text, "");
  wh_text_stream_destroy(s);
  small_engine_close(&e);
}

static void nothing_comes_after_a_stop(void **state) {
  (void)state;
  static const char *const stops[] = {"bc", "zz"};
  small_engine e = small_engine_open(1);
  wh_text_stream *s = NULL;
  assert_int_equal(wh_text_stream_create(e.model, stops, 2, false, &s), WH_OK);
  shown t = push(s, id_of("a"));
  assert_true(!t.stopped && strcmp(t.text, "a") == 0);
  t = push(s, id_of("b"));
  assert_true(!t.stopped && t.n == 0);
  t = push(s, id_of("c"));
  assert_true(t.stopped && t.n == 0);
  t = push(s, id_of("z"));
  assert_true(t.stopped && t.n == 0);
  assert_int_equal(finish(s).n, 0);
  t = push(s, id_of("\u00c3"));
  assert_true(t.stopped && t.n == 0);
  assert_int_equal(finish(s).n, 0);
  wh_text_stream_destroy(s);
  small_engine_close(&e);
}

/* Streams and generators take what they have from the model's allocator and give it back. */
static void memory_comes_from_the_models_allocator(void **state) {
  (void)state;
  static const char *const stops[] = {"bc"};
  small_engine e = small_engine_open(1);
  failing_allocator a;
  wh_model_options o = WH_MODEL_OPTIONS_INIT;
  wh_model *model = NULL;
  wh_text_stream *stream = NULL;
  wh_generator *generator = NULL;
  o.allocator = failing_allocator_init(&a, 0);
  assert_int_equal(wh_model_open(e.path.text, &o, &model), WH_OK);
  (void)tokenize(model, "ab", 0); /* builds the tokenizer */
  const size_t before = a.n_live;
  assert_int_equal(wh_text_stream_create(model, stops, 1, false, &stream), WH_OK);
  const size_t with_stream = a.n_live;
  assert_true(with_stream > before);
  assert_int_equal(wh_generator_create(model, NULL, &generator), WH_OK);
  assert_true(a.n_live > with_stream);
  wh_generator_destroy(generator);
  assert_int_equal(a.n_live, with_stream);
  (void)push(stream, id_of("a"));
  wh_text_stream_destroy(stream);
  assert_int_equal(a.n_live, before);
  wh_model_destroy(model);
  assert_int_equal(a.n_live, 0);
  small_engine_close(&e);
}

/* ---- generators ---- */

static int32_t sample(wh_generator *g, const float *logits) {
  int32_t token = -1;
  assert_int_equal(wh_generator_sample(g, logits, &token), WH_OK);
  return token;
}

/* A pick enters the history by itself; accepting is for tokens from elsewhere; reset forgets both. */
static void a_pick_is_recorded(void **state) {
  (void)state;
  small_engine e = small_engine_open(1);
  wh_sampling o = WH_SAMPLING_INIT;
  wh_generator *g = NULL;
  float logits[SMALL_N_VOCAB];
  for (int i = 0; i < SMALL_N_VOCAB; i++) logits[i] = (float)-i; /* 0 before 1 before 2 ... */
  o.presence_penalty = 100.0f;
  assert_int_equal(wh_generator_create(e.model, &o, &g), WH_OK);
  for (int round = 0; round < 2; round++) {
    for (int32_t i = 0; i < 4; i++) assert_int_equal(sample(g, logits), i);
    wh_generator_accept(g, 4);
    assert_int_equal(sample(g, logits), 5);
    wh_generator_reset(g);
  }
  wh_generator_destroy(g);
  small_engine_close(&e);
}

static void reset_starts_from_the_seed(void **state) {
  (void)state;
  small_engine e = small_engine_open(1);
  wh_sampling o = WH_SAMPLING_INIT;
  wh_generator *g = NULL;
  float logits[SMALL_N_VOCAB] = {0}, bad[SMALL_N_VOCAB] = {0};
  int32_t first[16], token = -1;
  bool all_the_same = true;
  o.temperature = 1.0f;
  o.seed = 11;
  bad[7] = NAN;
  assert_int_equal(wh_generator_create(e.model, &o, &g), WH_OK);
  for (int i = 0; i < 16; i++) {
    first[i] = sample(g, logits);
    all_the_same &= first[i] == first[0];
  }
  assert_false(all_the_same);
  wh_generator_reset(g);
  for (int i = 0; i < 16; i++) { /* calls that fail take no random number */
    assert_int_equal(wh_generator_sample(g, bad, &token), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(wh_generator_sample(g, NULL, &token), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(sample(g, logits), first[i]);
  }
  assert_int_equal(token, -1);
  wh_generator_destroy(g);
  small_engine_close(&e);
}

/* ---- logits ---- */

static int cancel(void *ctx, const wh_trace_event *event) {
  (void)event;
  return --*(int *)ctx < 0;
}

/* Whatever made a run fail, its session has no logits, and the next good run has the right ones. */
static void a_failed_run_leaves_no_logits(void **state) {
  (void)state;
  static const int32_t good[] = {3, 4, 5}, no_token[] = {3, SMALL_N_VOCAB};
  small_engine e = small_engine_open(2);
  float want[SMALL_N_VOCAB];
  int32_t many[65] = {0};
  assert_null(wh_session_logits(e.session, 0));
  assert_int_equal(small_engine_run(e.session, good, 3), WH_OK);
  memcpy(want, wh_session_logits(e.session, 0), sizeof want);
  assert_null(wh_session_logits(e.session, 1));
  for (int fault = 0; fault < 6; fault++) {
    int countdown = 3;
    wh_batch without_size = WH_BATCH_INIT;
    wh_status st = WH_OK;
    without_size.struct_size = 0;
    assert_int_equal(wh_session_truncate(e.session, 0, 0), WH_OK);
    assert_int_equal(small_engine_run(e.session, good, 3), WH_OK);
    assert_memory_equal(wh_session_logits(e.session, 0), want, sizeof want);
    switch (fault) {
      case 0:
        st = small_engine_run(e.session, no_token, 2);
        break;
      case 1:
        st = small_engine_run(e.session, good, 0);
        break;
      case 2:
        st = wh_session_run(e.session, NULL);
        break;
      case 3:
        st = wh_session_run(e.session, &without_size);
        break;
      case 4:
        wh_session_set_trace(e.session, cancel, &countdown);
        st = small_engine_run(e.session, good, 3);
        wh_session_set_trace(e.session, NULL, NULL);
        assert_int_equal(st, WH_ERR_CANCELLED);
        break;
      case 5: /* past the context */
        while (st == WH_OK) st = small_engine_run(e.session, many, 16);
        assert_int_equal(st, WH_ERR_LIMIT);
        break;
    }
    assert_int_not_equal(st, WH_OK);
    assert_null(wh_session_logits(e.session, 0));
    if (fault != 5) assert_int_equal(wh_session_length(e.session, 0), 3);
  }
  assert_int_equal(wh_session_truncate(e.session, 0, 0), WH_OK);
  assert_int_equal(small_engine_run(e.session, good, 3), WH_OK);
  assert_int_equal(wh_session_truncate(e.session, 0, 1), WH_OK); /* forgetting is no run */
  assert_memory_equal(wh_session_logits(e.session, 0), want, sizeof want);
  small_engine_close(&e);
}

static void a_speculator_has_none_either(void **state) {
  (void)state;
  static const int32_t good[] = {3, 4, 5}, no_token[] = {SMALL_N_VOCAB};
  small_engine e = small_engine_open(1);
  wh_speculator *s = NULL;
  assert_int_equal(wh_speculator_create(e.session, NULL, &s), WH_OK);
  assert_int_equal(wh_speculator_append(s, good, 3, true), WH_OK);
  assert_non_null(wh_speculator_logits(s));
  assert_int_equal(wh_speculator_append(s, no_token, 1, true), WH_ERR_INVALID_ARGUMENT);
  assert_null(wh_speculator_logits(s));
  assert_int_equal(wh_speculator_append(s, good, 1, true), WH_OK);
  assert_int_equal(wh_speculator_advance(s, SMALL_N_VOCAB, 1), WH_ERR_INVALID_ARGUMENT);
  assert_null(wh_speculator_logits(s));
  wh_speculator_destroy(s);
  small_engine_close(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_rendered_chat_has_one_bos),
      cmocka_unit_test(a_rendered_chat_has_a_length),
      cmocka_unit_test(chat_arguments_are_whole_json_values),
      cmocka_unit_test(control_tokens_show_on_request),
      cmocka_unit_test(finishing_gives_what_was_held_back_once),
      cmocka_unit_test(nothing_comes_after_a_stop),
      cmocka_unit_test(memory_comes_from_the_models_allocator),
      cmocka_unit_test(a_pick_is_recorded),
      cmocka_unit_test(reset_starts_from_the_seed),
      cmocka_unit_test(a_failed_run_leaves_no_logits),
      cmocka_unit_test(a_speculator_has_none_either),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
