/* test_arguments.c - what a program does wrong at the API's border: every pointer of every public function as
 * NULL, structs without their size or with an older one. A table has one line for each pointer; the public
 * headers say whether it is complete. */
#define _GNU_SOURCE
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/api/small_engine.h"

/* ---- what the headers declare ---- */

#define MAX_PAIRS 256

/* "function argument" for every pointer that a public function takes. */
typedef struct pair_list {
  char text[MAX_PAIRS][96];
  size_t n;
} pair_list;

static void add_pair(pair_list *l, const char *function, const char *argument) {
  assert_true(l->n < MAX_PAIRS);
  int n = snprintf(l->text[l->n++], sizeof l->text[0], "%s %s", function, argument);
  assert_true(n > 0 && (size_t)n < sizeof l->text[0]);
}

static bool has_pair(const pair_list *l, const char *pair) {
  for (size_t i = 0; i < l->n; i++)
    if (strcmp(l->text[i], pair) == 0) return true;
  return false;
}

/* The header's text without comments and preprocessor lines. */
static char *read_declarations(const char *name) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/%s", WH_HEADER_DIR, name);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *text = calloc(1, 1 << 16), *out = text;
  assert_non_null(text);
  size_t n = fread(text, 1, (1 << 16) - 1, f);
  assert_true(n > 0 && n < (1 << 16) - 1);
  assert_int_equal(fclose(f), 0);
  bool line_start = true;
  for (const char *p = text; *p;) {
    if (strncmp(p, "/*", 2) == 0) {
      p = strstr(p, "*/") + 2;
      continue;
    }
    if (line_start && *p == '#') {
      while (*p && *p != '\n') p += *p == '\\' && p[1] ? 2 : 1;
      continue;
    }
    line_start = *p == '\n' || (line_start && isspace((unsigned char)*p));
    *out++ = *p++;
  }
  *out = '\0';
  return text;
}

/* The identifier that ends before `end`. */
static void name_before(const char *begin, const char *end, char out[64]) {
  while (end > begin && !(isalnum((unsigned char)end[-1]) || end[-1] == '_')) end--;
  const char *first = end;
  while (first > begin && (isalnum((unsigned char)first[-1]) || first[-1] == '_')) first--;
  assert_true(end > first && end - first < 64);
  memcpy(out, first, (size_t)(end - first));
  out[end - first] = '\0';
}

/* Function pointers hide behind a typedef that ends in _fn. */
static bool is_pointer(const char *begin, const char *end) {
  return memchr(begin, '*', (size_t)(end - begin)) || memchr(begin, '[', (size_t)(end - begin)) ||
         memmem(begin, (size_t)(end - begin), "_fn ", 4);
}

static size_t list_declared(const char *header, pair_list *l) {
  char *text = read_declarations(header);
  size_t n_functions = 0;
  for (char *p = text; (p = strstr(p, "WH_API "));) {
    const char *open = strchr(p, '('), *close = strstr(p, ");");
    char function[64], argument[64];
    assert_true(open && close && open < close);
    name_before(p, open, function);
    n_functions++;
    for (const char *a = open + 1; a < close;) {
      const char *end = memchr(a, ',', (size_t)(close - a));
      if (!end) end = close;
      if (is_pointer(a, end)) {
        const char *bracket = memchr(a, '[', (size_t)(end - a));
        name_before(a, bracket ? bracket : end, argument);
        add_pair(l, function, argument);
      }
      a = end + 1;
    }
    p += 7;
  }
  free(text);
  return n_functions;
}

/* ---- the table ---- */

static pair_list tried;

static void assert_refused(wh_status st, const char *function, const char *argument) {
  char named[80];
  const wh_error_record *e = wh_last_error();
  (void)snprintf(named, sizeof named, "'%s'", argument);
  if (st != WH_ERR_INVALID_ARGUMENT || e->status != st || !strstr(e->message, named) ||
      !strstr(e->message, function))
    fail_msg("%s, %s NULL: %s, \"%s\"", function, argument, wh_status_name(st), e->message);
}

