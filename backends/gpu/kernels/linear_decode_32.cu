/* linear_decode_32.cu - decoding with weights of types whose blocks are 32 values. */
#include "backends/gpu/kernels/linear_decode.h"

LINEAR_KERNEL(linear_decode_q4_0, linear_decode<decode_quant<quant_q4_0>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q4_1, linear_decode<decode_quant<quant_q4_1>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q5_0, linear_decode<decode_quant<quant_q5_0>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q5_1, linear_decode<decode_quant<quant_q5_1>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q8_0, linear_decode<decode_quant<quant_q8_0>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_iq4_nl, linear_decode<decode_quant<quant_iq4_nl>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_mxfp4, linear_decode<decode_quant<quant_mxfp4>, DECODE_ROWS>)
