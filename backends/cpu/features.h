/* features.h - what this processor can do, as a mask that can be narrowed.
 *
 * An ISA level is a named bundle; each holds the ones before it. Kernel choice is a pure function of the
 * mask, so a machine with the highest level tests all below it. */
#ifndef WH_CPU_FEATURES_H
#define WH_CPU_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

#define WH_CPU_AVX2 (1ull << 0)       /* AVX2 + FMA + F16C + BMI2 */
#define WH_CPU_AVXVNNI (1ull << 1)    /* 256-bit vpdpbusd, VEX-coded */
#define WH_CPU_AVX512 (1ull << 2)     /* F + BW + DQ + VL + CD */
#define WH_CPU_AVX512VNNI (1ull << 3) /* 512-bit vpdpbusd */
#define WH_CPU_AVX512BF16 (1ull << 4) /* vdpbf16ps: mode `fast` only */
#define WH_CPU_NEON (1ull << 16)      /* reserved for the Arm levels */
#define WH_CPU_DOTPROD (1ull << 17)
#define WH_CPU_I8MM (1ull << 18)

/* CPUID and XGETBV: a feature counts only if the system saves its registers. */
uint64_t wh_cpu_features_detect(void);

/* Levels: "ref", "avx2", "avxvnni", "avx512", "avx512vnni" (x86-64). The mask of a level, or
 * ERR_INVALID_ARGUMENT listing the known names; ERR_UNAVAILABLE when `available` lacks it. NULL or "auto":
 * everything available. */
WH_NODISCARD wh_status wh_cpu_level_mask(const char *level, uint64_t available, uint64_t *out);
/* Name of the highest level that `mask` holds. */
const char *wh_cpu_level_name(uint64_t mask);
/* The i-th level name in ascending order, NULL past the end. */
const char *wh_cpu_level_at(int i);

#endif
