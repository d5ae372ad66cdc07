/* text.c - the public face of tokenizers, chat templates and sampling. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/api_internal.h"
#include "text/sampler.h"
#include "whimbrel/speculate.h"

wh_status wh_model_tokenize(const wh_model *m, const char *text, size_t n_bytes, uint32_t flags, int32_t *ids,
                            size_t capacity, size_t *n) {
  const wh_tokenizer *t;
  WH_WANT(m, "model");
  WH_WANT(text || !n_bytes, "text");
  WH_WANT(ids || !capacity, "ids");
  WH_WANT(n, "n");
  if (flags & ~(WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL | WH_TOKENIZE_ADD_BOS))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s: flags 0x%x hold one that is not known", __func__, flags);
  WH_TRY(wh_model_tokenizer(m, &t));
  wh_token_list list = {.alloc = m->alloc};
  wh_status st = wh_tokenizer_encode(t, (wh_str){text ? text : "", n_bytes}, flags, &list);
  if (st == WH_OK) {
    const size_t k = list.n < capacity ? list.n : capacity;
    if (k) memcpy(ids, list.ids, k * sizeof *ids);
    *n = list.n;
  }
  wh_token_list_deinit(&list);
  return st;
}

wh_status wh_model_find_control(const wh_model *m, const char *text, size_t n_bytes, size_t *offset,
                                size_t *length) {
  const wh_tokenizer *t;
  WH_WANT(m, "model");
  WH_WANT(text || !n_bytes, "text");
  WH_WANT(offset, "offset");
  WH_WANT(length, "length");
  WH_TRY(wh_model_tokenizer(m, &t));
  if (!wh_tokenizer_find_control(t, (wh_str){text ? text : "", n_bytes}, 0, offset, length))
    *offset = *length = 0;
  return WH_OK;
}

wh_status wh_model_token_is_end(const wh_model *m, int32_t id, bool *out) {
  const wh_tokenizer *t;
  WH_WANT(m, "model");
  WH_WANT(out, "out");
  WH_TRY(wh_model_tokenizer(m, &t));
  *out = wh_tokenizer_is_end(t, id);
  return WH_OK;
}

/* NULL for a model without one, which is no error here. */
static wh_status tokenizer_if_any(const wh_model *m, const wh_tokenizer **out) {
  *out = NULL;
  wh_status st = wh_model_tokenizer(m, out);
  return st == WH_ERR_NOT_FOUND ? WH_OK : st;
}

/* A token's text as a message may show it. */
static void show_token(wh_str token, char out[40]) {
  size_t n = token.len < 24 ? token.len : 24;
  for (size_t i = 0; i < n; i++)
    out[i] = (unsigned char)token.data[i] < 32 || (unsigned char)token.data[i] >= 127 ? '?' : token.data[i];
  memcpy(out + n, token.len > n ? "..." : "", token.len > n ? 4 : 1);
}

/* Where paths are long, what differs must still fit the message. */
static const char *path_end(const wh_model *m) {
  const char *path = wh_model_path(m);
  size_t n = strlen(path);
  return n > 100 ? path + n - 100 : path;
}

