/* linear_q_dots.h - what every SIMD kernel for quantised weights does with one block: widens its codes and
 * its scales, and takes the dots of the codes with the activations.
 *
 * Written in the vector operations of linear_q_vec_<isa>.h, which is included first. The format is a
 * compile-time constant everywhere below, so each type's kernel holds only its own unpacking.
 *
 * Besides LANES and the operations a vector header may define
 * - DOTS_ARE_WHOLE: vint_dot8 adds the dots of four bytes of full range. Elsewhere products are summed in
 *   int16 lanes first (vsum), PRODUCTS_PER_SUM of each quad.
 * - CODES_ARE_SIGNED: both factors are signed bytes, elsewhere the codes are unsigned ones.
 * - DOTS_IN_PAIRS: vint_dot8_pairs multiplies two columns by two rows, 8 k each.
 * - VECS: vectors of columns that are held at once, if not 2.
 * - SHIFT_BY_FACTOR: the products that widen int16 sums have a factor for each row, which can be 2^t.
 * - SHIFT_BY_FMA: one fma converts a dot, shifts it and takes the codes' bias off. */
#ifndef WH_CPU_LINEAR_Q_DOTS_H
#define WH_CPU_LINEAR_Q_DOTS_H

#include "backends/cpu/linear_q_format.h"
#include "backends/cpu/linear_q_kernels.h"
#include "backends/cpu/linear_q_run.h"

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define COLS WH_LINEAR_Q_COLS
#define VEC_BYTES (LANES * 4)
#define QUADS 8                      /* of k in a block */
#define CODE_LINES(f) ((f).bits * 2) /* of its record */
#ifndef VECS
#define VECS 2 /* vectors of columns that are held at once */
#endif
#define HELD (VECS * LANES) /* columns that are held at once */
#define ROWS_AT_ONCE_MAX 6  /* rows that meet the codes together */

/* Widened codes stay in registers where there are enough of them. Elsewhere every row step reads them from L1
 * just before their use; the compiler must not see that it could keep them, since it would spill the sums
 * instead. */
#if defined(WH_LINEAR_Q_VNNI) && LANES == 16
#define KEEP_IN_MEMORY(w) ((void)0)
#else
#define KEEP_IN_MEMORY(w) __asm__ volatile("" : "+r"(w) : : "memory")
#endif

#ifndef SHIFT_BY_FACTOR
#define SHIFT_BY_FACTOR 0
#endif
#ifndef SHIFT_BY_FMA
#define SHIFT_BY_FMA 0
#endif

/* The bits of 1.5 * 2^23. With an integer added to them that is below 2^22 in magnitude, as all dots of a
 * block are (at most 32 * 255 * 127), they are the bits of 1.5 * 2^23 plus that integer. */
#define FLOAT_START 0x4b400000
#define FLOAT_ONE 0x3f800000 /* 1.0's */

/* Parts of a block with a scale each. */
#define HALVES(f) ((f).scale == WH_SCALE_SUB16 || (f).scale == WH_SCALE_SUB16_U4 ? 2 : 1)

/* What the contract costs, left out: activations without a shift for each block, sums that run on through the
 * groups. Only bench/inexact_linear_q.c asks for it, to measure the cost. */
#ifdef WH_LINEAR_Q_INEXACT
#define IS_INEXACT 1
#else
#define IS_INEXACT 0
#endif

/* Unsigned codes of 8 bits, where there is no dot of full range: pair sums of products would not fit int16,
 * so the low and the high nibbles are multiplied on their own. */
#if defined(DOTS_ARE_WHOLE) || defined(CODES_ARE_SIGNED)
#define IS_SPLIT(f) 0
#else
#define IS_SPLIT(f) ((f).bits == 8 || (f).codebook == WH_CODEBOOK_IQ4)
#endif

/* Whether widened codes are 2^bias_log2 too large. Signed ones of 8 bits and of codebooks are what they mean.
 */
#ifdef CODES_ARE_SIGNED
#define IS_BIASED(f) ((f).bias_log2 >= 0 && (f).bits < 8 && (f).codebook == WH_CODEBOOK_NONE)
#else
#define IS_BIASED(f) ((f).bias_log2 >= 0)
#endif

