/* linear_warpgroup.h - products of many rows for sm_90a: a block of threads has 128 outputs and 128 rows, or
 * 64, two warpgroups of 64 outputs each, and a thread of a third fetches stages of K into a ring in shared
 * memory. Weights are the register operand of wgmma, activations lie in shared memory as pack_rows.cu leaves
 * them. What a stage is, and what is computed of it, says P: linear_warpgroup_q.h, linear_warpgroup_limbs.h.
 */
#ifndef WH_GPU_LINEAR_WARPGROUP_H
#define WH_GPU_LINEAR_WARPGROUP_H

#if defined(__CUDACC__)

#include "backends/gpu/kernels/hopper.h"
#include "backends/gpu/kernels/linear_rows.h"
#include "backends/gpu/kernels/warpgroup_args.h"

/* The stages, and the barriers behind them. */
template <class P>
struct warpgroup_ring {
  static constexpr uint32_t stages = warpgroup_stages(P::stage_bytes);
  static_assert(stages >= 2, "a stage is filled while another is read");

  uint8_t *shared;
  uint32_t at, parity; /* the stage in turn */

  GPU_METHOD uint8_t *place() const { return shared + at * P::stage_bytes; }
  GPU_METHOD uint64_t *full() const { return (uint64_t *)(shared + stages * P::stage_bytes) + at; }
  GPU_METHOD uint64_t *empty() const { return full() + stages; }
  GPU_METHOD void next() {
    if (++at == stages) at = 0, parity ^= 1u;
  }
};

/* Fills stages as they are empty. */
template <class P>
GPU_FN void fetch_stages(const gpu_linear_args &a, const gpu_matrix &m, const uint8_t *w, uint32_t tile,
                         warpgroup_ring<P> ring) {
  const uint8_t *x = gpu_at<const uint8_t>(a.x + (uint64_t)blockIdx.y * m.n_groups * P::x_group_bytes);
  for (uint32_t i = 0; i < P::n_stages(m); i++, ring.next()) {
    gpu_wait_phase(ring.empty(), ring.parity ^ 1u);
    P::fetch(m, x, w, tile, i, ring.place(), ring.full());
  }
}

/* A warp's 16 outputs; of a tile that is not there the last one's, which are not stored: all warps of a
 * warpgroup take part in its products. */
template <class P>
GPU_FN void compute_tile(const gpu_linear_args &a, const gpu_matrix &m, uint32_t tile,
                         warpgroup_ring<P> ring) {
  const uint32_t tiles = gpu_tiles_at(&m, tile), mine = gpu_warp(), in = mine < tiles ? mine : tiles - 1;
  P p;
  p.begin();
#pragma unroll 1
  for (uint32_t i = 0; i < P::n_stages(m); i++, ring.next()) {
    gpu_wait_phase(ring.full(), ring.parity);
    p.compute(m, i, ring.place(), tiles, in);
    gpu_warp_sync();
    if (gpu_lane() == 0) gpu_arrive(ring.empty());
  }
  if (mine >= tiles) return;
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
#pragma unroll
  for (uint32_t j = 0; j < P::rows / 4; j++) {
    const uint32_t row = j / 2 * 8 + gpu_lane() % 4 * 2 + j % 2;
    if (row >= rows.count) continue;
    const uint32_t to = y_row(a, rows, row);
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
      const uint32_t column = (tile + mine) * GPU_TILE_ROWS + gpu_lane() / 4 + 8 * h;
      if (column < matrix.n) store_output(matrix, to, column, p.y[j / 2 * 4 + h * 2 + j % 2]);
    }
  }
}

template <class P>
GPU_FN void linear_warpgroup(const gpu_linear_args &a) {
  typedef warpgroup_ring<P> R;
  extern __shared__ __align__(128) unsigned char gpu_warpgroup_bytes[]; /* warpgroup_shared_bytes */
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_matrix m = gpu_matrix_of(P::chunk_bytes, P::head_bytes, P::group_chunks, matrix.n, a.k);
  const uint32_t tile = (blockIdx.x - matrix.first_block) * GPU_TILES;
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
  if (rows.count == 0) return;
  R ring = {gpu_warpgroup_bytes, 0, 0};
  if (threadIdx.x == 0) {
    for (uint32_t i = 0; i < R::stages; i++) {
      gpu_phase_init(ring.full() + i, 1);
      gpu_phase_init(ring.empty() + i, GPU_TILES);
    }
    gpu_phases_ready();
  }
  gpu_barrier();
  if (gpu_warp() >= GPU_TILES) {
    gpu_fewer_registers<40>();
    if (threadIdx.x == GPU_TILES * GPU_WARP)
      fetch_stages<P>(a, m, gpu_at<const uint8_t>(matrix.w + rows.expert * matrix.expert_bytes), tile, ring);
    gpu_warp_sync();
  } else {
    gpu_more_registers<232>();
    compute_tile<P>(a, m, tile, ring);
  }
}

#define WARPGROUP_KERNEL(name, ...)                                                      \
  GPU_WARPGROUP_KERNEL_FN(linear_warpgroup_##name, gpu_linear_args, WARPGROUP_THREADS) { \
    linear_warpgroup<__VA_ARGS__>(a);                                                    \
  }
#else
#define WARPGROUP_KERNEL(...) /* never launched: the device is not sm_90a */
#endif

#endif
