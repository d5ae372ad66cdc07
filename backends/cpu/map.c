/* map.c - chooses the elementwise loop for an op, a type and a feature mask. */
#include "backends/cpu/map.h"

#include "backends/cpu/map_kernels.h"

typedef enum map_type {
  T_f32,
  T_f64,
  T_i8,
  T_i16,
  T_i32,
  T_i64,
  T_u8,
  T_u16,
  T_u32,
  T_u64,
  T_flag,
  T_b1,
  T_b2,
  T_b4,
  T_b8,
  T_b16
} map_type;

static map_type type_of(wh_dtype d) {
  switch (d) {
    case WH_DTYPE_F32:
      return T_f32;
    case WH_DTYPE_F64:
      return T_f64;
    case WH_DTYPE_I8:
      return T_i8;
    case WH_DTYPE_I16:
      return T_i16;
    case WH_DTYPE_I32:
      return T_i32;
    case WH_DTYPE_I64:
      return T_i64;
    case WH_DTYPE_U8:
      return T_u8;
    case WH_DTYPE_U16:
      return T_u16;
    case WH_DTYPE_U32:
      return T_u32;
    case WH_DTYPE_U64:
      return T_u64;
    case WH_DTYPE_BOOL:
      return T_flag;
    default:
      return T_b1;
  }
}

static map_type bytes_of(wh_dtype d) {
  switch (wh_dtype_get(d)->block_bytes) {
    case 1:
      return T_b1;
    case 2:
      return T_b2;
    case 4:
      return T_b4;
    case 8:
      return T_b8;
    default:
      return T_b16;
  }
}

wh_map_fn wh_map_select(uint64_t features, wh_map map, wh_dtype dtype, const char **name) {
  static const struct {
    wh_map map;
    map_type type;
    uint64_t needs;
    wh_map_fn fn;
    const char *name;
  } loops[] = {
#define WH_MAP_KERNEL(name, type, isa, needs) \
  {WH_MAP_##name, T_##type, needs, wh_k_##name##_##type##__##isa, #name "_" #type "__" #isa},
#include "backends/cpu/kernels_map.def"
  };
  const map_type type = map == WH_MAP_where ? bytes_of(dtype) : type_of(dtype);
  wh_map_fn fn = NULL;
  for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++)
    if (loops[i].map == map && loops[i].type == type && (features & loops[i].needs) == loops[i].needs) {
      fn = loops[i].fn;
      if (name) *name = loops[i].name;
    }
  return fn;
}
