/* arena.h - memory that ends all at once. Alloc gives zeroed memory, or NULL. */
#ifndef PTXEMU_ARENA_H
#define PTXEMU_ARENA_H

#include <stddef.h>

typedef struct ptx_arena_chunk ptx_arena_chunk;
typedef struct {
  ptx_arena_chunk *last;
} ptx_arena;

void *ptx_arena_alloc(ptx_arena *a, size_t n_bytes);
void ptx_arena_free(ptx_arena *a);

#endif
