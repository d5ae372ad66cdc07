/* reference_linear.c - docs/NUMERICS.md, "gather_rows", "quantize_act", "quantize_wide", "linear" and
 * "expert_linear". */
#include <stdlib.h>

#include "tests/backend/reference.h"

/* ---- a block of 32 weights of any quantised type ---- */

typedef struct weight_block {
  int q[32];  /* codes after their offset */
  float s[2]; /* scale of each half */
  float m;    /* Q4_1, Q5_1 */
  float dmin; /* Q2_K, Q4_K, Q5_K */
  int mn[2];
} weight_block;

static unsigned u16_at(const uint8_t *p) { return p[0] + 256u * p[1]; }
static float half_at(const uint8_t *p) { return wh_f32_from_f16((uint16_t)u16_at(p)); }
/* n bits from bit `first` on, within one byte. */
static int bits(const uint8_t *p, int64_t first, int n) { return p[first / 8] >> first % 8 & ((1 << n) - 1); }

static int fp4_value(int code) {
  static const int magnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  return code & 8 ? -magnitudes[code & 7] : magnitudes[code & 7];
}
static int iq4_value(int code) {
  static const int values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return values[code];
}

/* Four-bit codes of 16 bytes: low halves, then high halves. */
static int code4(const uint8_t *p, int i) { return bits(p, i % 16 * 8 + i / 16 * 4, 4); }

static void read_small(wh_dtype dtype, const uint8_t *p, weight_block *w) {
  w->s[0] = dtype == WH_DTYPE_MXFP4 ? ldexpf(1.0f, p[0] - 128) : half_at(p);
  w->s[1] = w->s[0];
  if (dtype == WH_DTYPE_Q4_1 || dtype == WH_DTYPE_Q5_1) w->m = half_at(p + 2);
  for (int i = 0; i < 32; i++) switch (dtype) {
      case WH_DTYPE_Q8_0:
        w->q[i] = (int8_t)p[2 + i];
        break;
      case WH_DTYPE_Q4_0:
        w->q[i] = code4(p + 2, i) - 8;
        break;
      case WH_DTYPE_Q4_1:
        w->q[i] = code4(p + 4, i);
        break;
      case WH_DTYPE_Q5_0:
        w->q[i] = (code4(p + 6, i) | bits(p + 2, i, 1) << 4) - 16;
        break;
      case WH_DTYPE_Q5_1:
        w->q[i] = code4(p + 8, i) | bits(p + 4, i, 1) << 4;
        break;
      case WH_DTYPE_IQ4_NL:
        w->q[i] = iq4_value(code4(p + 2, i));
        break;
      default: /* MXFP4 */
        w->q[i] = fp4_value(code4(p + 1, i));
        break;
    }
}

/* Block b of 8 of a super-block of 256. */
static void read_super(wh_dtype dtype, const uint8_t *p, int b, weight_block *w) {
  const int pair = b / 2 * 32, half = b / 4 * 32, plane = b % 4 * 2;
  for (int i = 0; i < 32; i++) switch (dtype) {
      case WH_DTYPE_Q2_K:
        w->q[i] = bits(p + 16 + half + i, plane, 2);
        break;
      case WH_DTYPE_Q3_K:
        w->q[i] = (bits(p + 32 + half + i, plane, 2) | bits(p + i, b, 1) << 2) - 4;
        break;
      case WH_DTYPE_Q4_K:
        w->q[i] = bits(p + 16 + pair + i, b % 2 * 4, 4);
        break;
      case WH_DTYPE_Q5_K:
        w->q[i] = bits(p + 48 + pair + i, b % 2 * 4, 4) | bits(p + 16 + i, b, 1) << 4;
        break;
      case WH_DTYPE_Q6_K:
        w->q[i] = (bits(p + b / 4 * 64 + b % 2 * 32 + i, b % 4 / 2 * 4, 4) |
                   bits(p + 128 + half + i, plane, 2) << 4) -
                  32;
        break;
      default: /* IQ4_XS */
        w->q[i] = iq4_value(code4(p + 8 + b * 16, i));
        break;
    }
  for (int h = 0; h < 2; h++) {
    const int part = 2 * b + h;
    switch (dtype) {
      case WH_DTYPE_Q2_K:
        w->s[h] = half_at(p + 80) * (float)bits(p + part, 0, 4);
        w->dmin = half_at(p + 82);
        w->mn[h] = bits(p + part, 4, 4);
        break;
      case WH_DTYPE_Q3_K: {
        const int low = bits(p + 96 + part % 8, part / 8 * 4, 4),
                  high = bits(p + 104 + part % 4, part / 4 * 2, 2);
        w->s[h] = half_at(p + 108) * (float)((low | high << 4) - 32);
        break;
      }
      case WH_DTYPE_Q4_K:
      case WH_DTYPE_Q5_K: {
        const uint8_t *packed = p + 4;
        const int sc =
            b < 4 ? bits(packed + b, 0, 6) : bits(packed + b + 4, 0, 4) | bits(packed + b - 4, 6, 2) << 4;
        w->s[h] = half_at(p) * (float)sc;
        w->dmin = half_at(p + 2);
        w->mn[h] =
            b < 4 ? bits(packed + b + 4, 0, 6) : bits(packed + b + 4, 4, 4) | bits(packed + b, 6, 2) << 4;
        break;
      }
      case WH_DTYPE_Q6_K:
        w->s[h] = half_at(p + 208) * (float)(int8_t)p[192 + part];
        break;
      default: /* IQ4_XS */
        w->s[h] = half_at(p) * (float)((bits(p + 4, b * 4, 4) | bits(p + 2, b * 2, 2) << 4) - 32);
        break;
    }
  }
}

