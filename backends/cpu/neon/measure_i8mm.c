/* measure_i8mm.c - the usmmla roofline loop. */
#include "backends/cpu/measure_kernels.h"

#include <arm_neon.h>

#define ONES vreinterpretq_s32_s8(vdupq_n_s8(1))

WH_MEASURE_PEAK(wh_k_peak_int8__i8mm, int32x4_t, 12, 2 * 32, vdupq_n_s32(0), ONES, ONES,
                a = vusmmlaq_s32(a, vreinterpretq_u8_s32(x), vreinterpretq_s8_s32(y)))
