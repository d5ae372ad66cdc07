/* allocator.c - the process heap behind wh_allocator, and the helpers every layer allocates through. */
#define _GNU_SOURCE
#include "core/base/allocator.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *heap_alloc(void *ctx, size_t size, size_t align) {
  (void)ctx;
  void *p = NULL;
  if (align < sizeof(void *)) align = sizeof(void *);
  return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void heap_free(void *ctx, void *ptr) {
  (void)ctx;
  free(ptr);
}

static const wh_allocator wh_heap = {NULL, heap_alloc, heap_free};

const wh_allocator *wh_allocator_default(void) { return &wh_heap; }

void *wh_alloc_uninit(const wh_allocator *a, size_t size, size_t align) {
  if (!a) a = &wh_heap;
  return a->alloc(a->ctx, size ? size : 1, align);
}

void *wh_alloc_zeroed(const wh_allocator *a, size_t size) {
  void *p = wh_alloc_uninit(a, size, WH_ALIGN_DEFAULT);
  if (p) memset(p, 0, size ? size : 1);
  return p;
}

void *wh_alloc_array(const wh_allocator *a, size_t n, size_t elem_size) {
  size_t bytes;
  if (!wh_mul_size(n, elem_size, &bytes)) return NULL;
  return wh_alloc_zeroed(a, bytes);
}

char *wh_alloc_string(const wh_allocator *a, const char *s, size_t n) {
  size_t bytes;
  if (!wh_add_size(n, 1, &bytes)) return NULL;
  char *p = wh_alloc_uninit(a, bytes, 1);
  if (!p) return NULL;
  if (n) memcpy(p, s, n);
  p[n] = '\0';
  return p;
}

void wh_free(const wh_allocator *a, void *ptr) {
  if (!ptr) return;
  if (!a) a = &wh_heap;
  a->free(a->ctx, ptr);
}

bool wh_grow_array(const wh_allocator *a, void **items, size_t *capacity, size_t n_used, size_t n_need,
                   size_t elem_size) {
  if (n_need <= *capacity) return true;
  size_t cap = *capacity ? *capacity : 8, bytes;
  while (cap < n_need)
    if (!wh_mul_size(cap, 2, &cap)) return false;
  if (!wh_mul_size(cap, elem_size, &bytes)) return false;
  void *p = wh_alloc_uninit(a, bytes, WH_ALIGN_DEFAULT);
  if (!p) return false;
  if (n_used) memcpy(p, *items, n_used * elem_size);
  wh_free(a, *items);
  *items = p;
  *capacity = cap;
  return true;
}

size_t wh_huge_bytes(size_t size) {
  size_t r, unit = size < WH_HUGE_PAGE_BYTES ? (size_t)4096 : WH_HUGE_PAGE_BYTES;
  return wh_align_size(size ? size : 1, unit, &r) ? r : SIZE_MAX;
}

void *wh_alloc_huge(const wh_allocator *a, size_t size) {
  size_t bytes = wh_huge_bytes(size);
  if (bytes == SIZE_MAX) return NULL;
  if (bytes < WH_HUGE_PAGE_BYTES) return wh_alloc_uninit(a, bytes, 4096);
  void *p = wh_alloc_uninit(a, bytes, WH_HUGE_PAGE_BYTES);
  if (p) (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint */
  return p;
}