static weight_block read_block(wh_dtype dtype, const uint8_t *row, int64_t block) {
  const wh_dtype_info *t = wh_dtype_get(dtype);
  weight_block w = {.m = 0};
  if (t->block_elems == 32)
    read_small(dtype, row + block * t->block_bytes, &w);
  else
    read_super(dtype, row + block / 8 * t->block_bytes, (int)(block % 8), &w);
  return w;
}

static float plain_weight(wh_dtype dtype, const uint8_t *row, int64_t k) {
  float f;
  if (dtype == WH_DTYPE_F16) return half_at(row + 2 * k);
  if (dtype == WH_DTYPE_BF16) return wh_f32_from_bits((uint32_t)u16_at(row + 2 * k) << 16);
  memcpy(&f, row + 4 * k, sizeof f);
  return f;
}

static bool has_group_minimum(wh_dtype d) {
  return d == WH_DTYPE_Q2_K || d == WH_DTYPE_Q4_K || d == WH_DTYPE_Q5_K;
}
static bool has_block_minimum(wh_dtype d) { return d == WH_DTYPE_Q4_1 || d == WH_DTYPE_Q5_1; }
static bool has_half_scales(wh_dtype d) {
  return d == WH_DTYPE_Q2_K || d == WH_DTYPE_Q3_K || d == WH_DTYPE_Q6_K;
}

/* A row as floats. */
static void dequantise(wh_dtype dtype, const uint8_t *row, int64_t k, float *y) {
  for (int64_t j = 0; j < k && !wh_dtype_is_quantised(dtype); j++) y[j] = plain_weight(dtype, row, j);
  for (int64_t j = 0; j < k && wh_dtype_is_quantised(dtype); j += 32) {
    const weight_block w = read_block(dtype, row, j / 32);
    for (int i = 0; i < 32; i++) {
      const float s = w.s[i / 16], q = (float)w.q[i];
      y[j + i] = has_block_minimum(dtype)   ? fmaf(s, q, w.m)
                 : has_group_minimum(dtype) ? fmaf(s, q, -(w.dmin * (float)w.mn[i / 16]))
                                            : s * q;
    }
  }
}

static size_t row_bytes(wh_dtype dtype, int64_t k) {
  size_t n = 0;
  if (!wh_dtype_row_bytes(dtype, (uint64_t)k, &n)) abort();
  return n;
}

void ref_gather_rows(ref_node *n) {
  const ref_value *table = &n->in[0];
  const int32_t *ids = n->in[1].data;
  const int64_t k = table->dims[1];
  for (int64_t i = 0; i < n->in[1].dims[0]; i++) {
    const bool inside = ids[i] >= 0 && ids[i] < table->dims[0];
    if (!inside) ref_fault(n, ids[i]);
    float *y = (float *)n->out.data + i * k;
    if (inside)
      dequantise(table->dtype, (const uint8_t *)table->data + (size_t)ids[i] * row_bytes(table->dtype, k), k,
                 y);
    else
      memset(y, 0, (size_t)k * sizeof *y);
  }
}

/* ---- quantised activations: all codes, then a shift per block, then a scale per group ---- */

/* Rows of NUMERICS' row-major form: codes, shifts, scales (not aligned). */
typedef struct activations {
  int8_t *rows;
  int64_t k, blocks, groups, row_bytes;
} activations;

