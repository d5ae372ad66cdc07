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

#endif
