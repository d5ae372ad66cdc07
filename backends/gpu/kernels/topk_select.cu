// topk_select.cu - topk of long lines of f32 (docs/NUMERICS.md, "Reductions"). A line is cut into pieces, a block for
// each, which finds the k first of its piece; another block finds the k first of those of all pieces. An element is
// 64 bits whose order is topk's: its key, and for equal keys its index, so no two are alike, and whichever way
// they come they end in one order.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/reduce_args.h"

#define DIGITS 256u
#define THREADS GPU_SELECT_THREADS
#define MINE (GPU_SELECT_PIECE / THREADS)

/* Ranks as topk orders: the greater key first; a NaN above all numbers, the zeros equal; then the lower index. */
GPU_FN uint64_t element_of(const gpu_select_args &a, float v, uint32_t i) {
  uint32_t bits = wh_f32_bits(v);
  if (v != v)
    bits = UINT32_MAX;
  else if (v == 0.0f)
    bits = 0x80000000u;
  else
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  return (uint64_t)(a.largest ? bits : ~bits) << 32 | ~i;
}

/* A piece of a line: each thread holds its elements. */
struct piece {
  uint64_t mine[MINE];
  uint32_t n;
  template <typename F>
  GPU_METHOD void each(F f) const {
#pragma unroll
    for (uint32_t j = 0; j < MINE; j++)
      if (threadIdx.x + j * THREADS < n) f(mine[j]);
  }
};

/* What the pieces of a line left. */
struct candidates {
  const uint64_t *all;
  uint32_t n;
  template <typename F>
  GPU_METHOD void each(F f) const {
    for (uint32_t i = threadIdx.x; i < n; i += THREADS) f(all[i]);
  }
};

/* By the first warp: the digit that the wanted-th element from the greatest on has, how many of those before it
 * have greater ones, and how many have this one. */
GPU_FN void find_digit(const uint32_t *count, uint32_t wanted, uint32_t *digit, uint32_t *above, uint32_t *like) {
  constexpr uint32_t OF_LANE = DIGITS / GPU_WARP;
  const uint32_t top = DIGITS - 1 - gpu_lane() * OF_LANE; /* lanes have falling digits */
  uint32_t sum = 0;
  for (uint32_t i = 0; i < OF_LANE; i++) sum += count[top - i];
  uint32_t before = sum; /* those of this lane and of the lanes before it */
  for (uint32_t d = 1; d < GPU_WARP; d *= 2) {
    const uint32_t other = gpu_shfl(before, gpu_lane() >= d ? gpu_lane() - d : 0);
    if (gpu_lane() >= d) before += other;
  }
  before -= sum;
  if (before >= wanted || before + sum < wanted) return;
  uint32_t d = top;
  while (before + count[d] < wanted) before += count[d--];
  *digit = d, *above = before, *like = count[d];
}

/* The k greatest elements are those that are not below this, which is found digit by digit. */
template <typename S>
GPU_FN uint64_t threshold_of(const S &s, uint32_t k) {
  __shared__ uint32_t count[DIGITS], digit, above, like;
  uint64_t threshold = 0;
  for (uint32_t shift = 56;; shift -= 8) {
    for (uint32_t d = threadIdx.x; d < DIGITS; d += THREADS) count[d] = 0;
    gpu_barrier();
    s.each([&](uint64_t v) {
      if (shift == 56 || (v ^ threshold) >> (shift + 8) == 0) (void)gpu_count(&count[v >> shift & 255u], 1);
    });
    gpu_barrier();
    if (gpu_warp() == 0) find_digit(count, k, &digit, &above, &like);
    gpu_barrier();
    threshold |= (uint64_t)digit << shift;
    k -= above;
    if (k == like || shift == 0) return threshold;
  }
}

/* blockIdx.x: the line; y: the piece. */
GPU_KERNEL_FN(topk_pieces, gpu_select_args) {
  __shared__ uint32_t n_found;
  const uint64_t from = (uint64_t)a.n * blockIdx.y / a.pieces, end = (uint64_t)a.n * (blockIdx.y + 1) / a.pieces;
  const float *x = gpu_at<const float>(a.x) + (uint64_t)blockIdx.x * a.n;
  piece p;
  p.n = (uint32_t)(end - from);
#pragma unroll
  for (uint32_t j = 0; j < MINE; j++) {
    const uint32_t at = threadIdx.x + j * THREADS, i = (uint32_t)from + at;
    p.mine[j] = at < p.n ? element_of(a, x[i], i) : 0;
  }
  if (threadIdx.x == 0) n_found = 0;
  const uint64_t threshold = threshold_of(p, a.k);
  uint64_t *to = gpu_at<uint64_t>(a.candidates) + ((uint64_t)blockIdx.x * a.pieces + blockIdx.y) * a.k;
  p.each([&](uint64_t v) {
    if (v >= threshold) to[gpu_count(&n_found, 1)] = v;
  });
}

GPU_FN void sort_falling(uint64_t *v, uint32_t n) {
  for (uint32_t size = 2; size <= n; size *= 2)
    for (uint32_t step = size / 2; step > 0; step /= 2) {
      gpu_barrier();
      for (uint32_t i = threadIdx.x; i < n; i += THREADS) {
        const uint32_t j = i ^ step;
        if (j <= i || (v[i] > v[j]) == ((i & size) == 0)) continue;
        const uint64_t t = v[i];
        v[i] = v[j];
        v[j] = t;
      }
    }
  gpu_barrier();
}

/* A block has a line. */
GPU_KERNEL_FN(topk_select, gpu_select_args) {
  __shared__ uint64_t first[GPU_SELECT_MOST];
  __shared__ uint32_t n_first;
  candidates c;
  c.n = a.pieces * a.k;
  c.all = gpu_at<const uint64_t>(a.candidates) + (uint64_t)blockIdx.x * c.n;
  uint32_t room = 1;
  while (room < a.k) room *= 2;
  for (uint32_t i = threadIdx.x; i < room; i += THREADS) first[i] = 0; /* behind all others */
  if (threadIdx.x == 0) n_first = 0;
  const uint64_t threshold = threshold_of(c, a.k);
  c.each([&](uint64_t v) {
    if (v >= threshold) first[gpu_count(&n_first, 1)] = v;
  });
  sort_falling(first, room);
  const float *x = gpu_at<const float>(a.x) + (uint64_t)blockIdx.x * a.n;
  for (uint32_t i = threadIdx.x; i < a.k; i += THREADS) {
    const uint32_t at = ~(uint32_t)first[i];
    const uint64_t to = (uint64_t)blockIdx.x * a.k + i;
    gpu_at<float>(a.y)[to] = x[at];
    gpu_at<int64_t>(a.indices)[to] = at;
  }
}
