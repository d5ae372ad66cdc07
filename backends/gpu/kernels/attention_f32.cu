// attention_f32.cu - attention over keys and values of type f32.
#include "backends/gpu/kernels/attention.h"

ATTENTION_KERNELS(f32, WH_DTYPE_F32)
