/* exec_memory.c - loads, stores, atomics, asynchronous copies: every access is checked before it is made. */
#include "backends/cuda/ptxemu/exec_internal.h"

#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/numbers.h"
#include "backends/cuda/ptxemu/profile.h"
#include "backends/cuda/ptxemu/report.h"

/* ---- global memory ---- */

static memory_device *device_of(const exec_launch *l, uint64_t at, unsigned n) {
  for (unsigned d = 0; d < l->n_devices; d++)
    if (memory_holds(&l->devices[d], at, n)) return &l->devices[d];
  return NULL;
}

/* Cells beside each other were mostly touched by the same work: the answer for the last one is kept. */
static bool is_ordered(block *b, uint32_t op) {
  if (op == b->ordered_op) return true;
  if (!b->l->ordered(op, b->l->op)) return false;
  b->ordered_op = op;
  return true;
}

static void check_blocks(const step *s, unsigned lane, memory_cell *c, access_kind kind) {
  const exec_launch *l = s->b->l;
  const uint32_t me = s->b->linear + 1;
  const bool writes = kind != ACCESS_READ;
  if (c->write_op && c->write_op != l->op && !is_ordered(s->b, c->write_op))
    exec_report(s, lane, "stream-order",
                "another stream's work wrote this, and nothing orders this %s after it",
                writes ? "write" : "read");
  if (writes && c->read_op && c->read_op != l->op && !is_ordered(s->b, c->read_op))
    exec_report(s, lane, "stream-order",
                "another stream's work reads this, and nothing orders this write after it");
  if (kind == ACCESS_ATOMIC) return; /* neither races with its like, nor is it remembered */
  if (s->b->checks_blocks && c->write_op == l->op && c->write_block != me)
    exec_report(s, lane, "race-blocks", "block %u writes the same bytes in this launch", c->write_block - 1);
  if (s->b->checks_blocks && writes && c->read_op == l->op && c->read_block != me)
    exec_report(s, lane, "race-blocks",
                c->read_block == MEMORY_MANY_BLOCKS ? "several blocks read the same bytes in this launch"
                                                    : "another block reads the same bytes in this launch");
  if (writes) {
    c->write_op = l->op;
    c->write_block = me;
  } else {
    c->read_block = c->read_op == l->op && c->read_block != me ? MEMORY_MANY_BLOCKS : me;
    c->read_op = l->op;
  }
}

void exec_check_followed(const step *s, unsigned lane, uint64_t at, unsigned n, const char *what) {
  if (s->b->l->follows && !(s->w->waited >> lane & 1))
    exec_report(s, lane, "too-early",
                "%s of %u bytes at 0x%llx before griddepcontrol.wait: what is in front may still run", what,
                n, (unsigned long long)at);
}

static unsigned char *access_global(const step *s, unsigned lane, uint64_t at, unsigned n, access_kind kind) {
  memory_device *d = device_of(s->b->l, at, n);
  const char *what = kind == ACCESS_READ ? "a read" : "a write";
  if (!d) {
    exec_report(s, lane, "out-of-bounds", "%s of %u bytes at 0x%llx, which no allocation holds", what, n,
                (unsigned long long)at);
    return NULL;
  }
  exec_check_followed(s, lane, at, n, what);
  const bool is_set = memory_is_set(d, at, n);
  switch (is_set ? BYTE_SET : memory_state(d, at, n)) {
    case BYTE_OUTSIDE:
      exec_report(s, lane, "out-of-bounds", "%s of %u bytes at 0x%llx, which no allocation holds", what, n,
                  (unsigned long long)at);
      return NULL;
    case BYTE_FREED:
      exec_report(s, lane, "use-after-free", "%s of %u bytes at 0x%llx, which was freed", what, n,
                  (unsigned long long)at);
      return NULL;
    case BYTE_UNSET:
      if (kind != ACCESS_WRITE)
        exec_report(s, lane, "uninitialised-global", "%s of bytes at 0x%llx that were never written", what,
                    (unsigned long long)at);
      break;
    case BYTE_SET:
      break;
  }
  const uint64_t offset = at - (uint64_t)(uintptr_t)d->base;
  if (n >= 4) /* smaller ones share a cell with their neighbours */
    for (uint64_t c = offset / 4; c <= (offset + n - 1) / 4; c++) check_blocks(s, lane, &d->cells[c], kind);
  if (kind != ACCESS_READ && !is_set) memory_mark_set(d, at, n);
  return d->base + offset;
}

