/* conv_avx2.c - convolutions, 256-bit vectors. */
#include "backends/cpu/avx2/linear_f_vec_avx2.h"
/* the driver is written over it */
#include "backends/cpu/conv_driver.h"

void wh_k_conv__avx2(const wh_conv_args *a, const wh_worker *w) { conv_run(a, w); }

void wh_k_conv_transpose__avx2(const wh_conv_transpose_args *a, const wh_worker *w) {
  conv_run_transpose(a, w);
}
