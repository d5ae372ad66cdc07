/* streams.c - work waits in its stream until somebody waits for it, and then runs in some legal order.
 *
 * Order is kept as progress: a number per stream. The work of a stream waits for what came before it, for
 * events, and for all that the host has waited for; streams that block wait for the legacy stream and it for
 * them. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/cuda/ptxemu/driver.h"

enum { N_RECORDS = 1 << 14 };

/* What work needed, for questions about order; of work that is too old nothing is asked. */
static struct {
  uint32_t id, number;
  unsigned stream;
  progress needs;
} records[N_RECORDS];

static void join(progress *p, const progress *with) {
  for (unsigned i = 0; i < MAX_STREAMS; i++)
    if (with->of[i] > p->of[i]) p->of[i] = with->of[i];
}

static bool is_done(const progress *p) {
  for (unsigned i = 0; i < MAX_STREAMS; i++)
    if (driver.streams[i].done < p->of[i]) return false;
  return true;
}

bool stream_ordered(uint32_t earlier, uint32_t later) {
  const uint32_t e = earlier % N_RECORDS, l = later % N_RECORDS;
  if (records[e].id != earlier || records[l].id != later) return true;
  return records[l].needs.of[records[e].stream] >= records[e].number;
}

/* ---- queues ---- */

work *stream_work(work_kind kind) {
  work *w = calloc(1, sizeof *w);
  if (w) w->kind = kind;
  return w;
}

/* Head of a stream that may run: needs all but itself. */
static bool may_run(const struct CUstream_st *s) {
  if (!s->first) return false;
  for (unsigned i = 0; i < MAX_STREAMS; i++)
    if (i != s->index && driver.streams[i].done < s->first->needs.of[i]) return false;
  return true;
}

static bool run_one(void) {
  unsigned ready[MAX_STREAMS], n = 0;
  for (unsigned i = 0; i < MAX_STREAMS; i++)
    if (may_run(&driver.streams[i])) ready[n++] = i;
  if (!n) return false;
  struct CUstream_st *s =
      &driver.streams[ready[driver.options.seed ? exec_random(&driver.random) % n : n - 1]];
  work *w = s->first;
  s->first = w->next;
  if (!s->first) s->end = NULL;
  work_run(w, s->device);
  s->done++;
  work_free(w);
  return true;
}

static void run_until(const progress *p) {
  while (!is_done(p) && run_one()) {
  }
  join(&driver.host, p);
}

void stream_push(CUstream s, work *w) {
  if (s->capture) {
    graph_append(s->capture, w);
    return;
  }
  for (unsigned i = 0; i < MAX_STREAMS; i++) {
    const struct CUstream_st *o = &driver.streams[i];
    if (o->is_used && o != s && o->device == s->device && !o->non_blocking && !s->non_blocking &&
        (s->is_legacy || o->is_legacy)) {
      join(&s->knows, &o->knows);
      if (o->last > s->knows.of[i]) s->knows.of[i] = o->last;
    }
  }
  join(&s->knows, &driver.host);
  s->knows.of[s->index] = ++s->last;
  w->needs = s->knows;
  w->id = ++driver.next_id;
  const uint32_t r = w->id % N_RECORDS;
  records[r].id = w->id;
  records[r].number = s->last;
  records[r].stream = s->index;
  records[r].needs = w->needs;
  if (s->end)
    s->end->next = w;
  else
    s->first = w;
  s->end = w;
  if (driver.options.seed && exec_random(&driver.random) % 4 == 0) (void)run_one(); /* some run early */
}

static CUresult take_error(int device) {
  const CUresult r = driver.error[device];
  driver.error[device] = CUDA_SUCCESS;
  return r;
}

CUresult stream_finish(CUstream s) {
  progress p = s->knows;
  p.of[s->index] = s->last;
  run_until(&p);
  return take_error(s->device);
}

CUresult driver_finish(int device) {
  progress p = {{0}};
  for (unsigned i = 0; i < MAX_STREAMS; i++)
    if (device < 0 || driver.streams[i].device == device) p.of[i] = driver.streams[i].last;
  run_until(&p);
  return device < 0 ? CUDA_SUCCESS : take_error(device);
}

CUstream stream_of(CUstream s) {
  const uintptr_t legacy = 1, per_thread = 2; /* CU_STREAM_LEGACY, CU_STREAM_PER_THREAD */
  if (!s || (uintptr_t)s == legacy || (uintptr_t)s == per_thread) return &driver.streams[driver_device()];
  for (unsigned i = driver.n_devices; i < MAX_STREAMS; i++)
    if (s == &driver.streams[i] && s->is_used) return s;
  return NULL;
}

void streams_open(void) {
  for (unsigned i = 0; i < MAX_STREAMS; i++) {
    driver.streams[i].index = i;
    driver.streams[i].is_used = driver.streams[i].is_legacy = i < driver.n_devices;
    driver.streams[i].device = i < driver.n_devices ? (int)i : 0;
  }
}

unsigned streams_close(int device) {
  unsigned n = 0;
  for (unsigned i = driver.n_devices; i < MAX_STREAMS; i++)
    if (driver.streams[i].is_used && driver.streams[i].device == device) {
      driver.streams[i].is_used = false;
      graph_free(driver.streams[i].capture);
      driver.streams[i].capture = NULL;
      n++;
    }
  return n;
}

