/* checks.c - what the test backend demands of its caller: ranges, order between queues, frames that stay as
 * they are. Order is judged by what was asked for and not by what happened to be done in time, so that a
 * missing wait is seen in every run. */
#include <string.h>

#include "backends/host2/host2_internal.h"

void host2_clock_join(host2_clock *c, const host2_clock *other) {
  for (int i = 0; i < HOST2_MAX_QUEUES; i++)
    if (other->done[i] > c->done[i]) c->done[i] = other->done[i];
}

/* ---- ranges ---- */

static bool exists(const host2_device *d, const wh_buffer *b) {
  for (const wh_buffer *at = d->buffers; at; at = at->next)
    if (at == b) return true;
  return false;
}

wh_status host2_check_range(const host2_device *d, const wh_buffer *b, uint64_t at, uint64_t n_bytes,
                            const char *what) {
  if (!exists(d, b)) return WH_FAIL(ERR_DEVICE, "%s: its buffer is none of this device", what);
  if (at > b->n_bytes || n_bytes > b->n_bytes - at)
    return WH_FAIL(ERR_DEVICE, "%s: %llu bytes at %llu do not lie within a buffer of %llu", what,
                   (unsigned long long)n_bytes, (unsigned long long)at, (unsigned long long)b->n_bytes);
  return WH_OK;
}

static bool meet(const host2_access *a, const host2_access *b) {
  return a->buffer == b->buffer && a->begin < b->end && b->begin < a->end && (a->writes || b->writes);
}

static wh_status append(const wh_allocator *alloc, host2_accesses *list, host2_access access) {
  if (!wh_grow_array(alloc, (void **)&list->items, &list->capacity, list->n, list->n + 1,
                     sizeof *list->items))
    return WH_OOM("accesses");
  list->items[list->n++] = access;
  return WH_OK;
}

wh_status host2_add_access(const host2_device *d, host2_accesses *list, wh_buffer *b, uint64_t at,
                           uint64_t n_bytes, bool writes) {
  if (!n_bytes) return WH_OK;
  return append(d->alloc, list,
                (host2_access){.buffer = b, .begin = at, .end = at + n_bytes, .writes = writes});
}

/* ---- a block's operands ---- */

typedef struct block_check {
  const host2_device *d;
  const wh_code *code;
  const wh_frame *frame;
  const wh_node_info *node;
  host2_accesses *out;
} block_check;

static wh_status add_slot(const block_check *c, uint32_t slot, uint64_t need, bool writes) {
  if (slot >= c->code->block.n_slots)
    return WH_FAIL(ERR_DEVICE, "node '%s': there is no slot %u", c->node->name, slot);
  const uint64_t at = c->frame->offsets[slot], n_bytes = c->frame->n_bytes[slot];
  WH_TRY(host2_check_range(c->d, c->frame->buffers[slot], at, n_bytes, c->node->name));
  if (n_bytes < need)
    return WH_FAIL(ERR_DEVICE, "node '%s': slot %u has %llu bytes, %llu are needed", c->node->name, slot,
                   (unsigned long long)n_bytes, (unsigned long long)need);
  return host2_add_access(c->d, c->out, c->frame->buffers[slot], at, n_bytes, writes);
}

/* Bytes of an operand: as many as the chosen layout has, or the value. */
static wh_status operand_bytes(const block_check *c, const wh_claim *claim, const wh_arg *arg, unsigned input,
                               uint64_t *out) {
  for (uint32_t i = 0; i < claim->n_layouts; i++)
    if (arg->layout && claim->layouts[i].input == input && claim->layouts[i].id == arg->layout) {
      *out = claim->layouts[i].n_bytes;
      return WH_OK;
    }
  return host2_cpu->value_bytes(c->d->cpu, c->code->block.graph, arg->value, c->frame->dims, out);
}

static wh_status add_step(const block_check *c, const wh_step *step) {
  const wh_block *block = &c->code->block;
  const wh_arg *args = block->args + step->first_arg;
  wh_claim claim = {.struct_size = sizeof claim};
  WH_TRY(host2_cpu->claim(c->d->cpu, block->graph, step->node, c->frame->dims, &claim));
  for (unsigned i = 0; i < (unsigned)step->n_inputs + step->n_outputs; i++) {
    if (!args[i].value) continue;
    uint64_t need = 0;
    WH_TRY(operand_bytes(c, &claim, &args[i], i, &need));
    WH_TRY(add_slot(c, args[i].slot, need, i >= step->n_inputs));
  }
  if (claim.scratch_bytes && step->scratch == WH_NO_SLOT)
    return WH_FAIL(ERR_DEVICE, "node '%s': has no scratch", c->node->name);
  return step->scratch == WH_NO_SLOT ? WH_OK : add_slot(c, step->scratch, claim.scratch_bytes, true);
}

/* Accesses [begin, here) and [here, end) belong to different steps of one phase, or are the operands of one:
 * a step may read what it writes only where both are one range, a state. */
static wh_status check_apart(const block_check *c, size_t begin, size_t here, bool one_step) {
  for (size_t i = begin; i < here; i++)
    for (size_t k = one_step ? i + 1 : here; k < (one_step ? here : c->out->n); k++) {
      const host2_access *a = &c->out->items[i], *b = &c->out->items[k];
      if (!meet(a, b) || (one_step && a->begin == b->begin && a->end == b->end)) continue;
      return WH_FAIL(ERR_DEVICE, "node '%s': its operands overlap %s", c->node->name,
                     one_step ? "each other" : "what another step of the phase writes or reads");
    }
  return WH_OK;
}

