/* failing_allocator.h - an allocator for tests: counts what is live and fails the n-th request. Threads may
 * share it. */
#ifndef WH_TESTS_FAILING_ALLOCATOR_H
#define WH_TESTS_FAILING_ALLOCATOR_H

#include <stddef.h>

#include "whimbrel/allocator.h"

typedef struct failing_allocator {
  wh_allocator base;
  size_t fail_at; /* the request that fails, counted from 1; 0: none */
  size_t n_requests, n_live;
} failing_allocator;

static inline void *failing_alloc(void *ctx, size_t size, size_t align) {
  failing_allocator *a = ctx;
  if (__atomic_add_fetch(&a->n_requests, 1, __ATOMIC_RELAXED) == a->fail_at) return NULL;
  const wh_allocator *heap = wh_allocator_default();
  void *p = heap->alloc(heap->ctx, size, align);
  if (p) (void)__atomic_add_fetch(&a->n_live, 1, __ATOMIC_RELAXED);
  return p;
}

static inline void failing_free(void *ctx, void *ptr) {
  failing_allocator *a = ctx;
  (void)__atomic_sub_fetch(&a->n_live, 1, __ATOMIC_RELAXED);
  wh_allocator_default()->free(wh_allocator_default()->ctx, ptr);
}

/* `a` must not move afterwards. */
static inline const wh_allocator *failing_allocator_init(failing_allocator *a, size_t fail_at) {
  *a = (failing_allocator){{a, failing_alloc, failing_free}, fail_at, 0, 0};
  return &a->base;
}

#endif
