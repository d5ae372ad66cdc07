/* bpe.c - see bpe.h. A merge is found by the ids of its two tokens in one table look-up. */
#include "text/bpe.h"

#include "text/tokenizer_internal.h"
#include "text/unicode.h"

struct wh_merge {
  int32_t left; /* -1: empty slot */
  int32_t right;
  uint32_t rank;
  int32_t merged;
};

static size_t pair_slot(const wh_bpe *b, int32_t left, int32_t right) {
  uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9e3779b97f4a7c15);
  return (size_t)((h ^ h >> 32) & b->mask);
}

/* The slot of the pair, or the empty one where it belongs. */
static struct wh_merge *find_merge(const wh_bpe *b, int32_t left, int32_t right) {
  size_t i = pair_slot(b, left, right);
  while (b->merges[i].left >= 0 && (b->merges[i].left != left || b->merges[i].right != right))
    i = (i + 1) & b->mask;
  return &b->merges[i];
}

static bool is_joined(const wh_vocab *v, int32_t id, wh_str left, wh_str right) {
  if (id < 0 || (size_t)id >= v->n_tokens) return false;
  wh_str t = v->tokens[id];
  return t.len == left.len + right.len && memcmp(t.data, left.data, left.len) == 0 &&
         memcmp(t.data + left.len, right.data, right.len) == 0 && wh_vocab_is_plain(v, id);
}

/* The token left + right, or -1. Vocabularies list merged tokens in the order of their merges, so it is
 * usually the one that the merge before gave, or the one after that. */
static int32_t find_merged(const wh_vocab *v, wh_str left, wh_str right, int32_t before, char *joined) {
  size_t n = left.len + right.len;
  if (is_joined(v, before + 1, left, right)) return before + 1;
  if (is_joined(v, before, left, right)) return before;
  if (n > v->token_bytes_max) return -1;
  memcpy(joined, left.data, left.len);
  memcpy(joined + left.len, right.data, right.len);
  return wh_vocab_find_plain(v, joined, n);
}

/* Adds merges [first, first + n), n <= WH_VOCAB_BATCH. */
static wh_status add_merges(wh_bpe *b, const wh_tokenizer_spec *spec, size_t first, size_t n, int32_t *before,
                            char *joined) {
  wh_str left[WH_VOCAB_BATCH], right[WH_VOCAB_BATCH];
  int32_t left_ids[WH_VOCAB_BATCH], right_ids[WH_VOCAB_BATCH];
  for (size_t i = 0; i < n; i++) {
    wh_str text = spec->merges[first + i];
    const char *space = text.len > 1 ? memchr(text.data + 1, ' ', text.len - 1) : NULL;
    if (!space || space + 1 == text.data + text.len)
      return WH_FAIL(ERR_CORRUPT, "merge %zu ('" WH_STR_FMT "') is not two tokens and a space", first + i,
                     WH_STR_ARG(text));
    left[i] = (wh_str){text.data, (size_t)(space - text.data)};
    right[i] = (wh_str){space + 1, text.len - left[i].len - 1};
  }
  wh_vocab_find_plain_batch(b->vocab, left, n, left_ids);
  wh_vocab_find_plain_batch(b->vocab, right, n, right_ids);
  for (size_t i = 0; i < n; i++) __builtin_prefetch(&b->merges[pair_slot(b, left_ids[i], right_ids[i])], 1);
  for (size_t i = 0; i < n; i++) {
    int32_t merged = find_merged(b->vocab, left[i], right[i], *before, joined);
    if (merged < 0) continue; /* a merge towards no token: pruned vocabularies keep them */
    *before = merged;
    if (left_ids[i] < 0 || right_ids[i] < 0) continue;
    struct wh_merge *slot = find_merge(b, left_ids[i], right_ids[i]);
    if (slot->left < 0) *slot = (struct wh_merge){left_ids[i], right_ids[i], (uint32_t)(first + i), merged};
  }
  return WH_OK;
}

