/* linear_single.h - products of one row of activations with quantised weights: what a token of one sequence
 * is made of, so an instruction less for each block of weights is time. As linear_decode.h, but all eight
 * columns of the matrix unit have the one row, and so
 *   - a lane finishes one column of each row, and of types whose halves have scales of their own two: an even
 *     column has the lower half of the row's codes, an odd one the upper half, so that one product gives
 * both;
 *   - 2^t is the same for all lanes, and takes what codes of fewer bits are multiplied with (linear_q.h)
 * along. */
#ifndef WH_GPU_LINEAR_SINGLE_H
#define WH_GPU_LINEAR_SINGLE_H

#include "backends/gpu/kernels/linear_decode.h"

/* The row's activations of a group, as this lane needs them. */
struct single_row {
  const uint8_t *codes; /* of block b 8 bytes at 32 b */
  uint32_t mask;        /* of codes, by this lane's column and half */
  gpu_pair shifts;
  const int16_t *sums; /* [8] */
};

template <class T>
struct single_quant {
  /* J of rows g and g + 8 (SUB32): each lane has two of the blocks. */
  GPU_FN void minima_of_blocks(const uint8_t *head, const int16_t *sums, int32_t minima[2]) {
    const uint32_t g = gpu_lane() / 4, t = gpu_lane() % 4;
    const uint32_t both = *(const uint32_t *)(const void *)(sums + 2 * t);
#pragma unroll
    for (uint32_t r = 0; r < 2; r++) {
      const uint32_t m = *(const uint16_t *)(const void *)(head + 64 + (g + 8 * r) * 8 + 2 * t);
      int32_t j = (int32_t)(m & 255u) * (int16_t)(uint16_t)both + (int32_t)(m >> 8) * ((int32_t)both >> 16);
      j += gpu_shfl_xor(j, 1);
      minima[r] = j + gpu_shfl_xor(j, 2);
    }
  }

  /* 2^t of a block, over 2^(8 - bits) where codes are multiplied by that; where scales are products with d,
   * 2^(t - 3), whose exponent takes t < 4 without a carry, and d has the rest. */
  static constexpr bool d_has_rest = T::has_d && T::min != WH_MIN_SUB16;
  static constexpr uint32_t one = 127u - (T::biased ? 8u - (uint32_t)T::bits : 0u);
  GPU_FN float power(const gpu_pair &shifts, uint32_t block) {
    const uint32_t word = shifts.w[block / 4], at = 8 * (block % 4),
                   t = at <= 23 ? word << (23 - at) : word >> (at - 23);
    return float_bits(d_has_rest ? gpu_masked_xor(t, 0x01800000u, 124u << 23)
                                 : (t & 0x01800000u) + (one << 23));
  }

  GPU_FN void block_step(const quant_chunk<T> &chunk, const quant_head &h, uint32_t b, uint32_t block,
                         const single_row &x, float g[2], int32_t minima[2]) {
    uint32_t w[4];
    int32_t dot[4] = {SHIFTER_BITS, SHIFTER_BITS, SHIFTER_BITS, SHIFTER_BITS};
#pragma unroll
    for (int i = 0; i < 4; i++) w[i] = widen(chunk, (int)b, i);
    const gpu_pair q = *(const gpu_pair *)(const void *)(x.codes + 32 * block);
    const uint32_t codes[2] = {T::halves ? q.w[0] & x.mask : q.w[0], T::halves ? q.w[1] & x.mask : q.w[1]};
    gpu_mma_s8(dot, w, codes);
    const float t = power(x.shifts, block), shifter = -SHIFTER * t;
#pragma unroll
    for (int half = 0; half < (T::halves ? 2 : 1); half++)
#pragma unroll
      for (int r = 0; r < 2; r++)
        g[r] = fmaf(plain_scale_of(chunk, h, (int)b, half, r),
                    fmaf(float_bits((uint32_t)dot[2 * r + half]), t, shifter), g[r]);
    if (T::min == WH_MIN_F16)
      for (int r = 0; r < 2; r++)
        g[r] = fmaf(gpu_f16_to_f32((uint16_t)(chunk.min[r] >> (16 * b))), (float)x.sums[block], g[r]);
    if (T::min == WH_MIN_SUB16) { /* sum over halves of mn (bsum << t) */
      uint32_t m[4];
      for (int r = 0; r < 2; r++)
        m[r] = m[2 + r] = (chunk.scale[r] >> (16 * b + (gpu_lane() % 4 >= 2 ? 12 : 4)) & 15u) * 0x01010101u;
      int32_t sum[4] = {0, 0, 0, 0};
      gpu_mma_s8(sum, m, codes);
      for (int r = 0; r < 2; r++) minima[r] += (sum[2 * r] + sum[2 * r + 1]) * (int32_t)t;
    }
  }

