/* mbarrier.c - barriers in shared memory, and the bulk copies that complete them.
 *
 * A copy happens at the last moment that is allowed: when somebody waits for its barrier. Until then its
 * target is poisoned. A barrier hands on what those knew who arrived at it, like any other: barrier.c. */
#include "backends/cuda/ptxemu/exec_internal.h"

#include <stdlib.h>
#include <string.h>

static shared_barrier *find(block *b, uint64_t offset) {
  for (unsigned k = 0; k < b->n_mbarriers; k++)
    if (b->mbarriers[k].offset == offset) return &b->mbarriers[k];
  return NULL;
}

static uint64_t offset_of(uint64_t at) { return at >= SHARED_WINDOW ? at - SHARED_WINDOW : at; }

static shared_barrier *barrier_at(const step *s, unsigned lane, uint64_t at) {
  if (!exec_access(s, lane, at, 8, SPACE_SHARED, ACCESS_ATOMIC)) return NULL;
  shared_barrier *r = find(s->b, offset_of(at));
  if (!r)
    exec_report(s, lane, "mbarrier", "offset %llu holds no initialised mbarrier",
                (unsigned long long)offset_of(at));
  return r;
}

static void initialise(const step *s, unsigned lane, uint64_t at, uint64_t count) {
  block *b = s->b;
  if (!exec_access(s, lane, at, 8, SPACE_SHARED, ACCESS_WRITE)) return;
  if (find(b, offset_of(at)) || b->n_mbarriers == N_SHARED_BARRIERS || !count || count >= 1u << 20) {
    exec_report(s, lane, "mbarrier",
                "an mbarrier that is initialised twice, of %llu arrivals, or more than %d of them",
                (unsigned long long)count, N_SHARED_BARRIERS);
    return;
  }
  memset(b->shared + offset_of(at), 0, 8);
  b->mbarriers[b->n_mbarriers++] =
      (shared_barrier){.offset = offset_of(at), .expected = (uint32_t)count, .pending = (uint32_t)count};
}

/* ---- phases ---- */

static void join(uint32_t to[N_CLOCKS], const uint32_t from[N_CLOCKS]) {
  for (unsigned v = 0; v < N_CLOCKS; v++)
    if (from[v] > to[v]) to[v] = from[v];
}

static void complete(shared_barrier *r) {
  if (r->pending || r->bytes) return;
  r->phase++;
  r->pending = r->expected;
  memcpy(r->released, r->clock, sizeof r->clock);
}

/* Until when the warp's accesses are ordered before this lane's arrival: those of lanes that do not arrive
 * with it only as far as it knows of them. */
static uint32_t ordered_until(const step *s, unsigned lane, uint32_t time) {
  const warp *w = s->w;
  uint32_t least = time;
  FOR_LANES(o, w->alive & ~s->mask)
  if (w->touched[o] && w->touched[o] >= w->known[lane][o] && w->known[lane][o] < least)
    least = w->known[lane][o];
  return least;
}

static void arrive(const step *s, unsigned lane, shared_barrier *r, uint64_t count, uint64_t bytes) {
  const uint32_t until = ordered_until(s, lane, s->b->time);
  join(r->clock, s->w->clock);
  if (until > r->clock[s->w->id]) r->clock[s->w->id] = until;
  if (!count || count > r->pending) {
    exec_report(s, lane, "mbarrier", "%llu arrivals where the phase has room for %u",
                (unsigned long long)count, r->pending);
    return;
  }
  r->pending -= (uint32_t)count;
  r->bytes += (int64_t)bytes;
  complete(r);
}

void mbarrier_execute(const step *s) {
  const ptx_instruction *i = s->i;
  const unsigned at = i->mode == MBARRIER_INIT ? 0 : 1;
  lanes a, room;
  exec_addresses(s, &i->operands[at], true, a);
  const uint64_t *v = i->n_operands > at + 1 ? exec_source(s, &i->operands[at + 1], room) : NULL;
  ++s->b->time;
  FOR_LANES(l, s->mask) {
    const uint64_t number = v ? (uint32_t)v[l] : 1;
    if (i->mode == MBARRIER_INIT) {
      initialise(s, l, a[l], number);
      continue;
    }
    shared_barrier *r = barrier_at(s, l, a[l]);
    if (!r) continue;
    const bool expects = i->mode == MBARRIER_EXPECT;
    arrive(s, l, r, expects ? 1 : number, expects ? number : 0);
  }
  s->w->now = s->b->time; /* what it does from here on is not ordered by the arrival */
}

/* ---- bulk copies ---- */

