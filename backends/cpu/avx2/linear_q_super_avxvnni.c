/* linear_q_super_avxvnni.c - products with types with super-blocks of 256: AVX-VNNI (256-bit vpdpbusd). */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q2_k, avxvnni)
WH_LINEAR_Q_TILE(q3_k, avxvnni)
WH_LINEAR_Q_TILE(q4_k, avxvnni)
WH_LINEAR_Q_TILE(q5_k, avxvnni)
WH_LINEAR_Q_TILE(q6_k, avxvnni)
