/* measure_dotprod.c - the sdot roofline loop. */
#include "backends/cpu/measure_kernels.h"

#include <arm_neon.h>

#define BYTES(v) vreinterpretq_s8_s32(v)
#define ONES vreinterpretq_s32_s8(vdupq_n_s8(1))

WH_MEASURE_PEAK(wh_k_peak_int8__dotprod, int32x4_t, 12, 2 * 16, vdupq_n_s32(0), ONES, ONES,
                a = vdotq_s32(a, BYTES(x), BYTES(y)))
