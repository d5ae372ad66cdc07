/* linear_q_tile.h - one panel of 32 outputs times up to 64 rows: the template of every SIMD kernel.
 *
 * A kernel file includes a vector header (linear_q_vec_<isa>.h), then this, then instantiates
 * WH_LINEAR_Q_TILE for its types. The format is a compile-time constant everywhere below, so each type's
 * kernel holds only its own unpacking and block step.
 *
 * Weights stay, rows stream: the codes of one block (32 values of 32 columns, or of 8 columns with 256-bit
 * vectors) are widened into registers and meet every row of the tile before the next block is read. Lanes are
 * outputs, so the order of each output's operations is that of docs/NUMERICS.md whatever the vector width.
 * Partial sums of a group (g) and of a row (y) live in L1. */
#ifndef WH_CPU_LINEAR_Q_TILE_H
#define WH_CPU_LINEAR_Q_TILE_H

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
#define QUADS 8             /* of k in a block */
#define VECS 2              /* vectors of columns that are held at once */
#define HELD (VECS * LANES) /* columns that are held at once */

/* Rows that meet the codes together: sums enough to cover the latency of the dots, registers allowing. Blocks
 * of two halves have twice the sums. */
#define ROWS_AT_ONCE_MAX 6
#if defined(WH_LINEAR_Q_VNNI) && LANES == 16
#define ROWS_AT_ONCE(f) (HALVES(f) == 2 ? 4 : ROWS_AT_ONCE_MAX)
#else
#define ROWS_AT_ONCE(f) 4
#endif

/* Widened codes stay in registers where there are enough of them. Elsewhere every row step reads them from L1
 * just before their use; the compiler must not see that it could keep them, since it would spill the sums
 * instead. */
#if defined(WH_LINEAR_Q_VNNI) && LANES == 16
#define KEEP_IN_MEMORY(w) ((void)0)
#else
#define KEEP_IN_MEMORY(w) __asm__ volatile("" : "+r"(w) : : "memory")
#endif

/* Parts of a block with a scale each. */
#define HALVES(f) ((f).scale == WH_SCALE_SUB16 || (f).scale == WH_SCALE_SUB16_U4 ? 2 : 1)

/* What the contract costs, left out: activations without a shift for each block, sums that run on through the
 * groups. Only bench/inexact_linear_q.c asks for it, to measure the cost. */
#ifdef WH_LINEAR_Q_INEXACT
#define IS_INEXACT 1
#else
#define IS_INEXACT 0
#endif

/* Codes of 8 bits, where there is no dot of full range: pair sums of products would not fit int16, so the low
 * and the high nibbles are multiplied on their own. */
#ifdef WH_LINEAR_Q_VNNI
#define IS_SPLIT(f) 0
#else
#define IS_SPLIT(f) ((f).bits == 8 || (f).codebook == WH_CODEBOOK_IQ4)
#endif

/* Where a block's activations are, at the first row of a call. Arrays step by the tile's rows per block. */
typedef struct block_x {
  const int8_t *q;
  const int32_t *t, *nbsum, *nbsum16;
  const float *fbsum;
} block_x;

/* --- widening codes --- */

ALWAYS_INLINE vint shift16(vint v, int left) {
  if (left > 0) return vint_shl16(v, left);
  if (left < 0) return vint_shr16(v, -left);
  return v;
}

ALWAYS_INLINE vint codebook(const wh_linear_q_format f) {
  static const int8_t iq4[16] = {WH_CODEBOOK_IQ4_VALUES}, fp4[16] = {WH_CODEBOOK_FP4_VALUES};
  vint t = vint_bcast128(f.codebook == WH_CODEBOOK_IQ4 ? iq4 : fp4);
  return vint_add8(t, vint_set8(1 << f.bias_log2));
}

/* The codes of one quad and vector. `p` is the block's record, moved on to the first held column. */
ALWAYS_INLINE vint widen_one(const wh_linear_q_format f, const uint8_t *p, const int quad, const int v) {
  vint w = vint_zero();
  p += v * VEC_BYTES;
  if (f.bits == 8) return vint_load(p + quad * 128);
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
  return f.codebook == WH_CODEBOOK_NONE ? w : vint_lookup(codebook(f), w);
}

/* The low (part 0) or high nibbles of codes of 8 bits. */
ALWAYS_INLINE vint split_part(vint w, const int part) {
  return vint_and(part ? vint_shr16(w, 4) : w, vint_set8(15));
}

