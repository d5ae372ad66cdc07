/* features.c - detects the processor's features and names the levels made of them. Holds no state: the caller
 * keeps the mask. A port to another architecture adds its bits to wh_cpu_features_detect and its rows to
 * LEVELS. */
#define _DEFAULT_SOURCE /* syscall */
#include "backends/cpu/features.h"

#include <string.h>

#include "backends/cpu/features_decode.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
/* <asm/prctl.h> of Linux 5.16 and later */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA 18
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define BIT(n) (1u << (n))

/* XCR0: the register files that the system saves at a context switch. */
#define XCR0_YMM 0x06u        /* xmm, ymm */
#define XCR0_ZMM 0xe6u        /* the same and opmask, the upper halves of zmm0-15, zmm16-31 */
#define XCR0_TILES (3u << 17) /* the tiles' shapes, the tiles */

#define INTEL_EBX 0x756e6547u                 /* "Genu" */
#define AMX_EDX (BIT(22) | BIT(24) | BIT(25)) /* BF16, TILE, INT8 */

uint64_t wh_cpu_features_decode(const wh_cpuid *c) {
  const uint32_t avx2_1c = BIT(12) | BIT(28) | BIT(29);                       /* FMA, AVX, F16C */
  const uint32_t avx2_7b = BIT(5) | BIT(8);                                   /* AVX2, BMI2 */
  const uint32_t avx512_7b = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31); /* F, DQ, CD, BW, VL */
  uint64_t mask = 0;
  if ((c->xcr0 & XCR0_YMM) != XCR0_YMM) return 0;
  if ((c->leaf1_ecx & avx2_1c) != avx2_1c || (c->leaf7_ebx & avx2_7b) != avx2_7b) return 0;
  mask |= WH_CPU_AVX2;
  if ((c->l1d_ebx >> 22) + 1 >= 12) mask |= WH_CPU_MANY_WAYS;
  if (c->leaf7_1_eax & BIT(4)) mask |= WH_CPU_AVXVNNI;
  if ((c->xcr0 & XCR0_ZMM) != XCR0_ZMM || (c->leaf7_ebx & avx512_7b) != avx512_7b) return mask;
  mask |= WH_CPU_AVX512;
  if (c->leaf7_ecx & BIT(11)) mask |= WH_CPU_AVX512VNNI;
  if (c->leaf0_ebx == INTEL_EBX) mask |= WH_CPU_SHARED_PORTS;
  if (c->leaf7_1_eax & BIT(5)) mask |= WH_CPU_AVX512BF16;
  if (!wh_cpu_tiles_lack(c)) mask |= WH_CPU_AMX;
  return mask;
}

const char *wh_cpu_tiles_lack(const wh_cpuid *c) {
  if ((c->leaf7_edx & AMX_EDX) != AMX_EDX)
    return "the processor has no AMX of bytes and bf16, or a hypervisor hides it";
  if ((c->xcr0 & XCR0_TILES) != XCR0_TILES)
    return "the system does not save tiles: its kernel is too old, or a hypervisor withholds them";
  return NULL;
}

uint64_t wh_cpu_features_decode_arm(uint64_t hwcap, uint64_t hwcap2) {
  uint64_t mask = 0;
  if (!(hwcap & BIT(1))) return 0; /* ASIMD */
  mask |= WH_CPU_NEON;
  if (hwcap & BIT(20)) mask |= WH_CPU_DOTPROD; /* ASIMDDP */
  if (hwcap2 & BIT(13)) mask |= WH_CPU_I8MM;
  return mask;
}

#if defined(__x86_64__)
static wh_cpuid read_cpuid(void) {
  wh_cpuid c = {0};
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(0, &eax, &c.leaf0_ebx, &ecx, &edx)) return c;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return c;
  c.leaf1_ecx = ecx;
  if (ecx & BIT(27)) { /* OSXSAVE: xgetbv exists and the system uses it */
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    c.xcr0 = (uint64_t)hi << 32 | lo;
  }
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    c.leaf7_ebx = ebx;
    c.leaf7_ecx = ecx;
    c.leaf7_edx = edx;
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) c.leaf7_1_eax = eax;
  }
  const uint32_t leaves[] = {4, 0x8000001d}; /* Intel's and AMD's; type 1: data, level 1 */
  for (int i = 0; i < 2; i++)
    if (__get_cpuid_count(leaves[i], 0, &eax, &ebx, &ecx, &edx) && (eax & 0xff) == 0x21) c.l1d_ebx = ebx;
  return c;
}
#endif

