/* string.c - texts that a caller owns. In front of each stands the allocator that has its memory, so that one
 * function destroys them all. */
#include <stddef.h>

#include "api/api_internal.h"

typedef struct owned_text {
  const wh_allocator *alloc;
  char text[]; /* what the caller has */
} owned_text;

wh_status wh_string_give(wh_text_buffer *b, const char *what, char **out) {
  owned_text *t = b->oom ? NULL : wh_alloc_uninit(b->alloc, sizeof *t + b->len + 1, _Alignof(owned_text));
  if (!t) return WH_OOM(what);
  t->alloc = b->alloc;
  if (b->len) memcpy(t->text, b->data, b->len);
  t->text[b->len] = '\0';
  *out = t->text;
  return WH_OK;
}

void wh_string_destroy(char *text) {
  if (!text) return;
  void *t = text - offsetof(owned_text, text);
  wh_free(((const owned_text *)t)->alloc, t);
}
