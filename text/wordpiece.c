/* wordpiece.c - see wordpiece.h. Follows BERT's BasicTokenizer and WordpieceTokenizer (Devlin et al. 2018). A
 * word is at most WORD_CHARS_MAX characters, longer ones are unknown by definition, so everything fits a
 * fixed buffer. */
#include "text/wordpiece.h"

#include <utf8proc.h>

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

#define WORD_CHARS_MAX 100

typedef struct word {
  size_t n_chars;                  /* beyond WORD_CHARS_MAX only counted */
  size_t ends[WORD_CHARS_MAX + 1]; /* byte offset before each character; ends[n] is the length */
  char text[WORD_CHARS_MAX * 4];
} word;

void wh_wordpiece_init(wh_wordpiece *w, const wh_vocab *vocab, const wh_tokenizer_spec *spec) {
  *w = (wh_wordpiece){
      .vocab = vocab,
      .unknown_id = spec->unknown_id,
      .lowercase = spec->lowercase != 0,
      .strip_accents = spec->strip_accents < 0 ? spec->lowercase != 0 : spec->strip_accents != 0};
  size_t n_marked = 0, n_hashed = 0;
  for (size_t i = 0; i < vocab->n_tokens; i++) {
    wh_str t = vocab->tokens[i];
    n_marked += t.len > WH_SPM_SPACE_BYTES && memcmp(t.data, WH_SPM_SPACE, WH_SPM_SPACE_BYTES) == 0;
    n_hashed += t.len > 2 && memcmp(t.data, "##", 2) == 0;
  }
  w->marks_word_start = n_marked > n_hashed;
}

static bool is_space(uint32_t cp) {
  return cp == ' ' || (cp >= '\t' && cp <= '\n') || cp == '\r' || cp == 0x85 ||
         utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ZS || cp == 0x2028 || cp == 0x2029;
}

static bool is_dropped(uint32_t cp) {
  if (cp == '\t' || cp == '\n' || cp == '\r') return false;
  utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
  return cp == 0 || cp == 0xfffd || c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF ||
         c == UTF8PROC_CATEGORY_CS || c == UTF8PROC_CATEGORY_CO || c == UTF8PROC_CATEGORY_CN;
}

static bool is_punctuation(uint32_t cp) {
  if (cp < 0x80)
    return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
           (cp >= '{' && cp <= '~');
  utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
  return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

/* The blocks that BERT splits into single characters; 0x2b920 is what the published tokenizers use. */
static bool is_chinese(uint32_t cp) {
  return (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0x3400 && cp <= 0x4dbf) ||
         (cp >= 0x20000 && cp <= 0x2a6df) || (cp >= 0x2a700 && cp <= 0x2b73f) ||
         (cp >= 0x2b740 && cp <= 0x2b81f) || (cp >= 0x2b920 && cp <= 0x2ceaf) ||
         (cp >= 0xf900 && cp <= 0xfaff) || (cp >= 0x2f800 && cp <= 0x2fa1f);
}

/* The token for characters [from, to) of the word, or -1. */
static int32_t find_part(const wh_wordpiece *w, const word *x, size_t from, size_t to) {
  char text[sizeof x->text + WH_SPM_SPACE_BYTES];
  const char *mark =
      from == 0 ? (w->marks_word_start ? WH_SPM_SPACE : "") : (w->marks_word_start ? "" : "##");
  size_t n_mark = strlen(mark), n = x->ends[to] - x->ends[from];
  memcpy(text, mark, n_mark);
  memcpy(text + n_mark, x->text + x->ends[from], n);
  return wh_vocab_find_plain(w->vocab, text, n_mark + n);
}

/* Appends the tokens of the word and empties it. */
static wh_status finish_word(const wh_wordpiece *w, word *x, wh_token_list *list) {
  size_t n_chars = x->n_chars, before = list->n;
  if (n_chars == 0) return WH_OK;
  x->n_chars = 0;
  bool known = n_chars <= WORD_CHARS_MAX;
  for (size_t from = 0, to; known && from < n_chars; from = to) {
    int32_t id = -1;
    for (to = n_chars; to > from && (id = find_part(w, x, from, to)) < 0;) to--;
    known = id >= 0;
    if (known) WH_TRY(wh_token_list_push(list, id));
  }
  if (known) return WH_OK;
  list->n = before;
  return w->unknown_id >= 0 ? wh_token_list_push(list, w->unknown_id) : WH_OK;
}

static wh_status add_char(const wh_wordpiece *w, word *x, uint32_t cp, wh_token_list *list) {
  bool alone = is_punctuation(cp) || is_chinese(cp);
  if (alone) WH_TRY(finish_word(w, x, list));
  if (x->n_chars < WORD_CHARS_MAX) {
    size_t start = x->n_chars ? x->ends[x->n_chars] : 0;
    x->ends[x->n_chars] = start;
    x->ends[x->n_chars + 1] = start + wh_utf8_encode(cp, x->text + start);
  }
  x->n_chars++;
  return alone ? finish_word(w, x, list) : WH_OK;
}

/* Accents off, small letters: one character becomes none, one or several. */
static wh_status add_normalized(const wh_wordpiece *w, word *x, uint32_t cp, wh_token_list *list) {
  utf8proc_int32_t parts[8];
  utf8proc_ssize_t n = 1;
  parts[0] = (utf8proc_int32_t)cp;
  if (w->strip_accents && cp >= 0x80) {
    int boundary = 0;
    n = utf8proc_decompose_char((utf8proc_int32_t)cp, parts, 8, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 0 || n > 8) return WH_FAIL(ERR_INTERNAL, "U+%04X does not decompose", (unsigned)cp);
  }
  for (utf8proc_ssize_t i = 0; i < n; i++) {
    if (w->strip_accents && utf8proc_category(parts[i]) == UTF8PROC_CATEGORY_MN) continue;
    if (!w->lowercase) {
      WH_TRY(add_char(w, x, (uint32_t)parts[i], list));
    } else {
      WH_TRY(add_char(w, x, (uint32_t)utf8proc_tolower(parts[i]), list));
      if (parts[i] == 0x130) WH_TRY(add_char(w, x, 0x307, list)); /* the one letter whose small form is two */
    }
  }
  return WH_OK;
}

wh_status wh_wordpiece_encode(const wh_wordpiece *w, wh_str text, wh_token_list *list) {
  const unsigned char *p = (const unsigned char *)text.data;
  word x = {0};
  for (size_t i = 0; i < text.len;) {
    uint32_t cp;
    size_t len = wh_utf8_decode(p + i, text.len - i, &cp);
    i += len ? len : 1;
    if (len == 0 || is_dropped(cp)) continue; /* ill-formed bytes read as U+FFFD, which BERT drops */
    WH_TRY(is_space(cp) ? finish_word(w, &x, list) : add_normalized(w, &x, cp, list));
  }
  return finish_word(w, &x, list);
}
