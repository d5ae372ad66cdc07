/* linear_q_roofline.c - loops that do nothing but multiply. */
#include "bench/linear_q_roofline.h"

#include <string.h>

#include "bench/timing.h"

#define DOT_LOOPS 300000
#define DOTS_PER_LOOP 12

#if defined(__x86_64__)
/* Twelve independent chains, enough to hide the instruction's latency. */
#define TWELVE(I) I("0") I("1") I("2") I("3") I("4") I("5") I("6") I("7") I("8") I("9") I("10") I("11")
#define CLOBBERS \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11"
#define VNNI_ZMM(n) "vpdpbusd %%zmm14, %%zmm15, %%zmm" n "\n\t"
#define VNNI_YMM(n) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" n "\n\t"
#define MADD_ZMM(n) "vpmaddubsw %%zmm14, %%zmm15, %%zmm" n "\n\t"
#define MADD_YMM(n) "vpmaddubsw %%ymm14, %%ymm15, %%ymm" n "\n\t"
#define DOT_LOOP(name, insn)                                                           \
  static void name(void *arg, const wh_worker *w) {                                    \
    (void)arg;                                                                         \
    (void)w;                                                                           \
    for (int i = 0; i < DOT_LOOPS; i++) __asm__ volatile(TWELVE(insn) : : : CLOBBERS); \
  }
DOT_LOOP(dot_avx512vnni, VNNI_ZMM)
DOT_LOOP(dot_avxvnni, VNNI_YMM)
DOT_LOOP(dot_avx512, MADD_ZMM)
DOT_LOOP(dot_avx2, MADD_YMM)
#endif

double roofline_dot8(wh_team *team, const char *level) {
  wh_team_fn fn = NULL;
  double macs = 0;
#if defined(__x86_64__)
  if (strcmp(level, "avx512vnni") == 0) fn = dot_avx512vnni, macs = 64;
  if (strcmp(level, "avxvnni") == 0) fn = dot_avxvnni, macs = 32;
  if (strcmp(level, "avx512") == 0) fn = dot_avx512, macs = 64;
  if (strcmp(level, "avx2") == 0 || strcmp(level, "ref") == 0) fn = dot_avx2, macs = 32;
#endif
  if (!fn) return 0;
  double start = timing_now();
  wh_team_run(team, fn, NULL);
  return 2 * macs * DOTS_PER_LOOP * DOT_LOOPS * wh_team_size(team) / (timing_now() - start);
}
