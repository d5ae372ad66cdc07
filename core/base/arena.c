/* arena.c - a list of blocks, each filled from the front. */
#include "core/base/arena.h"

#include <string.h>

struct wh_arena_block {
  wh_arena_block *next;
  size_t used, size; /* bytes of data[] */
  _Alignas(16) unsigned char data[];
};

void wh_arena_init(wh_arena *arena, const wh_allocator *alloc, size_t block_bytes) {
  arena->alloc = alloc;
  arena->head = NULL;
  arena->block_bytes = block_bytes ? block_bytes : (size_t)64 << 10;
}

void wh_arena_deinit(wh_arena *arena) {
  for (wh_arena_block *b = arena->head; b;) {
    wh_arena_block *next = b->next;
    wh_free(arena->alloc, b);
    b = next;
  }
  arena->head = NULL;
}

void *wh_arena_alloc(wh_arena *arena, size_t size) {
  if (!wh_align_size(size ? size : 1, 16, &size)) return NULL;
  wh_arena_block *b = arena->head;
  if (!b || b->size - b->used < size) {
    size_t want = size > arena->block_bytes ? size : arena->block_bytes, bytes;
    if (!wh_add_size(want, sizeof *b, &bytes)) return NULL;
    b = wh_alloc_uninit(arena->alloc, bytes, 16);
    if (!b) return NULL;
    b->used = 0;
    b->size = want;
    b->next = arena->head;
    arena->head = b;
  }
  void *p = b->data + b->used;
  b->used += size;
  memset(p, 0, size);
  return p;
}

void *wh_arena_array(wh_arena *arena, size_t n, size_t elem_size) {
  size_t bytes;
  return wh_mul_size(n, elem_size, &bytes) ? wh_arena_alloc(arena, bytes) : NULL;
}

char *wh_arena_string(wh_arena *arena, const char *s, size_t n) {
  size_t bytes;
  if (!wh_add_size(n, 1, &bytes)) return NULL;
  char *p = wh_arena_alloc(arena, bytes);
  if (p && n) memcpy(p, s, n);
  return p;
}
