/* exec_internal.h - a block under execution: what the files of the executor share.
 *
 * Order within a block is kept by clocks. The block's time grows with every synchronisation, and a warp's
 * `now` is the time of its last one: accesses have that time. A warp knows, per other warp, before which time
 * that warp's accesses are ordered before its own; lanes know the same of lanes of their warp. Barriers join
 * this knowledge: it is the vector clock of a partial order. All that a barrier lets go have the same time,
 * so that their reads can be kept as one.
 */
#ifndef PTXEMU_EXEC_INTERNAL_H
#define PTXEMU_EXEC_INTERNAL_H

#include "backends/cuda/ptxemu/exec.h"

enum { MAX_CALL_DEPTH = 16, N_BARRIERS = 16, N_KINDS = 64, N_SHARED_BARRIERS = 64 };

/* Bulk copies write as a warp of their own, which has a clock like the others. */
enum { ASYNC_WARP = EXEC_MAX_WARPS, N_CLOCKS = EXEC_MAX_WARPS + 1, ASYNC_THREAD = ASYNC_WARP * EXEC_WARP };

/* Generic addresses of memory that is not global: no host address looks like these. */
#define SHARED_WINDOW ((uint64_t)1 << 56)
#define LOCAL_WINDOW ((uint64_t)2 << 56)
#define PARAM_WINDOW ((uint64_t)3 << 56)
#define WINDOW_SIZE ((uint64_t)1 << 32)

typedef uint64_t lanes[EXEC_WARP];

/* What is known of four bytes of shared memory. Bytes are bits of a mask. */
typedef struct {
  uint32_t write_time, read_time, read_warps, read_lanes;
  uint16_t writer; /* thread + 1 */
  uint8_t read_warp;
  uint8_t write_bytes, read_bytes, set_bytes, pending_bytes;
  bool mixed_reads; /* of different bytes or times: who read which when is not known */
  bool by_atomic;
  bool unfenced; /* written by a thread, and no fence shows it to the asynchronous proxy */
} shared_cell;

typedef struct {
  uint64_t to, from;
  unsigned n, n_from; /* bytes written; of them read, the rest is zero */
  unsigned group;
  const ptx_instruction *instruction;
} async_copy;

typedef struct {
  async_copy *items;
  unsigned n, cap;
  unsigned group; /* that the next copy belongs to */
} async_queue;

/* A wgmma that nobody has waited for. */
typedef struct {
  const ptx_instruction *instruction;
  unsigned group;
  bool adds; /* to D */
  uint64_t a[4][EXEC_WARP], a_at, b_at;
} async_product;

typedef struct {
  async_product *items;
  unsigned n, cap;
  unsigned group; /* that the next one belongs to */
  uint64_t n_issued, hash;
} product_queue;

/* What is known of a register while wgmma use it. */
enum { REGISTER_HOLDS_D = 1, REGISTER_HOLDS_A = 2, REGISTER_WRITTEN = 4 };

typedef struct {
  unsigned id;
  lanes *registers;
  uint8_t *marks; /* of each register; NULL: the kernel has no wgmma */
  product_queue products;
  uint32_t pc[EXEC_WARP];
  uint32_t stack[EXEC_WARP][MAX_CALL_DEPTH];
  uint8_t depth[EXEC_WARP];
  uint32_t alive, exited;
  uint32_t waited;     /* lanes that know what is in front of the launch to have ended */
  uint32_t at_sync;    /* lanes that wait for lanes of their warp */
  uint32_t at_barrier; /* lanes that wait for their block */
  uint32_t at_mbarrier;
  uint8_t barrier[EXEC_WARP];
  uint32_t now;
  uint32_t touched[EXEC_WARP]; /* when each lane last touched shared memory */
  uint32_t clock[N_CLOCKS];
  uint32_t known[EXEC_WARP][EXEC_WARP];
  async_queue copies[EXEC_WARP];
} warp;

