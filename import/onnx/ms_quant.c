/* ms_quant.c - com.microsoft's operators on codes, and products with weights of 2 to 8 bits. */
#include <inttypes.h>

#include "import/onnx/lowerings.h"

/* ---- an operator between decoding and coding ---- */

/* The value that codes stand for: input i, its scale i + 1 and zero point i + 2. */
static wh_datum *decoded(ox *o, size_t i) {
  return ox_dequantize(o, ox_in(o, i), ox_in(o, i + 1), ox_maybe(o, i + 2), 0, 0);
}

/* As codes of the type of `like`, by scale i and zero point i + 1. */
static wh_datum *coded(ox *o, wh_datum *y, size_t i, const wh_datum *like) {
  return ox_quantize(o, y, ox_in(o, i), ox_maybe(o, i + 1), like->dtype, 0, 0);
}

void ox_lower_ms_qlinear_binary(ox *o) {
  wh_datum *y = ox_binary(o, (wh_op)ox_arg(o), decoded(o, 0), decoded(o, 3));
  ox_give(o, 0, coded(o, y, 6, ox_in(o, 0)));
}

void ox_lower_ms_qlinear_concat(ox *o) {
  const size_t n = ox_n_in(o) > 2 ? (ox_n_in(o) - 2) / 3 : 0;
  wh_datum **parts = ox_array(o, n, sizeof *parts);
  if (n == 0) OX_FAIL(o, ERR_CORRUPT, "it has no inputs");
  for (size_t i = 0; parts && i < n && o->st == WH_OK; i++) parts[i] = decoded(o, 2 + 3 * i);
  if (o->st != WH_OK || !parts) return;
  const int axis = ox_axis(o, ox_attr_i(o, "axis", 0), parts[0]->rank);
  ox_give(o, 0, coded(o, ox_concat(o, axis, parts, n), 0, ox_in(o, 2)));
}

void ox_lower_ms_qlinear_unary(ox *o) {
  ox_give(o, 0, coded(o, ox_unary(o, (wh_op)ox_arg(o), decoded(o, 0)), 3, ox_in(o, 0)));
}

void ox_lower_ms_qlinear_leaky_relu(ox *o) {
  wh_datum *x = decoded(o, 0), *y = ox_mul(o, x, ox_num(o, x, ox_attr_f(o, "alpha", 0.01f)));
  ox_give(o, 0, coded(o, ox_where(o, ox_binary(o, WH_OP_LESS, x, ox_num(o, x, 0)), y, x), 3, ox_in(o, 0)));
}

void ox_lower_ms_qlinear_softmax(ox *o) {
  wh_datum *x = decoded(o, 0);
  const int64_t opset = ox_attr_i(o, "opset", 13);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", opset < 13 ? 1 : -1), x->rank);
  if (opset < 13 && axis != x->rank - 1)
    OX_FAIL(o, ERR_UNSUPPORTED, "a softmax over more than the last axis is not computed");
  ox_give(o, 0, coded(o, ox_softmax(o, x, axis), 3, ox_in(o, 0)));
}

void ox_lower_ms_qlinear_global_average_pool(ox *o) {
  wh_datum *x = decoded(o, 0);
  if (o->st != WH_OK) return;
  const unsigned all = ((1u << x->rank) - 1),
                 last = ox_attr_i(o, "channels_last", 0) ? 1u << (x->rank - 1) : 2u;
  ox_give(o, 0, coded(o, ox_mean(o, x, all & ~1u & ~last, true), 3, ox_in(o, 0)));
}

void ox_lower_ms_qlinear_average_pool(ox *o) {
  wh_datum *like = ox_in(o, 0);
  if (ox_attr_i(o, "channels_last", 0)) OX_FAIL(o, ERR_UNSUPPORTED, "channels_last is not computed");
  o->in[0] = decoded(o, 0);
  ox_lower_pool(o);
  if (o->st == WH_OK) ox_give(o, 0, coded(o, o->out[0], 3, like));
}

/* ---- products of codes ---- */

