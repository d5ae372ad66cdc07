/* driver_memory.c - cuMem*: allocation, copies, fills. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/driver.h"
#include "backends/cuda/ptxemu/report.h"

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n);
EXPORT CUresult cuMemFree_v2(CUdeviceptr p);
EXPORT CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total);
EXPORT CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags);
EXPORT CUresult cuMemAllocHost_v2(void **p, size_t n);
EXPORT CUresult cuMemFreeHost(void *p);
EXPORT CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *d, void *p, unsigned flags);
EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t n);
EXPORT CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t n);
EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n);
EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t n, CUstream stream);
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t n, CUstream stream);
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream);
EXPORT CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                                  CUcontext from_context, size_t n, CUstream stream);
EXPORT CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n);
EXPORT CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n);
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream);
EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream stream);

/* ---- allocation ---- */

static CUresult allocate(uint64_t *p, size_t n, bool is_host) {
  if (!p || !n) return CUDA_ERROR_INVALID_VALUE;
  memory_device *d = &driver.memory[driver_device()];
  *p = memory_alloc(d, n, is_host);
  if (!*p) return CUDA_ERROR_OUT_OF_MEMORY;
  if (driver.options.sample) { /* what blocks leave that do not run: numbers that harm nobody */
    memset((void *)(uintptr_t)*p, 1, n);
    memory_mark_set(d, *p, n);
  }
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) {
  const CUresult r = driver_enter(CALL_ALLOCATES);
  if (r) return driver_leave(r);
  uint64_t at = 0;
  const CUresult result = allocate(p ? &at : NULL, n, false);
  if (!result) *p = at;
  return driver_leave(result);
}

static memory_device *holder(uint64_t at) {
  for (unsigned d = 0; d < driver.n_devices; d++)
    if (memory_holds(&driver.memory[d], at, 1)) return &driver.memory[d];
  return NULL;
}

/* Waits for all work first, as the real one does. */
static CUresult release(uint64_t at) {
  (void)driver_finish(-1);
  memory_device *d = holder(at);
  const memory_block *b = d ? memory_find(d, at) : NULL;
  if (b && b->is_free) report_add("double-free", "0x%llx was freed before", (unsigned long long)at);
  if (!b || b->is_free || b->at != at) return CUDA_ERROR_INVALID_VALUE;
  (void)memory_free(d, at);
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr p) {
  const CUresult r = driver_enter(CALL_DESTROYS);
  if (r || !p) return driver_leave(r);
  return driver_leave(release(p));
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!free_bytes || !total) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  const memory_device *d = &driver.memory[driver_device()];
  *total = d->limit;
  *free_bytes = d->limit - d->used;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags) {
  (void)flags;
  const CUresult r = driver_enter(CALL_ALLOCATES);
  if (r) return driver_leave(r);
  uint64_t at = 0;
  const CUresult result = allocate(p ? &at : NULL, n, true);
  if (!result) *p = (void *)(uintptr_t)at;
  return driver_leave(result);
}

CUresult cuMemAllocHost_v2(void **p, size_t n) { return cuMemHostAlloc(p, n, 0); }

CUresult cuMemFreeHost(void *p) {
  const CUresult r = driver_enter(CALL_DESTROYS);
  if (r) return driver_leave(r);
  return driver_leave(release((uint64_t)(uintptr_t)p));
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *d, void *p, unsigned flags) {
  (void)flags;
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  const memory_device *m = holder((uint64_t)(uintptr_t)p);
  if (!d || !m) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  *d = (uint64_t)(uintptr_t)p;
  return driver_leave(CUDA_SUCCESS);
}

/* ---- copies ---- */

static bool in_allocation(uint64_t at, size_t n) {
  const memory_device *d = holder(at);
  const memory_block *b = d ? memory_find(d, at) : NULL;
  return b && n <= b->size - (at - b->at);
}

typedef enum { SIDE_DEVICE, SIDE_HOST } side;

static CUresult push_copy(uint64_t to, side to_side, uint64_t from, side from_side, size_t n, CUstream stream,
                          bool waits) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (!n) return driver_leave(CUDA_SUCCESS);
  if ((to_side == SIDE_DEVICE && !in_allocation(to, n)) ||
      (from_side == SIDE_DEVICE && !in_allocation(from, n)) || !to || !from) {
    report_add("out-of-bounds", "a copy of %llu bytes from 0x%llx to 0x%llx goes beyond its allocation",
               (unsigned long long)n, (unsigned long long)from, (unsigned long long)to);
    return driver_leave(CUDA_ERROR_INVALID_VALUE);
  }
  work *w = stream_work(WORK_COPY);
  if (!w) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  w->to = to;
  w->from = from;
  w->n = n;
  const bool from_pageable = from_side == SIDE_HOST && !holder(from),
             to_pageable = to_side == SIDE_HOST && !holder(to);
  if (s->capture && (waits || from_pageable || to_pageable)) {
    work_free(w);
    return driver_leave(graph_invalidate(s->capture));
  }
  if (from_pageable && !waits) {
    w->staged = malloc(n);
    if (!w->staged) {
      work_free(w);
      return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    memcpy(w->staged, (const void *)(uintptr_t)from, n);
  }
  stream_push(s, w);
  return driver_leave(waits || to_pageable ? stream_finish(s) : CUDA_SUCCESS);
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t n) {
  return push_copy(to, SIDE_DEVICE, (uint64_t)(uintptr_t)from, SIDE_HOST, n, NULL, true);
}
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t n) {
  return push_copy((uint64_t)(uintptr_t)to, SIDE_HOST, from, SIDE_DEVICE, n, NULL, true);
}
CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n) {
  return push_copy(to, SIDE_DEVICE, from, SIDE_DEVICE, n, NULL, false);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t n, CUstream stream) {
  return push_copy(to, SIDE_DEVICE, (uint64_t)(uintptr_t)from, SIDE_HOST, n, stream, false);
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t n, CUstream stream) {
  return push_copy((uint64_t)(uintptr_t)to, SIDE_HOST, from, SIDE_DEVICE, n, stream, false);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream) {
  return push_copy(to, SIDE_DEVICE, from, SIDE_DEVICE, n, stream, false);
}
CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                           size_t n, CUstream stream) {
  if (!to_context || !from_context) return CUDA_ERROR_INVALID_CONTEXT;
  return push_copy(to, SIDE_DEVICE, from, SIDE_DEVICE, n, stream, false);
}

/* ---- fills ---- */

static CUresult push_set(CUdeviceptr to, unsigned value, unsigned width, size_t n, CUstream stream) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (!n) return driver_leave(CUDA_SUCCESS);
  if (n > SIZE_MAX / width || to % width || !in_allocation(to, n * width))
    return driver_leave(CUDA_ERROR_INVALID_VALUE);
  work *w = stream_work(WORK_SET);
  if (!w) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  w->to = to;
  w->n = n;
  w->value = value;
  w->width = width;
  stream_push(s, w);
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n) {
  return push_set(to, value, 1, n, NULL);
}
CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n) { return push_set(to, value, 4, n, NULL); }
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream) {
  return push_set(to, value, 1, n, stream);
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream stream) {
  return push_set(to, value, 4, n, stream);
}
