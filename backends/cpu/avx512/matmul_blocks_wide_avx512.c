/* avx512/matmul_blocks_wide_avx512.c - rows of q13a with few-bit weights: AVX-512. */
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/matmul_blocks_wide.h"

WH_MATMUL_BLOCKS_WIDE(avx512)
