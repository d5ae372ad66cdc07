/* queue.c - a thread per queue: it waits for what its work waits for, is late, works, is late again, and says
 * so. Work that failed ends its queue, and fails what waits for it. */
#define _DEFAULT_SOURCE /* nanosleep */
#include <string.h>
#include <time.h>

#include "backends/host2/host2_internal.h"

static const char *const kind_names[] = {"a submit", "an upload", "a download", "a copy"};
static wh_queue *queues[HOST2_MAX_QUEUES];
static uint64_t last_values[HOST2_MAX_QUEUES];            /* of a place's earlier queues: points only grow */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER; /* any queue: work came, or was done */
host2_clock host2_host;

wh_queue *host2_queue_at(int place) { return queues[place]; }

/* ---- the thread ---- */

/* splitmix64 (Steele, Lea and Flood 2014) */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static void be_late(wh_queue *q) {
  const uint64_t longest = q->d->options.delay;
  if (!longest) return;
  const uint64_t us = next_random(&q->random) % (longest + 1);
  const struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  (void)nanosleep(&t, NULL);
}

/* Until every point that the work waits for is reached; the error of one that never will be. Locked. */
static wh_status wait_for_others(const host2_work *w) {
  for (size_t i = 0; i < w->n_waits; i++)
    for (const wh_queue *other = w->waits[i].queue; other;) {
      if (other->failed && other->failed_at <= w->waits[i].value) {
        wh_error_set(&other->error);
        return wh_fail_prefix("work that waited for other work");
      }
      if (other->reached >= w->waits[i].value) break;
      (void)pthread_cond_wait(&changed, &host2_mutex);
    }
  return WH_OK;
}

/* The lowest bit of what the op put out. */
static void be_wrong(wh_queue *q, const host2_work *w, size_t i) {
  const wh_block *block = &w->code->block;
  const wh_step *step = &block->steps[i];
  if (block->graph->nodes[step->node].op + 1u != q->d->options.wrong) return;
  if (q->d->n_right < q->d->options.after) {
    q->d->n_right++;
    return;
  }
  for (unsigned o = 0; o < step->n_outputs; o++) {
    const uint32_t slot = block->args[step->first_arg + step->n_inputs + o].slot;
    if (w->frame->n_bytes[slot]) w->frame->buffers[slot]->data[w->frame->offsets[slot]] ^= 1;
  }
}

static wh_status run_block(wh_queue *q, const host2_work *w) {
  const size_t n = w->code->block.n_slots;
  wh_buffer **buffers = wh_alloc_array(q->d->alloc, n + 1, sizeof *buffers);
  if (!buffers) return WH_OOM("frame");
  for (size_t i = 0; i < n; i++) buffers[i] = w->frame->buffers[i] ? w->frame->buffers[i]->cpu : NULL;
  wh_frame frame = *w->frame;
  frame.buffers = buffers;
  const size_t at_once = q->d->options.wrong ? 1 : w->count; /* what is wrong is seen by what follows */
  wh_status st = WH_OK;
  for (size_t i = 0; i < w->count && st == WH_OK; i += at_once) {
    wh_point done = {0};
    st = host2_cpu->submit(q->cpu, w->code->cpu, w->first + i, at_once, &frame, NULL, 0, &done);
    if (st == WH_OK) st = host2_cpu->wait(done);
    if (st == WH_OK && q->d->options.wrong) be_wrong(q, w, w->first + i);
  }
  wh_free(q->d->alloc, buffers);
  return st;
}

static bool changed_since(const host2_work *w) {
  if (w->kind == HOST2_SUBMIT) return !wh_hash_equal(w->hash, host2_frame_hash(w->code, w->frame));
  return w->kind == HOST2_UPLOAD && !wh_hash_equal(w->hash, wh_hash_bytes(w->from_host, (size_t)w->n_bytes));
}

static wh_status do_work(wh_queue *q, const host2_work *w) {
  if (w->fails) return WH_FAIL(ERR_DEVICE, "%s failed, as was asked for", kind_names[w->kind]);
  const char *why = w->kind == HOST2_SUBMIT ? "a frame changed while work used it"
                                            : "the bytes of an upload changed while it was under way";
  if (changed_since(w)) return WH_FAIL(ERR_DEVICE, "%s", why);
  const size_t n = (size_t)w->n_bytes;
  switch (w->kind) {
    case HOST2_SUBMIT:
      WH_TRY(run_block(q, w));
      break;
    case HOST2_UPLOAD:
      if (n) memcpy(w->dst->data + w->to, w->from_host, n);
      break;
    case HOST2_DOWNLOAD:
      if (n) memcpy(w->to_host, w->src->data + w->from, n);
      break;
    case HOST2_COPY:
      if (n) memcpy(w->dst->data + w->to, w->src->data + w->from, n);
      break;
  }
  return changed_since(w) ? WH_FAIL(ERR_DEVICE, "%s", why) : WH_OK;
}

