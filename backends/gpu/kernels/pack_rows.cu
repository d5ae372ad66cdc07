/* pack_rows.cu - activations in the order that products of warpgroups read (warpgroup_args.h). A thread has a
 * block of 32 of a row; the rows of a tile, as many as threads, lie side by side. */
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/linear_rows.h"
#include "backends/gpu/kernels/warpgroup_args.h"

/* v - l and l, the low 7 bits, which lie `apart` elements from each other. */
GPU_FN void store_sum(uint16_t *to, uint32_t apart, int32_t v) {
  const int32_t low = v & 127;
  to[0] = gpu_f32_to_f16((float)(v - low));
  to[apart] = gpu_f32_to_f16((float)low);
}

/* Sums of the block: where the type of the weights wants them. */
GPU_FN void pack_sums(int32_t min, uint8_t *group, uint32_t row, uint32_t block, const uint32_t codes[8],
                      int32_t scale) {
  const uint32_t rows = blockDim.x;
  int32_t halves[2] = {0, 0};
  if (min == WH_MIN_NONE) return;
#pragma unroll
  for (uint32_t i = 0; i < 8; i++) halves[i / 4] = gpu_dp4a((int32_t)codes[i], 0x01010101, halves[i / 4]);
  uint16_t *tail =
      (uint16_t *)(group + GPU_QUANT_CHUNKS * warpgroup_chunk_bytes(rows, min) + warpgroup_scale_bytes(rows));
  const uint32_t chunk = block / 2, b = block % 2;
  if (min == WH_MIN_F16) {
    float *sums = (float *)(group + chunk * warpgroup_chunk_bytes(rows, min) + warpgroup_code_bytes(rows));
    sums[b * rows + row] = (float)((halves[0] + halves[1]) * scale);
  } else if (min == WH_MIN_SUB32) {
    store_sum(tail + row * 8 + block, rows * 8, (halves[0] + halves[1]) * scale);
  } else if (min == WH_MIN_SUB16) {
    uint16_t *to = tail + (chunk / 2 * rows + row) * 8 + 4 * b + chunk % 2;
    for (uint32_t h = 0; h < 2; h++) store_sum(to + 2 * h, 2 * rows * 8, halves[h] * scale);
  }
}

/* 32 bytes, zeros where there is no row. */
GPU_FN void load_codes(uint32_t w[8], bool there, uint64_t at) {
  for (uint32_t i = 0; i < 2; i++) {
    gpu_u128 v = {{0, 0, 0, 0}};
    if (there) v = gpu_load128(gpu_at<const uint8_t>(at + i * 16));
    for (uint32_t j = 0; j < 4; j++) w[i * 4 + j] = v.w[j];
  }
}

GPU_KERNEL_FN(pack_rows, gpu_warpgroup_pack_args) {
  const uint32_t row_in = threadIdx.x, rows = blockDim.x, block = blockIdx.x, group = block / 8;
  const gpu_row_tile tile = row_tile_at(a.products, blockIdx.y);
  if (tile.count == 0) return;
  const bool there = row_in < tile.count;
  const uint64_t at = (uint64_t)x_row(a.products, tile, row_in) * a.n_groups * 8 + block;
  const uint32_t chunk_bytes = warpgroup_chunk_bytes(rows, a.min);
  uint8_t *to =
      gpu_at<uint8_t>(a.y + ((uint64_t)blockIdx.y * a.n_groups + group) * warpgroup_group_bytes(rows, a.min));
  uint32_t words[8];
  load_codes(words, there, a.products.x + at * 32);
  const uint32_t t = there ? gpu_at<const uint8_t>(a.products.x_shifts)[at] : 0;
  const uint32_t two_t = (15u + t) << 10 | (15u + t) << 26;
  uint8_t *codes = to + block % 8 / 2 * chunk_bytes + block % 2 * (warpgroup_code_bytes(rows) / 2);
#pragma unroll
  for (uint32_t piece = 0; piece < 4; piece++) { /* step of the block, half of the step */
    gpu_u128 v;                                  /* |q 2^t| <= 1016: exact */
#pragma unroll
    for (uint32_t e = 0; e < 4; e++)
      v.w[e] = gpu_fma_f16x2(gpu_f16x2_of_bytes(words[2 * e + piece % 2], piece / 2), two_t, 0);
    *(gpu_u128 *)(codes + piece * rows * 16 + row_in * 16) = v;
  }
  pack_sums(a.min, to, row_in, block % 8, words, 1 << t);
  if (block % 8 == 0)
    ((float *)(to + GPU_QUANT_CHUNKS * chunk_bytes))[row_in] =
        there ? gpu_at<const float>(a.products.x_scales)[at / 8] : 0.0f;
}

GPU_KERNEL_FN(pack_limbs, gpu_warpgroup_pack_args) {
  const uint32_t row_in = threadIdx.x, block = blockIdx.x, group = block / 4;
  const gpu_row_tile tile = row_tile_at(a.products, blockIdx.y);
  if (tile.count == 0) return;
  const bool there = row_in < tile.count;
  const uint64_t at = (uint64_t)x_row(a.products, tile, row_in) * a.n_groups * 4 + block;
  uint8_t *to = gpu_at<uint8_t>(a.y + ((uint64_t)blockIdx.y * a.n_groups + group) * WARPGROUP_WIDE_BYTES);
  uint8_t *codes = to + block % 4 * (warpgroup_code_bytes(WARPGROUP_ROWS) / 2) + row_in * 16;
#pragma unroll
  for (uint32_t limb = 0; limb < 2; limb++) {
    uint32_t w[8];
    load_codes(w, there, (limb ? a.products.x_low : a.products.x) + at * 32);
    for (uint32_t half = 0; half < 2; half++) {
      const gpu_u128 v = {{w[half], w[2 + half], w[4 + half], w[6 + half]}};
      *(gpu_u128 *)(codes + (limb * 2 + half) * WARPGROUP_ROWS * 16) = v;
    }
  }
  if (block % 4 == 0)
    ((float *)(to + GPU_WIDE_CHUNKS * warpgroup_code_bytes(WARPGROUP_ROWS)))[row_in] =
        there ? gpu_at<const float>(a.products.x_scales)[at / 4] : 0.0f;
}
