/* exec.c - warps and lanes: which run next, branches, calls, and who waits for whom.
 *
 * Every lane has its own program counter. A warp runs the lanes of the deepest call with the lowest counter
 * together, until they meet others or part: code that a compiler laid out in order comes together again by
 * itself. */
#include "backends/cuda/ptxemu/exec_internal.h"
#include "backends/cuda/ptxemu/profile.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/ptxemu/report.h"

/* ---- tools ---- */

/* splitmix64 (Steele, Lea and Flood 2014) */
uint64_t exec_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

void exec_report(const step *s, unsigned lane, const char *kind, const char *format, ...) {
  block *b = s->b;
  for (unsigned k = 0; k < b->n_seen; k++)
    if (b->seen[k].line == s->i->line && !strcmp(b->seen[k].kind, kind)) return;
  if (b->n_seen < N_KINDS) {
    b->seen[b->n_seen].kind = kind;
    b->seen[b->n_seen++].line = s->i->line;
  }
  char text[256];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  report_add(kind, "%s, block (%u,%u,%u), thread %u, line %u, `%.100s`: %s", b->l->kernel->name, b->index[0],
             b->index[1], b->index[2], thread_of(s->w, lane), s->i->line, s->i->text, text);
}

static uint64_t special(const block *b, const warp *w, ptx_special which, unsigned lane) {
  const exec_launch *l = b->l;
  const unsigned t = thread_of(w, lane);
  switch (which) {
    case SPECIAL_TID_X:
      return t % l->block[0];
    case SPECIAL_TID_Y:
      return t / l->block[0] % l->block[1];
    case SPECIAL_TID_Z:
      return t / l->block[0] / l->block[1];
    case SPECIAL_NTID_X:
    case SPECIAL_NTID_Y:
    case SPECIAL_NTID_Z:
      return l->block[which - SPECIAL_NTID_X];
    case SPECIAL_CTAID_X:
    case SPECIAL_CTAID_Y:
    case SPECIAL_CTAID_Z:
      return b->index[which - SPECIAL_CTAID_X];
    case SPECIAL_NCTAID_X:
    case SPECIAL_NCTAID_Y:
    case SPECIAL_NCTAID_Z:
      return l->grid[which - SPECIAL_NCTAID_X];
    case SPECIAL_LANEID:
      return lane;
    case SPECIAL_WARPID:
      return w->id;
    case SPECIAL_NWARPID:
      return b->n_warps;
    case SPECIAL_LANEMASK_EQ:
      return 1u << lane;
    case SPECIAL_LANEMASK_LT:
      return (1u << lane) - 1;
    case SPECIAL_LANEMASK_LE:
      return (2u << lane) - 1;
    case SPECIAL_LANEMASK_GT:
      return (uint32_t) ~((2u << lane) - 1);
    case SPECIAL_LANEMASK_GE:
      return (uint32_t) ~((1u << lane) - 1);
    case SPECIAL_CLOCK:
      return b->steps;
    case SPECIAL_DYNAMIC_SMEM:
      return l->dynamic_shared;
  }
  return 0;
}

const uint64_t *exec_source_other(const step *s, const ptx_operand *o, lanes room) {
  memset(room, 0, sizeof(lanes));
  for (unsigned l = 0; o->kind == OPERAND_SPECIAL && l < EXEC_WARP; l++)
    room[l] = special(s->b, s->w, (ptx_special)o->value, l);
  return room;
}

/* ---- control ---- */

static void end_lanes(const step *s, uint32_t mask) {
  const step ending = {s->b, s->w, s->i, mask};
  exec_copies_left(&ending);
  exec_wgmma_left(&ending);
  if (s->b->l->follows && mask & ~s->w->waited)
    exec_report(s, (unsigned)__builtin_ctz(mask & ~s->w->waited), "not-followed",
                "a thread of a programmatic launch ends without griddepcontrol.wait: what comes behind may "
                "start while what is in front still runs");
  s->w->alive &= ~mask;
  s->w->exited |= mask;
}

