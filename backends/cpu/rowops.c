/* rowops.c - chooses the row-op kernels for a feature mask. */
#include "backends/cpu/rowops.h"

#include "backends/cpu/rowops_kernels.h"

void wh_rowops_select(uint64_t features, wh_rowops *out) {
#define WH_ROWOP_KERNEL(op, family, isa, needs) \
  if ((features & (needs)) == (needs)) {        \
    out->op = wh_k_##op##__##isa;               \
    out->op##_name = #op "__" #isa;             \
  }
#include "backends/cpu/kernels_rowops.def"
}
