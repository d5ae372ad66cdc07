/* avx2/matmul_codes_avx2.c - tiles of products of codes, two of 16 bits in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avx2
#define TILE_ROWS 6
#define vi_dot(acc, a, b) _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))

#include "backends/cpu/matmul_codes_tiles.h"
