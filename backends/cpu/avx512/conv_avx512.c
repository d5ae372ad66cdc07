/* conv_avx512.c - convolutions, 512-bit vectors. */
#include "backends/cpu/avx512/conv_vec_avx512.h"
/* the driver is written over it */
#include "backends/cpu/conv_driver.h"

void wh_k_conv__avx512(const wh_conv_args *a, const wh_worker *w) { conv_run(a, w); }

void wh_k_conv_transpose__avx512(const wh_conv_transpose_args *a, const wh_worker *w) {
  conv_run_transpose(a, w);
}
