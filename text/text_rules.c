/* text_rules.c - see text_rules.h. Each step reads one buffer and writes the other. The steps are those of
 * Hugging Face's tokenizers, whose texts are always well-formed. */
#include "text/text_rules.h"

#include <utf8proc.h>

#include "text/normalize.h"
#include "text/unicode.h"

void wh_text_scratch_init(wh_text_scratch *s, const wh_allocator *alloc) {
  wh_text_buffer_init(&s->from, alloc);
  wh_text_buffer_init(&s->to, alloc);
  wh_text_buffer_init(&s->piece, alloc);
}

void wh_text_scratch_deinit(wh_text_scratch *s) {
  wh_text_buffer_deinit(&s->from);
  wh_text_buffer_deinit(&s->to);
  wh_text_buffer_deinit(&s->piece);
}

static void put(wh_text_buffer *out, wh_str s) { wh_text_buffer_append(out, s.data, s.len); }

static void put_char(wh_text_buffer *out, uint32_t cp) {
  char bytes[4];
  wh_text_buffer_append(out, bytes, wh_utf8_encode(cp, bytes));
}

static wh_str rest(wh_str text, size_t from) { return (wh_str){text.data + from, text.len - from}; }
static wh_str from_to(wh_str text, size_t from, size_t to) { return (wh_str){text.data + from, to - from}; }

/* The next character, at `at` < text.len; its length. What a charsmap wrote may be ill-formed. */
static size_t next_char(wh_str text, size_t at, uint32_t *cp) {
  const size_t n = wh_utf8_decode((const unsigned char *)text.data + at, text.len - at, cp);
  if (n == 0) *cp = 0xfffd;
  return n ? n : 1;
}

static bool starts_with(wh_str text, wh_str with) {
  return text.len >= with.len && memcmp(text.data, with.data, with.len) == 0;
}

/* ---- steps ---- */

static void mend_bad_bytes(wh_str text, wh_text_buffer *out) {
  const unsigned char *p = (const unsigned char *)text.data;
  for (size_t i = 0; i < text.len;) {
    const size_t n = wh_utf8_valid_length(p + i, text.len - i);
    wh_text_buffer_append(out, text.data + i, n);
    i += n;
    if (i == text.len) break;
    wh_text_buffer_puts(out, WH_UTF8_REPLACEMENT);
    i += wh_utf8_bad_length(p + i, text.len - i);
  }
}

static bool is_nmt_control(uint32_t cp) {
  return (cp >= 1 && cp <= 8) || cp == 0x0b || (cp >= 0x0e && cp <= 0x1f) || cp == 0x7f || cp == 0x8f ||
         cp == 0x9f;
}

static bool is_nmt_space(uint32_t cp) {
  return cp == '\t' || cp == '\n' || cp == '\f' || cp == '\r' || cp == 0x1680 ||
         (cp >= 0x200b && cp <= 0x200f) || cp == 0x2028 || cp == 0x2029 || cp == 0x2581 || cp == 0xfeff ||
         cp == 0xfffd;
}

static void put_changed(wh_text_step_kind kind, uint32_t cp, wh_text_buffer *out) {
  const utf8proc_int32_t c = (utf8proc_int32_t)cp;
  if (kind == WH_STEP_NMT) {
    if (!is_nmt_control(cp)) put_char(out, is_nmt_space(cp) ? ' ' : cp);
  } else if (kind == WH_STEP_LOWERCASE) {
    put_char(out, (uint32_t)utf8proc_tolower(c));
    if (cp == 0x130) put_char(out, 0x307); /* the one letter whose small form is two */
  } else if (utf8proc_category(c) < UTF8PROC_CATEGORY_MN || utf8proc_category(c) > UTF8PROC_CATEGORY_ME) {
    put_char(out, cp);
  }
}

static void change_chars(wh_text_step_kind kind, wh_str text, bool *first, wh_text_buffer *out) {
  uint32_t cp;
  for (size_t i = 0; i < text.len;) {
    i += next_char(text, i, &cp);
    put_changed(kind, cp, out);
    *first &= out->len > 0;
  }
}

static void strip(const wh_text_step *step, wh_str text, bool *first, wh_text_buffer *out) {
  size_t begin = text.len, end = 0;
  uint32_t cp;
  for (size_t i = 0, n; i < text.len; i += n) {
    n = next_char(text, i, &cp);
    if (wh_is_white_space(cp)) continue;
    if (i < begin) begin = i;
    end = i + n;
  }
  if (!step->left) begin = 0;
  if (!step->right) end = text.len;
  *first &= begin == 0;
  if (begin < end) put(out, from_to(text, begin, end));
}

static void replace(const wh_text_step *step, wh_str text, bool *first, wh_text_buffer *out) {
  uint32_t cp;
  if (text.len && starts_with(text, step->pattern))
    *first &= step->with.len && next_char(text, 0, &cp) == step->pattern.len;
  for (size_t i = 0; i < text.len;) {
    const bool here = starts_with(rest(text, i), step->pattern);
    if (here)
      put(out, step->with);
    else
      wh_text_buffer_append(out, text.data + i, 1);
    i += here ? step->pattern.len : 1;
  }
}

static void replace_spaces(const wh_text_step *step, wh_str text, bool *first, wh_text_buffer *out) {
  for (size_t i = 0, end; i < text.len; i = end) {
    for (end = i; end < text.len && text.data[end] == ' ';) end++;
    if (end - i >= 2) {
      *first &= i > 0;
      put(out, step->with);
    } else {
      end = i + 1;
      wh_text_buffer_append(out, text.data + i, 1);
    }
  }
}

