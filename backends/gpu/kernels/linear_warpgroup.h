/* linear_warpgroup.h - products of many rows for sm_90a: a block of threads has 128 outputs and 128 rows, or
 * 64, two warpgroups of 64 outputs each, and a thread of a third fetches stages of K into a ring in shared
 * memory. Weights are the register operand of wgmma, activations lie in shared memory as pack_rows.cu leaves
 * them. What a stage is, and what is computed of it, says P: linear_warpgroup_q.h, linear_warpgroup_limbs.h.
 *
 * Where 128 outputs a block would leave processors idle, it has 64 (P::splits): both warpgroups have the same
 * outputs, one the even groups of K, the other the odd ones. Groups do not depend on each other but in the
 * sum over them, and that goes to and fro between the two, group by group in the order of K. */
#ifndef WH_GPU_LINEAR_WARPGROUP_H
#define WH_GPU_LINEAR_WARPGROUP_H

#if defined(__CUDACC__)

#include "backends/gpu/kernels/hopper.h"
#include "backends/gpu/kernels/linear_rows.h"
#include "backends/gpu/kernels/warpgroup_args.h"

struct alignas(16) warpgroup_sums {
  float f[4];
};

/* The stages of two groups, the even and the odd ones; two barriers for each stage; with P::splits two for
 * each warp of a warpgroup, and the sum that goes to and fro. */
template <class P>
struct warpgroup_ring {
  static constexpr uint32_t each = P::group_stages, stages = 2 * each;

  uint8_t *shared;

  GPU_METHOD uint8_t *stage(uint32_t group) const { return shared + group % 2 * (each * P::stage_bytes); }
  GPU_METHOD uint64_t *full(uint32_t group) const {
    return (uint64_t *)(shared + stages * P::stage_bytes) + group % 2 * each;
  }
  GPU_METHOD uint64_t *empty(uint32_t group) const { return full(group) + stages; }
  /* Of a group's phases; waiting for room a group looks for the phase before. */
  GPU_METHOD uint32_t parity(uint32_t group) const { return group / 2 % 2; }

  /* Behind this group, of this warp. */
  GPU_METHOD uint64_t *passed(uint32_t group) const {
    return full(0) + 2 * stages + group % 2 * WARPGROUP_WARPS + gpu_warp() % WARPGROUP_WARPS;
  }
  GPU_METHOD warpgroup_sums *sum() const {
    return (warpgroup_sums *)(shared + warpgroup_ring_bytes(P::stage_bytes, stages)) +
           threadIdx.x % WARPGROUP_LANES;
  }

  GPU_METHOD void begin() const {
    for (uint32_t i = 0; i < stages; i++) {
      gpu_phase_init(full(0) + i, 1);
      gpu_phase_init(empty(0) + i, P::splits ? WARPGROUP_WARPS : 2 * WARPGROUP_WARPS);
    }
    for (uint32_t i = 0; P::splits && i < 2 * WARPGROUP_WARPS; i++)
      gpu_phase_init(full(0) + 2 * stages + i, 1);
    gpu_phases_ready();
  }
  /* By all lanes of a warp, which is done with what the barrier is of. */
  GPU_METHOD void arrive(uint64_t *barrier) const {
    gpu_warp_sync();
    if (gpu_lane() == 0) gpu_arrive(barrier);
  }

  /* y up to the group before, which the other warpgroup has. */
  template <uint32_t N>
  GPU_METHOD void take(uint32_t group, float (&y)[N]) const {
    gpu_wait_phase(passed(group + 1), parity(group - 1));
#pragma unroll
    for (uint32_t i = 0; i < N; i++) y[i] = sum()[i / 4 * WARPGROUP_LANES].f[i % 4];
  }
  template <uint32_t N>
  GPU_METHOD void pass(uint32_t group, const float (&y)[N]) const {
#pragma unroll
    for (uint32_t i = 0; i < N; i += 4)
      sum()[i / 4 * WARPGROUP_LANES] = {{y[i], y[i + 1], y[i + 2], y[i + 3]}};
    arrive(passed(group));
  }
};

/* Fills stages as they are empty. */
template <class P>
GPU_FN void fetch_stages(const gpu_linear_args &a, const gpu_matrix &m, const uint8_t *w, uint32_t tile,
                         const warpgroup_ring<P> &ring) {
  const uint8_t *x = gpu_at<const uint8_t>(a.x + (uint64_t)blockIdx.y * m.n_groups * P::x_group_bytes);
  for (uint32_t group = 0; group < m.n_groups; group++)
    for (uint32_t i = 0; i < P::stages_of(m, group); i++) {
      gpu_wait_phase(ring.empty(group) + i, ring.parity(group) ^ 1u);
      P::fetch(m, x, w, tile, group, i, ring.stage(group) + i * P::stage_bytes, ring.full(group) + i);
    }
}

/* A thread's results, of rows of y by twos: outputs `column` and 8 further. */
template <class P>
GPU_FN void store_tile(const gpu_linear_args &a, uint32_t column, const P &p) {
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
#pragma unroll
  for (uint32_t j = 0; j < P::rows / 4; j++) {
    const uint32_t row = j / 2 * 8 + gpu_lane() % 4 * 2 + j % 2;
    if (row >= rows.count) continue;
    const uint32_t to = y_row(a, rows, row);
#pragma unroll
    for (uint32_t h = 0; h < 2; h++)
      if (column + 8 * h < matrix.n) store_output(matrix, to, column + 8 * h, p.y[j / 2 * 4 + h * 2 + j % 2]);
  }
}

/* A warp's 16 outputs; of a tile that is not there the last one's, which are not stored: all warps of a
 * warpgroup take part in its products. */
template <class P>
GPU_FN void compute_tile(const gpu_linear_args &a, const gpu_matrix &m, uint32_t tile,
                         const warpgroup_ring<P> &ring) {
  const uint32_t tiles = P::tiles_at(m, tile), mine = gpu_warp() % P::tiles,
                 in = mine < tiles ? mine : tiles - 1, first = P::splits ? gpu_warp() / WARPGROUP_WARPS : 0;
  P p;
  p.begin();
#pragma unroll 1
  for (uint32_t group = first; group < m.n_groups; group += P::splits ? 2 : 1)
    p.add_group(m, group, ring, tiles, in);
  if (mine < tiles && (!P::splits || (m.n_groups - 1) % 2 == first))
    store_tile(a, (tile + mine) * GPU_TILE_ROWS + gpu_lane() / 4, p);
}

template <class P>
GPU_FN void linear_warpgroup(const gpu_linear_args &a) {
  extern __shared__ __align__(128) unsigned char gpu_warpgroup_bytes[]; /* a warpgroup_ring */
  const gpu_linear_matrix matrix = matrix_of_block(a);
  const gpu_matrix m = gpu_matrix_of(P::chunk_bytes, P::head_bytes, P::group_chunks, matrix.n, a.k);
  const uint32_t tile = (blockIdx.x - matrix.first_block) * P::tiles;
  const gpu_row_tile rows = row_tile_at(a, blockIdx.y);
  if (rows.count == 0) return;
  const warpgroup_ring<P> ring = {gpu_warpgroup_bytes};
  if (threadIdx.x == 0) ring.begin();
  gpu_barrier();
  if (threadIdx.x >= 2 * WARPGROUP_LANES) {
    gpu_fewer_registers<40>();
    if (threadIdx.x == 2 * WARPGROUP_LANES)
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