/* w[quad * VECS + v]: the codes of the held columns; when split, the low nibbles, then the high ones. */
ALWAYS_INLINE void widen(const wh_linear_q_format f, const uint8_t *p, vint *w) {
  UNROLL for (int i = 0; i < QUADS; i++) UNROLL for (int v = 0; v < VECS; v++) {
    const vint code = widen_one(f, p, i, v);
    w[i * VECS + v] = IS_SPLIT(f) ? split_part(code, 0) : code;
    if (IS_SPLIT(f)) w[(QUADS + i) * VECS + v] = split_part(code, 1);
  }
}

/* The group's scales (and fp16 minima) as floats: scale[block or half][32], min[block][32]. */
ALWAYS_INLINE void widen_scales(const wh_linear_q_format f, const uint8_t *p, int blocks, float *scale,
                                float *min) {
  if (f.scale == WH_SCALE_F16) {
    for (int i = 0; i < blocks * COLS; i += LANES) vflt_store(scale + i, vflt_from_f16(p + i * 2));
    if (f.min == WH_MIN_F16) {
      p += blocks * COLS * 2;
      for (int i = 0; i < blocks * COLS; i += LANES) vflt_store(min + i, vflt_from_f16(p + i * 2));
    }
    return;
  }
  if (f.scale == WH_SCALE_E8M0) {
    for (int i = 0; i < blocks * COLS; i += LANES) vflt_store(scale + i, vflt_from_e8m0(p + i));
    return;
  }
  const uint8_t *sub = p + (f.min != WH_MIN_NONE ? 128 : 64);
  UNROLL for (int c = 0; c < COLS; c += LANES) {
    const vflt d = vflt_from_f16(p + c * 2);
    if (f.scale == WH_SCALE_SUB16_U4) {
      for (int b = 0; b < 8; b++)
        UNROLL for (int h = 0; h < 2; h++)
            vflt_store(scale + (2 * b + h) * COLS + c, vflt_mul(d, vflt_from_u4(sub + b * COLS + c, h)));
    } else {
      const int n = f.scale == WH_SCALE_SUB16 ? 16 : 8;
      for (int i = 0; i < n; i++)
        vflt_store(scale + i * COLS + c, vflt_mul(d, vflt_from_s8(sub + i * COLS + c)));
    }
  }
}

/* --- one block --- */

/* What the dots of row r start from: the unsigned codes' bias times minus the sum of the activations. */
ALWAYS_INLINE vint dot_start(const wh_linear_q_format f, const int halves, const block_x x, int r, int h) {
  if (f.bias_log2 < 0) return vint_zero();
  return vint_shl32(vint_bcast32(halves == 2 ? x.nbsum16 + 2 * r + h : x.nbsum + r), f.bias_log2);
}

/* A block's codes: widened for all rows of a tile, or (for one or two rows) the record, to be widened on the
 * way. */
typedef struct block_codes {
  const vint *w;
  const uint8_t *record;
} block_codes;

ALWAYS_INLINE vint code_vector(const wh_linear_q_format f, const block_codes *codes, const bool widened,
                               const int part, const int quad, const int v) {
  if (widened) return codes->w[(part * QUADS + quad) * VECS + v];
  const vint w = widen_one(f, codes->record, quad, v);
  return IS_SPLIT(f) ? split_part(w, part) : w;
}

