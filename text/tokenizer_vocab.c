/* tokenizer_vocab.c - see tokenizer_vocab.h. An open-addressing table, linear probing, at most 3/4 full; a
 * slot keeps 32 bits of the hash so that almost every comparison of texts is a hit. */
#include "text/tokenizer_vocab.h"

#define XXH_INLINE_ALL /* tokens are short: the call would cost more than the hash */
#include <xxhash.h>

#include "text/tokenizer_facts.h"

struct wh_vocab_slot {
  uint32_t tag;
  uint32_t id_plus_1; /* 0: empty */
};

static int32_t find_hashed(const wh_vocab *v, const char *text, size_t n, uint64_t hash, size_t *slot) {
  size_t i = (size_t)(hash & v->mask);
  uint32_t tag = (uint32_t)(hash >> 32);
  for (; v->slots[i].id_plus_1; i = (i + 1) & v->mask) {
    if (v->slots[i].tag != tag) continue;
    wh_str token = v->tokens[v->slots[i].id_plus_1 - 1];
    if (token.len == n && memcmp(token.data, text, n) == 0) return (int32_t)(v->slots[i].id_plus_1 - 1);
  }
  *slot = i;
  return -1;
}

static void add_batch(wh_vocab *v, size_t first, size_t n) {
  uint64_t hashes[WH_VOCAB_BATCH];
  for (size_t i = 0; i < n; i++) {
    hashes[i] = XXH3_64bits(v->tokens[first + i].data, v->tokens[first + i].len);
    __builtin_prefetch(&v->slots[hashes[i] & v->mask], 1);
  }
  for (size_t i = 0; i < n; i++) {
    wh_str token = v->tokens[first + i];
    size_t slot;
    if (token.len == 0) continue; /* some files pad the table with empty texts: never found */
    if (find_hashed(v, token.data, token.len, hashes[i], &slot) >= 0) continue;
    v->slots[slot] = (struct wh_vocab_slot){(uint32_t)(hashes[i] >> 32), (uint32_t)(first + i) + 1};
  }
}

/* Control tokens that the file types as words become control tokens. */
static wh_status mend_types(wh_vocab *v) {
  for (const char *const *text = wh_facts_control_texts; *text; text++) {
    int32_t id = wh_vocab_find(v, *text, strlen(*text));
    if (id < 0 || wh_vocab_type(v, id) != WH_TOKEN_NORMAL) continue;
    if (!v->own_types) {
      v->own_types = wh_alloc_array(v->alloc, v->n_tokens, sizeof *v->own_types);
      if (!v->own_types) return WH_OOM("the token types");
      for (size_t i = 0; i < v->n_tokens; i++) v->own_types[i] = wh_vocab_type(v, (int32_t)i);
      v->token_types = v->own_types;
    }
    v->own_types[id] = WH_TOKEN_CONTROL;
  }
  return WH_OK;
}

wh_status wh_vocab_init(wh_vocab *v, const wh_tokenizer_spec *spec, const wh_allocator *alloc) {
  *v = (wh_vocab){
      .alloc = alloc, .n_tokens = spec->n_tokens, .tokens = spec->tokens, .token_types = spec->token_types};
  if (spec->n_tokens == 0) return WH_FAIL(ERR_CORRUPT, "the tokenizer has no tokens");
  if (spec->n_tokens > INT32_MAX / 4) return WH_FAIL(ERR_LIMIT, "%zu tokens are too many", spec->n_tokens);
  size_t n_slots = 16;
  while (n_slots - n_slots / 4 < spec->n_tokens) n_slots *= 2;
  v->mask = n_slots - 1;
  v->slots = wh_alloc_array(alloc, n_slots, sizeof *v->slots);
  if (!v->slots) return WH_OOM("the token table");
  for (size_t i = 0; i < spec->n_tokens; i++) {
    size_t n = spec->tokens[i].len;
    if (n > WH_TOKEN_BYTES_MAX)
      return WH_FAIL(ERR_LIMIT, "token %zu has %zu bytes, at most %d are supported", i, n,
                     WH_TOKEN_BYTES_MAX);
    if (n > v->token_bytes_max) v->token_bytes_max = n;
  }
  for (size_t i = 0; i < spec->n_tokens; i += WH_VOCAB_BATCH) {
    size_t left = spec->n_tokens - i;
    add_batch(v, i, left < WH_VOCAB_BATCH ? left : WH_VOCAB_BATCH);
  }
  return mend_types(v);
}

void wh_vocab_deinit(wh_vocab *v) {
  wh_free(v->alloc, v->slots);
  wh_free(v->alloc, v->own_types);
  v->slots = NULL;
  v->own_types = NULL;
}

int32_t wh_vocab_find(const wh_vocab *v, const char *text, size_t n) {
  size_t slot;
  if (n == 0 || n > v->token_bytes_max) return -1;
  return find_hashed(v, text, n, XXH3_64bits(text, n), &slot);
}

int32_t wh_vocab_find_plain(const wh_vocab *v, const char *text, size_t n) {
  int32_t id = wh_vocab_find(v, text, n);
  return id >= 0 && wh_vocab_is_plain(v, id) ? id : -1;
}

void wh_vocab_find_plain_batch(const wh_vocab *v, const wh_str *texts, size_t n, int32_t *ids) {
  uint64_t hashes[WH_VOCAB_BATCH];
  /* Each pass asks for what the next one reads: the slot, the token's entry, its text. */
  for (size_t i = 0; i < n; i++) {
    hashes[i] = XXH3_64bits(texts[i].data, texts[i].len);
    __builtin_prefetch(&v->slots[hashes[i] & v->mask]);
  }
  for (size_t i = 0; i < n; i++) {
    uint32_t id_plus_1 = v->slots[hashes[i] & v->mask].id_plus_1;
    ids[i] = id_plus_1 ? (int32_t)(id_plus_1 - 1) : 0;
    __builtin_prefetch(&v->tokens[ids[i]]);
    if (v->token_types) __builtin_prefetch(&v->token_types[ids[i]]);
  }
  for (size_t i = 0; i < n; i++) __builtin_prefetch(v->tokens[ids[i]].data);
  for (size_t i = 0; i < n; i++) {
    size_t slot;
    ids[i] = texts[i].len ? find_hashed(v, texts[i].data, texts[i].len, hashes[i], &slot) : -1;
    if (ids[i] >= 0 && !wh_vocab_is_plain(v, ids[i])) ids[i] = -1;
  }
}

void wh_vocab_find_bytes(const wh_vocab *v, int32_t ids[256]) {
  for (unsigned i = 0; i < 256; i++) {
    static const char hex[] = "0123456789ABCDEF";
    const char text[6] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
    ids[i] = wh_vocab_find(v, text, sizeof text);
  }
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int wh_token_text_to_byte(wh_str text) {
  if (text.len != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') return -1;
  int high = hex_digit(text.data[3]), low = hex_digit(text.data[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}
