/* linear_single_256.cu - one row and weights of types whose blocks are 256 values. */
#include "backends/gpu/kernels/linear_single.h"

SINGLE_KERNEL(linear_single_q2_k, quant_q2_k)
SINGLE_KERNEL(linear_single_q3_k, quant_q3_k)
SINGLE_KERNEL(linear_single_q4_k, quant_q4_k)
SINGLE_KERNEL(linear_single_q5_k, quant_q5_k)
SINGLE_KERNEL(linear_single_q6_k, quant_q6_k)
SINGLE_KERNEL(linear_single_iq4_xs, quant_iq4_xs)
