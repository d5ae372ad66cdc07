// map.cu - elementwise ops on f32 and f64 that are one operation or two, and where (docs/NUMERICS.md, "Elementwise",
// "Tensors of any type: elementwise").
#include "backends/gpu/kernels/map.h"

GPU_FN float minimum(float x, float z) { return wh_min_f32(x, z); }
GPU_FN double minimum(double x, double z) { return wh_min_f64(x, z); }
GPU_FN float maximum(float x, float z) { return wh_max_f32(x, z); }
GPU_FN double maximum(double x, double z) { return wh_max_f64(x, z); }

template <typename T>
GPU_FN void map_arithmetic(const gpu_map_args &a, const gpu_four<T> *in, gpu_four<T> &y) {
  switch (a.map) {
    GPU_MAP_CASE(ADD, x + z)
    GPU_MAP_CASE(SUB, x - z)
    GPU_MAP_CASE(MUL, x *z)
    GPU_MAP_CASE(DIV, x / z)
    GPU_MAP_CASE(MIN, minimum(x, z))
    GPU_MAP_CASE(MAX, maximum(x, z))
    GPU_MAP_CASE(NEG, -x)
    GPU_MAP_CASE(ABS, fabs(x))
    GPU_MAP_CASE(SIGN, x > 0 ? (T)1 : x < 0 ? (T)-1 : x)
    GPU_MAP_CASE(SQRT, sqrt(x))
    GPU_MAP_CASE(FLOOR, floor(x))
    GPU_MAP_CASE(CEIL, ceil(x))
    GPU_MAP_CASE(ROUND, rint(x))
    GPU_MAP_CASE(SCALE, x *(T)a.alpha)
    GPU_MAP_CASE(RELU, x <= 0 ? (T)0 : x)
    default:
      break;
  }
}

GPU_KERNEL_FN(map_f32, gpu_map_args) {
  gpu_four<float> in[2], y = {};
  gpu_map_load<float, 2>(a, in);
  map_arithmetic(a, in, y);
  gpu_map_store(a, y);
}
GPU_KERNEL_FN(map_f64, gpu_map_args) {
  gpu_four<double> in[2], y = {};
  gpu_map_load<double, 2>(a, in);
  map_arithmetic(a, in, y);
  gpu_map_store(a, y);
}

/* Comparisons and classes give bool. */
template <typename T>
GPU_FN void map_test(const gpu_map_args &a) {
  gpu_four<T> in[2];
  gpu_four<uint8_t> y;
  gpu_map_load<T, 2>(a, in);
  switch (a.map) {
    GPU_MAP_CASE(EQUAL, x == z)
    GPU_MAP_CASE(LESS, x < z)
    GPU_MAP_CASE(LESS_OR_EQUAL, x <= z)
    GPU_MAP_CASE(IS_NAN, x != x)
    GPU_MAP_CASE(IS_INF, (x == (T)INFINITY && a.mode != 3) || (x == -(T)INFINITY && a.mode != 2))
    default:
      return;
  }
  gpu_map_store(a, y);
}
GPU_KERNEL_FN(map_test_f32, gpu_map_args) { map_test<float>(a); }
GPU_KERNEL_FN(map_test_f64, gpu_map_args) { map_test<double>(a); }

/* An element of b or c, of 2^type bytes, by a's. */
GPU_KERNEL_FN(map_where, gpu_map_args) {
  for (int j = 0; j < PER_THREAD; j++) {
    int64_t offset[3];
    const int64_t i = gpu_map_place(a, j);
    if (i >= a.n) return;
    gpu_map_offsets<3>(a, j, offset);
    const bool cond = gpu_at<const uint8_t>(a.in[0])[offset[0]];
    const uint64_t from = cond ? a.in[1] : a.in[2], at = (uint64_t)(cond ? offset[1] : offset[2]);
    gpu_copy(a.type, a.out + ((uint64_t)i << a.type), from + (at << a.type), false);
  }
}
