/* reduce.c - chooses the reduction for an op, a type and a feature mask. */
#include "backends/cpu/reduce.h"

#include "backends/cpu/reduce_kernels.h"

enum { T_f32, T_f64, T_i8, T_i16, T_i32, T_i64, T_u8, T_u16, T_u32, T_u64 };

static int type_of(wh_dtype d) {
  static const int types[] = {
      [WH_DTYPE_F32] = 1 + T_f32, [WH_DTYPE_F64] = 1 + T_f64, [WH_DTYPE_I8] = 1 + T_i8,
      [WH_DTYPE_I16] = 1 + T_i16, [WH_DTYPE_I32] = 1 + T_i32, [WH_DTYPE_I64] = 1 + T_i64,
      [WH_DTYPE_U8] = 1 + T_u8,   [WH_DTYPE_U16] = 1 + T_u16, [WH_DTYPE_U32] = 1 + T_u32,
      [WH_DTYPE_U64] = 1 + T_u64};
  return (size_t)d < sizeof types / sizeof types[0] ? types[d] - 1 : -1;
}

bool wh_reduce_select(uint64_t features, wh_reduce reduce, wh_dtype dtype, wh_reduction *out) {
  static const struct {
    wh_reduce reduce;
    int type;
    uint64_t needs;
    wh_reduction fns;
  } all[] = {
#define WH_REDUCE_KERNEL(name, type, isa, needs)                                             \
  {WH_REDUCE_##name,                                                                         \
   T_##type,                                                                                 \
   needs,                                                                                    \
   {wh_k_reduce_##name##_##type##_rows__##isa, wh_k_reduce_##name##_##type##_columns__##isa, \
    "reduce_" #name "_" #type "__" #isa}},
#include "backends/cpu/kernels_reduce.def"
  };
  const int type = type_of(dtype);
  bool found = false;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (all[i].reduce == reduce && all[i].type == type && (features & all[i].needs) == all[i].needs) {
      *out = all[i].fns;
      found = true;
    }
  return found;
}
