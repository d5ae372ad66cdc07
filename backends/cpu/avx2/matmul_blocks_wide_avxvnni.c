/* avx2/matmul_blocks_wide_avxvnni.c - rows of q13a with few-bit weights: AVX-VNNI (256-bit vpdpwssd). */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/matmul_blocks_wide.h"

WH_MATMUL_BLOCKS_WIDE(avxvnni)
