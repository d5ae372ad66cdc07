/* rowops_kernels.h - prototypes of the row-op kernels, made from kernels_rowops.def. Only for the files that
 * define or choose them; everyone else goes through wh_rowops_select. */
#ifndef WH_CPU_ROWOPS_KERNELS_H
#define WH_CPU_ROWOPS_KERNELS_H

#include "backends/cpu/rowops.h"

#define WH_ROWOP_KERNEL(op, family, isa, needs) \
  void wh_k_##op##__##isa(const wh_##family##_args *a, const wh_worker *w);
#include "backends/cpu/kernels_rowops.def"

#endif
