/* move.c - see move.h. A move whose source runs along another dimension than its destination goes through
 * tiles of both, so that each line of memory is fetched once. Short rows, such as the repetitions of an
 * element, are written several at a time. */
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

#define TILE 8    /* rows of the destination: as many lines as a first-level cache keeps of any stride; */
#define TALL 16   /* of 4 bytes and most strides: as many as a line of the source has */
#define ACROSS 16 /* columns of it */

/* dst[r * to_row + c * size] = src[r * size + c * from_column], one by one */
#define TILED(type)                                                                    \
  for (int64_t r0 = 0; r0 < rows; r0 += TILE)                                          \
    for (int64_t c0 = 0; c0 < columns; c0 += ACROSS) {                                 \
      const int64_t r1 = min_i64(r0 + TILE, rows), c1 = min_i64(c0 + ACROSS, columns); \
      for (int64_t r = r0; r < r1; r++)                                                \
        for (int64_t c = c0; c < c1; c++)                                              \
          memcpy(dst + r * to_row + c * (int64_t)sizeof(type),                         \
                 src + r * (int64_t)sizeof(type) + c * from_column, sizeof(type));     \
    }

/* Vectors as the compilers of GNU C know them, for any processor. */
typedef uint32_t u32x4 __attribute__((vector_size(16)));

/* 4 rows x 4 columns of 4 bytes. Two rounds of interleaving line i with line i + 2 transpose. */
static inline void transpose4(char *dst, int64_t to_row, const char *src, int64_t from_column) {
  u32x4 a[4], b[4];
  for (int i = 0; i < 4; i++) memcpy(&a[i], src + i * from_column, sizeof a[i]);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 2; i++) {
      b[2 * i] = __builtin_shufflevector(a[i], a[i + 2], 0, 4, 1, 5);
      b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 6, 3, 7);
    }
    memcpy(a, b, sizeof a);
  }
  for (int i = 0; i < 4; i++) memcpy(dst + i * to_row, &a[i], sizeof a[i]);
}

static void tiled4(int64_t rows, int64_t columns, char *dst, int64_t to_row, const char *src,
                   int64_t from_column) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t c = 0; c < whole_columns; c += 4)
    for (int64_t r = 0; r < whole_rows; r += 4)
      transpose4(dst + r * to_row + c * 4, to_row, src + r * 4 + c * from_column, from_column);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; c++)
      memcpy(dst + r * to_row + c * 4, src + r * 4 + c * from_column, 4);
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
      tiled4(rows, columns, dst, to_row, src, from_column);
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

/* Units: rows of a plane, whose columns go by in one pass. */
static void move_planes(wh_move *m, const wh_worker *worker) {
  const int last = m->nd.rank - 1;
  const int64_t rows = m->nd.dims[last - 1], columns = m->nd.dims[last],
                to_row = m->nd.stride[WH_MOVE_TO][last - 1], from_column = m->nd.stride[WH_MOVE_FROM][last],
                unit = m->size == 4 && to_row % 2048 ? TALL : TILE, per_plane = ceil_div(rows, unit);
  wh_nd outer = m->nd;
  int64_t begin, end;
  outer.rank = last - 1;
  wh_worker_range(worker, wh_nd_elements(&outer) * per_plane, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const wh_nd_at at = wh_nd_seek(&outer, i / per_plane);
    const int64_t first = i % per_plane * unit;
    move_tiled(m->size, min_i64(unit, rows - first), columns, m->to + at.offset[WH_MOVE_TO] + first * to_row,
               to_row, m->from + at.offset[WH_MOVE_FROM] + first * (int64_t)m->size, from_column);
  }
}

/* ---- short rows ---- */

#define SHORT 16 /* elements; longer rows are runs of their own */

#define ROWS(type)                   \
  for (int64_t i = 0; i < rows; i++) \
    for (int64_t k = 0; k < n; k++)  \
      memcpy(dst + i * to_row + k * to, src + i * from_row + k * from, sizeof(type));

/* dst[i * to_row + k * to] = src[i * from_row + k * from] for k < n */
static void move_rows(size_t size, int64_t rows, int64_t n, char *dst, int64_t to_row, int64_t to,
                      const char *src, int64_t from_row, int64_t from) {
  if (size == 4 && n == 2 && to_row == 8 && to == 4 && from_row == 4 && from == 0)
    for (; rows >= 4; rows -= 4, src += 16, dst += 32) {
      u32x4 x, y[2];
      memcpy(&x, src, sizeof x);
      y[0] = __builtin_shufflevector(x, x, 0, 0, 1, 1);
      y[1] = __builtin_shufflevector(x, x, 2, 2, 3, 3);
      memcpy(dst, y, sizeof y);
    }
  switch (size) {
    case 1:
      ROWS(uint8_t)
      return;
    case 2:
      ROWS(uint16_t)
      return;
    case 4:
      ROWS(uint32_t)
      return;
    case 8:
      ROWS(uint64_t)
      return;
    default:
      ROWS(bytes16)
  }
}

/* Runs of 2, 4, 8 or 16 bytes are elements. */
static void widen_elements(wh_move *m) {
  const int last = m->nd.rank - 1;
  const int64_t size = (int64_t)m->size, bytes = size * m->nd.dims[last];
  if (last == 0 || m->nd.stride[WH_MOVE_TO][last] != size || m->nd.stride[WH_MOVE_FROM][last] != size ||
      bytes > 16 || (bytes & (bytes - 1)))
    return;
  m->size = (size_t)bytes;
  m->nd.rank = last;
}

void wh_move_run(wh_move *m, const wh_worker *worker) {
  m->nd.n_operands = 2;
  if (!wh_nd_elements(&m->nd)) return;
  wh_nd_collapse(&m->nd);
  widen_elements(m);
  if (make_planes(&m->nd, (int64_t)m->size)) {
    move_planes(m, worker);
    return;
  }
  wh_nd rows = m->nd; /* a walk over what is moved at once: elements of a row, or short rows */
  const int last = m->nd.rank - 1;
  const bool in_rows = last > 0 && m->nd.dims[last] < SHORT;
  const int64_t n_row = in_rows ? m->nd.dims[last] : 1, to = m->nd.stride[WH_MOVE_TO][last],
                from = m->nd.stride[WH_MOVE_FROM][last];
  rows.rank -= in_rows;
  const int64_t total = wh_nd_elements(&rows), piece = ceil_div(PIECE_BYTES, (int64_t)m->size * n_row),
                to_row = rows.stride[WH_MOVE_TO][rows.rank - 1],
                from_row = rows.stride[WH_MOVE_FROM][rows.rank - 1];
  int64_t begin, end;
  wh_worker_range(worker, ceil_div(total, piece), &begin, &end);
  begin *= piece;
  end = min_i64(end * piece, total);
  if (begin >= end) return;
  wh_nd_at at = wh_nd_seek(&rows, begin);
  for (int64_t i = begin, n; i < end; i += n) {
    n = wh_nd_run(&rows, &at, end - i);
    char *const dst = m->to + at.offset[WH_MOVE_TO];
    const char *const src = m->from + at.offset[WH_MOVE_FROM];
    if (in_rows)
      move_rows(m->size, n, n_row, dst, to_row, to, src, from_row, from);
    else
      wh_move_elements(m->size, n, dst, to, src, from);
    wh_nd_advance(&rows, &at, n);
  }
}
