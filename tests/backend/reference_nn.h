/* reference_nn.h - the references of ops of neural networks: reference_nn.c, reference_sampling.c,
 * reference_recurrent.c. */
#ifndef WH_TESTS_REFERENCE_NN_H
#define WH_TESTS_REFERENCE_NN_H

#include "tests/backend/reference.h"

void ref_conv(ref_node *n);
void ref_conv_chain(ref_node *n); /* reference_chain.c */
void ref_chain_codes(ref_node *n);
void ref_conv_codes(ref_node *n);
void ref_matmul_chain(ref_node *n);
void ref_matmul_attention(ref_node *n);
void ref_matmul_codes(ref_node *n);
void ref_chain(ref_node *n);
void ref_conv_transpose(ref_node *n);
void ref_conv_integer(ref_node *n);
void ref_max_pool(ref_node *n);
void ref_max_pool_index(ref_node *n);
void ref_average_pool(ref_node *n);
void ref_lp_pool(ref_node *n);
void ref_resample(ref_node *n);
void ref_grid_sample(ref_node *n);
void ref_roi_align(ref_node *n);
void ref_trees(ref_node *n);
void ref_lrn(ref_node *n);
void ref_dft(ref_node *n);
void ref_det(ref_node *n);
void ref_rnn(ref_node *n);
void ref_gru(ref_node *n);
void ref_lstm(ref_node *n);
void ref_quantize_linear(ref_node *n);
void ref_dequantize_linear(ref_node *n);

/* "linear, float weights": the sum of x[i] * w[i]. */
float ref_chain512(const float *x, const float *w, int64_t n);
double ref_power(double x, double e);

#endif
