/* upload_ring.c - see upload_ring.h. */
#include "core/plan/upload_ring.h"

#include <string.h>

wh_status wh_upload_ring_open(const wh_backend *backend, void *dev, uint64_t room, const wh_allocator *alloc,
                              wh_upload_ring *out) {
  *out = (wh_upload_ring){.backend = backend, .dev = dev, .alloc = alloc, .room = room};
  return backend->queue_create(dev, &out->queue);
}

wh_status wh_upload_ring_memory(wh_upload_ring *r, void **out) {
  wh_buffer **pinned = &r->buffers[r->at].pinned;
  void **memory = &r->buffers[r->at].memory;
  if (!*memory) {
    const wh_status st = r->backend->buffer_create(r->dev, WH_MEMORY_HOST, r->room, pinned);
    if (st != WH_OK && st != WH_ERR_OUT_OF_MEMORY) return st;
    *memory = st == WH_OK ? r->backend->buffer_host(r->dev, *pinned)
                          : wh_alloc_uninit(r->alloc, (size_t)r->room, WH_ALIGN_SIMD);
    if (!*memory) return WH_OOM("weights on their way to the device");
    if (st != WH_OK) memset(*memory, 0, (size_t)r->room); /* gaps between weights are sent, too */
  }
  *out = *memory;
  return r->backend->wait(r->buffers[r->at].sent);
}

wh_status wh_upload_ring_send(wh_upload_ring *r, wh_buffer *dst, uint64_t to, uint64_t n) {
  WH_TRY(
      r->backend->upload(r->queue, dst, to, r->buffers[r->at].memory, n, NULL, 0, &r->buffers[r->at].sent));
  r->at = (r->at + 1) % WH_UPLOAD_RING_BUFFERS;
  return WH_OK;
}

typedef struct byte_copy {
  char *to;
  const char *from;
  uint64_t n;
} byte_copy;

static void copy_share(void *arg, int index, int count) {
  const byte_copy *c = arg;
  const uint64_t share = (c->n / (uint64_t)count + 64) / 64 * 64, begin = share * (uint64_t)index;
  if (begin < c->n) memcpy(c->to + begin, c->from + begin, c->n - begin < share ? c->n - begin : share);
}

void wh_parallel_copy(const wh_backend *backend, void *dev, void *to, const void *from, uint64_t n) {
  byte_copy job = {to, from, n};
  wh_backend_parallel(backend, dev, copy_share, &job);
}

wh_status wh_upload_ring_copy(wh_upload_ring *r, wh_buffer *dst, uint64_t to, const void *src, uint64_t n) {
  for (uint64_t done = 0; done < n;) {
    const uint64_t piece = n - done < r->room ? n - done : r->room;
    void *memory = NULL;
    WH_TRY(wh_upload_ring_memory(r, &memory));
    wh_parallel_copy(r->backend, r->dev, memory, (const char *)src + done, piece);
    WH_TRY(wh_upload_ring_send(r, dst, to + done, piece));
    done += piece;
  }
  return WH_OK;
}

wh_status wh_upload_ring_wait(wh_upload_ring *r) {
  for (unsigned i = 0; i < WH_UPLOAD_RING_BUFFERS; i++) WH_TRY(r->backend->wait(r->buffers[i].sent));
  return WH_OK;
}

void wh_upload_ring_close(wh_upload_ring *r) {
  if (!r->queue) return;
  r->backend->queue_destroy(r->queue);
  for (unsigned i = 0; i < WH_UPLOAD_RING_BUFFERS; i++) {
    if (!r->buffers[i].pinned) wh_free(r->alloc, r->buffers[i].memory);
    r->backend->buffer_destroy(r->dev, r->buffers[i].pinned);
  }
  *r = (wh_upload_ring){0};
}