static void free_work(const wh_queue *q, host2_work *w) {
  if (!w) return;
  wh_free(q->d->alloc, w->waits);
  wh_free(q->d->alloc, w->accesses.items);
  wh_free(q->d->alloc, w);
}

/* Called and returns locked. */
static void run_first(wh_queue *q) {
  host2_work *w = q->first;
  wh_status st = WH_OK;
  if (!q->failed) {
    st = wait_for_others(w);
    host2_unlock();
    be_late(q);
    host2_lock();
    for (size_t i = 0; i < w->accesses.n; i++) host2_open_buffer(w->accesses.items[i].buffer);
    host2_unlock();
    if (st == WH_OK) st = do_work(q, w);
    host2_lock();
    for (size_t i = 0; i < w->accesses.n; i++) host2_shut_buffer(w->accesses.items[i].buffer);
    host2_unlock();
    be_late(q);
    host2_lock();
  }
  if (st != WH_OK) {
    q->failed = true;
    q->failed_at = w->value;
    q->error = *wh_last_error();
  }
  q->reached = w->value;
  q->first = w->next;
  if (!q->first) q->last = NULL;
  free_work(q, w);
  (void)pthread_cond_broadcast(&changed);
}

static void *work_loop(void *arg) {
  wh_queue *q = arg;
  host2_lock();
  for (;;) {
    if (q->first)
      run_first(q);
    else if (q->ends)
      break;
    else
      (void)pthread_cond_wait(&changed, &host2_mutex);
  }
  host2_unlock();
  return NULL;
}

/* ---- what is done once a point is reached ---- */

static void join_point(host2_clock *clock, wh_point p) {
  const wh_queue *q = p.queue;
  size_t n = q->n_edges;
  while (n && q->edges[n - 1].value > p.value) n--;
  if (n) host2_clock_join(clock, &q->edges[n - 1].clock);
  if (p.value > clock->done[q->place]) clock->done[q->place] = p.value;
}

static void host_knows(wh_point p) {
  wh_queue *q = p.queue;
  join_point(&host2_host, p);
  size_t old = 0;
  while (old + 1 < q->n_edges && q->edges[old + 1].value <= p.value) old++;
  q->n_edges -= old;
  if (old) memmove(q->edges, q->edges + old, q->n_edges * sizeof *q->edges);
}

static wh_status add_edge(wh_queue *q, uint64_t value, const host2_clock *clock) {
  if (q->n_edges && memcmp(&q->edges[q->n_edges - 1].clock, clock, sizeof *clock) == 0) return WH_OK;
  if (!wh_grow_array(q->d->alloc, (void **)&q->edges, &q->edges_capacity, q->n_edges, q->n_edges + 1,
                     sizeof *q->edges))
    return WH_OOM("order of queues");
  q->edges[q->n_edges++] = (host2_edge){value, *clock};
  return WH_OK;
}

/* ---- queues ---- */

static wh_status take_place(wh_queue *q) {
  for (q->place = 0; q->place < HOST2_MAX_QUEUES; q->place++) {
    if (queues[q->place]) continue;
    q->given = q->reached = last_values[q->place];
    q->random = q->d->options.seed * 0x10001 + (uint64_t)q->place;
    if (pthread_create(&q->thread, NULL, work_loop, q) != 0)
      return WH_FAIL(ERR_UNAVAILABLE, "the system gives no thread for a queue");
    queues[q->place] = q;
    return WH_OK;
  }
  return WH_FAIL(ERR_LIMIT, "more than %d queues", HOST2_MAX_QUEUES);
}

wh_status host2_queue_create(void *dev, wh_queue **out) {
  host2_device *d = dev;
  wh_queue *q = wh_alloc_zeroed(d->alloc, sizeof *q);
  if (!q) return WH_OOM("queue");
  q->d = d;
  wh_status st = host2_cpu->queue_create(d->cpu, &q->cpu);
  if (st == WH_OK) {
    host2_lock();
    st = take_place(q);
    host2_unlock();
    if (st != WH_OK) host2_cpu->queue_destroy(q->cpu);
  }
  if (st != WH_OK) {
    wh_free(d->alloc, q);
    return st;
  }
  *out = q;
  return WH_OK;
}

