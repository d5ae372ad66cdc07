/* avx2/conv_codes_avx2.c - tiles of convolutions of codes, four in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avx2
#define vi_dot(acc, x, w) \
  _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)))
#define vi_dot_low(acc, x, w, y, v)                                                                    \
  _mm256_add_epi32(                                                                                    \
      acc, _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(x, w), _mm256_maddubs_epi16(y, v)), \
                             _mm256_set1_epi32(1)))
#define vi_and(a, b) _mm256_and_si256(a, b)

#include "backends/cpu/conv_codes_tiles.h"
