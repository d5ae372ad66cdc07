/* text/unicode.h - UTF-8 and the byte alphabet of byte-level BPE. Pure functions; no memory. */
#ifndef WH_TEXT_UNICODE_H
#define WH_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1-4) of the well-formed character at p[0..n), n >= 1, with its code point in *out; 0 when the bytes
 * there are ill-formed (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing beyond U+10FFFF). */
static inline size_t wh_utf8_decode(const unsigned char *p, size_t n, uint32_t *out);

/* Can q[0..n), 1 <= n <= 3, begin a longer well-formed character? */
bool wh_utf8_is_prefix(const unsigned char *q, size_t n);

/* Bytes of the ill-formed stretch at p[0..n) that one U+FFFD stands for: the longest beginning of a character
 * ("maximal subpart"), at least 1. Call only where wh_utf8_decode gave 0. */
size_t wh_utf8_bad_length(const unsigned char *p, size_t n);

/* Writes a code point <= U+10FFFF; returns the number of bytes. */
size_t wh_utf8_encode(uint32_t cp, char out[4]);

/* Unicode's property White_Space. */
bool wh_is_white_space(uint32_t cp);

/* The longest well-formed beginning of p[0..n). */
size_t wh_utf8_valid_length(const unsigned char *p, size_t n);

/* Byte-level BPE writes each byte as one printable character (GPT-2, Radford et al. 2019): bytes that Latin-1
 * prints stand for themselves, the other 68 are U+0100, U+0101 ... in byte order. */
uint32_t wh_byte_to_char(unsigned char byte);
int wh_char_to_byte(uint32_t cp); /* -1: not in the alphabet */

#define WH_UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define WH_SPM_SPACE "\xe2\x96\x81"        /* U+2581, SentencePiece's visible space */
#define WH_SPM_SPACE_BYTES 3

static inline size_t wh_utf8_decode(const unsigned char *p, size_t n, uint32_t *out) {
  unsigned char a = p[0];
  if (a < 0x80) {
    *out = a;
    return 1;
  }
  if (a < 0xc2 || a > 0xf4) return 0;
  if (n < 2 || (p[1] & 0xc0) != 0x80) return 0;
  if (a < 0xe0) {
    *out = (uint32_t)(a & 0x1f) << 6 | (p[1] & 0x3f);
    return 2;
  }
  if (n < 3 || (p[2] & 0xc0) != 0x80) return 0;
  if (a < 0xf0) {
    uint32_t cp = (uint32_t)(a & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    if (cp < 0x800 || (cp >= 0xd800 && cp < 0xe000)) return 0;
    *out = cp;
    return 3;
  }
  if (n < 4 || (p[3] & 0xc0) != 0x80) return 0;
  uint32_t cp = (uint32_t)(a & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 |
                (p[3] & 0x3f);
  if (cp < 0x10000 || cp > 0x10ffff) return 0;
  *out = cp;
  return 4;
}

#endif
