/* memory.c - see memory.h. */
#define _GNU_SOURCE
#include "cli/memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t allocated;

/* In front of every block: what was asked for. The heap's own sizes count alignment slack that is never
 * touched. */
typedef struct block_header {
  void *base;
  size_t size;
} block_header;

static void *counting_alloc(void *ctx, size_t size, size_t align) {
  (void)ctx;
  if (align < _Alignof(block_header)) align = _Alignof(block_header);
  size_t extra = sizeof(block_header) + align - 1;
  if (size > SIZE_MAX - extra) return NULL;
  char *base = malloc(size + extra);
  if (!base) return NULL;
  char *p =
      base + extra - ((uintptr_t)base + extra) % align; /* the last aligned place that leaves `size` bytes */
  block_header header = {base, size};
  memcpy(p - sizeof header, &header, sizeof header);
  atomic_fetch_add(&allocated, size);
  return p;
}

static void counting_free(void *ctx, void *ptr) {
  (void)ctx;
  block_header header;
  memcpy(&header, (char *)ptr - sizeof header, sizeof header);
  atomic_fetch_sub(&allocated, header.size);
  free(header.base);
}

const wh_allocator *cli_allocator(void) {
  static const wh_allocator counting = {NULL, counting_alloc, counting_free};
  return &counting;
}

uint64_t cli_allocated(void) { return atomic_load(&allocated); }

uint64_t cli_process_bytes(void) {
  FILE *f = fopen("/proc/self/status", "re");
  unsigned long long kib = 0;
  char line[256];
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "RssAnon: %llu kB", &kib) == 1) break;
  if (f) fclose(f);
  return (uint64_t)kib * 1024;
}
