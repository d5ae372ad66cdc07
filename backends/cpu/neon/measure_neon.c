/* measure_neon.c - 128-bit roofline loops. Reading: ref's loops, whose vectors are as wide. */
#include "backends/cpu/measure_kernels.h"

#include <arm_neon.h>

#define BYTES(v) vreinterpretq_s8_s32(v)
#define ONES vreinterpretq_s32_s8(vdupq_n_s8(1))

WH_MEASURE_PEAK(wh_k_peak_int8__neon, int32x4_t, 12, 2 * 8, vdupq_n_s32(0), ONES, ONES,
                a = vreinterpretq_s32_s16(vmlal_high_s8(vreinterpretq_s16_s32(a), BYTES(x), BYTES(y))))
WH_MEASURE_PEAK(wh_k_peak_f32__neon, float32x4_t, 12, 2 * 4, vdupq_n_f32(0.0f), vdupq_n_f32(1.0f),
                vdupq_n_f32(0.5f), a = vfmaq_f32(a, x, y))
