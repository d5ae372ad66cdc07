// matmul_blocks.cu - rows of q13a with weights of few bits (docs/NUMERICS.md, "matmul_blocks"). A warp's lanes are a
// panel's columns, and a block of threads has 8 rows of outputs: its warps take 8 pieces of K, whose integers meet in
// shared memory, and then a row each, to which they add the pieces in order.
#include "backends/gpu/kernels/activations.h"
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/reduce_args.h"

#define ROWS GPU_BLOCKS_WARPS

// Four bytes of x or of x and y, as codes of a word lie when it was shifted: they follow each other in turns in its
// lower and its upper half.
template <int BITS>
GPU_FN uint32_t in_turns(const uint32_t *x, int i) {
  if (BITS == 8) return gpu_pick_bytes(x[0], 0, 0x3120);
  return gpu_pick_bytes(x[i / 2], x[i / 2 + (BITS == 4 ? 1 : 2)], i % 2 ? 0x7362 : 0x5140);
}

// A piece's integers for ROWS rows from x on; codes of 8 bits are taken less 128, and so are zero points.
template <int BITS>
GPU_FN void dots_of(const gpu_blocks_args &a, uint32_t row, uint32_t k, const uint32_t *word, int32_t zero, int32_t *dot) {
  const int quads = 8 / BITS; // of codes in a word
  const uint32_t mask = 0x01010101u * ((1u << BITS) - 1), flip = BITS == 8 ? 0x80808080u : 0;
  int32_t high[ROWS] = {0}, low[ROWS] = {0};
  for (uint32_t at = k; at < k + a.piece; at += 4 * quads, word += GPU_WARP) {
    const uint32_t codes = *word;
    GPU_UNROLL
    for (int r = 0; r < ROWS; r++) {
      if (row + r >= a.rows) break;
      const uint64_t from = (uint64_t)(row + r) * a.padded + at;
      uint32_t h[quads], l[quads];
      GPU_UNROLL
      for (int i = 0; i < quads; i++) {
        h[i] = gpu_at<const uint32_t>(a.high + from)[i];
        l[i] = gpu_at<const uint32_t>(a.low + from)[i];
      }
      GPU_UNROLL
      for (int i = 0; i < quads; i++) {
        const int32_t w = (int32_t)((codes >> (i * BITS) & mask) ^ flip);
        high[r] = gpu_dp4a((int32_t)in_turns<BITS>(h, i), w, high[r]);
        low[r] = gpu_dp4a((int32_t)in_turns<BITS>(l, i), w, low[r]);
      }
    }
  }
  GPU_UNROLL
  for (int r = 0; r < ROWS; r++) {
    int32_t sum = 0; // of the row's codes
    for (uint32_t i = gpu_lane(); i < a.piece && row + r < a.rows; i += GPU_WARP) {
      const uint64_t from = (uint64_t)(row + r) * a.padded + k + i;
      sum += *gpu_at<const int8_t>(a.high + from) * 128 + *gpu_at<const int8_t>(a.low + from);
    }
    for (uint32_t m = 1; m < GPU_WARP; m *= 2) sum += gpu_shfl_xor(sum, m);
    dot[r * GPU_WARP + gpu_lane()] = high[r] * 128 + low[r] - (zero - (BITS == 8 ? 128 : 0)) * sum;
  }
}

GPU_KERNEL_FN(matmul_blocks, gpu_blocks_args) {
  __shared__ int32_t dots[GPU_BLOCKS_WARPS][ROWS * GPU_WARP];
  const uint32_t panel = blockIdx.x % a.panels, row = blockIdx.x / a.panels * ROWS, mine = row + gpu_warp();
  const uint64_t cells = (uint64_t)panel * a.blocks * GPU_WARP + gpu_lane();
  const uint32_t column = panel * GPU_WARP + gpu_lane();
  float y = 0;
  for (uint32_t first = 0; first < a.pieces; first += GPU_BLOCKS_WARPS) {
    const uint32_t piece = first + gpu_warp(), k = piece * a.piece;
    if (piece < a.pieces) {
      const uint32_t *word = gpu_at<const uint32_t>(a.codes) +
                             ((uint64_t)panel * a.words + (uint64_t)k * a.bits / 32) * GPU_WARP + gpu_lane();
      const int32_t zero = gpu_at<const uint8_t>(a.zeros)[cells + (uint64_t)(k / a.block) * GPU_WARP];
      if (a.bits == 4) dots_of<4>(a, row, k, word, zero, dots[gpu_warp()]);
      if (a.bits == 8) dots_of<8>(a, row, k, word, zero, dots[gpu_warp()]);
      if (a.bits == 2) dots_of<2>(a, row, k, word, zero, dots[gpu_warp()]);
    }
    gpu_barrier();
    for (uint32_t i = 0; i < GPU_BLOCKS_WARPS && first + i < a.pieces && mine < a.rows; i++) {
      const uint32_t from = (first + i) * a.piece;
      const float s = gpu_at<const float>(a.x_scales)[(uint64_t)mine * (a.padded / GPU_Q13A_BLOCK) + from / GPU_Q13A_BLOCK],
                  scale = gpu_at<const float>(a.scales)[cells + (uint64_t)(from / a.block) * GPU_WARP];
      y = fmaf(s * scale, (float)dots[i][gpu_warp() * GPU_WARP + gpu_lane()], y);
    }
    gpu_barrier();
  }
  if (mine < a.rows && column < a.n) gpu_at<float>(a.y)[(uint64_t)mine * a.n + column] = y;
}
