/* avx512/conv_codes_avx512.c - tiles of convolutions of codes, four in a word. */
#include "backends/cpu/avx512/codes_vec_avx512.h"

#define LEVEL avx512
#define vi_pairs(acc, x, w) _mm512_add_epi32(acc, _mm512_madd_epi16(x, w))
#define vi_dot(acc, x, w) vi_pairs(acc, _mm512_maddubs_epi16(x, w), _mm512_set1_epi16(1))
#define vi_even(w) _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8)
#define vi_odd(w) _mm512_srai_epi16(w, 8)
#define vi_even_unsigned(x) _mm512_and_si512(x, _mm512_set1_epi16(255))
#define vi_odd_unsigned(x) _mm512_srli_epi16(x, 8)

#include "backends/cpu/conv_codes_tiles.h"
