/* avx512/conv_codes_avx512vnni.c - tiles of convolutions of codes, two of 16 bits in a word. */
#include "backends/cpu/avx512/codes_vec_avx512.h"

#define LEVEL avx512vnni
#define vi_dot(acc, a, b) _mm512_dpwssd_epi32(acc, a, b)

#include "backends/cpu/conv_codes_tiles.h"