/* Where a block's activations are, at the first row of a call. Arrays step by the tile's rows per block. */
typedef struct block_x {
  const int8_t *q;
  const int32_t *t, *nbsum, *nbsum16;
  const int16_t *npair[2];
  const float *fbsum;
} block_x;

ALWAYS_INLINE block_x block_x_skip(block_x x, int64_t rows) {
  x.q += rows * 32;
  x.t += rows;
  x.nbsum += rows;
  x.nbsum16 += rows * 2;
  for (int h = 0; h < 2; h++) x.npair[h] += rows * 2;
  x.fbsum += rows;
  return x;
}

/* At the first row and block of a panel call. */
ALWAYS_INLINE block_x panel_x(const wh_linear_q_panel *p) {
  const wh_q8a_tile *t = p->x;
  return block_x_skip((block_x){t->q, t->t, t->nbsum, t->nbsum16, {t->npair[0], t->npair[1]}, t->fbsum},
                      p->row);
}

/* --- shifts --- */

#if SHIFT_BY_FACTOR
/* What a row's int16 sums start from where codes are biased: bias times minus the sums of the activations
 * that meet each lane (`npair`). Modulo 2^16, sums are then those of the codes without their bias, which are
 * smaller. Of codes that are split, the high nibbles have all of the bias. */
ALWAYS_INLINE vint lane_start(const wh_quant_format f, const vint npair) {
  return vint_shl16(npair, IS_SPLIT(f) ? f.bias_log2 - 4 : f.bias_log2);
}
#endif

#if SHIFT_BY_FMA
/* Minus the sums of the activations that meet a block, or half h of it, of LANES rows. */
ALWAYS_INLINE vint minus_sums(const wh_quant_format f, const block_x x, int64_t r, const int h) {
  if (HALVES(f) == 1) return vint_load(x.nbsum + r);
  const vint first = vint_load(x.nbsum16 + 2 * r), last = vint_load(x.nbsum16 + 2 * r + LANES);
  return h ? vint_odd(first, last) : vint_even(first, last);
}
#endif

/* What rows bring to a block, worked out once for all columns: with SHIFT_BY_FACTOR 2^t in both 16-bit lanes
 * and, where codes are biased, lane starts; with SHIFT_BY_FMA 2^t and what is added, both fp32. */
typedef struct row_shifts {
  const int32_t *factor;   /* [rows] */
  const int32_t *start[2]; /* [halves][rows] */
} row_shifts;
typedef struct shift_room {
  _Alignas(64) int32_t factor[WH_Q8A_TILE], start[2][WH_Q8A_TILE];
} shift_room;

ALWAYS_INLINE row_shifts row_shifts_skip(row_shifts s, int64_t rows) {
  return (row_shifts){s.factor + rows, {s.start[0] + rows, s.start[1] + rows}};
}

/* A vector of rows at a time; the last may also read what lies behind the rows in the tile. */
ALWAYS_INLINE row_shifts shifts_of(const wh_quant_format f, const block_x x, int64_t rows, shift_room *room) {
#if SHIFT_BY_FACTOR
  for (int64_t r = 0; r < rows; r += LANES) {
    if (!IS_INEXACT) vint_store(room->factor + r, vint_shlv32(vint_set32(0x10001), vint_load(x.t + r)));
    if (!IS_BIASED(f)) continue;
    const vint first = vint_load(x.npair[0] + 2 * r), second = vint_load(x.npair[1] + 2 * r);
    vint_store(room->start[0] + r, lane_start(f, HALVES(f) == 2 ? first : vint_add16(first, second)));
    if (HALVES(f) == 2) vint_store(room->start[1] + r, lane_start(f, second));
  }
#elif SHIFT_BY_FMA
  for (int64_t r = 0; r < rows; r += LANES) {
    const vint exponent = vint_shl32(vint_load(x.t + r), 23), one = vint_set32(FLOAT_ONE);
    const vflt factor = vflt_from_bits(IS_INEXACT ? one : vint_add32(exponent, one));
    if (!IS_INEXACT) vint_store(room->factor + r, vint_from_bits(factor));
    for (int h = 0; h < HALVES(f); h++) {
      vint zero = vint_set32(FLOAT_START); /* what a dot of 0 comes out as */
      if (IS_BIASED(f)) zero = vint_sub32(zero, vint_shl32(minus_sums(f, x, r, h), f.bias_log2));
      const vflt start = vflt_fnma(vflt_from_bits(zero), factor, vflt_zero());
      vint_store(room->start[h] + r, vint_from_bits(start));
    }
  }
#else
  (void)f, (void)x, (void)rows;
#endif
  return (row_shifts){room->factor, {room->start[0], room->start[1]}};
}

