/* conv_neon.c - convolutions, 128-bit vectors. */
#include "backends/cpu/neon/linear_f_vec_neon.h"
/* the driver is written over it */
#include "backends/cpu/conv_driver.h"

void wh_k_conv__neon(const wh_conv_args *a, const wh_worker *w) { conv_run(a, w); }

void wh_k_conv_transpose__neon(const wh_conv_transpose_args *a, const wh_worker *w) {
  conv_run_transpose(a, w);
}
