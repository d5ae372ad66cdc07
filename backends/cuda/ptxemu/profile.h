/* profile.h - what a launch asks of memory and of the matrix units, as a profiler counts it. */
#ifndef PTXEMU_PROFILE_H
#define PTXEMU_PROFILE_H

#include "backends/cuda/ptxemu/exec_internal.h"
#include "backends/cuda/ptxemu/ptxemu.h"

/* Of a launch that is counted. */
struct exec_profile {
  ptxemu_profile counts;
  uint64_t *executed; /* by instruction of the module: how often by a warp */
};

/* One instruction of a warp that touches n bytes a lane. */
void profile_access(const step *s, const lanes addresses, unsigned n, ptx_space space);
/* Eight rows of 16 bytes of an ldmatrix, of lanes [first, first + 8). */
void profile_rows(const step *s, const lanes addresses, unsigned first);

/* Keeps what a launch did, in the list that ptxemu_profile_get reads; false: there is no memory. */
bool profile_begin(struct exec_profile *p, const exec_launch *l);
bool profile_end(struct exec_profile *p, const exec_launch *l);
/* The sums of all launches so far, as README.md has them. */
void profile_write(const char *path);

#endif