wh_status wh_bpe_init(wh_bpe *b, const wh_vocab *vocab, const wh_tokenizer_spec *spec, bool ignore_merges,
                      const wh_allocator *alloc) {
  *b = (wh_bpe){.alloc = alloc, .vocab = vocab, .ignore_merges = ignore_merges};
  for (unsigned i = 0; i < 256; i++) {
    char text[4];
    size_t n = wh_utf8_encode(wh_byte_to_char((unsigned char)i), text);
    b->byte_ids[i] = wh_vocab_find_plain(vocab, text, n);
  }
  if (spec->n_merges > INT32_MAX / 4) return WH_FAIL(ERR_LIMIT, "%zu merges are too many", spec->n_merges);
  size_t n_slots = 16, bytes;
  while (n_slots - n_slots / 4 < spec->n_merges) n_slots *= 2;
  b->mask = n_slots - 1;
  if (!wh_mul_size(n_slots, sizeof *b->merges, &bytes)) return WH_OOM("the merge table");
  b->merges = wh_alloc_uninit(alloc, bytes, WH_ALIGN_DEFAULT);
  char *joined = wh_alloc_uninit(alloc, vocab->token_bytes_max, 1);
  wh_status status = b->merges && joined ? WH_OK : WH_OOM("the merge table");
  if (status == WH_OK) {
    memset(b->merges, 0xff, bytes); /* every left = -1 */
    int32_t before = -1;
    for (size_t i = 0; status == WH_OK && i < spec->n_merges; i += WH_VOCAB_BATCH) {
      size_t n_left = spec->n_merges - i;
      status = add_merges(b, spec, i, n_left < WH_VOCAB_BATCH ? n_left : WH_VOCAB_BATCH, &before, joined);
    }
  }
  wh_free(alloc, joined);
  return status;
}

void wh_bpe_deinit(wh_bpe *b) {
  wh_free(b->alloc, b->merges);
  b->merges = NULL;
}

uint64_t wh_bpe_merge_of_pair(const void *bpe, const char *piece, wh_symbol left, wh_symbol right) {
  (void)piece;
  if (left.id < 0 || right.id < 0) return WH_MERGE_NONE; /* a character that is no token */
  const struct wh_merge *m = find_merge(bpe, left.id, right.id);
  return m->left < 0 ? WH_MERGE_NONE : (uint64_t)m->rank << 32 | (uint32_t)m->merged;
}

/* The whole piece as one token, or -1. */
static wh_status find_piece(const wh_bpe *b, wh_merger *m, const char *piece, size_t n, int32_t *id) {
  *id = -1;
  if (n > b->vocab->token_bytes_max) return WH_OK;
  WH_TRY(wh_merger_reserve_text(m, 2 * n)); /* the byte alphabet lies below U+0800 */
  char *end = m->text;
  for (size_t i = 0; i < n; i++) end += wh_utf8_encode(wh_byte_to_char((unsigned char)piece[i]), end);
  *id = wh_vocab_find_plain(b->vocab, m->text, (size_t)(end - m->text));
  return WH_OK;
}

wh_status wh_bpe_encode_piece(const wh_bpe *b, wh_merger *m, const char *piece, size_t n,
                              wh_token_list *list) {
  if (b->ignore_merges) {
    int32_t id;
    WH_TRY(find_piece(b, m, piece, n, &id));
    if (id >= 0) return wh_token_list_push(list, id);
  }
  WH_TRY(wh_merger_reserve(m, n));
  size_t n_symbols = 0;
  for (size_t i = 0; i < n; i++) {
    int32_t id = b->byte_ids[(unsigned char)piece[i]];
    if (id >= 0) m->symbols[n_symbols++] = (wh_symbol){(uint32_t)i, 1, id};
  }
  WH_TRY(wh_merger_run(m, piece, wh_bpe_merge_of_pair, b, &n_symbols));
  for (size_t i = 0; i < n_symbols; i++) WH_TRY(wh_token_list_push(list, m->symbols[i].id));
  return WH_OK;
}