void exec_copy_touches(memory_device *d, uint64_t at, uint64_t n, bool writes, uint32_t op,
                       bool (*ordered)(uint32_t, uint32_t), const char *what) {
  const uint64_t offset = at - (uint64_t)(uintptr_t)d->base;
  bool reported = false;
  for (uint64_t i = offset / 4; n && i <= (offset + n - 1) / 4; i++) {
    memory_cell *c = &d->cells[i];
    const bool after_write = !c->write_op || c->write_op == op || ordered(c->write_op, op);
    const bool after_read = !writes || !c->read_op || c->read_op == op || ordered(c->read_op, op);
    if (!reported && !(after_write && after_read)) {
      report_add("stream-order",
                 "%s of %llu bytes: another stream's work %s them, and nothing orders this copy after it",
                 what, (unsigned long long)n, after_write ? "reads" : "wrote");
      reported = true;
    }
    if (writes) {
      c->write_op = op;
      c->write_block = 0;
    } else {
      c->read_op = op;
      c->read_block = 0;
    }
  }
}

/* ---- every space ---- */

static unsigned char *access_shared(const step *s, unsigned lane, uint64_t offset, unsigned n,
                                    access_kind kind) {
  const block *b = s->b;
  const uint64_t fixed = b->l->kernel->shared_bytes, dynamic = b->l->module->dynamic_shared;
  const bool in_fixed = offset <= fixed && n <= fixed - offset;
  const bool in_dynamic = offset >= dynamic && offset <= b->shared_bytes && n <= b->shared_bytes - offset;
  if (!in_fixed && !in_dynamic) {
    exec_report(s, lane, "out-of-bounds-shared",
                "%u bytes at offset %lld of %llu static and %u dynamic bytes", n,
                (long long)(offset >= dynamic ? offset - dynamic : offset), (unsigned long long)fixed,
                b->l->dynamic_shared);
    return NULL;
  }
  shared_touch(s, lane, offset, n, kind);
  return b->shared + offset;
}

unsigned char *exec_access(const step *s, unsigned lane, uint64_t at, unsigned n, ptx_space space,
                           access_kind kind) {
  const ptx_module *m = s->b->l->module;
  if (at & (n - 1)) { /* n is a power of two */
    exec_report(s, lane, "misaligned", "%u bytes at 0x%llx", n, (unsigned long long)at);
    return NULL;
  }
  if (space == SPACE_GENERIC) {
    if (at >= SHARED_WINDOW && at < SHARED_WINDOW + WINDOW_SIZE) space = SPACE_SHARED;
    if (at >= LOCAL_WINDOW && at < LOCAL_WINDOW + WINDOW_SIZE) space = SPACE_LOCAL;
    if (at >= PARAM_WINDOW && at < PARAM_WINDOW + WINDOW_SIZE) space = SPACE_PARAM;
  }
  switch (space) {
    case SPACE_SHARED:
      return access_shared(s, lane, at >= SHARED_WINDOW ? at - SHARED_WINDOW : at, n, kind);
    case SPACE_LOCAL:
      if (at >= LOCAL_WINDOW) at -= LOCAL_WINDOW;
      if (at > m->local_bytes || n > m->local_bytes - at) {
        exec_report(s, lane, "out-of-bounds-local", "%u bytes at offset %llu of %llu", n,
                    (unsigned long long)at, (unsigned long long)m->local_bytes);
        return NULL;
      }
      return s->b->local + thread_of(s->w, lane) * m->local_bytes + at;
    case SPACE_PARAM: {
      if (at >= PARAM_WINDOW) at -= PARAM_WINDOW;
      const uint64_t size = s->b->l->kernel->parameter_bytes;
      if (at > size || n > size - at || kind != ACCESS_READ) {
        exec_report(s, lane, "out-of-bounds", "%u bytes at offset %llu of %llu of parameters", n,
                    (unsigned long long)at, (unsigned long long)size);
        return NULL;
      }
      static unsigned char copy[16]; /* parameters are constant; the caller only reads */
      memcpy(copy, s->b->l->parameters + at, n);
      return copy;
    }
    default:
      return access_global(s, lane, at, n, kind);
  }
}

