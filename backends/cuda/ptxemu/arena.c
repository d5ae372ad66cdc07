/* arena.c - chunks in a list; a large request has a chunk of its own. */
#include "backends/cuda/ptxemu/arena.h"

#include <stdint.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 1 << 16, ALIGN = 16 };

struct ptx_arena_chunk {
  ptx_arena_chunk *before;
  size_t used, size;
  _Alignas(ALIGN) unsigned char bytes[];
};

void *ptx_arena_alloc(ptx_arena *a, size_t n_bytes) {
  if (n_bytes > SIZE_MAX / 2) return NULL;
  n_bytes = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
  ptx_arena_chunk *c = a->last;
  if (!c || c->size - c->used < n_bytes) {
    const size_t size = n_bytes > CHUNK_BYTES ? n_bytes : CHUNK_BYTES;
    c = calloc(1, sizeof *c + size);
    if (!c) return NULL;
    c->size = size;
    c->before = a->last;
    a->last = c;
  }
  void *p = c->bytes + c->used;
  c->used += n_bytes;
  return p;
}

void ptx_arena_free(ptx_arena *a) {
  while (a->last) {
    ptx_arena_chunk *before = a->last->before;
    free(a->last);
    a->last = before;
  }
}
