/* attention_q8_dotprod.c - attention and key/value stores with 128-bit vectors and dots of four bytes: caches
 * of q8_0. */
#define WH_ATTENTION_DOTPROD 1
#include "backends/cpu/neon/attention_vec_neon.h"

#include "backends/cpu/attention_cache_q8.h"

#include "backends/cpu/attention_driver.h"

WH_ATTENTION_KERNELS(q8_dotprod)
