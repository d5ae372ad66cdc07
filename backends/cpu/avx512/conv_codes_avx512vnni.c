/* avx512/conv_codes_avx512vnni.c - tiles of convolutions of codes, four in a word. */
#include "backends/cpu/avx512/codes_vec_avx512.h"

#define LEVEL avx512vnni
#define vi_dot(acc, x, w) _mm512_dpbusd_epi32(acc, x, w)

#include "backends/cpu/conv_codes_tiles.h"
