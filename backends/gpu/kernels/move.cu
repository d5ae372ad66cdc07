// move.cu - ops that move elements: transpose, slice, concat, expand, tile as walks with strides; pad, trilu,
// reverse_sequence by a rule for each element.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/elements.h"
#include "backends/gpu/kernels/move_args.h"

GPU_KERNEL_FN(move_elements, gpu_move_args) {
  const int64_t base = (int64_t)blockIdx.x * blockDim.x * GPU_MOVE_PER_THREAD + threadIdx.x;
  for (int j = 0; j < GPU_MOVE_PER_THREAD; j++) {
    const int64_t i = base + j * (int64_t)blockDim.x;
    int64_t offset[2];
    if (i >= a.n) return;
    gpu_walk_at<2>(a.walk, (uint64_t)i, offset);
    gpu_copy(a.size, a.to + (uint64_t)offset[GPU_MOVE_TO], a.from + (uint64_t)offset[GPU_MOVE_FROM], false);
  }
}

/* A plane whose source runs along its rows goes through tiles in shared memory, so that both sides meet whole lines. A
 * block has 32 x 8 threads, each 4 elements; a column more keeps the banks apart. */
template <typename T>
GPU_FN void move_tile(const gpu_move_args &a) {
  __shared__ T tile[GPU_MOVE_TILE][GPU_MOVE_TILE + 1];
  uint64_t block = blockIdx.x;
  const int64_t column = gpu_split(a.across, &block) * GPU_MOVE_TILE,
                row = gpu_split(a.down, &block) * GPU_MOVE_TILE;
  int64_t offset[2];
  gpu_walk_at<2>(a.walk, block, offset);
  const uint64_t to = a.to + (uint64_t)offset[GPU_MOVE_TO], from = a.from + (uint64_t)offset[GPU_MOVE_FROM];
  const int x = (int)gpu_lane();
  for (int y = (int)gpu_warp(); y < GPU_MOVE_TILE; y += 8)
    if (row + x < a.rows && column + y < a.columns)
      tile[y][x] = gpu_at<const T>(from + (uint64_t)((column + y) * a.from_column))[row + x];
  gpu_barrier();
  for (int y = (int)gpu_warp(); y < GPU_MOVE_TILE; y += 8)
    if (row + y < a.rows && column + x < a.columns)
      gpu_at<T>(to + (uint64_t)((row + y) * a.to_row))[column + x] = tile[x][y];
}
GPU_KERNEL_FN(move_planes1, gpu_move_args) { move_tile<uint8_t>(a); }
GPU_KERNEL_FN(move_planes2, gpu_move_args) { move_tile<uint16_t>(a); }
GPU_KERNEL_FN(move_planes4, gpu_move_args) { move_tile<uint32_t>(a); }
GPU_KERNEL_FN(move_planes8, gpu_move_args) { move_tile<uint64_t>(a); }

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* Where index i, which may lie outside 0..n-1, is taken from; -1: nowhere. */
GPU_FN int64_t padded_index(uint32_t mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == PAD_CONSTANT) return -1;
  if (mode == PAD_EDGE) return i < 0 ? 0 : n - 1;
  const int64_t period = mode == PAD_WRAP ? n : n > 1 ? 2 * (n - 1) : 1;
  int64_t k = i % period;
  if (k < 0) k += period;
  return k < n ? k : period - k;
}

GPU_KERNEL_FN(pad, gpu_pad_args) {
  const int64_t i = gpu_thread();
  uint64_t rest = (uint64_t)i, from = a.x;
  bool outside = false;
  if (i >= a.n) return;
  for (int d = a.rank - 1; d >= 0; d--) {
    const int64_t k = padded_index(a.mode, gpu_split(a.out[d], &rest) - a.before[d], a.in[d]);
    outside |= k < 0;
    from += (uint64_t)(k * a.stride[d]);
  }
  gpu_copy(a.size, a.y + ((uint64_t)i << a.size), outside ? a.value : from, outside && !a.value);
}

GPU_KERNEL_FN(trilu, gpu_trilu_args) {
  const int64_t i = gpu_thread();
  uint64_t rest = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t column = gpu_split(a.columns, &rest), row = gpu_split(a.rows, &rest);
  /* column - row lies within the sizes, k may be anything */
  const bool stays = a.upper ? column - row >= a.k : column - row <= a.k;
  gpu_copy(a.size, a.y + ((uint64_t)i << a.size), a.x + ((uint64_t)i << a.size), !stays);
}

GPU_KERNEL_FN(reverse_sequence, gpu_reverse_args) {
  const int64_t i = gpu_thread();
  uint64_t block = (uint64_t)i;
  if (i >= a.n) return;
  const int64_t word = gpu_split(a.words, &block);
  uint64_t t_rest = gpu_divide(a.behind_time, block), b_rest = gpu_divide(a.behind_batch, block);
  const int64_t t = gpu_split(a.time, &t_rest), b = gpu_split(a.batch, &b_rest);
  const int64_t length = gpu_index(a.lengths, a.type, b);
  int64_t from = (int64_t)block;
  if (length <= a.time.n && t < length) from += (length - 1 - 2 * t) * a.behind_time.n;
  gpu_copy(a.size, a.y + ((uint64_t)i << a.size), a.x + ((uint64_t)(from * a.words.n + word) << a.size), false);
}