void exec_addresses(const step *s, const ptx_operand *o, bool shared, lanes a) {
  static const lanes zeros = {0};
  const uint64_t *from = o->reg >= 0 ? s->w->registers[o->reg] : zeros;
  for (unsigned l = 0; l < EXEC_WARP; l++) a[l] = from[l] + o->value;
  for (unsigned l = 0; shared && l < EXEC_WARP; l++)
    if (a[l] < SHARED_WINDOW) a[l] &= 0xffffffff; /* 32-bit addresses wrap */
}

/* 1, 2, 4 or 8 bytes. */
static inline uint64_t get(const unsigned char *p, unsigned n) {
  uint64_t v = 0;
  switch (n) {
    case 1:
      return *p;
    case 2:
      memcpy(&v, p, 2);
      return v;
    case 4:
      memcpy(&v, p, 4);
      return v;
    default:
      memcpy(&v, p, 8);
      return v;
  }
}

static inline void put(unsigned char *p, uint64_t v, unsigned n) {
  switch (n) {
    case 1:
      *p = (unsigned char)v;
      return;
    case 2:
      memcpy(p, &v, 2);
      return;
    case 4:
      memcpy(p, &v, 4);
      return;
    default:
      memcpy(p, &v, 8);
  }
}

/* ---- ld, st ---- */

static const ptx_operand *element(const ptx_operand *o, unsigned k) {
  return o->kind == OPERAND_VECTOR ? &o->elements[k] : o;
}

void exec_load(const step *s) {
  const ptx_instruction *i = s->i;
  const ptx_type t = (ptx_type)i->type;
  const unsigned size = ptx_type_bytes(t), n = i->vector ? i->vector : 1;
  lanes a, nowhere;
  exec_addresses(s, &i->operands[1], i->space == SPACE_SHARED, a);
  uint64_t *to[8], kept[8]; /* of a register */
  for (unsigned k = 0; k < n; k++) {
    const ptx_operand *o = element(&i->operands[0], k);
    to[k] = exec_result(s, o, nowhere);
    kept[k] = size == 8 || o->wide ? ~(uint64_t)0 : 0xffffffff;
  }
  profile_access(s, a, size * n, (ptx_space)i->space);
  FOR_LANES(l, s->mask) {
    const unsigned char *p = exec_access(s, l, a[l], size * n, (ptx_space)i->space, ACCESS_READ);
    for (unsigned k = 0; k < n; k++) /* a narrow value fills its register by its sign or with zeros */
      to[k][l] = num_extend(p ? get(p + k * size, size) : ~(uint64_t)0, t) & kept[k];
  }
}

void exec_store(const step *s) {
  const ptx_instruction *i = s->i;
  const unsigned size = ptx_type_bytes((ptx_type)i->type), n = i->vector ? i->vector : 1;
  lanes a, rooms[8];
  exec_addresses(s, &i->operands[0], i->space == SPACE_SHARED, a);
  const uint64_t *from[8];
  for (unsigned k = 0; k < n; k++) from[k] = exec_source(s, element(&i->operands[1], k), rooms[k]);
  profile_access(s, a, size * n, (ptx_space)i->space);
  FOR_LANES(l, s->mask) {
    unsigned char *p = exec_access(s, l, a[l], size * n, (ptx_space)i->space, ACCESS_WRITE);
    for (unsigned k = 0; p && k < n; k++) put(p + k * size, from[k][l], size);
  }
}

/* ---- atom, red ---- */

