/* avx2/rowops_avx2.c - row ops, AVX2. */
#include "backends/cpu/avx2/vec_avx2.h"

#define KERNEL(op) wh_k_##op##__avx2
#include "backends/cpu/rowops_vec.h"
