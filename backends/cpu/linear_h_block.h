/* linear_h_block.h - up to 64 rows of q13a codes times a block of a panel of 32 outputs, in the form of
 * linear_h_format.h: the register tiles of every SIMD kernel for 16-bit weights, and for few-bit ones that
 * were decoded to it. Included after a vector header (linear_q_vec_<isa>.h).
 *
 * Lanes are outputs. A block's integer dots stay in registers while its pairs of k pass: every pair of a
 * row is spread over the lanes and meets the codes of the held columns. What a block ends with (its dots as
 * floats, times both scales, added to y) is a twentieth of the work, of 64 pairs; y lives in L1. */
#ifndef WH_CPU_LINEAR_H_BLOCK_H
#define WH_CPU_LINEAR_H_BLOCK_H

#include "backends/cpu/linear_h_format.h"
#include "backends/cpu/linear_h_store.h"

#define VEC_BYTES (LANES * 4)
#define PANEL_VECS (COLS / LANES)
/* Rows that meet the codes together, up to how many of them do so over the whole width of a panel, and the
 * vectors of columns that they meet: sums for all registers. Over the whole width weights pass in one stream,
 * which few rows wait for. */
#ifdef DOT16_PAIRS
#define ROWS_MAX 3
#define WIDE_ROWS_MAX 3
#elif LANES == 16
#define ROWS_MAX 13
#define WIDE_ROWS_MAX 0
#else
#define ROWS_MAX 6
#define WIDE_ROWS_MAX 2
#endif
#define HELD_VECS(rows) ((rows) > WIDE_ROWS_MAX ? 2 : LANES == 8 ? PANEL_VECS : 4)
/* How far before their use weights are asked for: what covers the latency of memory; several panels:
 * WH_LINEAR_TOGETHER_AHEAD. */
#define AHEAD 16384

/* Compilers would load several steps' operands at once and spill the sums for them. */
#define STEP_IN_ORDER __asm__ volatile("" : : : "memory")

ALWAYS_INLINE void ask_for(const uint8_t *from, const int bytes, const wh_cpu_fetch how) {
  UNROLL for (int i = 0; i < bytes; i += 64) {
    if (how == WH_CPU_FETCH) __builtin_prefetch(from + i, 0, 3);
    if (how == WH_CPU_FETCH_PAST_CACHES) __builtin_prefetch(from + i, 0, 0);
  }
}

/* The same of `panels` panels, `apart` bytes from each other: two lines of those that their next 128 bytes
 * have, in turns over the panels. */
ALWAYS_INLINE void ask_in_turns(const uint8_t *from, const int64_t apart, const int panels, const int two) {
  UNROLL for (int i = 2 * two; i < 2 * two + 2; i++)
      __builtin_prefetch(from + i % panels * apart + i / panels * 64, 0, 3);
}

/* What a row's share of the product has come to, and what it still needs. */
typedef struct block_at {
  const uint8_t *w; /* the block's scales */
  int64_t apart;    /* bytes from a panel to the next one, of several */
  int64_t pairs;
  const int16_t *q; /* of the first row */
  const float *x_scale;
  float *y; /* [panel][row][COLS] */
} block_at;

/* The products of a row's pair of codes at q with those of the held columns, which w has; they are at `from`.
 */
ALWAYS_INLINE void add_pair(vdot16 *dot, const vint *w, const uint8_t *from, const int vecs,
                            const int16_t *q) {
  (void)from;
#ifdef DOT16_PAIRS
  if (vecs == 4) {
    vdot16_add_four(dot, w, from, q);
    return;
  }
  if (vecs == 2) {
    vdot16_add_pair(dot, w, q);
    return;
  }
#endif
  const vint x = vint_bcast32(q);
  UNROLL for (int v = 0; v < vecs; v++) vdot16_add(&dot[v], w[v], x);
}