void host2_queue_destroy(wh_queue *q) {
  if (!q) return;
  host2_lock();
  q->ends = true;
  (void)pthread_cond_broadcast(&changed);
  host2_unlock();
  (void)pthread_join(q->thread, NULL);
  host2_lock();
  host_knows((wh_point){q, q->given});
  last_values[q->place] = q->given;
  queues[q->place] = NULL;
  for (int i = 0; i < HOST2_MAX_QUEUES; i++) /* its points are reached: nobody need look at it any more */
    for (host2_work *w = queues[i] ? queues[i]->first : NULL; w; w = w->next)
      for (size_t k = 0; k < w->n_waits; k++)
        if (w->waits[k].queue == q) w->waits[k] = (wh_point){NULL, 0};
  host2_unlock();
  host2_cpu->queue_destroy(q->cpu);
  wh_free(q->d->alloc, q->edges);
  wh_free(q->d->alloc, q);
}

/* ---- giving work ---- */

static bool is_place(const wh_queue *q) {
  for (int i = 0; i < HOST2_MAX_QUEUES; i++)
    if (queues[i] == q) return true;
  return false;
}

static wh_status check_point(wh_point p) {
  if (!p.queue) return p.value ? WH_FAIL(ERR_DEVICE, "a point of no queue") : WH_OK;
  if (!is_place(p.queue)) return WH_FAIL(ERR_DEVICE, "a point of a queue that this backend does not have");
  if (p.value > p.queue->given)
    return WH_FAIL(ERR_DEVICE, "a point that its queue has not handed out: %llu of %llu",
                   (unsigned long long)p.value, (unsigned long long)p.queue->given);
  return WH_OK;
}

static wh_status usable(const wh_queue *q) {
  if (!q->d->misused && !q->failed) return WH_OK;
  wh_error_set(q->d->misused ? &q->d->misuse : &q->error);
  return wh_last_error()->status;
}

/* What is done in other queues when the work starts, by what it and work before it wait for. */
static wh_status order_work(wh_queue *q, host2_work *w, const wh_point *waits, size_t n_waits,
                            host2_clock *clock) {
  if (q->n_edges) *clock = q->edges[q->n_edges - 1].clock;
  w->waits = wh_alloc_array(q->d->alloc, n_waits + 1, sizeof *w->waits);
  if (!w->waits) return WH_OOM("waits");
  for (size_t i = 0; i < n_waits; i++) {
    WH_TRY(check_point(waits[i]));
    if (!waits[i].queue || waits[i].queue == q) continue;
    join_point(clock, waits[i]);
    w->waits[w->n_waits++] = waits[i];
  }
  clock->done[q->place] = 0; /* its own order needs no edge */
  return n_waits ? add_edge(q, q->given + 1, clock) : WH_OK;
}

/* Takes the work over, whether it is accepted or not. */
static wh_status give(wh_queue *q, host2_work *w, const wh_point *waits, size_t n_waits, wh_point *done) {
  host2_clock clock = {0};
  wh_status st = order_work(q, w, waits, n_waits, &clock);
  clock.done[q->place] = q->given;
  host2_clock_join(&clock, &host2_host);
  if (st == WH_OK) st = host2_check_order(&w->accesses, &clock, kind_names[w->kind]);
  if (st == WH_OK) st = host2_remember(&w->accesses, q->place, q->given + 1);
  if (st != WH_OK) {
    free_work(q, w);
    return st;
  }
  w->value = ++q->given;
  if (w->kind == HOST2_SUBMIT) w->code->used.done[q->place] = w->value;
  if (q->last)
    q->last->next = w;
  else
    q->first = w;
  q->last = w;
  if (done) *done = (wh_point){q, w->value};
  (void)pthread_cond_broadcast(&changed);
  return WH_OK;
}

