/* queue.c - work of a CPU device. Everything runs within the call that gives it, so every point that a queue
 * has handed out is reached, and there is nothing to wait for. */
#include <stdatomic.h>
#include <string.h>

#include "backends/cpu/cpu_internal.h"

/* A block's instructions for one frame. */
typedef struct bound_code {
  struct bound_code *next;
  const wh_code *code;
  uint64_t frame;        /* id */
  bool valid, is_short;  /* the whole of it */
  cpu_operand *operands; /* of all instructions; behind them */
  cpu_instr instrs[];    /* one per step */
} bound_code;

struct wh_queue {
  cpu_device *d;
  wh_queue *next; /* of the device's queues */
  bound_code *bound;
  _Atomic uint64_t value; /* of the last point */
  atomic_uint bad_weight; /* cpu_internal.h */
};

wh_status wh_cpu_queue_create(void *dev, wh_queue **out) {
  cpu_device *d = dev;
  wh_queue *q = wh_alloc_zeroed(d->alloc, sizeof *q);
  if (!q) return WH_OOM("queue");
  q->d = d;
  wh_cpu_lock(d);
  q->next = d->queues;
  d->queues = q;
  wh_cpu_unlock(d);
  *out = q;
  return WH_OK;
}

/* What was derived from `code`, or all of it for NULL. */
static void forget(wh_queue *q, const wh_code *code) {
  for (bound_code **at = &q->bound; *at;) {
    bound_code *b = *at;
    if (code && b->code != code) {
      at = &b->next;
      continue;
    }
    *at = b->next;
    wh_free(q->d->alloc, b);
  }
}

void wh_cpu_queue_destroy(wh_queue *q) {
  if (!q) return;
  cpu_device *d = q->d;
  wh_cpu_lock(d);
  wh_queue **at = &d->queues;
  while (*at != q) at = &(*at)->next;
  *at = q->next;
  wh_cpu_unlock(d);
  forget(q, NULL);
  wh_free(d->alloc, q);
}

void wh_cpu_queues_forget(cpu_device *d, const wh_code *code) {
  wh_cpu_lock(d);
  for (wh_queue *q = d->queues; q; q = q->next) forget(q, code);
  wh_cpu_unlock(d);
}

/* While a frame stays the same, as from token to token, its instructions do. */
static wh_status bind_frame(wh_queue *q, const wh_code *code, const wh_frame *frame, const bound_code **out) {
  bound_code *b = q->bound;
  while (b && b->code != code) b = b->next;
  if (!b) {
    size_t bytes, operand_bytes;
    if (!wh_mul_size(code->block.n_steps, sizeof b->instrs[0], &bytes) ||
        !wh_mul_size(code->n_operands, sizeof b->operands[0], &operand_bytes) ||
        !wh_add_size(bytes, sizeof *b + operand_bytes, &bytes))
      return WH_OOM("instructions");
    b = wh_alloc_zeroed(q->d->alloc, bytes);
    if (!b) return WH_OOM("instructions");
    b->code = code;
    b->operands = (cpu_operand *)(void *)&b->instrs[code->block.n_steps];
    b->next = q->bound;
    q->bound = b;
  }
  if (!b->valid || b->frame != frame->id) {
    b->valid = false;
    WH_TRY(wh_cpu_resolve(q->d, code, frame, &q->bad_weight, b->instrs, b->operands));
    b->is_short = wh_cpu_is_short(b->instrs, code->block.n_steps);
    b->frame = frame->id;
    b->valid = true;
  }
  *out = b;
  return WH_OK;
}

static void reached(wh_queue *q, wh_point *done) {
  const uint64_t value = atomic_fetch_add_explicit(&q->value, 1, memory_order_relaxed) + 1;
  if (done) *done = (wh_point){q, value};
}

typedef struct run_job {
  const cpu_instr *instrs;
  size_t count;
} run_job;

