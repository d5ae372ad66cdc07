/* tokenizer_decode.c - from token ids back to text, one id at a time; see tokenizer.h. */
#include "core/base/text_buffer.h"
#include "text/tokenizer_internal.h"
#include "text/unicode.h"

static bool starts_with(wh_str text, const char *prefix) {
  size_t n = strlen(prefix);
  return text.len >= n && memcmp(text.data, prefix, n) == 0;
}

/* Is every character of the alphabet of byte-level BPE? Added tokens hold plain text. */
static bool is_byte_chars(wh_str text) {
  const unsigned char *p = (const unsigned char *)text.data;
  for (size_t i = 0; i < text.len;) {
    uint32_t cp;
    size_t len = wh_utf8_decode(p + i, text.len - i, &cp);
    if (len == 0 || wh_char_to_byte(cp) < 0) return false;
    i += len;
  }
  return true;
}

wh_token_form wh_tokenizer_token_form(const wh_tokenizer *t, int32_t id) {
  if (id < 0 || (size_t)id >= t->vocab.n_tokens) return WH_FORM_HIDDEN;
  wh_str text = t->vocab.tokens[id];
  wh_token_type type = wh_vocab_type(&t->vocab, id);
  if (type == WH_TOKEN_CONTROL || type == WH_TOKEN_UNKNOWN) return WH_FORM_HIDDEN;
  if (type == WH_TOKEN_BYTE && wh_token_text_to_byte(text) >= 0) return WH_FORM_BYTE;
  switch (t->model) {
    case WH_MODEL_BPE:
      return type == WH_TOKEN_USER_DEFINED || !is_byte_chars(text) ? WH_FORM_LITERAL : WH_FORM_BYTE_CHARS;
    case WH_MODEL_SENTENCEPIECE:
    case WH_MODEL_UNIGRAM:
      return WH_FORM_SPM;
    case WH_MODEL_WORDPIECE:
      if (t->wordpiece.marks_word_start) return WH_FORM_SPM;
      return starts_with(text, "##") ? WH_FORM_WORD_REST : WH_FORM_WORD;
  }
  return WH_FORM_LITERAL;
}

typedef struct emitter {
  wh_text_buffer *out;
  wh_detokenizer *stream; /* NULL: bytes go out as they are */
} emitter;

/* Shows the pending bytes as U+FFFD. */
static void flush_pending(wh_detokenizer *d, wh_text_buffer *out) {
  if (d->n_pending) wh_text_buffer_puts(out, WH_UTF8_REPLACEMENT);
  d->n_pending = 0;
}

static void push_byte(wh_detokenizer *d, unsigned char byte, wh_text_buffer *out) {
  uint32_t cp;
  d->pending[d->n_pending++] = byte;
  if (wh_utf8_decode(d->pending, d->n_pending, &cp)) {
    wh_text_buffer_append(out, (const char *)d->pending, d->n_pending);
    d->n_pending = 0;
  } else if (!wh_utf8_is_prefix(d->pending, d->n_pending)) {
    /* The byte does not continue what is pending, but may begin something itself. */
    bool again = d->n_pending > 1;
    wh_text_buffer_puts(out, WH_UTF8_REPLACEMENT);
    d->n_pending = 0;
    if (again) push_byte(d, byte, out);
  }
}

static void emit(emitter *e, const char *data, size_t n) {
  if (!e->stream) {
    wh_text_buffer_append(e->out, data, n);
    return;
  }
  for (size_t i = 0; i < n;) {
    size_t whole = e->stream->n_pending ? 0 : wh_utf8_valid_length((const unsigned char *)data + i, n - i);
    if (whole) wh_text_buffer_append(e->out, data + i, whole);
    i += whole;
    if (i < n) push_byte(e->stream, (unsigned char)data[i++], e->out);
  }
}