/* a and b with their zero points, in the scales' units, and the bias */
static wh_datum *product(ox *o, wh_datum *a, wh_datum *za, wh_datum *scale_a, size_t b, size_t zb,
                         wh_datum *scale_b, size_t bias) {
  wh_datum *y = ox_matmul_codes(o, a, za, ox_in(o, b), ox_maybe(o, zb));
  y = ox_mul(o, ox_f32(o, y), ox_mul(o, scale_a, scale_b));
  return ox_has(o, bias) ? ox_add(o, y, ox_in(o, bias)) : y;
}

/* a, b, scales of both, zero points of both?, bias? */
void ox_lower_ms_matmul_integer_to_float(ox *o) {
  ox_give(o, 0, product(o, ox_in(o, 0), ox_maybe(o, 4), ox_in(o, 2), 1, 5, ox_in(o, 3), 6));
}

/* a in f32, which becomes codes first; b, its scale, its zero point?, bias? */
void ox_lower_ms_dynamic_quantize_matmul(ox *o) {
  wh_datum *scale, *zero, *a = ox_dynamic_codes(o, ox_in(o, 0), &scale, &zero);
  ox_give(o, 0, product(o, a, zero, scale, 1, 3, ox_in(o, 2), 4));
}

/* a, its scale and zero; b, scale, zero; bias i32?; scale and zero of the result? (f32 without) */
void ox_lower_ms_qgemm(ox *o) {
  static const int64_t swap[] = {1, 0};
  wh_datum *a = ox_in(o, 0), *b = ox_in(o, 3), *scale = ox_mul(o, ox_in(o, 1), ox_in(o, 4));
  if (a->rank != 2 || b->rank != 2)
    OX_FAIL(o, ERR_CORRUPT, "its operands have rank %d and %d, not 2", a->rank, b->rank);
  if (o->st != WH_OK) return;
  if (ox_attr_i(o, "transA", 0)) a = ox_transpose(o, a, swap);
  if (ox_attr_i(o, "transB", 0)) b = ox_transpose(o, b, swap);
  wh_datum *y = ox_matmul_codes(o, a, ox_maybe(o, 2), b, ox_maybe(o, 5));
  if (ox_has(o, 6)) y = ox_add(o, y, ox_in(o, 6));
  y = ox_mul(o, ox_f32(o, y), scale);
  const float alpha = ox_attr_f(o, "alpha", 1);
  if (alpha != 1) y = ox_mul(o, y, ox_num(o, y, alpha));
  ox_give(o, 0, ox_has(o, 7) ? coded(o, y, 7, ox_in(o, 0)) : y);
}

/* ---- weights of few bits in blocks ---- */

typedef struct few_bits {
  unsigned bits;
  int64_t rows, row, block, blocks; /* blocks of a row */
  const uint8_t *codes;             /* a row's codes begin with a byte */
  size_t row_bytes, zero_row_bytes;
  const uint8_t *zeros;      /* codes packed like the others, or NULL */
  const double *float_zeros; /* [rows * blocks], or NULL */
  const double *scales;      /* [rows * blocks] */
} few_bits;

static unsigned code_at(const uint8_t *p, size_t i, unsigned bits) {
  const size_t bit = i * bits;
  return p[bit / 8] >> bit % 8 & ((1u << bits) - 1);
}

static void decode_row(const few_bits *w, int64_t r, float *to, int64_t step) {
  const double middle = (double)(1u << (w->bits - 1));
  for (int64_t i = 0; i < w->row; i++) {
    const int64_t at = r * w->blocks + i / w->block;
    const double zero = w->float_zeros ? w->float_zeros[at]
                        : w->zeros     ? (double)code_at(w->zeros + (size_t)r * w->zero_row_bytes,
                                                         (size_t)(i / w->block), w->bits)
                                       : middle;
    const float code = (float)code_at(w->codes + (size_t)r * w->row_bytes, (size_t)i, w->bits);
    to[i * step] = (code - (float)zero) * (float)w->scales[at];
  }
}

