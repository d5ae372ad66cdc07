/* linear_q_amx.h - one panel of 32 outputs times tiles of 16 rows on the tile unit: the template of the
 * kernels for quantised weights. A kernel file includes this, then instantiates WH_LINEAR_Q_AMX for its
 * types.
 *
 * Codes are integers of at most 8 bits, and a shift by t keeps them so: bf16 holds both exactly, and every
 * sum of a block's products stays below 2^24, so that the unit's fp32 sums are exact in any order, and are
 * what docs/NUMERICS.md calls (float)(idot << t). Of its block step one fma is left to the vectors. (Bytes
 * would need half the space, but their sums a shift and a conversion, which take twice the time of a tile
 * product.) So are the sums of a group's minima, which are at most 8 times 63 together: what they meet of the
 * activations is at most 32512, in two parts, the second at most 128, so that no partial sum is above
 * 504 * 32640 = 16450560, and 2^24 is 16777216.
 *
 * The team spreads the activations to bf16 before the product, a panel call the codes of a group of 256, once
 * for all of its rows. A tile product is a block, or a half of one where halves have scales, of 16 rows and
 * 16 outputs. While the tile unit makes one, vectors fold an earlier one, which comes to them through memory.
 * A tile of sums is stored when it is needed again, four products later: a store right behind its product
 * would wait for it, and the next product for the store. */
#ifndef WH_CPU_LINEAR_Q_AMX_H
#define WH_CPU_LINEAR_Q_AMX_H

#define WH_LINEAR_Q_VNNI 1
#include "backends/cpu/avx512/linear_q_vec_avx512.h"

#include "backends/cpu/amx/amx_tile.h"
#include "backends/cpu/amx/linear_q_rows.h"
#include "backends/cpu/linear_q_dots.h"
#include "backends/cpu/whole.h"

#define SIDES (COLS / AMX_COLS) /* tiles side by side in a panel */
#define PARTS(f) (WH_LINEAR_Q_GROUP_BLOCKS * HALVES(f))
/* Products whose sums are kept: as few as can be, for the first-level cache has much else to hold. With
 * minima two of them are stored early (HELD_STEP). */
#define KEPT(f) (HAS_SUB_MINS(f) ? 6 : 4)
#define KEPT_MOST 6
#define TILE_BYTES (AMX_ROWS * AMX_ROW_BYTES)
#define TILE_SUMS (AMX_ROWS * AMX_COLS)
#define BLOCK_BYTES (SIDES * TILE_BYTES) /* of a block's codes, spread: [2 sides][16 pairs of k][16][2] */
#define ROWS_PER_CALL WH_LINEAR_Q_AMX_CALL_ROWS
#define HAS_SUB_MINS(f) ((f).min == WH_MIN_SUB32 || (f).min == WH_MIN_SUB16)
#if defined(__clang__)
#define UNROLL_ALL UNROLL
#else
#define UNROLL_ALL _Pragma("GCC unroll 64")
#endif
_Static_assert(AMX_COLS == LANES && SIDES == 2, "a row of a tile is a vector, a panel two tiles wide");
_Static_assert(WH_LINEAR_Q_AMX_ROWS == AMX_ROWS, "activations come in tiles of the unit");

/* What a panel call keeps: codes, minima and scales of a group, sums, results. */
typedef struct amx_work {
  _Alignas(64) uint8_t codes[WH_LINEAR_Q_GROUP_BLOCKS * BLOCK_BYTES], mins[BLOCK_BYTES];
  _Alignas(64) float sums[KEPT_MOST][TILE_SUMS], min_sums[2][SIDES][TILE_SUMS];
  _Alignas(64) float scale[16 * COLS], min[8 * COLS];
  _Alignas(64) float y[ROWS_PER_CALL * COLS];
} amx_work;

/* --- spreading --- */

/* Integers in 16-bit lanes, of which bf16 can hold each, as bf16. */
ALWAYS_INLINE vint bf16_from_16(const vint v) {
  const vint low = _mm512_castps_si512(vflt_from_int(_mm512_srai_epi32(vint_shl32(v, 16), 16)));
  const vint high = _mm512_castps_si512(vflt_from_int(_mm512_srai_epi32(v, 16)));
  return vint_or_and(_mm512_srli_epi32(low, 16), high, vint_set32((int)0xffff0000));
}

