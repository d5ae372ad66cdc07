/* linear_q_tile.h - one panel of 32 outputs times up to 64 rows: the template of every SIMD kernel.
 *
 * A kernel file includes a vector header (linear_q_vec_<isa>.h), then this, then instantiates
 * WH_LINEAR_Q_TILE for its types.
 *
 * Weights stay, rows stream: the codes of one block (32 values of 32 columns, or of 8 columns with 256-bit
 * vectors) are widened into registers and meet every row of the tile before the next block is read. Lanes are
 * outputs, so the order of each output's operations is that of docs/NUMERICS.md whatever the vector width.
 * Partial sums of a group (g) and of a row (y) live in L1. Fewer rows go through linear_q_few_rows.h. */
#ifndef WH_CPU_LINEAR_Q_TILE_H
#define WH_CPU_LINEAR_Q_TILE_H

#include "backends/cpu/linear_q_dots.h"
#include "backends/cpu/linear_q_few_rows.h"

/* Rows that meet the codes together: sums enough to cover the latency of the dots, registers allowing. Blocks
 * of two halves have twice the sums. */
#if SHIFT_BY_FMA
#define ROWS_AT_ONCE(f) (HALVES(f) == 2 ? 4 : 5)
#elif defined(WH_LINEAR_Q_VNNI) && LANES == 16
#define ROWS_AT_ONCE(f) (HALVES(f) == 2 ? 4 : ROWS_AT_ONCE_MAX)
#elif LANES == 4
#define ROWS_AT_ONCE(f) (HALVES(f) == 2 ? 2 : 4)
#else
#define ROWS_AT_ONCE(f) 4
#endif

/* w[quad * VECS + v]: the codes of the held columns; when split, the low nibbles, then the high ones; where
 * dots come in pairs, each two quads together, their first columns before the last ones. */
ALWAYS_INLINE void widen(const wh_quant_format f, const uint8_t *p, vint *w) {
  UNROLL for (int i = 0; i < QUADS; i++) UNROLL for (int v = 0; v < VECS; v++) {
    const vint code = widen_one(f, p, i, v);
    w[i * VECS + v] = IS_SPLIT(f) ? split_part(code, 0) : code;
    if (IS_SPLIT(f)) w[(QUADS + i) * VECS + v] = split_part(code, 1);
  }
#ifdef DOTS_IN_PAIRS
  UNROLL for (int i = 0; i < QUADS * VECS; i += 2 * VECS) UNROLL for (int v = i; v < i + VECS; v++) {
    const vint a = w[v], b = w[v + VECS];
    w[v] = vint_join_low(a, b);
    w[v + VECS] = vint_join_high(a, b);
  }
#endif
}

/* --- one block --- */

/* Scales of the held columns and halves, and minima. In registers: the compiler cannot know that sums and
 * scales do not overlap. */
typedef struct block_scales {
  vflt scale[2][VECS], min[VECS];
} block_scales;

ALWAYS_INLINE block_scales load_scales(const wh_quant_format f, const float *scale, const float *min) {
  const int halves = HALVES(f);
  block_scales s;
  UNROLL for (int v = 0; v < VECS; v++) {
    UNROLL for (int h = 0; h < halves; h++) s.scale[h][v] = vflt_load(scale + h * COLS + v * LANES);
    if (f.min == WH_MIN_F16) s.min[v] = vflt_load(min + v * LANES);
  }
  return s;
}

/* The sums that a block goes on from: g, or zeros (with a step of 0) in a group's first block. The last block
 * of a group without minima also does what is left of the group, y = x_scale * g + before, while g is at
 * hand. */
typedef struct block_sums {
  const float *from;
  size_t from_step;
  float *g;
  const float *x_scale, *before; /* before: y, or zeros (with a step of 0) in the first group */
  size_t before_step;
  float *y;
} block_sums;

ALWAYS_INLINE block_sums block_sums_skip(block_sums s, int64_t rows, int64_t cols) {
  s.from += (size_t)rows * s.from_step + (s.from_step ? cols : 0);
  s.g += rows * COLS + cols;
  s.x_scale += rows;
  s.before += (size_t)rows * s.before_step + (s.before_step ? cols : 0);
  s.y += rows * COLS + cols;
  return s;
}

