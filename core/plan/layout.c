/* layout.c - see layout.h. */
#include "core/plan/layout.h"

#include <string.h>

#include "core/plan/parts.h"

#define MORE_ROOM 8    /* of a place: that part of what it needs */
#define STRETCH 64     /* the unit of the factor that places are stretched by, */
#define MOST_STRETCH 8 /* which is at most that */

static bool divides_by_symbols(const wh_dim_table *t) {
  for (wh_dim d = 0; d < t->n; d++) {
    const wh_dim_expr *e = wh_dim_get(t, d);
    const bool division = e->kind == WH_DIM_FLOORDIV || e->kind == WH_DIM_CEILDIV || e->kind == WH_DIM_MOD;
    if (division && !wh_dim_is_const(t, e->b)) return true;
  }
  return false;
}

wh_status wh_graph_check_symbols(const wh_graph *g, const int64_t *symbols) {
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) {
    const int64_t least = wh_dim_get(&g->dims, g->dims.symbol_dims[i])->min,
                  most = wh_dim_get(&g->dims, g->dims.symbol_dims[i])->max;
    const bool nothing = symbols[i] == 0 && least > 0 && divides_by_symbols(&g->dims);
    if (nothing)
      return WH_FAIL(ERR_LIMIT, "dimension '%s' of graph '%s' cannot be 0: at least %lld", g->dims.symbols[i],
                     g->name, (long long)least);
    if (symbols[i] < 0 || symbols[i] > most)
      return WH_FAIL(ERR_LIMIT, "dimension '%s' of graph '%s' cannot be %lld: at most %lld",
                     g->dims.symbols[i], g->name, (long long)symbols[i], (long long)most);
  }
  return WH_OK;
}

/* Sizes of the slots of values and of scratch; those of weights are what they are. */
static wh_status size_slots(const wh_program *p, wh_layout *l) {
  for (uint32_t i = 0; i < p->n_slots; i++) {
    const wh_slot *s = &p->slots[i];
    const wh_plan_device *d = &p->devices[s->device].device;
    if (s->kind == WH_SLOT_WEIGHT) {
      l->n_bytes[i] = s->n_bytes;
    } else if (s->value) {
      WH_TRY(d->backend->value_bytes(d->dev, p->graph, s->value, l->dims, &l->n_bytes[i]));
    } else if (s->scratch_of != WH_NO_NODE) {
      wh_claim claim = {.struct_size = sizeof claim};
      WH_TRY(d->backend->claim(d->dev, p->graph, s->scratch_of, l->dims, &claim));
      l->n_bytes[i] = claim.scratch_bytes;
    } else {
      l->n_bytes[i] = sizeof(wh_fault);
    }
  }
  return WH_OK;
}

static wh_status place_states(const wh_program *p, wh_layout *l) {
  for (uint32_t i = 0; i < p->n_slots; i++) {
    if (p->slots[i].kind != WH_SLOT_STATE) continue;
    uint64_t *total = &l->memory[p->slots[i].device].state_bytes;
    size_t bytes, sum;
    l->offsets[i] = *total;
    if (!wh_align_size(l->n_bytes[i], WH_PLAN_ALIGN, &bytes) || !wh_add_size(*total, bytes, &sum))
      return WH_FAIL(ERR_LIMIT, "the KV state does not fit in memory; use a smaller context");
    *total = sum;
  }
  return WH_OK;
}

/* With a place of its own. */
static bool is_in_arena(const wh_program *p, const wh_layout *l, uint32_t slot, uint16_t device) {
  uint64_t at;
  return p->slots[slot].kind == WH_SLOT_ARENA && p->slots[slot].device == device &&
         !wh_part_is_placed(p, l->dims, slot, &at);
}

static void place_parts(const wh_program *p, wh_layout *l) {
  uint64_t at;
  for (uint32_t i = 0; i < p->n_slots; i++)
    if (wh_part_is_placed(p, l->dims, i, &at)) l->offsets[i] = l->offsets[p->slots[i].whole] + at;
}

static uint64_t units(uint64_t n_bytes) { return n_bytes / WH_PLAN_ALIGN + (n_bytes % WH_PLAN_ALIGN != 0); }

/* Most bytes that live in one phase. UINT64_MAX: there was no memory to find out. */
static uint64_t most_alive(const wh_program *p, uint16_t device, const wh_layout *l) {
  uint32_t end = 0;
  for (uint32_t i = 0; i < p->n_slots; i++)
    if (is_in_arena(p, l, i, device) && p->slots[i].last >= end) end = p->slots[i].last + 1;
  uint64_t *change = wh_alloc_zeroed(l->alloc, ((size_t)end + 1) * sizeof *change);
  if (!change) return UINT64_MAX;
  for (uint32_t i = 0; i < p->n_slots; i++) {
    if (!is_in_arena(p, l, i, device)) continue;
    change[p->slots[i].first] += l->n_bytes[i];
    change[p->slots[i].last + 1] -= l->n_bytes[i];
  }
  uint64_t live = 0, most = 0;
  for (uint32_t i = 0; i < end; i++) {
    live += change[i];
    if (live > most) most = live;
  }
  wh_free(l->alloc, change);
  return most;
}

/* The places of another layout, all further apart by one factor where some are too small: what does not
 * overlap there does not then. False: too much room would be lost. */
