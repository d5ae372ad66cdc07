/* linear_single_32.cu - one row and weights of types whose blocks are 32 values. */
#include "backends/gpu/kernels/linear_single.h"

SINGLE_KERNEL(linear_single_q4_0, quant_q4_0)
SINGLE_KERNEL(linear_single_q4_1, quant_q4_1)
SINGLE_KERNEL(linear_single_q5_0, quant_q5_0)
SINGLE_KERNEL(linear_single_q5_1, quant_q5_1)
SINGLE_KERNEL(linear_single_q8_0, quant_q8_0)
SINGLE_KERNEL(linear_single_iq4_nl, quant_iq4_nl)
SINGLE_KERNEL(linear_single_mxfp4, quant_mxfp4)
