/* queue.c - a queue is a stream; a point of it is an event behind the work that was given up to then. */
#include <string.h>

#include "backends/gpu/device.h"

/* Events that a queue has: a point so old that its event was used again is waited for by a later one. */
#define N_EVENTS 16

struct wh_queue {
  gpu_emit emit;
  pthread_mutex_t lock;
  void *events[N_EVENTS];
  gpu_graphs graphs;
  gpu_operand *operands; /* of the steps that are being given */
  size_t n_operands;
  uint64_t given;           /* value of the last point */
  _Atomic uint64_t reached; /* known to be */
  bool failed;              /* nothing runs any more */
  wh_error_record error;
};

static const gpu_api *api_of(const wh_queue *q) { return q->emit.d->api; }

/* ---- queues ---- */

static wh_status init_queue(wh_queue *q) {
  const gpu_api *api = api_of(q);
  WH_TRY(gpu_enter(q->emit.d));
  WH_TRY(gpu_check(api, api->stream_create(&q->emit.stream, GPU_STREAM_NON_BLOCKING), "making a stream"));
  for (int i = 0; i < N_EVENTS; i++)
    WH_TRY(gpu_check(api, api->event_create(&q->events[i], GPU_EVENT_NO_TIMES), "making an event"));
  return WH_OK;
}

wh_status gpu_queue_create(void *dev, wh_queue **out) {
  gpu_device *d = dev;
  wh_queue *q = wh_alloc_zeroed(d->alloc, sizeof *q);
  if (!q) return WH_OOM("queue");
  q->emit.d = d;
  q->graphs.off = d->no_graphs;
  (void)pthread_mutex_init(&q->lock, NULL);
  wh_status st = init_queue(q);
  if (st != WH_OK) {
    gpu_queue_destroy(q);
    return st;
  }
  *out = q;
  return WH_OK;
}

void gpu_queue_destroy(wh_queue *q) {
  if (!q) return;
  const gpu_api *api = api_of(q);
  const wh_error_record kept = *wh_last_error();
  (void)gpu_enter(q->emit.d);
  if (q->emit.stream) (void)api->stream_synchronize(q->emit.stream); /* its error is nobody's */
  gpu_graphs_clear(q->emit.d, &q->graphs);
  for (int i = 0; i < N_EVENTS; i++)
    if (q->events[i]) (void)api->event_destroy(q->events[i]);
  if (q->emit.stream) (void)api->stream_destroy(q->emit.stream);
  wh_free(q->emit.d->alloc, q->operands);
  (void)pthread_mutex_destroy(&q->lock);
  wh_free(q->emit.d->alloc, q);
  wh_error_set(&kept);
}

/* ---- giving work: all locked ---- */

/* The error that is the thread's last one ends the queue. */
static wh_status end_queue(wh_queue *q) {
  if (!q->failed) q->error = *wh_last_error();
  q->failed = true;
  return q->error.status;
}

static wh_status wait_for(wh_queue *q, const wh_point *waits, size_t n_waits) {
  const gpu_api *api = api_of(q);
  for (size_t i = 0; i < n_waits; i++) {
    wh_queue *other = waits[i].queue;
    if (!other || other == q || waits[i].value <= atomic_load(&other->reached)) continue;
    WH_TRY(gpu_check(api, api->stream_wait(q->emit.stream, other->events[waits[i].value % N_EVENTS], 0),
                     "waiting for another queue"));
  }
  return WH_OK;
}

/* The calling thread may give work that follows what it waits for. */
static wh_status begin(wh_queue *q, const wh_point *waits, size_t n_waits) {
  (void)pthread_mutex_lock(&q->lock);
  if (q->failed) {
    wh_error_set(&q->error);
    return q->error.status;
  }
  WH_TRY(gpu_enter(q->emit.d));
  return wait_for(q, waits, n_waits);
}

/* What was given gets its point. */
static wh_status end(wh_queue *q, wh_status st, wh_point *done) {
  if (st == WH_OK) {
    const uint64_t value = q->given + 1;
    const gpu_api *api = api_of(q);
    st = gpu_check(api, api->event_record(q->events[value % N_EVENTS], q->emit.stream), "recording an event");
    if (st != WH_OK) (void)end_queue(q);
    if (st == WH_OK) q->given = value;
    if (st == WH_OK && done) *done = (wh_point){q, value};
  }
  (void)pthread_mutex_unlock(&q->lock);
  return st;
}

