/* base/allocator.h - checked sizes and the only ways the library gets memory. */
#ifndef WH_BASE_ALLOCATOR_H
#define WH_BASE_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "whimbrel/allocator.h"

/* Overflow-checked arithmetic: false (and *out untouched) when the result does not fit. */
static inline bool wh_mul_size(size_t a, size_t b, size_t *out) {
  size_t r;
  if (__builtin_mul_overflow(a, b, &r)) return false;
  *out = r;
  return true;
}
static inline bool wh_add_size(size_t a, size_t b, size_t *out) {
  size_t r;
  if (__builtin_add_overflow(a, b, &r)) return false;
  *out = r;
  return true;
}
/* Rounds up to a power of two; false on overflow. */
static inline bool wh_align_size(size_t a, size_t align, size_t *out) {
  size_t r;
  if (__builtin_add_overflow(a, align - 1, &r)) return false;
  *out = r & ~(align - 1);
  return true;
}

#define WH_ALIGN_DEFAULT 16
#define WH_ALIGN_SIMD 64

/* A NULL allocator means wh_allocator_default(). All return NULL when out of memory or when n * size
 * overflows; the caller raises the error, since it knows what the memory was for. A zero size gives a valid
 * pointer. wh_free accepts NULL. */
void *wh_alloc_uninit(const wh_allocator *a, size_t size, size_t align);
void *wh_alloc_zeroed(const wh_allocator *a, size_t size);
void *wh_alloc_array(const wh_allocator *a, size_t n, size_t elem_size); /* zeroed */
char *wh_alloc_string(const wh_allocator *a, const char *s, size_t n);   /* copy + NUL */
void wh_free(const wh_allocator *a, void *ptr);

/* Grows *items (n_used kept, the rest undefined) to hold at least n_need; doubles. false when out of memory,
 * with *items untouched. */
bool wh_grow_array(const wh_allocator *a, void **items, size_t *capacity, size_t n_used, size_t n_need,
                   size_t elem_size);

/* Large buffers, contents undefined, backed by huge pages where the system grants them: 2 MiB-aligned and
 * rounded up to whole huge pages; small ones to 4 KiB. wh_huge_bytes tells what is really taken. */
#define WH_HUGE_PAGE_BYTES ((size_t)2 << 20)
void *wh_alloc_huge(const wh_allocator *a, size_t size);
size_t wh_huge_bytes(size_t size);

#define WH_OOM(what) WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %s", what)

#endif
