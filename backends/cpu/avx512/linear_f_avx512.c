/* linear_f_avx512.c - products with float weights, 512-bit vectors. */
#include <immintrin.h>

typedef __m512 vf;
#define VF_LANES 16
#define TILE_ROWS 12
#define TALL_ROWS 24
#define TILE_VECS 2
#define WIDE_ROWS 12
#define WIDE_VECS 2
#define vf_zero() _mm512_setzero_ps()
#define vf_set1(x) _mm512_set1_ps(x)
#define vf_load(p) _mm512_loadu_ps(p)
#define vf_store(p, x) _mm512_storeu_ps(p, x)
#define vf_mask __mmask16
#define vf_first(n) ((__mmask16)((1u << (n)) - 1u))
#define vf_load_some(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define vf_store_some(mask, p, x) _mm512_mask_storeu_ps(p, mask, x)
#define vf_add(a, b) _mm512_add_ps(a, b)
#define vf_fma(a, b, c) _mm512_fmadd_ps(a, b, c)

#include "backends/cpu/linear_f_tiles.h"

void wh_k_linear_f_avx512(const wh_linear_f_args *args, const wh_worker *worker) {
  wh_linear_f_run(args, worker, &steps);
}

const wh_linear_f_isa *wh_k_linear_f_steps_avx512(void) { return &steps; }
