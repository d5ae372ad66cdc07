/* memory.c - a bump allocator over reserved address space; gaps between allocations belong to nobody. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "backends/cuda/ptxemu/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 512, GAP = 256, POISON = 0xff };

static void *reserve(uint64_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

bool memory_open(memory_device *d, uint64_t size) {
  *d = (memory_device){.size = size, .limit = size, .top = ALIGN};
  d->base = reserve(size);
  d->state = reserve(size);
  d->cells = reserve(size / 4 * sizeof *d->cells);
  if (d->base && d->state && d->cells) return true;
  memory_close(d);
  return false;
}

void memory_close(memory_device *d) {
  if (d->base) (void)munmap(d->base, d->size);
  if (d->state) (void)munmap(d->state, d->size);
  if (d->cells) (void)munmap(d->cells, d->size / 4 * sizeof *d->cells);
  free(d->blocks);
  *d = (memory_device){0};
}

/* The first run of freed blocks that is large enough becomes one block. */
static memory_block *reuse(memory_device *d, uint64_t room) {
  for (size_t i = 0; i < d->n_blocks; i++) {
    size_t j = i;
    uint64_t end = d->blocks[i].at;
    for (; j < d->n_blocks && d->blocks[j].is_free && end - d->blocks[i].at < room; j++)
      end = j + 1 < d->n_blocks ? d->blocks[j + 1].at : (uint64_t)(uintptr_t)d->base + d->top;
    if (j == i || end - d->blocks[i].at < room) continue;
    memset(d->state + (d->blocks[i].at - (uint64_t)(uintptr_t)d->base), BYTE_OUTSIDE, end - d->blocks[i].at);
    memmove(&d->blocks[i + 1], &d->blocks[j], (d->n_blocks - j) * sizeof *d->blocks);
    d->n_blocks -= j - i - 1;
    return &d->blocks[i];
  }
  return NULL;
}

/* Of address space that was never used: all zero. */
static memory_block *bump(memory_device *d, uint64_t room) {
  if (room > d->size - d->top) return NULL;
  if (d->n_blocks == d->cap_blocks) {
    const size_t more = d->cap_blocks ? 2 * d->cap_blocks : 64;
    memory_block *grown = realloc(d->blocks, more * sizeof *grown);
    if (!grown) return NULL;
    d->blocks = grown;
    d->cap_blocks = more;
  }
  memory_block *b = &d->blocks[d->n_blocks++];
  b->at = (uint64_t)(uintptr_t)d->base + d->top;
  d->top += room;
  return b;
}

uint64_t memory_alloc(memory_device *d, uint64_t n_bytes, bool is_host) {
  if (!n_bytes || n_bytes > d->size || (!is_host && d->used + n_bytes > d->limit)) return 0;
  const uint64_t room = (n_bytes + GAP + ALIGN - 1) / ALIGN * ALIGN;
  memory_block *b = bump(d, room);
  const bool is_fresh = b != NULL;
  if (!b) b = reuse(d, room);
  if (!b) return 0;
  b->size = n_bytes;
  b->is_free = false;
  b->is_host = is_host;
  const uint64_t offset = b->at - (uint64_t)(uintptr_t)d->base;
  memset(d->base + offset, POISON, n_bytes);
  memset(d->state + offset, is_host ? BYTE_SET : BYTE_UNSET, n_bytes);
  if (!is_fresh) memset(d->cells + offset / 4, 0, (n_bytes + 3) / 4 * sizeof *d->cells);
  if (!is_host) d->used += n_bytes;
  return b->at;
}

static memory_block *find(const memory_device *d, uint64_t at) {
  size_t low = 0, high = d->n_blocks;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (d->blocks[middle].at <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low && at - d->blocks[low - 1].at < d->blocks[low - 1].size ? &d->blocks[low - 1] : NULL;
}

const memory_block *memory_find(const memory_device *d, uint64_t at) { return find(d, at); }

bool memory_free(memory_device *d, uint64_t at) {
  memory_block *b = find(d, at);
  if (!b || b->at != at || b->is_free) return false;
  const uint64_t offset = at - (uint64_t)(uintptr_t)d->base;
  memset(d->base + offset, POISON, b->size);
  memset(d->state + offset, BYTE_FREED, b->size);
  b->is_free = true;
  if (!b->is_host) d->used -= b->size;
  return true;
}

size_t memory_live(const memory_device *d, uint64_t *bytes) {
  size_t n = 0;
  *bytes = 0;
  for (size_t i = 0; i < d->n_blocks; i++)
    if (!d->blocks[i].is_free) {
      n++;
      *bytes += d->blocks[i].size;
    }
  return n;
}

memory_byte memory_state(const memory_device *d, uint64_t at, uint64_t n) {
  const uint8_t *s = d->state + (at - (uint64_t)(uintptr_t)d->base);
  bool unset = false, freed = false;
  for (uint64_t i = 0; i < n; i++) {
    if (s[i] == BYTE_OUTSIDE) return BYTE_OUTSIDE;
    unset |= s[i] == BYTE_UNSET;
    freed |= s[i] == BYTE_FREED;
  }
  return freed ? BYTE_FREED : unset ? BYTE_UNSET : BYTE_SET;
}

void memory_mark_set(memory_device *d, uint64_t at, uint64_t n) {
  memset(d->state + (at - (uint64_t)(uintptr_t)d->base), BYTE_SET, n);
}
