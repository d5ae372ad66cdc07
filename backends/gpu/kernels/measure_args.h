/* measure_args.h - the argument of the measuring loops. */
#ifndef WH_GPU_MEASURE_ARGS_H
#define WH_GPU_MEASURE_ARGS_H

#include <stdint.h>

typedef struct gpu_measure_args {
  uint64_t data, out; /* read: data; all: out has a word for each thread */
  uint64_t n_words;   /* read: words of 16 bytes */
  uint32_t rounds;    /* of the loop */
  uint32_t unused;
} gpu_measure_args;

#define GPU_MEASURE_CHAINS 8 /* independent ones that a round of the arithmetic loops has */

#endif
