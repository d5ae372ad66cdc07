/* attention_q8_avx512vnni.c - attention and key/value stores with 512-bit vectors and VNNI: caches of q8_0.
 */
#define WH_ATTENTION_VNNI 1
#include "backends/cpu/avx512/attention_vec_avx512.h"

#include "backends/cpu/attention_cache_q8.h"

#include "backends/cpu/attention_driver.h"

WH_ATTENTION_KERNELS(q8_avx512vnni)