static wh_status give_steps(wh_queue *q, const wh_code *code, size_t first, size_t count,
                            const wh_frame *frame) {
  uint64_t fault = 0;
  if (code->most_operands > q->n_operands) { /* the first time */
    gpu_operand *more = wh_alloc_array(q->emit.d->alloc, code->most_operands, sizeof *more);
    if (!more) return WH_OOM("operands");
    wh_free(q->emit.d->alloc, q->operands);
    q->operands = more;
    q->n_operands = code->most_operands;
  }
  if (frame->fault != WH_NO_SLOT)
    WH_TRY(gpu_resolve_slot(frame, frame->fault, sizeof(wh_fault), "fault", &fault));
  for (size_t i = first, n = 0; i < first + count; i += n)
    WH_TRY(gpu_emit_steps(&q->emit, code, i, first + count, frame, fault, q->operands, &n));
  return WH_OK;
}

/* A driver that cannot record does not do so again; steps are then launched one by one. */
static void *record_steps(wh_queue *q, const wh_code *code, size_t first, size_t count,
                          const wh_frame *frame) {
  const wh_error_record kept = *wh_last_error();
  void *exec = NULL;
  wh_status st = gpu_capture_begin(&q->emit);
  if (st == WH_OK) st = gpu_capture_end(&q->emit, give_steps(q, code, first, count, frame), &exec);
  if (st == WH_OK) return exec;
  q->graphs.off = true;
  wh_error_set(&kept);
  return NULL;
}

/* What is submitted once more is recorded, and what was recorded is launched. */
static wh_status run_steps(wh_queue *q, const wh_code *code, size_t first, size_t count,
                           const wh_frame *frame) {
  gpu_graph *g = count > 1 ? gpu_graphs_find(q->emit.d, &q->graphs, code, first, count, frame) : NULL;
  if (g && g->again && !g->exec) g->exec = record_steps(q, code, first, count, frame);
  if (!g || !g->exec) return give_steps(q, code, first, count, frame);
  return gpu_check(api_of(q), api_of(q)->graph_launch(g->exec, q->emit.stream), "launching a graph");
}

wh_status gpu_submit(wh_queue *q, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                     const wh_point *waits, size_t n_waits, wh_point *done) {
  if (first > code->block.n_steps || count > code->block.n_steps - first)
    return WH_FAIL(ERR_INTERNAL, "steps %zu to %zu of a block of %zu", first, first + count,
                   code->block.n_steps);
  wh_status st = begin(q, waits, n_waits);
  if (st == WH_OK) {
    st = run_steps(q, code, first, count, frame);
    if (st != WH_OK) (void)end_queue(q); /* some of it runs */
  }
  return end(q, st, done);
}

/* ---- copies ---- */

wh_status gpu_upload(wh_queue *q, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                     const wh_point *waits, size_t n_waits, wh_point *done) {
  const gpu_api *api = api_of(q);
  WH_TRY(gpu_range(dst, to, n_bytes));
  wh_status st = begin(q, waits, n_waits);
  if (st == WH_OK && n_bytes)
    st = gpu_check(api, api->upload(dst->address + to, src, (size_t)n_bytes, q->emit.stream), "an upload");
  return end(q, st, done);
}

wh_status gpu_download(wh_queue *q, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                       const wh_point *waits, size_t n_waits, wh_point *done) {
  const gpu_api *api = api_of(q);
  WH_TRY(gpu_range(src, from, n_bytes));
  wh_status st = begin(q, waits, n_waits);
  if (st == WH_OK && n_bytes)
    st = gpu_check(api, api->download(dst, src->address + from, (size_t)n_bytes, q->emit.stream),
                   "a download");
  return end(q, st, done);
}

/* The way between two devices is asked for once; without one the driver takes copies through the host. */
static wh_status copy_from_peer(wh_queue *q, const wh_buffer *dst, uint64_t to, const wh_buffer *src,
                                uint64_t from, uint64_t n_bytes) {
  const gpu_api *api = api_of(q);
  const uint64_t bit = (uint64_t)1 << (src->d->device & 63);
  if (src->d->api != api)
    return WH_FAIL(ERR_UNSUPPORTED, "%s: devices of two drivers do not work together", api->name);
  if (!n_bytes) return WH_OK;
  if (api->peer_enable && !(atomic_fetch_or(&q->emit.d->peers, bit) & bit))
    (void)api->peer_enable(src->d->context, 0);
  return gpu_check(api,
                   api->copy_peer(dst->address + to, dst->d->context, src->address + from, src->d->context,
                                  (size_t)n_bytes, q->emit.stream),
                   "a copy between devices");
}