/* --- widening codes --- */

ALWAYS_INLINE vint shift16(vint v, int left) {
  if (left > 0) return vint_shl16(v, left);
  if (left < 0) return vint_shr16(v, -left);
  return v;
}

ALWAYS_INLINE vint codebook(const wh_quant_format f) {
  static const int8_t iq4[16] = {WH_CODEBOOK_IQ4_VALUES}, fp4[16] = {WH_CODEBOOK_FP4_VALUES};
  vint t = vint_bcast128(f.codebook == WH_CODEBOOK_IQ4 ? iq4 : fp4);
  return IS_BIASED(f) ? vint_add8(t, vint_set8(1 << f.bias_log2)) : t;
}

/* The codes of one quad and vector as they are stored, be they values or indices. `p` is the block's record,
 * moved on to the first held column. */
ALWAYS_INLINE vint widen_stored(const wh_quant_format f, const uint8_t *p, const int quad, const int v) {
  vint w = vint_zero();
  p += v * VEC_BYTES;
  if (f.bits == 8) {
    w = vint_load(p + quad * 128);
    return IS_BIASED(f) ? w : vint_add8(w, vint_set8(-(1 << f.bias_log2)));
  }
  if (f.bits >= 4) {
    const vint q = vint_load(p + quad / 2 * 128);
    w = vint_and(quad % 2 ? vint_shr16(q, 4) : q, vint_set8(15));
    p += 512;
  }
  if (f.bits == 2 || f.bits == 3 || f.bits == 6) {
    const int at = f.bits == 6 ? 4 : 0;
    const vint q = shift16(vint_load(p + quad / 4 * 128), at - quad % 4 * 2), mask = vint_set8(3 << at);
    w = f.bits == 6 ? vint_or_and(w, q, mask) : vint_and(q, mask);
    p += 256;
  }
  if (f.bits == 3 || f.bits == 5) {
    const int at = f.bits - 1;
    w = vint_or_and(w, shift16(vint_load(p), at - quad), vint_set8(1 << at));
  }
  return w;
}

/* The codes themselves. */
ALWAYS_INLINE vint widen_one(const wh_quant_format f, const uint8_t *p, const int quad, const int v) {
  const vint w = widen_stored(f, p, quad, v);
  return f.codebook == WH_CODEBOOK_NONE ? w : vint_lookup(codebook(f), w);
}

/* The low (part 0) or high nibbles of codes of 8 bits. */
ALWAYS_INLINE vint split_part(vint w, const int part) {
  return vint_and(part ? vint_shr16(w, 4) : w, vint_set8(15));
}

/* --- widening scales --- */

/* Scales of block b and half h, of LANES columns from c on, as floats. `header`: the group's first byte. */
ALWAYS_INLINE vflt block_scale(const wh_quant_format f, const uint8_t *header, int b, const int h,
                               const int c) {
  if (f.scale == WH_SCALE_F16) return vflt_from_f16(header + (b * COLS + c) * 2);
  if (f.scale == WH_SCALE_E8M0) return vflt_from_e8m0(header + b * COLS + c);
  const uint8_t *sub = header + (f.min != WH_MIN_NONE ? 128 : 64);
  const vflt d = vflt_from_f16(header + c * 2);
  if (f.scale == WH_SCALE_SUB16_U4) return vflt_mul(d, vflt_from_u4(sub + b * COLS + c, h));
  return vflt_mul(d, vflt_from_s8(sub + (b * HALVES(f) + h) * COLS + c));
}

