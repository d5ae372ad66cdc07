/* avx2/conv_codes_avxvnni.c - tiles of convolutions of codes, two of 16 bits in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avxvnni
#define vi_dot(acc, a, b) _mm256_dpwssd_avx_epi32(acc, a, b)

#include "backends/cpu/conv_codes_tiles.h"
