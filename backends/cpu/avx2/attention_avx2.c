/* attention_avx2.c - attention and key/value stores with 256-bit vectors. */
#include "backends/cpu/avx2/math_avx2.h"

typedef __m256 vf;
#define VF_LANES 8
#define TILE 6
#define TILE_VECS(r) ((r) <= 2 ? 4 : 2)
#define vf_zero() _mm256_setzero_ps()
#define vf_set1(x) _mm256_set1_ps(x)
#define vf_load(p) _mm256_loadu_ps(p)
#define vf_store(p, x) _mm256_storeu_ps(p, x)
#define vf_add(a, b) _mm256_add_ps(a, b)
#define vf_sub(a, b) _mm256_sub_ps(a, b)
#define vf_mul(a, b) _mm256_mul_ps(a, b)
#define vf_div(a, b) _mm256_div_ps(a, b)
#define vf_max(a, b) _mm256_max_ps(a, b)
#define vf_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vf_tanh(x) wh_tanh_ps_avx2(x)
#define vf_sum64_tree(x) wh_sum64_tree_avx2(x)
#define vf_from_f16(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vf_store_f16(p, x) \
  _mm_storeu_si128((__m128i *)(void *)(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))

static inline float vf_hmax(vf x) {
  __m128 a = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  a = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}

static inline vf vf_exp_nonpositive(vf x) {
  return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(WH_EXP_MIN), _CMP_LT_OQ),
                          wh_exp_in_range_ps_avx2(x));
}

#include "backends/cpu/attention_tiles.h"

#include "backends/cpu/attention_driver.h"

void wh_k_attention_avx2(const wh_attention_args *args, const wh_worker *worker) {
  attend_team(args, worker);
}
void wh_k_kv_append_avx2(const wh_kv_append_args *args, const wh_worker *worker) {
  append_team(args, worker);
}
