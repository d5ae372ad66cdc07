/* shared.c - races, unset bytes and unfinished copies in shared memory, per four bytes.
 *
 * Of several threads that touch the same four bytes it remembers the last writer, and of readers their warps
 * and the lanes of one: what is ordered before a later access is dropped, so that nothing right is reported.
 */
#include "backends/cuda/ptxemu/exec_internal.h"

static bool ordered(const warp *w, unsigned lane, unsigned thread, uint32_t time) {
  const unsigned v = thread / EXEC_WARP, o = thread % EXEC_WARP;
  if (v != w->id) return w->clock[v] > time;
  return o == lane || w->known[lane][o] > time;
}

static void check_writer(const step *s, unsigned lane, const shared_cell *c, unsigned bytes, access_kind kind,
                         uint64_t at) {
  if (!c->writer || !(c->write_bytes & bytes) || (kind == ACCESS_ATOMIC && c->by_atomic)) return;
  const unsigned by = c->writer - 1u;
  if (ordered(s->w, lane, by, c->write_time)) return;
  const char *what = kind == ACCESS_READ || kind == ACCESS_PROXY_READ ? "read" : "write";
  if (by == ASYNC_THREAD)
    exec_report(s, lane, "race-shared",
                "a bulk copy brought offset %llu, and no wait for its mbarrier orders this %s after it",
                (unsigned long long)at, what);
  else
    exec_report(s, lane, "race-shared",
                "offset %llu was written by thread %u, and nothing orders this %s after it",
                (unsigned long long)at, by, what);
}

static void check_readers(const step *s, unsigned lane, const shared_cell *c, unsigned bytes, uint64_t at) {
  if (!(c->read_bytes & bytes) || c->mixed_reads) return;
  FOR_LANES(v, c->read_warps & ~(1u << s->w->id)) {
    if (s->w->clock[v] > c->read_time) continue;
    exec_report(s, lane, "race-shared",
                "offset %llu was read by warp %u, and nothing orders this write after it",
                (unsigned long long)at, v);
    return;
  }
  if (!(c->read_warps >> s->w->id & 1) || c->read_warp != s->w->id) return;
  FOR_LANES(o, c->read_lanes & ~(1u << lane)) {
    if (s->w->known[lane][o] > c->read_time) continue;
    exec_report(s, lane, "race-shared",
                "offset %llu was read by thread %u, and nothing orders this write after it",
                (unsigned long long)at, thread_of(s->w, o));
    return;
  }
}

static void note_read(const step *s, unsigned lane, shared_cell *c, unsigned bytes) {
  const unsigned id = s->w->id;
  const uint32_t now = s->w->now;
  if (c->read_bytes && c->read_time != now) { /* what is ordered before this read need not be remembered */
    uint32_t kept = 0;
    FOR_LANES(v, c->read_warps) kept |= (v != id && s->w->clock[v] <= c->read_time ? 1u : 0u) << v;
    if (!kept) c->read_bytes = 0, c->mixed_reads = false;
    c->read_warps = kept;
    c->read_lanes = 0;
  }
  if (c->read_bytes && c->read_time != now) c->mixed_reads = true;
  if (c->read_bytes && c->read_bytes != bytes) c->mixed_reads = true;
  if (c->read_warp != id) c->read_lanes = 0;
  c->read_bytes |= (uint8_t)bytes;
  c->read_warps |= 1u << id;
  c->read_lanes |= 1u << lane;
  c->read_warp = (uint8_t)id;
  c->read_time = now;
}