static bool take_places(const wh_program *p, uint16_t device, const wh_layout *near, wh_layout *l) {
  const wh_memory_plan *plan = &near->memory[device].arena;
  const uint64_t sum = units(plan->unshared_bytes);
  uint64_t all = 0, by = STRETCH;
  if (sum > UINT64_MAX / (2 * STRETCH * MOST_STRETCH)) return false; /* of which no product overflows */
  for (uint32_t i = 0; i < p->n_slots; i++) {
    if (!is_in_arena(p, l, i, device)) continue;
    const uint64_t need = units(l->n_bytes[i]), have = units(near->room[i]);
    all += need; /* at most what was planned, as often as it may be stretched */
    if (need <= have) continue;
    if (need / MOST_STRETCH >= have) return false;
    const uint64_t factor = (need * STRETCH + have - 1) / have;
    if (factor > by) by = factor;
  }
  if (by > STRETCH) {
    by += by / MORE_ROOM;
    const uint64_t most = most_alive(p, device, l);
    if (most == UINT64_MAX || sum * by / STRETCH > all + all / 4 ||
        units(plan->arena_bytes) * by / STRETCH > units(most) + units(most) / 2)
      return false;
  } else if (sum / 2 > all) {
    return false;
  }
  for (uint32_t i = 0; i < p->n_slots; i++) {
    if (!is_in_arena(p, l, i, device)) continue;
    const uint64_t at = units(near->offsets[i]), end = at + units(near->room[i]);
    l->offsets[i] = at * by / STRETCH * WH_PLAN_ALIGN;
    l->room[i] = end * by / STRETCH * WH_PLAN_ALIGN - l->offsets[i];
  }
  l->memory[device].arena =
      (wh_memory_plan){.arena_bytes = units(plan->arena_bytes) * by / STRETCH * WH_PLAN_ALIGN,
                       .lower_bound_bytes = units(plan->lower_bound_bytes) * by / STRETCH * WH_PLAN_ALIGN,
                       .unshared_bytes = sum * by / STRETCH * WH_PLAN_ALIGN};
  return true;
}

static wh_status place_arena(const wh_program *p, uint16_t device, const wh_layout *near,
                             wh_plan_buffer *buffers, wh_layout *l) {
  const bool others_follow = near || (p->many_shapes && l->n_symbols);
  size_t n = 0;
  if (near && take_places(p, device, near, l)) return WH_OK;
  for (uint32_t i = 0; i < p->n_slots; i++) {
    if (!is_in_arena(p, l, i, device) || !l->n_bytes[i]) continue;
    if (!wh_add_size(l->n_bytes[i], others_follow ? l->n_bytes[i] / MORE_ROOM : 0, &l->room[i]))
      return WH_FAIL(ERR_LIMIT, "activations need more memory than can be addressed");
    buffers[n++] = (wh_plan_buffer){.size = l->room[i], .first = p->slots[i].first, .last = p->slots[i].last};
  }
  WH_TRY(wh_plan_memory(buffers, n, l->alloc, &l->memory[device].arena));
  n = 0;
  for (uint32_t i = 0; i < p->n_slots; i++)
    if (is_in_arena(p, l, i, device) && l->n_bytes[i]) l->offsets[i] = buffers[n++].offset;
  return WH_OK;
}

wh_status wh_layout_create(const wh_program *p, const int64_t *symbols, const wh_layout *near,
                           const wh_allocator *alloc, wh_layout **out) {
  const wh_graph *g = p->graph;
  WH_TRY(wh_graph_check_symbols(g, symbols));
  wh_layout *l = wh_alloc_zeroed(alloc, sizeof *l);
  wh_plan_buffer *buffers = wh_alloc_array(alloc, p->n_slots + 1, sizeof *buffers);
  if (!l || !buffers) {
    wh_free(alloc, l);
    wh_free(alloc, buffers);
    return WH_OOM("memory layout");
  }
  atomic_init(&l->n_refs, 1);
  l->alloc = alloc;
  l->n_symbols = g->dims.n_symbols;
  l->symbols = wh_alloc_array(alloc, l->n_symbols + 1, sizeof *l->symbols);
  l->dims = wh_alloc_array(alloc, g->dims.n + 1, sizeof *l->dims);
  l->n_bytes = wh_alloc_array(alloc, p->n_slots + 1, sizeof *l->n_bytes);
  l->offsets = wh_alloc_array(alloc, p->n_slots + 1, sizeof *l->offsets);
  l->room = wh_alloc_array(alloc, p->n_slots + 1, sizeof *l->room);
  wh_status st =
      l->symbols && l->dims && l->n_bytes && l->offsets && l->room ? WH_OK : WH_OOM("memory layout");
  if (st == WH_OK) {
    memcpy(l->symbols, symbols, l->n_symbols * sizeof *symbols);
    wh_dim_values(&g->dims, symbols, l->dims);
    st = size_slots(p, l);
  }
  if (st == WH_OK) st = place_states(p, l);
  for (uint16_t d = 0; d < p->n_devices && st == WH_OK; d++) st = place_arena(p, d, near, buffers, l);
  if (st == WH_OK) place_parts(p, l);
  wh_free(alloc, buffers);
  if (st != WH_OK) {
    wh_layout_release(l);
    return st;
  }
  *out = l;
  return WH_OK;
}

void wh_layout_retain(wh_layout *l) { atomic_fetch_add_explicit(&l->n_refs, 1, memory_order_relaxed); }

void wh_layout_release(wh_layout *l) {
  if (!l || atomic_fetch_sub_explicit(&l->n_refs, 1, memory_order_acq_rel) != 1) return;
  wh_free(l->alloc, l->symbols);
  wh_free(l->alloc, l->dims);
  wh_free(l->alloc, l->n_bytes);
  wh_free(l->alloc, l->offsets);
  wh_free(l->alloc, l->room);
  wh_free(l->alloc, l);
}
