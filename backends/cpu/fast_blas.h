/* fast_blas.h - fp32 products by OpenBLAS, for mode `fast` only: its order of sums is its own.
 *
 * The library is opened at run time, when mode `fast` asks for it: linking it would cost every start some
 * milliseconds and tens of megabytes. */
#ifndef WH_CPU_FAST_BLAS_H
#define WH_CPU_FAST_BLAS_H

#include "backends/cpu/linear_f.h"

enum { WH_BLAS_ROW_MAJOR = 101, WH_BLAS_NO_TRANS = 111, WH_BLAS_TRANS = 112 }; /* CBLAS's numbers */

typedef struct wh_fast_blas {
  void *library; /* NULL: not there */
  void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                int lda, const float *b, int ldb, float beta, float *c, int ldc);
} wh_fast_blas;

/* Leaves library NULL when OpenBLAS is not installed. Sets OpenBLAS to one thread per call, for the whole
 * process: the device's own threads split the work. */
void wh_fast_blas_open(wh_fast_blas *blas);
void wh_fast_blas_close(wh_fast_blas *blas);

/* y = x w^T (+ bias) (+ residual), F32 weights as in the file; the workers split the columns. */
void wh_fast_blas_linear(const wh_fast_blas *blas, const wh_linear_f_args *args, const wh_worker *worker);

#endif
