/* elements.h - elements of the types that tensors have, and how kernels read and write them. Integers are
 * computed in 64 bits whatever their own width: each op of theirs is exact modulo 2^64, and storing keeps the
 * low bits. For hosts and kernels. */
#ifndef WH_GPU_ELEMENTS_H
#define WH_GPU_ELEMENTS_H

#include <stdint.h>

/* Integers: bits 0-1 are the logarithm of the bytes, bit 2 says unsigned. */
typedef enum gpu_type {
  GPU_I8,
  GPU_I16,
  GPU_I32,
  GPU_I64,
  GPU_U8, /* bool too */
  GPU_U16,
  GPU_U32,
  GPU_U64,
  GPU_F32,
  GPU_F64,
  GPU_SMALL1, /* floats of one byte, and of two: wh_small_float says which */
  GPU_SMALL2,
  GPU_I4,
  GPU_U4,
  GPU_NO_TYPE
} gpu_type;

#ifdef WH_GPU_H /* a kernel: gpu.h comes first */

GPU_FN bool gpu_is_unsigned(uint32_t type) { return type & 4; }
GPU_FN int gpu_integer_bits(uint32_t type) { return 8 << (type & 3); }

/* Sign-extended or not, as the type says. */
GPU_FN uint64_t gpu_load_integer(uint32_t type, uint64_t address, int64_t i) {
  switch (type) {
    case GPU_I8:
      return (uint64_t)(int64_t)gpu_at<const int8_t>(address)[i];
    case GPU_I16:
      return (uint64_t)(int64_t)gpu_at<const int16_t>(address)[i];
    case GPU_I32:
      return (uint64_t)(int64_t)gpu_at<const int32_t>(address)[i];
    case GPU_U8:
      return gpu_at<const uint8_t>(address)[i];
    case GPU_U16:
      return gpu_at<const uint16_t>(address)[i];
    case GPU_U32:
      return gpu_at<const uint32_t>(address)[i];
    default:
      return gpu_at<const uint64_t>(address)[i];
  }
}
GPU_FN void gpu_store_integer(uint32_t type, uint64_t address, int64_t i, uint64_t v) {
  switch (type & 3) {
    case 0:
      gpu_at<uint8_t>(address)[i] = (uint8_t)v;
      return;
    case 1:
      gpu_at<uint16_t>(address)[i] = (uint16_t)v;
      return;
    case 2:
      gpu_at<uint32_t>(address)[i] = (uint32_t)v;
      return;
    default:
      gpu_at<uint64_t>(address)[i] = v;
  }
}

/* x as the type's value: what storing and loading would make of it. */
GPU_FN uint64_t gpu_wrap(uint32_t type, uint64_t x) {
  const int gone = 64 - gpu_integer_bits(type);
  return gpu_is_unsigned(type) ? x << gone >> gone : (uint64_t)((int64_t)(x << gone) >> gone);
}
GPU_FN int64_t gpu_most(uint32_t type) { /* of u64 as bits */
  const uint64_t all = ~(uint64_t)0 >> (64 - gpu_integer_bits(type));
  return (int64_t)(gpu_is_unsigned(type) ? all : all >> 1);
}
GPU_FN int64_t gpu_least(uint32_t type) {
  return gpu_is_unsigned(type) ? 0 : (int64_t)(~(uint64_t)0 << (gpu_integer_bits(type) - 1));
}
GPU_FN bool gpu_below(uint32_t type, uint64_t x, uint64_t z) {
  return gpu_is_unsigned(type) ? x < z : (int64_t)x < (int64_t)z;
}

/* Indices are i32 or i64. */
GPU_FN int64_t gpu_index(uint64_t address, uint32_t type, int64_t i) {
  return type == GPU_I64 ? gpu_at<const int64_t>(address)[i] : gpu_at<const int32_t>(address)[i];
}

/* What moves as one: bytes that are no number. */
typedef struct alignas(16) gpu_bytes16 {
  uint64_t low, high;
} gpu_bytes16;

/* Copies element `from` to element `to`, of 2^size bytes each; zero: +0 instead. */
template <typename T>
GPU_FN void gpu_copy_as(uint64_t to, uint64_t from, bool zero) {
  T v = {};
  if (!zero) v = *gpu_at<const T>(from);
  *gpu_at<T>(to) = v;
}
GPU_FN void gpu_copy(uint32_t size, uint64_t to, uint64_t from, bool zero) {
  switch (size) {
    case 0:
      gpu_copy_as<uint8_t>(to, from, zero);
      return;
    case 1:
      gpu_copy_as<uint16_t>(to, from, zero);
      return;
    case 2:
      gpu_copy_as<uint32_t>(to, from, zero);
      return;
    case 3:
      gpu_copy_as<uint64_t>(to, from, zero);
      return;
    default:
      gpu_copy_as<gpu_bytes16>(to, from, zero);
  }
}

#endif
#endif
