/* attention_avx2.c - attention and key/value stores with 256-bit vectors: caches of floats. */
#include "backends/cpu/avx2/attention_vec_avx2.h"

#include "backends/cpu/attention_cache_float.h"

#include "backends/cpu/attention_driver.h"

WH_ATTENTION_KERNELS(avx2)
