/* nn_kernels.h - prototypes of the kernels of kernels_nn.def. Only for the files that define or choose them;
 * everyone else goes through wh_nn_select. */
#ifndef WH_CPU_NN_KERNELS_H
#define WH_CPU_NN_KERNELS_H

#include "backends/cpu/nn.h"

#define WH_NN_KERNEL(op, family, isa, needs) \
  void wh_k_##op##__##isa(const wh_##family##_args *a, const wh_worker *w);
#include "backends/cpu/kernels_nn.def"

#endif