/* The codes of one byte of each pair of a quad, k and k + 2 (odd: k + 1 and k + 3), at the bottom of 16-bit
 * lanes; above them may be anything. `p` is the block's record, moved on to the first column. */
ALWAYS_INLINE vint stored_pairs(const wh_quant_format f, const uint8_t *p, const int quad, const int odd) {
  const int at = 8 * odd;
  vint w = vint_zero();
  if (f.bits >= 4) {
    w = shift16(vint_load(p + quad / 2 * 128), -(at + quad % 2 * 4));
    p += 512;
  }
  if (f.bits == 2 || f.bits == 3) w = shift16(vint_load(p + quad / 4 * 128), -(at + quad % 4 * 2));
  if (f.bits == 6) {
    const vint q = shift16(vint_load(p + quad / 4 * 128), 4 - at - quad % 4 * 2);
    w = _mm512_ternarylogic_epi32(vint_set16(15), w, q, 0xca); /* the first chooses */
  }
  if (f.bits == 2 || f.bits == 3) p += 256;
  if (f.bits == 3 || f.bits == 5) {
    const vint q = shift16(vint_load(p), f.bits - 1 - at - quad);
    w = _mm512_ternarylogic_epi32(vint_set16((1 << (f.bits - 1)) - 1), w, q, 0xca);
  }
  return w;
}

/* What codes mean, as bf16: the table of a permutation that looks at 5 or 6 bits. */
typedef struct code_table {
  vint low, high;
} code_table;

ALWAYS_INLINE vint code_values(const wh_quant_format f, const int first) {
  static const int8_t iq4[16] = {WH_CODEBOOK_IQ4_VALUES}, fp4[16] = {WH_CODEBOOK_FP4_VALUES};
  int16_t v[32];
  for (int i = 0; i < 32; i++) {
    const int code = (first + i) & ((1 << f.bits) - 1);
    v[i] = (int16_t)(f.codebook == WH_CODEBOOK_IQ4   ? iq4[code]
                     : f.codebook == WH_CODEBOOK_FP4 ? fp4[code]
                     : f.bias_log2 >= 0              ? code - (1 << f.bias_log2)
                                                     : code);
  }
  return bf16_from_16(vint_load(v));
}

/* A block's codes as bf16. */
ALWAYS_INLINE void spread_block(const wh_quant_format f, const code_table *table, const uint8_t *record,
                                uint8_t *to) {
  UNROLL for (int quad = 0; quad < QUADS; quad++) UNROLL for (int v = 0; v < SIDES; v++) {
    UNROLL for (int odd = 0; odd < 2; odd++) {
      vint w;
      if (f.bits == 8) {
        w = vint_add8(vint_load(record + quad * 128 + v * VEC_BYTES), vint_set8(-(1 << f.bias_log2)));
        w = bf16_from_16(_mm512_srai_epi16(odd ? w : vint_shl16(w, 8), 8));
      } else {
        w = stored_pairs(f, record + v * VEC_BYTES, quad, odd);
        w = f.bits == 6 ? _mm512_permutex2var_epi16(table->low, w, table->high)
                        : _mm512_permutexvar_epi16(w, table->low);
      }
      _mm512_store_si512(to + v * TILE_BYTES + (quad * 2 + odd) * AMX_ROW_BYTES, w);
    }
  }
}

/* Minima of sub-blocks, to meet the activations' sums, which come in two parts (linear_q_rows.h). Halves: 8
 * pairs, for either part; else 4 pairs, twice. */
ALWAYS_INLINE void spread_mins(const wh_quant_format f, const uint8_t *mins, uint8_t *to) {
  const int pairs = MIN_PAIRS(f);
  UNROLL for (int v = 0; v < SIDES; v++) UNROLL for (int i = 0; i < 8; i++) _mm512_store_si512(
      to + v * TILE_BYTES + i * AMX_ROW_BYTES, bf16_from_16(min_pairs(f, mins, i % pairs, v * LANES)));
}

