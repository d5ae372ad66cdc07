/* linear_q_select.c - from a feature mask and a type to a kernel. The list is slowest first: the last match
 * wins. */
#include "backends/cpu/linear_q_kernels.h"

wh_linear_q_fn wh_linear_q_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_linear_q_fn fn = NULL;
  const char *fn_name = NULL;
#define WH_KERNEL(type, lower, isa, needs)                           \
  if (dtype == WH_DTYPE_##type && (features & (needs)) == (needs)) { \
    fn = wh_k_linear_##lower##__##isa;                               \
    fn_name = "linear_" #lower "__" #isa;                            \
  }
#include "backends/cpu/kernels_linear_q.def"
#undef WH_KERNEL
  if (name && fn_name) *name = fn_name;
  return fn;
}
