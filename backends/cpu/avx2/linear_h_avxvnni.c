/* linear_h_avxvnni.c - products with 16-bit weights: AVX-VNNI (256-bit vpdpwssd). */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

#include "backends/cpu/linear_h_tile.h"

WH_LINEAR_H_TILE(avxvnni)
