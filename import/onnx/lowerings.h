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

/* (x - mean) / sqrt(variance + eps) over the axes. ops_reduce.c */
wh_datum *ox_standardise(ox *o, wh_datum *x, unsigned axes, float eps, wh_datum **mean, wh_datum **inverse);
/* conv and conv_integer with the node's window attributes. ops_nn.c */
wh_datum *ox_conv(ox *o, wh_op op, wh_datum *const *in, size_t n_in);
/* numpy's uniform numbers in [0, 1) for a seed. ops_signal.c */
void ox_mt19937_uniform(uint32_t seed, double *out, size_t n);

#endif
