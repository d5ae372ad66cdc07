/* avx2/matmul_codes_avxvnni.c - tiles of products of codes, four in a word. */
#include <immintrin.h>

#define LEVEL avxvnni
#define TILE_ROWS 6
typedef __m256i vi;
#define VI_LANES 8
#define vi_zero() _mm256_setzero_si256()
#define vi_set1(x) _mm256_set1_epi32((int)(x))
#define vi_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define vi_store(p, x) _mm256_storeu_si256((__m256i *)(void *)(p), x)
#define vi_dot(acc, a, b) _mm256_dpbusd_avx_epi32(acc, a, b)

#include "backends/cpu/matmul_codes_tiles.h"
