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
#define WH_CPU_AMX (1ull << 5)        /* AMX-TILE, -INT8, -BF16, which the system gives on request */
#define WH_CPU_NEON (1ull << 16)      /* Advanced SIMD of AArch64 */
#define WH_CPU_DOTPROD (1ull << 17)   /* sdot: dots of four bytes */
#define WH_CPU_I8MM (1ull << 18)      /* usdot, usmmla: products of 2 x 8 by 8 x 2 bytes */
/* Not instructions, and a part of every level but ref: the first-level data cache has 12 ways or more, in
 * which twice as many rows that are a multiple of 2 KiB apart stay. */
#define WH_CPU_MANY_WAYS (1ull << 32)
/* Not an instruction either, and a part of the levels with AVX-512: 512-bit shifts and conversions take
 * the ports of products, so that one fma in place of two of them gains (Intel's processors; AMD's have units
 * for them besides those of products, and lose). */
#define WH_CPU_SHARED_PORTS (1ull << 33)

/* Any of these: products have kernels other than the reference, which read packed weights. */
#define WH_CPU_VECTORS (WH_CPU_AVX2 | WH_CPU_NEON)

/* x86-64: CPUID and XGETBV; a feature counts only if the system saves its registers. AArch64: what Linux says
 * in the auxiliary vector. Elsewhere 0. */
uint64_t wh_cpu_features_detect(void);

/* Asks the system for the tiles of AMX, which Linux gives to a process, all its threads, on request only: a
 * thread without them ends at its first tile instruction. Asking again is allowed. NULL: they are given, or
 * have been. Otherwise a static string that says why there are none. */
const char *wh_cpu_tiles_ask(void);
/* What wh_cpu_features_detect gives, AMX only when the system gives tiles. */
uint64_t wh_cpu_features_usable(void);

/* Levels: "ref", "avx2", "avxvnni", "avx512", "avx512vnni", "amxint8" (x86-64); "ref", "neon", "dotprod",
 * "i8mm" (AArch64); "ref" elsewhere. The mask of a level, or ERR_INVALID_ARGUMENT listing the known names;
 * ERR_UNAVAILABLE when `available` lacks it. NULL or "auto": everything available. */
WH_NODISCARD wh_status wh_cpu_level_mask(const char *level, uint64_t available, uint64_t *out);
/* Name of the highest level that `mask` holds. */
const char *wh_cpu_level_name(uint64_t mask);
/* The i-th level name in ascending order, NULL past the end. */
const char *wh_cpu_level_at(int i);

#endif
