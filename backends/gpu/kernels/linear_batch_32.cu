/* linear_batch_32.cu - products of 9 to 32 rows with weights of types whose blocks are 32 values. */
#include "backends/gpu/kernels/linear_decode.h"

BATCH_KERNEL(linear_batch_q4_0, quant_q4_0)
BATCH_KERNEL(linear_batch_q4_1, quant_q4_1)
BATCH_KERNEL(linear_batch_q5_0, quant_q5_0)
BATCH_KERNEL(linear_batch_q5_1, quant_q5_1)
BATCH_KERNEL(linear_batch_q8_0, quant_q8_0)
BATCH_KERNEL(linear_batch_iq4_nl, quant_iq4_nl)
BATCH_KERNEL(linear_batch_mxfp4, quant_mxfp4)
