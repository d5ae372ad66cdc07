/* linear_h_avx512vnni.c - products with 16-bit weights: AVX-512 with VNNI. */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_h_tile.h"

WH_LINEAR_H_TILE(avx512vnni)