static void read_zeros(ox *o, few_bits *w, wh_datum *zeros) {
  if (!zeros) return;
  if (wh_dtype_is_float(zeros->dtype)) {
    w->float_zeros = ox_doubles(o, zeros);
    if ((int64_t)zeros->n != w->rows * w->blocks)
      OX_FAIL(o, ERR_CORRUPT, "it has %zu zero points for %" PRId64 " blocks", zeros->n, w->rows * w->blocks);
    return;
  }
  w->zero_row_bytes = ((size_t)w->blocks * w->bits + 7) / 8;
  w->zeros = ox_data(o, zeros);
  if (zeros->dtype != WH_DTYPE_U8 || zeros->n != (size_t)w->rows * w->zero_row_bytes)
    OX_FAIL(o, ERR_CORRUPT, "its zero points are not %" PRId64 " rows of %zu bytes", w->rows,
            w->zero_row_bytes);
}

/* to[k][n] of n rows of codes, their scales and zero points (NULL: none). */
static void decode_weights(ox *o, few_bits *w, wh_datum *const *from, wh_datum *to) {
  w->codes = ox_data(o, from[0]);
  w->scales = ox_doubles(o, from[1]);
  read_zeros(o, w, from[2]);
  for (int64_t r = 0; r < w->rows && o->st == WH_OK; r++)
    decode_row(w, r, (float *)(uintptr_t)to->data + r, w->rows);
  ox_made(o, to);
}

/* Codes of a word of four bytes in turns to its lower and its upper half. */
static uint32_t in_turns(const uint8_t *bytes, unsigned bits) {
  const unsigned per = 32 / bits;
  uint32_t word = 0;
  for (unsigned i = 0; i < per; i++) word |= (uint32_t)code_at(bytes, i, bits) << (i / 2 * bits + i % 2 * 16);
  return word;
}

#define PANEL 32 /* outputs of matmul_blocks that lie beside each other */

static bool fits_blocks(const few_bits *w, const wh_datum *zeros) {
  return w->block >= 8 && w->block <= 512 && 512 % w->block == 0 && w->block * w->bits % 32 == 0 &&
         !(zeros && wh_dtype_is_float(zeros->dtype));
}

/* An operand of ox_derive that is another for other bits: in a function these may be the caller's. */
static wh_datum form_of(const few_bits *w) {
  static const uint8_t forms[9];
  return (wh_datum){.kind = WH_DATUM_TENSOR, .data = &forms[w->bits], .is_weight = true, .is_kept = true};
}

/* The codes, or the scales and zero points of their blocks, of panels of outputs; outputs that are missing
 * are zeros. `per`: of a panel's row of 32. */
static wh_datum *panels_of(ox *o, wh_dtype dtype, const few_bits *w, int64_t per, wh_datum *from,
                           bool *fresh) {
  const int64_t dims[] = {(w->rows + PANEL - 1) / PANEL, per, PANEL};
  wh_datum form = form_of(w), *parts[] = {from, &form};
  return ox_derive(o, dtype, 3, dims, parts, 2, fresh);
}

static wh_datum *codes_in_panels(ox *o, const few_bits *w, wh_datum *from) {
  const int64_t words = (int64_t)w->row_bytes / 4;
  bool fresh;
  wh_datum *d = panels_of(o, WH_DTYPE_U32, w, words, from, &fresh);
  const uint8_t *codes = fresh ? ox_data(o, from) : NULL;
  uint32_t *to = (uint32_t *)(uintptr_t)d->data;
  for (int64_t r = 0; codes && r < w->rows && o->st == WH_OK; r++)
    for (int64_t i = 0; i < words; i++)
      to[(r / PANEL * words + i) * PANEL + r % PANEL] =
          in_turns(codes + (size_t)r * w->row_bytes + 4 * i, w->bits);
  if (fresh) ox_made(o, d);
  return d;
}

