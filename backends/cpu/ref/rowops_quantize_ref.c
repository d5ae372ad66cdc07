/* ref/rowops_quantize_ref.c - docs/NUMERICS.md, "quantize_act", in plain C, and the ops that end in it. */
#include <string.h>

#include "backends/cpu/ref/rowops_sum_ref.h"
#include "backends/cpu/rowops_kernels.h"

#define GROUP 256

/* Magnitudes are compared as integers, whose order is the same; a NaN is then the largest, instead of being
 * dropped by a comparison. */
static uint32_t max_magnitude(const float *x, int64_t n) {
  uint32_t top = 0;
  for (int64_t j = 0; j < n; j++) {
    uint32_t u = wh_f32_bits(x[j]) & 0x7fffffffu;
    top = u > top ? u : top;
  }
  return top;
}

static int32_t round_code(float v) {
  v = rintf(v);
  return v >= -127.0f && v <= 127.0f ? (int32_t)v : 0; /* 0: NaN, in a group that is not finite */
}

/* Quantises one group of n values (whole blocks) into slot `group` of row `row` of a tile. */
static void quantize_group(const float *x, int64_t n, const wh_q8a_tile *tile, int64_t row, int64_t group) {
  float top = wh_f32_from_bits(max_magnitude(x, n));
  bool zero = top < 0x1p-100f;
  int16_t *jsum = tile->jsum + (group * tile->rows + row) * 8;
  int16_t *jsum16 = tile->jsum16 + (group * tile->rows + row) * 16;
  memset(jsum, 0, 8 * sizeof *jsum);
  memset(jsum16, 0, 16 * sizeof *jsum16);
  for (int64_t b = 0; b < n / 32; b++) {
    const float *xb = x + b * 32;
    float block_top = wh_f32_from_bits(max_magnitude(xb, 32));
    int k = 3;
    while (!zero && k > 0 && !(block_top * (float)(1 << k) <= top)) k--;
    int32_t t = zero ? 3 : 3 - k, half[2] = {0, 0}, pair[2][2] = {{0}};
    int64_t slot = (group * 8 + b) * tile->rows + row;
    float factor = zero ? 0.0f : (127.0f / top) * (float)(1 << k);
    for (int j = 0; j < 32; j++) {
      int32_t code = zero ? 0 : round_code(xb[j] * factor);
      tile->q[slot * 32 + j] = (int8_t)code;
      half[j / 16] += code;
      pair[j / 16][j % 4 / 2] += code;
    }
    int32_t sum = half[0] + half[1], unit = 1 << t;
    tile->t[slot] = t;
    tile->nbsum[slot] = -sum;
    tile->nbsum16[slot * 2] = -half[0];
    tile->nbsum16[slot * 2 + 1] = -half[1];
    for (int i = 0; i < 4; i++) tile->npair[i / 2][slot * 2 + i % 2] = (int16_t)-pair[i / 2][i % 2];
    tile->fbsum[slot] = (float)(sum * unit);
    jsum[b] = (int16_t)(sum * unit);
    jsum16[b * 2] = (int16_t)(half[0] * unit);
    jsum16[b * 2 + 1] = (int16_t)(half[1] * unit);
  }
  const float scale = fmaf(top, 0.0f, (top / 127.0f) * 0.125f); /* NaN when top is infinite, too */
  tile->scale[group * tile->rows + row] = zero ? 0.0f : scale;
}

static wh_q8a_tile tile_of(void *q8a, int64_t rows, int64_t k, int64_t row) {
  return wh_q8a_tile_at(q8a, rows, k, row / WH_Q8A_TILE);
}

static int64_t group_elems(int64_t k, int64_t at) { return k - at < GROUP ? k - at : GROUP; }

void wh_k_quantize_act__ref(const wh_quantize_act_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    wh_q8a_tile tile = tile_of(a->q8a, a->rows, a->k, i);
    for (int64_t at = 0; at < a->k; at += GROUP)
      quantize_group(a->x + i * a->ldx + at, group_elems(a->k, at), &tile, i % WH_Q8A_TILE, at / GROUP);
  }
}

void wh_k_rms_norm_q8a__ref(const wh_norm_args *a, const wh_worker *w) {
  int64_t begin, end;
  wh_worker_range(w, a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    wh_q8a_tile tile = tile_of(a->q8a, a->rows, a->n, i);
    const float *x = a->x + i * a->ldx;
    float r = wh_ref_rms_factor(x, a->n, a->eps), y[GROUP];
    for (int64_t at = 0; at < a->n; at += GROUP) {
      int64_t n = group_elems(a->n, at);
      for (int64_t j = 0; j < n; j++) y[j] = a->w ? (x[at + j] * r) * a->w[at + j] : x[at + j] * r;
      quantize_group(y, n, &tile, i % WH_Q8A_TILE, at / GROUP);
    }
  }
}

#define REF_GATED_Q8A(op, activation)                                             \
  void wh_k_##op##__ref(const wh_gated_args *a, const wh_worker *w) {             \
    int64_t begin, end;                                                           \
    wh_worker_range(w, a->rows, &begin, &end);                                    \
    for (int64_t i = begin; i < end; i++) {                                       \
      wh_q8a_tile tile = tile_of(a->q8a, a->rows, a->n, i);                       \
      const float *g = a->a + i * a->lda, *u = a->b + i * a->ldb;                 \
      float y[GROUP];                                                             \
      for (int64_t at = 0; at < a->n; at += GROUP) {                              \
        int64_t n = group_elems(a->n, at);                                        \
        for (int64_t j = 0; j < n; j++) y[j] = activation(g[at + j]) * u[at + j]; \
        quantize_group(y, n, &tile, i % WH_Q8A_TILE, at / GROUP);                 \
      }                                                                           \
    }                                                                             \
  }
REF_GATED_Q8A(swiglu_q8a, wh_silu_f32)
REF_GATED_Q8A(geglu_q8a, wh_gelu_tanh_f32)
