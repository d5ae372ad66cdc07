/* jinja_utf8.c - see jinja_utf8.h. */
#include "text/jinja_utf8.h"

#include <utf8proc.h>

bool wh_jinja_utf8_valid(wh_str s, size_t *bad_offset) {
  size_t pos = 0;
  while (pos < s.len) {
    utf8proc_int32_t c;
    size_t left = s.len - pos;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)s.data + pos, (utf8proc_ssize_t)(left < 4 ? left : 4), &c);
    if (n <= 0) {
      *bad_offset = pos;
      return false;
    }
    pos += (size_t)n;
  }
  return true;
}

int32_t wh_jinja_utf8_next(wh_str s, size_t *pos) {
  const unsigned char *p = (const unsigned char *)s.data + *pos;
  int n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  if ((size_t)n > s.len - *pos) n = 1; /* cannot happen in valid text */
  *pos += (size_t)n;
  switch (n) {
    case 1:
      return p[0];
    case 2:
      return (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    case 3:
      return (p[0] & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    default:
      return (p[0] & 0x07) << 18 | (p[1] & 0x3f) << 12 | (p[2] & 0x3f) << 6 | (p[3] & 0x3f);
  }
}

int32_t wh_jinja_utf8_before(wh_str s, size_t *pos) {
  size_t p = *pos - 1;
  while (p > 0 && ((unsigned char)s.data[p] & 0xc0) == 0x80) p--;
  *pos = p;
  return wh_jinja_utf8_next(s, &p);
}

size_t wh_jinja_utf8_encode(int32_t code_point, char out[4]) {
  return (size_t)utf8proc_encode_char(code_point, (utf8proc_uint8_t *)out);
}

size_t wh_jinja_utf8_count(wh_str s) {
  size_t n = 0;
  for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.data[i] & 0xc0) != 0x80;
  return n;
}

size_t wh_jinja_utf8_offset(wh_str s, size_t index) {
  size_t i = 0;
  for (; i < s.len; i++)
    if (((unsigned char)s.data[i] & 0xc0) != 0x80 && index-- == 0) break;
  return i;
}

bool wh_jinja_utf8_is_space(int32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool wh_jinja_utf8_is_printable(int32_t c) {
  if (c < 0x7f) return c >= 0x20;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

wh_str wh_jinja_utf8_strip_left(wh_str s) {
  size_t pos = 0;
  while (pos < s.len) {
    size_t next = pos;
    if (!wh_jinja_utf8_is_space(wh_jinja_utf8_next(s, &next))) break;
    pos = next;
  }
  return (wh_str){s.data + pos, s.len - pos};
}

wh_str wh_jinja_utf8_strip_right(wh_str s) {
  while (s.len) {
    size_t start = s.len;
    if (!wh_jinja_utf8_is_space(wh_jinja_utf8_before(s, &start))) break;
    s.len = start;
  }
  return s;
}
