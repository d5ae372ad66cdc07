/* linear_q_few_rows.h - one panel of 32 outputs times a few rows (decoding): the sums stay in registers,
 * codes are widened on their way to the dots, and nothing is stored but the result. What such a product costs
 * is reading its weights. */
#ifndef WH_CPU_LINEAR_Q_FEW_ROWS_H
#define WH_CPU_LINEAR_Q_FEW_ROWS_H

#include "backends/cpu/linear_q_dots.h"

#define FEW_ROWS_MAX (LANES == 16 ? 4 : 2) /* as registers allow */
#define COL_VECS (COLS / LANES)
/* Panels that a call of so many rows takes, as registers allow. */
#if LANES == 16 && !defined(WH_LINEAR_Q_ONE_WAY)
#define PANELS_TOGETHER(rows) ((rows) == 1 ? 4 : (rows) <= FEW_ROWS_MAX ? 2 : 1)
#else
#define PANELS_TOGETHER(rows) 1
#endif

/* g += block b of a group of `blocks`, all columns. */
ALWAYS_INLINE void few_rows_block(const wh_quant_format f, const int rows, const float *scale,
                                  const float *min, const int b, const uint8_t *record, const panel_asks asks,
                                  const block_x x, vflt g[FEW_ROWS_MAX][COL_VECS]) {
  const int halves = HALVES(f);
  shift_room room;
  const row_shifts shifts = shifts_of(f, x, rows, &room);
  if (asks.panels > 1 && IS_SPLIT(f)) ask_in_turns(asks, CODE_LINES(f), 0, 1); /* else quad by quad */
  UNROLL for (int c = 0; c < COL_VECS; c += VECS) {
    const block_codes codes = {.record = record + c * VEC_BYTES, .asks = asks};
    vint dot[2][ROWS_AT_ONCE_MAX][VECS];
    UNROLL for (int h = 0; h < halves; h++) dots(f, halves, h, codes, false, rows, x, &shifts, dot[h]);
    UNROLL for (int v = 0; v < VECS; v++) UNROLL for (int r = 0; r < rows; r++) {
      const int col = (c + v) * LANES;
      UNROLL for (int h = 0; h < halves; h++) g[r][c + v] =
          vflt_fma(vflt_load(scale + (b * halves + h) * COLS + col),
                   shifted_dot(dot[h][r][v], x, &shifts, r, h), g[r][c + v]);
      if (f.min == WH_MIN_F16)
        g[r][c + v] = vflt_fma(vflt_load(min + b * COLS + col), vflt_bcast(x.fbsum + r), g[r][c + v]);
    }
  }
}

/* g - dmin * (the integer minima times the activations' sums) */
ALWAYS_INLINE vflt few_rows_min(const wh_quant_format f, const uint8_t *header, const uint8_t *mins,
                                const int16_t *jsum, const int v, const vflt g) {
  const int pairs = MIN_PAIRS(f);
  vint j = vint_zero();
  UNROLL for (int i = 0; i < pairs; i++) j =
      vint_dot16(j, min_pairs(f, mins, i, v * LANES), vint_bcast32(jsum + i * 2));
  return vflt_fnma(vflt_from_f16(header + 64 + v * LANES * 2), vflt_from_int(j), g);
}

/* The next `bytes` bytes of panels at w: panel s asks for its share of what is `ahead` of them. */
ALWAYS_INLINE void ask_for(const uint8_t *const *w, const int panels, const int s, const int64_t ahead,
                           const size_t bytes, const wh_cpu_fetch how) {
  const uint8_t *from[WH_LINEAR_TOGETHER_MAX];
  UNROLL for (int i = 0; i < panels; i++) from[i] = w[i] + ahead;
  if (panels == 1)
    prefetch_once(from[0], bytes, how);
  else
    ask_in_turns((panel_asks){from, panels, s}, (int)(bytes + 63) / 64, 0, 1);
}