/* The fp16 minima of block b of a group with `blocks` blocks. */
ALWAYS_INLINE vflt block_min(const uint8_t *header, int blocks, int b, const int c) {
  return vflt_from_f16(header + ((blocks + b) * COLS + c) * 2);
}

/* The group's scales (and fp16 minima) as floats: scale[block or half][32], min[block][32]. All at once, also
 * where a scale is used once: the processor's own prefetching loses the stream when reads go back and forth
 * between scales and codes (5 to 8 % of the speed of one row). */
ALWAYS_INLINE void widen_scales(const wh_quant_format f, const uint8_t *header, int blocks, float *scale,
                                float *min) {
  const int halves = HALVES(f);
  for (int b = 0; b < blocks; b++) UNROLL for (int c = 0; c < COLS; c += LANES) {
      UNROLL for (int h = 0; h < halves; h++)
          vflt_store(scale + (b * halves + h) * COLS + c, block_scale(f, header, b, h, c));
      if (f.min == WH_MIN_F16) vflt_store(min + b * COLS + c, block_min(header, blocks, b, c));
    }
}

/* --- dots --- */

/* What the dots of row r start from: the unsigned codes' bias times minus the sum of the activations, unless
 * that is left to an fma. */
ALWAYS_INLINE vint dot_start(const wh_quant_format f, const int halves, const block_x x, int r, int h) {
  if (SHIFT_BY_FMA) return vint_set32(FLOAT_START);
  if (!IS_BIASED(f)) return vint_zero();
  return vint_shl32(vint_bcast32(halves == 2 ? x.nbsum16 + 2 * r + h : x.nbsum + r), f.bias_log2);
}

/* What lies ahead of several panels that are read side by side, and which of them asks for its share: lines
 * in turns over the panels. In runs, one panel after the other, products take up to a tenth longer
 * (docs/benchmarks/kernels.md). */
typedef struct panel_asks {
  const uint8_t *const *from;
  int panels, panel;
} panel_asks;

/* Part `part` of `parts` even ones of the share, of `lines` lines of each panel. */
ALWAYS_INLINE void ask_in_turns(const panel_asks a, const int lines, const int part, const int parts) {
  const int begin = (a.panel * parts + part) * lines / parts,
            end = (a.panel * parts + part + 1) * lines / parts;
  UNROLL for (int i = begin; i < end; i++) __builtin_prefetch(a.from[i % a.panels] + i / a.panels * 64, 0, 3);
}

/* A block's codes: widened for all rows of a tile, or (for a few rows) the record, to be widened on the
 * way, while more is asked for if there are several panels. */
typedef struct block_codes {
  const vint *w;
  const uint8_t *record;
  panel_asks asks;
} block_codes;

ALWAYS_INLINE vint code_vector(const wh_quant_format f, const block_codes *codes, const bool widened,
                               const int part, const int quad, const int v) {
  if (widened) return codes->w[(part * QUADS + quad) * VECS + v];
  const vint w = widen_one(f, codes->record, quad, v);
  return IS_SPLIT(f) ? split_part(w, part) : w;
}

#ifdef PRODUCTS_PER_SUM
/* Quads whose products fit an int16 lane: |x| <= 127, codes up to `top`, without their bias where sums start
 * from it (which then are one: all quads fit). */
ALWAYS_INLINE int sum_quads(const wh_quant_format f) {
  const bool in_lanes = SHIFT_BY_FACTOR && IS_BIASED(f);
  const int bias = IS_BIASED(f) ? 1 << f.bias_log2 : 0;
  const int entry = (f.codebook == WH_CODEBOOK_FP4 ? 12 : 127) + (in_lanes ? 0 : bias);
  const int plain = f.bits == 8 ? 128 : in_lanes ? bias : (1 << f.bits) - 1;
  const int top = IS_SPLIT(f) ? 15 : f.codebook != WH_CODEBOOK_NONE ? entry : plain;
  const int fit = 32767 / (127 * top * PRODUCTS_PER_SUM);
  return fit >= 8 ? 8 : fit >= 4 ? 4 : 2;
}
#endif

