/* avx2/conv_codes_avxvnni.c - tiles of convolutions of codes, four in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avxvnni
#define vi_dot(acc, x, w) _mm256_dpbusd_avx_epi32(acc, x, w)

#include "backends/cpu/conv_codes_tiles.h"
