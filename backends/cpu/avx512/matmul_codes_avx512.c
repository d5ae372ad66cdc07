/* avx512/matmul_codes_avx512.c - tiles of products of codes, two of 16 bits in a word. */
#include "backends/cpu/avx512/codes_vec_avx512.h"

#define LEVEL avx512
#define TILE_ROWS 12
#define vi_dot(acc, a, b) _mm512_add_epi32(acc, _mm512_madd_epi16(a, b))

#include "backends/cpu/matmul_codes_tiles.h"