#ifdef DOTS_IN_PAIRS
/* As dots() for widened codes: of each pair of quads, first columns 0 and 1 of each vector, then 2 and 3
 * (widen() in linear_q_tile.h). An odd last row is multiplied with itself. */
ALWAYS_INLINE void dots_in_pairs(const wh_quant_format f, const int halves, const int h, const vint *w,
                                 const int rows, const block_x x, vint dot[][VECS]) {
  const int quads = QUADS / halves, first = h * quads;
  vint sum[(ROWS_AT_ONCE_MAX + 1) / 2][2][VECS];
  UNROLL for (int i = first; i < first + quads; i += 2) {
    KEEP_IN_MEMORY(w);
    UNROLL for (int r = 0; r < rows; r += 2) {
      const int8_t *q = x.q + r * 32 + i * 4;
      const vint pair = vint_load_pair(q, r + 1 < rows ? q + 32 : q);
      UNROLL for (int part = 0; part < 2; part++) UNROLL for (int v = 0; v < VECS; v++) {
        const vint before = i == first ? vint_zero() : sum[r / 2][part][v];
        sum[r / 2][part][v] = vint_dot8_pairs(before, w[(i + part) * VECS + v], pair);
      }
    }
  }
  UNROLL for (int r = 0; r < rows; r++) {
    const vint start = dot_start(f, halves, x, r, h);
    UNROLL for (int v = 0; v < VECS; v++) {
      const vint low = sum[r / 2][0][v], high = sum[r / 2][1][v];
      dot[r][v] = vint_add32(start, r % 2 ? vint_odd(low, high) : vint_even(low, high));
    }
  }
}
#endif

#if SHIFT_BY_FACTOR
/* As dots() for a few rows and codes that are split: both parts of a code while it is at hand. */
ALWAYS_INLINE void dots_of_parts(const wh_quant_format f, const block_codes *codes, const int rows,
                                 const block_x x, const row_shifts *shifts, vint dot[][VECS]) {
  vsum sum[ROWS_AT_ONCE_MAX][2][VECS];
  UNROLL for (int i = 0; i < QUADS; i++) {
    vint stored[VECS];
    UNROLL for (int v = 0; v < VECS; v++) stored[v] = widen_stored(f, codes->record, i, v);
    UNROLL for (int r = 0; r < rows; r++) {
      const vint q = vint_bcast32(x.q + r * 32 + i * 4);
      UNROLL for (int part = 0; part < 2; part++) UNROLL for (int v = 0; v < VECS; v++) {
        const vint w = f.codebook == WH_CODEBOOK_NONE ? split_part(stored[v], part)
                                                      : vint_lookup(split_part(codebook(f), part), stored[v]);
        vsum *s = &sum[r][part][v];
        if (i > 0)
          *s = vsum_add_products(*s, w, q);
        else if (part == 1 && IS_BIASED(f))
          *s = vsum_add_products(vint_bcast32(shifts->start[0] + r), w, q);
        else
          *s = vsum_products(w, q);
      }
    }
  }
  UNROLL for (int r = 0; r < rows; r++) {
    const vint factor = IS_INEXACT ? vint_set16(1) : vint_bcast32(shifts->factor + r);
    UNROLL for (int v = 0; v < VECS; v++) {
      dot[r][v] = vint_add32(vint_from_sums(sum[r][0][v], factor),
                             vint_from_sums(sum[r][1][v], vint_shl16(factor, 4)));
    }
  }
}
#endif

/* dot[row][v]: the dots of half h (of `halves`) of a block with the rows' activations; with SHIFT_BY_FACTOR
 * they come out shifted. */
