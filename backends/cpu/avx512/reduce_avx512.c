/* avx512/reduce_avx512.c - the reductions of level avx512. */
#include "backends/cpu/avx512/vec_avx512.h"

#define LEVEL avx512
#include "backends/cpu/reduce_loops.h"
