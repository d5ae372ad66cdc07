/* linear_batch_32.cu - products of 9 to 32 rows with weights of types whose blocks are 32 values. */
#include "backends/gpu/kernels/linear_decode.h"

LINEAR_KERNEL(linear_batch_q4_0, linear_decode<decode_quant<quant_q4_0>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q4_1, linear_decode<decode_quant<quant_q4_1>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q5_0, linear_decode<decode_quant<quant_q5_0>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q5_1, linear_decode<decode_quant<quant_q5_1>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q8_0, linear_decode<decode_quant<quant_q8_0>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_iq4_nl, linear_decode<decode_quant<quant_iq4_nl>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_mxfp4, linear_decode<decode_quant<quant_mxfp4>, BATCH_ROWS>)