/* dot[row][v]: the dots of half h (of `halves`) of a block with the rows' activations. */
ALWAYS_INLINE void dots(const wh_linear_q_format f, const int halves, const int h, block_codes codes,
                        const bool widened, const int rows, const block_x x, vint dot[][VECS]) {
  const int quads = QUADS / halves, first = h * quads;
#ifdef WH_LINEAR_Q_VNNI
  UNROLL for (int r = 0; r < rows; r++) {
    const vint start = dot_start(f, halves, x, r, h);
    UNROLL for (int v = 0; v < VECS; v++) dot[r][v] = start;
  }
  UNROLL for (int i = first; i < first + quads; i++) {
    if (widened) KEEP_IN_MEMORY(codes.w);
    vint w[VECS];
    UNROLL for (int v = 0; v < VECS; v++) w[v] = code_vector(f, &codes, widened, 0, i, v);
    UNROLL for (int r = 0; r < rows; r++) {
      const vint q = vint_bcast32(x.q + r * 32 + i * 4);
      UNROLL for (int v = 0; v < VECS; v++) dot[r][v] = vint_dot8(dot[r][v], w[v], q);
    }
  }
#else
  /* How many pair sums of products fit an int16 lane: |x| <= 127, codes below 2^bits (28 with the FP4
   * codebook). */
  const int fit = f.bits == 6 ? 2 : f.bits == 5 || f.codebook == WH_CODEBOOK_FP4 ? 4 : 8;
  const int span = fit < quads ? fit : quads, parts = IS_SPLIT(f) ? 2 : 1, spans = parts * (quads / span);
  UNROLL for (int s = 0; s < spans; s++) {
    const int part = s / (quads / span);
    vint sum[ROWS_AT_ONCE_MAX][VECS];
    UNROLL for (int i = 0; i < span; i++) {
      const int quad = first + s % (quads / span) * span + i;
      if (widened) KEEP_IN_MEMORY(codes.w);
      vint w[VECS];
      UNROLL for (int v = 0; v < VECS; v++) w[v] = code_vector(f, &codes, widened, part, quad, v);
      UNROLL for (int r = 0; r < rows; r++) {
        const vint q = vint_bcast32(x.q + r * 32 + quad * 4);
        UNROLL for (int v = 0; v < VECS; v++) {
          const vint p = vint_maddubs(w[v], q);
          sum[r][v] = i == 0 ? p : vint_add16(sum[r][v], p);
        }
      }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < VECS; v++) {
      const vint wide = vint_pair_sums(sum[r][v], part ? 16 : 1);
      dot[r][v] = s == 0 ? wide : vint_add32(dot[r][v], wide);
    }
  }
  if (f.bias_log2 >= 0) {
    UNROLL for (int r = 0; r < rows; r++) {
      const vint start = dot_start(f, halves, x, r, h);
      UNROLL for (int v = 0; v < VECS; v++) dot[r][v] = vint_add32(dot[r][v], start);
    }
  }
#endif
}

/* Scales of the held columns and halves, and minima. In registers: the compiler cannot know that sums and
 * scales do not overlap. */
typedef struct block_scales {
  vflt scale[2][VECS], min[VECS];
} block_scales;