/* The end of the grapheme that begins at `at`. */
static size_t grapheme_end(wh_str text, size_t at) {
  utf8proc_int32_t state = 0;
  uint32_t before, cp;
  for (at += next_char(text, at, &before); at < text.len;) {
    const size_t n = next_char(text, at, &cp);
    if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)cp, &state)) break;
    before = cp;
    at += n;
  }
  return at;
}

/* As tokenizers does it, not as sentencepiece does: a short grapheme is replaced whole by the rule of its
 * shortest beginning, else each character by its own. */
static void map_chars(const wh_charsmap *c, wh_str text, wh_text_buffer *out) {
  wh_str with;
  uint32_t cp;
  for (size_t i = 0, end; i < text.len; i = end) {
    end = grapheme_end(text, i);
    if (end - i < 6 && wh_charsmap_find(c, from_to(text, i, end), false, &with)) {
      put(out, with);
      continue;
    }
    for (size_t n; i < end; i += n) {
      n = next_char(text, i, &cp);
      const wh_str one = from_to(text, i, i + n);
      put(out, wh_charsmap_find(c, one, false, &with) ? with : one);
    }
  }
}

/* *first stays true while what comes first stems from the first character, which is how tokenizers sees it.
 */
static wh_status take_step(const wh_text_step *step, wh_str text, bool *first, wh_text_buffer *out) {
  wh_text_buffer_clear(out);
  switch (step->kind) {
    case WH_STEP_NFC:
      return wh_normalize(WH_NFC, text, out);
    case WH_STEP_NFD:
      return wh_normalize(WH_NFD, text, out);
    case WH_STEP_NFKC:
      return wh_normalize(WH_NFKC, text, out);
    case WH_STEP_NFKD:
      return wh_normalize(WH_NFKD, text, out);
    case WH_STEP_NMT:
    case WH_STEP_LOWERCASE:
    case WH_STEP_STRIP_ACCENTS:
      change_chars(step->kind, text, first, out);
      break;
    case WH_STEP_STRIP:
      strip(step, text, first, out);
      break;
    case WH_STEP_PREPEND:
      if (text.len) put(out, step->with);
      put(out, text);
      break;
    case WH_STEP_REPLACE:
      replace(step, text, first, out);
      break;
    case WH_STEP_REPLACE_SPACES:
      replace_spaces(step, text, first, out);
      break;
    case WH_STEP_CHARSMAP:
      map_chars(step->charsmap, text, out);
      break;
  }
  return out->oom ? WH_OOM("the normalised text") : WH_OK;
}

/* ---- pieces ---- */

/* One piece between cuts at white space: marked, and cut at its marks. */
static wh_status give_marked(const wh_text_rules *r, wh_text_buffer *b, wh_str text, bool first,
                             wh_text_piece_fn fn, void *ctx) {
  const wh_text_step spaces = {.kind = WH_STEP_REPLACE, .pattern = {" ", 1}, .with = r->mark};
  if (text.len == 0) return WH_OK;
  if (r->mark.len == 0) return fn(ctx, text);
  wh_text_buffer_clear(b);
  const bool marked = text.data[0] == ' ' || starts_with(text, r->mark);
  if (!marked && (r->prepend == WH_PREPEND_ALWAYS || (r->prepend == WH_PREPEND_FIRST && first)))
    put(b, r->mark);
  replace(&spaces, text, &first, b);
  if (b->oom) return WH_OOM("a piece of text");
  const wh_str whole = {b->data, b->len};
  size_t begin = 0;
  for (size_t i = r->cuts_at_mark ? 1 : whole.len; i < whole.len; i++) {
    if (!starts_with(rest(whole, i), r->mark)) continue;
    WH_TRY(fn(ctx, from_to(whole, begin, i)));
    begin = i;
  }
  return fn(ctx, rest(whole, begin));
}

static wh_status give_pieces(const wh_text_rules *r, wh_text_buffer *b, wh_str text, bool first,
                             wh_text_piece_fn fn, void *ctx) {
  size_t begin = 0;
  uint32_t cp;
  for (size_t i = 0, n; r->cuts_at_space && i < text.len; i += n) {
    n = next_char(text, i, &cp);
    if (!wh_is_white_space(cp)) continue;
    WH_TRY(give_marked(r, b, from_to(text, begin, i), first && begin == 0, fn, ctx));
    begin = i + n;
  }
  return give_marked(r, b, rest(text, begin), first && begin == 0, fn, ctx);
}

wh_status wh_text_rules_apply(const wh_text_rules *r, wh_text_scratch *s, wh_str text, bool first,
                              wh_text_piece_fn fn, void *ctx) {
  wh_text_buffer *from = &s->from, *to = &s->to;
  wh_text_buffer_clear(from);
  mend_bad_bytes(text, from);
  if (from->oom) return WH_OOM("a text");
  for (size_t i = 0; i < r->n_steps; i++) {
    WH_TRY(take_step(&r->steps[i], (wh_str){from->data, from->len}, &first, to));
    wh_text_buffer *swap = from;
    from = to;
    to = swap;
  }
  return give_pieces(r, &s->piece, (wh_str){from->data, from->len}, first, fn, ctx);
}
