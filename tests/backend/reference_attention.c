/* reference_attention.c - docs/NUMERICS.md, "attention", over states [page][head][64][dim]. */
#include "tests/backend/reference.h"

#define CHUNK 64
#define SPAN 16

static float clamp_code(float v) { return v < -127.0f ? -127.0f : v > 127.0f ? 127.0f : v; }

static float largest32(const float *x) {
  float top = 0.0f;
  for (int i = 0; i < 32; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
  return top;
}

static size_t head_bytes(const ref_value *state) {
  const int64_t d = state->dims[3];
  return (size_t)(state->dtype == WH_DTYPE_F32 ? 4 * d : state->dtype == WH_DTYPE_F16 ? 2 * d : d / 32 * 34);
}
static uint8_t *head_at(const ref_value *state, const ref_value *table, int64_t sequence, int64_t position,
                        int64_t head) {
  const int64_t page = ((const int32_t *)table->data)[sequence * table->dims[1] + position / CHUNK];
  return (uint8_t *)state->data +
         (size_t)((page * state->dims[1] + head) * CHUNK + position % CHUNK) * head_bytes(state);
}

static void store(wh_dtype dtype, const float *x, int64_t d, uint8_t *to) {
  if (dtype == WH_DTYPE_F32) memcpy(to, x, (size_t)d * 4);
  for (int64_t i = 0; dtype == WH_DTYPE_F16 && i < d; i++) {
    const uint16_t h = wh_f16_from_f32(x[i]);
    memcpy(to + 2 * i, &h, sizeof h);
  }
  for (int64_t b = 0; dtype == WH_DTYPE_Q8_0 && b < d / 32; b++, to += 34) {
    const uint16_t s = wh_f16_from_f32(largest32(x + b * 32) / 127.0f);
    const float scale = wh_f32_from_f16(s);
    memcpy(to, &s, sizeof s);
    for (int i = 0; i < 32; i++)
      to[2 + i] = scale == 0.0f ? 0 : (uint8_t)(int8_t)rintf(clamp_code(x[b * 32 + i] * (1.0f / scale)));
  }
}

static float block_scale(const uint8_t *head, int64_t b) {
  uint16_t h;
  memcpy(&h, head + b * 34, sizeof h);
  return wh_f32_from_f16(h);
}

static float load(wh_dtype dtype, const uint8_t *head, int64_t i) {
  float f;
  uint16_t h;
  if (dtype == WH_DTYPE_Q8_0)
    return block_scale(head, i / 32) * (float)(int8_t)head[i / 32 * 34 + 2 + i % 32];
  if (dtype == WH_DTYPE_F16) {
    memcpy(&h, head + 2 * i, sizeof h);
    return wh_f32_from_f16(h);
  }
  memcpy(&f, head + 4 * i, sizeof f);
  return f;
}

/* Whether row i, which needs the positions from `first` of its sequence on, lies within the table and the
 * state; notes it when not. */
static bool inside(ref_node *n, const ref_value *state, const ref_value *places, int64_t first, int64_t i) {
  const int32_t position = ((const int32_t *)places[0].data)[i],
                sequence = ((const int32_t *)places[1].data)[i];
  const ref_value *table = &places[2];
  if (position < 0 || position >= CHUNK * table->dims[1]) return ref_fault(n, position), false;
  if (sequence < 0 || sequence >= table->dims[0]) return ref_fault(n, sequence), false;
  for (int64_t c = first / CHUNK; c <= position / CHUNK; c++) {
    const int32_t page = ((const int32_t *)table->data)[sequence * table->dims[1] + c];
    if (page < 0 || page >= state->dims[0]) return ref_fault(n, page), false;
  }
  return true;
}

void ref_kv_append(ref_node *n) {
  const ref_value *state = &n->in[0], *x = &n->in[1];
  const int32_t *positions = n->in[2].data, *sequences = n->in[3].data;
  const int64_t heads = x->dims[1], d = x->dims[2];
  for (int64_t i = 0; i < x->dims[0]; i++)
    for (int64_t h = 0; inside(n, state, &n->in[2], positions[i], i) && h < heads; h++)
      store(state->dtype, (const float *)x->data + (i * heads + h) * d, d,
            head_at(state, &n->in[4], sequences[i], positions[i], h));
}

static float score(const float *q, int64_t d, wh_dtype dtype, const uint8_t *key) {
  float s = 0.0f;
  if (dtype != WH_DTYPE_Q8_0) {
    for (int64_t i = 0; i < d; i++) s = fmaf(q[i], load(dtype, key, i), s);
    return s;
  }
  for (int64_t b = 0; b < d / 32; b++) {
    const float a = largest32(q + b * 32), u = a < 0x1p-100f ? 0.0f : a / 127.0f;
    int32_t dot = 0;
    for (int i = 0; i < 32 && u != 0.0f; i++)
      dot += (int32_t)rintf(clamp_code(q[b * 32 + i] * (127.0f / a))) * (int8_t)key[b * 34 + 2 + i];
    s = fmaf(block_scale(key, b), (float)dot * u, s);
  }
  return s;
}

typedef struct query {
  const ref_value *keys, *values, *table;
  int64_t sequence, kv_head, lo, hi;
  float scaled[512];
  float softcap;
} query;

/* A chunk's maximum, sum and weighted values. */
static void attend_chunk(const query *q, int64_t chunk, float *m, float *l, float *o) {
  const int64_t d = q->keys->dims[3], dv = q->values->dims[3];
  float p[CHUNK], lanes[CHUNK] = {0};
  *m = -INFINITY;
  for (int64_t j = 0; j < CHUNK; j++) {
    const int64_t position = chunk * CHUNK + j;
    if (position < q->lo || position > q->hi) continue;
    p[j] = score(q->scaled, d, q->keys->dtype, head_at(q->keys, q->table, q->sequence, position, q->kv_head));
    if (q->softcap != 0.0f) p[j] = wh_tanh_f32(p[j] / q->softcap) * q->softcap;
    if (p[j] > *m) *m = p[j];
  }
  for (int64_t c = 0; c < dv; c++) o[c] = 0.0f;
  for (int64_t j = 0; j < CHUNK; j++) {
    const int64_t position = chunk * CHUNK + j;
    if (position < q->lo || position > q->hi) continue;
    p[j] = wh_exp_f32(p[j] - *m);
    lanes[j] = p[j];
    const uint8_t *value = head_at(q->values, q->table, q->sequence, position, q->kv_head);
    for (int64_t c = 0; c < dv; c++) o[c] = fmaf(p[j], load(q->values->dtype, value, c), o[c]);
  }
  *l = ref_sum64(lanes, CHUNK);
}

/* A maximum, a sum and weighted values: of a chunk, of a span, of all. */
typedef struct part {
  bool any;
  float m, l, o[512];
} part;

static void add_part(part *all, const part *one, int64_t dv) {
  if (!all->any) {
    *all = *one;
    return;
  }
  const float both = one->m > all->m ? one->m : all->m, a = wh_exp_f32(all->m - both),
              b = wh_exp_f32(one->m - both);
  all->l = fmaf(all->l, a, one->l * b);
  for (int64_t c = 0; c < dv; c++) all->o[c] = fmaf(all->o[c], a, one->o[c] * b);
  all->m = both;
}

static void attend(const query *q, float *y) {
  const int64_t dv = q->values->dims[3], first = q->lo / CHUNK, last = q->hi / CHUNK;
  part all = {.any = false};
  for (int64_t span = first / SPAN; span <= last / SPAN; span++) {
    part of_span = {.any = false};
    for (int64_t chunk = span * SPAN; chunk < (span + 1) * SPAN; chunk++) {
      part one = {.any = true};
      if (chunk < first || chunk > last) continue;
      attend_chunk(q, chunk, &one.m, &one.l, one.o);
      add_part(&of_span, &one, dv);
    }
    add_part(&all, &of_span, dv);
  }
  for (int64_t c = 0; c < dv; c++) y[c] = all.o[c] / all.l;
}

void ref_attention(ref_node *n) {
  const ref_value *x = &n->in[0];
  query q = {.keys = &n->in[1],
             .values = &n->in[2],
             .table = &n->in[5],
             .softcap = wh_node_f(n->node, WH_ATTR_SOFTCAP)};
  const int32_t *positions = n->in[3].data, *sequences = n->in[4].data;
  const int64_t heads = x->dims[1], d = x->dims[2], dv = q.values->dims[3];
  const int64_t window = wh_node_i(n->node, WH_ATTR_WINDOW);
  for (int64_t i = 0; i < x->dims[0]; i++) {
    q.sequence = sequences[i];
    q.hi = positions[i];
    q.lo = window > 0 && q.hi >= window ? q.hi - window + 1 : 0;
    const bool ok = inside(n, q.keys, &n->in[3], q.lo, i);
    for (int64_t h = 0; h < heads; h++) {
      float *y = (float *)n->out.data + (i * heads + h) * dv;
      if (!ok) {
        memset(y, 0, (size_t)dv * sizeof *y);
        continue;
      }
      q.kv_head = h / (heads / q.keys->dims[1]);
      for (int64_t e = 0; e < d; e++)
        q.scaled[e] = ((const float *)x->data)[(i * heads + h) * d + e] * wh_node_f(n->node, WH_ATTR_SCALE);
      attend(&q, y);
    }
  }
}