/* The call has NULL for the argument and is otherwise right. */
#define REFUSES(function, argument, ...)                         \
  do {                                                           \
    add_pair(&tried, #function, #argument);                      \
    assert_refused(function(__VA_ARGS__), #function, #argument); \
  } while (0)
/* NULL has a meaning, or there is no status to tell: `answer` is what shall hold after the call. */
#define ALLOWS(function, argument, answer)                                             \
  do {                                                                                 \
    add_pair(&tried, #function, #argument);                                            \
    if (!(answer)) fail_msg("%s with %s NULL: not %s", #function, #argument, #answer); \
  } while (0)
/* The same for a call without result: that it returns is all. */
#define IGNORES(function, argument, ...)    \
  do {                                      \
    add_pair(&tried, #function, #argument); \
    function(__VA_ARGS__);                  \
  } while (0)

static void try_devices_and_models(small_engine *e) {
  wh_device *device = NULL;
  wh_model *model = NULL;
  wh_device_info info = WH_DEVICE_INFO_INIT;
  wh_device_roofline roofline;
  wh_model_info model_info = WH_MODEL_INFO_INIT;
  wh_weight_info weight = WH_WEIGHT_INFO_INIT;
  char hash[33], key[64], value[64], *text = NULL;
  ALLOWS(wh_device_create, options, wh_device_create(NULL, &device) == WH_OK);
  wh_device_destroy(device);
  REFUSES(wh_device_create, out, NULL, NULL);
  IGNORES(wh_device_destroy, device, NULL);
  ALLOWS(wh_device_retain, device, wh_device_retain(NULL) == NULL);
  REFUSES(wh_device_get_info, device, NULL, &info);
  REFUSES(wh_device_get_info, info, e->device, NULL);
  REFUSES(wh_device_measure, device, NULL, 0.01, &roofline);
  REFUSES(wh_device_measure, out, e->device, 0.01, NULL);

  REFUSES(wh_model_open, path, NULL, NULL, &model);
  REFUSES(wh_model_open, out, e->path.text, NULL, NULL);
  ALLOWS(wh_model_open, options, wh_model_open(e->path.text, NULL, &model) == WH_OK);
  wh_model_destroy(model);
  IGNORES(wh_model_destroy, model, NULL);
  ALLOWS(wh_model_retain, model, wh_model_retain(NULL) == NULL);
  REFUSES(wh_model_get_info, model, NULL, &model_info);
  REFUSES(wh_model_get_info, info, e->model, NULL);
  REFUSES(wh_model_graph_hash, model, NULL, hash);
  REFUSES(wh_model_graph_hash, out, e->model, NULL);
  ALLOWS(wh_model_n_metadata, model, wh_model_n_metadata(NULL) == 0);
  REFUSES(wh_model_get_metadata, model, NULL, 0, key, sizeof key, value, sizeof value);
  REFUSES(wh_model_get_metadata, key, e->model, 0, NULL, sizeof key, value, sizeof value);
  REFUSES(wh_model_get_metadata, value_text, e->model, 0, key, sizeof key, NULL, sizeof value);
  assert_int_equal(wh_model_get_metadata(e->model, 0, NULL, 0, NULL, 0), WH_OK);
  ALLOWS(wh_model_n_weights, model, wh_model_n_weights(NULL) == 0);
  REFUSES(wh_model_get_weight, model, NULL, 0, &weight);
  REFUSES(wh_model_get_weight, info, e->model, 0, NULL);
  REFUSES(wh_model_weight_hash, model, NULL, 0, hash);
  REFUSES(wh_model_weight_hash, out, e->model, 0, NULL);
  REFUSES(wh_model_graph_text, model, NULL, false, &text);
  REFUSES(wh_model_graph_text, out, e->model, false, NULL);
  assert_null(text);
  IGNORES(wh_string_destroy, text, NULL);
  assert_int_equal(wh_model_graph_text(e->model, false, &text), WH_OK);
  wh_string_destroy(text);
}

static void try_sessions(small_engine *e) {
  static const int32_t tokens[] = {3, 4, 5};
  wh_session *session = NULL;
  wh_session_memory memory = WH_SESSION_MEMORY_INIT;
  wh_session_packing packing = WH_SESSION_PACKING_INIT;
  wh_session_placement placement = WH_SESSION_PLACEMENT_INIT;
  wh_instruction_info instruction = WH_INSTRUCTION_INFO_INIT;
  wh_batch batch = WH_BATCH_INIT;
  char *text = NULL, hash[33] = "untouched";
  batch.n_tokens = 3;
  batch.tokens = tokens;
  REFUSES(wh_session_create, model, NULL, e->device, NULL, &session);
  REFUSES(wh_session_create, device, e->model, NULL, NULL, &session);
  REFUSES(wh_session_create, out, e->model, e->device, NULL, NULL);
  ALLOWS(wh_session_create, options, wh_session_create(e->model, e->device, NULL, &session) == WH_OK);
  wh_session_destroy(session);
  IGNORES(wh_session_destroy, session, NULL);
  ALLOWS(wh_session_retain, session, wh_session_retain(NULL) == NULL);
  wh_importance *importance = NULL;
  REFUSES(wh_importance_create, session, NULL, &importance);
  REFUSES(wh_importance_create, out, e->session, NULL);
  assert_int_equal(wh_importance_create(e->session, &importance), WH_OK);
  REFUSES(wh_importance_save, importance, NULL, "x");
  REFUSES(wh_importance_save, path, importance, NULL);
  assert_int_equal(wh_importance_save(importance, "x"), WH_ERR_INVALID_ARGUMENT); /* nothing ran */
  wh_importance_destroy(importance);
  IGNORES(wh_importance_destroy, importance, NULL);
  REFUSES(wh_session_run, session, NULL, &batch);
  REFUSES(wh_session_run, batch, e->session, NULL);
  batch.tokens = NULL;
  assert_int_equal(wh_session_run(e->session, &batch), WH_ERR_INVALID_ARGUMENT);
  ALLOWS(wh_session_logits, session, wh_session_logits(NULL, 0) == NULL);
  ALLOWS(wh_session_length, session, wh_session_length(NULL, 0) == 0);
  ALLOWS(wh_session_context, session, wh_session_context(NULL) == 0);
  REFUSES(wh_session_truncate, session, NULL, 0, 0);
  REFUSES(wh_session_get_memory, session, NULL, &memory);
  REFUSES(wh_session_get_memory, memory, e->session, NULL);
  REFUSES(wh_session_get_placement, session, NULL, 0, &placement);
  REFUSES(wh_session_get_placement, placement, e->session, 0, NULL);
  assert_int_equal(wh_session_get_placement(e->session, 1, &placement), WH_ERR_NOT_FOUND);
  REFUSES(wh_session_get_packing, session, NULL, &packing);
  REFUSES(wh_session_get_packing, packing, e->session, NULL);
  REFUSES(wh_session_keep_packed, session, NULL);
  REFUSES(wh_session_get_instruction, session, NULL, 0, &instruction);
  REFUSES(wh_session_get_instruction, info, e->session, 0, NULL);
  REFUSES(wh_session_plan_text, session, NULL, &text);
  REFUSES(wh_session_plan_text, out, e->session, NULL);
  assert_null(text);
  assert_int_equal(wh_session_plan_text(e->session, &text), WH_OK);
  wh_string_destroy(text);
  REFUSES(wh_session_extract, session, NULL, "output", "folder");
  REFUSES(wh_session_extract, node, e->session, NULL, "folder");
  REFUSES(wh_session_extract, folder, e->session, "output", NULL);
  IGNORES(wh_session_set_interrupt, session, NULL, NULL, NULL);
  IGNORES(wh_session_set_interrupt, fn, e->session, NULL, NULL);
  IGNORES(wh_session_set_interrupt, ctx, e->session, NULL, NULL);
  IGNORES(wh_session_set_trace, session, NULL, NULL, NULL);
  IGNORES(wh_session_set_trace, fn, e->session, NULL, NULL);
  IGNORES(wh_session_set_trace, ctx, e->session, NULL, NULL);
  IGNORES(wh_hash_text, out, tokens, sizeof tokens, NULL);
  ALLOWS(wh_hash_text, data, (wh_hash_text(NULL, 3, hash), hash[0] == '\0'));
  wh_hash_text(NULL, 0, hash);
  assert_int_equal(strlen(hash), 32);
}

static int write_nothing(void *ctx, const void *data, size_t n_bytes) {
  (void)ctx;
  (void)data;
  (void)n_bytes;
  return 0;
}

static void try_sequences(small_engine *e) {
  static const int32_t tokens[] = {3, 4, 5};
  wh_sequence *s = NULL, *other = NULL;
  wh_session_pages pages = WH_SESSION_PAGES_INIT;
  uint32_t n = 7;
  REFUSES(wh_sequence_create, session, NULL, &s);
  REFUSES(wh_sequence_create, out, e->session, NULL);
  assert_int_equal(wh_sequence_create(e->session, &s), WH_OK);
  REFUSES(wh_sequence_fork, sequence, NULL, 0, &other);
  REFUSES(wh_sequence_fork, out, s, 0, NULL);
  IGNORES(wh_sequence_destroy, sequence, NULL);
  REFUSES(wh_session_get_sequence, session, NULL, 0, &other);
  REFUSES(wh_session_get_sequence, out, e->session, 0, NULL);
  assert_int_equal(wh_session_get_sequence(e->session, 9999, &other), WH_ERR_INVALID_ARGUMENT);
  REFUSES(wh_sequence_append, sequence, NULL, tokens, 3, 1);
  REFUSES(wh_sequence_append, tokens, s, NULL, 3, 1);
  assert_int_equal(wh_sequence_append(s, NULL, 0, 0), WH_OK);
  REFUSES(wh_sequence_truncate, sequence, NULL, 0);
  REFUSES(wh_sequence_evict, sequence, NULL);
  ALLOWS(wh_sequence_tokens, sequence, wh_sequence_tokens(NULL, &n) == NULL && n == 0);
  IGNORES(wh_sequence_tokens, n, s, NULL);
  ALLOWS(wh_sequence_computed, sequence, wh_sequence_computed(NULL) == 0);
  REFUSES(wh_session_step, session, NULL, &n);
  ALLOWS(wh_session_step, n_waiting, wh_session_step(e->session, NULL) == WH_OK);
  REFUSES(wh_sequence_status, sequence, NULL);
  ALLOWS(wh_sequence_logits, sequence, wh_sequence_logits(NULL, 0) == NULL);
  REFUSES(wh_session_get_pages, session, NULL, &pages);
  REFUSES(wh_session_get_pages, pages, e->session, NULL);
  REFUSES(wh_sequence_save, sequence, NULL, "x");
  REFUSES(wh_sequence_save, path, s, NULL);
  REFUSES(wh_sequence_save_to, sequence, NULL, write_nothing, NULL);
  REFUSES(wh_sequence_save_to, write, s, NULL, NULL);
  ALLOWS(wh_sequence_save_to, ctx, wh_sequence_save_to(s, write_nothing, NULL) == WH_OK);
  REFUSES(wh_sequence_load, session, NULL, "x", &other);
  REFUSES(wh_sequence_load, path, e->session, NULL, &other);
  REFUSES(wh_sequence_load, out, e->session, "x", NULL);
  REFUSES(wh_sequence_load_bytes, session, NULL, "x", 1, &other);
  REFUSES(wh_sequence_load_bytes, data, e->session, NULL, 1, &other);
  REFUSES(wh_sequence_load_bytes, out, e->session, "x", 1, NULL);
  assert_null(other);
  REFUSES(wh_session_row_status, session, NULL, 0);
  assert_int_equal(wh_session_row_status(e->session, 0), WH_ERR_NOT_FOUND);
  wh_sequence_destroy(s);
}

static void try_speculators(small_engine *e) {
  static const int32_t tokens[] = {3, 4, 5};
  wh_speculator *s = NULL;
  wh_speculator_stats stats = WH_SPECULATOR_STATS_INIT;
  uint32_t n = 7;
  REFUSES(wh_speculator_create, session, NULL, NULL, &s);
  REFUSES(wh_speculator_create, out, e->session, NULL, NULL);
  ALLOWS(wh_speculator_create, options, wh_speculator_create(e->session, NULL, &s) == WH_OK);
  IGNORES(wh_speculator_destroy, speculator, NULL);
  REFUSES(wh_speculator_append, speculator, NULL, tokens, 3, true);
  REFUSES(wh_speculator_append, tokens, s, NULL, 3, true);
  assert_int_equal(wh_speculator_append(s, NULL, 0, true), WH_OK);
  assert_null(wh_speculator_logits(s));
  REFUSES(wh_speculator_advance, speculator, NULL, 3, 1);
  ALLOWS(wh_speculator_logits, speculator, wh_speculator_logits(NULL) == NULL);
  ALLOWS(wh_speculator_tokens, speculator, wh_speculator_tokens(NULL, &n) == NULL && n == 0);
  ALLOWS(wh_speculator_tokens, n, wh_speculator_tokens(s, NULL) != NULL);
  REFUSES(wh_speculator_truncate, speculator, NULL, 0);
  REFUSES(wh_speculator_get_stats, speculator, NULL, &stats);
  REFUSES(wh_speculator_get_stats, stats, s, NULL);
  REFUSES(wh_model_check_same_vocabulary, a, NULL, e->model);
  REFUSES(wh_model_check_same_vocabulary, b, e->model, NULL);
  wh_speculator_destroy(s);
}

static void try_texts(small_engine *e) {
  int32_t ids[8], token = -1;
  size_t n = 0;
  bool flag = false;
  char *rendered = NULL;
  const char *text = NULL, *const no_stop[] = {NULL};
  float logits[SMALL_N_VOCAB] = {0};
  wh_text_stream *stream = NULL;
  wh_generator *generator = NULL;
  REFUSES(wh_model_tokenize, model, NULL, "ab", 2, 0, ids, 8, &n);
  REFUSES(wh_model_tokenize, text, e->model, NULL, 2, 0, ids, 8, &n);
  REFUSES(wh_model_tokenize, ids, e->model, "ab", 2, 0, NULL, 8, &n);
  REFUSES(wh_model_tokenize, n, e->model, "ab", 2, 0, ids, 8, NULL);
  assert_int_equal(wh_model_tokenize(e->model, NULL, 0, 0, NULL, 0, &n), WH_OK);
  assert_int_equal(n, 0);
  REFUSES(wh_model_token_is_end, model, NULL, 1, &flag);
  REFUSES(wh_model_token_is_end, out, e->model, 1, NULL);
  REFUSES(wh_model_find_control, model, NULL, "ab", 2, &n, &n);
  REFUSES(wh_model_find_control, text, e->model, NULL, 2, &n, &n);
  REFUSES(wh_model_find_control, offset, e->model, "ab", 2, NULL, &n);
  REFUSES(wh_model_find_control, length, e->model, "ab", 2, &n, NULL);
  wh_chat_options chat = WH_CHAT_OPTIONS_INIT;
  REFUSES(wh_model_render_chat, model, NULL, "[]", &chat, &rendered, &n);
  REFUSES(wh_model_render_chat, messages_json, e->model, NULL, &chat, &rendered, &n);
  REFUSES(wh_model_render_chat, out, e->model, "[]", &chat, NULL, &n);
  REFUSES(wh_model_render_chat, n_bytes, e->model, "[]", &chat, &rendered, NULL);
  ALLOWS(wh_model_render_chat, options, wh_model_render_chat(e->model, "[]", NULL, &rendered, &n) == WH_OK);
  wh_string_destroy(rendered);
  REFUSES(wh_text_stream_create, model, NULL, NULL, 0, false, &stream);
  REFUSES(wh_text_stream_create, stops, e->model, NULL, 1, false, &stream);
  REFUSES(wh_text_stream_create, out, e->model, NULL, 0, false, NULL);
  assert_int_equal(wh_text_stream_create(e->model, no_stop, 1, false, &stream), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_text_stream_create(e->model, NULL, 0, false, &stream), WH_OK);
  IGNORES(wh_text_stream_destroy, stream, NULL);
  REFUSES(wh_text_stream_push, stream, NULL, 3, &text, &n, &flag);
  REFUSES(wh_text_stream_push, text, stream, 3, NULL, &n, &flag);
  REFUSES(wh_text_stream_push, n_bytes, stream, 3, &text, NULL, &flag);
  REFUSES(wh_text_stream_push, stopped, stream, 3, &text, &n, NULL);
  REFUSES(wh_text_stream_finish, stream, NULL, &text, &n);
  REFUSES(wh_text_stream_finish, text, stream, NULL, &n);
  REFUSES(wh_text_stream_finish, n_bytes, stream, &text, NULL);
  wh_text_stream_destroy(stream);
  REFUSES(wh_generator_create, model, NULL, NULL, &generator);
  REFUSES(wh_generator_create, out, e->model, NULL, NULL);
  ALLOWS(wh_generator_create, sampling, wh_generator_create(e->model, NULL, &generator) == WH_OK);
  IGNORES(wh_speculator_expect, speculator, NULL, 1);
  IGNORES(wh_generator_destroy, generator, NULL);
  IGNORES(wh_generator_accept, generator, NULL, 3);
  IGNORES(wh_generator_reset, generator, NULL);
  REFUSES(wh_generator_sample, generator, NULL, logits, &token);
  REFUSES(wh_generator_sample, logits, generator, NULL, &token);
  REFUSES(wh_generator_sample, token, generator, logits, NULL);
  REFUSES(wh_session_sample, session, NULL, 0, generator, &token);
  REFUSES(wh_session_sample, generator, e->session, 0, NULL, &token);
  REFUSES(wh_session_sample, token, e->session, 0, generator, NULL);
  assert_int_equal(wh_session_sample(e->session, 9, generator, &token), WH_ERR_NOT_FOUND);
  wh_sequence *s = NULL;
  assert_int_equal(wh_session_get_sequence(e->session, 0, &s), WH_OK);
  REFUSES(wh_sequence_sample, sequence, NULL, 0, generator, &token);
  REFUSES(wh_sequence_sample, generator, s, 0, NULL, &token);
  REFUSES(wh_sequence_sample, token, s, 0, generator, NULL);
  assert_int_equal(wh_sequence_sample(s, 9, generator, &token), WH_ERR_NOT_FOUND);
  wh_speculator *speculator = NULL;
  assert_int_equal(wh_speculator_create(e->session, NULL, &speculator), WH_OK);
  REFUSES(wh_speculator_sample, speculator, NULL, generator, &token);
  REFUSES(wh_speculator_sample, generator, speculator, NULL, &token);
  REFUSES(wh_speculator_sample, token, speculator, generator, NULL);
  assert_int_equal(wh_speculator_sample(speculator, generator, &token), WH_ERR_NOT_FOUND);
  wh_speculator_destroy(speculator);
  assert_int_equal(token, -1);
  wh_generator_destroy(generator);
}

static void try_tokenizer_files(void) {
  wh_tokenizer_file *tokenizer = NULL;
  wh_tokenizer_info info = WH_TOKENIZER_INFO_INIT;
  size_t n = 0;
  REFUSES(wh_tokenizer_file_load, path, NULL, NULL, &tokenizer);
  REFUSES(wh_tokenizer_file_load, out, "missing.json", NULL, NULL);
  ALLOWS(wh_tokenizer_file_load, allocator,
         wh_tokenizer_file_load("missing.json", NULL, &tokenizer) == WH_ERR_NOT_FOUND);
  IGNORES(wh_tokenizer_file_destroy, tokenizer, NULL);
  static const char json[] =
      "{\"model\": {\"vocab\": {\"a\": 0}}, \"normalizer\": {\"type\": \"BertNormalizer\"}, "
      "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}}";
  FILE *f = fopen("arguments_tokenizer.json", "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(json, 1, sizeof json - 1, f), sizeof json - 1);
  assert_int_equal(fclose(f), 0);
  REFUSES(wh_tokenizer_file_get_info, tokenizer, NULL, &info);
  assert_int_equal(wh_tokenizer_file_load("arguments_tokenizer.json", NULL, &tokenizer), WH_OK);
  REFUSES(wh_tokenizer_file_get_info, info, tokenizer, NULL);
  REFUSES(wh_tokenizer_file_encode, text, tokenizer, NULL, 1, 0, 0, NULL, 0, &n);
  REFUSES(wh_tokenizer_file_encode, ids, tokenizer, "x", 1, 0, 0, NULL, 1, &n);
  REFUSES(wh_tokenizer_file_encode, n, tokenizer, "x", 1, 0, 0, NULL, 0, NULL);
  info.struct_size = 0;
  assert_int_equal(wh_tokenizer_file_get_info(tokenizer, &info), WH_ERR_INVALID_ARGUMENT);
  wh_tokenizer_file_destroy(tokenizer);
  assert_int_equal(remove("arguments_tokenizer.json"), 0);
  REFUSES(wh_tokenizer_file_encode, tokenizer, NULL, "x", 1, 0, 0, NULL, 0, &n);
}

static void try_npy(void) {
  wh_npy_file *file = NULL;
  wh_tensor t = WH_TENSOR_INIT;
  char header[WH_NPY_HEADER_MAX];
  size_t n;
  REFUSES(wh_npy_load, path, NULL, NULL, &file);
  REFUSES(wh_npy_load, out, "missing.npy", NULL, NULL);
  ALLOWS(wh_npy_load, allocator, wh_npy_load("missing.npy", NULL, &file) == WH_ERR_NOT_FOUND);
  ALLOWS(wh_npy_tensor, file, wh_npy_tensor(NULL) == NULL);
  IGNORES(wh_npy_destroy, file, NULL);
  REFUSES(wh_npy_open_memory, name, NULL, "x", 1, NULL, &file);
  REFUSES(wh_npy_open_memory, data, "x", NULL, 1, NULL, &file);
  REFUSES(wh_npy_open_memory, out, "x", "x", 1, NULL, NULL);
  ALLOWS(wh_npy_open_memory, allocator, wh_npy_open_memory("x", "x", 1, NULL, &file) == WH_ERR_CORRUPT);
  REFUSES(wh_npy_make_header, tensor, NULL, header, &n);
  REFUSES(wh_npy_make_header, header, &t, NULL, &n);
  REFUSES(wh_npy_make_header, n_bytes, &t, header, NULL);
  REFUSES(wh_npy_save, path, NULL, &t);
  REFUSES(wh_npy_save, tensor, "x.npy", NULL);
  REFUSES(wh_quantize, from, NULL, "x", NULL);
  REFUSES(wh_quantize, to, "x", NULL, NULL);
  ALLOWS(wh_quantize, options, wh_quantize("missing.gguf", "x", NULL) == WH_ERR_NOT_FOUND);
}

static void try_runners(small_engine *e) {
  static const char text[] =
      "graph \"g\" { symbol n 1..4 %1 = input \"x\" f32[n] %2 = neg(%1) \"y\" : f32[n] output \"y\" %2 }";
  const float x = 2;
  wh_model *model = NULL;
  wh_runner *runner = NULL;
  wh_graph_info graph = WH_GRAPH_INFO_INIT;
  wh_port_info port = WH_PORT_INFO_INIT;
  wh_symbol_info symbol = WH_SYMBOL_INFO_INIT;
  wh_tensor tensor = WH_TENSOR_INIT, out = WH_TENSOR_INIT;
  tensor.rank = 1;
  tensor.dims[0] = 1;
  tensor.data = &x;
  tensor.n_bytes = sizeof x;
  REFUSES(wh_model_parse, text, NULL, 0, NULL, 0, NULL, &model);
  REFUSES(wh_model_parse, constants, text, strlen(text), NULL, 1, NULL, &model);
  REFUSES(wh_model_parse, out, text, strlen(text), NULL, 0, NULL, NULL);
  ALLOWS(wh_model_parse, options, wh_model_parse(text, strlen(text), NULL, 0, NULL, &model) == WH_OK);
  REFUSES(wh_model_get_graph_info, model, NULL, &graph);
  REFUSES(wh_model_get_graph_info, info, model, NULL);
  REFUSES(wh_model_get_input, model, NULL, 0, &port);
  REFUSES(wh_model_get_input, info, model, 0, NULL);
  REFUSES(wh_model_get_output, model, NULL, 0, &port);
  REFUSES(wh_model_get_output, info, model, 0, NULL);
  REFUSES(wh_model_get_symbol, model, NULL, 0, &symbol);
  REFUSES(wh_model_get_symbol, info, model, 0, NULL);
  wh_model *none = NULL;
  REFUSES(wh_model_open_folder, folder, NULL, NULL, &none);
  REFUSES(wh_model_open_folder, out, "folder", NULL, NULL);
  ALLOWS(wh_model_open_folder, options, wh_model_open_folder("/nowhere", NULL, &none) != WH_OK && !none);
  REFUSES(wh_runner_create, model, NULL, e->device, NULL, &runner);
  REFUSES(wh_runner_create, device, model, NULL, NULL, &runner);
  REFUSES(wh_runner_create, out, model, e->device, NULL, NULL);
  ALLOWS(wh_runner_create, options, wh_runner_create(model, e->device, NULL, &runner) == WH_OK);
  ALLOWS(wh_runner_retain, runner, wh_runner_retain(NULL) == NULL);
  IGNORES(wh_runner_destroy, runner, NULL);
  REFUSES(wh_runner_set_input, runner, NULL, "x", &tensor);
  REFUSES(wh_runner_set_input, name, runner, NULL, &tensor);
  REFUSES(wh_runner_set_input, tensor, runner, "x", NULL);
  REFUSES(wh_runner_set_input_at, runner, NULL, 0, &tensor);
  REFUSES(wh_runner_set_input_at, tensor, runner, 0, NULL);
  REFUSES(wh_runner_run, runner, NULL);
  REFUSES(wh_runner_extract, runner, NULL, "y", "folder");
  REFUSES(wh_runner_extract, node, runner, NULL, "folder");
  REFUSES(wh_runner_extract, folder, runner, "y", NULL);
  IGNORES(wh_runner_set_trace, runner, NULL, NULL, NULL);
  IGNORES(wh_runner_set_trace, ctx, runner, NULL, NULL);
  IGNORES(wh_runner_set_trace, fn, runner, NULL, NULL);
  assert_int_equal(wh_runner_set_input(runner, "x", &tensor), WH_OK);
  assert_int_equal(wh_runner_run(runner), WH_OK);
  REFUSES(wh_runner_get_output, runner, NULL, "y", &out);
  REFUSES(wh_runner_get_output, name, runner, NULL, &out);
  REFUSES(wh_runner_get_output, tensor, runner, "y", NULL);
  REFUSES(wh_runner_get_output_at, runner, NULL, 0, &out);
  REFUSES(wh_runner_get_output_at, tensor, runner, 0, NULL);
  assert_int_equal(wh_runner_get_output_at(runner, 0, &out), WH_OK);
  assert_true(*(const float *)out.data == -2);
  wh_program_info program = WH_PROGRAM_INFO_INIT;
  wh_instruction_info instruction = WH_INSTRUCTION_INFO_INIT;
  wh_host_node_info host_node = WH_HOST_NODE_INFO_INIT;
  char *shown = NULL;
  REFUSES(wh_runner_get_program, runner, NULL, 0, &program);
  REFUSES(wh_runner_get_program, info, runner, 0, NULL);
  REFUSES(wh_runner_get_instruction, runner, NULL, 0, 0, &instruction);
  REFUSES(wh_runner_get_instruction, info, runner, 0, 0, NULL);
  REFUSES(wh_runner_graph_text, runner, NULL, 0, &shown);
  REFUSES(wh_runner_graph_text, out, runner, 0, NULL);
  REFUSES(wh_runner_plan_text, runner, NULL, 0, &shown);
  REFUSES(wh_runner_plan_text, out, runner, 0, NULL);
  REFUSES(wh_runner_get_host_node, runner, NULL, 0, &host_node);
  REFUSES(wh_runner_get_host_node, info, runner, 0, NULL);
  wh_runner_destroy(runner);
  wh_model_destroy(model);
}

static void null_is_refused_or_means_something(void **state) {
  (void)state;
  static const char *const headers[] = {"allocator.h", "device.h",   "model.h",   "progress.h",  "quantize.h",
                                        "runner.h",    "sequence.h", "session.h", "speculate.h", "status.h",
                                        "tensor.h",    "text.h",     "trace.h"};
  static pair_list declared;
  size_t n_functions = 0;
  for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
    n_functions += list_declared(headers[i], &declared);
  assert_true(n_functions >= 70);
  assert_true(has_pair(&declared, "wh_session_set_trace fn") && has_pair(&declared, "wh_hash_text out"));
  small_engine e = small_engine_open(1);
  try_devices_and_models(&e);
  try_sessions(&e);
  try_sequences(&e);
  try_speculators(&e);
  try_texts(&e);
  try_npy();
  try_tokenizer_files();
  try_runners(&e);
  small_engine_close(&e);
  for (size_t i = 0; i < declared.n; i++)
    if (!has_pair(&tried, declared.text[i])) fail_msg("not in the table: %s", declared.text[i]);
  for (size_t i = 0; i < tried.n; i++)
    if (!has_pair(&declared, tried.text[i])) fail_msg("no such argument: %s", tried.text[i]);
}

/* ---- sizes of structs ---- */

static void assert_says(wh_status st, const char *init_macro) {
  if (st != WH_ERR_INVALID_ARGUMENT || !strstr(wh_last_error()->message, init_macro) ||
      !strstr(wh_last_error()->message, "struct_size"))
    fail_msg("%s: \"%s\" does not speak of %s", wh_status_name(st), wh_last_error()->message, init_macro);
}

/* Left out, options would be dropped in silence, and answers not be written. */
static void a_struct_needs_its_size(void **state) {
  (void)state;
  static const uint32_t wrong[] = {0, 4, 5000, UINT32_MAX};
  small_engine e = small_engine_open(1);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    wh_device *device = NULL;
    wh_model *model = NULL;
    wh_session *session = NULL;
    wh_speculator *speculator = NULL;
    wh_generator *generator = NULL;
#define WITHOUT_SIZE(type, name, init) \
  type name = init;                    \
  name.struct_size = wrong[i]
    WITHOUT_SIZE(wh_device_options, d, WH_DEVICE_OPTIONS_INIT);
    WITHOUT_SIZE(wh_model_options, m, WH_MODEL_OPTIONS_INIT);
    WITHOUT_SIZE(wh_session_options, s, WH_SESSION_OPTIONS_INIT);
    WITHOUT_SIZE(wh_speculator_options, p, WH_SPECULATOR_OPTIONS_INIT);
    WITHOUT_SIZE(wh_sampling, g, WH_SAMPLING_INIT);
    WITHOUT_SIZE(wh_chat_options, c, WH_CHAT_OPTIONS_INIT);
    WITHOUT_SIZE(wh_batch, b, WH_BATCH_INIT);
    WITHOUT_SIZE(wh_device_info, di, WH_DEVICE_INFO_INIT);
    WITHOUT_SIZE(wh_model_info, mi, WH_MODEL_INFO_INIT);
    WITHOUT_SIZE(wh_weight_info, wi, WH_WEIGHT_INFO_INIT);
    WITHOUT_SIZE(wh_session_memory, sm, WH_SESSION_MEMORY_INIT);
    WITHOUT_SIZE(wh_session_packing, sp, WH_SESSION_PACKING_INIT);
    WITHOUT_SIZE(wh_session_placement, sl, WH_SESSION_PLACEMENT_INIT);
    WITHOUT_SIZE(wh_instruction_info, ii, WH_INSTRUCTION_INFO_INIT);
    WITHOUT_SIZE(wh_program_info, pg, WH_PROGRAM_INFO_INIT);
    WITHOUT_SIZE(wh_host_node_info, hi, WH_HOST_NODE_INFO_INIT);
    WITHOUT_SIZE(wh_speculator_stats, ss, WH_SPECULATOR_STATS_INIT);
    WITHOUT_SIZE(wh_session_pages, pages, WH_SESSION_PAGES_INIT);
    WITHOUT_SIZE(wh_runner_options, ro, WH_RUNNER_OPTIONS_INIT);
    WITHOUT_SIZE(wh_quantize_options, qo, WH_QUANTIZE_OPTIONS_INIT);
    WITHOUT_SIZE(wh_graph_info, gi, WH_GRAPH_INFO_INIT);
    WITHOUT_SIZE(wh_port_info, pi, WH_PORT_INFO_INIT);
    WITHOUT_SIZE(wh_symbol_info, yi, WH_SYMBOL_INFO_INIT);
    WITHOUT_SIZE(wh_tensor, t, WH_TENSOR_INIT);
    wh_runner *runner = NULL;
    wh_model *parsed = NULL;
    const wh_constant constant = {"c", &t};
    assert_says(wh_runner_create(e.model, e.device, &ro, &runner), "WH_RUNNER_OPTIONS_INIT");
    assert_says(wh_quantize("a", "b", &qo), "WH_QUANTIZE_OPTIONS_INIT");
    assert_says(wh_model_get_graph_info(e.model, &gi), "WH_GRAPH_INFO_INIT");
    assert_says(wh_model_get_input(e.model, 0, &pi), "WH_PORT_INFO_INIT");
    assert_says(wh_model_get_output(e.model, 0, &pi), "WH_PORT_INFO_INIT");
    assert_says(wh_model_get_symbol(e.model, 0, &yi), "WH_SYMBOL_INFO_INIT");
    static const char with_constant[] = "graph \"g\" { %1 = const \"c\" f32[1] output \"c\" %1 }";
    assert_says(wh_model_parse(with_constant, strlen(with_constant), &constant, 1, NULL, &parsed),
                "WH_TENSOR_INIT");
    static const char negation[] =
        "graph \"g\" { %1 = input \"x\" f32[1] %2 = neg(%1) \"y\" : f32[1] output \"y\" %2 }";
    assert_int_equal(wh_model_parse(negation, strlen(negation), NULL, 0, NULL, &parsed), WH_OK);
    assert_int_equal(wh_runner_create(parsed, e.device, NULL, &runner), WH_OK);
    assert_says(wh_runner_set_input_at(runner, 0, &t), "WH_TENSOR_INIT");
    assert_says(wh_runner_get_output_at(runner, 0, &t), "WH_TENSOR_INIT");
    assert_says(wh_runner_get_program(runner, 0, &pg), "WH_PROGRAM_INFO_INIT");
    assert_says(wh_runner_get_instruction(runner, 0, 0, &ii), "WH_INSTRUCTION_INFO_INIT");
    assert_says(wh_runner_get_host_node(runner, 0, &hi), "WH_HOST_NODE_INFO_INIT");
    wh_runner_destroy(runner);
    wh_model_destroy(parsed);
    assert_says(wh_device_create(&d, &device), "WH_DEVICE_OPTIONS_INIT");
    assert_says(wh_model_open(e.path.text, &m, &model), "WH_MODEL_OPTIONS_INIT");
    assert_says(wh_session_create(e.model, e.device, &s, &session), "WH_SESSION_OPTIONS_INIT");
    assert_says(wh_speculator_create(e.session, &p, &speculator), "WH_SPECULATOR_OPTIONS_INIT");
    assert_says(wh_generator_create(e.model, &g, &generator), "WH_SAMPLING_INIT");
    char *chat = NULL;
    size_t n_bytes = 0;
    assert_says(wh_model_render_chat(e.model, "[]", &c, &chat, &n_bytes), "WH_CHAT_OPTIONS_INIT");
    assert_null(chat);
    assert_says(wh_session_run(e.session, &b), "WH_BATCH_INIT");
    assert_says(wh_device_get_info(e.device, &di), "WH_DEVICE_INFO_INIT");
    assert_says(wh_model_get_info(e.model, &mi), "WH_MODEL_INFO_INIT");
    assert_says(wh_model_get_weight(e.model, 0, &wi), "WH_WEIGHT_INFO_INIT");
    assert_says(wh_session_get_memory(e.session, &sm), "WH_SESSION_MEMORY_INIT");
    assert_says(wh_session_get_pages(e.session, &pages), "WH_SESSION_PAGES_INIT");
    assert_says(wh_session_get_packing(e.session, &sp), "WH_SESSION_PACKING_INIT");
    assert_says(wh_session_get_placement(e.session, 0, &sl), "WH_SESSION_PLACEMENT_INIT");
    assert_says(wh_session_get_instruction(e.session, 0, &ii), "WH_INSTRUCTION_INFO_INIT");
    assert_int_equal(wh_speculator_create(e.session, NULL, &speculator), WH_OK);
    assert_says(wh_speculator_get_stats(speculator, &ss), "WH_SPECULATOR_STATS_INIT");
    wh_speculator_destroy(speculator);
    assert_true(!device && !model && !session && !generator);
  }
  small_engine_close(&e);
}

/* A program that was built with an earlier header: what its struct has counts, the rest takes defaults, and
 * nothing behind it is read or written. */
static void a_smaller_struct_works(void **state) {
  (void)state;
  small_engine e = small_engine_open(1);
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  wh_session *session = NULL;
  s.struct_size = offsetof(wh_session_options, max_batch);
  s.context = 32;
  s.max_batch = UINT32_MAX;
  s.kv_dtype = (wh_dtype)77;
  s.pack_cache = "/proc/nowhere";
  assert_int_equal(wh_session_create(e.model, e.device, &s, &session), WH_OK);
  assert_int_equal(wh_session_context(session), 32);
  wh_session_packing p = WH_SESSION_PACKING_INIT;
  p.struct_size = offsetof(wh_session_packing, n_in_place);
  p.n_in_place = 12345;
  assert_int_equal(wh_session_get_packing(session, &p), WH_OK);
  assert_int_equal(p.n_in_place, 12345);
  assert_true(p.n_packed + p.n_cached < 12345);
  assert_int_equal(p.struct_size, offsetof(wh_session_packing, n_in_place));
  wh_session_destroy(session);
  small_engine_close(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(null_is_refused_or_means_something),
                                     cmocka_unit_test(a_struct_needs_its_size),
                                     cmocka_unit_test(a_smaller_struct_works)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
