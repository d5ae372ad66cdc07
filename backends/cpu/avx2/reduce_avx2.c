/* avx2/reduce_avx2.c - the reductions of level avx2. */
#define LEVEL avx2
#include "backends/cpu/reduce_loops.h"
