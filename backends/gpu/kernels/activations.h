/* activations.h - the device's form of quantised activations (docs/NUMERICS.md, quantize_act and
 * quantize_wide). For hosts and kernels.
 *
 * Rows are padded to whole groups with zeros, so that products need no ends: K is the row's length, `padded`
 * the next multiple of the group. Sections follow each other, each at a multiple of 256 bytes: q8a:  codes
 * int8 [rows][padded]          q, 0 in the padding shifts uint8[rows][padded / 32]     t, 0 in the padding
 *         sums   int16[rows][padded / 32]     (sum of the block's codes) << t: |.| <= 32 * 127 * 8
 *         scales f32  [rows][padded / 256]    S
 *   q13a: high   int8 [rows][padded]          h of code = 128 h + l, -32..31
 *         low    int8 [rows][padded]          l, 0..127
 *         scales f32  [rows][padded / 128]    S */
#ifndef WH_GPU_ACTIVATIONS_H
#define WH_GPU_ACTIVATIONS_H

#include <stdint.h>

#define GPU_Q8A_GROUP 256
#define GPU_Q8A_BLOCK 32
#define GPU_Q13A_BLOCK 128

#if defined(__CUDACC__) || defined(__HIPCC__)
#define GPU_BOTH __host__ __device__ static inline
#else
#define GPU_BOTH static inline
#endif

GPU_BOTH uint64_t gpu_section(uint64_t n_bytes) { return (n_bytes + 255) / 256 * 256; }

/* Offsets of the sections, and the bytes of all. */
typedef struct gpu_q8a {
  uint64_t padded, shifts, sums, scales, n_bytes; /* codes: 0 */
} gpu_q8a;
typedef struct gpu_q13a {
  uint64_t padded, low, scales, n_bytes; /* high: 0 */
} gpu_q13a;

GPU_BOTH gpu_q8a gpu_q8a_of(uint64_t rows, uint64_t k) {
  gpu_q8a f;
  f.padded = (k + GPU_Q8A_GROUP - 1) / GPU_Q8A_GROUP * GPU_Q8A_GROUP;
  f.shifts = gpu_section(rows * f.padded);
  f.sums = f.shifts + gpu_section(rows * (f.padded / GPU_Q8A_BLOCK));
  f.scales = f.sums + gpu_section(rows * (f.padded / GPU_Q8A_BLOCK) * 2);
  f.n_bytes = f.scales + gpu_section(rows * (f.padded / GPU_Q8A_GROUP) * 4);
  return f;
}
GPU_BOTH gpu_q13a gpu_q13a_of(uint64_t rows, uint64_t k) {
  gpu_q13a f;
  f.padded = (k + GPU_Q13A_BLOCK - 1) / GPU_Q13A_BLOCK * GPU_Q13A_BLOCK;
  f.low = gpu_section(rows * f.padded);
  f.scales = 2 * f.low;
  f.n_bytes = f.scales + gpu_section(rows * (f.padded / GPU_Q13A_BLOCK) * 4);
  return f;
}

#endif