static void call(const step *s, uint32_t pc) {
  const ptx_function *f = s->i->callee;
  const ptx_call *c = ptx_module_call(s->b->l->module, pc);
  const uint64_t size = s->b->l->module->local_bytes;
  FOR_LANES(l, s->mask) {
    warp *w = s->w;
    bool active = pc >= f->first && pc < f->end;
    for (unsigned d = 0; d < w->depth[l]; d++)
      active |= w->stack[l][d] > f->first && w->stack[l][d] <= f->end;
    if (active || w->depth[l] == MAX_CALL_DEPTH) {
      exec_report(s, l, "unsupported", "recursion, or calls more than %d deep", MAX_CALL_DEPTH);
      end_lanes(s, 1u << l);
      continue;
    }
    unsigned char *mine = s->b->local + thread_of(w, l) * size;
    for (unsigned k = 0; k < c->n_in; k++) memmove(mine + c->in[k].to, mine + c->in[k].from, c->in[k].size);
    w->stack[l][w->depth[l]++] = pc + 1;
    w->pc[l] = f->first;
  }
}

static void leave(const step *s) {
  const ptx_module *m = s->b->l->module;
  FOR_LANES(l, s->mask) {
    warp *w = s->w;
    if (!w->depth[l]) {
      end_lanes(s, 1u << l);
      continue;
    }
    w->pc[l] = w->stack[l][--w->depth[l]];
    const ptx_call *c = ptx_module_call(m, w->pc[l] - 1);
    unsigned char *mine = s->b->local + thread_of(w, l) * m->local_bytes;
    for (unsigned k = 0; k < c->n_out; k++)
      memmove(mine + c->out[k].to, mine + c->out[k].from, c->out[k].size);
  }
}

/* ---- lanes that wait for lanes ---- */

static bool is_whole_warp(const ptx_instruction *i) {
  return i->op == OP_MMA || i->op == OP_LDMATRIX || i->op == OP_WGMMA || i->op == OP_SETMAXNREG;
}
static bool is_collective(const ptx_instruction *i) {
  return i->op == OP_SHFL || i->op == OP_VOTE || i->op == OP_REDUX || i->op == OP_MATCH ||
         i->op == OP_BAR_WARP || is_whole_warp(i);
}

/* The lanes that an instruction is to be executed by, as its first lane says. */
static uint32_t members_of(const step *s) {
  const ptx_instruction *i = s->i;
  if (is_whole_warp(i)) return ~0u;
  lanes room;
  const uint64_t *v = exec_source(s, &i->operands[i->n_operands - 1], room);
  return (uint32_t)v[__builtin_ctz(s->mask)];
}

static uint32_t lanes_at(const warp *w, uint32_t among, uint32_t pc, unsigned depth) {
  uint32_t m = 0;
  FOR_LANES(l, among) m |= (uint32_t)(w->pc[l] == pc && w->depth[l] == depth) << l;
  return m;
}

/* Whether the lanes that have come may go on: all members that are left are here. */
static bool may_collect(const step *s, uint32_t members) { return !(members & s->w->alive & ~s->mask); }

static void collect(const step *s) {
  const uint32_t members = members_of(s);
  if (members & s->w->exited || members & ~(s->w->alive | s->w->exited))
    exec_report(s, (unsigned)__builtin_ctz(s->mask), "absent-lanes",
                "the mask %08x names lanes %08x, which are not there", members, members & ~s->w->alive);
  FOR_LANES(l, s->mask & ~members)
  exec_report(s, l, "absent-lanes", "the mask %08x does not name the lane that executes this", members);
  switch (s->i->op) {
    case OP_SHFL:
      exec_shuffle(s);
      break;
    case OP_VOTE:
      exec_vote(s);
      break;
    case OP_REDUX:
      exec_reduce(s);
      break;
    case OP_MATCH:
      exec_match(s);
      break;
    case OP_MMA:
      exec_mma(s);
      break;
    case OP_LDMATRIX:
      exec_ldmatrix(s);
      break;
    case OP_WGMMA:
      exec_wgmma(s);
      break;
    case OP_SETMAXNREG: /* registers are not counted */
      break;
    default:
      barrier_warp(s, members & s->mask);
  }
}

/* Lanes whose members have exited meanwhile, once nothing else of the warp can run. */
static bool collect_waiting(block *b, warp *w) {
  for (uint32_t left = w->at_sync; left;) {
    const unsigned lead = (unsigned)__builtin_ctz(left);
    const uint32_t group = lanes_at(w, w->at_sync, w->pc[lead], w->depth[lead]);
    left &= ~group;
    const step s = {b, w, &b->l->module->code[w->pc[lead]], group};
    if (!may_collect(&s, members_of(&s))) continue;
    collect(&s);
    w->at_sync &= ~group;
    FOR_LANES(l, group) w->pc[l]++;
    return true;
  }
  return false;
}

/* ---- one warp ---- */

