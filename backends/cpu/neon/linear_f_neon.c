/* linear_f_neon.c - products with float weights, 128-bit vectors. */
#include "backends/cpu/neon/linear_f_vec_neon.h"

#include "backends/cpu/linear_f_tiles.h"

void wh_k_linear_f_neon(const wh_linear_f_args *args, const wh_worker *worker) {
  wh_linear_f_run(args, worker, &steps);
}

const wh_linear_f_isa *wh_k_linear_f_steps_neon(void) { return &steps; }
