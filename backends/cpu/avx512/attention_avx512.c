/* attention_avx512.c - attention and key/value stores with 512-bit vectors: caches of floats. */
#include "backends/cpu/avx512/attention_vec_avx512.h"

#include "backends/cpu/attention_cache_float.h"

#include "backends/cpu/attention_driver.h"

WH_ATTENTION_KERNELS(avx512)
