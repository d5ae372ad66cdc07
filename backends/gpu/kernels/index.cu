// index.cu - gathers and scatters by indices, which are looked at before they are used (docs/NUMERICS.md, "gather, ...").
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/elements.h"
#include "backends/gpu/kernels/index_args.h"

/* One block, whose threads look for the first entry outside. */
GPU_KERNEL_FN(check_indices, gpu_check_args) {
  __shared__ uint64_t room[32];
  uint64_t first = (uint64_t)a.n;
  for (int64_t i = threadIdx.x; i < a.n; i += blockDim.x) {
    const int64_t v = gpu_index(a.indices, a.type, i);
    const int d = a.period == 1 ? 0 : (int)(i % a.period);
    if (v >= a.least[d] && v <= a.most[d]) continue;
    first = (uint64_t)i;
    break;
  }
  first = gpu_least_of_block(first, room);
  if (threadIdx.x == 0 && first < (uint64_t)a.n)
    gpu_report(a.fault, a.node, a.code, gpu_index(a.indices, a.type, (int64_t)first));
}

/* Index i of an axis of n; negative ones count from the end. -1: outside. */
GPU_FN int64_t resolved(uint64_t indices, uint32_t type, int64_t i, int64_t n) {
  int64_t k = gpu_index(indices, type, i);
  if (k < 0 && k >= -n) k += n;
  return k >= 0 && k < n ? k : -1;
}

GPU_KERNEL_FN(gather, gpu_gather_args) {
  const int64_t i = gpu_thread();
  uint64_t outer = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t word = gpu_split(a.words, &outer), at = gpu_split(a.count, &outer);
  const int64_t k = resolved(a.indices, a.type, at, a.axis);
  const int64_t from = ((int64_t)outer * a.axis + (k < 0 ? 0 : k)) * a.words.n + word;
  gpu_copy(a.size, a.y + ((uint64_t)i << a.size), a.x + ((uint64_t)from << a.size), k < 0);
}

GPU_KERNEL_FN(gather_elements, gpu_elements_args) {
  const int64_t i = gpu_thread();
  int64_t offset[2];
  if (i >= a.n) return;
  gpu_walk_at<2>(a.walk, (uint64_t)i, offset);
  const int64_t k = resolved(a.indices, a.type, i, a.axis);
  const int64_t from = offset[1] + (k < 0 ? 0 : k) * a.step[1];
  gpu_copy(a.size, a.y + ((uint64_t)i << a.size), a.x + ((uint64_t)from << a.size), k < 0);
}

/* The block that tuple t names; -1: none. */
GPU_FN int64_t tuple_place(const gpu_tuple_args &a, int64_t t) {
  int64_t place = 0;
  for (uint32_t d = 0; d < a.length; d++) {
    const int64_t k = resolved(a.indices, a.type, t * a.length + d, a.dims[d]);
    if (k < 0) return -1;
    place = place * a.dims[d] + k;
  }
  return place;
}

GPU_KERNEL_FN(gather_nd, gpu_tuple_args) {
  const int64_t i = gpu_thread();
  uint64_t t = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t word = gpu_split(a.words, &t), place = tuple_place(a, (int64_t)t);
  const int64_t batch = (int64_t)gpu_divide(a.per_batch, t) * a.places;
  const int64_t from = (batch + (place < 0 ? 0 : place)) * a.words.n + word;
  gpu_copy(a.size, a.y + ((uint64_t)i << a.size), a.x + ((uint64_t)from << a.size), place < 0);
}

/* ---- scatters ---- */

enum { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MIN, REDUCE_MAX };

template <typename T>
GPU_FN T combined(uint32_t reduction, T y, T u, T least, T most) {
  return reduction == REDUCE_ADD ? y + u : reduction == REDUCE_MUL ? y * u : reduction == REDUCE_MIN ? least : most;
}

/* Element `to` of y becomes what the reduction makes of it and element `from` of x. */
GPU_FN void combine(uint32_t reduction, uint32_t type, uint32_t size, uint64_t y, int64_t to, uint64_t x, int64_t from) {
  if (reduction == REDUCE_NONE) {
    gpu_copy(size, y + ((uint64_t)to << size), x + ((uint64_t)from << size), false);
    return;
  }
  if (type == GPU_F32) {
    const float v = gpu_at<float>(y)[to], u = gpu_at<const float>(x)[from];
    gpu_at<float>(y)[to] = combined(reduction, v, u, wh_min_f32(v, u), wh_max_f32(v, u));
  } else if (type == GPU_F64) {
    const double v = gpu_at<double>(y)[to], u = gpu_at<const double>(x)[from];
    gpu_at<double>(y)[to] = combined(reduction, v, u, wh_min_f64(v, u), wh_max_f64(v, u));
  } else {
    const uint64_t v = gpu_load_integer(type, y, to), u = gpu_load_integer(type, x, from);
    const bool below = gpu_below(type, v, u);
    gpu_store_integer(type, y, to, combined(reduction, v, u, below ? v : u, below ? u : v));
  }
}

/* Elements that may meet lie in one line, and a line has one thread: it takes its updates in order. */
GPU_KERNEL_FN(scatter_elements, gpu_elements_args) {
  const int64_t i = gpu_thread();
  int64_t offset[2];
  if (i >= a.n) return;
  gpu_walk_at<2>(a.walk, (uint64_t)i, offset);
  for (int64_t j = 0; j < a.length; j++) {
    const int64_t from = offset[0] + j * a.step[0], k = resolved(a.indices, a.type, from, a.axis);
    if (k >= 0) combine(a.reduction, a.element, a.size, a.y, offset[1] + k * a.step[1], a.x, from);
  }
}

/* Without a reduction the last tuple of a place stays: first each raises its place's owner to its number, then the owners
 * write, a thread for each word. Which came first does not show. */
GPU_KERNEL_FN(scatter_nd_own, gpu_tuple_args) {
  const int64_t t = gpu_thread();
  if (t >= a.tuples) return;
  const int64_t place = tuple_place(a, t);
  if (place >= 0) gpu_raise(gpu_at<uint32_t>(a.owners) + place, (uint32_t)t + 1);
}
GPU_KERNEL_FN(scatter_nd_write, gpu_tuple_args) {
  const int64_t i = gpu_thread();
  uint64_t t = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t word = gpu_split(a.words, &t), place = tuple_place(a, (int64_t)t);
  if (place < 0 || gpu_at<const uint32_t>(a.owners)[place] != (uint32_t)t + 1) return;
  const uint64_t to = (uint64_t)(place * a.words.n + word);
  gpu_copy(a.size, a.y + (to << a.size), a.x + ((uint64_t)i << a.size), false);
}

/* With one, updates of a place follow each other: a thread has one element of every block, and walks all tuples. */
GPU_KERNEL_FN(scatter_nd_reduce, gpu_tuple_args) {
  const int64_t i = gpu_thread();
  if (i >= a.n) return;
  for (int64_t t = 0; t < a.tuples; t++) {
    const int64_t place = tuple_place(a, t);
    if (place >= 0) combine(a.reduction, a.element, a.size, a.y, place * a.n + i, a.x, t * a.n + i);
  }
}