wh_status gpu_copy(wh_queue *q, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                   const wh_point *waits, size_t n_waits, wh_point *done) {
  WH_TRY(gpu_range(dst, to, n_bytes));
  WH_TRY(gpu_range(src, from, n_bytes));
  wh_status st = begin(q, waits, n_waits);
  if (st == WH_OK && src->d != dst->d) {
    st = copy_from_peer(q, dst, to, src, from, n_bytes);
    if (st != WH_OK) (void)end_queue(q);
  } else if (st == WH_OK) {
    st = gpu_move(&q->emit, dst->address + to, src->address + from, n_bytes);
  }
  return end(q, st, done);
}

/* ---- what emit functions call ---- */

wh_status gpu_launch(gpu_emit *e, gpu_kernel kernel, gpu_grid grid, const void *args, size_t n_bytes) {
  enum { MOST_ARGUMENT_BYTES = 4096, MOST_THREADS = 1024, MOST_BLOCKS_YZ = 65535 };
  void *function = NULL, *parameters[1] = {(void *)(uintptr_t)args}; /* the driver only reads it */
  if (!grid.x || !grid.y || !grid.z || !grid.threads) return WH_OK;
  if (n_bytes > MOST_ARGUMENT_BYTES || grid.threads > MOST_THREADS || grid.x > INT32_MAX ||
      grid.y > MOST_BLOCKS_YZ || grid.z > MOST_BLOCKS_YZ)
    return WH_FAIL(ERR_LIMIT, "a launch of %u x %u x %u blocks of %u threads is too large", grid.x, grid.y,
                   grid.z, grid.threads);
  WH_TRY(gpu_kernel_get(e->d, kernel, grid.shared_bytes, &function));
  const gpu_api *api = e->d->api;
  if (!e->d->follows)
    return gpu_check(api,
                     api->launch(function, grid.x, grid.y, grid.z, grid.threads, 1, 1, grid.shared_bytes,
                                 e->stream, parameters, NULL),
                     "a launch");
  gpu_launch_attribute follows = {.id = GPU_LAUNCH_FOLLOWS, .value.on = 1};
  const gpu_launch_config config = {.grid = {grid.x, grid.y, grid.z},
                                    .block = {grid.threads, 1, 1},
                                    .shared_bytes = grid.shared_bytes,
                                    .stream = e->stream,
                                    .attributes = &follows,
                                    .n_attributes = 1};
  return gpu_check(api, api->launch_config(&config, function, parameters, NULL), "a launch");
}

wh_status gpu_fill(gpu_emit *e, uint64_t address, uint8_t byte, uint64_t n_bytes) {
  if (!n_bytes) return WH_OK;
  return gpu_check(e->d->api, e->d->api->fill(address, byte, (size_t)n_bytes, e->stream), "a fill");
}

wh_status gpu_move(gpu_emit *e, uint64_t to, uint64_t from, uint64_t n_bytes) {
  if (!n_bytes) return WH_OK;
  return gpu_check(e->d->api, e->d->api->copy(to, from, (size_t)n_bytes, e->stream), "a copy");
}

/* ---- waiting ---- */

/* Under way or not: an event for `value`; NULL: it is reached. */
static wh_status event_of(wh_queue *q, uint64_t value, void **event) {
  *event = NULL;
  if (value > q->given) return WH_FAIL(ERR_INTERNAL, "a point that its queue has not handed out");
  if (value <= atomic_load(&q->reached)) return WH_OK;
  if (q->failed) {
    wh_error_set(&q->error);
    return q->error.status;
  }
  *event = q->events[value % N_EVENTS];
  return WH_OK;
}

wh_status gpu_wait(wh_point p) {
  wh_queue *q = p.queue;
  void *event = NULL;
  if (!q) return WH_OK;
  (void)pthread_mutex_lock(&q->lock);
  wh_status st = event_of(q, p.value, &event);
  (void)pthread_mutex_unlock(&q->lock);
  if (st != WH_OK || !event) return st;
  st = gpu_enter(q->emit.d);
  if (st == WH_OK) st = gpu_check(api_of(q), api_of(q)->event_synchronize(event), "the device's work");
  (void)pthread_mutex_lock(&q->lock);
  if (st != WH_OK) (void)end_queue(q);
  if (st == WH_OK && p.value > atomic_load(&q->reached)) atomic_store(&q->reached, p.value);
  (void)pthread_mutex_unlock(&q->lock);
  return st;
}