static void execute(const step *s) {
  switch ((ptx_op)s->i->op) {
    case OP_LD:
      exec_load(s);
      break;
    case OP_ST:
      exec_store(s);
      break;
    case OP_ATOM:
      exec_atomic(s);
      break;
    case OP_CVTA:
    case OP_ISSPACEP:
      exec_address(s);
      break;
    case OP_CP_ASYNC:
      exec_copy_async(s);
      break;
    case OP_CP_BULK:
      mbarrier_copy(s);
      break;
    case OP_MBARRIER:
      mbarrier_execute(s);
      break;
    case OP_FENCE_PROXY:
      shared_fence_proxy(s);
      break;
    case OP_CP_COMMIT:
      FOR_LANES(l, s->mask) s->w->copies[l].group++;
      break;
    case OP_CP_WAIT:
      exec_copy_wait(s);
      break;
    case OP_ACTIVEMASK: {
      lanes room;
      uint64_t *d = exec_result(s, &s->i->operands[0], room);
      FOR_LANES(l, s->mask) d[l] = s->mask;
      break;
    }
    case OP_DEPEND:
      if (s->i->mode) s->w->waited |= s->mask;
      break;
    case OP_NOP:
    case OP_FENCE:
      break;
    default:
      if (ptx_is_float((ptx_type)s->i->type) || ptx_is_float((ptx_type)s->i->type2))
        exec_float(s);
      else
        exec_alu(s);
  }
}

/* The lanes to run: of the deepest calls those with the lowest counter; and where others stand that they may
 * meet. */
static uint32_t pick(const warp *w, uint32_t among, uint32_t *pc, uint32_t *meet) {
  unsigned depth = 0;
  FOR_LANES(l, among) if (w->depth[l] > depth) depth = w->depth[l];
  *pc = *meet = UINT32_MAX;
  FOR_LANES(l, among) if (w->depth[l] == depth && w->pc[l] < *pc) *pc = w->pc[l];
  FOR_LANES(l, among) if (w->depth[l] == depth && w->pc[l] > *pc && w->pc[l] < *meet) *meet = w->pc[l];
  return lanes_at(w, among, *pc, depth);
}

static void set_pc(warp *w, uint32_t mask, uint32_t pc) { FOR_LANES(l, mask) w->pc[l] = pc; }

EXEC_WIDE static uint32_t guard(const step *s) {
  const ptx_operand p = {
      .kind = OPERAND_REGISTER, .reg = s->i->predicate, .negated = s->i->predicate_negated};
  return exec_predicate(s, &p);
}

/* Runs until the lanes part, meet others, or wait. Returns false when the block is to end. */
static bool run_group(block *b, warp *w, uint32_t group, uint32_t pc, uint32_t meet, uint64_t *quantum) {
  const ptx_instruction *code = b->l->module->code;
  while (pc < meet) {
    const ptx_instruction *i = &code[pc];
    step s = {b, w, i, group};
    if (++b->steps > b->l->max_steps) {
      exec_report(&s, (unsigned)__builtin_ctz(group), "no-end",
                  "the block has executed %llu instructions of warps", (unsigned long long)b->steps);
      return false;
    }
    (*b->l->n_warp_instructions)++;
    if (b->l->profile) b->l->profile->executed[pc]++;
    if (i->predicate >= 0) {
      s.mask &= guard(&s);
    }
    *b->l->n_lane_instructions += (unsigned)__builtin_popcount(s.mask);
    const uint32_t rest = group & ~s.mask;
    if (!s.mask) {
      pc++;
      continue;
    }
    if (w->marks) exec_wgmma_watch(&s);
    switch ((ptx_op)i->op) {
      case OP_BRA:
        if (!rest && meet == UINT32_MAX) { /* all lanes of this depth */
          pc = (uint32_t)i->target;
          continue;
        }
        set_pc(w, s.mask, (uint32_t)i->target);
        set_pc(w, rest, pc + 1);
        return true;
      case OP_CALL:
        set_pc(w, rest, pc + 1);
        call(&s, pc);
        return true;
      case OP_RET:
        set_pc(w, rest, pc + 1);
        leave(&s);
        return true;
      case OP_EXIT:
        set_pc(w, rest, pc + 1);
        end_lanes(&s, s.mask);
        return true;
      case OP_UNSUPPORTED:
        set_pc(w, rest, pc + 1);
        exec_report(&s, (unsigned)__builtin_ctz(s.mask), "unsupported", "%s", i->unsupported);
        end_lanes(&s, s.mask);
        return true;
      case OP_TRAP:
        exec_report(&s, (unsigned)__builtin_ctz(s.mask), "trap", "executed");
        return false;
      case OP_BAR:
        set_pc(w, group, pc + 1);
        if (i->mode != BAR_ARRIVE) set_pc(w, s.mask, pc);
        barrier_arrive(&s);
        return true;
      default:
        break;
    }
    if (i->op == OP_MBARRIER && i->mode == MBARRIER_WAIT) {
      const uint32_t over = mbarrier_wait(&s);
      if (over != s.mask) {
        set_pc(w, rest | over, pc + 1);
        set_pc(w, s.mask & ~over, pc);
        w->at_mbarrier |= s.mask & ~over;
        return true;
      }
    } else if (is_collective(i)) {
      const uint32_t waiting = lanes_at(w, w->at_sync, pc, w->depth[__builtin_ctz(group)]);
      s.mask |= waiting;
      set_pc(w, rest, pc + 1);
      set_pc(w, s.mask, pc);
      if (!may_collect(&s, members_of(&s))) {
        w->at_sync |= s.mask;
        return true;
      }
      collect(&s);
      w->at_sync &= ~s.mask;
      set_pc(w, s.mask, pc + 1);
      if (waiting || rest) return true;
    } else {
      execute(&s);
    }
    pc++;
    if (!--*quantum) break;
  }
  set_pc(w, group, pc);
  return true;
}

