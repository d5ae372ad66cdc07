/* avx2/conv_codes_avx2.c - tiles of convolutions of codes, four in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avx2
#define vi_pairs(acc, x, w) _mm256_add_epi32(acc, _mm256_madd_epi16(x, w))
#define vi_dot(acc, x, w) vi_pairs(acc, _mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1))
#define vi_even(w) _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8)
#define vi_odd(w) _mm256_srai_epi16(w, 8)
#define vi_even_unsigned(x) _mm256_and_si256(x, _mm256_set1_epi16(255))
#define vi_odd_unsigned(x) _mm256_srli_epi16(x, 8)

#include "backends/cpu/conv_codes_tiles.h"
