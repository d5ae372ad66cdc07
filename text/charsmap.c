/* charsmap.c - see charsmap.h. What the units say is checked at each step: they come from a file. */
#include "text/charsmap.h"

#define TEXT_MAX 256 /* bytes that replace one character; Unicode has none of more than 54 */

static uint32_t read_u32(const char *p) {
  const unsigned char *b = (const unsigned char *)p;
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static wh_status check_texts(wh_str texts) {
  for (size_t at = 0; at < texts.len;) {
    const char *end = memchr(texts.data + at, '\0', texts.len - at);
    if (!end) return WH_FAIL(ERR_CORRUPT, "the precompiled charsmap ends within a text");
    const size_t n = (size_t)(end - (texts.data + at));
    if (n > TEXT_MAX)
      return WH_FAIL(ERR_CORRUPT, "the precompiled charsmap puts %zu bytes for a character", n);
    at += n + 1;
  }
  return WH_OK;
}

wh_status wh_charsmap_init(wh_charsmap *c, wh_str blob, const wh_allocator *alloc) {
  *c = (wh_charsmap){.alloc = alloc};
  if (blob.len == 0) return WH_OK;
  const size_t n_trie = blob.len < 4 ? SIZE_MAX : read_u32(blob.data);
  if (n_trie > blob.len - 4 || n_trie % 4 || n_trie == 0)
    return WH_FAIL(ERR_CORRUPT, "the precompiled charsmap of %zu bytes is truncated", blob.len);
  const wh_str texts = {blob.data + 4 + n_trie, blob.len - 4 - n_trie};
  WH_TRY(check_texts(texts));
  c->n_units = n_trie / 4;
  c->n_texts = texts.len;
  c->units = wh_alloc_array(alloc, c->n_units, sizeof *c->units);
  c->texts = wh_alloc_string(alloc, texts.data, texts.len);
  if (!c->units || !c->texts) return WH_OOM("the charsmap");
  for (size_t i = 0; i < c->n_units; i++) c->units[i] = read_u32(blob.data + 4 + 4 * i);
  return WH_OK;
}

void wh_charsmap_deinit(wh_charsmap *c) {
  wh_free(c->alloc, c->units);
  wh_free(c->alloc, c->texts);
  *c = (wh_charsmap){.alloc = c->alloc};
}

/* A unit: the byte that leads to it (bit 31: it is a value instead), where its children lie, whether one of
 * them is a value. */
static size_t offset_of(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 0x200) >> 6); }
static bool has_value(uint32_t unit) { return unit & 0x100; }
static bool is_of(uint32_t unit, unsigned char byte) { return (unit & 0x800000ff) == byte; }

size_t wh_charsmap_find(const wh_charsmap *c, wh_str text, bool longest, wh_str *replacement) {
  size_t n = 0;
  if (c->n_units == 0) return 0;
  size_t at = offset_of(c->units[0]);
  for (size_t i = 0; i < text.len && text.data[i] && (n == 0 || longest); i++) {
    const unsigned char byte = (unsigned char)text.data[i];
    at ^= byte;
    if (at >= c->n_units || !is_of(c->units[at], byte)) break;
    const uint32_t unit = c->units[at];
    at ^= offset_of(unit);
    if (at >= c->n_units) break;
    if (!has_value(unit)) continue;
    const size_t value = c->units[at] & 0x7fffffff;
    if (value >= c->n_texts) break;
    *replacement = wh_str_from(c->texts + value);
    n = i + 1;
  }
  return n;
}
