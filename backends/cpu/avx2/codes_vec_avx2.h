/* codes_vec_avx2.h - vectors of words that hold two or four codes, for the tiles of products and of
 * convolutions of codes. A dot is the level's own: vi_dot(acc, a, b). */
#ifndef WH_CPU_CODES_VEC_AVX2_H
#define WH_CPU_CODES_VEC_AVX2_H

#include <immintrin.h>

typedef __m256i vi;
#define VI_LANES 8
#define vi_zero() _mm256_setzero_si256()
#define vi_set1(x) _mm256_set1_epi32((int)(x))
#define vi_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define vi_store(p, x) _mm256_storeu_si256((__m256i *)(void *)(p), x)
#define vi_add(a, b) _mm256_add_epi32(a, b)

/* x stays in its register: sums that fill them are spilled or moved in long loops otherwise. */
#define IN_REGISTER(x) __asm__("" : "+x"(x))

#endif
