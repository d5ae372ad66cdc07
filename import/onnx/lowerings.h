/* import/onnx/lowerings.h - every function that onnx_ops.def names. For files of this folder only. */
#ifndef WH_IMPORT_ONNX_LOWERINGS_H
#define WH_IMPORT_ONNX_LOWERINGS_H

#include "import/onnx/importer.h"

/* What one lowering does in several ways. */
enum { OX_REDUCE_MEAN = 10000, OX_REDUCE_L2, OX_REDUCE_LOG_SUM, OX_REDUCE_LOG_SUM_EXP };
enum { OX_SOFTMAX, OX_LOG_SOFTMAX, OX_HARDMAX };
enum { OX_SEQUENCE_AT, OX_SEQUENCE_ERASE, OX_SEQUENCE_INSERT };
enum { OX_WINDOW_HANN, OX_WINDOW_HAMMING, OX_WINDOW_BLACKMAN };
enum { OX_RNN, OX_GRU, OX_LSTM };

#define ONNX_OP(domain, op, since, until, lowering, arg) void ox_lower_##lowering(ox *o);
#include "import/onnx/onnx_ops.def"

/* The axes, as an attribute or as input 1, as bits; `none`: there are none, and that means none. ops_reduce.c
 */
unsigned ox_reduced_axes(ox *o, const wh_datum *x, bool *none);
/* (x - mean) / sqrt(variance + eps) over the axes. ops_reduce.c */
wh_datum *ox_standardise(ox *o, wh_datum *x, unsigned axes, float eps, wh_datum **mean, wh_datum **inverse);
/* conv and conv_integer with the node's window attributes. ops_nn.c */
wh_datum *ox_conv(ox *o, wh_op op, wh_datum *const *in, size_t n_in);
/* conv with these windows and groups: x[n, c, space], strides and dilations 1, no padding. ops_nn.c */
wh_datum *ox_plain_conv(ox *o, wh_datum *const *in, size_t n_in, int64_t group);
/* numpy's uniform numbers in [0, 1) for a seed. ops_signal.c */
void ox_mt19937_uniform(uint32_t seed, double *out, size_t n);

/* ---- codes. ops_quant.c ---- */

/* y = (x - zero) * scale, as ox_dequantize makes it. */
typedef struct ox_codes {
  wh_datum *x, *scale, *zero; /* zero may be NULL */
  int axis;
  int64_t block;
} ox_codes;
/* What x was made of, if it rises with these codes of 8 bits; or NULL. */
const ox_codes *ox_codes_in_order(const ox *o, const wh_datum *x);
/* A convolution and a product of what was made of codes of 8 bits, as integers (docs/NUMERICS.md, "ONNX's
 * operators"); NULL: they are none, or of another kind. */
wh_datum *ox_conv_of_codes(ox *o, wh_datum *x, wh_datum *w, wh_datum *bias);
wh_datum *ox_matmul_of_codes(ox *o, wh_datum *a, wh_datum *b);
/* x with its last two axes exchanged, of codes as such. */
wh_datum *ox_transposed_matrix(ox *o, wh_datum *x);
wh_datum *ox_quantize(ox *o, wh_datum *x, wh_datum *scale, wh_datum *zero, wh_dtype to, int axis,
                      int64_t block);
wh_datum *ox_dequantize(ox *o, wh_datum *x, wh_datum *scale, wh_datum *zero, int axis, int64_t block);
wh_datum *ox_dynamic_codes(ox *o, wh_datum *x, wh_datum **scale, wh_datum **zero);
wh_datum *ox_matmul_codes(ox *o, wh_datum *a, wh_datum *za, wh_datum *b, wh_datum *zb); /* -> i32 */

/* ---- attention. ops_attention.c ---- */

typedef enum ox_scores {
  OX_SCORES_PRODUCTS,
  OX_SCORES_CAPPED,
  OX_SCORES_BIASED,
  OX_SCORES_WEIGHTS,
  OX_N_SCORES
} ox_scores;

typedef struct ox_attention {
  wh_datum *q, *k,
      *v; /* [b, h, s, d], [b, hk, t, d], [b, hk, t, dv] of one type, no half; h a multiple of hk */
  wh_datum
      *bias; /* added to the scores [b, h, s, t], over which it broadcasts; of bool: keys to see; or NULL */
  wh_datum *allowed;             /* of bool: the only keys to see; or NULL */
  float scale, softcap;          /* softcap 0: none */
  wh_dtype precision;            /* of the softmax; WH_DTYPE_FORCE_32: as q */
  bool rows_may_be_empty;        /* rows that see no key give 0 */
  wh_datum *scores[OX_N_SCORES]; /* made */
} ox_attention;
wh_datum *ox_attend(ox *o, ox_attention *a); /* -> [b, h, s, dv] */
wh_datum *ox_allowed_keys(ox *o, int64_t n_rows, int64_t n_all, wh_datum *offset, wh_datum *n_keys,
                          int64_t left, int64_t right);
wh_datum *ox_per_batch(ox *o, wh_datum *x);
wh_datum *ox_split_heads(ox *o, wh_datum *x, int64_t heads);
wh_datum *ox_join_heads(ox *o, wh_datum *x);
wh_datum *ox_rotate(ox *o, wh_datum *x, wh_datum *cos, wh_datum *sin, bool interleaved);
wh_datum *ox_rotary(ox *o, wh_datum *x, wh_datum *cos, wh_datum *sin, int64_t heads, bool interleaved);

/* ---- classical models. ops_ml.c ---- */

typedef enum ox_second { OX_SECOND_IS_SCORE, OX_SECOND_IS_SHARE } ox_second;
/* Labels and scores[rows, classes] as outputs; one score where there are two labels is the second's: a score
 * around 0, of which the first has the negative, or a share of 1. */
void ox_give_classes(ox *o, wh_datum *scores, ox_second second);
wh_datum *ox_labels(ox *o, wh_datum *ids);
wh_datum *ox_post_transform(ox *o, wh_datum *x, wh_str name); /* over the last axis */

#endif