/* Of `panels` panels, p[0] ..., whose weights are read side by side. */
ALWAYS_INLINE void few_rows_of(const wh_quant_format f, const wh_linear_q_panel *p, const int rows,
                               const int panels, const wh_cpu_fetch how) {
  const wh_q8a_tile *t = p->x;
  block_x x = panel_x(p);
  const int jsum_step = MIN_PAIRS(f) * 2;
  const int16_t *jsum = panel_jsum(f, p);
  const float *x_scale = t->scale + p->row;
  const int64_t ahead = panels > 1 ? WH_LINEAR_TOGETHER_AHEAD : prefetch_distance(rows, p->fetch);
  const uint8_t *w[WH_LINEAR_TOGETHER_MAX], *header[WH_LINEAR_TOGETHER_MAX];
  _Alignas(64) float scale[WH_LINEAR_TOGETHER_MAX][16 * COLS], min[WH_LINEAR_TOGETHER_MAX][8 * COLS];
  vflt y[WH_LINEAR_TOGETHER_MAX][FEW_ROWS_MAX][COL_VECS], g[WH_LINEAR_TOGETHER_MAX][FEW_ROWS_MAX][COL_VECS];
  UNROLL for (int s = 0; s < panels; s++) {
    w[s] = p[s].w;
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < COL_VECS; v++) y[s][r][v] = g[s][r][v] =
        vflt_zero();
  }
  for (int64_t left = p->n_blocks; left > 0; left -= WH_LINEAR_Q_GROUP_BLOCKS) {
    const int blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
    const bool is_last = left <= WH_LINEAR_Q_GROUP_BLOCKS;
    UNROLL for (int s = 0; s < panels; s++) {
      header[s] = w[s];
      ask_for(w, panels, s, ahead, wh_linear_q_scale_bytes(f, blocks), how);
      widen_scales(f, header[s], blocks, scale[s], min[s]);
    }
    UNROLL for (int s = 0; s < panels; s++) w[s] += wh_linear_q_scale_bytes(f, blocks);
    for (int b = 0; b < blocks; b++) {
      const uint8_t *next[WH_LINEAR_TOGETHER_MAX];
      UNROLL for (int s = 0; s < panels; s++) next[s] = w[s] + ahead;
      if (panels == 1) prefetch_once(next[0], wh_linear_q_code_bytes(f), how);
      UNROLL for (int s = 0; s < panels; s++)
          few_rows_block(f, rows, scale[s], min[s], b, w[s], (panel_asks){next, panels, s}, x, g[s]);
      UNROLL for (int s = 0; s < panels; s++) w[s] += wh_linear_q_code_bytes(f);
      x = block_x_skip(x, t->rows);
    }
    UNROLL for (int s = 0; s < panels; s++) {
      ask_for(w, panels, s, ahead, wh_linear_q_min_bytes(f), how);
      UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < COL_VECS; v++) {
        vflt *sum = &g[s][r][v];
        if (wh_linear_q_min_bytes(f) > 0)
          *sum = few_rows_min(f, header[s], w[s], jsum + r * jsum_step, v, *sum);
        if (!IS_INEXACT || is_last) y[s][r][v] = vflt_fma(vflt_bcast(x_scale + r), *sum, y[s][r][v]);
        if (!IS_INEXACT) *sum = vflt_zero();
      }
    }
    UNROLL for (int s = 0; s < panels; s++) w[s] += wh_linear_q_min_bytes(f);
    jsum += t->rows * jsum_step;
    x_scale += t->rows;
  }
  UNROLL for (int s = 0; s < panels; s++) UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int v = 0; v < COL_VECS; v++) store_cols(p + s, r, v * LANES, y[s][r][v]);
}

/* The way of prefetching is a constant: read from the panel, it cost Q8_0 a fifth of its speed (gcc 12
 * spilled the sums), and a branch for each block. */
ALWAYS_INLINE void few_rows_asked(const wh_quant_format f, const wh_linear_q_panel *p, const bool together,
                                  const wh_cpu_fetch how) {
#define CASE(n)                                                   \
  case n:                                                         \
    few_rows_of(f, p, n, together ? PANELS_TOGETHER(n) : 1, how); \
    break
  switch (p->n_rows) {
    CASE(1);
    CASE(2);
#if LANES == 16
    CASE(3);
    CASE(4);
#endif
  }
#undef CASE
}

/* Where one row is read faster when it is left to a processor that does that well
 * (docs/benchmarks/kernels.md): weights of 8 bits, and with VNNI those of 4. */
#if defined(WH_LINEAR_Q_VNNI) && LANES == 16
#define GAINS_UNASKED(f) (((f).bits == 4 || (f).bits == 8) && (f).min != WH_MIN_F16)
#else
#define GAINS_UNASKED(f) ((f).bits == 8)
#endif

/* A kernel has an instance for each way of asking, which its results do not depend on: one will do where no
 * make is known to gain, and for sanitizers, which compile an instance for minutes. */
#if defined(WH_LINEAR_Q_ONE_WAY) || LANES == 4
#define HOW_TO_FETCH(p) WH_CPU_FETCH
#else
#define HOW_TO_FETCH(p) (p)->fetch
#endif

ALWAYS_INLINE void few_rows(const wh_quant_format f, const wh_linear_q_panel *p) {
  if (PANELS_TOGETHER(1) > 1 && p->together > 1)
    few_rows_asked(f, p, true, WH_CPU_FETCH);
  else if (HOW_TO_FETCH(p) == WH_CPU_FETCH_PAST_CACHES)
    few_rows_asked(f, p, false, WH_CPU_FETCH_PAST_CACHES);
  else if (GAINS_UNASKED(f) && p->n_rows == 1 && HOW_TO_FETCH(p) == WH_CPU_FETCH_NOT)
    few_rows_of(f, p, 1, 1, WH_CPU_FETCH_NOT);
  else
    few_rows_asked(f, p, false, WH_CPU_FETCH);
}

#endif