ALWAYS_INLINE void dots(const wh_quant_format f, const int halves, const int h, block_codes codes,
                        const bool widened, const int rows, const block_x x, const row_shifts *shifts,
                        vint dot[][VECS]) {
  const int quads = QUADS / halves, first = h * quads;
  (void)shifts;
#ifdef DOTS_IN_PAIRS
  if (widened) {
    dots_in_pairs(f, halves, h, codes.w, rows, x, dot);
    return;
  }
#endif
#ifdef DOTS_ARE_WHOLE
  UNROLL for (int r = 0; r < rows; r++) {
    const vint start = dot_start(f, halves, x, r, h);
    UNROLL for (int v = 0; v < VECS; v++) dot[r][v] = start;
  }
  UNROLL for (int i = first; i < first + quads; i++) {
    if (widened) KEEP_IN_MEMORY(codes.w);
    if (codes.asks.panels > 1) ask_in_turns(codes.asks, CODE_LINES(f), i, QUADS);
    vint w[VECS];
    UNROLL for (int v = 0; v < VECS; v++) w[v] = code_vector(f, &codes, widened, 0, i, v);
    UNROLL for (int r = 0; r < rows; r++) {
      const vint q = vint_bcast32(x.q + r * 32 + i * 4);
      UNROLL for (int v = 0; v < VECS; v++) dot[r][v] = vint_dot8(dot[r][v], w[v], q);
    }
  }
#else
#if SHIFT_BY_FACTOR
  /* One row of plain codes is as fast when each part is taken from memory. */
  if (!widened && IS_SPLIT(f) && (rows > 1 || f.codebook != WH_CODEBOOK_NONE)) {
    dots_of_parts(f, &codes, rows, x, shifts, dot);
    return;
  }
#endif
  const int fit = sum_quads(f), span = fit < quads ? fit : quads, parts = IS_SPLIT(f) ? 2 : 1;
  const int spans = parts * (quads / span);
  UNROLL for (int s = 0; s < spans; s++) {
    const int part = s / (quads / span);
    vsum sum[ROWS_AT_ONCE_MAX][VECS];
    UNROLL for (int i = 0; i < span; i++) {
      const int quad = first + s % (quads / span) * span + i;
      if (widened) KEEP_IN_MEMORY(codes.w);
      if (codes.asks.panels > 1 && parts == 1) ask_in_turns(codes.asks, CODE_LINES(f), quad, QUADS);
      vint w[VECS];
      UNROLL for (int v = 0; v < VECS; v++) w[v] = code_vector(f, &codes, widened, part, quad, v);
      UNROLL for (int r = 0; r < rows; r++) {
        const vint q = vint_bcast32(x.q + r * 32 + quad * 4);
#if SHIFT_BY_FACTOR
        if (i == 0 && part == parts - 1 && IS_BIASED(f)) {
          const vint start = vint_bcast32(shifts->start[h] + r);
          UNROLL for (int v = 0; v < VECS; v++) sum[r][v] = vsum_add_products(start, w[v], q);
          continue;
        }
#endif
        UNROLL for (int v = 0; v < VECS; v++) {
          sum[r][v] = i == 0 ? vsum_products(w[v], q) : vsum_add_products(sum[r][v], w[v], q);
        }
      }
    }
    UNROLL for (int r = 0; r < rows; r++) {
      vint factor = vint_set16(part ? 16 : 1);
      if (SHIFT_BY_FACTOR && !IS_INEXACT) {
        factor = vint_bcast32(shifts->factor + r);
        if (part) factor = vint_shl16(factor, 4);
      }
      UNROLL for (int v = 0; v < VECS; v++) {
        const vint wide = vint_from_sums(sum[r][v], factor);
        dot[r][v] = s == 0 ? wide : vint_add32(dot[r][v], wide);
      }
    }
  }
  if (IS_BIASED(f) && !SHIFT_BY_FACTOR) {
    UNROLL for (int r = 0; r < rows; r++) {
      const vint start = dot_start(f, halves, x, r, h);
      UNROLL for (int v = 0; v < VECS; v++) dot[r][v] = vint_add32(dot[r][v], start);
    }
  }
#endif
}

/* (float)(idot << t), idot the dot of row r and half h. Each is exact: the fma's factor is a power of two,
 * its result an integer below 2^24. */
