/* linear_warpgroup_limbs.h - products of warpgroups with 16-bit weights (docs/NUMERICS.md, "linear, 16-bit
 * weights"): codes of 13 bits as two limbs of int8. One int32 sum serves all four products of limbs, as idot
 * = 2^7 (2^7 sum(h h) + sum(h l) + sum(l h)) + sum(l l): three sums side by side would leave no registers for
 * 128 rows. */
#ifndef WH_GPU_LINEAR_WARPGROUP_LIMBS_H
#define WH_GPU_LINEAR_WARPGROUP_LIMBS_H

#include "backends/gpu/kernels/linear_warpgroup.h"

#if defined(__CUDACC__)

#define LIMB_BLOCKS 4u /* of 32, in a group */

struct warpgroup_limbs {
  static constexpr uint32_t chunk_bytes = GPU_WIDE_CHUNK_BYTES, head_bytes = GPU_WIDE_HEAD_BYTES;
  static constexpr uint32_t group_chunks = GPU_WIDE_CHUNKS, x_group_bytes = WARPGROUP_WIDE_BYTES;
  static constexpr uint32_t stage_bytes = WARPGROUP_WIDE_STAGE_BYTES, rows = WARPGROUP_ROWS;
  static constexpr uint32_t tiles = GPU_TILES, group_stages = 1;
  static constexpr bool splits = false;
  static constexpr uint32_t code_bytes = warpgroup_code_bytes(rows);
  static constexpr uint32_t scales = GPU_WIDE_CHUNKS * code_bytes, heads = x_group_bytes;
  static_assert(stage_bytes % 128 == 0, "matrices of the next stage are aligned");

  float y[64];
  uint32_t dot[64];

  GPU_FN uint32_t tiles_at(const gpu_matrix &m, uint32_t tile) { return gpu_tiles_at(&m, tile); }
  GPU_FN uint32_t stages_of(const gpu_matrix &, uint32_t) { return 1; }

  GPU_METHOD void begin() {
#pragma unroll
    for (uint32_t i = 0; i < 64; i++) y[i] = 0.0f;
  }

  /* One bulk copy of activations, one of the group's heads and records, which are neighbours. */
  GPU_FN void fetch(const gpu_matrix &m, const uint8_t *x, const uint8_t *w, uint32_t tile, uint32_t group,
                    uint32_t, uint8_t *to, uint64_t *full) {
    const uint32_t n_bytes = gpu_tiles_at(&m, tile) * (head_bytes + GPU_WIDE_CHUNKS * chunk_bytes);
    gpu_arrive_expecting(full, x_group_bytes + n_bytes);
    gpu_copy_bulk(to, x + (uint64_t)group * x_group_bytes, x_group_bytes, full);
    gpu_copy_bulk(to + heads, w + gpu_heads_at(&m, tile, group), n_bytes, full);
  }

  /* The products of a limb of the weights and one of the activations, added to dot where ADDS. */
  template <int ADDS>
  GPU_METHOD void add(const uint32_t (&w)[LIMB_BLOCKS][4], const uint8_t *codes) {
    gpu_product_s8<ADDS>(dot, w[0], gpu_matrix_at(codes, rows));
#pragma unroll
    for (uint32_t b = 1; b < LIMB_BLOCKS; b++)
      gpu_product_s8<1>(dot, w[b], gpu_matrix_at(codes + b * (code_bytes / 2), rows));
  }
  GPU_METHOD void shift() {
    gpu_products_commit();
    gpu_products_wait(dot);
#pragma unroll
    for (uint32_t i = 0; i < 64; i++) dot[i] <<= 7;
    gpu_products_begin();
  }

  GPU_METHOD void add_group(const gpu_matrix &, uint32_t group, const warpgroup_ring<warpgroup_limbs> &ring,
                            uint32_t tiles, uint32_t in) {
    gpu_wait_phase(ring.full(group), ring.parity(group));
    const uint8_t *stage = ring.stage(group);
    const uint8_t *low_codes = stage + code_bytes / 4, *head = stage + heads + in * head_bytes;
    uint32_t high[LIMB_BLOCKS][4], low[LIMB_BLOCKS][4];
#pragma unroll
    for (uint32_t b = 0; b < LIMB_BLOCKS; b++) {
      const uint8_t *p = stage + heads + tiles * head_bytes + (b / 2 * tiles + in) * chunk_bytes +
                         b % 2 * 1024 + gpu_lane() * 16;
      const gpu_u128 h = gpu_load128(p), l = gpu_load128(p + 512);
#pragma unroll
      for (uint32_t i = 0; i < 4; i++) high[b][i] = h.w[i], low[b][i] = l.w[i];
    }
    gpu_products_begin();
    add<0>(high, stage);
    shift();
    add<1>(high, low_codes);
    add<1>(low, stage);
    shift();
    add<1>(low, low_codes);
    gpu_products_commit();
    const float w = ((const float *)head)[gpu_lane() / 4 * 2],
                w_8 = ((const float *)head)[gpu_lane() / 4 * 2 + 1];
    const float *s = (const float *)(stage + scales) + gpu_lane() % 4 * 2;
    gpu_products_wait(dot);
#pragma unroll
    for (uint32_t i = 0; i < 64; i++)
      y[i] = fmaf((i / 2 % 2 ? w_8 : w) * s[i / 4 * 8 + i % 2], (float)(int32_t)dot[i], y[i]);
    ring.arrive(ring.empty(group));
  }
};

#endif

#endif
