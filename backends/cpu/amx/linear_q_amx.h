/* linear_q_amx.h - one panel of 32 outputs times 16 to 64 rows on the tiles of AMX: the template of the
 * kernels for quantised weights. A kernel file includes this, then instantiates WH_LINEAR_Q_AMX for its
 * types.
 *
 * A tile product is a block (32 of k, or a half of 16 where halves have scales) of 16 rows and 16 outputs:
 * its exact int32 sums go to memory and come back as vectors, lanes being outputs, for the fp32 steps of
 * docs/NUMERICS.md. The codes of a group of 256 are widened once for all rows. While the vectors fold four
 * tile products, the tile unit makes the next four. Rows that are not whole tiles are covered by a last tile
 * that overlaps the one before it; fewer rows than a tile are left to AVX-512 VNNI, as is decoding. */
#ifndef WH_CPU_LINEAR_Q_AMX_H
#define WH_CPU_LINEAR_Q_AMX_H

#define WH_LINEAR_Q_VNNI 1 /* for the sums of minima */
#define CODES_ARE_SIGNED 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/amx/amx_tile.h"
#include "backends/cpu/linear_q_dots.h"

#define SIDES (COLS / AMX_COLS) /* tiles side by side in a panel */
#define TILES_MAX (WH_Q8A_TILE / AMX_ROWS)
#define PARTS 4 /* tile products of a step */
#define STEP_BLOCKS(f) (PARTS / HALVES(f))
#define CODE_BYTES (COLS * 32) /* of a block, widened: [8 quads][32 columns][4] */
#define TILE_SUMS (AMX_ROWS * AMX_COLS)
_Static_assert(AMX_COLS == LANES, "a row of a tile is a vector");

/* What a panel call keeps: codes and scales of a group, sums of two steps, results. */
typedef struct amx_work {
  _Alignas(64) int8_t codes[WH_LINEAR_Q_GROUP_BLOCKS * CODE_BYTES];
  _Alignas(64) int32_t sums[2][PARTS * TILE_SUMS];
  _Alignas(64) float y[TILES_MAX][AMX_ROWS * COLS];
  _Alignas(64) float scale[16 * COLS], min[8 * COLS];
} amx_work;

/* The codes of a block as signed bytes. */
ALWAYS_INLINE void widen_block(const wh_quant_format f, const uint8_t *record, int8_t *codes) {
  UNROLL for (int i = 0; i < QUADS; i++) UNROLL for (int v = 0; v < SIDES; v++) {
    const vint w = widen_one(f, record, i, v);
    _mm512_store_si512(codes + (i * SIDES + v) * VEC_BYTES,
                       IS_BIASED(f) ? vint_add8(w, vint_set8(-(1 << f.bias_log2))) : w);
  }
}

/* A step: up to four blocks or halves of one tile of rows and one side of the panel. `x`: the codes of the
 * first row and block, `x_block` bytes to the next block. */
ALWAYS_INLINE void multiply(const wh_quant_format f, const int8_t *x, const size_t x_block,
                            const int8_t *codes, const int parts, int32_t *sums) {
#define PRODUCT(i, sum, a, b)                                              \
  if (parts > (i)) {                                                       \
    AMX_LOAD(a, x + (i) / HALVES(f) * x_block + (i) % HALVES(f) * 16, 32); \
    AMX_LOAD(b, codes + (i) * (CODE_BYTES / HALVES(f)), COLS * 4);         \
    AMX_ZERO(sum);                                                         \
    AMX_DOT(sum, a, b);                                                    \
  }
  PRODUCT(0, 0, 4, 6)
  PRODUCT(1, 1, 5, 7)
  PRODUCT(2, 2, 4, 6)
  PRODUCT(3, 3, 5, 7)
#undef PRODUCT
  AMX_STORE(0, sums, AMX_ROW_BYTES);
  if (parts > 1) AMX_STORE(1, sums + TILE_SUMS, AMX_ROW_BYTES);
  if (parts > 2) AMX_STORE(2, sums + 2 * TILE_SUMS, AMX_ROW_BYTES);
  if (parts > 3) AMX_STORE(3, sums + 3 * TILE_SUMS, AMX_ROW_BYTES);
}

