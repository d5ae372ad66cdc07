/* measure_kernels.h - loops that do nothing but keep one unit of the processor busy. Each returns operations
 * done (2 per multiply-add) or, for reads, a value that keeps the loads alive. */
#ifndef WH_CPU_MEASURE_KERNELS_H
#define WH_CPU_MEASURE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes times bytes: the least that any product must do at its level, vpmaddubsw or smlal with 16-bit sums,
 * vpdpbusd, tdpbssd, sdot or usmmla. */
double wh_k_peak_int8__ref(int64_t n);
double wh_k_peak_int8__avx2(int64_t n);
double wh_k_peak_int8__avxvnni(int64_t n);
double wh_k_peak_int8__avx512(int64_t n);
double wh_k_peak_int8__avx512vnni(int64_t n);
double wh_k_peak_int8__amxint8(int64_t n);
double wh_k_peak_int8__neon(int64_t n);
double wh_k_peak_int8__dotprod(int64_t n);
double wh_k_peak_int8__i8mm(int64_t n);
double wh_k_peak_f32__ref(int64_t n);
double wh_k_peak_f32__avx2(int64_t n);
double wh_k_peak_f32__avx512(int64_t n);
double wh_k_peak_f32__neon(int64_t n);
/* Loads in order, of one or of four streams, alone or with prefetches `ahead` bytes ahead that fill the outer
 * caches or pass them by. Which is fastest depends on the processor: non-temporal prefetches gained up to a
 * tenth on Zen 5 when others compete for memory, and read an Emerald Rapids Xeon at a third of its speed; a
 * Xeon with AMX reads four streams fastest, a KiB of each, asked for within a page. p is 64-byte aligned,
 * n_bytes a multiple of 4096. X(name, what a report calls it, streams, lines of each in a turn, locality (-1:
 * no prefetch), ahead, isa) */
#define WH_READ_LOOPS(X, isa)                                                                     \
  X(plain, "plain loads", 1, 4, -1, 0, isa)                                                       \
  X(plain4, "plain loads of 4 streams", 4, 1, -1, 0, isa)                                         \
  X(temporal, "loads with temporal prefetch", 1, 4, 3, 8192, isa)                                 \
  X(temporal4, "loads of 4 streams with temporal prefetch", 4, 1, 3, 8192, isa)                   \
  X(near4, "loads of 4 streams with temporal prefetch 2 KiB ahead", 4, 1, 3, 2048, isa)           \
  X(pieces4, "loads of 4 streams by KiB with temporal prefetch 2 KiB ahead", 4, 16, 3, 2048, isa) \
  X(nontemporal, "loads with non-temporal prefetch", 1, 4, 0, 8192, isa)                          \
  X(nontemporal4, "loads of 4 streams with non-temporal prefetch", 4, 1, 0, 8192, isa)
#define WH_READ_LOOP_PROTOTYPE(name, text, streams, lines, locality, ahead, isa) \
  uint64_t wh_k_read_##name##__##isa(const void *p, size_t n_bytes);
WH_READ_LOOPS(WH_READ_LOOP_PROTOTYPE, ref)
WH_READ_LOOPS(WH_READ_LOOP_PROTOTYPE, avx2)
WH_READ_LOOPS(WH_READ_LOOP_PROTOTYPE, avx512)

#if defined(__aarch64__)
#define WH_VECTOR_REGISTER "+w"
#else
#define WH_VECTOR_REGISTER "+v"
#endif
/* Defines a peak: `chains` independent chains, enough to hide the latency, each a value `a` of `vec` that
 * `step` moves on with x and y, whose values are hidden from the compiler (clang makes an addition of an fma
 * by 1); `ops` operations each. The loops must be unrolled, or the chains stay in memory. */
#define WH_MEASURE_PEAK(name, vec, chains, ops, zero, x_value, y_value, ...)     \
  double name(int64_t n) {                                                       \
    vec chain[chains], x = x_value, y = y_value;                                 \
    __asm__ volatile("" : WH_VECTOR_REGISTER(x), WH_VECTOR_REGISTER(y));         \
    _Pragma("GCC unroll 16") for (int i = 0; i < (chains); i++) chain[i] = zero; \
    for (int64_t k = 0; k < n; k++) {                                            \
      _Pragma("GCC unroll 16") for (int i = 0; i < (chains); i++) {              \
        vec a = chain[i];                                                        \
        __VA_ARGS__;                                                             \
        __asm__ volatile("" : WH_VECTOR_REGISTER(a));                            \
        chain[i] = a;                                                            \
      }                                                                          \
    }                                                                            \
    return (double)(ops) * (chains) * (double)n;                                 \
  }
/* 8-bit products as levels without a dot of four have them: pairs to 16 bits, then a sum. x is made unknown
 * before each, or the compiler would multiply once for the whole loop. */
#define WH_MEASURE_PAIRS(vec, maddubs, add) \
  __asm__ volatile("" : "+v"(x));           \
  a = add(a, maddubs(x, y))

#endif