static uint64_t combine(const ptx_instruction *i, uint64_t old, uint64_t v, uint64_t other) {
  const ptx_type t = (ptx_type)i->type;
  switch ((ptx_atom)i->mode) {
    case ATOM_ADD:
      return ptx_is_float(t) ? num_arithmetic(OP_ADD, t, ROUND_RN, old, v, 0) : old + v;
    case ATOM_MIN:
    case ATOM_MAX:
      return num_min_max(i->mode == ATOM_MAX, false, t, old, v);
    case ATOM_AND:
      return old & v;
    case ATOM_OR:
      return old | v;
    case ATOM_XOR:
      return old ^ v;
    case ATOM_EXCH:
      return v;
    case ATOM_CAS:
      return old == num_truncate(v, t) ? other : old;
    case ATOM_INC:
      return old >= num_truncate(v, t) ? 0 : old + 1;
    case ATOM_DEC:
      return old == 0 || old > num_truncate(v, t) ? v : old - 1;
  }
  return old;
}

void exec_atomic(const step *s) {
  const ptx_instruction *i = s->i;
  const ptx_type t = (ptx_type)i->type;
  const unsigned size = ptx_type_bytes(t);
  lanes a, room, other_room, nowhere;
  exec_addresses(s, &i->operands[1], i->space == SPACE_SHARED, a);
  const uint64_t *v = exec_source(s, &i->operands[2], room);
  const uint64_t *other = i->n_operands > 3 ? exec_source(s, &i->operands[3], other_room) : v;
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  profile_access(s, a, size, (ptx_space)i->space);
  FOR_LANES(l, s->mask) {
    unsigned char *p = exec_access(s, l, a[l], size, (ptx_space)i->space, ACCESS_ATOMIC);
    if (!p) continue;
    const uint64_t old = get(p, size), next = combine(i, old, v[l], other[l]);
    put(p, next, size);
    d[l] = old;
  }
}

/* ---- addresses ---- */

static uint64_t window_of(ptx_space space) {
  return space == SPACE_SHARED  ? SHARED_WINDOW
         : space == SPACE_LOCAL ? LOCAL_WINDOW
         : space == SPACE_PARAM ? PARAM_WINDOW
                                : 0;
}

void exec_address(const step *s) {
  const ptx_instruction *i = s->i;
  const uint64_t window = window_of((ptx_space)i->space);
  lanes room, nowhere;
  const uint64_t *v = exec_source(s, &i->operands[1], room);
  uint64_t *d = exec_result(s, &i->operands[0], nowhere);
  FOR_LANES(l, s->mask) {
    const uint64_t at = v[l];
    const bool within = window ? at >= window && at < window + WINDOW_SIZE : at < SHARED_WINDOW;
    if (i->op == OP_ISSPACEP)
      d[l] = within;
    else
      d[l] = i->to ? (within ? at - window : at) : at < SHARED_WINDOW ? at + window : at;
  }
}

/* ---- ldmatrix ---- */

void exec_ldmatrix(const step *s) {
  const ptx_instruction *i = s->i;
  const unsigned n = i->vector ? i->vector : 1;
  lanes a, nowhere;
  uint16_t rows[4][8][8]; /* matrix, row, column */
  exec_addresses(s, &i->operands[1], i->space == SPACE_SHARED, a);
  memset(rows, 0xff, sizeof rows);
  for (unsigned m = 0; m < n; m++) profile_rows(s, a, 8 * m);
  for (unsigned l = 0; l < 8 * n; l++) {
    const unsigned char *p = s->mask >> l & 1 ? exec_access(s, l, a[l], 16, SPACE_SHARED, ACCESS_READ) : NULL;
    if (p) memcpy(rows[l / 8][l % 8], p, 16);
  }
  for (unsigned m = 0; m < n; m++) {
    uint64_t *d = exec_result(s, element(&i->operands[0], m), nowhere);
    FOR_LANES(l, s->mask) {
      const unsigned r = l / 4, c = l % 4 * 2;
      const uint32_t low = i->transposed ? rows[m][c][r] : rows[m][r][c];
      const uint32_t high = i->transposed ? rows[m][c + 1][r] : rows[m][r][c + 1];
      d[l] = low | high << 16;
    }
  }
}

