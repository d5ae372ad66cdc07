/* memory.c - see memory.h. */
#define _GNU_SOURCE
#include "cli/memory.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t allocated, allocated_peak;

static void *counting_alloc(void *ctx, size_t size, size_t align) {
  (void)ctx;
  void *p = NULL;
  if (align < sizeof(void *)) align = sizeof(void *);
  if (posix_memalign(&p, align, size) != 0) return NULL;
  uint64_t now = atomic_fetch_add(&allocated, malloc_usable_size(p)) + malloc_usable_size(p);
  uint64_t peak = atomic_load(&allocated_peak);
  while (now > peak && !atomic_compare_exchange_weak(&allocated_peak, &peak, now)) {
  }
  return p;
}

static void counting_free(void *ctx, void *ptr) {
  (void)ctx;
  atomic_fetch_sub(&allocated, malloc_usable_size(ptr));
  free(ptr);
}

const wh_allocator *cli_allocator(void) {
  static const wh_allocator counting = {NULL, counting_alloc, counting_free};
  return &counting;
}

uint64_t cli_allocated_peak(void) { return atomic_load(&allocated_peak); }

uint64_t cli_process_bytes(void) {
  FILE *f = fopen("/proc/self/status", "re");
  unsigned long long kib = 0;
  char line[256];
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "RssAnon: %llu kB", &kib) == 1) break;
  if (f) fclose(f);
  return (uint64_t)kib * 1024;
}
