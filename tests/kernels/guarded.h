/* guarded.h - test buffers that end where an unmapped page begins, with a canary in front: reading or writing
 * past the end faults, writing before the start is seen when the buffer is released. */
#ifndef WH_TESTS_GUARDED_H
#define WH_TESTS_GUARDED_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARDED_CANARY 64

typedef struct guarded {
  unsigned char *map, *data;
  size_t map_bytes, bytes;
} guarded;

/* data is aligned to the largest power of two up to a page that divides `bytes`; filled with `fill`. */
static inline void *guarded_new(guarded *g, size_t bytes, int fill) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + GUARDED_CANARY + page - 1) / page * page;
  g->bytes = bytes;
  g->map_bytes = body + page;
  void *map = mmap(NULL, g->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED || mprotect((char *)map + body, page, PROT_NONE) != 0) abort();
  g->map = map;
  g->data = g->map + body - bytes;
  memset(g->data - GUARDED_CANARY, 0xa5, GUARDED_CANARY);
  memset(g->data, fill, bytes);
  return g->data;
}

/* Releases the buffer; whether its canary was intact. */
static inline int guarded_free(guarded *g) {
  int intact = 1;
  for (int i = 1; i <= GUARDED_CANARY; i++) intact &= g->data[-i] == 0xa5;
  (void)munmap(g->map, g->map_bytes);
  return intact;
}

#endif
