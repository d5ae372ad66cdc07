/* attention_ref.c - docs/NUMERICS.md, "attention", in plain C. */
#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_q8.h"
#include "backends/cpu/attention_split.h"

#define CHUNK WH_ATTENTION_CHUNK
#define SPAN WH_ATTENTION_SPAN
#define BLOCK WH_KV_BLOCK

/* A scale has rounded to f16, so the largest code may pass 127 by a little. NaN (an infinity by a factor of
 * 0) gives 0. */
static int32_t round_code(float v) {
  if (!(v > -127.0f)) return v <= -127.0f ? -127 : 0;
  return v < 127.0f ? (int32_t)rintf(v) : 127;
}

static void append_q8(const wh_kv_append_args *a, const float *x, int64_t tile, int64_t pos) {
  wh_kv_q8_block *block = (wh_kv_q8_block *)a->cache + tile * (a->head_dim / BLOCK);
  for (int64_t b = 0; b < a->head_dim / BLOCK; b++, block++, x += BLOCK) {
    float factor;
    block->scale[pos] = wh_kv_scale(wh_kv_top(x, BLOCK), &factor);
    for (int64_t d = 0; d < BLOCK; d++) {
      int32_t code = round_code(x[d] * factor);
      if (a->is_key)
        block->codes[wh_kv_key_code(d, pos)] = (uint8_t)(code + WH_KV_KEY_BIAS);
      else
        block->codes[wh_kv_value_code(d, pos)] = (uint8_t)(int8_t)code;
    }
  }
}

void wh_k_kv_append_ref(const wh_kv_append_args *a, const wh_worker *worker) {
  int64_t begin, end, n_dim = a->head_dim;
  wh_worker_range(worker, a->n_kv_heads * a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t head = i / a->rows, row = i % a->rows, pos = a->positions[row];
    int64_t tile = wh_kv_tile(a->page_table, a->table, a->n_kv_heads, a->sequences[row], head, pos / CHUNK);
    const float *x = a->x + row * a->ldx + head * n_dim;
    if (a->dtype == WH_DTYPE_Q8_0) {
      append_q8(a, x, tile, pos % CHUNK);
      continue;
    }
    for (int64_t d = 0; d < n_dim; d++) {
      int64_t at = tile * CHUNK * n_dim + (a->is_key ? d * CHUNK + pos % CHUNK : pos % CHUNK * n_dim + d);
      if (a->dtype == WH_DTYPE_F16)
        ((uint16_t *)a->cache)[at] = wh_f16_from_f32(x[d]);
      else
        ((float *)a->cache)[at] = x[d];
    }
  }
}

static float load(const void *cache, wh_dtype dtype, int64_t i) {
  return dtype == WH_DTYPE_F16 ? wh_f32_from_f16(((const uint16_t *)cache)[i]) : ((const float *)cache)[i];
}

static float load_value(const wh_attention_args *a, int64_t tile, int64_t j, int64_t d) {
  if (a->dtype != WH_DTYPE_Q8_0) return load(a->values, a->dtype, (tile * CHUNK + j) * a->value_dim + d);
  const wh_kv_q8_block *block = wh_kv_q8_tile(a->values, a->value_dim, tile) + d / BLOCK;
  return wh_f32_from_f16(block->scale[j]) * (float)(int8_t)block->codes[wh_kv_value_code(d % BLOCK, j)];
}

static void scores_q8(const wh_attention_args *a, const float *q, int64_t tile, int j0, int j1,
                      float s[CHUNK]) {
  const wh_kv_q8_block *block = wh_kv_q8_tile(a->keys, a->head_dim, tile);
  for (int64_t b = 0; b < a->head_dim / BLOCK; b++, block++) {
    float x[BLOCK], factor;
    int32_t code[BLOCK];
    for (int d = 0; d < BLOCK; d++) x[d] = q[b * BLOCK + d] * a->scale;
    float scale = wh_kv_query_scale(wh_kv_top(x, BLOCK), &factor);
    for (int d = 0; d < BLOCK; d++) code[d] = round_code(x[d] * factor);
    for (int j = j0; j < j1; j++) {
      int32_t dot = 0;
      for (int d = 0; d < BLOCK; d++) dot += code[d] * (block->codes[wh_kv_key_code(d, j)] - WH_KV_KEY_BIAS);
      s[j] = fmaf(wh_f32_from_f16(block->scale[j]), (float)dot * scale, s[j]);
    }
  }
}

