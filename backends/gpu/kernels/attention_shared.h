/* attention_shared.h - the shared memory and the scratch of attention. For hosts and kernels. */
#ifndef WH_GPU_ATTENTION_SHARED_H
#define WH_GPU_ATTENTION_SHARED_H

#include "backends/gpu/kernels/cache.h"
#include "backends/gpu/kernels/lm_args.h"

/* Floats of a warp's queries: [dim][vectors], or of q8_0 a word for four codes and a scale for 32. */
GPU_BOTH uint32_t attention_query_floats(uint32_t dtype, uint32_t vectors, uint32_t dim) {
  const uint32_t per_vector = dtype == WH_DTYPE_Q8_0 ? dim / GPU_KV_BLOCK * 9 : dim;
  return (per_vector * vectors + 3) / 4 * 4;
}
/* And of those and its probabilities, [64][vectors]. */
GPU_BOTH uint32_t attention_warp_floats(uint32_t dtype, uint32_t vectors, uint32_t dim) {
  return attention_query_floats(dtype, vectors, dim) + GPU_KV_CHUNK * vectors;
}

/* Prompts, over f16 (attention_tile.h): vectors and threads of a block, and floats from one position's
 * probabilities to the next, so that a warp's stores meet all banks. */
#define ATTENTION_TILE_VECTORS 64u
#define ATTENTION_TILE_THREADS 128u
#define ATTENTION_TILE_STRIDE 20u
#define ATTENTION_TILE_DIMS 128u /* of a value, at most */
GPU_BOTH uint64_t attention_tile_bytes(uint64_t dim, uint64_t value_dim) {
  return ATTENTION_TILE_VECTORS * dim * 4 + /* queries */
         ATTENTION_TILE_THREADS / 32 * GPU_KV_CHUNK * ATTENTION_TILE_STRIDE * 4 +
         GPU_KV_CHUNK * 2 * (dim + value_dim);
}

/* The (m, l, o) that a unit leaves for `vector`, row * heads + head. */
typedef struct attention_partial {
  float *o, *ml;
} attention_partial;
GPU_BOTH attention_partial attention_partial_of(const gpu_attention_args a, uint64_t vector, uint32_t unit) {
  const uint64_t n = (uint64_t)a.places.rows * a.heads * a.n_units, at = vector * a.n_units + unit;
  float *base = (float *)(uintptr_t)a.partial;
  attention_partial p;
  p.o = base + at * a.value_dim;
  p.ml = base + n * a.value_dim + at * 2;
  return p;
}

/* Floats that attention_combine has in shared memory: factors of chunks, where units are chunks, and four of
 * each span. */
GPU_BOTH uint64_t attention_combine_floats(uint32_t unit, uint64_t table) {
  return (unit == 1 ? 2 * table : 0) + 4 * ((table + GPU_KV_SPAN - 1) / GPU_KV_SPAN);
}

#endif
