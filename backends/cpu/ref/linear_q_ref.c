/* linear_q_ref.c - docs/NUMERICS.md, "linear, quantised weights", in plain C. It is the oracle of every other
 * kernel and the kernel of machines without one. It reads the file's blocks: one column at a time, each group
 * of 256 weights decoded once for all rows of the call. */
#include <math.h>

#include "backends/cpu/linear_q_format.h"
#include "backends/cpu/linear_q_kernels.h"
#include "backends/cpu/linear_q_run.h"

/* A group of one column, ready to multiply. */
typedef struct weights {
  int8_t q[256];
  float scale[16]; /* per block, or per half block for the SUB16 types */
  float min[8];    /* MIN_F16: m_b */
  float neg_dmin;  /* MIN_SUB*: -dmin */
  wh_quant_group file;
} weights;

static void read_weights(const wh_quant_format *f, const uint8_t *src, int blocks, weights *w) {
  wh_quant_read_group(f, src, blocks, &w->file);
  wh_quant_values(f, &w->file, blocks, w->q);
  for (int b = 0; b < blocks; b++) {
    if (f->scale == WH_SCALE_F16) w->scale[b] = wh_f32_from_f16(w->file.scale[b]);
    if (f->scale == WH_SCALE_E8M0) w->scale[b] = wh_quant_power_of_two(w->file.scale[b]);
    if (f->min == WH_MIN_F16) w->min[b] = wh_f32_from_f16(w->file.min[b]);
  }
  if (f->scale >= WH_SCALE_SUB32) {
    int n = f->scale == WH_SCALE_SUB32 ? 8 : 16;
    for (int i = 0; i < n; i++) w->scale[i] = wh_f32_from_f16(w->file.d) * (float)w->file.sub_scale[i];
  }
  if (f->min >= WH_MIN_SUB32) w->neg_dmin = -wh_f32_from_f16(w->file.dmin);
}

static int32_t dot(const int8_t *a, const int8_t *b, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; i++) sum += (int32_t)a[i] * b[i];
  return sum;
}

/* y after one more group; r is the row within the tile, b0 the group's first block. */
static float group_step(const wh_quant_format *f, const weights *w, const wh_q8a_tile *x, int64_t r,
                        int64_t b0, int blocks, float y) {
  int64_t group = b0 / WH_LINEAR_Q_GROUP_BLOCKS;
  float g = 0.0f;
  for (int b = 0; b < blocks; b++) {
    int64_t at = (b0 + b) * x->rows + r;
    const int8_t *q = x->q + at * 32;
    int32_t two_t = 1 << x->t[at];
    if (f->scale == WH_SCALE_SUB16 || f->scale == WH_SCALE_SUB16_U4) {
      for (int h = 0; h < 2; h++)
        g = fmaf(w->scale[2 * b + h], (float)(dot(w->q + b * 32 + h * 16, q + h * 16, 16) * two_t), g);
    } else {
      g = fmaf(w->scale[b], (float)(dot(w->q + b * 32, q, 32) * two_t), g);
    }
    if (f->min == WH_MIN_F16) g = fmaf(w->min[b], x->fbsum[at], g);
  }
  int32_t j = 0;
  if (f->min == WH_MIN_SUB32)
    for (int b = 0; b < 8; b++) j += w->file.sub_min[b] * x->jsum[(group * x->rows + r) * 8 + b];
  if (f->min == WH_MIN_SUB16)
    for (int h = 0; h < 16; h++) j += w->file.sub_min[h] * x->jsum16[(group * x->rows + r) * 16 + h];
  if (f->min >= WH_MIN_SUB32) g = fmaf(w->neg_dmin, (float)j, g);
  return fmaf(x->scale[group * x->rows + r], g, y);
}

static void panel_ref(const wh_quant_format *f, const wh_linear_q_panel *p) {
  const wh_dtype_info *info = wh_dtype_get(f->dtype);
  size_t group_bytes = (size_t)info->block_bytes * (256 / info->block_elems);
  for (int64_t c = 0; c < p->n_cols; c++) {
    const uint8_t *src = p->w + (size_t)c * p->row_bytes;
    float y[WH_Q8A_TILE] = {0.0f};
    for (int64_t b0 = 0; b0 < p->n_blocks; b0 += WH_LINEAR_Q_GROUP_BLOCKS, src += group_bytes) {
      int64_t left = p->n_blocks - b0;
      int blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
      weights w;
      read_weights(f, src, blocks, &w);
      for (int64_t r = 0; r < p->n_rows; r++) y[r] = group_step(f, &w, p->x, p->row + r, b0, blocks, y[r]);
    }
    for (int64_t r = 0; r < p->n_rows; r++) {
      float v = p->bias ? y[r] + p->bias[c] : y[r];
      p->y[r * p->ldy + c] = p->residual ? p->residual[r * p->ldr + c] + v : v;
    }
  }
}

#define REF_KERNEL(type, lower, ...)                                                                \
  static void panel_##lower(const wh_linear_q_panel *p) { panel_ref(&wh_quant_format_##lower, p); } \
  void wh_k_linear_##lower##__ref(const wh_linear_q_args *args, const wh_worker *worker) {          \
    wh_linear_q_run(args, worker, panel_##lower, 1);                                                \
  }
WH_QUANT_FORMATS(REF_KERNEL)