static void run_worker(void *arg, const wh_worker *worker) {
  const run_job *job = arg;
  for (size_t i = 0; i < job->count; i++) {
    const cpu_instr *in = &job->instrs[i];
    if (in->barrier && i > 0) wh_team_barrier(worker);
    in->kernel->run(in, worker);
  }
}

/* What the workers found goes into the fault word when they are done. */
static void note_bad_weight(wh_queue *q, const cpu_instr *instrs) {
  const uint32_t node_plus_1 = atomic_exchange_explicit(&q->bad_weight, 0, memory_order_relaxed);
  wh_fault *f = instrs[0].fault;
  if (!node_plus_1 || !f || (f->node_plus_1 && f->node_plus_1 <= node_plus_1)) return;
  *f = (wh_fault){node_plus_1, WH_FAULT_WEIGHT, 0};
}

wh_status wh_cpu_submit(wh_queue *q, wh_code *code, size_t first, size_t count, const wh_frame *frame,
                        const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits;
  (void)n_waits;
  if (first > code->block.n_steps || count > code->block.n_steps - first)
    return WH_FAIL(ERR_INTERNAL, "steps %zu to %zu of a block of %zu", first, first + count,
                   code->block.n_steps);
  wh_cpu_lock(q->d);
  const bound_code *b = NULL;
  wh_status st = bind_frame(q, code, frame, &b);
  if (st == WH_OK && count) {
    run_job job = {b->instrs + first, count};
    const bool is_short = b->is_short || (count < code->block.n_steps && wh_cpu_is_short(job.instrs, count));
    if (is_short && !q->d->shares_all)
      wh_team_run_alone(q->d->team, run_worker, &job);
    else
      wh_team_run(q->d->team, run_worker, &job);
    note_bad_weight(q, b->instrs);
  }
  wh_cpu_unlock(q->d);
  if (st == WH_OK) reached(q, done);
  return st;
}

/* ---- copies ---- */

static wh_status check_range(const wh_buffer *b, uint64_t at, uint64_t n_bytes) {
  if (at <= b->n_bytes && n_bytes <= b->n_bytes - at) return WH_OK;
  return WH_FAIL(ERR_INTERNAL, "bytes %llu to %llu of a buffer of %llu", (unsigned long long)at,
                 (unsigned long long)(at + n_bytes), (unsigned long long)b->n_bytes);
}

static void copy_bytes(void *dst, const void *src, uint64_t n_bytes) {
  if (n_bytes) memcpy(dst, src, (size_t)n_bytes);
}

wh_status wh_cpu_upload(wh_queue *q, wh_buffer *dst, uint64_t to, const void *src, uint64_t n_bytes,
                        const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits;
  (void)n_waits;
  WH_TRY(check_range(dst, to, n_bytes));
  copy_bytes(dst->data + to, src, n_bytes);
  reached(q, done);
  return WH_OK;
}

wh_status wh_cpu_download(wh_queue *q, void *dst, wh_buffer *src, uint64_t from, uint64_t n_bytes,
                          const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits;
  (void)n_waits;
  WH_TRY(check_range(src, from, n_bytes));
  copy_bytes(dst, src->data + from, n_bytes);
  reached(q, done);
  return WH_OK;
}

wh_status wh_cpu_copy(wh_queue *q, wh_buffer *dst, uint64_t to, wh_buffer *src, uint64_t from,
                      uint64_t n_bytes, const wh_point *waits, size_t n_waits, wh_point *done) {
  (void)waits;
  (void)n_waits;
  WH_TRY(check_range(dst, to, n_bytes));
  WH_TRY(check_range(src, from, n_bytes));
  copy_bytes(dst->data + to, src->data + from, n_bytes);
  reached(q, done);
  return WH_OK;
}

wh_status wh_cpu_wait(wh_point point) {
  if (point.queue && point.value > atomic_load_explicit(&point.queue->value, memory_order_relaxed))
    return WH_FAIL(ERR_INTERNAL, "a point that its queue has not handed out");
  return WH_OK;
}
