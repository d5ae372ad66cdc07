/* blas.h - a vendor's library of products in floating point, for mode `fast`; the provider opens it. */
#ifndef WH_GPU_BLAS_H
#define WH_GPU_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

/* y [rows][n] f32 = x [rows][k] w [n][k]^T of bf16, (+ bias [n]) (+ residual [rows][n], which may be y); sums
 * are of f32. Addresses are on the device; 0: absent. */
typedef struct gpu_blas_product {
  uint64_t x, w, y, bias, residual;
  uint32_t rows, n, k;
  uint64_t workspace, workspace_bytes;
} gpu_blas_product;

typedef struct gpu_blas {
  /* A handle for the context that is the thread's, and the library's name. */
  wh_status (*open)(void **handle, const char **name);
  void (*close)(void *handle);
  wh_status (*multiply)(void *handle, const gpu_blas_product *p, void *stream);
} gpu_blas;

#endif
