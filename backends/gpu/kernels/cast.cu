// cast.cu - docs/NUMERICS.md, "cast": by way of one of three types that hold all others, f64 the floats, i64 and u64 the
// integers.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/map_args.h"

typedef struct carried {
  double f;
  uint64_t i; /* sign-extended */
  bool is_float, is_unsigned;
} carried;

/* Bits of an element that is less than a byte; else 8. */
GPU_FN int bits_of(uint32_t type) {
  return type == GPU_I4 || type == GPU_U4 || type == GPU_F4 ? 4 : type == GPU_I2 || type == GPU_U2 ? 2 : 8;
}
/* The code of element i where rows of `columns` begin with a byte. */
GPU_FN uint32_t load_bits(uint64_t in, int64_t columns, int64_t i, int bits) {
  const int64_t per_byte = 8 / bits, column = i % columns, bytes = (columns + per_byte - 1) / per_byte;
  const uint32_t byte = gpu_at<const uint8_t>(in)[i / columns * bytes + column / per_byte];
  return byte >> (column % per_byte * bits) & ((1u << bits) - 1);
}
GPU_FN bool is_float(uint32_t type) {
  return type == GPU_F32 || type == GPU_F64 || type == GPU_SMALL1 || type == GPU_SMALL2 || type == GPU_F4 ||
         type == GPU_POWER;
}

GPU_FN carried load(const gpu_cast_args &a, int64_t i) {
  carried c = {0.0, 0, is_float(a.from),
               a.from == GPU_U4 || a.from == GPU_U2 || (a.from < GPU_F32 && gpu_is_unsigned(a.from))};
  switch (a.from) {
    case GPU_F32:
      c.f = (double)gpu_at<const float>(a.in)[i];
      return c;
    case GPU_F64:
      c.f = gpu_at<const double>(a.in)[i];
      return c;
    case GPU_SMALL1:
      c.f = wh_small_to_f64(&a.from_small, gpu_at<const uint8_t>(a.in)[i]);
      return c;
    case GPU_SMALL2:
      c.f = wh_small_to_f64(&a.from_small, gpu_at<const uint16_t>(a.in)[i]);
      return c;
    case GPU_F4:
      c.f = wh_small_to_f64(&a.from_small, load_bits(a.in, a.columns, i, 4));
      return c;
    case GPU_POWER:
      c.f = wh_power_to_f64(gpu_at<const uint8_t>(a.in)[i]);
      return c;
    case GPU_I4:
      c.i = (uint64_t)((int64_t)(load_bits(a.in, a.columns, i, 4) ^ 8u) - 8);
      return c;
    case GPU_I2:
      c.i = (uint64_t)((int64_t)(load_bits(a.in, a.columns, i, 2) ^ 2u) - 2);
      return c;
    case GPU_U4:
    case GPU_U2:
      c.i = load_bits(a.in, a.columns, i, bits_of(a.from));
      return c;
    default:
      c.i = gpu_load_integer(a.from, a.in, i);
      return c;
  }
}

GPU_FN double as_f64(const carried &c) { /* what is lost sets the last place */
  if (c.is_float) return c.f;
  const bool negative = !c.is_unsigned && (int64_t)c.i < 0;
  return wh_odd_f64(negative ? 0 - c.i : c.i, negative);
}
GPU_FN uint64_t as_signed(const carried &c, int64_t least, int64_t most) {
  return c.is_float ? (uint64_t)wh_f64_to_i64(c.f, least, most) : c.i;
}
GPU_FN uint64_t as_unsigned(const carried &c, uint64_t most) {
  return c.is_float ? wh_f64_to_u64(c.f, most) : c.i;
}

