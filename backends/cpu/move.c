/* move.c - see move.h. A move whose source runs along another dimension than its destination goes through
 * tiles of both, so that each line of memory is fetched once. */
#include "backends/cpu/move.h"

#include <string.h>

#include "backends/cpu/whole.h"

#define PIECE_BYTES 4096 /* that a worker takes at a time at least */

typedef struct bytes16 {
  uint64_t low, high;
} bytes16;

#define STRIDED(type) \
  for (int64_t i = 0; i < n; i++) memcpy(dst + i * to, src + i * from, sizeof(type));

void wh_move_elements(size_t size, int64_t n, char *dst, int64_t to, const char *src, int64_t from) {
  const int64_t one = (int64_t)size;
  if (to == one && from == one) {
    memcpy(dst, src, (size_t)n * size);
    return;
  }
  if (to == one && from == 0 && size == 1) {
    memset(dst, *src, (size_t)n);
    return;
  }
  switch (size) {
    case 1:
      STRIDED(uint8_t)
      return;
    case 2:
      STRIDED(uint16_t)
      return;
    case 4:
      STRIDED(uint32_t)
      return;
    case 8:
      STRIDED(uint64_t)
      return;
    default:
      STRIDED(bytes16)
  }
}

/* ---- tiles ---- */

#define TILE 16

/* dst[r * to_row + c * size] = src[r * size + c * from_column] */
#define TILED(type)                                                                  \
  for (int64_t r0 = 0; r0 < rows; r0 += TILE)                                        \
    for (int64_t c0 = 0; c0 < columns; c0 += TILE) {                                 \
      const int64_t r1 = min_i64(r0 + TILE, rows), c1 = min_i64(c0 + TILE, columns); \
      for (int64_t r = r0; r < r1; r++)                                              \
        for (int64_t c = c0; c < c1; c++)                                            \
          memcpy(dst + r * to_row + c * (int64_t)sizeof(type),                       \
                 src + r * (int64_t)sizeof(type) + c * from_column, sizeof(type));   \
    }

static void move_tiled(size_t size, int64_t rows, int64_t columns, char *dst, int64_t to_row, const char *src,
                       int64_t from_column) {
  switch (size) {
    case 1:
      TILED(uint8_t)
      return;
    case 2:
      TILED(uint16_t)
      return;
    case 4:
      TILED(uint32_t)
      return;
    case 8:
      TILED(uint64_t)
      return;
    default:
      TILED(bytes16)
  }
}

/* Puts the dim along which the source is contiguous right before the last, so that the two make planes to be
 * transposed; false: there is none, or it is the last. The order in which elements are moved is free. */
static bool make_planes(wh_nd *nd, int64_t size) {
  const int last = nd->rank - 1;
  int d = last - 1;
  if (nd->stride[WH_MOVE_FROM][last] == size || nd->stride[WH_MOVE_TO][last] != size) return false;
  while (d >= 0 && nd->stride[WH_MOVE_FROM][d] != size) d--;
  if (d < 0 || nd->dims[d] < 4 || nd->dims[last] < 4) return false;
  for (; d < last - 1; d++) {
    const int64_t dim = nd->dims[d];
    nd->dims[d] = nd->dims[d + 1];
    nd->dims[d + 1] = dim;
    for (int o = 0; o < 2; o++) {
      const int64_t stride = nd->stride[o][d];
      nd->stride[o][d] = nd->stride[o][d + 1];
      nd->stride[o][d + 1] = stride;
    }
  }
  return true;
}

/* Units: TILE rows of a plane. */
static void move_planes(wh_move *m, const wh_worker *worker) {
  const int last = m->nd.rank - 1;
  const int64_t rows = m->nd.dims[last - 1], columns = m->nd.dims[last],
                to_row = m->nd.stride[WH_MOVE_TO][last - 1], from_column = m->nd.stride[WH_MOVE_FROM][last],
                per_plane = ceil_div(rows, TILE);
  wh_nd outer = m->nd;
  int64_t begin, end;
  outer.rank = last - 1;
  wh_worker_range(worker, wh_nd_elements(&outer) * per_plane, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const wh_nd_at at = wh_nd_seek(&outer, i / per_plane);
    const int64_t first = i % per_plane * TILE;
    move_tiled(m->size, min_i64(TILE, rows - first), columns, m->to + at.offset[WH_MOVE_TO] + first * to_row,
               to_row, m->from + at.offset[WH_MOVE_FROM] + first * (int64_t)m->size, from_column);
  }
}

void wh_move_run(wh_move *m, const wh_worker *worker) {
  m->nd.n_operands = 2;
  wh_nd_collapse(&m->nd);
  if (make_planes(&m->nd, (int64_t)m->size)) {
    move_planes(m, worker);
    return;
  }
  const int last = m->nd.rank - 1;
  const int64_t total = wh_nd_elements(&m->nd), piece = ceil_div(PIECE_BYTES, (int64_t)m->size);
  int64_t begin, end;
  wh_worker_range(worker, ceil_div(total, piece), &begin, &end);
  begin *= piece;
  end = min_i64(end * piece, total);
  if (begin >= end) return;
  wh_nd_at at = wh_nd_seek(&m->nd, begin);
  for (int64_t i = begin, n; i < end; i += n) {
    n = wh_nd_run(&m->nd, &at, end - i);
    wh_move_elements(m->size, n, m->to + at.offset[WH_MOVE_TO], m->nd.stride[WH_MOVE_TO][last],
                     m->from + at.offset[WH_MOVE_FROM], m->nd.stride[WH_MOVE_FROM][last]);
    wh_nd_advance(&m->nd, &at, n);
  }
}
