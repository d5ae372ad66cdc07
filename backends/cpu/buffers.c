/* buffers.c - memory that the CPU device computes in: the host's. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "backends/cpu/cpu_internal.h"

/* What may grow is given whole huge pages from here on, in which its next sizes find room. */
#define LEAST_GROWING ((size_t)512 << 10)

static bool is_systems(const cpu_device *d) { return !d->alloc || d->alloc == wh_allocator_default(); }

/* What a buffer takes; SIZE_MAX: more than there can be. */
static size_t bytes_for(const cpu_device *d, wh_memory_kind kind, uint64_t n_bytes) {
  const bool grows = kind == WH_MEMORY_DEVICE && n_bytes >= LEAST_GROWING && is_systems(d);
  if (grows && n_bytes < WH_HUGE_PAGE_BYTES) return WH_HUGE_PAGE_BYTES;
  return n_bytes < SIZE_MAX ? wh_huge_bytes((size_t)n_bytes) : SIZE_MAX;
}

/* Addresses on the border of a huge page, if there is room for one. */
static char *map_aligned(size_t n_bytes, int protection) {
  const size_t room = n_bytes + (n_bytes < WH_HUGE_PAGE_BYTES ? 0 : WH_HUGE_PAGE_BYTES);
  char *p = mmap(NULL, room, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (room == n_bytes) return p;
  const size_t skip = (WH_HUGE_PAGE_BYTES - (uintptr_t)p % WH_HUGE_PAGE_BYTES) % WH_HUGE_PAGE_BYTES;
  if (skip) (void)munmap(p, skip);
  if (room - skip - n_bytes) (void)munmap(p + skip + n_bytes, room - skip - n_bytes);
  return p + skip;
}

/* Zero pages of the system, in huge pages where it grants them; none is there before it is touched. */
static void *map_pages(size_t n_bytes) {
  char *p = map_aligned(n_bytes, PROT_READ | PROT_WRITE);
  if (p && n_bytes >= WH_HUGE_PAGE_BYTES) (void)madvise(p, n_bytes, MADV_HUGEPAGE); /* a hint */
  return p;
}

static void take_pages(char *p, size_t n_bytes) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(p, n_bytes, MADV_POPULATE_WRITE) == 0) return;
#endif
  memset(p, 0, n_bytes);
}

typedef struct new_pages {
  char *data;
  size_t n_huge;
} new_pages;

static void take_part(void *arg, int index, int count) {
  const new_pages *x = arg;
  const size_t first = x->n_huge * (size_t)index / (size_t)count,
               end = x->n_huge * ((size_t)index + 1) / (size_t)count;
  if (first < end) take_pages(x->data + first * WH_HUGE_PAGE_BYTES, (end - first) * WH_HUGE_PAGE_BYTES);
}

/* Every page of new memory is taken now, none while running; the system clears them, for each worker its
 * part, where there are several huge ones. */
static void take_all_pages(void *dev, char *p, size_t n_bytes) {
  new_pages x = {p, n_bytes / WH_HUGE_PAGE_BYTES};
  if (x.n_huge > 1)
    wh_cpu_parallel(dev, take_part, &x);
  else
    take_pages(p, n_bytes);
}

static wh_status new_buffer(const cpu_device *d, uint64_t n_bytes, wh_buffer **out) {
  wh_buffer *b = wh_alloc_zeroed(d->alloc, sizeof *b);
  if (!b) return WH_OOM("buffer");
  b->n_bytes = n_bytes;
  *out = b;
  return WH_OK;
}

/* A pool takes its pages from the system, where zeros cost nothing until they are touched, and so does what
 * may grow in large pages; an allocator of the caller's own is what all memory comes from, though. */
wh_status wh_cpu_buffer_create(void *dev, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out) {
  cpu_device *d = dev;
  wh_buffer *b;
  const size_t bytes = bytes_for(d, kind, n_bytes);
  const bool may_grow = kind == WH_MEMORY_DEVICE && bytes >= WH_HUGE_PAGE_BYTES;
  const bool from_system = (kind == WH_MEMORY_POOL || may_grow) && is_systems(d);
  if (bytes > PTRDIFF_MAX - WH_HUGE_PAGE_BYTES) /* no object is larger */
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes", (unsigned long long)n_bytes);
  WH_TRY(new_buffer(d, n_bytes, &b));
  b->data = from_system ? map_pages(bytes) : wh_alloc_huge(d->alloc, (size_t)n_bytes);
  if (!b->data) {
    wh_free(d->alloc, b);
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes", (unsigned long long)n_bytes);
  }
  if (from_system) b->mapped_bytes = bytes;
  if (from_system && may_grow) take_all_pages(dev, b->data, bytes);
  if (!from_system && kind != WH_MEMORY_WEIGHTS) /* whose pages are taken by the threads that pack them */
    memset(b->data, 0, bytes);
  *out = b;
  return WH_OK;
}

/* The pages that there are move to addresses with more room: the system clears the new ones only. */
wh_status wh_cpu_buffer_grow(void *dev, wh_buffer *b, uint64_t n_bytes) {
  const size_t have = b->mapped_bytes, bytes = bytes_for(dev, WH_MEMORY_DEVICE, n_bytes);
  if (have < WH_HUGE_PAGE_BYTES) return WH_FAIL(ERR_UNSUPPORTED, "a buffer that is not the system's");
  if (bytes > PTRDIFF_MAX - WH_HUGE_PAGE_BYTES)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes", (unsigned long long)n_bytes);
  if (bytes <= have) {
    b->n_bytes = n_bytes;
    return WH_OK;
  }
  char *room = map_aligned(bytes, PROT_NONE);
  char *p = room ? mremap(b->data, have, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, room) : MAP_FAILED;
  if (p == MAP_FAILED) /* `room` may be gone, and another thread have its addresses: nothing is unmapped */
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes", (unsigned long long)n_bytes);
  take_all_pages(dev, p + have, bytes - have);
  *b = (wh_buffer){.data = p, .n_bytes = n_bytes, .mapped_bytes = bytes};
  return WH_OK;
}

wh_status wh_cpu_buffer_import(void *dev, const void *host, uint64_t n_bytes, wh_buffer **out) {
  wh_buffer *b;
  WH_TRY(new_buffer(dev, n_bytes, &b));
  b->data = (char *)(uintptr_t)host; /* kernels only read it: core binds it to constants and inputs */
  b->imported = true;
  *out = b;
  return WH_OK;
}

void wh_cpu_buffer_destroy(void *dev, wh_buffer *b) {
  cpu_device *d = dev;
  if (!b) return;
  if (b->mapped_bytes)
    (void)munmap(b->data, b->mapped_bytes);
  else if (!b->imported)
    wh_free(d->alloc, b->data);
  wh_free(d->alloc, b);
}

void *wh_cpu_buffer_host(void *dev, wh_buffer *buffer) {
  (void)dev;
  return buffer->data;
}

uint64_t wh_cpu_buffer_footprint(void *dev, wh_memory_kind kind, uint64_t n_bytes) {
  const size_t bytes = bytes_for(dev, kind, n_bytes);
  return bytes < SIZE_MAX ? bytes : UINT64_MAX;
}
