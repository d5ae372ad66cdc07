/* avx512/matmul_avx512.c - products that read both operands where they lie, level avx512. */
#define LEVEL avx512
#include "backends/cpu/matmul_loops.h"