wh_status host2_block_accesses(const host2_device *d, const wh_code *code, size_t first, size_t count,
                               const wh_frame *frame, host2_accesses *out) {
  const wh_block *block = &code->block;
  size_t phase = 0;
  block_check c = {d, code, frame, NULL, out};
  if (first > block->n_steps || count > block->n_steps - first)
    return WH_FAIL(ERR_DEVICE, "steps %zu to %zu of a block of %zu", first, first + count, block->n_steps);
  for (size_t i = first; i < first + count; i++) {
    const wh_step *step = &block->steps[i];
    const size_t here = out->n;
    c.node = &block->graph->nodes[step->node];
    if (i > first && step->phase != step[-1].phase) phase = here;
    if (i > first && step->phase < step[-1].phase)
      return WH_FAIL(ERR_DEVICE, "node '%s': phases of a block descend", c.node->name);
    WH_TRY(add_step(&c, step));
    WH_TRY(check_apart(&c, phase, here, false));
    WH_TRY(check_apart(&c, here, out->n, true));
  }
  if (frame->fault != WH_NO_SLOT && count) return add_slot(&c, frame->fault, sizeof(wh_fault), true);
  return WH_OK;
}

/* ---- order ---- */

wh_status host2_check_order(const host2_accesses *list, const host2_clock *clock, const char *what) {
  for (size_t i = 0; i < list->n; i++) {
    const host2_access *mine = &list->items[i];
    const host2_accesses *history = &mine->buffer->history;
    for (size_t k = 0; k < history->n; k++) {
      const host2_access *other = &history->items[k];
      if (meet(mine, other) && other->value > clock->done[other->queue])
        return WH_FAIL(ERR_DEVICE, "%s: %s bytes %llu to %llu of a buffer that queue %d still %s", what,
                       mine->writes ? "writes" : "reads", (unsigned long long)mine->begin,
                       (unsigned long long)mine->end, other->queue, other->writes ? "writes" : "reads");
    }
  }
  return WH_OK;
}

wh_status host2_remember(const host2_accesses *list, int queue, uint64_t value) {
  for (size_t i = 0; i < list->n; i++) {
    host2_access a = list->items[i];
    host2_accesses *history = &a.buffer->history;
    size_t kept = 0;
    for (size_t k = 0; k < history->n; k++) { /* what the host knows, and what this says again */
      const host2_access *o = &history->items[k];
      const bool same = o->queue == queue && o->begin >= a.begin && o->end <= a.end && o->writes <= a.writes;
      if (!same && o->value > host2_host.done[o->queue]) history->items[kept++] = *o;
    }
    history->n = kept;
    a.queue = queue;
    a.value = value;
    WH_TRY(append(a.buffer->d->alloc, history, a));
  }
  return WH_OK;
}

/* ---- frames ---- */

static wh_hash128 add_hash(wh_hash128 h, const void *data, size_t n_bytes) {
  const wh_hash128 pair[2] = {h, wh_hash_bytes(data, n_bytes)};
  return wh_hash_bytes(pair, sizeof pair);
}

wh_hash128 host2_frame_hash(const wh_code *code, const wh_frame *f) {
  const size_t n = code->block.n_slots;
  const uint64_t numbers[2] = {f->id, f->fault};
  wh_hash128 h = wh_hash_bytes(numbers, sizeof numbers);
  h = add_hash(h, f->buffers, n * sizeof *f->buffers);
  h = add_hash(h, f->offsets, n * sizeof *f->offsets);
  h = add_hash(h, f->n_bytes, n * sizeof *f->n_bytes);
  return add_hash(h, f->dims, code->block.graph->dims.n * sizeof *f->dims);
}

wh_status host2_check_frame(wh_queue *q, const wh_code *code, size_t first, size_t count,
                            const wh_frame *frame, wh_hash128 hash) {
  size_t i = 0;
  while (i < q->n_frames && (q->frames[i].code != code || q->frames[i].id != frame->id)) i++;
  if (i == q->n_frames) {
    if (first != 0) return WH_FAIL(ERR_DEVICE, "a run starts at step %zu", first);
    if (q->n_frames == HOST2_KEPT_FRAMES)
      memmove(q->frames, q->frames + 1, --q->n_frames * sizeof q->frames[0]), i--;
    q->frames[i].code = code;
    q->frames[i].id = frame->id;
    q->frames[i].hash = hash;
    q->n_frames++;
  } else if (!wh_hash_equal(q->frames[i].hash, hash)) {
    return WH_FAIL(ERR_DEVICE, "frame %llu is not what it was when it was given before",
                   (unsigned long long)frame->id);
  } else if (first != 0 && first != q->frames[i].next_step) {
    return WH_FAIL(ERR_DEVICE, "a run goes on at step %zu, not at %zu", first, q->frames[i].next_step);
  }
  q->frames[i].next_step = first + count;
  return WH_OK;
}

void host2_forget_frames(wh_queue *q, const wh_code *code) {
  size_t kept = 0;
  for (size_t i = 0; i < q->n_frames; i++)
    if (q->frames[i].code != code) q->frames[kept++] = q->frames[i];
  q->n_frames = kept;
}
