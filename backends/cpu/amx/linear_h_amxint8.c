/* linear_h_amxint8.c - products with 16-bit weights on the tiles of AMX: one panel of 32 outputs times 16 to
 * 64 rows.
 *
 * A code of 13 bits is 128 * high + low with high in -32..31 and low in 0..127, and a dot of codes is
 * 2^14 sum(high * high) + 2^7 (sum(high * low) + sum(low * high)) + sum(low * low), each sum a tile product
 * with exact int32 sums. Limbs lie in quads of k for the tile unit; within a quad the order is 0, 2, 1, 3 on
 * both sides, which spares a shuffle. The team splits the activations into limbs before the product (in its
 * scratch), each panel call its weights, a block at a time. As with quantised weights (linear_q_amx.h),
 * vectors fold the sums of one tile while the next is made, a last tile may overlap the one before it, and
 * fewer rows are left to VNNI. */
#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/amx/amx_tile.h"
#include "backends/cpu/linear_h_format.h"
#include "backends/cpu/linear_h_store.h"
#include "backends/cpu/whole.h"

#define CHUNKS 2 /* of 64 of k in a block */
#define CHUNK_QUADS 16
#define SIDES (COLS / AMX_COLS)
#define TILES_MAX (WH_Q13A_TILE / AMX_ROWS)
#define TILE_SUMS (AMX_ROWS * AMX_COLS)
#define ROW_LIMBS WH_LINEAR_H_LIMB_BYTES /* of a row's block: high limbs, low limbs */
_Static_assert(AMX_COLS == LANES, "a row of a tile is a vector");
_Static_assert(WH_Q13A_BLOCK == CHUNKS * CHUNK_QUADS * 4, "a block is whole chunks");

/* The limbs of 64 codes in quads: a holds the first two of each quad, b the others. */
typedef struct limbs {
  vint high, low;
} limbs;

ALWAYS_INLINE limbs split(const vint a, const vint b) {
  const vint first = vint_set16(0x00ff);
  const vint high = _mm512_srai_epi16(a, 7), low = _mm512_slli_epi16(b, 8);
  return (limbs){_mm512_ternarylogic_epi32(first, high, vint_shl16(b, 1), 0xca), /* first ? high : b */
                 vint_and(_mm512_ternarylogic_epi32(first, a, low, 0xca), vint_set8(127))};
}

/* This worker's rows of activations, a tile of rows at a time: `to` is laid out as the codes are, and as
 * large. */
static void split_activations(const wh_linear_q_args *a, const wh_worker *worker, int8_t *to) {
  const int64_t k = a->layout->k, n_blocks = (int64_t)wh_q13a_blocks(k),
                n_tiles = ceil_div(a->m, WH_Q13A_TILE);
  const vint even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const vint odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
  int64_t begin, end;
  wh_worker_range(worker, n_tiles * n_blocks, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const wh_q13a_tile t = wh_q13a_tile_at(a->x, a->m, k, i / n_blocks);
    const int64_t at = i % n_blocks * t.rows;
    int8_t *dst = to + (i / n_blocks * WH_Q13A_TILE * n_blocks + at) * ROW_LIMBS;
    for (int64_t r = 0; r < t.rows; r++, dst += ROW_LIMBS)
      for (int c = 0; c < CHUNKS; c++) {
        const int16_t *q = t.q + (at + r) * WH_Q13A_BLOCK + c * 64;
        const vint v = vint_load(q), w = vint_load(q + 32);
        const limbs l = split(_mm512_permutex2var_epi32(v, even, w), _mm512_permutex2var_epi32(v, odd, w));
        _mm512_store_si512(dst + c * 64, l.high);
        _mm512_store_si512(dst + WH_Q13A_BLOCK + c * 64, l.low);
      }
  }
}

/* What a panel call keeps: a block's limbs of weights, sums of two tiles, results. */
typedef struct amx_work {
  _Alignas(64) int8_t high[CHUNKS * CHUNK_QUADS * COLS * 4], low[CHUNKS * CHUNK_QUADS * COLS * 4];
  _Alignas(64) int32_t sums[2][4 * TILE_SUMS];
  _Alignas(64) float y[TILES_MAX][AMX_ROWS * COLS];
} amx_work;

static void split_weights(amx_work *w, const uint8_t *codes, const int64_t pairs) {
  for (int64_t i = 0; i < WH_Q13A_BLOCK / 4; i++) UNROLL for (int v = 0; v < SIDES; v++) {
      limbs l = {vint_zero(), vint_zero()};
      const uint8_t *at = codes + 2 * i * WH_LINEAR_H_PAIR_BYTES + v * AMX_ROW_BYTES;
      if (2 * i < pairs) l = split(vint_load(at), vint_load(at + WH_LINEAR_H_PAIR_BYTES));
      _mm512_store_si512(w->high + (i * SIDES + v) * AMX_ROW_BYTES, l.high);
      _mm512_store_si512(w->low + (i * SIDES + v) * AMX_ROW_BYTES, l.low);
    }
}

