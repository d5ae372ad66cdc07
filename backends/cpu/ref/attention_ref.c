/* attention_ref.c - docs/NUMERICS.md, "attention", in plain C. */
#include "backends/cpu/attention_kernels.h"
#include "core/base/exact_math.h"

#define CHUNK WH_ATTENTION_CHUNK

static void store(void *cache, wh_dtype dtype, int64_t i, float x) {
  if (dtype == WH_DTYPE_F16)
    ((uint16_t *)cache)[i] = wh_f16_from_f32(x);
  else
    ((float *)cache)[i] = x;
}

static float load(const void *cache, wh_dtype dtype, int64_t i) {
  return dtype == WH_DTYPE_F16 ? wh_f32_from_f16(((const uint16_t *)cache)[i]) : ((const float *)cache)[i];
}

void wh_k_kv_append_ref(const wh_kv_append_args *a, const wh_worker *worker) {
  int64_t begin, end, n_dim = a->head_dim;
  wh_worker_range(worker, a->n_kv_heads * a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t head = i / a->rows, row = i % a->rows, pos = a->positions[row];
    int64_t base = (a->sequences[row] * a->n_kv_heads + head) * a->context * n_dim;
    const float *x = a->x + row * a->ldx + head * n_dim;
    for (int64_t d = 0; d < n_dim; d++) {
      int64_t at = a->is_key ? (pos / CHUNK * n_dim + d) * CHUNK + pos % CHUNK : pos * n_dim + d;
      store(a->cache, a->dtype, base + at, x[d]);
    }
  }
}

/* One chunk of one query: fills p[0, 64) and returns m, l. [j0, j1) are the visible positions in the chunk.
 */
static void chunk_softmax(const wh_attention_args *a, const float *q, int64_t key_tile, int j0, int j1,
                          float p[CHUNK], float *m_out, float *l_out) {
  float m = -INFINITY, lanes[CHUNK] = {0};
  for (int j = j0; j < j1; j++) {
    float s = 0.0f;
    for (int64_t d = 0; d < a->head_dim; d++)
      s = fmaf(q[d] * a->scale, load(a->keys, a->dtype, key_tile + d * CHUNK + j), s);
    if (a->softcap > 0.0f) s = wh_tanh_f32(s / a->softcap) * a->softcap;
    p[j] = s;
    m = s > m ? s : m;
  }
  for (int j = j0; j < j1; j++) lanes[j] = p[j] = wh_exp_f32(p[j] - m);
  for (int h = CHUNK / 2; h > 0; h >>= 1)
    for (int i = 0; i < h; i++) lanes[i] = lanes[i] + lanes[i + h];
  *m_out = m;
  *l_out = lanes[0];
}

static void attend(const wh_attention_args *a, int64_t row, int64_t head) {
  int64_t n_dim = a->head_dim, n_value = a->value_dim;
  int64_t kv = a->sequences[row] * a->n_kv_heads + head / (a->n_heads / a->n_kv_heads);
  int64_t hi = a->positions[row], lo = a->window > 0 && hi >= a->window ? hi - a->window + 1 : 0;
  const float *q = a->q + row * a->ldq + head * n_dim;
  float *y = a->y + row * a->ldy + head * n_value; /* holds O until the end */
  float m_all = 0.0f, l_all = 0.0f, p[CHUNK];
  for (int64_t c = lo / CHUNK; c <= hi / CHUNK; c++) {
    int j0 = (int)(lo > c * CHUNK ? lo - c * CHUNK : 0);
    int j1 = (int)(hi + 1 < (c + 1) * CHUNK ? hi + 1 - c * CHUNK : CHUNK);
    float m, l, scale_all = 0.0f, scale_chunk = 0.0f;
    bool first = c == lo / CHUNK;
    chunk_softmax(a, q, (kv * a->context + c * CHUNK) * n_dim, j0, j1, p, &m, &l);
    if (first) {
      m_all = m;
      l_all = l;
    } else {
      float top = m > m_all ? m : m_all;
      scale_all = wh_exp_f32(m_all - top);
      scale_chunk = wh_exp_f32(m - top);
      l_all = fmaf(l_all, scale_all, l * scale_chunk);
      m_all = top;
    }
    for (int64_t d = 0; d < n_value; d++) {
      float o = 0.0f;
      for (int j = j0; j < j1; j++)
        o = fmaf(p[j], load(a->values, a->dtype, (kv * a->context + c * CHUNK + j) * n_value + d), o);
      y[d] = first ? o : fmaf(y[d], scale_all, o * scale_chunk);
    }
  }
  for (int64_t d = 0; d < n_value; d++) y[d] = y[d] / l_all;
}

void wh_k_attention_ref(const wh_attention_args *args, const wh_worker *worker) {
  int64_t begin, end;
  wh_worker_range(worker, args->rows * args->n_heads, &begin, &end);
  for (int64_t i = begin; i < end; i++) attend(args, i / args->n_heads, i % args->n_heads);
}
