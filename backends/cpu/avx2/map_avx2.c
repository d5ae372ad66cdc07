/* avx2/map_avx2.c - the elementwise loops of level avx2. */
#define LEVEL avx2
#include "backends/cpu/map_loops.h"
