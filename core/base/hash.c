/* hash.c - the only file that knows xxHash. */
#include "core/base/hash.h"

#include <stdio.h>
#include <xxhash.h>

wh_hash128 wh_hash_bytes(const void *data, size_t n) {
  XXH128_hash_t h = XXH3_128bits(data, n);
  return (wh_hash128){h.low64, h.high64};
}

void wh_hash_format(wh_hash128 h, char out[WH_HASH_TEXT_BYTES]) {
  (void)snprintf(out, WH_HASH_TEXT_BYTES, "%016llx%016llx", (unsigned long long)h.high,
                 (unsigned long long)h.low);
}
