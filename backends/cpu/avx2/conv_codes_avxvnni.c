/* avx2/conv_codes_avxvnni.c - tiles of convolutions of codes, two of 16 bits in a word. */
#include <immintrin.h>

#define LEVEL avxvnni
typedef __m256i vi;
#define VI_LANES 8
#define vi_zero() _mm256_setzero_si256()
#define vi_set1(x) _mm256_set1_epi32((int)(x))
#define vi_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define vi_store(p, x) _mm256_storeu_si256((__m256i *)(void *)(p), x)
#define vi_add(a, b) _mm256_add_epi32(a, b)
#define vi_dot(acc, a, b) _mm256_dpwssd_avx_epi32(acc, a, b)

#include "backends/cpu/conv_codes_tiles.h"
