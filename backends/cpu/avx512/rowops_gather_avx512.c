/* avx512/rowops_gather_avx512.c - gather_rows, AVX-512. */
#include "backends/cpu/avx512/vec_avx512.h"

#define KERNEL(op) wh_k_##op##__avx512
#include "backends/cpu/rowops_gather_vec.h"
