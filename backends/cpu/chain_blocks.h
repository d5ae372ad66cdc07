/* chain_blocks.h - plain steps of a chain over rows in memory, a block of vectors at a time
 * (chain_registers.h): included once by each chain_<isa>.c, which first includes its level's vectors. */
#ifndef WH_CPU_CHAIN_BLOCKS_H
#define WH_CPU_CHAIN_BLOCKS_H

#include "backends/cpu/chain_registers.h"
#include "backends/cpu/whole.h"

#define BLOCK_VECS 8
#define TILE_VECS 2 /* rows of two vectors, as tiles of convolutions of codes have six */
#define TILE_ROWS 6
#define BLOCK_ROWS 4 /* with all vectors together */

/* A piece through all ops, of which the first is a load. */
INLINE void block(const int rows, const int vecs, const bool whole, const wh_chain_op *op,
                  const wh_chain_op *end, const chain_piece *p) {
  vf v[TILE_ROWS * TILE_VECS];
  UNROLL for (int i = 0; i < rows * vecs; i++) v[i] = vf_zero();
  chain_in_registers(rows, vecs, whole, v, op, end, p);
}

/* `rows` rows: as many vectors at a time as there are room and elements for. */
INLINE void run_rows(const int rows, const wh_chain_op *ops, const wh_chain_op *end, chain_piece p,
                     int64_t n) {
  const int most = BLOCK_VECS / rows;
  for (; p.col + most * VF_LANES <= n; p.col += most * VF_LANES) block(rows, most, true, ops, end, &p);
#define REST(vecs)                                             \
  if ((vecs) < most && p.col + (vecs)*VF_LANES <= n) {         \
    block(rows, (vecs) < most ? vecs : 1, true, ops, end, &p); \
    p.col += (vecs)*VF_LANES;                                  \
  }
  REST(4)
  REST(2)
  REST(1)
#undef REST
  p.n = n - p.col;
  if (p.n) block(rows, 1, false, ops, end, &p);
}

static void chain_run(const wh_chain_op *ops, size_t n_ops, const wh_chain_part *part) {
  const wh_chain_op *end = ops + n_ops;
  chain_piece p = {.of = part};
  for (; part->n == TILE_VECS * VF_LANES && p.row + TILE_ROWS <= part->rows; p.row += TILE_ROWS)
    block(TILE_ROWS, TILE_VECS, true, ops, end, &p);
  for (; part->n <= VF_LANES && p.row + BLOCK_VECS <= part->rows; p.row += BLOCK_VECS)
    run_rows(BLOCK_VECS, ops, end, p, part->n);
  for (; p.row + BLOCK_ROWS <= part->rows; p.row += BLOCK_ROWS) run_rows(BLOCK_ROWS, ops, end, p, part->n);
  if (p.row + 2 <= part->rows) {
    run_rows(2, ops, end, p, part->n);
    p.row += 2;
  }
  if (p.row < part->rows) run_rows(1, ops, end, p, part->n);
}

#endif
