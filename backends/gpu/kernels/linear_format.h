// clang-format off
/* linear_format.h - how the weights of products lie on the device. For hosts and kernels.
 *
 * One form serves decoding and prompts. A tile has 16 rows (outputs). K runs in chunks of 64, and these in groups
 * that have values in common: 256 for quantised types, 128 for 16-bit ones. Up to 8 tiles are neighbours, so that a
 * chunk of 128 rows is one contiguous piece:
 *
 *   for each 8 tiles (the last may be fewer, T):
 *     for each group:   heads [T]          what the group's chunks have in common
 *                       for each chunk:    records [T]
 *
 * A record is made for the matrix unit's fragments: lane 4 g + t of a warp takes rows g and g + 8 and k = 8 t .. 8 t + 7 of
 * each block of 32. (It takes k in another order than the unit's own, which an exact sum of integers does not show, and
 * so 8 codes of activations are adjacent, too.) Register i of a block's fragment has row g + 8 (i % 2),
 * k = 8 t + 4 (i / 2) ..+3; there are 8 in a chunk, i + 4 b of block b.
 *
 *   codes    8 bits    [2 blocks][32 lanes] 4 registers of int8
 *            4 bits    [32 lanes] 4 words, block b and row g + 8 r at 2 b + r: byte j has k = j and, high, k = 4 + j;
 *                      with a codebook nibble j has k = j
 *            2 bits    [32 lanes] 2 words, one per block: byte j of register i at bits 2 i of byte j
 *            1 bit     [32 lanes] 1 word: byte j of register i at bit i of byte j
 *            5 bits: 4 then 1;  6: 4 then 2;  3: 2 then 1
 *   scales   F16       [8 g][2 rows][2 blocks] fp16; with minima as many of those
 *            E8M0      [8][2][2] u8
 *            SUB32     [8][2][2] int8
 *            SUB16     [8][2][4 halves] int8; SUB16_U4: scale in the low nibble, minimum in the high one
 *   head     SUB*      [8 g][2 rows] fp16 d, or with minima d, dmin
 *            SUB32     with minima: [16 rows][8 blocks] u8
 *
 * 16-bit types: a record is [2 blocks][high, low limb][32 lanes] 4 registers of int8, a head [8][2] f32 scales.
 * Rows past n and k past K hold zeros.
 *
 * F32: tiles of 32 rows, [K / 4][32 rows][4 k]. */
// clang-format on
#ifndef WH_GPU_LINEAR_FORMAT_H
#define WH_GPU_LINEAR_FORMAT_H

#include <stdint.h>

#include "core/base/quant_format.h"

#if defined(__CUDACC__) || defined(__HIPCC__)
#define GPU_CONST_FN static constexpr __host__ __device__ inline
#elif defined(__cplusplus)
#define GPU_CONST_FN static constexpr inline
#else
#define GPU_CONST_FN static inline
#endif

#define GPU_TILE_ROWS 16u
#define GPU_TILES 8u /* that are neighbours */
#define GPU_K_CHUNK 64u
#define GPU_QUANT_CHUNKS 4u /* of a group */
#define GPU_WIDE_CHUNKS 2u
#define GPU_WIDE_CHUNK_BYTES 2048u
#define GPU_WIDE_HEAD_BYTES 64u
#define GPU_F32_ROWS 32u

GPU_CONST_FN uint32_t gpu_code_bytes(int bits) { return (uint32_t)bits * 128u; }
GPU_CONST_FN uint32_t gpu_chunk_bytes(int bits, int scale, int min) {
  return gpu_code_bytes(bits) + (scale == WH_SCALE_F16 ? min == WH_MIN_F16 ? 128u : 64u
                                 : scale == WH_SCALE_E8M0 || scale == WH_SCALE_SUB32 ? 32u
                                                                                     : 64u);
}
GPU_CONST_FN uint32_t gpu_head_bytes(int scale, int min) {
  return scale < WH_SCALE_SUB32 ? 0u : min == WH_MIN_NONE ? 32u : min == WH_MIN_SUB32 ? 192u : 64u;
}

/* Sizes of a packed matrix. */
typedef struct gpu_matrix {
  uint32_t chunk_bytes, head_bytes, group_chunks;
  uint32_t n_tiles, n_chunks, n_groups;
} gpu_matrix;

/* How a packed matrix is read: its sizes, and the choices of its type (core/base/quant_format.h). */
typedef struct gpu_packed_form {
  gpu_matrix matrix;
  int32_t bits; /* of a code; 0: F32, GPU_WIDE_BITS: in two limbs */
  int32_t bias_log2, codebook, scale, min;
} gpu_packed_form;
#define GPU_WIDE_BITS 13

GPU_CONST_FN uint64_t gpu_matrix_tile_bytes(const gpu_matrix *m) {
  return (uint64_t)m->n_chunks * m->chunk_bytes + (uint64_t)m->n_groups * m->head_bytes;
}
/* How many tiles are neighbours of `tile`, itself included. */
GPU_CONST_FN uint32_t gpu_tiles_at(const gpu_matrix *m, uint32_t tile) {
  return m->n_tiles - tile / GPU_TILES * GPU_TILES < GPU_TILES ? m->n_tiles % GPU_TILES : GPU_TILES;
}
/* The heads of `group` of the tiles around `tile`, and the records of its chunk `chunk`. */
GPU_CONST_FN uint64_t gpu_heads_at(const gpu_matrix *m, uint32_t tile, uint32_t group) {
  const uint64_t group_bytes = (uint64_t)m->group_chunks * m->chunk_bytes + m->head_bytes;
  return gpu_matrix_tile_bytes(m) * (tile / GPU_TILES * GPU_TILES) +
         group_bytes * group * gpu_tiles_at(m, tile);
}
GPU_CONST_FN uint64_t gpu_records_at(const gpu_matrix *m, uint32_t tile, uint32_t group, uint32_t chunk) {
  const uint32_t tiles = gpu_tiles_at(m, tile);
  return gpu_heads_at(m, tile, group) + (uint64_t)tiles * m->head_bytes +
         (uint64_t)tiles * chunk * m->chunk_bytes;
}

GPU_CONST_FN gpu_matrix gpu_matrix_of(uint32_t chunk_bytes, uint32_t head_bytes, uint32_t group_chunks,
                                      uint32_t n, uint32_t k) {
  gpu_matrix m = {chunk_bytes, head_bytes, group_chunks, 0, 0, 0};
  m.n_tiles = (n + GPU_TILE_ROWS - 1) / GPU_TILE_ROWS;
  m.n_chunks = (k + GPU_K_CHUNK - 1) / GPU_K_CHUNK;
  m.n_groups = (m.n_chunks + group_chunks - 1) / group_chunks;
  if (group_chunks == GPU_WIDE_CHUNKS) m.n_chunks = m.n_groups * group_chunks; /* as activations are padded */
  return m;
}

#endif