static activations activations_at(void *q8a, int64_t k) {
  activations a = {.rows = q8a, .k = k, .blocks = k / 32, .groups = (k / 32 + 7) / 8};
  a.row_bytes = k + a.blocks + a.groups * 4;
  return a;
}
static int8_t *codes_of(const activations *a, int64_t row) { return a->rows + row * a->row_bytes; }
static int8_t *shifts_of(const activations *a, int64_t row) { return codes_of(a, row) + a->k; }
static int8_t *scale_at(const activations *a, int64_t row, int64_t group) {
  return shifts_of(a, row) + a->blocks + group * 4;
}
static float group_scale(const activations *a, int64_t row, int64_t group) {
  float s;
  memcpy(&s, scale_at(a, row, group), sizeof s);
  return s;
}

static float largest(const float *x, int64_t n) {
  float top = 0.0f;
  for (int64_t i = 0; i < n; i++) top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
  return top;
}

void ref_quantize_row(const float *x, int64_t k, int64_t row, void *q8a) {
  const activations a = activations_at(q8a, k);
  for (int64_t g = 0; g < a.groups; g++) {
    const int64_t from = g * 256, to = from + 256 < k ? from + 256 : k;
    const float top = largest(x + from, to - from);
    const bool none = top < 0x1p-100f;
    const float s = none ? 0.0f : (top / 127.0f) * 0x1p-3f;
    memcpy(scale_at(&a, row, g), &s, sizeof s);
    for (int64_t b = from; b < to; b += 32) {
      int shift = 0;
      for (int i = 1; i <= 3 && !none; i++)
        if (largest(x + b, 32) * (float)(1 << i) <= top) shift = i;
      shifts_of(&a, row)[b / 32] = (int8_t)(3 - shift);
      for (int64_t j = b; j < b + 32; j++)
        codes_of(&a, row)[j] = none ? 0 : (int8_t)rintf(x[j] * ((127.0f / top) * (float)(1 << shift)));
    }
  }
}

void ref_quantize_act(ref_node *n) {
  const int64_t k = ref_length(&n->in[0]), rows = ref_rows(&n->in[0]);
  for (int64_t r = 0; r < rows; r++)
    ref_quantize_row((const float *)n->in[0].data + r * k, k, r, n->out.data);
}

/* ---- the same in 13 bits: all codes, then a scale per block of 128 ---- */

/* Up to 128 values as codes; their scale is what is returned. Values are finite. */
static float quantize_wide(const float *x, int64_t n, int16_t *codes) {
  const float top = largest(x, n);
  const bool none = top < 0x1p-100f;
  for (int64_t i = 0; i < n; i++) codes[i] = none ? 0 : (int16_t)rintf(x[i] * (4095.0f / top));
  return none ? 0.0f : top / 4095.0f;
}

static int64_t wide_row_bytes(int64_t k) { return k * 2 + (k + 127) / 128 * 4; }

void ref_quantize_wide(ref_node *n) {
  const int64_t k = ref_length(&n->in[0]), rows = ref_rows(&n->in[0]);
  for (int64_t r = 0; r < rows; r++) {
    const float *x = (const float *)n->in[0].data + r * k;
    char *out = (char *)n->out.data + r * wide_row_bytes(k), *scales = out + k * 2;
    for (int64_t from = 0; from < k; from += 128, scales += 4) {
      const int64_t count = k - from < 128 ? k - from : 128;
      int16_t codes[128];
      const float s = quantize_wide(x + from, count, codes);
      memcpy(out + from * 2, codes, (size_t)count * 2);
      memcpy(scales, &s, sizeof s);
    }
  }
}

/* ---- products of one row of activations and one of weights ---- */

static float product_wide(const char *x, wh_dtype dtype, const uint8_t *w_row, int64_t k) {
  float y = 0.0f;
  for (int64_t from = 0; from < k; from += 128) {
    const int64_t count = k - from < 128 ? k - from : 128;
    float w[128], x_scale;
    int16_t w_codes[128], x_codes[128];
    for (int64_t i = 0; i < count; i++) w[i] = plain_weight(dtype, w_row, from + i);
    const float w_scale = quantize_wide(w, count, w_codes);
    memcpy(x_codes, x + from * 2, (size_t)count * 2);
    memcpy(&x_scale, x + k * 2 + from / 128 * 4, sizeof x_scale);
    int32_t dot = 0;
    for (int64_t i = 0; i < count; i++) dot += w_codes[i] * x_codes[i];
    y = fmaf(w_scale * x_scale, (float)dot, y);
  }
  return y;
}

int32_t ref_largest_integer;

/* Integers of a product with quantised weights stay where fp32 holds all of them. */
static float exact_float(int32_t x) {
  if (abs(x) > ref_largest_integer) ref_largest_integer = abs(x);
  return (float)x;
}

