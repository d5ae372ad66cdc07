/* measure_kernels.h - loops that do nothing but keep one unit of the processor busy. Each returns operations
 * done (2 per multiply-add) or, for reads, a value that keeps the loads alive. */
#ifndef WH_CPU_MEASURE_KERNELS_H
#define WH_CPU_MEASURE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

double wh_k_peak_int8__avx2(int64_t n);       /* maddubs + madd + add */
double wh_k_peak_int8__avx512vnni(int64_t n); /* vpdpbusd */
double wh_k_peak_f32__avx2(int64_t n);
double wh_k_peak_f32__avx512(int64_t n);
uint64_t wh_k_read__avx2(const void *p, size_t n_bytes); /* p 64-byte aligned, n_bytes % 256 == 0 */
uint64_t wh_k_read__avx512(const void *p, size_t n_bytes);

#endif