/* --- steps --- */

/* One group of a panel. */
typedef struct amx_group {
  const uint8_t *header;
  int64_t block, group; /* its first block and its number */
  bool is_first;
} amx_group;

/* One tile of rows. `turn`: which of two places its minima's sums have. */
typedef struct amx_rows {
  const wh_linear_q_row_tile *x;
  float *y;
  int turn;
} amx_rows;

/* The products of a tile of rows and a group, in order: minima of both sides, parts of the first side, parts
 * of the second. Step n makes product n in tile of sums n % 4, stores what that held, four products old (or
 * two or six, where the number of steps is no multiple of four), and folds product n - LAG. */
#define MIN_STEPS(f) (HAS_SUB_MINS(f) ? SIDES : 0)
#define STEPS(f) (MIN_STEPS(f) + SIDES * PARTS(f))
#define LAG 7
/* The one before step n of a tile of rows that left its sums in tile n % 4; below 0: of the tile of rows
 * before. */
#define HELD_STEP(f, n) ((n) >= 4 ? (n)-4 : (n)-4 + (STEPS(f) % 4 == 2 ? ((n) < 2 ? 2 : -2) : 0))

/* An address that the compiler adds to where it is used. It would keep all of a tile's addresses, on the
 * stack, where loads wait for the tiles that are stored next to them. */
#define ADD_HERE(p) __asm__ volatile("" : "+r"(p))

/* Where the sums of step n go; below 0 it is one of the tile of rows before. */
ALWAYS_INLINE float *sums_at(const wh_quant_format f, amx_work *w, const int turn, const int n) {
  ADD_HERE(w);
  const int step = n < 0 ? n + STEPS(f) : n;
  if (step < MIN_STEPS(f)) return w->min_sums[turn][step];
  return w->sums[(step - MIN_STEPS(f)) % KEPT(f)];
}

/* A tile of rows and a tile of codes: the product in place of what the tile of sums held. */
ALWAYS_INLINE void multiply(const int n, const bool stores, float *held, const uint16_t *x,
                            const uint8_t *codes) {
#define TAKE_TURN(c, a, b)                         \
  case c:                                          \
    if (stores) AMX_STORE(c, held, AMX_ROW_BYTES); \
    AMX_LOAD(a, x, AMX_ROW_BYTES);                 \
    AMX_LOAD(b, codes, AMX_ROW_BYTES);             \
    AMX_ZERO(c);                                   \
    AMX_DOT_BF16(c, a, b);                         \
    break
  switch (n % 4) {
    TAKE_TURN(0, 4, 6);
    TAKE_TURN(1, 5, 7);
    TAKE_TURN(2, 4, 6);
    TAKE_TURN(3, 5, 7);
  }
#undef TAKE_TURN
}

/* What multiply stores, where no product follows. */
ALWAYS_INLINE void store_sums(const int n, float *held) {
  switch (n % 4) {
    case 0:
      AMX_STORE(0, held, AMX_ROW_BYTES);
      break;
    case 1:
      AMX_STORE(1, held, AMX_ROW_BYTES);
      break;
    case 2:
      AMX_STORE(2, held, AMX_ROW_BYTES);
      break;
    case 3:
      AMX_STORE(3, held, AMX_ROW_BYTES);
      break;
  }
}