static void emit_byte_chars(emitter *e, wh_str text) {
  char bytes[64];
  size_t n = 0;
  for (size_t i = 0; i < text.len;) {
    uint32_t cp = 0;
    i += wh_utf8_decode((const unsigned char *)text.data + i, text.len - i, &cp);
    bytes[n++] = (char)wh_char_to_byte(cp);
    if (n == sizeof bytes) {
      emit(e, bytes, n);
      n = 0;
    }
  }
  emit(e, bytes, n);
}

static void emit_spm(emitter *e, wh_str text, bool drop_space) {
  for (size_t i = 0; i < text.len;) {
    const char *p = text.data + i;
    size_t left = text.len - i;
    if (left >= WH_SPM_SPACE_BYTES && memcmp(p, WH_SPM_SPACE, WH_SPM_SPACE_BYTES) == 0) {
      if (i > 0 || !drop_space) emit(e, " ", 1);
      i += WH_SPM_SPACE_BYTES;
      continue;
    }
    size_t n = 1;
    while (n < left && (unsigned char)p[n] != (unsigned char)WH_SPM_SPACE[0]) n++;
    emit(e, p, n);
    i += n;
  }
}

static void emit_token(emitter *e, const wh_tokenizer *t, int32_t id, wh_token_form form, bool at_start) {
  wh_str text = t->vocab.tokens[id];
  switch (form) {
    case WH_FORM_HIDDEN:
      break;
    case WH_FORM_LITERAL:
      emit(e, text.data, text.len);
      break;
    case WH_FORM_BYTE_CHARS:
      emit_byte_chars(e, text);
      break;
    case WH_FORM_SPM:
      emit_spm(e, text, at_start && (t->add_space_prefix || t->model == WH_MODEL_WORDPIECE));
      break;
    case WH_FORM_BYTE: {
      char byte = (char)wh_token_text_to_byte(text);
      emit(e, &byte, 1);
      break;
    }
    case WH_FORM_WORD:
      if (!at_start) emit(e, " ", 1);
      emit(e, text.data, text.len);
      break;
    case WH_FORM_WORD_REST:
      emit(e, text.data + 2, text.len - 2);
      break;
  }
}

void wh_detokenizer_init(wh_detokenizer *d, const wh_tokenizer *t, bool at_start, bool show_control) {
  *d = (wh_detokenizer){.tokenizer = t, .at_start = at_start, .show_control = show_control};
}

static wh_status check(const wh_text_buffer *out) { return out->oom ? WH_OOM("the decoded text") : WH_OK; }

wh_status wh_detokenizer_push(wh_detokenizer *d, int32_t id, wh_text_buffer *out) {
  const wh_tokenizer *t = d->tokenizer;
  if (id < 0 || (size_t)id >= t->vocab.n_tokens)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "token %d is not one of the %zu tokens", id, t->vocab.n_tokens);
  emitter e = {out, d};
  wh_token_form form = wh_tokenizer_token_form(t, id);
  if (form == WH_FORM_HIDDEN) {
    if (!d->show_control) return WH_OK;
    flush_pending(d, out); /* no character reaches across a control token that is shown */
    emit(&e, t->vocab.tokens[id].data, t->vocab.tokens[id].len);
  } else {
    emit_token(&e, t, id, form, d->at_start);
    d->at_start = false;
  }
  return check(out);
}

wh_str wh_detokenizer_hidden(const wh_detokenizer *d, int32_t id) {
  bool hidden = !d->show_control && wh_tokenizer_token_form(d->tokenizer, id) == WH_FORM_HIDDEN;
  return hidden ? wh_tokenizer_token(d->tokenizer, id) : (wh_str){"", 0};
}

wh_status wh_detokenizer_finish(wh_detokenizer *d, wh_text_buffer *out) {
  flush_pending(d, out);
  return check(out);
}

wh_status wh_tokenizer_append_bytes(const wh_tokenizer *t, int32_t id, wh_text_buffer *out) {
  if (id < 0 || (size_t)id >= t->vocab.n_tokens)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "token %d is not one of the %zu tokens", id, t->vocab.n_tokens);
  emitter e = {out, NULL};
  emit_token(&e, t, id, wh_tokenizer_token_form(t, id), false);
  return check(out);
}
