/* linear_q_block_avxvnni.c - products with types with blocks of 32: AVX-VNNI (256-bit vpdpbusd). */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_q_tile.h"

WH_LINEAR_Q_TILE(q4_0, avxvnni)
WH_LINEAR_Q_TILE(q4_1, avxvnni)
WH_LINEAR_Q_TILE(q5_0, avxvnni)
WH_LINEAR_Q_TILE(q5_1, avxvnni)
WH_LINEAR_Q_TILE(q8_0, avxvnni)
