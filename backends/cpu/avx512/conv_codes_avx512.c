/* avx512/conv_codes_avx512.c - tiles of convolutions of codes, four in a word. */
#include "backends/cpu/avx512/codes_vec_avx512.h"

#define LEVEL avx512
#define vi_dot(acc, x, w) \
  _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(x, w), _mm512_set1_epi16(1)))
#define vi_and(a, b) _mm512_and_si512(a, b)
#define vi_halves(x, y) _mm512_mask_blend_epi16(UINT32_C(0xaaaaaaaa), x, y)

#include "backends/cpu/conv_codes_tiles.h"
