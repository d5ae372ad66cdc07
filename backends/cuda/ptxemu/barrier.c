/* barrier.c - bar, barrier and bar.warp: who waits, when all have come, and what that orders. */
#include "backends/cuda/ptxemu/exec_internal.h"

/* ---- within a warp ---- */

void barrier_warp(const step *s, uint32_t members) {
  warp *w = s->w;
  const uint32_t time = ++s->b->time;
  uint32_t joined[EXEC_WARP] = {0};
  FOR_LANES(l, members)
  for (unsigned o = 0; o < EXEC_WARP; o++)
    if (w->known[l][o] > joined[o]) joined[o] = w->known[l][o];
  w->now = time;
  FOR_LANES(o, members) joined[o] = time;
  FOR_LANES(l, members)
  for (unsigned o = 0; o < EXEC_WARP; o++) w->known[l][o] = joined[o];
}

/* ---- within a block ---- */

void barrier_arrive(const step *s) {
  block *b = s->b;
  warp *w = s->w;
  const ptx_instruction *i = s->i;
  const bool reduces = i->mode >= BAR_RED_POPC;
  lanes room, count_room;
  const unsigned first = reduces ? 1 : 0; /* behind the result */
  const unsigned n_plain = i->n_operands - first - (reduces ? 1 : 0);
  const uint64_t *ids = exec_source(s, &i->operands[first], room);
  const uint64_t *counts = n_plain > 1 ? exec_source(s, &i->operands[first + 1], count_room) : NULL;
  const uint32_t time = ++b->time;
  FOR_LANES(l, s->mask) {
    const unsigned id = (unsigned)(ids[l] & 0xffffffff);
    const unsigned expected = counts ? (unsigned)(counts[l] & 0xffffffff) : 0;
    if (id >= N_BARRIERS) {
      exec_report(s, l, "barrier-number", "there is no barrier %u", id);
      continue;
    }
    barrier *r = &b->barriers[id];
    if (!r->is_used) r->expected = expected;
    if (r->is_used && r->expected != expected)
      exec_report(s, l, "barrier-count", "barrier %u awaits %u threads here and %u elsewhere", id, expected,
                  r->expected);
    if (counts && (expected % EXEC_WARP || !expected))
      exec_report(s, l, "barrier-count", "%u threads are not a number of whole warps", expected);
    if (r->arrived[w->id] >> l & 1)
      exec_report(s, l, "barrier-twice",
                  "the thread has already arrived at barrier %u, which is not complete", id);
    r->is_used = true;
    r->arrived[w->id] |= 1u << l;
    for (unsigned v = 0; v < N_CLOCKS; v++)
      if (w->clock[v] > r->clock[v]) r->clock[v] = w->clock[v];
    r->clock[w->id] = time;
    if (reduces) {
      r->n_true += exec_predicate(s, &i->operands[i->n_operands - 1]) >> l & 1;
      r->n_voted++;
    }
    if (i->mode == BAR_ARRIVE) {
      w->now = time; /* what it does from here on is not ordered by the barrier */
      continue;
    }
    r->waits[w->id] |= 1u << l;
    w->at_barrier |= 1u << l;
    w->barrier[l] = (uint8_t)id;
  }
}

/* A warp counts as a whole as soon as all of its threads that are left have come. */
static bool is_complete(const block *b, const barrier *r) {
  unsigned n = 0;
  bool all = true;
  for (unsigned v = 0; v < b->n_warps; v++) {
    const uint32_t alive = b->warps[v].alive;
    if (alive & ~r->arrived[v]) all = false;
    if (!r->arrived[v]) continue;
    n += alive & ~r->arrived[v] ? (unsigned)__builtin_popcount(r->arrived[v]) : EXEC_WARP;
  }
  return r->expected ? n >= r->expected : all;
}

static void let_go(block *b, barrier *r) {
  const uint32_t time = ++b->time;
  for (unsigned v = 0; v < b->n_warps; v++) /* who waits has done nothing since it arrived */
    if (r->waits[v] && r->waits[v] == r->arrived[v]) r->clock[v] = time;
  for (unsigned v = 0; v < b->n_warps; v++) {
    warp *w = &b->warps[v];
    const uint32_t waits = r->waits[v];
    if (!waits) continue;
    const unsigned lead = (unsigned)__builtin_ctz(waits);
    const uint32_t pc = w->pc[lead];
    const step s = {b, w, &b->l->module->code[pc], waits};
    for (unsigned x = 0; x < N_CLOCKS; x++)
      if (r->clock[x] > w->clock[x]) w->clock[x] = r->clock[x];
    uint32_t joined[EXEC_WARP] = {0}; /* lanes arrived at the same time or before: all is known */
    FOR_LANES(o, r->arrived[v]) joined[o] = r->clock[v];
    FOR_LANES(l, waits) {
      if (w->pc[l] != pc)
        exec_report(&s, l, "divergent-barrier",
                    "the thread waits at line %u and thread %u of its warp at line %u",
                    b->l->module->code[w->pc[l]].line, thread_of(w, lead), s.i->line);
      for (unsigned o = 0; o < EXEC_WARP; o++)
        if (joined[o] > w->known[l][o]) w->known[l][o] = joined[o];
      const ptx_instruction *i = &b->l->module->code[w->pc[l]];
      if (i->mode >= BAR_RED_POPC) {
        const step one = {b, w, i, 1u << l};
        lanes ignored;
        const bool vote = i->mode == BAR_RED_AND ? r->n_true == r->n_voted : r->n_true > 0;
        exec_result(&one, &i->operands[0], ignored)[l] = i->mode == BAR_RED_POPC ? r->n_true : vote;
      }
      w->pc[l]++;
    }
    w->at_barrier &= ~waits;
    w->now = time;
  }
  *r = (barrier){0};
}

bool barrier_release(block *b) {
  bool any = false;
  for (unsigned id = 0; id < N_BARRIERS; id++) {
    barrier *r = &b->barriers[id];
    if (!r->is_used || !is_complete(b, r)) continue;
    bool waits = false;
    for (unsigned v = 0; v < b->n_warps; v++) waits |= r->waits[v] != 0;
    let_go(b, r);
    any |= waits;
  }
  return any;
}

void barrier_report_stuck(block *b) {
  for (unsigned v = 0; v < b->n_warps; v++) {
    warp *w = &b->warps[v];
    const uint32_t stuck = w->at_barrier | w->at_sync | w->at_mbarrier;
    if (!stuck) continue;
    const unsigned l = (unsigned)__builtin_ctz(stuck);
    const step s = {b, w, &b->l->module->code[w->pc[l]], stuck};
    if (w->at_barrier >> l & 1)
      exec_report(&s, l, "barrier-deadlock", "barrier %u never completes: %u threads of warp %u wait",
                  w->barrier[l], (unsigned)__builtin_popcount(stuck), v);
    else if (w->at_mbarrier >> l & 1)
      exec_report(&s, l, "mbarrier-deadlock", "the phase never ends: %u threads of warp %u wait",
                  (unsigned)__builtin_popcount(stuck), v);
    else
      exec_report(&s, l, "warp-deadlock", "lanes of the mask never come; lanes %08x wait", stuck);
  }
}
