/* base/text_buffer.h - a growable byte string: printing graphs, rendering templates, building errors. */
#ifndef WH_BASE_TEXT_BUFFER_H
#define WH_BASE_TEXT_BUFFER_H

#include "core/base/allocator.h"

/* `data` is NUL-terminated whenever it is not NULL. After a failed append `oom` stays set and further appends
 * do nothing, so that a printer can check once at its end. */
struct wh_text_buffer {
  const wh_allocator *alloc;
  char *data;
  size_t len, capacity;
  bool oom;
};
typedef struct wh_text_buffer wh_text_buffer;

void wh_text_buffer_init(wh_text_buffer *b, const wh_allocator *alloc);
void wh_text_buffer_deinit(wh_text_buffer *b);
void wh_text_buffer_clear(wh_text_buffer *b); /* keeps the capacity */
void wh_text_buffer_append(wh_text_buffer *b, const char *s, size_t n);
void wh_text_buffer_puts(wh_text_buffer *b, const char *s);
void wh_text_buffer_printf(wh_text_buffer *b, const char *fmt, ...) WH_PRINTF(2, 3);

#endif
