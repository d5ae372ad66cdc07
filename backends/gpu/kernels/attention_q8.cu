// attention_q8.cu - attention over keys and values of type q8_0.
#include "backends/gpu/kernels/attention.h"

ATTENTION_KERNELS(q8, WH_DTYPE_Q8_0)
