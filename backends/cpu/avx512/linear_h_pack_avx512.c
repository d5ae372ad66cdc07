/* linear_h_pack_avx512.c - packing of 16-bit weights: AVX-512. */
#include "backends/cpu/linear_h_pack.h"

WH_LINEAR_H_PACK(avx512)