  /* g of rows g and g + 8. FULL: all chunks of the group are there. */
  template <bool FULL>
  GPU_FN void group(const uint8_t *head, const uint8_t *record, uint64_t stride, uint32_t n_chunks,
                    const single_row &x, float g[2]) {
    quant_chunk<T> chunk[GPU_QUANT_CHUNKS];
    quant_head h;
    int32_t minima[2] = {0, 0};
#pragma unroll
    for (uint32_t c = 0; c < GPU_QUANT_CHUNKS; c++)
      if (FULL || c < n_chunks) load_chunk(&chunk[c], record + c * stride);
    load_head<T>(&h, head);
    for (int r = 0; r < 2 && d_has_rest; r++) h.d[r] *= float_bits((one + 3) << 23); /* 2^(one - 124) */
#pragma unroll
    for (uint32_t c = 0; c < GPU_QUANT_CHUNKS; c++)
      if (FULL || c < n_chunks)
        for (uint32_t b = 0; b < 2; b++) block_step(chunk[c], h, b, c * 2 + b, x, g, minima);
    if (T::min == WH_MIN_SUB32) minima_of_blocks(head, x.sums, minima);
    if (T::has_dmin)
      for (int r = 0; r < 2; r++) g[r] = fmaf(h.minus_dmin[r], (float)minima[r], g[r]);
  }
};

template <class T>
GPU_FN void linear_single(const gpu_linear_args &a) {
  constexpr uint32_t ROUND = SINGLE_ROUND, group_bytes = GPU_QUANT_CHUNKS * T::chunk_bytes + T::head_bytes;
  __shared__ float part[ROUND][GPU_TILE_ROWS];
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const uint32_t tile = blockIdx.x - matrix.first_block, in = tile % GPU_TILES, t = gpu_lane() % 4,
                 x = x_row(a, rows, 0), warps = blockDim.x / GPU_WARP;
  const gpu_matrix m = gpu_matrix_of(T::chunk_bytes, T::head_bytes, GPU_QUANT_CHUNKS, matrix.n, a.k);
  const uint32_t tiles = gpu_tiles_at(&m, tile), blocks = m.n_groups * 8;
  const uint8_t *first = gpu_at<const uint8_t>(matrix.w + rows.expert * matrix.expert_bytes) +
                         gpu_matrix_tile_bytes(&m) * (tile - in);
  const float *scales = gpu_at<const float>(a.x_scales) + (uint64_t)x * m.n_groups;
  float y = 0.0f;
  for (uint32_t from = 0; from < m.n_groups; from += ROUND) {
    const uint32_t end = m.n_groups - from < ROUND ? m.n_groups : from + ROUND;
    for (uint32_t group = from + gpu_warp(); group < end; group += warps) {
      const uint8_t *heads = first + (uint64_t)group * (group_bytes * tiles);
      const uint8_t *head = heads + in * T::head_bytes,
                    *record = heads + tiles * T::head_bytes + in * T::chunk_bytes;
      const uint64_t block = (uint64_t)x * blocks + group * 8;
      const uint32_t left = m.n_chunks - group * GPU_QUANT_CHUNKS;
      /* an even column (lane / 4) has the lower half, lanes 0 and 1 of four */
      const single_row row = {
          gpu_at<const uint8_t>(a.x) + block * 32 + t * 8, gpu_lane() / 4 % 2 == t / 2 ? 0xffffffffu : 0u,
          *gpu_at<const gpu_pair>(a.x_shifts + block), gpu_at<const int16_t>(a.x_sums) + block};
      float g[2] = {0.0f, 0.0f};
      single_quant<T> q;
      if (left >= GPU_QUANT_CHUNKS)
        q.template group<true>(head, record, tiles * T::chunk_bytes, left, row, g);
      else
        q.template group<false>(head, record, tiles * T::chunk_bytes, left, row, g);
      if (t == 0)
        for (uint32_t r = 0; r < 2; r++) part[group - from][gpu_lane() / 4 + 8 * r] = g[r];
    }
    gpu_barrier();
    if (threadIdx.x < GPU_TILE_ROWS)
      for (uint32_t group = from; group < end; group++)
        y = fmaf(scales[group], part[group - from][threadIdx.x], y);
    if (end < m.n_groups) gpu_barrier();
  }
  const uint32_t column = tile * GPU_TILE_ROWS + threadIdx.x;
  if (threadIdx.x < GPU_TILE_ROWS && column < matrix.n) store_output(matrix, y_row(a, rows, 0), column, y);
}

/* Minima take registers: two blocks of those types fit. */
#define SINGLE_KERNEL(name, type)                                      \
  GPU_BOUNDED_KERNEL_FN(name, gpu_linear_args, SINGLE_WARPS *GPU_WARP, \
                        type::min == WH_MIN_F16 ? 2 : SINGLE_BLOCKS) { \
    linear_single<type>(a);                                            \
  }

#endif