/* One block of `rows` rows and the held columns from c on, of `panels` panels side by side. */
ALWAYS_INLINE void block_cols(const int rows, const int panels, const int vecs, const int c,
                              const wh_cpu_fetch how, const block_at b) {
  const uint8_t *codes = b.w + WH_LINEAR_H_SCALE_BYTES + c * 4;
  const int16_t *q = b.q;
  const int asked = (4 * rows + 15) / 16; /* lines at a time */
  const int ahead = panels > 1 ? WH_LINEAR_TOGETHER_AHEAD : AHEAD;
  vdot16 dot[WH_LINEAR_TOGETHER_MAX][ROWS_MAX][PANEL_VECS];
  UNROLL for (int p = 0; p < panels; p++) {
    if (panels > 1)
      ask_in_turns(b.w + ahead, b.apart, panels, p);
    else
      ask_for(b.w + ahead, WH_LINEAR_H_SCALE_BYTES, how);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vecs; v++) dot[p][r][v] = vdot16_zero();
  }
  for (int64_t i = 0; i < b.pairs; i += WH_LINEAR_H_STEP) {
    UNROLL for (int s = 0; s < WH_LINEAR_H_STEP; s++) UNROLL for (int p = 0; p < panels; p++) {
      const uint8_t *at = codes + p * b.apart + s * WH_LINEAR_H_PAIR_BYTES;
      vint w[PANEL_VECS];
      STEP_IN_ORDER;
      if (panels > 1)
        ask_in_turns(codes + s * WH_LINEAR_H_PAIR_BYTES + ahead, b.apart, panels, p);
      else
        ask_for(at + ahead, WH_LINEAR_H_PAIR_BYTES, how);
      /* The activations of the rows after these, four lines of each: with the codes and y they are more than
       * a first-level cache. */
      if (rows > 2 && p == 0 && c == 0 && s < asked)
        __builtin_prefetch(b.q + rows * WH_Q13A_BLOCK + i * asked * 8 + s * 32, 0, 3);
      UNROLL for (int v = 0; v < vecs; v++) w[v] = vint_load(at + v * VEC_BYTES);
      UNROLL for (int r = 0; r < rows; r++) add_pair(dot[p][r], w, at, vecs, q + r * WH_Q13A_BLOCK + 2 * s);
    }
    codes += WH_LINEAR_H_STEP * WH_LINEAR_H_PAIR_BYTES;
    q += 2 * WH_LINEAR_H_STEP;
  }
  UNROLL for (int p = 0; p < panels; p++) UNROLL for (int v = 0; v < vecs; v++) {
    const vflt s = vflt_load((const float *)(const void *)(b.w + p * b.apart) + c + v * LANES);
    UNROLL for (int r = 0; r < rows; r++) {
      float *y = b.y + (p * rows + r) * COLS + c + v * LANES;
      vflt_store(y, vflt_fma(vflt_mul(s, vflt_bcast(b.x_scale + r)),
                             vflt_from_int(vint_from_dot16(dot[p][r][v])), vflt_load(y)));
    }
  }
}

ALWAYS_INLINE void block_rows(const int rows, const wh_cpu_fetch how, const block_at b) {
  const int vecs = HELD_VECS(rows);
  UNROLL for (int v = 0; v < PANEL_VECS; v += vecs) {
    if (v == 0)
      block_cols(rows, 1, vecs, 0, how, b);
    else
      block_cols(rows, 1, vecs, v * LANES, WH_CPU_FETCH_NOT, b);
  }
}

/* All rows of a call, in parts of nearly the same height. */
ALWAYS_INLINE void block(int64_t rows, const wh_cpu_fetch how, block_at b) {
  const int64_t parts = (rows + ROWS_MAX - 1) / ROWS_MAX;
  for (int64_t part = 0, begin = 0; part < parts; part++) {
    const int64_t end = rows * (part + 1) / parts, n = end - begin;
#define CASE(n)                               \
  case n:                                     \
    if (how != WH_CPU_FETCH_NOT && part == 0) \
      block_rows(n, how, b);                  \
    else                                      \
      block_rows(n, WH_CPU_FETCH_NOT, b);     \
    break
    switch (n) {
      CASE(1);
      CASE(2);
      CASE(3);
#if ROWS_MAX > 3
      CASE(4);
      CASE(5);
      CASE(6);
#endif
#if ROWS_MAX > 6
      CASE(7);
      CASE(8);
      CASE(9);
      CASE(10);
      CASE(11);
      CASE(12);
      CASE(13);
#endif
    }
#undef CASE
    b.q += n * WH_Q13A_BLOCK;
    b.x_scale += n;
    b.y += n * COLS;
    begin = end;
  }
}

#endif
