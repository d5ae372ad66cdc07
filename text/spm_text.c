/* spm_text.c - see spm_text.h. */
#include "text/spm_text.h"

#include "text/unicode.h"

/* What stands for the beginning of `text`, and how many bytes that is. */
static size_t next_part(const wh_spm_rules *r, wh_str text, wh_str *out) {
  uint32_t cp;
  size_t n = wh_charsmap_find(&r->charsmap, text, true, out);
  if (n) return n;
  if (r->charsmap.n_units == 0 && r->keeps_bad_bytes) { /* nothing changes up to a space */
    const char *space = memchr(text.data, ' ', text.len);
    n = !space ? text.len : space > text.data ? (size_t)(space - text.data) : 1;
  } else {
    n = wh_utf8_decode((const unsigned char *)text.data, text.len, &cp);
  }
  *out = n || r->keeps_bad_bytes ? (wh_str){text.data, n ? n : 1} : wh_str_from(WH_UTF8_REPLACEMENT);
  return n ? n : 1;
}

/* A part with its spaces written; without those at its beginning, if `drops_space`. */
static void put_part(wh_str part, bool drops_space, wh_text_buffer *out) {
  size_t i = 0;
  while (drops_space && i < part.len && part.data[i] == ' ') i++;
  while (i < part.len) {
    const char *space = memchr(part.data + i, ' ', part.len - i);
    const size_t end = space ? (size_t)(space - part.data) : part.len;
    wh_text_buffer_append(out, part.data + i, end - i);
    if (space) wh_text_buffer_append(out, WH_SPM_SPACE, WH_SPM_SPACE_BYTES);
    i = end + (space != NULL);
  }
}

static bool ends_with_space(const wh_text_buffer *b) {
  return b->len >= WH_SPM_SPACE_BYTES &&
         memcmp(b->data + b->len - WH_SPM_SPACE_BYTES, WH_SPM_SPACE, WH_SPM_SPACE_BYTES) == 0;
}

wh_status wh_spm_text(const wh_spm_rules *r, wh_str text, bool space_prefix, wh_text_buffer *out) {
  wh_str part = {"", 0};
  size_t at = 0, n;
  wh_text_buffer_clear(out);
  for (; r->removes_spaces && at < text.len; at += n) {
    n = next_part(r, (wh_str){text.data + at, text.len - at}, &part);
    if (!wh_str_is(part, " ")) break;
  }
  if (at == text.len) return WH_OK;
  if (space_prefix) wh_text_buffer_append(out, WH_SPM_SPACE, WH_SPM_SPACE_BYTES);
  for (bool after_space = r->removes_spaces; at < text.len; at += n) {
    n = next_part(r, (wh_str){text.data + at, text.len - at}, &part);
    const size_t before = out->len;
    put_part(part, after_space, out);
    if (out->len > before) after_space = r->removes_spaces && part.data[part.len - 1] == ' ';
  }
  while (r->removes_spaces && !out->oom && ends_with_space(out))
    out->data[out->len -= WH_SPM_SPACE_BYTES] = '\0';
  return out->oom ? WH_OOM("the normalised text") : WH_OK;
}
