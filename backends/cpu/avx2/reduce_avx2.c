/* avx2/reduce_avx2.c - the reductions of level avx2. */
#include "backends/cpu/avx2/vec_avx2.h"

#define LEVEL avx2
#include "backends/cpu/reduce_loops.h"
