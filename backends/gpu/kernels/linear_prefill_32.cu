/* linear_prefill_32.cu - products of many rows with weights of types whose blocks are 32 values. */
#include "backends/gpu/kernels/linear_prefill.h"

LINEAR_KERNEL(linear_prefill_q4_0, linear_prefill<prefill_quant<quant_q4_0>>)
LINEAR_KERNEL(linear_prefill_q4_1, linear_prefill<prefill_quant<quant_q4_1>>)
LINEAR_KERNEL(linear_prefill_q5_0, linear_prefill<prefill_quant<quant_q5_0>>)
LINEAR_KERNEL(linear_prefill_q5_1, linear_prefill<prefill_quant<quant_q5_1>>)
LINEAR_KERNEL(linear_prefill_q8_0, linear_prefill<prefill_quant<quant_q8_0>>)
LINEAR_KERNEL(linear_prefill_iq4_nl, linear_prefill<prefill_quant<quant_iq4_nl>>)
LINEAR_KERNEL(linear_prefill_mxfp4, linear_prefill<prefill_quant<quant_mxfp4>>)
