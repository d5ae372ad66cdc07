/* linear_batch_256.cu - products of 9 to 32 rows with weights of types whose blocks are 256 values. */
#include "backends/gpu/kernels/linear_decode.h"

LINEAR_KERNEL(linear_batch_q2_k, linear_decode<decode_quant<quant_q2_k>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q3_k, linear_decode<decode_quant<quant_q3_k>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q4_k, linear_decode<decode_quant<quant_q4_k>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q5_k, linear_decode<decode_quant<quant_q5_k>, BATCH_ROWS>)
LINEAR_KERNEL(linear_batch_q6_k, linear_decode<decode_quant<quant_q6_k>, BATCH_ROWS>)
BATCH_KERNEL(linear_batch_iq4_xs, quant_iq4_xs)
