/* exec.h - runs one launch of a kernel, a block after another, and reports what the program may not do. */
#ifndef PTXEMU_EXEC_H
#define PTXEMU_EXEC_H

#include "backends/cuda/ptxemu/memory.h"
#include "backends/cuda/ptxemu/ptx.h"

enum { EXEC_WARP = 32, EXEC_MAX_THREADS = 1024, EXEC_MAX_WARPS = EXEC_MAX_THREADS / EXEC_WARP };

struct exec_profile; /* profile.h */

typedef struct {
  const ptx_module *module;
  const ptx_function *kernel;
  uint32_t grid[3], block[3];
  uint32_t dynamic_shared; /* bytes */
  const unsigned char *parameters;
  memory_device *devices; /* all of them: peers read each other */
  unsigned n_devices;
  uint32_t op;  /* the stream operation that this is */
  bool follows; /* it may have started before the work in front of it has ended: griddepcontrol */
  /* Whether an earlier operation is known to have ended before another began. */
  bool (*ordered)(uint32_t earlier, uint32_t later);
  uint64_t seed;   /* 0: blocks and warps in order, each to its next barrier; else some other legal order */
  uint32_t sample; /* of the blocks only so many run, spread over the grid; 0: all */
  uint64_t max_steps; /* warp instructions of a block, after which it is taken to hang */
  bool
      truncating_mma; /* sums of f16 products as tensor cores do them, aligned and cut; else a chain of fma */
  uint64_t *n_warp_instructions, *n_lane_instructions; /* counted up */
  struct exec_profile *profile;                        /* NULL: nobody asks for it */
} exec_launch;

/* false when memory ran out. What the program did wrong is in the reports. */
bool exec_run(const exec_launch *l);

/* The next of a sequence that a seed begins. */
uint64_t exec_random(uint64_t *state);

/* A copy's touch of global memory: the same rules of order as a kernel's, for the text of a report. */
void exec_copy_touches(memory_device *d, uint64_t at, uint64_t n, bool writes, uint32_t op,
                       bool (*ordered)(uint32_t, uint32_t), const char *what);

#endif