typedef struct {
  bool is_used, is_reduction;
  unsigned expected; /* threads; 0: all of the block */
  uint32_t waits[EXEC_MAX_WARPS], arrived[EXEC_MAX_WARPS];
  uint32_t clock[N_CLOCKS];
  unsigned n_true, n_voted;
} barrier;

/* An mbarrier: what its eight bytes of shared memory stand for. */
typedef struct {
  uint64_t offset;
  uint32_t expected, pending; /* arrivals of a phase, and those that are left of this one */
  int64_t bytes;              /* that copies have still to bring */
  uint32_t phase;
  uint32_t clock[N_CLOCKS], released[N_CLOCKS]; /* of those who arrived; as the last phase ended */
} shared_barrier;

typedef struct {
  uint64_t to, from, n; /* to: offset in shared memory */
  shared_barrier *barrier;
  const ptx_instruction *instruction;
  unsigned warp, lane;
} bulk_copy;

typedef struct {
  const exec_launch *l;
  uint32_t index[3];
  uint32_t linear;
  unsigned n_threads, n_warps;
  warp *warps;
  unsigned char *shared;
  shared_cell *cells;
  uint32_t *product_reads; /* by warps, of each 16 bytes: shared.c; NULL: the kernel has no wgmma */
  uint64_t shared_bytes;   /* to the end of dynamic memory */
  unsigned char *local;    /* a thread's after another's */
  uint32_t time;
  barrier barriers[N_BARRIERS];
  shared_barrier mbarriers[N_SHARED_BARRIERS];
  unsigned n_mbarriers;
  bulk_copy *copies; /* whose bytes nobody has waited for */
  unsigned n_copies, cap_copies;
  uint64_t random, steps;
  uint32_t ordered_op; /* an operation that is known to have ended before this launch; 0: none */
  bool checks_blocks;  /* whether accesses of different blocks are compared */
  bool out_of_memory;
  struct {
    const char *kind;
    unsigned line;
  } seen[N_KINDS]; /* one report per kind and line */
  unsigned n_seen;
} block;

/* One instruction of some lanes of a warp. */
typedef struct {
  block *b;
  warp *w;
  const ptx_instruction *i;
  uint32_t mask;
} step;

#define FOR_LANES(lane, mask)                                                                  \
  for (uint32_t left_ = (mask), lane = 0; left_ && (lane = (uint32_t)__builtin_ctz(left_), 1); \
       left_ &= left_ - 1)

/* One expression of lane l for all lanes of a step. Registers are the same or apart, so that the compiler may
 * make vectors when all 32 take part. */
#if defined(__clang__)
#define EXEC_LANES_APART _Pragma("clang loop vectorize(assume_safety)")
#else
#define EXEC_LANES_APART _Pragma("GCC ivdep")
#endif
#define EACH_OF(s, expression)                                                       \
  do {                                                                               \
    if ((s)->mask == ~0u) {                                                          \
      EXEC_LANES_APART for (unsigned l = 0; l < EXEC_WARP; l++) d[l] = (expression); \
    } else {                                                                         \
      FOR_LANES(l, (s)->mask) d[l] = (expression);                                   \
    }                                                                                \
  } while (0)