static wh_datum *scales_in_panels(ox *o, const few_bits *w, wh_datum *from) {
  bool fresh;
  wh_datum *d = panels_of(o, WH_DTYPE_F32, w, w->blocks, from, &fresh);
  const double *scales = fresh ? ox_doubles(o, from) : NULL;
  float *to = (float *)(uintptr_t)d->data;
  for (int64_t r = 0; scales && r < w->rows && o->st == WH_OK; r++)
    for (int64_t b = 0; b < w->blocks; b++)
      to[(r / PANEL * w->blocks + b) * PANEL + r % PANEL] = (float)scales[r * w->blocks + b];
  if (fresh) ox_made(o, d);
  return d;
}

static wh_datum *zeros_in_panels(ox *o, few_bits *w, wh_datum *from) {
  bool fresh;
  wh_datum *d = panels_of(o, WH_DTYPE_U8, w, w->blocks, from, &fresh);
  uint8_t *to = (uint8_t *)(uintptr_t)d->data;
  if (fresh) read_zeros(o, w, from);
  for (int64_t r = 0; fresh && r < w->rows && o->st == WH_OK; r++)
    for (int64_t b = 0; b < w->blocks; b++)
      to[(r / PANEL * w->blocks + b) * PANEL + r % PANEL] =
          w->zeros ? (uint8_t)code_at(w->zeros + (size_t)r * w->zero_row_bytes, (size_t)b, w->bits)
                   : (uint8_t)(1u << (w->bits - 1));
  if (fresh) ox_made(o, d);
  return d;
}

/* Whether activations become codes of 13 bits, which products of one value share: where the accuracy of bf16
 * (3) or int8 (4) is enough; not where the operator asks for that of f16 (2), which is better where a block
 * has outliers, for that of f32 (1), or, unset (0), for activations as they are (docs/adr/0023). The host has
 * no codes of 13 bits: of no elements none are made. */
static bool takes_wide(ox *o, const wh_datum *a) {
  const int64_t level = ox_attr_i(o, "accuracy_level", 0);
  return (level == 3 || level == 4) && a->rank > 1 && a->n > 0;
}

/* The codes stay codes. */
static wh_datum *blocks_product(ox *o, few_bits *w, wh_datum *a, wh_datum *const *from) {
  wh_datum *in[] = {a, codes_in_panels(o, w, from[0]), scales_in_panels(o, w, from[1]),
                    zeros_in_panels(o, w, from[2])};
  /* behind what may end a stage: no stage hands on codes of 13 bits */
  if (takes_wide(o, a)) in[0] = ox_node1(o, WH_OP_QUANTIZE_WIDE, &a, 1, NULL, 0);
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_SIZE, w->rows), ox_a_i(WH_ATTR_BLOCK, w->block)};
  return ox_node1(o, WH_OP_MATMUL_BLOCKS, in, 4, attrs, 2);
}

static wh_datum *decoded_product(ox *o, few_bits *w, wh_datum *a, wh_datum *const *from) {
  const int64_t dims[] = {w->row, w->rows};
  bool fresh;
  wh_datum form = form_of(w), *parts[] = {from[0], from[1], from[2], &form};
  wh_datum *f = ox_derive(o, WH_DTYPE_F32, 2, dims, parts, 4, &fresh);
  if (fresh) decode_weights(o, w, from, f);
  return ox_matmul(o, a, f);
}