GPU_FN void store(const gpu_cast_args &a, int64_t i, const carried &c) {
  switch (a.to) {
    case GPU_F32:
      gpu_at<float>(a.out)[i] = c.is_float ? (float)c.f : c.is_unsigned ? (float)c.i : (float)(int64_t)c.i;
      return;
    case GPU_F64:
      gpu_at<double>(a.out)[i] = c.is_float ? c.f : c.is_unsigned ? (double)c.i : (double)(int64_t)c.i;
      return;
    case GPU_SMALL1:
      gpu_at<uint8_t>(a.out)[i] = (uint8_t)wh_small_from_f64(&a.to_small, as_f64(c), a.saturate);
      return;
    case GPU_SMALL2:
      gpu_at<uint16_t>(a.out)[i] = (uint16_t)wh_small_from_f64(&a.to_small, as_f64(c), false);
      return;
    case GPU_POWER:
      gpu_at<uint8_t>(a.out)[i] = (uint8_t)wh_power_from_f64(as_f64(c), a.saturate);
      return;
    default:
      break;
  }
  uint64_t y;
  if (a.truth)
    y = c.is_float ? c.f != 0.0 : c.i != 0;
  else if (gpu_is_unsigned(a.to))
    y = as_unsigned(c, (uint64_t)gpu_most(a.to));
  else
    y = as_signed(c, gpu_least(a.to), gpu_most(a.to));
  gpu_store_integer(a.to, a.out, i, y);
}

/* Of a type that is less than a byte. */
GPU_FN uint32_t code_of(const gpu_cast_args &a, int64_t i) {
  const carried c = load(a, i);
  const int most = 1 << bits_of(a.to);
  if (a.to == GPU_F4) return wh_small_from_f64(&a.to_small, as_f64(c), a.saturate);
  if (a.to == GPU_I4 || a.to == GPU_I2) return (uint32_t)as_signed(c, -most / 2, most / 2 - 1);
  return (uint32_t)as_unsigned(c, (uint64_t)most - 1);
}

/* A thread has an element, or a byte of the output. */
GPU_KERNEL_FN(cast, gpu_cast_args) {
  const int64_t i = gpu_thread();
  if (i >= a.n) return;
  if (a.truncate) {
    gpu_at<uint16_t>(a.out)[i] = wh_truncated_bf16(gpu_at<const float>(a.in)[i]);
    return;
  }
  const int bits = bits_of(a.to), per_byte = 8 / bits;
  if (bits == 8) {
    store(a, i, load(a, i));
    return;
  }
  const int64_t bytes = (a.columns + per_byte - 1) / per_byte, first = i % bytes * per_byte;
  uint32_t y = 0;
  GPU_ROLLED
  for (int k = 0; k < per_byte && first + k < a.columns; k++)
    y |= (code_of(a, i / bytes * a.columns + first + k) & ((1u << bits) - 1)) << (k * bits);
  gpu_at<uint8_t>(a.out)[i] = (uint8_t)y;
}

/* Pairs that models are full of, GPU_MAP_PER_THREAD elements a thread: what `cast` gives. */
GPU_FN float to_f32(uint32_t from, bool is_bf16, uint64_t in, int64_t i) {
  if (from == GPU_F32) return gpu_at<const float>(in)[i];
  const uint16_t bits = gpu_at<const uint16_t>(in)[i];
  return is_bf16 ? wh_f32_from_bf16(bits) : gpu_f16_to_f32(bits);
}
GPU_FN uint16_t bf16_of(float x) {
  const uint32_t u = wh_f32_bits(x);
  return x == x ? (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16) : (uint16_t)0x7fff;
}
GPU_KERNEL_FN(cast_float, gpu_cast_args) {
  const int64_t base = (int64_t)blockIdx.x * blockDim.x * GPU_MAP_PER_THREAD + threadIdx.x;
  for (int j = 0; j < GPU_MAP_PER_THREAD; j++) {
    const int64_t i = base + j * (int64_t)blockDim.x;
    if (i >= a.n) return;
    const float x = to_f32(a.from, a.from_small.exponent == 8, a.in, i);
    if (a.to == GPU_F32)
      gpu_at<float>(a.out)[i] = x;
    else
      gpu_at<uint16_t>(a.out)[i] = a.to_small.exponent == 8 ? bf16_of(x) : gpu_f32_to_f16(x);
  }
}