static uint32_t runnable(const warp *w) { return w->alive & ~(w->at_sync | w->at_barrier | w->at_mbarrier); }

static bool run_warp(block *b, warp *w, uint64_t quantum) {
  for (;;) {
    const uint32_t among = runnable(w);
    if (!among) {
      if (w->at_sync && collect_waiting(b, w)) continue;
      return true;
    }
    if (!quantum) return true;
    uint32_t pc, meet;
    const uint32_t group = pick(w, among, &pc, &meet);
    if (!run_group(b, w, group, pc, meet, &quantum)) return false;
  }
}

/* ---- one block ---- */

static void start_warp(block *b, unsigned id) {
  warp *w = &b->warps[id];
  lanes *registers = w->registers;
  async_queue copies[EXEC_WARP];
  memcpy(copies, w->copies, sizeof copies);
  const product_queue products = {.items = w->products.items, .cap = w->products.cap};
  *w = (warp){.id = id, .registers = registers, .marks = w->marks, .products = products, .now = b->time};
  if (w->marks) memset(w->marks, 0, b->l->kernel->n_registers);
  for (unsigned l = 0; l < EXEC_WARP; l++) {
    w->copies[l] = (async_queue){.items = copies[l].items, .cap = copies[l].cap};
    w->pc[l] = b->l->kernel->first;
  }
  const unsigned left = b->n_threads - id * EXEC_WARP;
  w->alive = left >= EXEC_WARP ? ~0u : (1u << left) - 1;
}

static size_t product_reads_bytes(const block *b) {
  return (b->shared_bytes / 16 + 1) * b->n_warps * sizeof *b->product_reads;
}

static void run_block(block *b) {
  const exec_launch *l = b->l;
  b->time = 1;
  b->steps = 0;
  memset(b->barriers, 0, sizeof b->barriers);
  b->n_mbarriers = b->n_copies = 0;
  if (b->product_reads) memset(b->product_reads, 0, product_reads_bytes(b));
  memset(b->shared, 0xff, b->shared_bytes);
  memset(b->cells, 0, (b->shared_bytes + 3) / 4 * sizeof *b->cells);
  memset(b->local, 0xff, b->n_threads * l->module->local_bytes);
  for (unsigned v = 0; v < b->n_warps; v++) start_warp(b, v);
  for (;;) {
    unsigned order[EXEC_MAX_WARPS], n = 0;
    for (unsigned v = 0; v < b->n_warps; v++)
      if (runnable(&b->warps[v]) || b->warps[v].at_sync) order[n++] = v;
    if (l->seed)
      for (unsigned k = n; k > 1; k--) {
        const unsigned j = (unsigned)(exec_random(&b->random) % k), t = order[k - 1];
        order[k - 1] = order[j];
        order[j] = t;
      }
    const uint64_t steps = b->steps;
    for (unsigned k = 0; k < n; k++) {
      const bool slices = l->seed && exec_random(&b->random) % 2;
      if (!run_warp(b, &b->warps[order[k]], slices ? 1 + exec_random(&b->random) % 64 : UINT64_MAX)) return;
    }
    bool released = barrier_release(b);
    released |= mbarrier_release(b);
    bool alive = false;
    for (unsigned v = 0; v < b->n_warps; v++) alive |= b->warps[v].alive != 0;
    if (!alive) break;
    if (!released && steps == b->steps) {
      barrier_report_stuck(b);
      return;
    }
  }
  mbarrier_copies_left(b);
  exec_wgmma_compare(b);
}

