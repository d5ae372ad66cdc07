/* base/str.h - borrowed byte strings. */
#ifndef WH_BASE_STR_H
#define WH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A view: not NUL-terminated, any bytes. Whoever hands it out says how long it lives. */
typedef struct wh_str {
  const char *data;
  size_t len;
} wh_str;

#define WH_STR_FMT                                                                         \
  "%.*s" /* printf: WH_STR_FMT, WH_STR_ARG(s); clipped so that a hostile name cannot flood \
          */
#define WH_STR_ARG(s) (int)((s).len < 128 ? (s).len : 128), (s).data

static inline wh_str wh_str_from(const char *z) { return (wh_str){z, z ? strlen(z) : 0}; }
static inline bool wh_str_equal(wh_str a, wh_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool wh_str_is(wh_str a, const char *z) { return wh_str_equal(a, wh_str_from(z)); }

#endif