/* The block step, for `rows` rows of the held columns. */
ALWAYS_INLINE void block_step(const wh_quant_format f, const int rows, const block_codes codes,
                              const bool ends, const block_scales *s, const block_x x,
                              const row_shifts shifts, const block_sums to) {
  const int halves = HALVES(f);
  vint dot[2][ROWS_AT_ONCE_MAX][VECS];
  UNROLL for (int h = 0; h < halves; h++) dots(f, halves, h, codes, true, rows, x, &shifts, dot[h]);
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < VECS; v++) {
      vflt sum = vflt_load(to.from + (size_t)r * to.from_step + v * LANES);
      UNROLL for (int h = 0; h < halves; h++) sum =
          vflt_fma(s->scale[h][v], shifted_dot(dot[h][r][v], x, &shifts, r, h), sum);
      if (f.min == WH_MIN_F16) sum = vflt_fma(s->min[v], vflt_bcast(x.fbsum + r), sum);
      if (ends) {
        const vflt before = vflt_load(to.before + (size_t)r * to.before_step + v * LANES);
        vflt_store(to.y + r * COLS + v * LANES, vflt_fma(vflt_bcast(to.x_scale + r), sum, before));
      } else {
        vflt_store(to.g + r * COLS + v * LANES, sum);
      }
    }
  }
}

static const float linear_q_zeros[COLS];

/* One more block of the held columns: its codes are widened once for all rows. */
ALWAYS_INLINE void block_rows(const wh_quant_format f, const uint8_t *record, const bool ends,
                              const block_scales *s, block_x x, row_shifts shifts, int64_t rows,
                              block_sums to) {
  vint widened[2 * QUADS * VECS];
  widen(f, record, widened);
  const block_codes codes = {.w = widened};
#define STEP(n)                                    \
  block_step(f, n, codes, ends, s, x, shifts, to); \
  shifts = row_shifts_skip(shifts, n);             \
  x = block_x_skip(x, n);                          \
  to = block_sums_skip(to, n, 0);                  \
  rows -= n
  while (rows >= ROWS_AT_ONCE(f)) {
    STEP(ROWS_AT_ONCE(f));
  }
  if (ROWS_AT_ONCE(f) > 4 && rows & 4) {
    STEP(4);
  }
  if (rows & 2) {
    STEP(2);
  }
  if (rows & 1) {
    STEP(1);
  }
#undef STEP
}

/* One more block of all columns. */
ALWAYS_INLINE void block(const wh_quant_format f, const uint8_t *record, const float *scale, const float *min,
                         const block_x x, int64_t rows, const bool ends, const block_sums all) {
  shift_room room;
  const row_shifts shifts = shifts_of(f, x, rows, &room);
  for (int c = 0; c < COLS; c += HELD) {
    const block_scales s = load_scales(f, scale + c, min + c);
    block_rows(f, record + c * 4, ends, &s, x, shifts, rows, block_sums_skip(all, 0, c));
  }
}

/* --- one group, and the whole panel --- */

/* y[rows][32] after one more group of a type with minima of sub-blocks: these first, then the activations'
 * scale (`ends`; else the sums run on). */
ALWAYS_INLINE void group_step(const wh_quant_format f, const uint8_t *header, const uint8_t *mins,
                              const int16_t *jsum, const int64_t rows, const bool ends, const block_sums s) {
  const int pairs = MIN_PAIRS(f);
  for (int c = 0; c < COLS; c += HELD) {
    vint mn[8][VECS];
    vflt dmin[VECS];
    UNROLL for (int v = 0; v < VECS; v++) {
      UNROLL for (int i = 0; i < pairs; i++) mn[i][v] = min_pairs(f, mins, i, c + v * LANES);
      dmin[v] = vflt_from_f16(header + 64 + (c + v * LANES) * 2);
    }
    for (int64_t r = 0; r < rows; r++) {
      const vflt x_scale = vflt_bcast(s.x_scale + r);
      vint j[VECS];
      UNROLL for (int v = 0; v < VECS; v++) j[v] = vint_zero();
      UNROLL for (int i = 0; i < pairs; i++) {
        const vint sums = vint_bcast32(jsum + (r * pairs + i) * 2);
        UNROLL for (int v = 0; v < VECS; v++) j[v] = vint_dot16(j[v], mn[i][v], sums);
      }
      UNROLL for (int v = 0; v < VECS; v++) {
        const int64_t at = r * COLS + c + v * LANES;
        const vflt sum = vflt_fnma(dmin[v], vflt_from_int(j[v]), vflt_load(s.g + at));
        if (!ends) {
          vflt_store(s.g + at, sum);
          continue;
        }
        const vflt before = vflt_load(s.before + (size_t)r * s.before_step + c + v * LANES);
        vflt_store(s.y + at, vflt_fma(x_scale, sum, before));
      }
    }
  }
}