/* The block step for a tile's rows: g after one more block, whose sums lie in `sums`. */
ALWAYS_INLINE void fold_block(const wh_quant_format f, const int32_t *sums, const block_x x,
                              const float *scale, const float *min, vflt g[AMX_ROWS]) {
  for (int h = 0; h < HALVES(f); h++) {
    const vflt s = vflt_load(scale + h * COLS);
    UNROLL for (int r = 0; r < AMX_ROWS; r++) {
      const vint dot = vint_load(sums + h * TILE_SUMS + r * AMX_COLS);
      g[r] = vflt_fma(s, vflt_from_int(vint_shlv32(dot, vint_bcast32(x.t + r))), g[r]);
    }
  }
  if (f.min == WH_MIN_F16) {
    const vflt m = vflt_load(min);
    UNROLL for (int r = 0; r < AMX_ROWS; r++) g[r] = vflt_fma(m, vflt_bcast(x.fbsum + r), g[r]);
  }
}

/* The group step, of columns from c on. */
ALWAYS_INLINE void fold_minima(const wh_quant_format f, const uint8_t *header, const uint8_t *mins,
                               const int c, const int16_t *jsum, vflt g[AMX_ROWS]) {
  const int pairs = MIN_PAIRS(f);
  const vflt dmin = vflt_from_f16(header + 64 + c * 2);
  vint mn[8];
  UNROLL for (int i = 0; i < pairs; i++) mn[i] = min_pairs(f, mins, i, c);
  UNROLL for (int r = 0; r < AMX_ROWS; r++) {
    vint j = vint_zero();
    UNROLL for (int i = 0; i < pairs; i++) j = vint_dot16(j, mn[i], vint_bcast32(jsum + (r * pairs + i) * 2));
    g[r] = vflt_fnma(dmin, vflt_from_int(j), g[r]);
  }
}

/* One group of a panel: its weights, and the activations of the call's first row. */
typedef struct amx_group {
  const uint8_t *header, *mins;
  int blocks;
  bool is_first;
  block_x x;
  int64_t x_rows; /* from a block to the next */
  const int16_t *jsum;
  const float *x_scale;
} amx_group;

/* A step's place in a group. */
typedef struct amx_place {
  int tile, side, block;
} amx_place;

ALWAYS_INLINE int64_t first_row(const int tile, const int64_t rows) {
  const int64_t row = tile * AMX_ROWS;
  return row + AMX_ROWS > rows ? rows - AMX_ROWS : row;
}

ALWAYS_INLINE void multiply_at(const wh_quant_format f, amx_work *w, const amx_group *g, const amx_place at,
                               const int64_t rows, int32_t *sums) {
  const int left = (g->blocks - at.block) * HALVES(f);
  const int8_t *x = g->x.q + (at.block * g->x_rows + first_row(at.tile, rows)) * 32;
  const int8_t *codes = w->codes + at.block * CODE_BYTES + at.side * VEC_BYTES;
  const size_t x_block = (size_t)g->x_rows * 32;
  if (left >= PARTS)
    multiply(f, x, x_block, codes, PARTS, sums);
  else
    multiply(f, x, x_block, codes, left, sums);
}

ALWAYS_INLINE amx_place next_place(const wh_quant_format f, amx_place at, const int blocks) {
  at.block += STEP_BLOCKS(f);
  if (at.block >= blocks) at.block = 0, at.side++;
  if (at.side == SIDES) at.side = 0, at.tile++;
  return at;
}

