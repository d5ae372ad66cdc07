/* base/arena.h - bump allocation for objects that live and die together (a graph, a template). */
#ifndef WH_BASE_ARENA_H
#define WH_BASE_ARENA_H

#include "core/base/allocator.h"

typedef struct wh_arena_block wh_arena_block;

/* Caller's storage; init, use, deinit. Not thread-safe. */
typedef struct wh_arena {
  const wh_allocator *alloc;
  wh_arena_block *head;
  size_t block_bytes;
} wh_arena;

void wh_arena_init(wh_arena *arena, const wh_allocator *alloc, size_t block_bytes); /* 0: 64 KiB */
void wh_arena_deinit(wh_arena *arena);                                              /* frees everything */
/* Zeroed memory aligned to 16, or NULL. */
void *wh_arena_alloc(wh_arena *arena, size_t size);
void *wh_arena_array(wh_arena *arena, size_t n, size_t elem_size);
char *wh_arena_string(wh_arena *arena, const char *s, size_t n); /* copy + NUL */

#endif
