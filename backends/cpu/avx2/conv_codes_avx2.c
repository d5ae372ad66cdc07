/* avx2/conv_codes_avx2.c - tiles of convolutions of codes, two of 16 bits in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avx2
#define vi_dot(acc, a, b) _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))

#include "backends/cpu/conv_codes_tiles.h"
