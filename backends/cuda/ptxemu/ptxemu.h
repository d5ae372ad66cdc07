/* ptxemu.h - what libcuda.so.1 of the emulator exports beside the driver API. All optional: a program that
 * knows nothing of it is steered by the environment variable PTXEMU, which holds the same options. */
#ifndef PTXEMU_PTXEMU_H
#define PTXEMU_PTXEMU_H

#include <stdint.h>

/* Options as in README.md: "seed=3,strict,fail=17". Those not named keep their value. Returns 0, or -1 and
 * changes nothing when one is not known or out of range. devices, memory and profile count from the next
 * cuInit on. */
int ptxemu_set(const char *options);

/* What was found wrong since the last clear; texts are valid until then. */
unsigned ptxemu_report_count(void);
const char *ptxemu_report(unsigned i);
void ptxemu_clear(void);

/* Calls of the driver API that `fail` counts, since the last ptxemu_set with `fail`. */
unsigned ptxemu_calls(void);
/* Instructions executed: of warps, and of their lanes that took part. */
void ptxemu_instructions(uint64_t *warps, uint64_t *lanes);

/* With the option `count`: what a launch did, by warps' instructions. */
typedef struct {
  char kernel[64];
  uint32_t grid[3], block[3];
  uint32_t shared_bytes;                     /* of a block, static and dynamic */
  uint64_t instructions, products;           /* of those, matrix products */
  uint64_t loop_instructions, loop_products; /* of the loop around mma or wgmma; of those, these */
  uint64_t global_requests, sectors;         /* loads, stores, atomics, cp.async; pieces of 32 bytes */
  uint64_t shared_requests, wavefronts;      /* turns of the 32 banks */
} ptxemu_profile;
/* Launches in the order in which they ran; -1: there are not so many. */
int ptxemu_profile_get(unsigned i, ptxemu_profile *out);
unsigned ptxemu_profile_count(void);
void ptxemu_profile_clear(void);

#endif