ALWAYS_INLINE vflt shifted_dot(const vint dot, const block_x x, const row_shifts *shifts, const int r,
                               const int h) {
#if SHIFT_BY_FMA
  (void)x;
  const vflt start = vflt_from_bits(vint_bcast32(shifts->start[h] + r));
  if (IS_INEXACT) return vflt_add(vflt_from_bits(dot), start);
  return vflt_fma(vflt_from_bits(dot), vflt_from_bits(vint_bcast32(shifts->factor + r)), start);
#else
  (void)shifts, (void)h;
  return vflt_from_int(SHIFT_BY_FACTOR || IS_INEXACT ? dot : vint_shlv32(dot, vint_bcast32(x.t + r)));
#endif
}

/* --- minima of sub-blocks, results --- */

/* Pairs of sub-blocks in a group whose minima lie together. */
#define MIN_PAIRS(f) ((f).min == WH_MIN_SUB16 ? 8 : 4)

/* The activations' sums that meet them, at the first row and group of a panel call. */
ALWAYS_INLINE const int16_t *panel_jsum(const wh_quant_format f, const wh_linear_q_panel *p) {
  return (f.min == WH_MIN_SUB16 ? p->x->jsum16 : p->x->jsum) + p->row * MIN_PAIRS(f) * 2;
}

/* Pair i of minima of LANES columns from c on, as adjacent 16-bit lanes. */
ALWAYS_INLINE vint min_pairs(const wh_quant_format f, const uint8_t *mins, const int i, const int c) {
  const vint m = vint_from_u8_16(mins + i % 4 * 64 + c * 2);
  if (f.min != WH_MIN_SUB16) return m;
  return i < 4 ? vint_and(m, vint_set16(15)) : vint_shr16(m, 4);
}

/* The panel's columns [c, c + LANES) of row r of the result: v, its bias and its residual. */
ALWAYS_INLINE void store_cols(const wh_linear_q_panel *p, int64_t r, const int c, vflt v) {
  const int left = (int)p->n_cols - c, n = left < LANES ? left : LANES;
  if (left <= 0) return;
  if (p->bias) v = vflt_add(v, vflt_load_n(p->bias + c, n));
  if (p->residual) v = vflt_add(vflt_load_n(p->residual + r * p->ldr + c, n), v);
  vflt_store_n(p->y + r * p->ldy + c, v, n);
}

/* Fetches what store_cols will touch, a few rows per block of the last group: results of a large product are
 * in no cache. */
ALWAYS_INLINE void prefetch_rows(const wh_linear_q_panel *p, int64_t block) {
  const int64_t begin = block * (WH_Q8A_TILE / 4);
  for (int64_t r = begin; r < begin + WH_Q8A_TILE / 4 && r < p->n_rows; r++) {
    for (int64_t c = 0; c < p->n_cols; c += 16) {
      __builtin_prefetch(p->y + r * p->ldy + c, 1, 3);
      if (p->residual && p->residual != p->y) __builtin_prefetch(p->residual + r * p->ldr + c, 0, 3);
    }
  }
}

/* How many bytes of weights before their use they are asked for. The more rows, the longer each byte is used:
 * few rows read little but weights, and the distance covers the latency of memory; with a whole tile of rows
 * the next blocks should wait in L1. */
ALWAYS_INLINE int64_t prefetch_distance(int64_t rows, wh_cpu_fetch how) {
  const int64_t bytes = 65536 / rows, most = how == WH_CPU_FETCH_NEAR ? 2048 : 8192;
  return bytes > most ? most : bytes < 1536 ? 1536 : bytes;
}

ALWAYS_INLINE void prefetch(const uint8_t *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 3);
}

/* The same for weights that are read once. */
ALWAYS_INLINE void prefetch_once(const uint8_t *from, size_t bytes, const wh_cpu_fetch how) {
  if (how == WH_CPU_FETCH_NOT) return;
  if (how == WH_CPU_FETCH_PAST_CACHES)
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 0);
  else
    prefetch(from, bytes);
}

#endif
