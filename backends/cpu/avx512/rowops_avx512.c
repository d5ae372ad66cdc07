/* avx512/rowops_avx512.c - row ops, AVX-512. */
#include "backends/cpu/avx512/vec_avx512.h"

#define KERNEL(op) wh_k_##op##__avx512
#include "backends/cpu/rowops_vec.h"
