// attention_f16.cu - attention over keys and values of type f16.
#include "backends/gpu/kernels/attention.h"

ATTENTION_KERNELS(f16, WH_DTYPE_F16)
