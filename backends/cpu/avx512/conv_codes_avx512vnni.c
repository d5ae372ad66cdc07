/* avx512/conv_codes_avx512vnni.c - tiles of convolutions of codes, two of 16 bits in a word. */
#include <immintrin.h>

#define LEVEL avx512vnni
typedef __m512i vi;
#define VI_LANES 16
#define vi_zero() _mm512_setzero_si512()
#define vi_set1(x) _mm512_set1_epi32((int)(x))
#define vi_load(p) _mm512_loadu_si512((const __m512i *)(const void *)(p))
#define vi_store(p, x) _mm512_storeu_si512((__m512i *)(void *)(p), x)
#define vi_add(a, b) _mm512_add_epi32(a, b)
#define vi_dot(acc, a, b) _mm512_dpwssd_epi32(acc, a, b)

#include "backends/cpu/conv_codes_tiles.h"
