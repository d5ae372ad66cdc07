/* neon/matmul_blocks_wide_neon.c - rows of q13a with few-bit weights: Advanced SIMD (smlal). */
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/matmul_blocks_wide.h"

WH_MATMUL_BLOCKS_WIDE(neon)
