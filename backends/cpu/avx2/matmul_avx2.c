/* avx2/matmul_avx2.c - products that read both operands where they lie, level avx2. */
#define LEVEL avx2
#include "backends/cpu/matmul_loops.h"
