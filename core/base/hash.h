/* base/hash.h - xxHash128 content hashes (XXH3, seed 0; https://github.com/Cyan4973/xxHash). */
#ifndef WH_BASE_HASH_H
#define WH_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wh_hash128 {
  uint64_t low, high;
} wh_hash128;

#define WH_HASH_TEXT_BYTES 33 /* 32 hex digits + NUL */

wh_hash128 wh_hash_bytes(const void *data, size_t n);
void wh_hash_format(wh_hash128 h, char out[WH_HASH_TEXT_BYTES]); /* canonical big-endian hex */
static inline bool wh_hash_equal(wh_hash128 a, wh_hash128 b) { return a.low == b.low && a.high == b.high; }

#endif
