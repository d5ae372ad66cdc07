/* cache.h - the device's form of key and value states, and where rows stand in them (docs/NUMERICS.md,
 * "attention"). For hosts and kernels.
 *
 * A state is [pages][heads] tiles of 64 positions; a tile is one run of bytes.
 *   keys, f32 and f16: [dim / U][64][U], U elements being 16 bytes; the last U filled up
 *   values, f32 and f16: [64][dim]
 *   q8_0, of each 32 dims one after the other: f16 scale [64], then codes int8: keys [2][64][16], values
 *   [64][32]
 * So a warp whose lanes are positions reads keys, and one whose lanes are dims values, in whole lines. */
#ifndef WH_GPU_CACHE_H
#define WH_GPU_CACHE_H

#include "backends/gpu/kernels/activations.h"
#include "whimbrel/tensor.h"

#define GPU_KV_CHUNK 64 /* positions of a page */
#define GPU_KV_SPAN 16  /* chunks */
#define GPU_KV_BLOCK 32
#define GPU_KV_BLOCK_BYTES (GPU_KV_CHUNK * 2 + GPU_KV_CHUNK * GPU_KV_BLOCK)

/* Dimensions of a key that lie together. */
GPU_BOTH uint32_t gpu_key_unit(uint32_t dtype) { return dtype == WH_DTYPE_F16 ? 8 : 4; }

/* Bytes of a tile. */
GPU_BOTH uint64_t gpu_cache_tile_bytes(uint32_t dtype, bool is_key, uint64_t dim) {
  const uint64_t unit = gpu_key_unit(dtype);
  if (dtype == WH_DTYPE_Q8_0) return dim / GPU_KV_BLOCK * GPU_KV_BLOCK_BYTES;
  return is_key ? (dim + unit - 1) / unit * GPU_KV_CHUNK * 16 : GPU_KV_CHUNK * dim * (16 / unit);
}

/* Of an element within its tile; of q8_0 that of its code, whose block begins at d / 32 *
 * GPU_KV_BLOCK_BYTES. */
GPU_BOTH uint64_t gpu_cache_offset(uint32_t dtype, bool is_key, uint64_t dim, uint64_t j, uint64_t d) {
  const uint64_t unit = gpu_key_unit(dtype), size = 16 / unit, rest = d % GPU_KV_BLOCK;
  if (dtype == WH_DTYPE_Q8_0)
    return d / GPU_KV_BLOCK * GPU_KV_BLOCK_BYTES + GPU_KV_CHUNK * 2 +
           (is_key ? (rest / 16 * GPU_KV_CHUNK + j) * 16 + rest % 16 : j * GPU_KV_BLOCK + rest);
  return (is_key ? (d / unit * GPU_KV_CHUNK + j) * unit + d % unit : j * dim + d) * size;
}

#endif
