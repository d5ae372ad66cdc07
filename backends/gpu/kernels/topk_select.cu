// topk_select.cu - topk of long lines of f32 (docs/NUMERICS.md, "Reductions"): the k-th key is found digit by
// digit, what ranks before it is gathered and sorted.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/reduce_args.h"

#define DIGITS 256u
#define THREADS GPU_SELECT_THREADS

/* Ranks as topk orders: the greater key first; a NaN above all numbers, the zeros equal. */
GPU_FN uint32_t key_of(const gpu_line_args &a, const float *x, uint32_t i) {
  const float v = x[i];
  uint32_t bits = 0;
  if (v != v)
    bits = UINT32_MAX;
  else if (v == 0.0f)
    bits = 0x80000000u;
  else {
    memcpy(&bits, &v, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  }
  return a.largest ? bits : ~bits;
}

struct selected {
  uint32_t key;     /* the k-th */
  uint32_t n_equal; /* keys like it that belong to the k first */
  uint32_t n_like;  /* all of them */
};

/* The digits of the k-th key from the highest on: of the keys that agree with it so far, how many have which.
 */
GPU_FN selected select_key(const gpu_line_args &a, const float *x) {
  __shared__ uint32_t count[DIGITS], digit, left, like;
  selected s = {0, (uint32_t)a.k, 0};
  for (uint32_t shift = 32; shift > 0;) {
    shift -= 8;
    for (uint32_t d = threadIdx.x; d < DIGITS; d += THREADS) count[d] = 0;
    gpu_barrier();
    for (uint32_t i = threadIdx.x; i < (uint32_t)a.n; i += THREADS) {
      const uint32_t key = key_of(a, x, i);
      if (shift == 24 || (key ^ s.key) >> (shift + 8) == 0) (void)gpu_count(&count[key >> shift & 255u], 1);
    }
    gpu_barrier();
    if (threadIdx.x == 0) {
      uint32_t above = 0, d = DIGITS - 1;
      while (above + count[d] < s.n_equal) above += count[d--];
      digit = d, left = s.n_equal - above, like = count[d];
    }
    gpu_barrier();
    s.key |= digit << shift;
    s.n_equal = left;
    s.n_like = like;
  }
  return s;
}

/* Which of the equal ones belong to the k first: those of the lower indices, up to this one. */
GPU_FN uint32_t last_equal(const gpu_line_args &a, const float *x, const selected &s) {
  __shared__ uint32_t found[THREADS / GPU_WARP], last;
  uint32_t n = 0;
  for (uint32_t from = 0;; from += THREADS) {
    const uint32_t i = from + threadIdx.x;
    const bool mine = i < (uint32_t)a.n && key_of(a, x, i) == s.key;
    const uint32_t warp = gpu_ballot(mine);
    gpu_barrier();
    if (gpu_lane() == 0) found[gpu_warp()] = gpu_ones(warp);
    gpu_barrier();
    uint32_t before = n;
    for (uint32_t w = 0; w < THREADS / GPU_WARP; w++) {
      if (w == gpu_warp()) before = n;
      n += found[w];
    }
    if (mine && before + gpu_ones(warp & ((1u << gpu_lane()) - 1)) + 1 == s.n_equal) last = i;
    if (n >= s.n_equal) break;
  }
  gpu_barrier();
  return last;
}

/* Rank first: the greater key, of equals the lower index. */
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

/* A block has a line, whose elements lie side by side. */
GPU_KERNEL_FN(topk_select, gpu_line_args) {
  __shared__ uint64_t first[GPU_SELECT_MOST];
  __shared__ uint32_t n_first;
  const float *x = gpu_at<const float>(a.x) + (int64_t)blockIdx.x * a.n;
  const selected s = select_key(a, x);
  const uint32_t last = s.n_equal < s.n_like ? last_equal(a, x, s) : UINT32_MAX;
  uint32_t room = 1;
  while (room < (uint32_t)a.k) room *= 2;
  for (uint32_t i = threadIdx.x; i < room; i += THREADS) first[i] = 0; /* behind all others */
  if (threadIdx.x == 0) n_first = 0;
  gpu_barrier();
  for (uint32_t i = threadIdx.x; i < (uint32_t)a.n; i += THREADS) {
    const uint32_t key = key_of(a, x, i);
    if (key > s.key || (key == s.key && i <= last)) first[gpu_count(&n_first, 1)] = (uint64_t)key << 32 | ~i;
  }
  sort_falling(first, room);
  for (uint32_t i = threadIdx.x; i < (uint32_t)a.k; i += THREADS) {
    const uint32_t at = ~(uint32_t)first[i];
    const int64_t to = (int64_t)blockIdx.x * a.k + i;
    gpu_at<float>(a.y)[to] = x[at];
    gpu_at<int64_t>(a.indices)[to] = at;
  }
}
