/* linear_h_amxint8.c - products with 16-bit weights on the tiles of AMX: one panel of 32 outputs times 16 to
 * 64 rows.
 *
 * A code of 13 bits is 128 * high + low with high in -32..31 and low in 0..127, and a dot of codes is
 * 2^14 sum(high * high) + 2^7 (sum(high * low) + sum(low * high)) + sum(low * low), each sum a tile product
 * with exact int32 sums. Limbs lie in quads of k for the tile unit; within a quad the order is 0, 2, 1, 3 on
 * both sides, which spares a shuffle. The team splits the activations into limbs before the product (in its
 * scratch), each panel call its weights, a block at a time. As with quantised weights (linear_q_amx.h),
 * vectors fold the sums of an earlier tile while one is made. A last tile may overlap the one before it, and
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

/* What a panel call keeps: a block's limbs of weights, sums, results. Sums of two tiles are in memory, one
 * of each side, as sides take turns: one is stored while the other is folded. */
typedef struct amx_work {
  _Alignas(64) int8_t high[CHUNKS * CHUNK_QUADS * COLS * 4], low[CHUNKS * CHUNK_QUADS * COLS * 4];
  _Alignas(64) int32_t sums[SIDES][3 * TILE_SUMS];
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

/* A tile of rows and columns of one block: where its sums go, and what they become. */
typedef struct amx_made {
  int32_t *sums;
  const float *w_scale, *x_scale;
  float *y; /* NULL: nothing was made */
} amx_made;

/* y of four rows of a tile, after one more block. */
ALWAYS_INLINE void fold(const amx_made *m, const int first) {
  const vflt s = vflt_load(m->w_scale);
  UNROLL for (int r = first; r < first + 4; r++) {
    const int32_t *at = m->sums + r * AMX_COLS;
    vint dot = vint_add32(vint_shl32(vint_load(at), 7), vint_load(at + TILE_SUMS));
    dot = vint_add32(vint_shl32(dot, 7), vint_load(at + 2 * TILE_SUMS));
    const vflt scale = vflt_mul(s, vflt_bcast(m->x_scale + r));
    vflt_store(m->y + r * COLS, vflt_fma(scale, vflt_from_int(dot), vflt_load(m->y + r * COLS)));
  }
}

/* Half of what a chunk c of 64 of k adds to the sums of a tile: tile 6 has limbs of rows, 7 limbs of weights,
 * and the second half goes on with the weights' low limbs, which the first one leaves in tile 7. */
#define ADD_HIGH(c, hh, mixed)                              \
  AMX_LOAD(6, x + (c)*64, ROW_LIMBS);                       \
  AMX_LOAD(7, high + (c)*CHUNK_QUADS * COLS * 4, COLS * 4); \
  AMX_DOT(hh, 6, 7);                                        \
  AMX_LOAD(7, low + (c)*CHUNK_QUADS * COLS * 4, COLS * 4);  \
  AMX_DOT(mixed, 6, 7)
#define ADD_LOW(c, mixed, ll)                               \
  AMX_LOAD(6, x + WH_Q13A_BLOCK + (c)*64, ROW_LIMBS);       \
  AMX_DOT(ll, 6, 7);                                        \
  AMX_LOAD(7, high + (c)*CHUNK_QUADS * COLS * 4, COLS * 4); \
  AMX_DOT(mixed, 6, 7)
#define FOLD(first) \
  if (from->y) fold(from, first)

/* Makes the three sums of a tile in hh, mixed and ll: high * high, high * low + low * high, low * low. On the
 * way it stores those of the tile before, which are in the other three tiles, and folds the one before that:
 * a store right behind its product would wait for it, and the next product for the store. */
#define MAKE(hh, mixed, ll, old_hh, old_mixed, old_ll)            \
  AMX_ZERO(hh);                                                   \
  AMX_ZERO(mixed);                                                \
  AMX_ZERO(ll);                                                   \
  ADD_HIGH(0, hh, mixed);                                         \
  FOLD(0);                                                        \
  AMX_STORE(old_hh, before->sums, AMX_ROW_BYTES);                 \
  ADD_LOW(0, mixed, ll);                                          \
  FOLD(4);                                                        \
  AMX_STORE(old_mixed, before->sums + TILE_SUMS, AMX_ROW_BYTES);  \
  ADD_HIGH(1, hh, mixed);                                         \
  FOLD(8);                                                        \
  AMX_STORE(old_ll, before->sums + 2 * TILE_SUMS, AMX_ROW_BYTES); \
  ADD_LOW(1, mixed, ll);                                          \
  FOLD(12)

ALWAYS_INLINE void multiply(const amx_work *w, const int8_t *x, const int side, const amx_made *before,
                            const amx_made *from) {
  const int8_t *high = w->high + side * AMX_ROW_BYTES, *low = w->low + side * AMX_ROW_BYTES;
  if (side == 0) {
    MAKE(0, 1, 2, 3, 4, 5);
  } else {
    MAKE(3, 4, 5, 0, 1, 2);
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
  const int64_t tiles = ceil_div(rows, AMX_ROWS);
  const int8_t *x = p->limbs + p->row * ROW_LIMBS;
  const float *x_scale = p->x->scale + p->row;
  const uint8_t *w = p->w;
  for (int64_t i = 0; i < tiles * AMX_ROWS * COLS; i += LANES) vflt_store(&work.y[0][i], vflt_zero());
  amx_made before = {.sums = work.sums[SIDES - 1]}, from = {0}; /* nothing yet */
  for (int64_t k = 0; k < p->k; k += WH_Q13A_BLOCK, x += x_block, x_scale += p->x->rows) {
    const int64_t pairs = wh_linear_h_pairs(p->k, k);
    const float *w_scale = (const float *)(const void *)w;
    const uint8_t *next = w + WH_LINEAR_H_SCALE_BYTES + pairs * WH_LINEAR_H_PAIR_BYTES;
    for (int64_t i = 0; i < next - w; i += 64) __builtin_prefetch(next + i, 0, 3);
    split_weights(&work, w + WH_LINEAR_H_SCALE_BYTES, pairs);
    for (int64_t tile = 0; tile < tiles; tile++) {
      const int64_t row = first_row(tile, rows);
      UNROLL for (int side = 0; side < SIDES; side++) {
        multiply(&work, x + row * ROW_LIMBS, side, &before, &from);
        from = before;
        before = (amx_made){work.sums[side], w_scale + side * AMX_COLS, x_scale + row,
                            work.y[tile] + side * AMX_COLS};
      }
    }
    w = next;
  }
  AMX_STORE(3, before.sums, AMX_ROW_BYTES); /* the last one is of the second side */
  AMX_STORE(4, before.sums + TILE_SUMS, AMX_ROW_BYTES);
  AMX_STORE(5, before.sums + 2 * TILE_SUMS, AMX_ROW_BYTES);
  for (int r = 0; r < AMX_ROWS; r += 4) fold(&from, r);
  for (int r = 0; r < AMX_ROWS; r += 4) fold(&before, r);
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
  wh_linear_h_run(args, worker, panel, 1);
  amx_release();
}