void mbarrier_copy(const step *s) {
  const ptx_instruction *i = s->i;
  block *b = s->b;
  lanes to, from, bar, room;
  exec_addresses(s, &i->operands[0], true, to);
  exec_addresses(s, &i->operands[1], false, from);
  exec_addresses(s, &i->operands[3], true, bar);
  const uint64_t *n = exec_source(s, &i->operands[2], room);
  FOR_LANES(l, s->mask) {
    const uint64_t bytes = (uint32_t)n[l];
    if ((to[l] | from[l] | bytes) % 16) {
      exec_report(s, l, "misaligned", "a bulk copy of %llu bytes from 0x%llx: not multiples of 16",
                  (unsigned long long)bytes, (unsigned long long)from[l]);
      continue;
    }
    shared_barrier *r = barrier_at(s, l, bar[l]);
    bool fine = r != NULL;
    for (uint64_t k = 0; fine && k < bytes; k += 16) {
      unsigned char *p = exec_access(s, l, to[l] + k, 16, SPACE_SHARED, ACCESS_ASYNC);
      fine = p != NULL;
      if (fine) memset(p, 0xff, 16);
    }
    if (!fine || !bytes) continue;
    exec_check_followed(s, l, from[l], (unsigned)bytes, "a bulk copy"); /* which reads at once, or later */
    if (b->n_copies == b->cap_copies) {
      const unsigned more = b->cap_copies ? 2 * b->cap_copies : 64;
      bulk_copy *grown = realloc(b->copies, more * sizeof *grown);
      if (!grown) {
        b->out_of_memory = true;
        return;
      }
      b->copies = grown;
      b->cap_copies = more;
    }
    b->copies[b->n_copies++] = (bulk_copy){offset_of(to[l]), from[l], bytes, r, i, s->w->id, l};
  }
}

static void finish(block *b, const bulk_copy *c) {
  const step s = {b, &b->warps[c->warp], c->instruction,
                  1u << c->lane}; /* a bad source is the copy's fault */
  for (uint64_t k = 0; k < c->n; k += 16) {
    const unsigned char *p = exec_access(&s, c->lane, c->from + k, 16, SPACE_GLOBAL, ACCESS_READ);
    if (p) memcpy(b->shared + c->to + k, p, 16);
  }
  shared_arrived(b, c->to, c->n);
  c->barrier->clock[ASYNC_WARP] = ++b->time;
  c->barrier->bytes -= (int64_t)c->n;
}

static void finish_copies_of(block *b, shared_barrier *r) {
  unsigned left = 0;
  for (unsigned k = 0; k < b->n_copies; k++) {
    const bulk_copy c = b->copies[k];
    if (c.barrier == r)
      finish(b, &c);
    else
      b->copies[left++] = c;
  }
  if (left != b->n_copies) {
    b->n_copies = left;
    complete(r);
  }
}

void mbarrier_copies_left(block *b) {
  if (!b->n_copies) return;
  const bulk_copy *c = &b->copies[0];
  const step s = {b, &b->warps[c->warp], c->instruction, 1u << c->lane};
  exec_report(&s, c->lane, "copy-not-awaited",
              "the block ends with %u bulk copies that nobody has waited for", b->n_copies);
}

/* ---- waiting ---- */

static bool is_over(shared_barrier *r, uint64_t parity) { return (r->phase & 1) != (parity & 1); }

uint32_t mbarrier_wait(const step *s) {
  const ptx_instruction *i = s->i;
  lanes a, room;
  uint32_t over = 0;
  exec_addresses(s, &i->operands[1], true, a);
  const uint64_t *parity = exec_source(s, &i->operands[2], room);
  FOR_LANES(l, s->mask) {
    shared_barrier *r = barrier_at(s, l, a[l]);
    if (r && !is_over(r, parity[l])) finish_copies_of(s->b, r);
    if (r && !is_over(r, parity[l])) continue;
    over |= 1u << l;
    if (!r) continue;
    join(s->w->clock, r->released);
    for (unsigned o = 0; o < EXEC_WARP; o++)
      if (r->released[s->w->id] > s->w->known[l][o]) s->w->known[l][o] = r->released[s->w->id];
  }
  const step done = {s->b, s->w, i, over};
  exec_set_predicate(&done, &i->operands[0], ~0u);
  return over;
}

bool mbarrier_release(block *b) {
  bool any = false;
  for (unsigned v = 0; v < b->n_warps; v++) {
    warp *w = &b->warps[v];
    FOR_LANES(l, w->at_mbarrier) {
      const step s = {b, w, &b->l->module->code[w->pc[l]], 1u << l};
      lanes a, room;
      exec_addresses(&s, &s.i->operands[1], true, a);
      const uint64_t *parity = exec_source(&s, &s.i->operands[2], room);
      shared_barrier *r = find(b, offset_of(a[l]));
      if (r && !is_over(r, parity[l])) finish_copies_of(b, r);
      if (r && !is_over(r, parity[l])) continue;
      w->at_mbarrier &= ~(1u << l);
      any = true;
    }
  }
  return any;
}
