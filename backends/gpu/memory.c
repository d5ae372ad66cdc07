/* memory.c - buffers: the device's own memory, and pinned memory of the host. */
#include <string.h>

#include "backends/gpu/device.h"

#define SMALL_BYTES ((uint64_t)1 << 20)
#define LARGE_PAGE ((uint64_t)2 << 20) /* what the driver maps at a time */

uint64_t gpu_buffer_footprint(void *dev, wh_memory_kind kind, uint64_t n_bytes) {
  (void)dev;
  (void)kind;
  const uint64_t page = n_bytes < SMALL_BYTES ? WH_BUFFER_ALIGN : LARGE_PAGE;
  if (!n_bytes) return page;
  return n_bytes > UINT64_MAX - page ? UINT64_MAX : (n_bytes + page - 1) / page * page;
}

wh_status gpu_free_memory(void *dev, uint64_t *n_bytes) {
  const gpu_device *d = dev;
  size_t left = 0, total = 0;
  WH_TRY(gpu_enter(d));
  WH_TRY(gpu_check(d->api, d->api->memory_info(&left, &total), "asking for free memory"));
  *n_bytes = left;
  return WH_OK;
}

/* What was wanted, and what there is. */
static wh_status out_of_memory(const gpu_device *d, uint64_t n_bytes) {
  size_t left = 0, total = 0;
  if (d->api->memory_info(&left, &total) != GPU_SUCCESS)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %llu bytes on %s", (unsigned long long)n_bytes,
                   d->title);
  return WH_FAIL(ERR_OUT_OF_MEMORY,
                 "out of memory: %.1f MiB are needed at once on %s, of whose %.1f MiB %.1f are free",
                 (double)n_bytes / 0x1p20, d->title, (double)total / 0x1p20, (double)left / 0x1p20);
}

static wh_status take(const gpu_device *d, wh_memory_kind kind, wh_buffer *b, size_t room) {
  const gpu_api *api = d->api;
  if (kind == WH_MEMORY_HOST) {
    gpu_result r = api->host_alloc(&b->host, room, 0);
    if (r == GPU_OUT_OF_MEMORY)
      return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %zu bytes of pinned memory", room);
    WH_TRY(gpu_check(api, r, "taking pinned memory"));
    memset(b->host, 0, room);
    return gpu_check(api, api->host_address(&b->address, b->host, 0), "addressing pinned memory");
  }
  const gpu_result r = api->alloc(&b->address, room);
  if (r == GPU_OUT_OF_MEMORY) return out_of_memory(d, room);
  WH_TRY(gpu_check(api, r, "taking memory"));
  if (kind == WH_MEMORY_WEIGHTS) return WH_OK;
  WH_TRY(gpu_check(api, api->fill(b->address, 0, room, d->stream), "zeroing memory"));
  return gpu_check(api, api->stream_synchronize(d->stream), "zeroing memory");
}

static void give_back(const gpu_device *d, wh_buffer *b) {
  if (b->host)
    (void)d->api->host_release(b->host);
  else if (b->address)
    (void)d->api->release(b->address);
  wh_free(d->alloc, b);
}

wh_status gpu_buffer_create(void *dev, wh_memory_kind kind, uint64_t n_bytes, wh_buffer **out) {
  gpu_device *d = dev;
  const uint64_t room = n_bytes <= UINT64_MAX - WH_BUFFER_ALIGN
                            ? (n_bytes + !n_bytes + WH_BUFFER_ALIGN - 1) / WH_BUFFER_ALIGN * WH_BUFFER_ALIGN
                            : UINT64_MAX;
  WH_TRY(gpu_enter(d));
  if (room > SIZE_MAX / 2) return out_of_memory(d, n_bytes);
  wh_buffer *b = wh_alloc_zeroed(d->alloc, sizeof *b);
  if (!b) return WH_OOM("buffer");
  b->d = d;
  b->n_bytes = n_bytes;
  wh_status st = take(d, kind, b, (size_t)room);
  if (st != WH_OK) {
    give_back(d, b);
    return st;
  }
  *out = b;
  return WH_OK;
}

wh_status gpu_buffer_import(void *dev, const void *host, uint64_t n_bytes, wh_buffer **out) {
  (void)dev;
  (void)host;
  (void)n_bytes;
  (void)out;
  return WH_FAIL(ERR_UNSUPPORTED, "a GPU does not compute in the host's memory");
}

void gpu_buffer_destroy(void *dev, wh_buffer *b) {
  const gpu_device *d = dev;
  if (!b) return;
  const wh_error_record kept = *wh_last_error();
  (void)gpu_enter(d);
  give_back(d, b);
  wh_error_set(&kept);
}

void *gpu_buffer_host(void *dev, wh_buffer *b) {
  (void)dev;
  return b->host;
}

wh_status gpu_range(const wh_buffer *b, uint64_t at, uint64_t n_bytes) {
  if (at <= b->n_bytes && n_bytes <= b->n_bytes - at) return WH_OK;
  return WH_FAIL(ERR_INTERNAL, "bytes %llu to %llu of a buffer of %llu", (unsigned long long)at,
                 (unsigned long long)(at + n_bytes), (unsigned long long)b->n_bytes);
}
