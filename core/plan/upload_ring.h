/* plan/upload_ring.h - bytes on their way to a device whose memory the host cannot address: they are written
 * into one buffer while the device fetches the other. */
#ifndef WH_PLAN_UPLOAD_RING_H
#define WH_PLAN_UPLOAD_RING_H

#include "core/backend_abi.h"

#define WH_UPLOAD_RING_BUFFERS 2

typedef struct wh_upload_ring {
  const wh_backend *backend;
  void *dev;
  const wh_allocator *alloc;
  wh_queue *queue;
  uint64_t room; /* of a buffer */
  struct {
    wh_buffer *pinned;
    void *memory; /* its address; or pageable memory, where the system has no other */
    wh_point sent;
  } buffers[WH_UPLOAD_RING_BUFFERS];
  unsigned at; /* the one that is written */
} wh_upload_ring;

/* Buffers of `room` bytes are taken when they are first written. */
WH_NODISCARD wh_status wh_upload_ring_open(const wh_backend *backend, void *dev, uint64_t room,
                                           const wh_allocator *alloc, wh_upload_ring *out);
/* Memory for up to `room` bytes: nothing is on its way from there any more. The same until `send`. */
WH_NODISCARD wh_status wh_upload_ring_memory(wh_upload_ring *ring, void **out);
/* Its first n bytes go to `dst`. */
WH_NODISCARD wh_status wh_upload_ring_send(wh_upload_ring *ring, wh_buffer *dst, uint64_t to, uint64_t n);
/* Any bytes of the host, in pieces that the device's threads copy. Nothing else is being written. */
WH_NODISCARD wh_status wh_upload_ring_copy(wh_upload_ring *ring, wh_buffer *dst, uint64_t to, const void *src,
                                           uint64_t n);
/* Until all that was sent is there. */
WH_NODISCARD wh_status wh_upload_ring_wait(wh_upload_ring *ring);
/* memcpy on the device's threads. */
void wh_parallel_copy(const wh_backend *backend, void *dev, void *to, const void *from, uint64_t n);
void wh_upload_ring_close(wh_upload_ring *ring); /* waits for its queue; a zeroed one is fine */

#endif