/* The parts of a call that differ: checks the work and lists what it touches. */
static wh_status prepare_submit(wh_queue *q, host2_work *w) {
  for (size_t i = 0; i < w->code->block.n_slots; i++) {
    wh_buffer *b = w->frame->buffers[i];
    if (b && (!i || b != w->frame->buffers[i - 1]))
      WH_TRY(host2_check_range(q->d, b, w->frame->offsets[i], w->frame->n_bytes[i], "a slot of a frame"));
  }
  w->hash = host2_frame_hash(w->code, w->frame);
  WH_TRY(host2_block_accesses(q->d, w->code, w->first, w->count, w->frame, &w->accesses));
  WH_TRY(host2_check_frame(q, w->code, w->first, w->count, w->frame, w->hash));
  w->fails = ++q->d->n_submits == q->d->options.fail_submit;
  return q->d->n_submits == q->d->options.refuse_submit
             ? WH_FAIL(ERR_DEVICE, "a submit was refused, as was asked for")
             : WH_OK;
}

static wh_status prepare_copy(wh_queue *q, host2_work *w) {
  const uint64_t n = w->n_bytes;
  if (w->dst) WH_TRY(host2_check_range(q->d, w->dst, w->to, n, "a copy's target"));
  if (w->src) /* a peer's, perhaps */
    WH_TRY(host2_check_range(w->dst ? w->src->d : q->d, w->src, w->from, n, "a copy's source"));
  if (w->dst && w->dst == w->src && w->from < w->to + n && w->to < w->from + n)
    return WH_FAIL(ERR_DEVICE, "the two sides of a copy overlap");
  if (w->dst) WH_TRY(host2_add_access(q->d, &w->accesses, w->dst, w->to, n, true));
  if (w->src) WH_TRY(host2_add_access(q->d, &w->accesses, w->src, w->from, n, false));
  if (w->from_host) w->hash = wh_hash_bytes(w->from_host, (size_t)n);
  w->fails = ++q->d->n_copies == q->d->options.fail_copy;
  return q->d->n_copies == q->d->options.refuse_copy
             ? WH_FAIL(ERR_DEVICE, "a copy was refused, as was asked for")
             : WH_OK;
}

static wh_status call(wh_queue *q, const host2_work *as, const wh_point *waits, size_t n_waits,
                      wh_point *done) {
  host2_work *w = wh_alloc_zeroed(q->d->alloc, sizeof *w);
  if (!w) return WH_OOM("work");
  *w = *as;
  host2_lock();
  wh_status st = usable(q);
  if (st == WH_OK) st = w->kind == HOST2_SUBMIT ? prepare_submit(q, w) : prepare_copy(q, w);
  if (st == WH_OK)
    st = give(q, w, waits, n_waits, done);
  else
    free_work(q, w);
  host2_unlock();
  return st;
}

wh_status host2_submit(wh_queue *q, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                       const wh_point *waits, size_t n_waits, wh_point *done) {
  const host2_work w = {.kind = HOST2_SUBMIT, .code = code, .first = first, .count = count, .frame = frame};
  return call(q, &w, waits, n_waits, done);
}

wh_status host2_upload(wh_queue *q, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                       const wh_point *waits, size_t n_waits, wh_point *done) {
  const host2_work w = {.kind = HOST2_UPLOAD, .dst = dst, .to = to, .from_host = src, .n_bytes = n_bytes};
  return call(q, &w, waits, n_waits, done);
}

wh_status host2_download(wh_queue *q, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                         const wh_point *waits, size_t n_waits, wh_point *done) {
  const host2_work w = {.kind = HOST2_DOWNLOAD, .to_host = dst, .src = src, .from = from, .n_bytes = n_bytes};
  return call(q, &w, waits, n_waits, done);
}

wh_status host2_copy(wh_queue *q, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                     uint64_t n_bytes, const wh_point *waits, size_t n_waits, wh_point *done) {
  const host2_work w = {
      .kind = HOST2_COPY, .dst = dst, .to = to, .src = src, .from = from, .n_bytes = n_bytes};
  return call(q, &w, waits, n_waits, done);
}

/* ---- waiting ---- */

wh_status host2_wait(wh_point p) {
  host2_lock();
  wh_status st = check_point(p);
  if (st == WH_OK && p.queue) {
    wh_queue *q = p.queue;
    while (q->reached < p.value) (void)pthread_cond_wait(&changed, &host2_mutex);
    const bool ended = q->failed && q->failed_at <= p.value; /* nothing of it runs any more */
    host_knows((wh_point){q, ended ? q->given : p.value});
    if (ended || q->d->misused) {
      wh_error_set(ended ? &q->error : &q->d->misuse);
      st = wh_last_error()->status;
    }
  }
  host2_unlock();
  return st;
}