static void note_write(const step *s, unsigned lane, shared_cell *c, unsigned bytes, access_kind kind) {
  const uint16_t me = (uint16_t)(thread_of(s->w, lane) + 1);
  if (c->writer == me && c->write_time == s->w->now)
    c->write_bytes |= (uint8_t)bytes;
  else
    c->write_bytes = (uint8_t)bytes;
  c->writer = me;
  c->write_time = s->w->now;
  c->by_atomic = kind == ACCESS_ATOMIC;
  c->set_bytes |= (uint8_t)bytes;
  c->unfenced = kind == ACCESS_WRITE || kind == ACCESS_ATOMIC;
  if (kind == ACCESS_ASYNC)
    c->pending_bytes |= (uint8_t)bytes;
  else
    c->pending_bytes &= (uint8_t)~bytes;
  if (c->read_bytes & bytes) {
    c->read_bytes = 0;
    c->read_warps = c->read_lanes = 0;
    c->mixed_reads = false;
  }
}

/* When each warp's wgmma last read the 16 bytes around an offset; 0: not since they were written. */
static uint32_t *product_reads(const step *s, uint64_t offset) {
  return s->b->product_reads + offset / 16 * s->b->n_warps;
}

static void check_products(const step *s, unsigned lane, uint64_t at) {
  uint32_t *read = product_reads(s, at);
  for (unsigned v = 0; v < s->b->n_warps; v++) {
    if (read[v] && v != s->w->id && s->w->clock[v] <= read[v])
      exec_report(s, lane, "race-shared",
                  "a wgmma of warp %u reads offset %llu, and nothing orders this write after its end", v,
                  (unsigned long long)at);
    read[v] = 0;
  }
}

void shared_fence_proxy(const step *s) {
  const uint64_t n = (s->b->shared_bytes + 3) / 4;
  for (uint64_t i = 0; i < n; i++) {
    shared_cell *c = &s->b->cells[i];
    if (!c->unfenced) continue;
    FOR_LANES(l, s->mask) if (ordered(s->w, l, c->writer - 1u, c->write_time)) c->unfenced = false;
  }
}

void shared_arrived(block *b, uint64_t offset, uint64_t n) {
  const uint32_t time = ++b->time;
  for (uint64_t i = offset / 4; i < (offset + n) / 4; i++) {
    shared_cell *c = &b->cells[i];
    *c = (shared_cell){.writer = ASYNC_THREAD + 1, .write_time = time, .write_bytes = 15, .set_bytes = 15};
  }
}

void shared_touch(const step *s, unsigned lane, uint64_t offset, unsigned n, access_kind kind) {
  const bool reads = kind == ACCESS_READ || kind == ACCESS_PROXY_READ;
  if (kind != ACCESS_PROXY_READ) s->w->touched[lane] = s->w->now;
  for (uint64_t at = offset; at < offset + n;) {
    shared_cell *c = &s->b->cells[at / 4];
    const unsigned from = (unsigned)(at % 4);
    const uint64_t left = offset + n - at;
    const unsigned count = left < 4 - from ? (unsigned)left : 4 - from;
    const unsigned bytes = ((1u << count) - 1) << from;
    if (c->pending_bytes & bytes && kind != ACCESS_WRITE)
      exec_report(s, lane, "copy-not-awaited",
                  "offset %llu is the target of an asynchronous copy that nobody has waited for",
                  (unsigned long long)at);
    else if ((reads || kind == ACCESS_ATOMIC) && (c->set_bytes & bytes) != bytes)
      exec_report(s, lane, "uninitialised-shared", "offset %llu was never written", (unsigned long long)at);
    check_writer(s, lane, c, bytes, kind, at);
    if (kind == ACCESS_PROXY_READ && c->unfenced)
      exec_report(
          s, lane, "proxy-fence",
          "offset %llu was written by thread %u, and no fence.proxy.async shows it to the matrix unit",
          (unsigned long long)at, c->writer - 1u);
    if (kind == ACCESS_PROXY_READ) {
      product_reads(s, at)[s->w->id] = s->w->now;
    } else if (reads) {
      note_read(s, lane, c, bytes);
    } else {
      if (kind != ACCESS_ATOMIC || !c->by_atomic) check_readers(s, lane, c, bytes, at);
      if (s->b->product_reads) check_products(s, lane, at);
      note_write(s, lane, c, bytes, kind);
    }
    at += count;
  }
}