uint64_t wh_cpu_features_detect(void) {
#if defined(__x86_64__)
  const wh_cpuid c = read_cpuid();
  return wh_cpu_features_decode(&c);
#elif defined(__aarch64__) && defined(__linux__)
  return wh_cpu_features_decode_arm(getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
#elif defined(__aarch64__)
  return WH_CPU_NEON; /* part of the architecture; more only where the system is asked */
#else
  return 0;
#endif
}

const char *wh_cpu_tiles_ask(void) {
#if defined(__x86_64__)
  const wh_cpuid c = read_cpuid();
  const char *lack = wh_cpu_tiles_lack(&c);
  if (lack) return lack;
#if defined(__linux__)
  if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0) return NULL;
  if (errno == ENOSPC) return "a thread's alternate signal stack has no room for tiles";
  return "the system refuses tiles to this process";
#else
  return "this system is not known to give tiles";
#endif
#else
  return "AMX is a part of x86-64 processors";
#endif
}

uint64_t wh_cpu_features_usable(void) {
  const uint64_t mask = wh_cpu_features_detect();
  return mask & WH_CPU_AMX && wh_cpu_tiles_ask() ? mask & ~WH_CPU_AMX : mask;
}

/* Ascending. `also` is taken where the processor has it: some have AVX-512 without the VEX-coded VNNI. */
static const struct {
  const char *name;
  uint64_t needs, also;
} LEVELS[] = {
    {"ref", 0, 0},
#if defined(__x86_64__)
    {"avx2", WH_CPU_AVX2, 0},
    {"avxvnni", WH_CPU_AVX2 | WH_CPU_AVXVNNI, 0},
    {"avx512", WH_CPU_AVX2 | WH_CPU_AVX512, 0},
    {"avx512vnni", WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI, WH_CPU_AVXVNNI | WH_CPU_SHARED_PORTS},
    {"amxint8", WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI | WH_CPU_AMX,
     WH_CPU_AVXVNNI | WH_CPU_SHARED_PORTS},
#elif defined(__aarch64__)
    {"neon", WH_CPU_NEON, 0},
    {"dotprod", WH_CPU_NEON | WH_CPU_DOTPROD, 0},
    {"i8mm", WH_CPU_NEON | WH_CPU_DOTPROD | WH_CPU_I8MM, 0},
#endif
};
#define N_LEVELS ((int)(sizeof LEVELS / sizeof LEVELS[0]))

#if defined(__x86_64__)
#define LEVEL_NAMES "auto, ref, avx2, avxvnni, avx512, avx512vnni, amxint8"
#elif defined(__aarch64__)
#define LEVEL_NAMES "auto, ref, neon, dotprod, i8mm"
#else
#define LEVEL_NAMES "auto, ref"
#endif

wh_status wh_cpu_level_mask(const char *level, uint64_t available, uint64_t *out) {
  if (!level || strcmp(level, "auto") == 0) {
    *out = available;
    return WH_OK;
  }
  for (int i = 0; i < N_LEVELS; i++) {
    if (strcmp(level, LEVELS[i].name) != 0) continue;
    if ((available & LEVELS[i].needs) != LEVELS[i].needs)
      return WH_FAIL(ERR_UNAVAILABLE, "instruction set level '%s': this processor's highest is '%s'", level,
                     wh_cpu_level_name(available));
    *out = LEVELS[i].needs | (available & LEVELS[i].also);
    if (*out) *out |= available & WH_CPU_MANY_WAYS; /* 0 is what says that there are no vectors */
    return WH_OK;
  }
  return WH_FAIL(ERR_INVALID_ARGUMENT, "unknown instruction set level '%.64s': known are " LEVEL_NAMES,
                 level);
}

const char *wh_cpu_level_name(uint64_t mask) {
  int best = 0;
  for (int i = 0; i < N_LEVELS; i++)
    if ((mask & LEVELS[i].needs) == LEVELS[i].needs) best = i;
  return LEVELS[best].name;
}

const char *wh_cpu_level_at(int i) { return i >= 0 && i < N_LEVELS ? LEVELS[i].name : NULL; }