static void scores(const wh_attention_args *a, const float *q, int64_t tile, int j0, int j1, float s[CHUNK]) {
  for (int j = j0; j < j1; j++)
    for (int64_t d = 0; d < a->head_dim; d++)
      s[j] = fmaf(q[d] * a->scale, load(a->keys, a->dtype, (tile * a->head_dim + d) * CHUNK + j), s[j]);
}

/* One chunk of one query: fills p[0, 64) and returns m, l. [j0, j1) are the visible positions in the chunk.
 */
static void chunk_softmax(const wh_attention_args *a, const float *q, int64_t tile, int j0, int j1,
                          float p[CHUNK], float *m_out, float *l_out) {
  float m = -INFINITY, lanes[CHUNK] = {0};
  for (int j = 0; j < CHUNK; j++) p[j] = 0.0f;
  if (a->dtype == WH_DTYPE_Q8_0)
    scores_q8(a, q, tile, j0, j1, p);
  else
    scores(a, q, tile, j0, j1, p);
  for (int j = j0; j < j1; j++) {
    if (a->softcap > 0.0f) p[j] = wh_tanh_f32(p[j] / a->softcap) * a->softcap;
    m = p[j] > m ? p[j] : m;
  }
  for (int j = j0; j < j1; j++) lanes[j] = p[j] = wh_exp_f32(p[j] - m);
  for (int h = CHUNK / 2; h > 0; h >>= 1)
    for (int i = 0; i < h; i++) lanes[i] = lanes[i] + lanes[i + h];
  *m_out = m;
  *l_out = lanes[0];
}

/* The m and l of a chunk, a span, or all spans before. */
typedef struct partial {
  float m, l;
} partial;

/* `all` takes in `one`, or becomes it; the factors of their O and o. */
static void combine(partial *all, const partial *one, bool sets, float *of_all, float *of_one) {
  if (sets) {
    *all = *one;
    return;
  }
  const float top = one->m > all->m ? one->m : all->m;
  *of_all = wh_exp_f32(all->m - top);
  *of_one = wh_exp_f32(one->m - top);
  all->l = fmaf(all->l, *of_all, one->l * *of_one);
  all->m = top;
}

/* span_o: for the O of a span, [value_dim] */
static void attend(const wh_attention_args *a, int64_t row, int64_t head, float *span_o) {
  int64_t n_value = a->value_dim;
  int64_t kv_head = head / (a->n_heads / a->n_kv_heads);
  int64_t hi = a->positions[row], lo = a->window > 0 && hi >= a->window ? hi - a->window + 1 : 0;
  int64_t first = lo / CHUNK, last = hi / CHUNK;
  const float *q = a->q + row * a->ldq + head * a->head_dim;
  float *y = a->y + row * a->ldy + head * n_value; /* holds O until the end */
  float p[CHUNK], of_all = 0.0f, of_one = 0.0f;
  partial all, span, chunk;
  for (int64_t c = first; c <= last; c++) {
    int64_t tile = wh_kv_tile(a->page_table, a->table, a->n_kv_heads, a->sequences[row], kv_head, c);
    int j0 = (int)(lo > c * CHUNK ? lo - c * CHUNK : 0);
    int j1 = (int)(hi + 1 < (c + 1) * CHUNK ? hi + 1 - c * CHUNK : CHUNK);
    bool sets = c == first || c % SPAN == 0;
    chunk_softmax(a, q, tile, j0, j1, p, &chunk.m, &chunk.l);
    combine(&span, &chunk, sets, &of_all, &of_one);
    for (int64_t d = 0; d < n_value; d++) {
      float o = 0.0f;
      for (int j = j0; j < j1; j++) o = fmaf(p[j], load_value(a, tile, j, d), o);
      span_o[d] = sets ? o : fmaf(span_o[d], of_all, o * of_one);
    }
    if (c < last && (c + 1) % SPAN != 0) continue;
    sets = c / SPAN == first / SPAN;
    combine(&all, &span, sets, &of_all, &of_one);
    for (int64_t d = 0; d < n_value; d++) y[d] = sets ? span_o[d] : fmaf(y[d], of_all, span_o[d] * of_one);
  }
  for (int64_t d = 0; d < n_value; d++) y[d] = y[d] / all.l;
}

void wh_k_attention_ref(const wh_attention_args *args, const wh_worker *worker) {
  int64_t begin, end;
  float *span_o = wh_attention_workspace_at(args->scratch, args, worker).state.o;
  wh_worker_range(worker, args->rows * args->n_heads, &begin, &end);
  for (int64_t i = begin; i < end; i++) attend(args, i / args->n_heads, i % args->n_heads, span_o);
}
