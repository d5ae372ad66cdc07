/* avx512/map_avx512.c - the elementwise loops of level avx512. */
#define LEVEL avx512
#include "backends/cpu/map_loops.h"