/* ---- cp.async: nothing is there before it was waited for ---- */

static bool push_copy(async_queue *q, async_copy c) {
  if (q->n == q->cap) {
    const unsigned more = q->cap ? 2 * q->cap : 8;
    async_copy *grown = realloc(q->items, more * sizeof *grown);
    if (!grown) return false;
    q->items = grown;
    q->cap = more;
  }
  q->items[q->n++] = c;
  return true;
}

static bool is_copy_size(uint64_t n) { return n == 4 || n == 8 || n == 16; }

void exec_copy_async(const step *s) {
  const ptx_instruction *i = s->i;
  lanes to, from, room, size_room;
  exec_addresses(s, &i->operands[0], i->space == SPACE_SHARED, to);
  exec_addresses(s, &i->operands[1], false, from);
  const uint64_t *n = exec_source(s, &i->operands[2], room);
  const uint64_t *n_from = i->n_operands > 3 ? exec_source(s, &i->operands[3], size_room) : n;
  const uint64_t each = s->mask ? n[__builtin_ctz(s->mask)] : 0; /* an immediate: all lanes' */
  if (is_copy_size(each)) {
    profile_access(s, to, (unsigned)each, SPACE_SHARED);
    profile_access(s, from, (unsigned)each, SPACE_GLOBAL);
  }
  FOR_LANES(l, s->mask) {
    const unsigned bytes = (unsigned)n[l];
    if (!is_copy_size(bytes)) {
      exec_report(s, l, "unsupported", "cp.async of %u bytes", bytes);
      continue;
    }
    unsigned char *p = exec_access(s, l, to[l], bytes, SPACE_SHARED, ACCESS_ASYNC);
    if (!p) continue;
    if (n_from[l]) exec_check_followed(s, l, from[l], bytes, "a copy"); /* which reads at once, or later */
    memset(p, 0xff, bytes);
    const async_copy c = {
        to[l], from[l], bytes, n_from[l] < bytes ? (unsigned)n_from[l] : bytes, s->w->copies[l].group, i};
    if (!push_copy(&s->w->copies[l], c)) s->b->out_of_memory = true;
  }
}

static void finish_copy(const step *s, unsigned lane, const async_copy *c) {
  const step at = {s->b, s->w, c->instruction, 1u << lane}; /* a bad source is the copy's fault */
  unsigned char bytes[16] = {0};
  if (c->n_from) {
    const unsigned n = c->n_from == c->n ? c->n : 1;
    for (unsigned k = 0; k < c->n_from; k += n) {
      const unsigned char *p = exec_access(&at, lane, c->from + k, n, SPACE_GLOBAL, ACCESS_READ);
      if (p) memcpy(bytes + k, p, n);
    }
  }
  unsigned char *p = exec_access(s, lane, c->to, c->n, SPACE_SHARED, ACCESS_WRITE);
  if (p) memcpy(p, bytes, c->n);
}

void exec_copy_wait(const step *s) {
  lanes room;
  const uint64_t *keep = s->i->mode ? NULL : exec_source(s, &s->i->operands[0], room);
  FOR_LANES(l, s->mask) {
    async_queue *q = &s->w->copies[l];
    if (!keep) q->group++; /* wait_all: of those that are not committed too */
    const uint64_t left = keep ? keep[l] : 0;
    unsigned k = 0;
    for (; k < q->n && q->items[k].group + left < q->group; k++) finish_copy(s, l, &q->items[k]);
    memmove(q->items, q->items + k, (q->n - k) * sizeof *q->items);
    q->n -= k;
  }
}

void exec_copies_left(const step *s) {
  FOR_LANES(l, s->mask) {
    const async_queue *q = &s->w->copies[l];
    if (!q->n) continue;
    const step at = {s->b, s->w, q->items[0].instruction, s->mask};
    exec_report(&at, l, "copy-not-awaited", "the thread ends with %u copies that it has not waited for",
                q->n);
  }
}
