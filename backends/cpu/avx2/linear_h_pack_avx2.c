/* linear_h_pack_avx2.c - packing of 16-bit weights: AVX2. */
#include "backends/cpu/linear_h_pack.h"

WH_LINEAR_H_PACK(avx2, NULL)
