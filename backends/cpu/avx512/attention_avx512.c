/* attention_avx512.c - attention and key/value stores with 512-bit vectors. */
#include "backends/cpu/avx512/math_avx512.h"

typedef __m512 vf;
#define VF_LANES 16
#define TILE 6
#define TILE_VECS(r) 4
#define vf_zero() _mm512_setzero_ps()
#define vf_set1(x) _mm512_set1_ps(x)
#define vf_load(p) _mm512_loadu_ps(p)
#define vf_store(p, x) _mm512_storeu_ps(p, x)
#define vf_add(a, b) _mm512_add_ps(a, b)
#define vf_sub(a, b) _mm512_sub_ps(a, b)
#define vf_mul(a, b) _mm512_mul_ps(a, b)
#define vf_div(a, b) _mm512_div_ps(a, b)
#define vf_max(a, b) _mm512_max_ps(a, b)
#define vf_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vf_hmax(x) _mm512_reduce_max_ps(x)
#define vf_tanh(x) wh_tanh_ps_avx512(x)
#define vf_sum64_tree(x) wh_sum64_tree_avx512(x)
#define vf_from_f16(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define vf_store_f16(p, x)                    \
  _mm256_storeu_si256((__m256i *)(void *)(p), \
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))

static inline vf vf_exp_nonpositive(vf x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(WH_EXP_MIN), _CMP_NLT_UQ),
                             wh_exp_in_range_ps_avx512(x));
}

#include "backends/cpu/attention_tiles.h"

#include "backends/cpu/attention_driver.h"

void wh_k_attention_avx512(const wh_attention_args *args, const wh_worker *worker) {
  attend_team(args, worker);
}
void wh_k_kv_append_avx512(const wh_kv_append_args *args, const wh_worker *worker) {
  append_team(args, worker);
}
