/* linear_decode_256.cu - decoding with weights of types whose blocks are 256 values. */
#include "backends/gpu/kernels/linear_decode.h"

LINEAR_KERNEL(linear_decode_q2_k, linear_decode<decode_quant<quant_q2_k>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q3_k, linear_decode<decode_quant<quant_q3_k>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q4_k, linear_decode<decode_quant<quant_q4_k>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q5_k, linear_decode<decode_quant<quant_q5_k>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_q6_k, linear_decode<decode_quant<quant_q6_k>, DECODE_ROWS>)
LINEAR_KERNEL(linear_decode_iq4_xs, linear_decode<decode_quant<quant_iq4_xs>, DECODE_ROWS>)
