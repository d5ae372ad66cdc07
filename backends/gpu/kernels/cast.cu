// cast.cu - docs/NUMERICS.md, "cast": by way of one of three types that hold all others, f64 the floats, i64 and u64 the
// integers.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/map_args.h"

typedef struct carried {
  double f;
  uint64_t i; /* sign-extended */
  bool is_float, is_unsigned;
} carried;

/* The byte of element i where two lie in one, and rows begin with a byte. */
GPU_FN int64_t half_byte_at(int64_t columns, int64_t i) {
  return i / columns * ((columns + 1) / 2) + i % columns / 2;
}

GPU_FN carried load(const gpu_cast_args &a, int64_t i) {
  carried c = {0.0, 0, a.from == GPU_F32 || a.from == GPU_F64 || a.from == GPU_SMALL1 || a.from == GPU_SMALL2,
               a.from == GPU_U4 || (a.from < GPU_F32 && gpu_is_unsigned(a.from))};
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
    case GPU_I4:
    case GPU_U4: {
      const uint32_t byte = gpu_at<const uint8_t>(a.in)[half_byte_at(a.columns, i)];
      const uint32_t code = byte >> (i % a.columns % 2 * 4) & 15u;
      c.i = a.from == GPU_I4 ? (uint64_t)((int64_t)(code ^ 8u) - 8) : code;
      return c;
    }
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

/* Half a byte. */
GPU_FN uint32_t code_of(const gpu_cast_args &a, int64_t i) {
  const carried c = load(a, i);
  return (uint32_t)(a.to == GPU_I4 ? as_signed(c, -8, 7) : as_unsigned(c, 15)) & 15u;
}

/* A thread has an element, or a byte of the output. */
GPU_KERNEL_FN(cast, gpu_cast_args) {
  const int64_t i = gpu_thread();
  if (i >= a.n) return;
  if (a.truncate) {
    gpu_at<uint16_t>(a.out)[i] = wh_truncated_bf16(gpu_at<const float>(a.in)[i]);
    return;
  }
  if (a.to != GPU_I4 && a.to != GPU_U4) {
    store(a, i, load(a, i));
    return;
  }
  const int64_t bytes = (a.columns + 1) / 2, column = i % bytes * 2, first = i / bytes * a.columns + column;
  uint32_t y = code_of(a, first);
  if (column + 1 < a.columns) y |= code_of(a, first + 1) << 4;
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
