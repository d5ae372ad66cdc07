/* simt.cpp - see simt.h: fibers, meetings, barriers. One launch at a time; the caller sees to that. */
#include "backends/gpu/simt/simt.h"

#include <sys/mman.h>

#include <algorithm>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

index thread, block, block_size, grid_size;
void *dynamic_shared;
uint32_t wave = SIMT_WARP;

namespace {

const uint32_t MAX_THREADS = 1024;
/* Not a power of two: what threads use of their stacks would have the same few places in caches. */
const size_t STACK_BYTES = (128 << 10) + 9 * 64, MAX_SHARED = 256 << 10;

enum state { RUNS, AT_BARRIER, AT_MEETING, ENDED };

struct fiber {
  index at;
  state is;
  uintptr_t place; /* of the program, of the barrier where it waits */
  uint8_t shows[SIMT_SLOT];
#if defined(__x86_64__)
  void *stack_pointer;
#else
  ucontext_t context;
#endif
};

struct warp {
  uint32_t live, arrived, at_barrier; /* lanes: not ended; of those, at a meeting; at a barrier */
  uintptr_t place;                    /* of the meeting */
  meeting last;                       /* read by all lanes before the first of them ends the next one */
};

fiber fibers[MAX_THREADS];
warp warps[MAX_THREADS / SIMT_WARP];
uint32_t n_threads, current, n_ended, n_at_barrier;
const kernel *running;
const void *arguments;
char *stacks, *shared;
const char *wrong; /* what the launch did that ends it */
kernel *kernels;

/* ---- switching ---- */

#if defined(__x86_64__)
/* Keeps what the calling convention keeps. */
extern "C" void simt_switch(void **save, void *to);
__asm__(
    ".text\n.globl simt_switch\n.type simt_switch,@function\nsimt_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size simt_switch, .-simt_switch\n");
void *launcher;
void to_launcher() { simt_switch(&fibers[current].stack_pointer, launcher); }
void to_fiber(uint32_t i) { simt_switch(&launcher, fibers[i].stack_pointer); }
#else
ucontext_t launcher;
void to_launcher() { (void)swapcontext(&fibers[current].context, &launcher); }
void to_fiber(uint32_t i) { (void)swapcontext(&launcher, &fibers[i].context); }
#endif

/* Of the block's threads. A wave waits once, for all of its lanes: they stand at one place. */
void release_barrier() {
  if (!n_at_barrier || n_at_barrier + n_ended < n_threads) return;
  uintptr_t place = 0;
  for (uint32_t i = 0; i < n_threads; i++) {
    if (i % wave == 0) place = 0;
    if (fibers[i].is != AT_BARRIER) continue;
    if (place && fibers[i].place != place) wrong = "lanes of a wave wait for the block at different places";
    place = fibers[i].place;
    fibers[i].is = RUNS;
    warps[i / SIMT_WARP].at_barrier = 0;
  }
  n_at_barrier = 0;
}

uint32_t first_thread(uint32_t w) { return w * SIMT_WARP; }
uint32_t end_thread(uint32_t w) { return std::min(n_threads, first_thread(w + 1)); }

/* Where a warp's live lanes are. */
enum stand { GONE, ON_ITS_WAY, AT_THE_BARRIER, MEETS };
stand stand_of(const warp &w) {
  return !w.live ? GONE : w.arrived == w.live ? MEETS : w.at_barrier == w.live ? AT_THE_BARRIER : ON_ITS_WAY;
}

/* Of warps [from, to). */
void end_meeting(uint32_t from, uint32_t to) {
  meeting &m = warps[from].last;
  m.lanes = 0;
  for (uint32_t i = first_thread(from); i < end_thread(to - 1); i++) {
    if (fibers[i].is != AT_MEETING) continue;
    m.lanes |= (uint64_t)1 << i % wave;
    memcpy(m.shown[i % wave], fibers[i].shows, SIMT_SLOT);
    fibers[i].is = RUNS;
  }
  for (uint32_t w = from; w < to; w++) {
    warps[w].arrived = 0;
    if (w > from) warps[w].last = m;
  }
}

/* The warps of the wave of warp `w` that can go on: together where they meet at one place; where the places
 * are two, the earlier one of the program goes first, as a compiler orders what it joins again. */
void release_meeting(uint32_t w) {
  const uint32_t a = wave == SIMT_WARP ? w : w / 2 * 2, b = a + 1;
  const bool two = wave > SIMT_WARP && first_thread(b) < n_threads;
  const stand of_a = stand_of(warps[a]), of_b = two ? stand_of(warps[b]) : GONE;
  if (of_a == ON_ITS_WAY || of_b == ON_ITS_WAY) return;
  if (of_a == MEETS && of_b == MEETS && warps[a].place == warps[b].place)
    end_meeting(a, b + 1);
  else if (of_a == MEETS && (of_b != MEETS || warps[a].place < warps[b].place))
    end_meeting(a, a + 1);
  else if (of_b == MEETS)
    end_meeting(b, b + 1);
}

void fiber_main() {
  for (;;) { /* a fiber's stack serves the next block as well */
    running->call(arguments);
    fibers[current].is = ENDED;
    n_ended++;
    warps[current / SIMT_WARP].live--;
    release_meeting(current / SIMT_WARP);
    release_barrier();
    to_launcher();
  }
}

void begin_fiber(uint32_t i) {
  char *top = stacks + (size_t)(i + 1) * STACK_BYTES;
#if defined(__x86_64__)
  void **sp = (void **)(void *)top - 2; /* as after a call: 8 beyond a multiple of 16 */
  *sp = (void *)fiber_main;
  fibers[i].stack_pointer = sp - 6; /* six registers */
#else
  (void)getcontext(&fibers[i].context);
  fibers[i].context.uc_stack.ss_sp = top - STACK_BYTES;
  fibers[i].context.uc_stack.ss_size = STACK_BYTES;
  fibers[i].context.uc_link = NULL;
  makecontext(&fibers[i].context, fiber_main, 0);
#endif
}

/* ---- blocks ---- */

uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

void shuffle(std::vector<uint32_t> &order, uint64_t *random) {
  for (size_t i = 0; i < order.size(); i++) order[i] = (uint32_t)i;
  for (size_t i = order.size(); *random && i > 1; i--)
    std::swap(order[i - 1], order[next_random(random) % i]);
}

/* False: some threads wait for what never comes. */
bool run_block(const std::vector<uint32_t> &order) {
  n_ended = n_at_barrier = 0;
  for (uint32_t w = 0; w * SIMT_WARP < n_threads; w++)
    warps[w].live = std::min(n_threads - w * SIMT_WARP, (uint32_t)SIMT_WARP),
    warps[w].arrived = warps[w].at_barrier = 0;
  for (uint32_t i = 0; i < n_threads; i++) fibers[i].is = RUNS;
  while (n_ended < n_threads && !wrong) {
    bool moved = false;
    for (uint32_t i : order)
      if (fibers[i].is == RUNS) {
        moved = true;
        current = i;
        thread = fibers[i].at;
        to_fiber(i);
      }
    if (!moved) return false;
  }
  return true;
}

}  // namespace

