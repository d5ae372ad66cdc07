/* linear_f_avx2.c - products with float weights, 256-bit vectors. */
#include "backends/cpu/avx2/linear_f_vec_avx2.h"
#include "backends/cpu/linear_f_tiles.h"

void wh_k_linear_f_avx2(const wh_linear_f_args *args, const wh_worker *worker) {
  wh_linear_f_run(args, worker, &steps);
}

const wh_linear_f_isa *wh_k_linear_f_steps_avx2(void) { return &steps; }