/* a[.., k] with n rows of k codes: a product of f32 */
void ox_lower_ms_matmul_nbits(ox *o) {
  wh_datum *a = ox_in(o, 0), *b = ox_in(o, 1), *scales = ox_in(o, 2);
  few_bits w = {.bits = (unsigned)ox_attr_i(o, "bits", 4),
                .rows = ox_attr_i(o, "N", 0),
                .row = ox_attr_i(o, "K", 0),
                .block = ox_attr_i(o, "block_size", 0)};
  if ((w.bits != 2 && w.bits != 4 && w.bits != 8) || w.rows < 1 || w.row < 1 || w.block < 8 ||
      w.rows > INT32_MAX || w.row > INT32_MAX || w.block > INT32_MAX || w.block * w.bits % 8)
    OX_FAIL(o, ERR_UNSUPPORTED, "its bits, N, K or block_size are not computed");
  if (ox_has(o, 4)) OX_FAIL(o, ERR_UNSUPPORTED, "rows in an order of their own (g_idx) are not computed");
  if (o->st != WH_OK) return;
  w.blocks = (w.row + w.block - 1) / w.block;
  w.row_bytes = (size_t)(w.blocks * w.block) * w.bits / 8;
  if (b->dtype != WH_DTYPE_U8 || b->n != (size_t)w.rows * w.row_bytes ||
      (int64_t)scales->n != w.rows * w.blocks)
    OX_FAIL(o, ERR_CORRUPT, "its weights and scales are not %" PRId64 " rows of %" PRId64 " blocks", w.rows,
            w.blocks);
  wh_datum *operands[] = {b, scales, ox_maybe(o, 3)};
  const bool stay = (takes_wide(o, a) || o->engine->takes_blocks) && fits_blocks(&w, operands[2]) &&
                    a->rank > 0 && a->dims[a->rank - 1] == w.row;
  wh_datum *y = (stay ? blocks_product : decoded_product)(o, &w, ox_f32(o, a), operands);
  if (ox_has(o, 5)) y = ox_add(o, y, ox_f32(o, ox_in(o, 5)));
  ox_give(o, 0, ox_cast(o, y, a->dtype));
}

/* Rows of a table of codes in blocks along its last axis. */
void ox_lower_ms_gather_block_quantized(ox *o) {
  wh_datum *data = ox_in(o, 0), *ids = ox_in(o, 1), *scales = ox_in(o, 2), *zeros = ox_maybe(o, 3);
  const int64_t block = ox_attr_i(o, "block_size", 128), bits = ox_attr_i(o, "bits", 4);
  const int gather_axis = ox_axis(o, ox_attr_i(o, "gather_axis", 0), data->rank),
            axis = ox_axis(o, ox_attr_i(o, "quantize_axis", 1), data->rank);
  wh_datum *table;
  if (data->dtype == WH_DTYPE_U8) { /* codes in bytes */
    few_bits w = {.bits = (unsigned)bits, .block = block, .rows = 1};
    if ((bits != 2 && bits != 4 && bits != 8) || axis != data->rank - 1 || block < 8 || block > INT32_MAX ||
        data->n == 0)
      OX_FAIL(o, ERR_UNSUPPORTED, "its bits, axes or block_size are not computed");
    for (int i = 0; i < data->rank - 1; i++) w.rows *= data->dims[i];
    w.row_bytes = data->rank ? (size_t)data->dims[data->rank - 1] : 0;
    w.row = (int64_t)w.row_bytes * 8 / (bits ? bits : 8);
    w.blocks = o->st == WH_OK ? (w.row + block - 1) / block : 0;
    w.codes = ox_data(o, data);
    w.scales = ox_doubles(o, scales);
    if ((int64_t)scales->n != w.rows * w.blocks)
      OX_FAIL(o, ERR_CORRUPT, "it has %zu scales for %" PRId64 " blocks", scales->n, w.rows * w.blocks);
    read_zeros(o, &w, zeros);
    int64_t dims[WH_MAX_RANK];
    for (int i = 0; i < data->rank; i++) dims[i] = i == data->rank - 1 ? w.row : data->dims[i];
    wh_datum *operands[] = {data, scales};
    table = ox_from(o, o->st == WH_OK ? ox_new(o, WH_DTYPE_F32, data->rank, dims) : data, operands, 2);
    for (int64_t r = 0; r < w.rows && o->st == WH_OK; r++)
      decode_row(&w, r, (float *)(uintptr_t)table->data + r * w.row, 1);
  } else {
    table = ox_dequantize(o, data, scales, zeros, axis, block);
  }
  ox_give(o, 0, ox_cast(o, ox_gather(o, table, ids, gather_axis), scales->dtype));
}