static float product_q(const activations *a, int64_t row, wh_dtype dtype, const weight_block *blocks) {
  float y = 0.0f;
  for (int64_t g = 0; g < a->groups; g++) {
    float sum = 0.0f, dmin = 0.0f;
    int32_t minima = 0;
    for (int64_t b = g * 8; b < (g + 1) * 8 && b < a->blocks; b++) {
      const weight_block w = blocks[b];
      const int8_t *x = codes_of(a, row) + b * 32;
      const int32_t by = 1 << shifts_of(a, row)[b];
      int32_t dot[2] = {0, 0}, codes[2] = {0, 0};
      for (int i = 0; i < 32; i++) {
        dot[i / 16] += w.q[i] * x[i];
        codes[i / 16] += x[i];
      }
      if (has_half_scales(dtype)) {
        for (int h = 0; h < 2; h++) sum = fmaf(w.s[h], exact_float(dot[h] * by), sum);
      } else {
        sum = fmaf(w.s[0], exact_float((dot[0] + dot[1]) * by), sum);
      }
      if (has_block_minimum(dtype)) sum = fmaf(w.m, exact_float((codes[0] + codes[1]) * by), sum);
      dmin = w.dmin;
      for (int h = 0; h < 2; h++) minima += w.mn[h] * (codes[h] * by);
    }
    if (has_group_minimum(dtype)) sum = fmaf(-dmin, exact_float(minima), sum);
    y = fmaf(group_scale(a, row, g), sum, y);
  }
  return y;
}

static float product_f(const float *x, wh_dtype dtype, const uint8_t *w_row, int64_t k) {
  float y = 0.0f;
  for (int64_t from = 0; from < k; from += 512) {
    float a = 0.0f;
    for (int64_t j = from; j < k && j < from + 512; j++) a = fmaf(x[j], plain_weight(dtype, w_row, j), a);
    y = y + a;
  }
  return y;
}

/* A row of weights, and what it gives with rows of x. */
typedef struct weight_row {
  wh_dtype dtype;
  const uint8_t *bytes;
  weight_block *blocks; /* of quantised ones */
} weight_row;

static weight_row read_weights(wh_dtype dtype, const void *matrix, int64_t row, int64_t k) {
  weight_row w = {.dtype = dtype, .bytes = (const uint8_t *)matrix + (size_t)row * row_bytes(dtype, k)};
  if (!wh_dtype_is_quantised(dtype)) return w;
  w.blocks = malloc((size_t)(k / 32) * sizeof *w.blocks);
  if (!w.blocks) abort();
  for (int64_t b = 0; b < k / 32; b++) w.blocks[b] = read_block(dtype, w.bytes, b);
  return w;
}

static float product(const ref_value *x, int64_t row, const weight_row *w) {
  const int64_t k = ref_length(x);
  if (x->dtype == WH_DTYPE_Q13A)
    return product_wide((const char *)x->data + row * wide_row_bytes(k), w->dtype, w->bytes, k);
  if (x->dtype != WH_DTYPE_Q8A) return product_f((const float *)x->data + row * k, w->dtype, w->bytes, k);
  const activations a = activations_at(x->data, k);
  return product_q(&a, row, w->dtype, w->blocks);
}

void ref_linear(ref_node *n) {
  const ref_value *x = &n->in[0], *weights = &n->in[1];
  const float *bias = n->in[2].data, *residual = n->in[3].data;
  const int64_t cols = weights->dims[0];
  for (int64_t c = 0; c < cols; c++) {
    const weight_row w = read_weights(weights->dtype, weights->data, c, weights->dims[1]);
    for (int64_t r = 0; r < x->dims[0]; r++) {
      float y = product(x, r, &w);
      if (bias) y = y + bias[c];
      if (residual) y = residual[r * cols + c] + y;
      ((float *)n->out.data)[r * cols + c] = y;
    }
    free(w.blocks);
  }
}

/* The experts' matrices one below the other. */
void ref_expert_linear(ref_node *n) {
  const ref_value *x = &n->in[0], *weights = &n->in[1];
  const int32_t *selected = n->in[2].data;
  const int64_t slots = n->out.dims[1], cols = n->out.dims[2], rows = n->out.dims[0] * slots;
  for (int64_t e = 0; e < weights->dims[0]; e++)
    for (int64_t c = 0; c < cols; c++) {
      const weight_row w = read_weights(weights->dtype, weights->data, e * cols + c, weights->dims[2]);
      for (int64_t r = 0; r < rows; r++)
        if (selected[r] == e)
          ((float *)n->out.data)[r * cols + c] = product(x, x->rank == 3 ? r : r / slots, &w);
      free(w.blocks);
    }
}
