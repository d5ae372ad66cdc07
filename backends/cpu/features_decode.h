/* features_decode.h - the part of feature detection that needs no processor of the kind: from the registers
 * of x86's CPUID and XGETBV, or from Linux's words about an Arm processor, to a mask. Apart from features.c
 * so that tests can describe any processor and operating system. */
#ifndef WH_CPU_FEATURES_DECODE_H
#define WH_CPU_FEATURES_DECODE_H

#include <stdint.h>

typedef struct wh_cpuid {
  uint32_t leaf0_ebx; /* how the maker's name begins */
  uint32_t leaf1_ecx;
  uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx;
  uint32_t leaf7_1_eax; /* leaf 7, subleaf 1; 0 when there is none */
  uint32_t l1d_ebx; /* of the leaf about caches, where its first one is the first-level data cache; or 0 */
  uint64_t xcr0;    /* 0 without OSXSAVE */
} wh_cpuid;

uint64_t wh_cpu_features_decode(const wh_cpuid *c);

/* Why wh_cpu_features_decode sees no AMX; NULL when it does. */
const char *wh_cpu_tiles_lack(const wh_cpuid *c);

/* AT_HWCAP and AT_HWCAP2 of the auxiliary vector, as Linux defines them for AArch64. */
uint64_t wh_cpu_features_decode_arm(uint64_t hwcap, uint64_t hwcap2);

#endif