ALWAYS_INLINE void make(const wh_quant_format f, amx_work *w, const amx_group *g, const amx_rows *rows,
                        const int n, const bool stores) {
  const uint16_t *x = rows->x->codes + g->block * (TILE_BYTES / 2);
  ADD_HERE(x);
  ADD_HERE(w);
  float *held = sums_at(f, w, rows->turn, HELD_STEP(f, n));
  if (n < MIN_STEPS(f)) {
    const uint16_t *s = rows->x->sums + g->group * (TILE_BYTES / 2);
    multiply(n, stores, held, s, w->mins + n * TILE_BYTES);
    if (HALVES(f) == 1) return;
    AMX_LOAD(4, s + 16, AMX_ROW_BYTES); /* what is left of the activations' sums */
    if (n == 0)
      AMX_DOT_BF16(0, 4, 6);
    else
      AMX_DOT_BF16(1, 4, 7);
    return;
  }
  const int side = (n - MIN_STEPS(f)) / PARTS(f), part = (n - MIN_STEPS(f)) % PARTS(f);
  const int block = part / HALVES(f), half = part % HALVES(f);
  multiply(n, stores, held, x + block * (TILE_BYTES / 2) + half * 16,
           w->codes + block * BLOCK_BYTES + side * TILE_BYTES + half * (TILE_BYTES / 2));
}

/* The block step of product n, and what follows the last of a side. */
ALWAYS_INLINE void fold(const wh_quant_format f, amx_work *w, const amx_group *a, const amx_rows *rows,
                        const int n, vflt g[AMX_ROWS]) {
  if (n < MIN_STEPS(f)) return;
  const int side = (n - MIN_STEPS(f)) / PARTS(f), part = (n - MIN_STEPS(f)) % PARTS(f);
  const wh_linear_q_row_tile *x = rows->x;
  ADD_HERE(w);
  const float *sums = sums_at(f, w, rows->turn, n);
  const vflt s = vflt_load(w->scale + part * COLS + side * LANES);
  UNROLL for (int r = 0; r < AMX_ROWS; r++) g[r] =
      vflt_fma(s, vflt_load(sums + r * AMX_COLS), part == 0 ? vflt_zero() : g[r]);
  if (f.min == WH_MIN_F16) {
    const vflt m = vflt_load(w->min + part * COLS + side * LANES);
    const float *bsum = x->bsum + (a->block + part) * AMX_ROWS;
    UNROLL for (int r = 0; r < AMX_ROWS; r++) g[r] = vflt_fma(m, vflt_bcast(bsum + r), g[r]);
  }
  if (part < PARTS(f) - 1) return;
  if (HAS_SUB_MINS(f)) {
    const vflt dmin = vflt_from_f16(a->header + 64 + side * LANES * 2);
    const float *mins = w->min_sums[rows->turn][side];
    UNROLL for (int r = 0; r < AMX_ROWS; r++) g[r] = vflt_fnma(dmin, vflt_load(mins + r * AMX_COLS), g[r]);
  }
  const float *scale = x->scale + a->group * AMX_ROWS;
  float *y = rows->y + side * LANES;
  UNROLL for (int r = 0; r < AMX_ROWS; r++) {
    const vflt before = a->is_first ? vflt_zero() : vflt_load(y + r * COLS);
    vflt_store(y + r * COLS, vflt_fma(vflt_bcast(scale + r), g[r], before));
  }
}

/* The steps of one tile of rows; `before` is the one whose last products are still to be folded. Without
 * `makes` only that is done. */
ALWAYS_INLINE void run_steps(const wh_quant_format f, amx_work *w, const amx_group *a, const bool makes,
                             const amx_rows *rows, const bool has_before, const amx_rows *before,
                             vflt g[AMX_ROWS]) {
  const int steps = makes ? STEPS(f) : LAG;
  UNROLL_ALL for (int n = 0; n < steps; n++) {
    if (makes)
      make(f, w, a, rows, n, has_before || n >= 4);
    else if (n < 4)
      store_sums(n, sums_at(f, w, 0, HELD_STEP(f, n)));
    if (n >= LAG)
      fold(f, w, a, rows, n - LAG, g);
    else if (has_before)
      fold(f, w, a, before, n - LAG + STEPS(f), g);
  }
}

/* y of all rows after one more group. */
ALWAYS_INLINE void group_step(const wh_quant_format f, amx_work *w, const amx_group *a,
                              const wh_linear_q_row_tile *x, const int tiles) {
  amx_rows rows = {x, w->y, 0};
  vflt g[AMX_ROWS];
  UNROLL for (int r = 0; r < AMX_ROWS; r++) g[r] = vflt_zero();
  run_steps(f, w, a, true, &rows, false, &rows, g);
  for (int tile = 1; tile < tiles; tile++) {
    const amx_rows before = rows;
    rows = (amx_rows){x + tile, before.y + AMX_ROWS * COLS, !before.turn};
    run_steps(f, w, a, true, &rows, true, &before, g);
  }
  run_steps(f, w, a, false, &rows, true, &rows, g);
}