wh_status wh_model_check_same_vocabulary(const wh_model *a, const wh_model *b) {
  WH_WANT(a, "a");
  WH_WANT(b, "b");
  const char *path_a = path_end(a), *path_b = path_end(b);
  const wh_tokenizer *ta, *tb;
  WH_TRY(tokenizer_if_any(a, &ta));
  WH_TRY(tokenizer_if_any(b, &tb));
  if (!ta || !tb) {
    if (ta || tb)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "%s and %s have different vocabularies: only %s has a tokenizer",
                     path_a, path_b, ta ? path_a : path_b);
    if (a->hparams.n_vocab != b->hparams.n_vocab)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "%s and %s have different vocabularies: %lld and %lld tokens",
                     path_a, path_b, (long long)a->hparams.n_vocab, (long long)b->hparams.n_vocab);
    return WH_OK;
  }
  size_t na = wh_tokenizer_n_tokens(ta), nb = wh_tokenizer_n_tokens(tb);
  if (na != nb)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s and %s have different vocabularies: %zu and %zu tokens", path_a,
                   path_b, na, nb);
  for (size_t i = 0; i < na; i++) {
    int32_t id = (int32_t)i;
    wh_str x = wh_tokenizer_token(ta, id), y = wh_tokenizer_token(tb, id);
    if (wh_str_equal(x, y) && wh_tokenizer_token_type(ta, id) == wh_tokenizer_token_type(tb, id)) continue;
    char text_x[40], text_y[40];
    show_token(x, text_x);
    show_token(y, text_y);
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "%s and %s have different vocabularies: token %d is '%s' (kind %d) and '%s' (kind %d)",
                   path_a, path_b, id, text_x, (int)wh_tokenizer_token_type(ta, id), text_y,
                   (int)wh_tokenizer_token_type(tb, id));
  }
  return WH_OK;
}

/* appends `"key": "text"` with JSON escapes */
static void put_json_string(wh_text_buffer *b, const char *key, wh_str s) {
  wh_text_buffer_printf(b, ",\"%s\":\"", key);
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    if (c == '"' || c == '\\')
      wh_text_buffer_printf(b, "\\%c", c);
    else if (c < 32)
      wh_text_buffer_printf(b, "\\u%04x", c);
    else
      wh_text_buffer_append(b, &s.data[i], 1);
  }
  wh_text_buffer_puts(b, "\"");
}

static wh_str trim(wh_str s) {
  static const char space[] = " \t\r\n";
  while (s.len && memchr(space, s.data[0], 4)) s.data++, s.len--;
  while (s.len && memchr(space, s.data[s.len - 1], 4)) s.len--;
  return s;
}

/* Whether the text is one bracketed value and nothing behind it. What is between the brackets is for the JSON
 * reader, which sees the arguments as parts of one object: none may reach out of its place there. */
static bool is_one_value(wh_str s, char open) {
  size_t depth = 0;
  bool in_string = false;
  if (!s.len || s.data[0] != open) return false;
  for (size_t i = 0; i < s.len; i++) {
    const char c = s.data[i];
    if (in_string) {
      if (c == '\\') i++;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      depth++;
    } else if ((c == ']' || c == '}') && --depth == 0) {
      return i + 1 == s.len;
    }
  }
  return false;
}

/* An argument that holds a JSON list or object, as `open` says; trimmed into *out. */
static wh_status check_json(const char *name, const char *json, char open, wh_str *out) {
  *out = trim(wh_str_from(json));
  if (is_one_value(*out, open)) return WH_OK;
  return WH_FAIL(ERR_INVALID_ARGUMENT, "wh_model_render_chat: %s must be a JSON %s", name,
                 open == '[' ? "list" : "object");
}

/* The variables of a template, as one JSON object. */
static wh_status chat_context(const wh_tokenizer *t, const char *messages_json, const wh_chat_options *o,
                              wh_text_buffer *context) {
  wh_str messages, tools, extra = {0};
  WH_TRY(check_json("messages_json", messages_json, '[', &messages));
  wh_text_buffer_puts(context, "{\"messages\":");
  wh_text_buffer_append(context, messages.data, messages.len);
  wh_text_buffer_printf(context, ",\"add_generation_prompt\":%s",
                        o->add_generation_prompt ? "true" : "false");
  if (o->tools_json) {
    WH_TRY(check_json("tools_json", o->tools_json, '[', &tools));
    wh_text_buffer_puts(context, ",\"tools\":");
    wh_text_buffer_append(context, tools.data, tools.len);
  }
  if (o->extra_json) {
    WH_TRY(check_json("extra_json", o->extra_json, '{', &extra));
    extra = trim((wh_str){extra.data + 1, extra.len - 2});
  }
  put_json_string(context, "bos_token", wh_tokenizer_token(t, wh_tokenizer_bos(t)));
  put_json_string(context, "eos_token", wh_tokenizer_token(t, wh_tokenizer_eos(t)));
  if (extra.len) {
    wh_text_buffer_puts(context, ",");
    wh_text_buffer_append(context, extra.data, extra.len);
  }
  wh_text_buffer_puts(context, "}");
  return context->oom ? WH_OOM("chat messages") : WH_OK;
}