/* ---- the API: streams ---- */

EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags);
EXPORT CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority);
EXPORT CUresult cuStreamDestroy_v2(CUstream stream);
EXPORT CUresult cuStreamSynchronize(CUstream stream);
EXPORT CUresult cuStreamQuery(CUstream stream);
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags);
EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *argument);

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!stream || flags > STREAM_NON_BLOCKING) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  for (unsigned i = driver.n_devices; i < MAX_STREAMS; i++) {
    struct CUstream_st *s = &driver.streams[i];
    if (s->is_used || s->first) continue;
    s->is_used = true;
    s->non_blocking = flags == STREAM_NON_BLOCKING;
    s->device = driver_device();
    s->knows = (progress){{0}};
    *stream = s;
    return driver_leave(CUDA_SUCCESS);
  }
  return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
  (void)priority;
  return cuStreamCreate(stream, flags);
}

/* Its work still runs, as with the real one. */
CUresult cuStreamDestroy_v2(CUstream stream) {
  const CUresult r = driver_enter(CALL_DESTROYS);
  if (r) return driver_leave(r);
  CUstream s = stream ? stream_of(stream) : NULL;
  if (!s || s->is_legacy) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  s->is_used = false;
  graph_free(s->capture);
  s->capture = NULL;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuStreamSynchronize(CUstream stream) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (s && s->capture) return driver_leave(graph_invalidate(s->capture));
  return driver_leave(s ? stream_finish(s) : CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuStreamQuery(CUstream stream) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (s->capture) return driver_leave(graph_invalidate(s->capture));
  if (s->first) (void)run_one(); /* who asks again and again gets there */
  return driver_leave(s->first ? CUDA_ERROR_NOT_READY : stream_finish(s));
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *argument) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s || !call) return driver_leave(s ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE);
  work *w = stream_work(WORK_CALL);
  if (!w) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  w->call = call;
  w->argument = argument;
  stream_push(s, w);
  return driver_leave(CUDA_SUCCESS);
}

/* ---- the API: events ---- */

EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags);
EXPORT CUresult cuEventDestroy_v2(CUevent event);
EXPORT CUresult cuEventRecord(CUevent event, CUstream stream);
EXPORT CUresult cuEventQuery(CUevent event);
EXPORT CUresult cuEventSynchronize(CUevent event);
EXPORT CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to);

static bool is_event(CUevent event) {
  for (const struct CUevent_st *e = driver.events; e; e = e->next)
    if (e == event) return true;
  return false;
}

unsigned events_close(int device) {
  unsigned n = 0;
  for (struct CUevent_st **at = &driver.events; *at;) {
    struct CUevent_st *e = *at;
    if (e->device != device) {
      at = &e->next;
      continue;
    }
    *at = e->next;
    free(e);
    n++;
  }
  return n;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  (void)flags;
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!event) return driver_leave(CUDA_ERROR_INVALID_VALUE);
  struct CUevent_st *e = calloc(1, sizeof *e);
  if (!e) return driver_leave(CUDA_ERROR_OUT_OF_MEMORY);
  e->device = driver_device();
  e->next = driver.events;
  driver.events = *event = e;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuEventDestroy_v2(CUevent event) {
  const CUresult r = driver_enter(CALL_DESTROYS);
  if (r) return driver_leave(r);
  for (struct CUevent_st **at = &driver.events; *at; at = &(*at)->next)
    if (*at == event) {
      *at = event->next;
      free(event);
      return driver_leave(CUDA_SUCCESS);
    }
  return driver_leave(CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s || !is_event(event)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (s->capture) return driver_leave(graph_invalidate(s->capture));
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  event->when_ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
  event->at = s->knows;
  event->at.of[s->index] = s->last;
  event->is_recorded = true;
  return driver_leave(CUDA_SUCCESS);
}

CUresult cuEventQuery(CUevent event) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!is_event(event)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (!is_done(&event->at)) (void)run_one();
  if (!is_done(&event->at)) return driver_leave(CUDA_ERROR_NOT_READY);
  join(&driver.host, &event->at);
  return driver_leave(take_error(event->device));
}

CUresult cuEventSynchronize(CUevent event) {
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  if (!is_event(event)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  run_until(&event->at);
  return driver_leave(take_error(event->device));
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  (void)flags;
  const CUresult r = driver_enter(CALL_IN_CONTEXT);
  if (r) return driver_leave(r);
  CUstream s = stream_of(stream);
  if (!s || !is_event(event)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (s->capture) return driver_leave(graph_invalidate(s->capture));
  const uint32_t own = s->knows.of[s->index];
  join(&s->knows, &event->at);
  if (s->knows.of[s->index] < own) s->knows.of[s->index] = own;
  return driver_leave(CUDA_SUCCESS);
}

/* The host's time between the records: the emulator has no clock of its own. */
CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to) {
  const CUresult r = driver_enter(CALL_PLAIN);
  if (r) return driver_leave(r);
  if (!ms || !is_event(from) || !is_event(to)) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (!from->is_recorded || !to->is_recorded) return driver_leave(CUDA_ERROR_INVALID_HANDLE);
  if (!is_done(&from->at) || !is_done(&to->at)) return driver_leave(CUDA_ERROR_NOT_READY);
  *ms = (float)(to->when_ms - from->when_ms);
  return driver_leave(CUDA_SUCCESS);
}
