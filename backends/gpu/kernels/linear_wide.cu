/* linear_wide.cu - products with 16-bit weights, whatever their type: packed, they are codes of 13 bits. */
#include "backends/gpu/kernels/linear_decode.h"
#include "backends/gpu/kernels/linear_prefill.h"

LINEAR_KERNEL(linear_decode_wide, linear_decode<decode_wide, DECODE_ROWS>)
LINEAR_KERNEL(linear_batch_wide, linear_decode<decode_wide, BATCH_ROWS>)
LINEAR_KERNEL(linear_prefill_wide, linear_prefill<prefill_wide>)