wh_status wh_model_render_chat(const wh_model *m, const char *messages_json, const wh_chat_options *options,
                               char **out, size_t *n_bytes) {
  const wh_chat_template *template;
  const wh_tokenizer *t;
  wh_chat_options o = WH_CHAT_OPTIONS_INIT;
  WH_WANT(m, "model");
  WH_WANT(messages_json, "messages_json");
  WH_WANT(out, "out");
  WH_WANT(n_bytes, "n_bytes");
  WH_READ_OPTIONS(&o, options, WH_CHAT_OPTIONS_INIT);
  WH_TRY(wh_model_template(m, &template));
  WH_TRY(wh_model_tokenizer(m, &t));
  int64_t now = o.local_time == WH_CHAT_TIME_UTC ? (int64_t)time(NULL) : o.local_time;
  wh_text_buffer context, text;
  wh_text_buffer_init(&context, m->alloc);
  wh_text_buffer_init(&text, m->alloc);
  wh_status st = chat_context(t, messages_json, &o, &context);
  if (st == WH_OK) st = wh_chat_template_render(template, (wh_str){context.data, context.len}, now, &text);
  wh_text_buffer_deinit(&context);
  const size_t n = text.len;
  if (st == WH_OK) st = wh_string_give(&text, "chat text", out);
  if (st == WH_OK) *n_bytes = n;
  wh_text_buffer_deinit(&text);
  return st;
}

/* ---- streams ---- */

struct wh_text_stream {
  const wh_allocator *alloc;
  wh_model *model; /* a reference: the tokenizer is its */
  wh_detokenizer detokenizer;
  wh_stop_matcher *stops;
  wh_text_buffer raw, shown;
};

wh_status wh_text_stream_create(const wh_model *m, const char *const *stops, size_t n_stops,
                                bool show_control, wh_text_stream **out) {
  const wh_tokenizer *t;
  WH_WANT(m, "model");
  WH_WANT(stops || !n_stops, "stops");
  for (size_t i = 0; i < n_stops; i++)
    if (!stops[i]) return WH_FAIL(ERR_INVALID_ARGUMENT, "%s: stops[%zu] is NULL", __func__, i);
  WH_WANT(out, "out");
  WH_TRY(wh_model_tokenizer(m, &t));
  wh_text_stream *s = wh_alloc_zeroed(m->alloc, sizeof *s);
  if (!s) return WH_OOM("text stream");
  s->alloc = m->alloc;
  s->model = wh_model_retain(wh_model_changing(m));
  wh_detokenizer_init(&s->detokenizer, t, false, show_control);
  wh_text_buffer_init(&s->raw, m->alloc);
  wh_text_buffer_init(&s->shown, m->alloc);
  wh_status st = wh_stop_matcher_create(stops, n_stops, m->alloc, &s->stops);
  if (st != WH_OK) {
    wh_text_stream_destroy(s);
    return st;
  }
  *out = s;
  return WH_OK;
}

void wh_text_stream_destroy(wh_text_stream *s) {
  if (!s) return;
  wh_stop_matcher_destroy(s->stops);
  wh_text_buffer_deinit(&s->raw);
  wh_text_buffer_deinit(&s->shown);
  wh_model_destroy(s->model);
  wh_free(s->alloc, s);
}

static void give(const wh_text_stream *s, const char **text, size_t *n_bytes) {
  *text = s->shown.data ? s->shown.data : "";
  *n_bytes = s->shown.len;
}

