/* attention_q8_avxvnni.c - attention and key/value stores with 256-bit vectors and AVX-VNNI: caches of q8_0.
 */
#define WH_ATTENTION_VNNI 1
#include "backends/cpu/avx2/attention_vec_avx2.h"

#include "backends/cpu/attention_cache_q8.h"

#include "backends/cpu/attention_driver.h"

WH_ATTENTION_KERNELS(q8_avxvnni)
