// map_integer.cu - elementwise ops on integers of 1 to 8 bytes and bool, all in 64 bits (docs/NUMERICS.md, "Tensors of
// any type: elementwise").
#include "backends/gpu/kernels/map.h"

/* Division truncates; by 0 everything gives 0. */
GPU_FN uint64_t divided(uint32_t type, uint64_t x, uint64_t z) {
  if (z == 0) return 0;
  if (gpu_is_unsigned(type)) return x / z;
  return z == ~(uint64_t)0 ? 0 - x : (uint64_t)((int64_t)x / (int64_t)z);
}
GPU_FN uint64_t rest(uint32_t type, uint64_t x, uint64_t z) {
  if (z == 0) return 0;
  if (gpu_is_unsigned(type)) return x % z;
  return z == ~(uint64_t)0 ? 0 : (uint64_t)((int64_t)x % (int64_t)z);
}
GPU_FN uint64_t modulo(uint32_t type, uint64_t x, uint64_t z) {
  const uint64_t r = rest(type, x, z);
  return gpu_is_unsigned(type) ? r : (uint64_t)wh_mod_of_i64((int64_t)r, (int64_t)z);
}
GPU_FN uint64_t shifted_right(uint32_t type, uint64_t x, uint64_t z) {
  const bool all = z >= (uint64_t)gpu_integer_bits(type); /* negative ones as well */
  if (gpu_is_unsigned(type)) return all ? 0 : x >> z;
  return (uint64_t)((int64_t)x >> (all ? 63 : z));
}

GPU_FN uint64_t map_two(uint32_t map, uint32_t type, uint64_t x, uint64_t z) {
  switch (map) {
    case GPU_MAP_ADD:
      return x + z;
    case GPU_MAP_SUB:
      return x - z;
    case GPU_MAP_MUL:
      return x * z;
    case GPU_MAP_DIV:
      return divided(type, x, z);
    case GPU_MAP_MIN:
      return gpu_below(type, z, x) ? z : x;
    case GPU_MAP_MAX:
      return gpu_below(type, x, z) ? z : x;
    case GPU_MAP_MOD:
      return modulo(type, x, z);
    case GPU_MAP_REM:
      return rest(type, x, z);
    case GPU_MAP_BIT_AND:
      return x & z;
    case GPU_MAP_BIT_OR:
      return x | z;
    case GPU_MAP_BIT_XOR:
      return x ^ z;
    case GPU_MAP_SHIFT_LEFT:
      return z >= (uint64_t)gpu_integer_bits(type) ? 0 : x << z;
    case GPU_MAP_SHIFT_RIGHT:
      return shifted_right(type, x, z);
    case GPU_MAP_EQUAL:
      return x == z;
    case GPU_MAP_LESS:
      return gpu_below(type, x, z);
    default: /* less or equal */
      return !gpu_below(type, z, x);
  }
}
GPU_FN uint64_t map_one(uint32_t map, uint32_t type, uint64_t x) {
  const bool negative = gpu_below(type, x, 0);
  switch (map) {
    case GPU_MAP_NEG:
      return 0 - x;
    case GPU_MAP_ABS:
      return negative ? 0 - x : x;
    case GPU_MAP_SIGN:
      return negative ? ~(uint64_t)0 : x != 0;
    case GPU_MAP_BIT_NOT:
      return ~x;
    default: /* not, of bool */
      return !x;
  }
}

GPU_KERNEL_FN(map_integer, gpu_map_args) {
  for (int j = 0; j < PER_THREAD; j++) {
    int64_t offset[2];
    const int64_t i = gpu_map_place(a, j);
    if (i >= a.n) return;
    gpu_map_offsets<2>(a, j, offset);
    const uint64_t x = gpu_load_integer(a.type, a.in[0], offset[0]);
    uint64_t y;
    if (a.map <= GPU_MAP_LESS_OR_EQUAL)
      y = map_two(a.map, a.type, x, gpu_load_integer(a.type, a.in[1], offset[1]));
    else
      y = map_one(a.map, a.type, x);
    gpu_store_integer(a.result, a.out, i, y);
  }
}