/* y of all rows after one more group, whose codes and scales are widened. */
ALWAYS_INLINE void group(const wh_quant_format f, amx_work *w, const amx_group *a, const int64_t rows) {
  const int tiles = (int)((rows + AMX_ROWS - 1) / AMX_ROWS);
  amx_place next = {0};
  int turn = 0;
  multiply_at(f, w, a, next, rows, w->sums[0]);
  next = next_place(f, next, a->blocks);
  for (int tile = 0; tile < tiles; tile++) {
    const int64_t row = first_row(tile, rows);
    for (int c = 0; c < COLS; c += AMX_COLS) {
      vflt g[AMX_ROWS];
      UNROLL for (int r = 0; r < AMX_ROWS; r++) g[r] = vflt_zero();
      for (int block = 0; block < a->blocks; block += STEP_BLOCKS(f)) {
        if (next.tile < tiles) multiply_at(f, w, a, next, rows, w->sums[!turn]);
        next = next_place(f, next, a->blocks);
        const int end = block + STEP_BLOCKS(f) < a->blocks ? block + STEP_BLOCKS(f) : a->blocks;
        const int32_t *sums = w->sums[turn];
        for (int b = block; b < end; b++, sums += HALVES(f) * TILE_SUMS)
          fold_block(f, sums, block_x_skip(a->x, b * a->x_rows + row), w->scale + b * HALVES(f) * COLS + c,
                     w->min + b * COLS + c, g);
        turn = !turn;
      }
      if (wh_linear_q_min_bytes(f) > 0)
        fold_minima(f, a->header, a->mins, c, a->jsum + row * MIN_PAIRS(f) * 2, g);
      float *y = w->y[tile] + c;
      UNROLL for (int r = 0; r < AMX_ROWS; r++) {
        const vflt before = a->is_first ? vflt_zero() : vflt_load(y + r * COLS);
        vflt_store(y + r * COLS, vflt_fma(vflt_bcast(a->x_scale + row + r), g[r], before));
      }
    }
  }
}

/* rows >= AMX_ROWS */
ALWAYS_INLINE void panel_amx(const wh_quant_format f, const wh_linear_q_panel *p) {
  amx_work work;
  const wh_q8a_tile *t = p->x;
  const int64_t rows = p->n_rows;
  const uint8_t *w = p->w;
  amx_group a = {.is_first = true,
                 .x = panel_x(p),
                 .x_rows = t->rows,
                 .jsum = panel_jsum(f, p),
                 .x_scale = t->scale + p->row};
  for (int64_t left = p->n_blocks; left > 0; left -= WH_LINEAR_Q_GROUP_BLOCKS) {
    a.blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
    a.header = w;
    prefetch(w + wh_linear_q_group_bytes(f, a.blocks), wh_linear_q_group_bytes(f, a.blocks));
    widen_scales(f, w, a.blocks, work.scale, work.min);
    w += wh_linear_q_scale_bytes(f, a.blocks);
    for (int b = 0; b < a.blocks; b++, w += wh_linear_q_code_bytes(f))
      widen_block(f, w, work.codes + b * CODE_BYTES);
    a.mins = w;
    w += wh_linear_q_min_bytes(f);
    if (left <= WH_LINEAR_Q_GROUP_BLOCKS)
      for (int b = 0; b < 4; b++) prefetch_rows(p, b);
    group(f, &work, &a, rows);
    a.x = block_x_skip(a.x, a.blocks * t->rows);
    a.jsum += t->rows * MIN_PAIRS(f) * 2;
    a.x_scale += t->rows;
    a.is_first = false;
  }
  for (int64_t r = 0; r < rows; r++) {
    const int tile = (int)(r / AMX_ROWS);
    const float *y = work.y[tile] + (r - first_row(tile, rows)) * COLS;
    UNROLL for (int c = 0; c < COLS; c += LANES) store_cols(p, r, c, vflt_load(y + c));
  }
}

static const amx_shapes blocks_of_32 = AMX_SHAPES(32), halves_of_16 = AMX_SHAPES(16);

/* The kernel: tiles for this worker, where there are rows for them. */
#define WH_LINEAR_Q_AMX(lower)                                                                 \
  void wh_p_linear_##lower##__avx512vnni(const wh_linear_q_panel *p);                          \
  static void panel_##lower(const wh_linear_q_panel *p) {                                      \
    if (p->n_rows < AMX_ROWS)                                                                  \
      wh_p_linear_##lower##__avx512vnni(p);                                                    \
    else                                                                                       \
      panel_amx(wh_quant_format_##lower, p);                                                   \
  }                                                                                            \
  void wh_k_linear_##lower##__amxint8(const wh_linear_q_args *args, const wh_worker *worker) { \
    if (args->m < AMX_ROWS) {                                                                  \
      wh_k_linear_##lower##__avx512vnni(args, worker);                                         \
      return;                                                                                  \
    }                                                                                          \
    amx_take(HALVES(wh_quant_format_##lower) == 2 ? &halves_of_16 : &blocks_of_32);            \
    wh_linear_q_run(args, worker, panel_##lower);                                              \
    amx_release();                                                                             \
  }

#endif