ALWAYS_INLINE void tile(const wh_quant_format f, const wh_linear_q_panel *p) {
  _Alignas(64) float g[WH_Q8A_TILE * COLS], y[WH_Q8A_TILE * COLS], scale[16 * COLS], min[8 * COLS];
  const wh_q8a_tile *t = p->x;
  const int64_t rows = p->n_rows;
  block_x x = panel_x(p);
  const int jsum_step = MIN_PAIRS(f) * 2;
  const int16_t *jsum = panel_jsum(f, p);
  const float *x_scale = t->scale + p->row;
  const uint8_t *w = p->w;
  const int64_t ahead = prefetch_distance(rows, WH_CPU_FETCH);
  const bool runs_on = IS_INEXACT, has_mins = wh_linear_q_min_bytes(f) > 0;
  for (int64_t left = p->n_blocks; left > 0; left -= WH_LINEAR_Q_GROUP_BLOCKS) {
    const int blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
    const bool is_first = left == p->n_blocks, is_last = left <= WH_LINEAR_Q_GROUP_BLOCKS;
    const bool from_zero = is_first || runs_on, ends = !has_mins && (!runs_on || is_last);
    const uint8_t *header = w;
    prefetch(w + ahead, wh_linear_q_scale_bytes(f, blocks) + wh_linear_q_min_bytes(f));
    widen_scales(f, header, blocks, scale, min);
    w += wh_linear_q_scale_bytes(f, blocks);
    block_sums sums = {linear_q_zeros,       0, g, x_scale, from_zero ? linear_q_zeros : y,
                       from_zero ? 0 : COLS, y};
    for (int b = 0; b < blocks; b++) {
      prefetch(w + ahead, wh_linear_q_code_bytes(f));
      if (is_last) prefetch_rows(p, b);
      if (b > 0 || (runs_on && !is_first)) sums.from = g, sums.from_step = COLS;
      const float *b_scale = scale + b * HALVES(f) * COLS, *b_min = min + b * COLS;
      if (ends && b == blocks - 1)
        block(f, w, b_scale, b_min, x, rows, true, sums);
      else
        block(f, w, b_scale, b_min, x, rows, false, sums);
      w += wh_linear_q_code_bytes(f);
      x = block_x_skip(x, t->rows);
    }
    if (has_mins) group_step(f, header, w, jsum, rows, !runs_on || is_last, sums);
    w += wh_linear_q_min_bytes(f);
    jsum += t->rows * jsum_step;
    x_scale += t->rows;
  }
  for (int64_t r = 0; r < rows; r++)
    UNROLL for (int c = 0; c < COLS; c += LANES) store_cols(p, r, c, vflt_load(y + r * COLS + c));
}

/* The kernel of a type, and its panel call. */
#define WH_LINEAR_Q_TILE(lower, isa)                                                         \
  static void panel_##lower(const wh_linear_q_panel *p) {                                    \
    if (p->n_rows > FEW_ROWS_MAX)                                                            \
      tile(wh_quant_format_##lower, p);                                                      \
    else                                                                                     \
      few_rows(wh_quant_format_##lower, p);                                                  \
  }                                                                                          \
  void wh_k_linear_##lower##__##isa(const wh_linear_q_args *args, const wh_worker *worker) { \
    wh_linear_q_run(args, worker, panel_##lower, PANELS_TOGETHER(args->m));                  \
  }

/* A kernel that leaves fewer rows to that of another set of instructions. */
#define MANY_ROWS_MIN 7 /* from here on most types gain by an fma in place of shift and conversion */
#define WH_LINEAR_Q_MANY_ROWS(lower, isa, few_isa)                                            \
  static void panel_##lower(const wh_linear_q_panel *p) { tile(wh_quant_format_##lower, p); } \
  void wh_k_linear_##lower##__##isa(const wh_linear_q_args *args, const wh_worker *worker) {  \
    if (args->m < MANY_ROWS_MIN)                                                              \
      wh_k_linear_##lower##__##few_isa(args, worker);                                         \
    else                                                                                      \
      wh_linear_q_run(args, worker, panel_##lower, 1);                                        \
  }

#endif
