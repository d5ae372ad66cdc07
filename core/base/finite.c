/* base/finite.c - see finite.h. */
#include "core/base/finite.h"

#include <stdint.h>
#include <string.h>

#define EXPONENT 0x7f800000u

bool wh_all_finite(const void *floats, size_t n) {
  enum { PIECE = 256 }; /* without a branch: the compiler takes several at once */
  const char *p = floats;
  for (size_t at = 0; at < n; at += PIECE) {
    const size_t end = n - at < PIECE ? n : at + PIECE;
    uint32_t bad = 0, bits;
    for (size_t i = at; i < end; i++) {
      memcpy(&bits, p + i * sizeof bits, sizeof bits);
      bad |= (uint32_t)((bits & EXPONENT) == EXPONENT);
    }
    if (bad) return false;
  }
  return true;
}
