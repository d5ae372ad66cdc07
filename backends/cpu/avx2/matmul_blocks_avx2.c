/* avx2/matmul_blocks_avx2.c - products with weights of few bits, 256-bit vectors. */
#include "backends/cpu/avx2/vec_avx2.h"

#define LEVEL avx2
typedef __m256i vu;
#define vu_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define vu_set1(x) _mm256_set1_epi32((int)(x))
#define vu_right(x, n) _mm256_srlv_epi32(x, n)
#define VF_2_23(x) _mm256_castsi256_ps(_mm256_or_si256(x, _mm256_set1_epi32(0x4b000000)))
#define vf_from_code(x, mask) VF_2_23(_mm256_and_si256(x, vu_set1(mask)))
#define vf_from_zeros(p) VF_2_23(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p))))

#include "backends/cpu/matmul_blocks_tiles.h"
