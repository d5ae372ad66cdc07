// attention_tile.cu - attention of prompts over keys and values of type f16.
#include "backends/gpu/kernels/attention_tile.h"

GPU_BOUNDED_KERNEL_FN(attention_tile_d4, gpu_attention_args, ATTENTION_TILE_THREADS, 2) { attend_tile<4>(a); }
GPU_BOUNDED_KERNEL_FN(attention_tile_d8, gpu_attention_args, ATTENTION_TILE_THREADS, 2) { attend_tile<8>(a); }
