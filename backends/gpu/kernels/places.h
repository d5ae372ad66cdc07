/* places.h - whether a row of kv_append or attention lies within the page table and the state, and the first
 * that does not. */
#ifndef WH_GPU_PLACES_H
#define WH_GPU_PLACES_H

#include "backends/gpu/kernels/cache.h"
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/lm_args.h"

/* Of a row whose position and sequence are in range: its sequence's pages, and what it sees. */
struct gpu_place {
  const int32_t *pages;
  int32_t low, high; /* positions, both visible */
};

GPU_FN int32_t gpu_position(const gpu_places &p, uint64_t row) {
  return gpu_at<const int32_t>(p.positions)[row];
}
GPU_FN int32_t gpu_sequence(const gpu_places &p, uint64_t row) {
  return gpu_at<const int32_t>(p.sequences)[row];
}

/* 0: in range; 1: the position is not; 2: the sequence is not. */
GPU_FN uint32_t gpu_find_place(const gpu_places &p, uint64_t row, gpu_place *out) {
  const int32_t position = gpu_position(p, row), sequence = gpu_sequence(p, row);
  if (position < 0 || (uint64_t)position >= (uint64_t)p.table * GPU_KV_CHUNK) return 1;
  if ((uint32_t)sequence >= p.slots) return 2;
  out->pages = gpu_at<const int32_t>(p.page_table) + (uint64_t)sequence * p.table;
  out->high = position;
  out->low = !p.attends                                       ? position
             : p.window > 0 && (uint32_t)position >= p.window ? position - (int32_t)p.window + 1
                                                              : 0;
  return 0;
}

/* The first of chunks from + k * step, up to `last`, whose page is outside; or `none`. */
GPU_FN uint32_t gpu_page_outside(const gpu_places &p, const int32_t *pages, uint32_t from, uint32_t last,
                                 uint32_t step, uint32_t none) {
  for (uint32_t c = from; c <= last; c += step)
    if ((uint32_t)pages[c] >= p.pages) return c;
  return none;
}

/* By a whole warp: whether all chunks from first to last have pages. */
GPU_FN bool gpu_has_pages(const gpu_places &p, const int32_t *pages, uint32_t first, uint32_t last) {
  const uint32_t none = 0xffffffffu;
  return !gpu_ballot(gpu_page_outside(p, pages, first + gpu_lane(), last, GPU_WARP, none) != none);
}

/* By a whole block, of which every row gets up to a warp's lanes: the first row outside is the launch's
 * fault. In order come rows, and of a row its position, its sequence, its pages. */
GPU_FN void gpu_report_places(const gpu_places &p, uint64_t fault, uint32_t node) {
  __shared__ uint64_t room[32];
  const uint64_t none = ~(uint64_t)0;
  uint64_t first = none;
  uint32_t lanes = GPU_WARP;
  while (lanes > 1 && (uint64_t)p.rows * lanes > blockDim.x) lanes /= 2;
  for (uint64_t row = threadIdx.x / lanes; row < p.rows && first == none; row += blockDim.x / lanes) {
    gpu_place at;
    uint64_t wrong = gpu_find_place(p, row, &at);
    if (!wrong) {
      const uint32_t last = (uint32_t)at.high / GPU_KV_CHUNK,
                     from = (uint32_t)at.low / GPU_KV_CHUNK + threadIdx.x % lanes;
      const uint32_t c = gpu_page_outside(p, at.pages, from, last, lanes, 0xffffffffu);
      if (c != 0xffffffffu) wrong = 3 + (uint64_t)c;
    }
    if (wrong) first = row << 32 | wrong;
  }
  first = gpu_least_of_block(first, room);
  if (threadIdx.x != 0 || first == none) return;
  const uint64_t row = first >> 32, wrong = first & 0xffffffffu;
  int32_t value = wrong == 1 ? gpu_position(p, row) : gpu_sequence(p, row);
  if (wrong > 2) value = gpu_at<const int32_t>(p.page_table)[(uint64_t)value * p.table + (wrong - 3)];
  gpu_report(fault, node, GPU_FAULT_INDEX, value);
}

#endif