uint32_t linear_thread() { return current; }

void barrier(uintptr_t place) {
  fiber &f = fibers[current];
  f.place = place;
  f.is = AT_BARRIER;
  n_at_barrier++;
  warps[current / SIMT_WARP].at_barrier++;
  release_meeting(current / SIMT_WARP); /* the wave's other warp need not wait for this one */
  release_barrier();
  if (f.is == AT_BARRIER) to_launcher();
}

__attribute__((noinline)) const meeting &meet(const void *value, size_t n_bytes) {
  fiber &f = fibers[current];
  warp &w = warps[current / SIMT_WARP];
  memcpy(f.shows, value, n_bytes);
  w.place = (uintptr_t)__builtin_return_address(0);
  f.is = AT_MEETING;
  w.arrived++;
  release_meeting(current / SIMT_WARP);
  if (f.is == AT_MEETING) to_launcher();
  return w.last;
}

void read_absent_lane() { wrong = "a lane reads of one that takes no part"; }

kernel::kernel(const char *its_name, void (*its_call)(const void *), size_t its_arg_bytes)
    : name(its_name), call(its_call), arg_bytes(its_arg_bytes), next(kernels) {
  kernels = this;
}

const kernel *find(const char *name) {
  for (const kernel *k = kernels; k; k = k->next)
    if (strcmp(k->name, name) == 0) return k;
  return NULL;
}

const char *launch(const kernel *k, index grid, index size, size_t shared_bytes, uint32_t wave_lanes,
                   uint64_t seed, const void *args) {
  const uint64_t threads = (uint64_t)size.x * size.y * size.z, blocks = (uint64_t)grid.x * grid.y * grid.z;
  if (!threads || threads > MAX_THREADS || !blocks || blocks > UINT32_MAX)
    return "a block or grid of this size is not possible";
  if (shared_bytes > MAX_SHARED) return "more shared memory than there is";
  if (wave_lanes != SIMT_WARP && wave_lanes != SIMT_MOST_LANES) return "waves have 32 lanes or 64";
  if (!stacks) {
    void *p = mmap(NULL, MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    static char memory[MAX_SHARED] __attribute__((aligned(256)));
    if (p == MAP_FAILED) return "no memory for the threads' stacks";
    stacks = (char *)p;
    shared = memory;
  }
  running = k;
  wave = wave_lanes;
  wrong = NULL;
  arguments = args;
  block_size = size;
  grid_size = grid;
  dynamic_shared = shared;
  n_threads = (uint32_t)threads;
  for (uint32_t i = 0; i < n_threads; i++) {
    fibers[i].at = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    begin_fiber(i);
  }
  uint64_t random = seed;
  std::vector<uint32_t> order(n_threads), block_order((size_t)blocks);
  shuffle(block_order, &random);
  for (uint32_t b : block_order) {
    shuffle(order, &random);
    block = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    memset(shared, 0xff, shared_bytes);
    const bool ended = run_block(order);
    if (wrong) return wrong;
    if (!ended) return "threads of a block wait for each other: a barrier or a meeting that not all reach";
  }
  return NULL;
}

}  // namespace simt