ALWAYS_INLINE block_scales load_scales(const wh_linear_q_format f, const float *scale, const float *min) {
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
ALWAYS_INLINE void block_step(const wh_linear_q_format f, const int rows, const block_codes codes,
                              const bool widened, const bool ends, const block_scales *s, const block_x x,
                              const block_sums to) {
  const int halves = HALVES(f);
  vint dot[2][ROWS_AT_ONCE_MAX][VECS];
  UNROLL for (int h = 0; h < halves; h++) dots(f, halves, h, codes, widened, rows, x, dot[h]);
  UNROLL for (int r = 0; r < rows; r++) {
    const vint t = vint_bcast32(x.t + r);
    UNROLL for (int v = 0; v < VECS; v++) {
      vflt sum = vflt_load(to.from + (size_t)r * to.from_step + v * LANES);
      UNROLL for (int h = 0; h < halves; h++) sum = vflt_fma(
          s->scale[h][v], vflt_from_int(IS_INEXACT ? dot[h][r][v] : vint_shlv32(dot[h][r][v], t)), sum);
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

ALWAYS_INLINE block_x block_x_skip(block_x x, int64_t rows) {
  x.q += rows * 32;
  x.t += rows;
  x.nbsum += rows;
  x.nbsum16 += rows * 2;
  x.fbsum += rows;
  return x;
}

static const float linear_q_zeros[COLS];

/* All rows of a tile meet a block's codes, which are widened once for them. */
ALWAYS_INLINE void block_rows(const wh_linear_q_format f, const uint8_t *record, const bool ends,
                              const block_scales *s, block_x x, int64_t rows, block_sums to) {
  vint widened[2 * QUADS * VECS];
  widen(f, record, widened);
  const block_codes codes = {.w = widened};
#define STEP(n)                                  \
  block_step(f, n, codes, true, ends, s, x, to); \
  x = block_x_skip(x, n);                        \
  to = block_sums_skip(to, n, 0);                \
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
ALWAYS_INLINE void block(const wh_linear_q_format f, const uint8_t *record, const float *scale,
                         const float *min, const block_x x, int64_t rows, const bool ends,
                         const block_sums all) {
  for (int c = 0; c < COLS; c += HELD) {
    const block_sums to = block_sums_skip(all, 0, c);
    const block_codes codes = {.record = record + c * 4};
    const block_scales s = load_scales(f, scale + c, min + c);
    if (rows == 1)
      block_step(f, 1, codes, false, ends, &s, x, to);
    else if (rows == 2)
      block_step(f, 2, codes, false, ends, &s, x, to);
    else
      block_rows(f, codes.record, ends, &s, x, rows, to);
  }
}

/* --- one group, and the whole panel --- */

/* y[rows][32] after one more group of a type with minima of sub-blocks: these first, then the activations'
 * scale.
 */
ALWAYS_INLINE void group_step(const wh_linear_q_format f, const uint8_t *header, const uint8_t *mins,
                              const int16_t *jsum, const int64_t rows, const block_sums s) {
  const int pairs = f.min == WH_MIN_SUB16 ? 8 : 4;
  for (int c = 0; c < COLS; c += HELD) {
    vint mn[8][VECS];
    vflt dmin[VECS];
    UNROLL for (int v = 0; v < VECS; v++) {
      UNROLL for (int i = 0; i < pairs; i++) {
        mn[i][v] = vint_from_u8_16(mins + i % 4 * 64 + (c + v * LANES) * 2);
        if (f.min == WH_MIN_SUB16)
          mn[i][v] = i < 4 ? vint_and(mn[i][v], vint_set16(15)) : vint_shr16(mn[i][v], 4);
      }
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
        const vflt before = vflt_load(s.before + (size_t)r * s.before_step + c + v * LANES);
        vflt_store(s.y + at, vflt_fma(x_scale, sum, before));
      }
    }
  }
}

/* The panel's columns of the result: y, its bias and its residual. */
ALWAYS_INLINE void store_rows(const wh_linear_q_panel *p, const float *y) {
  for (int64_t r = 0; r < p->n_rows; r++) {
    for (int c = 0; c < p->n_cols; c += LANES) {
      const int left = (int)p->n_cols - c, n = left < LANES ? left : LANES;
      vflt v = vflt_load(y + r * COLS + c);
      if (p->bias) v = vflt_add(v, vflt_load_n(p->bias + c, n));
      if (p->residual) v = vflt_add(vflt_load_n(p->residual + r * p->ldr + c, n), v);
      vflt_store_n(p->y + r * p->ldy + c, v, n);
    }
  }
}

/* Fetches what store_rows will touch, a few rows per block of the last group: results of a large product are
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

/* Asks for weights that will be needed soon. With few rows a product does little but read, and the distance
 * covers the latency of memory; with many, the next blocks should wait in L1. */
ALWAYS_INLINE void prefetch(const uint8_t *p, size_t bytes, int64_t rows) {
  const uint8_t *from = p + (rows <= 8 ? 8192 : 1536);
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 3);
}

ALWAYS_INLINE void tile(const wh_linear_q_format f, const wh_linear_q_panel *p) {
  _Alignas(64) float g[WH_Q8A_TILE * COLS], y[WH_Q8A_TILE * COLS], scale[16 * COLS], min[8 * COLS];
  const wh_q8a_tile *t = p->x;
  const int64_t rows = p->n_rows;
  block_x x = block_x_skip((block_x){t->q, t->t, t->nbsum, t->nbsum16, t->fbsum}, p->row);
  const int jsum_step = f.min == WH_MIN_SUB16 ? 16 : 8;
  const int16_t *jsum = (f.min == WH_MIN_SUB16 ? t->jsum16 : t->jsum) + p->row * jsum_step;
  const float *x_scale = t->scale + p->row;
  const uint8_t *w = p->w;
  const bool runs_on = IS_INEXACT, has_mins = wh_linear_q_min_bytes(f) > 0;
  for (int64_t left = p->n_blocks; left > 0; left -= WH_LINEAR_Q_GROUP_BLOCKS) {
    const int blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
    const bool is_first = left == p->n_blocks, is_last = left <= WH_LINEAR_Q_GROUP_BLOCKS;
    const bool from_zero = is_first || runs_on, ends = !has_mins && (!runs_on || is_last);
    const uint8_t *header = w;
    prefetch(w, wh_linear_q_scale_bytes(f, blocks) + wh_linear_q_min_bytes(f), rows);
    widen_scales(f, header, blocks, scale, min);
    w += wh_linear_q_scale_bytes(f, blocks);
    block_sums sums = {linear_q_zeros,       0, g, x_scale, from_zero ? linear_q_zeros : y,
                       from_zero ? 0 : COLS, y};
    for (int b = 0; b < blocks; b++) {
      prefetch(w, wh_linear_q_code_bytes(f), rows);
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
    if (has_mins) group_step(f, header, w, jsum, rows, sums);
    w += wh_linear_q_min_bytes(f);
    jsum += t->rows * jsum_step;
    x_scale += t->rows;
  }
  store_rows(p, y);
}

#define WH_LINEAR_Q_TILE(lower, isa)                                                            \
  static void tile_##lower(const wh_linear_q_panel *p) { tile(wh_linear_q_format_##lower, p); } \
  void wh_k_linear_##lower##__##isa(const wh_linear_q_args *args, const wh_worker *worker) {    \
    wh_linear_q_run(args, worker, tile_##lower);                                                \
  }

#endif
