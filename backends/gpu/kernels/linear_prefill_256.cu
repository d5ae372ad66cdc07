/* linear_prefill_256.cu - products of many rows with weights of types whose blocks are 256 values. */
#include "backends/gpu/kernels/linear_prefill.h"

LINEAR_KERNEL(linear_prefill_q2_k, linear_prefill<prefill_quant<quant_q2_k>>)
LINEAR_KERNEL(linear_prefill_q3_k, linear_prefill<prefill_quant<quant_q3_k>>)
LINEAR_KERNEL(linear_prefill_q4_k, linear_prefill<prefill_quant<quant_q4_k>>)
LINEAR_KERNEL(linear_prefill_q5_k, linear_prefill<prefill_quant<quant_q5_k>>)
LINEAR_KERNEL(linear_prefill_q6_k, linear_prefill<prefill_quant<quant_q6_k>>)
LINEAR_KERNEL(linear_prefill_iq4_xs, linear_prefill<prefill_quant<quant_iq4_xs>>)
