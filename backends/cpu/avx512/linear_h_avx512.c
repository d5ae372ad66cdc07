/* linear_h_avx512.c - products with 16-bit weights: AVX-512 without VNNI. */
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/linear_h_tile.h"

WH_LINEAR_H_TILE(avx512)