/* A step that shares no factor with n visits every block, in an order far from the first. */
static uint64_t stride_of(uint64_t n, uint64_t *random) {
  uint64_t stride = 1 + exec_random(random) % n;
  for (;; stride++) {
    uint64_t a = n, b = stride;
    while (b) {
      const uint64_t t = a % b;
      a = b;
      b = t;
    }
    if (a == 1) return stride % n ? stride % n : 1;
  }
}

static void run_block_at(block *b, uint64_t at) {
  const exec_launch *l = b->l;
  b->linear = (uint32_t)at;
  b->index[0] = (uint32_t)(at % l->grid[0]);
  b->index[1] = (uint32_t)(at / l->grid[0] % l->grid[1]);
  b->index[2] = (uint32_t)(at / l->grid[0] / l->grid[1]);
  run_block(b);
}

static void run_blocks(block *b) {
  const exec_launch *l = b->l;
  const uint64_t n = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
  if (l->sample && l->sample < n) {
    /* the middles of as many equal parts of the first axis, along which blocks of attention have ever less to
     * do; along the others steps of irrational numbers keep apart */
    for (uint64_t k = 0; k < l->sample; k++) {
      const double part = (double)k + 0.5, y = part * 0.6180339887, z = part * 0.7548776662;
      const uint64_t at[3] = {(uint64_t)(part / l->sample * l->grid[0]),
                              (uint64_t)((y - floor(y)) * l->grid[1]),
                              (uint64_t)((z - floor(z)) * l->grid[2])};
      run_block_at(b, (at[2] * l->grid[1] + at[1]) * l->grid[0] + at[0]);
    }
    return;
  }
  const uint64_t stride = l->seed ? stride_of(n, &b->random) : 1;
  uint64_t at = l->seed ? exec_random(&b->random) % n : 0;
  for (uint64_t k = 0; k < n; k++, at = (at + stride) % n) run_block_at(b, at);
}

bool exec_run(const exec_launch *l) {
  block *b = calloc(1, sizeof *b);
  if (!b) return false;
  b->l = l;
  b->n_threads = l->block[0] * l->block[1] * l->block[2];
  b->n_warps = (b->n_threads + EXEC_WARP - 1) / EXEC_WARP;
  b->shared_bytes = l->module->dynamic_shared + l->dynamic_shared;
  b->random = l->seed;
  /* A kernel with fences and atomics hands data from block to block by them: which, is not followed. */
  b->checks_blocks = !(l->kernel->has_fence && l->kernel->has_atomic) && !l->kernel->calls;
  const size_t n_registers = l->kernel->n_registers + 1u;
  b->warps = calloc(b->n_warps, sizeof *b->warps);
  b->shared = malloc(b->shared_bytes + 16);
  b->cells = malloc(((b->shared_bytes + 3) / 4 + 1) * sizeof *b->cells);
  b->local = malloc(b->n_threads * l->module->local_bytes + 16);
  lanes *registers = malloc(b->n_warps * n_registers * sizeof(lanes));
  const bool has_wgmma = l->kernel->has_wgmma;
  uint8_t *marks = has_wgmma ? malloc(b->n_warps * n_registers) : NULL;
  b->product_reads = has_wgmma ? malloc(product_reads_bytes(b)) : NULL;
  const bool fits = b->warps && b->shared && b->cells && b->local && registers &&
                    (!has_wgmma || (marks && b->product_reads));
  if (fits) {
    /* Unset registers hold nothing useful: in the first block, which finds who reads them. */
    memset(registers, 0xa5, b->n_warps * n_registers * sizeof(lanes));
    for (unsigned v = 0; v < b->n_warps; v++) {
      b->warps[v].registers = registers + v * n_registers;
      b->warps[v].marks = marks ? marks + v * n_registers : NULL;
    }
    run_blocks(b);
    for (unsigned v = 0; v < b->n_warps; v++) {
      for (unsigned k = 0; k < EXEC_WARP; k++) free(b->warps[v].copies[k].items);
      free(b->warps[v].products.items);
    }
  }
  const bool fine = fits && !b->out_of_memory;
  free(marks);
  free(b->product_reads);
  free(registers);
  free(b->copies);
  free(b->local);
  free(b->cells);
  free(b->shared);
  free(b->warps);
  free(b);
  return fine;
}
