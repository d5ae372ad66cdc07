/* memory.c - what a program and a run of it take of each device's memory, and whether it is there: asked
 * before anything is loaded. */
#include "core/exec/run.h"

/* What running takes besides a run's own memory: tokenizer, threads, the caller's buffers. */
#define SPARE_BYTES ((uint64_t)8 << 20)
/* What a device with memory of its own keeps for its driver and kernels: a share of what is free, at most so
 * much. */
#define DEVICE_SPARE_SHARE 16
#define DEVICE_SPARE_BYTES ((uint64_t)256 << 20)

/* Saturates. Returns `total`. */
static uint64_t *add_bytes(uint64_t *total, uint64_t n) {
  *total = n > UINT64_MAX - *total ? UINT64_MAX : *total + n;
  return total;
}

/* Without what is free. */
static wh_device_memory device_memory(const wh_program *p, const wh_layout *l, uint32_t d) {
  const wh_plan_device *pd = &p->devices[d].device;
  const wh_layout_memory *m = &l->memory[d];
  wh_weight_memory w = {0};
  wh_device_memory out = {.is_own = pd->backend->free_memory != NULL};
  if (p->devices[d].weights) {
    wh_weight_set_get_memory(p->devices[d].weights, &w);
    out.is_loaded = wh_weight_set_is_loaded(p->devices[d].weights);
  }
  out.activations = pd->backend->buffer_footprint(pd->dev, WH_MEMORY_DEVICE, m->arena.arena_bytes);
  if (m->state_bytes) out.states = pd->backend->buffer_footprint(pd->dev, WH_MEMORY_POOL, m->state_bytes);
  out.weights = w.packed_bytes;
  out.mapped = w.mapped_bytes;
  return out;
}

wh_status wh_program_device_memory(const wh_program *p, const wh_layout *l, uint32_t d,
                                   wh_device_memory *out) {
  const wh_plan_device *pd = &p->devices[d].device;
  uint64_t left = 0;
  *out = device_memory(p, l, d);
  if (!out->is_own) return WH_OK;
  WH_TRY(pd->backend->free_memory(pd->dev, &left));
  const uint64_t share = left / DEVICE_SPARE_SHARE;
  out->available = left - (share < DEVICE_SPARE_BYTES ? share : DEVICE_SPARE_BYTES);
  return WH_OK;
}

uint64_t wh_device_memory_need(const wh_device_memory *m) {
  uint64_t need = m->is_loaded ? 0 : m->weights;
  add_bytes(add_bytes(&need, m->states), m->activations);
  return need;
}

wh_status wh_program_check_devices(const wh_program *p, const wh_layout *l) {
  for (uint32_t d = 0; d < p->n_devices; d++) {
    wh_device_memory m;
    char text[6][WH_BYTES_TEXT];
    WH_TRY(wh_program_device_memory(p, l, d, &m));
    const uint64_t need = wh_device_memory_need(&m);
    if (!m.is_own || need <= m.available) continue;
    return WH_FAIL(
        ERR_OUT_OF_MEMORY,
        "%s: %s of its memory are needed (%s of weights, %s of attention state, %s of activations) "
        "but %s are free: %s are missing",
        wh_plan_device_name(&p->devices[d].device), wh_bytes_text(need, text[0]),
        wh_bytes_text(m.is_loaded ? 0 : m.weights, text[1]), wh_bytes_text(m.states, text[2]),
        wh_bytes_text(m.activations, text[3]), wh_bytes_text(m.available, text[4]),
        wh_bytes_text(need - m.available, text[5]));
  }
  return WH_OK;
}

void wh_program_predict_memory(const wh_program *p, const wh_layout *l, wh_run_memory *out) {
  *out = (wh_run_memory){.other_bytes = p->n_steps * sizeof *p->steps + p->n_args * sizeof *p->args +
                                        p->n_slots * (sizeof *p->slots + 4 * sizeof(uint64_t))};
  for (uint32_t d = 0; d < p->n_devices; d++) {
    const wh_layout_memory *m = &l->memory[d];
    const wh_device_memory taken = device_memory(p, l, d);
    wh_weight_memory w = {0};
    if (p->devices[d].weights) wh_weight_set_get_memory(p->devices[d].weights, &w);
    out->arena.arena_bytes += m->arena.arena_bytes;
    out->arena.lower_bound_bytes += m->arena.lower_bound_bytes;
    out->arena.unshared_bytes += m->arena.unshared_bytes;
    out->arena_bytes += taken.activations;
    out->state_bytes += taken.states;
    out->weights.packed_bytes += w.packed_bytes;
    out->weights.cached_bytes += w.cached_bytes;
    out->weights.mapped_bytes += w.mapped_bytes;
    out->weights.other_bytes += w.other_bytes;
  }
}

wh_status wh_program_check_memory(const wh_program *p, const wh_layout *l, const wh_memory_budget *budget) {
  uint64_t need = SPARE_BYTES, activations = 0, states = 0, packed = 0, staged = 0;
  WH_TRY(wh_program_check_devices(p, l));
  for (uint32_t d = 0; d < p->n_devices; d++) {
    const wh_device_memory m = device_memory(p, l, d);
    const uint64_t weights = m.is_loaded ? 0 : m.weights;
    const uint64_t passing = weights < WH_WEIGHT_STAGING_BYTES ? weights : WH_WEIGHT_STAGING_BYTES;
    if (m.is_own && passing > staged) staged = passing; /* one device after the other */
    if (m.is_own) continue;
    add_bytes(&activations, m.activations);
    add_bytes(&states, m.states);
    add_bytes(&packed, weights);
  }
  add_bytes(&packed, staged);
  add_bytes(add_bytes(add_bytes(&need, activations), states), packed);
  if (need <= budget->available) return WH_OK;
  char text[5][WH_BYTES_TEXT];
  return WH_FAIL(
      ERR_OUT_OF_MEMORY,
      "%s of memory are needed (%s of attention state, %s of activations, %s of packed weights) but "
      "%s are left by %s; %s",
      wh_bytes_text(need, text[0]), wh_bytes_text(states, text[1]), wh_bytes_text(activations, text[2]),
      wh_bytes_text(packed, text[3]), wh_bytes_text(budget->available, text[4]), budget->limit,
      packed < budget->available
          ? "a smaller context needs less of it"
          : "the weights alone do not fit: use a smaller model, or one with fewer bits");
}
