/* attention_neon.c - attention and key/value stores with 128-bit vectors: caches of floats. */
#include "backends/cpu/neon/attention_vec_neon.h"

#include "backends/cpu/attention_cache_float.h"

#include "backends/cpu/attention_driver.h"

WH_ATTENTION_KERNELS(neon)