/* rows of the call: up to ROWS_PER_CALL of them, the first one a tile's first */
ALWAYS_INLINE void panel_amx(const wh_quant_format f, const wh_linear_q_panel *p, const void *scratch) {
  amx_work work;
  wh_linear_q_row_tile x[ROWS_PER_CALL / AMX_ROWS];
  const int tiles = (int)((p->n_rows + AMX_ROWS - 1) / AMX_ROWS);
  const int64_t k = p->n_blocks * WH_LINEAR_Q_BLOCK;
  for (int i = 0; i < tiles; i++) x[i] = wh_linear_q_row_tile_at(scratch, k, p->row / AMX_ROWS + i);
  code_table table = {vint_zero(), vint_zero()};
  if (f.bits < 8) table.low = code_values(f, 0);
  if (f.bits == 6) table.high = code_values(f, 32);
  for (int i = 8; HAS_SUB_MINS(f) && i < AMX_ROWS; i++)
    UNROLL for (int v = 0; v < SIDES; v++)
        _mm512_store_si512(work.mins + v * TILE_BYTES + i * AMX_ROW_BYTES, vint_zero());
  const uint8_t *w = p->w;
  amx_group a = {.is_first = true};
  for (; a.block < p->n_blocks; a.block += WH_LINEAR_Q_GROUP_BLOCKS, a.group++, a.is_first = false) {
    const int64_t left = p->n_blocks - a.block;
    const int blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
    a.header = w;
    widen_scales(f, w, blocks, work.scale, work.min);
    w += wh_linear_q_scale_bytes(f, blocks);
    for (int b = 0; b < blocks; b++, w += wh_linear_q_code_bytes(f))
      spread_block(f, &table, w, work.codes + b * BLOCK_BYTES);
    for (int b = blocks; b < WH_LINEAR_Q_GROUP_BLOCKS; b++) { /* adds nothing: zeros times zeros */
      memset(work.codes + b * BLOCK_BYTES, 0, BLOCK_BYTES);
      memset(work.scale + b * COLS, 0, COLS * sizeof(float));
      memset(work.min + b * COLS, 0, COLS * sizeof(float));
    }
    if (HAS_SUB_MINS(f)) spread_mins(f, w, work.mins);
    w += wh_linear_q_min_bytes(f);
    group_step(f, &work, &a, x, tiles);
  }
  for (int64_t r = 0; r < p->n_rows; r++)
    UNROLL for (int c = 0; c < COLS; c += LANES) store_cols(p, r, c, vflt_load(work.y + r * COLS + c));
}

/* --- activations --- */

/* 32 codes times 2^t as bf16, the second and third of each quad having changed places. */
ALWAYS_INLINE vint spread_row(const int8_t *q, const int t) {
  const __m256i quads = _mm256_loadu_si256((const __m256i *)(const void *)q);
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  const __m256i pairs = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(quads, order), 0xd8);
  const vint first = _mm512_cvtepi8_epi16(pairs); /* first codes of pairs, then second ones */
  const vint low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(first));
  const vint high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(first, 1));
  const vint shift = vint_set32(t);
  const vint a = _mm512_castps_si512(vflt_from_int(vint_shlv32(low, shift)));
  const vint b = _mm512_castps_si512(vflt_from_int(vint_shlv32(high, shift)));
  return _mm512_or_si512(_mm512_srli_epi32(a, 16), b);
}

/* Sums of up to 15 bits and a sign, times 2^t as they are: multiples of 256, then what is left of each, at
 * most 128 (at the top: why sums of both parts are exact). */
