/* normalize.c - see normalize.h. utf8proc normalises; here text is cut into stretches that can be normalised
 * alone, so that what needs nothing (Latin-1 and below) costs a look at its bytes. */
#include "text/normalize.h"

#include <utf8proc.h>

#include "text/unicode.h"

static const struct {
  uint32_t first_unstable; /* characters below it neither change nor combine with one before them */
  size_t chars_per_byte;   /* what a character of that many bytes may become */
  int options;
} forms[] = {[WH_NFC] = {0x300, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE},
             [WH_NFD] = {0xc0, 2, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
             [WH_NFKC] = {0xa0, 6, UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE},
             [WH_NFKD] = {0xa0, 6, UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE}};

/* Where the next stretch that may change lies: from a stable character (the one that combines, or the start)
 * through all that are not. False when nothing from `pos` on may change. */
static bool find_unstable(uint32_t first_unstable, wh_str text, size_t pos, size_t *start, size_t *end) {
  const unsigned char *p = (const unsigned char *)text.data;
  size_t before = pos; /* of the last stable character */
  for (size_t i = pos; i < text.len;) {
    uint32_t cp;
    size_t n = wh_utf8_decode(p + i, text.len - i, &cp);
    if (n == 0 || cp < first_unstable) {
      before = n ? i : i + 1; /* nothing combines with bytes that are no character */
      i += n ? n : 1;
      continue;
    }
    *start = before;
    while (i < text.len && (n = wh_utf8_decode(p + i, text.len - i, &cp)) > 0 && cp >= first_unstable) i += n;
    *end = i;
    return true;
  }
  return false;
}

static int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

/* Sorts a run of combining characters by class, those of one class in their order. A run may be as long as
 * the text, so utf8proc's exchange of neighbours will not do. */
static void sort_marks(utf8proc_int32_t *run, size_t n, utf8proc_int32_t *scratch) {
  if (n <= 16) {
    for (size_t i = 1; i < n; i++) {
      utf8proc_int32_t c = run[i];
      size_t at = i;
      for (; at > 0 && combining_class(run[at - 1]) > combining_class(c); at--) run[at] = run[at - 1];
      run[at] = c;
    }
    return;
  }
  size_t place[257] = {0};
  for (size_t i = 0; i < n; i++) place[combining_class(run[i]) + 1]++;
  for (size_t c = 1; c < 257; c++) place[c] += place[c - 1];
  for (size_t i = 0; i < n; i++) scratch[place[combining_class(run[i])]++] = run[i];
  memcpy(run, scratch, n * sizeof *run);
}

static void sort_all_marks(utf8proc_int32_t *chars, size_t n, utf8proc_int32_t *scratch) {
  for (size_t i = 0; i < n;) {
    size_t end = i;
    while (end < n && combining_class(chars[end])) end++;
    if (end - i > 1) sort_marks(chars + i, end - i, scratch);
    i = end + 1;
  }
}

/* `chars` and `scratch` have room for chars_per_byte * n each. */
static wh_status compose(wh_normal_form form, const char *text, size_t n, utf8proc_int32_t *chars,
                         utf8proc_int32_t *scratch, wh_text_buffer *out) {
  const utf8proc_option_t options = (utf8proc_option_t)forms[form].options;
  utf8proc_ssize_t count = 0, room = (utf8proc_ssize_t)(forms[form].chars_per_byte * n);
  int boundary = 0;
  for (size_t i = 0; i < n;) {
    uint32_t cp = 0;
    i += wh_utf8_decode((const unsigned char *)text + i, n - i, &cp);
    utf8proc_ssize_t k =
        utf8proc_decompose_char((utf8proc_int32_t)cp, chars + count, room - count, options, &boundary);
    if (k < 0 || k > room - count) return WH_FAIL(ERR_INTERNAL, "U+%04X does not decompose", (unsigned)cp);
    count += k;
  }
  sort_all_marks(chars, (size_t)count, scratch);
  if (options & UTF8PROC_COMPOSE) count = utf8proc_normalize_utf32(chars, count, options);
  if (count < 0) return WH_FAIL(ERR_INTERNAL, "utf8proc: %s", utf8proc_errmsg(count));
  for (utf8proc_ssize_t i = 0; i < count; i++) {
    char bytes[4];
    wh_text_buffer_append(out, bytes, wh_utf8_encode((uint32_t)chars[i], bytes));
  }
  return WH_OK;
}

static wh_status normalize_stretch(wh_normal_form form, const char *text, size_t n, wh_text_buffer *out) {
  const size_t per_byte = forms[form].chars_per_byte;
  size_t bytes;
  if (n > INT32_MAX || !wh_mul_size(n, 2 * per_byte * sizeof(utf8proc_int32_t), &bytes))
    return WH_FAIL(ERR_LIMIT, "a text of %zu bytes is too long to normalise", n);
  utf8proc_int32_t *chars = wh_alloc_uninit(out->alloc, bytes, WH_ALIGN_DEFAULT);
  if (!chars) return WH_OOM("the normalised text");
  wh_status status = compose(form, text, n, chars, chars + per_byte * n, out);
  wh_free(out->alloc, chars);
  return status;
}

wh_status wh_normalize(wh_normal_form form, wh_str text, wh_text_buffer *out) {
  size_t done = 0, start, end;
  while (find_unstable(forms[form].first_unstable, text, done, &start, &end)) {
    wh_text_buffer_append(out, text.data + done, start - done);
    WH_TRY(normalize_stretch(form, text.data + start, end - start, out));
    done = end;
  }
  wh_text_buffer_append(out, text.data + done, text.len - done);
  return out->oom ? WH_OOM("the normalised text") : WH_OK;
}

wh_status wh_normalize_nfc(wh_str text, wh_text_buffer *buffer, wh_str *out) {
  size_t start, end;
  *out = text;
  if (!find_unstable(forms[WH_NFC].first_unstable, text, 0, &start, &end)) return WH_OK;
  wh_text_buffer_clear(buffer);
  WH_TRY(wh_normalize(WH_NFC, text, buffer));
  *out = (wh_str){buffer->data, buffer->len};
  return WH_OK;
}
