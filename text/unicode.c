/* unicode.c - see unicode.h. */
#include "text/unicode.h"

bool wh_utf8_is_prefix(const unsigned char *q, size_t n) {
  unsigned char a = q[0];
  size_t len = a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a <= 0xf4 ? 4 : 0;
  if (n >= len) return false;
  if (n >= 2) {
    unsigned char low = a == 0xe0   ? 0xa0
                        : a == 0xf0 ? 0x90
                                    : 0x80,
                  high = a == 0xed   ? 0x9f
                         : a == 0xf4 ? 0x8f
                                     : 0xbf;
    if (q[1] < low || q[1] > high) return false;
  }
  return n < 3 || (q[2] & 0xc0) == 0x80;
}

size_t wh_utf8_bad_length(const unsigned char *p, size_t n) {
  size_t len = 1;
  if (!wh_utf8_is_prefix(p, 1)) return 1;
  while (len < n && len < 3 && wh_utf8_is_prefix(p, len + 1)) len++;
  return len;
}

size_t wh_utf8_encode(uint32_t cp, char out[4]) {
  if (cp < 0x80) {
    out[0] = (char)cp;
    return 1;
  }
  if (cp < 0x800) {
    out[0] = (char)(0xc0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 0x3f));
    return 2;
  }
  if (cp < 0x10000) {
    out[0] = (char)(0xe0 | cp >> 12);
    out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[2] = (char)(0x80 | (cp & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | cp >> 18);
  out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
  out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
  out[3] = (char)(0x80 | (cp & 0x3f));
  return 4;
}

bool wh_is_white_space(uint32_t cp) {
  return (cp >= 9 && cp <= 13) || cp == 32 || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
         (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
         cp == 0x3000;
}

size_t wh_utf8_valid_length(const unsigned char *p, size_t n) {
  size_t i = 0;
  while (i < n) {
    uint32_t cp;
    size_t len = wh_utf8_decode(p + i, n - i, &cp);
    if (len == 0) break;
    i += len;
  }
  return i;
}

static bool stands_for_itself(uint32_t c) {
  return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The others in byte order: 0x00-0x20, 0x7f-0xa0, 0xad. */
uint32_t wh_byte_to_char(unsigned char byte) {
  if (stands_for_itself(byte)) return byte;
  if (byte <= 0x20) return 0x100u + byte;
  if (byte == 0xad) return 0x143;
  return 0x100u + 33 + (byte - 0x7fu);
}

int wh_char_to_byte(uint32_t cp) {
  if (cp < 0x100) return stands_for_itself(cp) ? (int)cp : -1;
  if (cp <= 0x120) return (int)(cp - 0x100);
  if (cp <= 0x142) return (int)(cp - 0x121 + 0x7f);
  return cp == 0x143 ? 0xad : -1;
}