/* The four sums of a tile: high * high, high * low, low * high, low * low. */
ALWAYS_INLINE void multiply(const amx_work *w, const int8_t *x, const int side, int32_t *sums) {
  AMX_ZERO(0);
  AMX_ZERO(1);
  AMX_ZERO(2);
  AMX_ZERO(3);
  for (int c = 0; c < CHUNKS; c++) {
    const int64_t at = c * CHUNK_QUADS * COLS * 4 + side * AMX_ROW_BYTES;
    AMX_LOAD(4, x + c * 64, ROW_LIMBS);
    AMX_LOAD(6, w->high + at, COLS * 4);
    AMX_DOT(0, 4, 6);
    AMX_LOAD(7, w->low + at, COLS * 4);
    AMX_DOT(1, 4, 7);
    AMX_LOAD(5, x + WH_Q13A_BLOCK + c * 64, ROW_LIMBS);
    AMX_DOT(2, 5, 6);
    AMX_DOT(3, 5, 7);
  }
  AMX_STORE(0, sums, AMX_ROW_BYTES);
  AMX_STORE(1, sums + TILE_SUMS, AMX_ROW_BYTES);
  AMX_STORE(2, sums + 2 * TILE_SUMS, AMX_ROW_BYTES);
  AMX_STORE(3, sums + 3 * TILE_SUMS, AMX_ROW_BYTES);
}

/* y of a tile after one more block. */
ALWAYS_INLINE void fold(const int32_t *sums, const float *w_scale, const float *x_scale, float *y) {
  const vflt s = vflt_load(w_scale);
  UNROLL for (int r = 0; r < AMX_ROWS; r++) {
    const int32_t *at = sums + r * AMX_COLS;
    vint dot = vint_add32(vint_shl32(vint_load(at), 7), vint_load(at + TILE_SUMS));
    dot = vint_add32(vint_shl32(vint_add32(dot, vint_load(at + 2 * TILE_SUMS)), 7),
                     vint_load(at + 3 * TILE_SUMS));
    const vflt scale = vflt_mul(s, vflt_bcast(x_scale + r));
    vflt_store(y + r * COLS, vflt_fma(scale, vflt_from_int(dot), vflt_load(y + r * COLS)));
  }
}

/* A tile that would pass the end overlaps the one before it. */
ALWAYS_INLINE int64_t first_row(const int64_t tile, const int64_t rows) {
  const int64_t row = tile * AMX_ROWS;
  return row + AMX_ROWS > rows ? rows - AMX_ROWS : row;
}

/* rows >= AMX_ROWS */
static void panel_amx(const wh_linear_h_panel *p) {
  amx_work work;
  const int64_t rows = p->n_rows, x_block = p->x->rows * ROW_LIMBS;
  const int steps = (int)ceil_div(rows, AMX_ROWS) * SIDES;
  const int8_t *x = p->limbs + p->row * ROW_LIMBS;
  const float *x_scale = p->x->scale + p->row;
  const uint8_t *w = p->w;
  for (int i = 0; i < steps / SIDES * AMX_ROWS * COLS; i += LANES) vflt_store(&work.y[0][i], vflt_zero());
  for (int64_t k = 0; k < p->k; k += WH_Q13A_BLOCK, x += x_block, x_scale += p->x->rows) {
    const int64_t pairs = wh_linear_h_pairs(p->k, k);
    const float *w_scale = (const float *)(const void *)w;
    const uint8_t *next = w + WH_LINEAR_H_SCALE_BYTES + pairs * WH_LINEAR_H_PAIR_BYTES;
    for (int64_t i = 0; i < next - w; i += 64) __builtin_prefetch(next + i, 0, 3);
    split_weights(&work, w + WH_LINEAR_H_SCALE_BYTES, pairs);
    multiply(&work, x, 0, work.sums[0]);
    for (int i = 0; i < steps; i++) {
      const int64_t tile = i / SIDES, row = first_row(tile, rows), c = i % SIDES * AMX_COLS;
      if (i + 1 < steps)
        multiply(&work, x + first_row((i + 1) / SIDES, rows) * ROW_LIMBS, (i + 1) % SIDES,
                 work.sums[(i + 1) % 2]);
      fold(work.sums[i % 2], w_scale + c, x_scale + row, work.y[tile] + c);
    }
    w = next;
  }
  for (int64_t r = 0; r < rows; r++) {
    const int64_t tile = r / AMX_ROWS;
    const float *y = work.y[tile] + (r - first_row(tile, rows)) * COLS;
    UNROLL for (int c = 0; c < COLS; c += LANES) store_cols(p, r, c, vflt_load(y + c));
  }
}

void wh_p_linear_h__avx512vnni(const wh_linear_h_panel *p);

static void panel(const wh_linear_h_panel *p) {
  if (p->n_rows < AMX_ROWS)
    wh_p_linear_h__avx512vnni(p);
  else
    panel_amx(p);
}

void wh_k_linear_h__amxint8(const wh_linear_q_args *args, const wh_worker *worker) {
  static const amx_shapes shapes = AMX_SHAPES(64);
  if (args->m < AMX_ROWS) {
    wh_k_linear_h__avx512vnni(args, worker);
    return;
  }
  split_activations(args, worker, args->scratch);
  if (worker->count > 1) wh_team_barrier(worker);
  amx_take(&shapes);
  wh_linear_h_run(args, worker, panel);
  amx_release();
}
