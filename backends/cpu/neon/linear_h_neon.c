/* linear_h_neon.c - products with 16-bit weights: Advanced SIMD (smlal). */
#include "backends/cpu/neon/linear_q_vec_neon.h"

#include "backends/cpu/linear_h_tile.h"

WH_LINEAR_H_TILE(neon)
