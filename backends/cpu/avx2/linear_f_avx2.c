/* linear_f_avx2.c - products with float weights, 256-bit vectors. */
#include <immintrin.h>

typedef __m256 vf;
#define VF_LANES 8
#define TILE_ROWS 6
#define TALL_ROWS 6
#define TILE_VECS 2
#define WIDE_ROWS 3
#define WIDE_VECS 4
#define vf_zero() _mm256_setzero_ps()
#define vf_set1(x) _mm256_set1_ps(x)
#define vf_load(p) _mm256_loadu_ps(p)
#define vf_store(p, x) _mm256_storeu_ps(p, x)
#define vf_mask __m256i
#define vf_first(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define vf_load_some(mask, p) _mm256_maskload_ps(p, mask)
#define vf_store_some(mask, p, x) _mm256_maskstore_ps(p, mask, x)
#define vf_add(a, b) _mm256_add_ps(a, b)
#define vf_fma(a, b, c) _mm256_fmadd_ps(a, b, c)

#include "backends/cpu/linear_f_tiles.h"

void wh_k_linear_f_avx2(const wh_linear_f_args *args, const wh_worker *worker) {
  wh_linear_f_run(args, worker, &steps);
}

const wh_linear_f_isa *wh_k_linear_f_steps_avx2(void) { return &steps; }
