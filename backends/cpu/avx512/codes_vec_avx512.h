/* codes_vec_avx512.h - vectors of words that hold two or four codes, for the tiles of products and of
 * convolutions of codes. A dot is the level's own: vi_dot(acc, a, b). */
#ifndef WH_CPU_CODES_VEC_AVX512_H
#define WH_CPU_CODES_VEC_AVX512_H

#include <immintrin.h>

typedef __m512i vi;
#define VI_LANES 16
#define vi_zero() _mm512_setzero_si512()
#define vi_set1(x) _mm512_set1_epi32((int)(x))
#define vi_load(p) _mm512_loadu_si512(p)
#define vi_store(p, x) _mm512_storeu_si512(p, x)
#define vi_add(a, b) _mm512_add_epi32(a, b)

/* x stays in its register: sums that fill them are spilled or moved in long loops otherwise. */
#define IN_REGISTER(x) __asm__("" : "+v"(x))

#endif