ALWAYS_INLINE vint spread_sums(const int16_t *sums, const int n) {
  const vint v = n == 16 ? _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)sums))
                         : _mm512_zextsi256_si512(
                               _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)sums)));
  const vint high = _mm512_slli_epi32(_mm512_srai_epi32(vint_add32(v, vint_set32(128)), 8), 8);
  const __m256i h = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(vflt_from_int(high)), 16));
  const __m256i l = _mm512_cvtepi32_epi16(
      _mm512_srli_epi32(_mm512_castps_si512(vflt_from_int(_mm512_sub_epi32(v, high))), 16));
  if (n == 16) return _mm512_inserti64x4(_mm512_castsi256_si512(h), l, 1);
  return _mm512_zextsi256_si512(_mm256_inserti128_si256(h, _mm256_castsi256_si128(l), 1));
}

/* This worker's share of the activations, a group of a tile of rows at a time. */
ALWAYS_INLINE void spread_activations(const wh_quant_format f, const wh_linear_q_args *args,
                                      const wh_worker *worker) {
  const int64_t k = args->layout->k, blocks = k / WH_LINEAR_Q_BLOCK;
  const int64_t groups = wh_linear_q_groups(k), tiles = ceil_div(args->m, AMX_ROWS);
  int64_t begin, end;
  wh_worker_range(worker, tiles * groups, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i / groups * AMX_ROWS, group = i % groups;
    const wh_q8a_tile t = wh_q8a_tile_at(args->x, args->m, k, row / WH_Q8A_TILE);
    const wh_linear_q_row_tile to = wh_linear_q_row_tile_at(args->scratch, k, i / groups);
    const int64_t at = row % WH_Q8A_TILE, n = min_i64(AMX_ROWS, t.rows - at);
    for (int64_t b = group * WH_LINEAR_Q_GROUP_BLOCKS; b < (group + 1) * WH_LINEAR_Q_GROUP_BLOCKS; b++)
      for (int64_t r = 0; r < AMX_ROWS; r++) {
        const bool is_there = r < n && b < blocks;
        const int64_t from = b * t.rows + at + r;
        _mm512_store_si512(to.codes + (b * AMX_ROWS + r) * 32,
                           is_there ? spread_row(t.q + from * 32, t.t[from]) : vint_zero());
        if (f.min == WH_MIN_F16) to.bsum[b * AMX_ROWS + r] = is_there ? t.fbsum[from] : 0;
      }
    for (int64_t r = 0; r < AMX_ROWS; r++) {
      const int64_t from = group * t.rows + at + r;
      to.scale[group * AMX_ROWS + r] = r < n ? t.scale[from] : 0;
      if (!HAS_SUB_MINS(f)) continue;
      const int sums = MIN_PAIRS(f) * 2;
      const int16_t *s = f.min == WH_MIN_SUB16 ? t.jsum16 : t.jsum;
      _mm512_store_si512(to.sums + (group * AMX_ROWS + r) * 32,
                         r < n ? spread_sums(s + from * sums, sums) : vint_zero());
    }
  }
}

static const amx_shapes whole_blocks = AMX_SHAPES(64), half_blocks = AMX_SHAPES(32);

/* The kernel: tiles for this worker, where there are rows for them. */
#define WH_LINEAR_Q_AMX(lower)                                                                 \
  static void panel_##lower(const wh_linear_q_panel *p, const void *scratch) {                 \
    panel_amx(wh_quant_format_##lower, p, scratch);                                            \
  }                                                                                            \
  void wh_k_linear_##lower##__amxint8(const wh_linear_q_args *args, const wh_worker *worker) { \
    if (args->m < WH_LINEAR_Q_AMX_ROWS_MIN) {                                                  \
      wh_k_linear_##lower##__avx512vnni_fma(args, worker);                                     \
      return;                                                                                  \
    }                                                                                          \
    spread_activations(wh_quant_format_##lower, args, worker);                                 \
    if (worker->count > 1) wh_team_barrier(worker);                                            \
    amx_take(HALVES(wh_quant_format_##lower) == 2 ? &half_blocks : &whole_blocks);             \
    wh_linear_q_run_rows(args, worker, panel_##lower);                                         \
    amx_release();                                                                             \
  }

#endif
