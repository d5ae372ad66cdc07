/* text_buffer.c - see text_buffer.h. */
#include "core/base/text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void wh_text_buffer_init(wh_text_buffer *b, const wh_allocator *alloc) {
  *b = (wh_text_buffer){.alloc = alloc};
}

void wh_text_buffer_deinit(wh_text_buffer *b) {
  wh_free(b->alloc, b->data);
  *b = (wh_text_buffer){.alloc = b->alloc};
}

void wh_text_buffer_clear(wh_text_buffer *b) {
  b->len = 0;
  if (b->data) b->data[0] = '\0';
}

static bool reserve(wh_text_buffer *b, size_t extra) {
  size_t need;
  if (b->oom) return false;
  if (!wh_add_size(b->len, extra, &need) || !wh_add_size(need, 1, &need) ||
      !wh_grow_array(b->alloc, (void **)&b->data, &b->capacity, b->len, need, 1))
    b->oom = true;
  return !b->oom;
}

void wh_text_buffer_append(wh_text_buffer *b, const char *s, size_t n) {
  if (!reserve(b, n)) return;
  if (n) memcpy(b->data + b->len, s, n);
  b->len += n;
  b->data[b->len] = '\0';
}

void wh_text_buffer_puts(wh_text_buffer *b, const char *s) { wh_text_buffer_append(b, s, strlen(s)); }

void wh_text_buffer_printf(wh_text_buffer *b, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  if (n >= 0 && reserve(b, (size_t)n)) {
    (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    b->len += (size_t)n;
  }
  va_end(again);
}