/* Functions of such loops, with all that they call: built for processors with AVX2 and fma once more. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12 && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EXEC_WIDE __attribute__((flatten, target_clones("arch=x86-64-v3", "default")))
#else
#define EXEC_WIDE
#endif

void exec_report(const step *s, unsigned lane, const char *kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The values of an operand: the register itself, or values laid out in room. */
const uint64_t *exec_source_other(const step *s, const ptx_operand *o, lanes room);
static inline const uint64_t *exec_source(const step *s, const ptx_operand *o, lanes room) {
  return o->kind == OPERAND_REGISTER ? s->w->registers[o->reg]
         : o->kind == OPERAND_VALUE  ? o->lanes
                                     : exec_source_other(s, o, room);
}
/* A register to write, or room when the result is not wanted. */
static inline uint64_t *exec_result(const step *s, const ptx_operand *o, lanes room) {
  return o->kind == OPERAND_REGISTER ? s->w->registers[o->reg] : room;
}
static inline uint32_t exec_predicate(const step *s, const ptx_operand *o) {
  lanes room;
  const uint64_t *v = exec_source(s, o, room);
  uint64_t bits = 0;
  for (unsigned l = 0; l < EXEC_WARP; l++) bits |= (v[l] & 1) << l;
  return o->negated ? ~(uint32_t)bits : (uint32_t)bits;
}
static inline void exec_set_predicate(const step *s, const ptx_operand *o, uint32_t values) {
  if (o->kind != OPERAND_REGISTER) return;
  uint64_t *d = s->w->registers[o->reg];
  EACH_OF(s, (uint64_t)values >> l & 1);
}

static inline unsigned thread_of(const warp *w, unsigned lane) { return w->id * EXEC_WARP + lane; }

/* exec_alu.c: everything that only reads and writes registers. */
void exec_alu(const step *s);
/* exec_float.c: of floating point. */
void exec_float(const step *s);

/* exec_memory.c */
typedef enum {
  ACCESS_READ,
  ACCESS_WRITE,
  ACCESS_ATOMIC,
  ACCESS_ASYNC,     /* a copy will write */
  ACCESS_PROXY_READ /* by a warp's wgmma, through the asynchronous proxy */
} access_kind;
/* Whether a thread of a programmatic launch knows that what is in front of it has ended; reported if not. */
void exec_check_followed(const step *s, unsigned lane, uint64_t address, unsigned n, const char *what);
/* Checks n bytes; where they are, or NULL when they may not be touched (reported). */
unsigned char *exec_access(const step *s, unsigned lane, uint64_t address, unsigned n, ptx_space space,
                           access_kind kind);
/* The lanes' values of an address operand; of shared memory where `shared`. */
void exec_addresses(const step *s, const ptx_operand *o, bool shared, lanes a);
void exec_load(const step *s);
void exec_store(const step *s);
void exec_atomic(const step *s);
void exec_address(const step *s); /* cvta, isspacep */
void exec_ldmatrix(const step *s);
void exec_copy_async(const step *s);
void exec_copy_wait(const step *s);
void exec_copies_left(const step *s); /* lanes that exit */

/* shared.c: race cells. what: for reports */
void shared_touch(const step *s, unsigned lane, uint64_t offset, unsigned n, access_kind kind);

void shared_fence_proxy(const step *s);
void shared_arrived(block *b, uint64_t offset, uint64_t n); /* of a bulk copy */

/* mbarrier.c */
void mbarrier_execute(const step *s);  /* init and arrivals */
uint32_t mbarrier_wait(const step *s); /* the lanes whose phase is over */
bool mbarrier_release(block *b);       /* lanes that wait and need not; whether there were any */
void mbarrier_copy(const step *s);     /* cp.async.bulk */
void mbarrier_copies_left(block *b);   /* at the end */

/* exec_wgmma.c */
void exec_wgmma(const step *s);
void exec_wgmma_watch(const step *s); /* before any other instruction of a kernel that has some */
void exec_wgmma_left(const step *s);  /* lanes that exit */
void exec_wgmma_compare(block *b);    /* at the end: the warps of a warpgroup did the same */

/* exec_warp.c */
void exec_shuffle(const step *s);
void exec_vote(const step *s);
void exec_reduce(const step *s);
void exec_match(const step *s);
void exec_mma(const step *s);

/* barrier.c */
void barrier_arrive(const step *s);
bool barrier_release(block *b); /* those that are complete; whether any was */
void barrier_report_stuck(block *b);
void barrier_warp(const step *s, uint32_t members);

#endif
