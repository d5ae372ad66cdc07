/* sentencepiece.c - see sentencepiece.h. */
#include "text/sentencepiece.h"

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

/* Maps scores to integers so that a higher score is a lower number; ties are ties. */
static uint32_t priority_of(double score) {
  float f = (float)score + 0.0f; /* -0 ties with +0 */
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  uint32_t ascending = bits >> 31 ? ~bits : bits | UINT32_C(0x80000000);
  uint32_t priority = ~ascending;
  return priority == UINT32_MAX ? UINT32_MAX - 1 : priority; /* UINT32_MAX belongs to WH_MERGE_NONE */
}

static bool is_space(const char *p, size_t n) {
  return n >= WH_SPM_SPACE_BYTES && memcmp(p, WH_SPM_SPACE, WH_SPM_SPACE_BYTES) == 0;
}

/* Notes the bytes, other than a space's, that come before a space in this token. */
static void note_joins(wh_sentencepiece *s, wh_str token) {
  bool after_space = true;
  for (size_t i = 0; i < token.len;) {
    bool space = is_space(token.data + i, token.len - i);
    if (space && !after_space) s->joins_space[(unsigned char)token.data[i - 1]] = true;
    after_space = space;
    i += space ? WH_SPM_SPACE_BYTES : 1;
  }
}

wh_status wh_sentencepiece_init(wh_sentencepiece *s, const wh_vocab *vocab, const wh_tokenizer_spec *spec,
                                const wh_bpe *merges, const wh_allocator *alloc) {
  *s = (wh_sentencepiece){.alloc = alloc, .vocab = vocab, .merges = merges, .unknown_id = spec->unknown_id};
  wh_vocab_find_bytes(vocab, s->byte_ids);
  s->priorities = wh_alloc_array(alloc, vocab->n_tokens, sizeof *s->priorities);
  if (!s->priorities) return WH_OOM("the token priorities");
  for (size_t i = 0; i < vocab->n_tokens; i++) {
    s->priorities[i] = priority_of(spec->scores ? spec->scores[i] : 0);
    if (wh_vocab_is_plain(vocab, (int32_t)i)) note_joins(s, vocab->tokens[i]);
  }
  return WH_OK;
}

void wh_sentencepiece_deinit(wh_sentencepiece *s) {
  wh_free(s->alloc, s->priorities);
  s->priorities = NULL;
}

static uint64_t merge_of_pair(const void *model, const char *piece, wh_symbol left, wh_symbol right) {
  const wh_sentencepiece *s = model;
  int32_t id = wh_vocab_find_plain(s->vocab, piece + left.start, (size_t)left.len + right.len);
  return id < 0 ? WH_MERGE_NONE : (uint64_t)s->priorities[id] << 32 | (uint32_t)id;
}

/* A character that is no token: its bytes, or one unknown token for a whole run of such characters. */
static wh_status push_unknown(const wh_sentencepiece *s, const char *text, size_t n, bool *after_unknown,
                              wh_token_list *list) {
  bool has_bytes = true;
  for (size_t i = 0; i < n; i++) has_bytes = has_bytes && s->byte_ids[(unsigned char)text[i]] >= 0;
  if (has_bytes) {
    *after_unknown = false;
    for (size_t i = 0; i < n; i++) WH_TRY(wh_token_list_push(list, s->byte_ids[(unsigned char)text[i]]));
    return WH_OK;
  }
  if (*after_unknown || s->unknown_id < 0) return WH_OK;
  *after_unknown = true;
  return wh_token_list_push(list, s->unknown_id);
}

static wh_status encode_piece(const wh_sentencepiece *s, wh_merger *m, const char *text, size_t n,
                              bool *after_unknown, wh_token_list *list) {
  WH_TRY(wh_merger_reserve(m, n));
  size_t n_symbols = 0;
  for (size_t i = 0; i < n;) {
    uint32_t cp;
    size_t len = wh_utf8_decode((const unsigned char *)text + i, n - i, &cp);
    if (len == 0) len = 1; /* a stray byte is a character of its own, to become a byte token */
    m->symbols[n_symbols++] =
        (wh_symbol){(uint32_t)i, (uint32_t)len, wh_vocab_find_plain(s->vocab, text + i, len)};
    i += len;
  }
  WH_TRY(s->merges ? wh_merger_run(m, text, wh_bpe_merge_of_pair, s->merges, &n_symbols)
                   : wh_merger_run(m, text, merge_of_pair, s, &n_symbols));
  for (size_t i = 0; i < n_symbols; i++) {
    wh_symbol x = m->symbols[i];
    if (x.id < 0) {
      WH_TRY(push_unknown(s, text + x.start, x.len, after_unknown, list));
    } else {
      *after_unknown = false;
      WH_TRY(wh_token_list_push(list, x.id));
    }
  }
  return WH_OK;
}

wh_status wh_sentencepiece_encode(const wh_sentencepiece *s, wh_merger *m, wh_str text, wh_token_list *list) {
  size_t start = 0;
  bool after_unknown = false, after_space = true;
  for (size_t i = 0; i < text.len;) {
    bool space = is_space(text.data + i, text.len - i);
    if (space && !after_space && !s->joins_space[(unsigned char)text.data[i - 1]]) {
      WH_TRY(encode_piece(s, m, text.data + start, i - start, &after_unknown, list));
      start = i;
    }
    after_space = space;
    i += space ? WH_SPM_SPACE_BYTES : 1;
  }
  if (start == text.len) return WH_OK;
  return encode_piece(s, m, text.data + start, text.len - start, &after_unknown, list);
}
