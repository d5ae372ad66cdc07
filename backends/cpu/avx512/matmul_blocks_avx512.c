/* avx512/matmul_blocks_avx512.c - products with weights of few bits, 512-bit vectors. */
#include "backends/cpu/avx512/vec_avx512.h"

#define LEVEL avx512
typedef __m512i vu;
#define vu_load(p) _mm512_loadu_si512(p)
#define vu_set1(x) _mm512_set1_epi32((int)(x))
#define vu_right(x, n) _mm512_srlv_epi32(x, n)
#define VF_2_23(x) _mm512_castsi512_ps(_mm512_or_si512(x, _mm512_set1_epi32(0x4b000000)))
#define vf_from_code(x, mask) VF_2_23(_mm512_and_si512(x, vu_set1(mask)))
#define vf_from_zeros(p) VF_2_23(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p))))

#include "backends/cpu/matmul_blocks_tiles.h"