static wh_status match_raw(wh_text_stream *s, bool *stopped) {
  return wh_stop_matcher_push(s->stops, s->raw.data ? s->raw.data : "", s->raw.len, true, &s->shown, stopped);
}

wh_status wh_text_stream_push(wh_text_stream *s, int32_t id, const char **text, size_t *n_bytes,
                              bool *stopped) {
  WH_WANT(s, "stream");
  WH_WANT(text, "text");
  WH_WANT(n_bytes, "n_bytes");
  WH_WANT(stopped, "stopped");
  wh_text_buffer_clear(&s->raw);
  wh_text_buffer_clear(&s->shown);
  WH_TRY(wh_detokenizer_push(&s->detokenizer, id, &s->raw));
  WH_TRY(match_raw(s, stopped));
  wh_str hidden = wh_detokenizer_hidden(&s->detokenizer, id);
  WH_TRY(wh_stop_matcher_push(s->stops, hidden.data, hidden.len, false, &s->shown, stopped));
  give(s, text, n_bytes);
  return WH_OK;
}

wh_status wh_text_stream_finish(wh_text_stream *s, const char **text, size_t *n_bytes) {
  bool stopped;
  WH_WANT(s, "stream");
  WH_WANT(text, "text");
  WH_WANT(n_bytes, "n_bytes");
  wh_text_buffer_clear(&s->raw);
  wh_text_buffer_clear(&s->shown);
  WH_TRY(wh_detokenizer_finish(&s->detokenizer, &s->raw));
  WH_TRY(match_raw(s, &stopped));
  if (!stopped) WH_TRY(wh_stop_matcher_finish(s->stops, &s->shown));
  give(s, text, n_bytes);
  return WH_OK;
}

/* ---- generators ---- */

struct wh_generator {
  const wh_allocator *alloc;
  wh_sampler *sampler;
};

wh_status wh_generator_create(const wh_model *m, const wh_sampling *sampling, wh_generator **out) {
  wh_sampling o = WH_SAMPLING_INIT;
  WH_WANT(m, "model");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, sampling, WH_SAMPLING_INIT);
  WH_TRY(wh_model_want_file(m));
  const wh_sampler_options so = {.temperature = o.temperature,
                                 .top_k = o.top_k,
                                 .top_p = o.top_p,
                                 .min_p = o.min_p,
                                 .repetition_penalty = o.repetition_penalty,
                                 .presence_penalty = o.presence_penalty,
                                 .frequency_penalty = o.frequency_penalty,
                                 .penalty_window = o.penalty_window,
                                 .seed = o.seed};
  wh_generator *g = wh_alloc_zeroed(m->alloc, sizeof *g);
  if (!g) return WH_OOM("generator");
  g->alloc = m->alloc;
  wh_status st = wh_sampler_create(&so, (size_t)m->hparams.n_vocab, m->alloc, &g->sampler);
  if (st != WH_OK) {
    wh_free(m->alloc, g);
    return st;
  }
  *out = g;
  return WH_OK;
}

void wh_generator_destroy(wh_generator *g) {
  if (!g) return;
  wh_sampler_destroy(g->sampler);
  wh_free(g->alloc, g);
}

void wh_generator_accept(wh_generator *g, int32_t token) {
  if (g) wh_sampler_accept(g->sampler, token);
}
void wh_generator_reset(wh_generator *g) {
  if (g) wh_sampler_reset(g->sampler);
}
wh_status wh_generator_sample_best(wh_generator *g, const wh_lm_best *best, int32_t *token, bool *decided) {
  return wh_sampler_sample_best(g->sampler, best->logits, best->ids, best->n, token, decided);
}
wh_status wh_generator_sample(wh_generator *g, const float *logits, int32_t *token) {
  WH_WANT(g, "generator");
  WH_WANT(logits, "logits");
  WH_WANT(token, "token");
  return wh_sampler_sample(g->sampler, logits, token);
}
