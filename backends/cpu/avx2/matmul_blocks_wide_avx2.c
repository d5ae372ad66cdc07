/* avx2/matmul_blocks_wide_avx2.c - rows of q13a with few-bit weights: AVX2. */
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/matmul_blocks_wide.h"

WH_MATMUL_BLOCKS_WIDE(avx2)
