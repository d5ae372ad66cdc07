/* avx512/matmul_codes_avx512.c - tiles of products of codes, two of 16 bits in a word. */
#include <immintrin.h>

#define LEVEL avx512
#define TILE_ROWS 12
typedef __m512i vi;
#define VI_LANES 16
#define vi_zero() _mm512_setzero_si512()
#define vi_set1(x) _mm512_set1_epi32((int)(x))
#define vi_load(p) _mm512_loadu_si512(p)
#define vi_store(p, x) _mm512_storeu_si512(p, x)
#define vi_dot(acc, a, b) _mm512_add_epi32(acc, _mm512_madd_epi16(a, b))

#include "backends/cpu/matmul_codes_tiles.h"
