/* unigram.c - see unigram.h. One pass from left to right keeps the best way to each byte; pieces are found by
 * walking the trie, so the time is bounded by the text times the longest piece. */
#include "text/unigram.h"

#include <math.h>

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

#define PIECE_BYTES_MAX 1024
#define NO_WAY UINT32_MAX
#define UNKNOWN_PENALTY 10 /* below the worst piece */

/* May text become this token? Unused ones may not, other than in models that merge. */
static bool is_piece(const wh_vocab *v, int32_t id) {
  const wh_token_type type = wh_vocab_type(v, id);
  return type == WH_TOKEN_NORMAL || type == WH_TOKEN_USER_DEFINED;
}

static wh_status add_pieces(wh_unigram *u) {
  double min = INFINITY;
  for (size_t i = u->vocab->n_tokens; i-- > 0;) { /* of equal pieces the last one counts */
    const wh_str text = u->vocab->tokens[i];
    const double score = u->scores[i];
    if (!isfinite(score)) return WH_FAIL(ERR_CORRUPT, "the score of token %zu is no finite number", i);
    if (!u->single || wh_vocab_type(u->vocab, (int32_t)i) == WH_TOKEN_NORMAL) min = fmin(min, score);
    if (!is_piece(u->vocab, (int32_t)i)) continue;
    if (text.len > PIECE_BYTES_MAX)
      return WH_FAIL(ERR_LIMIT, "token %zu has %zu bytes; a piece has %d at most", i, text.len,
                     PIECE_BYTES_MAX);
    WH_TRY(wh_trie_add(&u->trie, text, (int32_t)i));
  }
  if (!isfinite(min)) return WH_FAIL(ERR_CORRUPT, "the vocabulary has no pieces");
  u->unknown_score = u->single ? (double)((float)min - UNKNOWN_PENALTY) : min - UNKNOWN_PENALTY;
  return WH_OK;
}

wh_status wh_unigram_init(wh_unigram *u, const wh_vocab *vocab, const wh_tokenizer_spec *spec,
                          const wh_allocator *alloc) {
  *u = (wh_unigram){.vocab = vocab,
                    .scores = spec->scores,
                    .unknown_id = spec->unknown_id,
                    .single = spec->text_rules == NULL};
  wh_trie_init(&u->trie, alloc);
  if (!spec->scores) return WH_FAIL(ERR_CORRUPT, "a unigram tokenizer needs the scores of its tokens");
  for (unsigned i = 0; i < 256; i++) u->byte_ids[i] = -1;
  if (spec->byte_fallback) wh_vocab_find_bytes(vocab, u->byte_ids);
  return add_pieces(u);
}

void wh_unigram_deinit(wh_unigram *u) { wh_trie_deinit(&u->trie); }

static void offer(const wh_unigram *u, wh_unigram_step *end, size_t start, int32_t id, double score) {
  if (u->single) score = (float)score;
  if (end->start == NO_WAY || score > end->score) *end = (wh_unigram_step){score, (uint32_t)start, id};
}

/* All pieces that begin at `start`, and the character there as unknown if it is none of them. */
static wh_status extend(const wh_unigram *u, wh_unigram_step *steps, wh_str text, size_t start,
                        size_t n_char) {
  const double here = steps[start].score;
  uint32_t node = WH_TRIE_ROOT;
  bool is_known = false;
  for (size_t end = start; end < text.len;) {
    node = wh_trie_step(&u->trie, node, (unsigned char)text.data[end++]);
    if (node == WH_TRIE_ROOT) break;
    const int32_t id = u->trie.values[node];
    if (id < 0) continue;
    offer(u, &steps[end], start, id, u->scores[id] + here);
    is_known |= end - start == n_char;
  }
  if (is_known) return WH_OK;
  if (u->unknown_id < 0)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "'%.*s' is no piece of the vocabulary, which has no token for unknown characters",
                   (int)n_char, text.data + start);
  offer(u, &steps[start + n_char], start, u->unknown_id, u->unknown_score + here);
  return WH_OK;
}

/* A run of unknown characters: its bytes, or one token for all of them. */
static wh_status push_unknown(const wh_unigram *u, const char *text, size_t n, wh_token_list *list) {
  bool has_bytes = true;
  for (size_t i = 0; i < n; i++) has_bytes = has_bytes && u->byte_ids[(unsigned char)text[i]] >= 0;
  if (!has_bytes) return wh_token_list_push(list, u->unknown_id);
  for (size_t i = 0; i < n; i++) WH_TRY(wh_token_list_push(list, u->byte_ids[(unsigned char)text[i]]));
  return WH_OK;
}

/* Turns the links of the best way around, to lead from each end to the next one; gives the first end. */
static uint32_t turn_links(wh_unigram_step *steps, size_t n) {
  uint32_t next = 0;
  for (uint32_t end = (uint32_t)n; end > 0;) {
    const uint32_t start = steps[end].start;
    steps[end].start = next;
    next = end;
    end = start;
  }
  return next;
}

static wh_status push_best(const wh_unigram *u, wh_unigram_step *steps, wh_str text, wh_token_list *list) {
  size_t start = 0;
  for (uint32_t end = turn_links(steps, text.len); end; end = steps[end].start) {
    const bool unknown = steps[end].id == u->unknown_id;
    const uint32_t next = steps[end].start;
    if (unknown && next && steps[next].id == u->unknown_id) continue; /* the run goes on */
    WH_TRY(unknown ? push_unknown(u, text.data + start, end - start, list)
                   : wh_token_list_push(list, steps[end].id));
    start = end;
  }
  return WH_OK;
}

wh_status wh_unigram_encode(const wh_unigram *u, wh_unigram_scratch *s, wh_str text, wh_token_list *list) {
  if (text.len == 0) return WH_OK;
  if (text.len >= NO_WAY) return WH_FAIL(ERR_LIMIT, "a text of %zu bytes is too long to tokenize", text.len);
  if (!wh_grow_array(s->alloc, (void **)&s->steps, &s->capacity, 0, text.len + 1, sizeof *s->steps))
    return WH_OOM("the ways to cut a text");
  for (size_t i = 0; i <= text.len; i++) s->steps[i] = (wh_unigram_step){0, NO_WAY, -1};
  for (size_t i = 0; i < text.len;) {
    uint32_t cp;
    const size_t n = wh_utf8_decode((const unsigned char *)text.data + i, text.len - i, &cp);
    WH_TRY(extend(u, s->steps, text, i, n ? n : 1));
    i += n ? n : 1;
  }
  return push_best(u, s->steps, text, list);
}
