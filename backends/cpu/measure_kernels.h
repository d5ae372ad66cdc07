/* measure_kernels.h - loops that do nothing but keep one unit of the processor busy. Each returns operations
 * done (2 per multiply-add) or, for reads, a value that keeps the loads alive. */
#ifndef WH_CPU_MEASURE_KERNELS_H
#define WH_CPU_MEASURE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes times bytes: the least that any product must do at its level, vpmaddubsw with 16-bit sums or
 * vpdpbusd. */
double wh_k_peak_int8__avx2(int64_t n);
double wh_k_peak_int8__avxvnni(int64_t n);
double wh_k_peak_int8__avx512(int64_t n);
double wh_k_peak_int8__avx512vnni(int64_t n);
double wh_k_peak_f32__avx2(int64_t n);
double wh_k_peak_f32__avx512(int64_t n);
/* Loads in order. Prefetching WH_READ_AHEAD bytes ahead without filling the outer caches gains up to a tenth
 * where others compete for memory and costs nothing elsewhere; more streams or temporal prefetches gained
 * less. p is 64-byte aligned, n_bytes a multiple of 256. */
#define WH_READ_AHEAD 8192
uint64_t wh_k_read__avx2(const void *p, size_t n_bytes);
uint64_t wh_k_read__avx512(const void *p, size_t n_bytes);

/* Defines a peak: `chains` independent chains, enough to hide the latency, each a value `a` of `vec` that
 * `step` moves on with x and y; `ops` operations each. The loops must be unrolled, or the chains stay in
 * memory. */
#define WH_MEASURE_PEAK(name, vec, chains, ops, zero, x_value, y_value, ...)     \
  double name(int64_t n) {                                                       \
    vec chain[chains], x = x_value, y = y_value;                                 \
    _Pragma("GCC unroll 16") for (int i = 0; i < (chains); i++) chain[i] = zero; \
    for (int64_t k = 0; k < n; k++) {                                            \
      _Pragma("GCC unroll 16") for (int i = 0; i < (chains); i++) {              \
        vec a = chain[i];                                                        \
        __VA_ARGS__;                                                             \
        __asm__ volatile("" : "+v"(a));                                          \
        chain[i] = a;                                                            \
      }                                                                          \
    }                                                                            \
    return (double)(ops) * (chains) * (double)n;                                 \
  }
/* 8-bit products as levels without a dot of four have them: pairs to 16 bits, then a sum. */
#define WH_MEASURE_PAIRS(vec, maddubs, add) \
  vec p = maddubs(x, y);                    \
  __asm__ volatile("" : "+v"(p));           \
  a = add(a, p)

#endif
