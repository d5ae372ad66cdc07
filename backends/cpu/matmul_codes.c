/* matmul_codes.c - see matmul_codes.h: copies, tiles, zero points. */
#include "backends/cpu/matmul_codes.h"

#include <string.h>

#include "backends/cpu/ahead.h"
#include "backends/cpu/unroll.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define PANELS_BYTES ((int64_t)1 << 18)
#define MOST_PANELS 16
#define ROWS 48 /* of a that are copied at a time, whole tiles */
#define MOST_TILE_ROWS WH_CODES_PLACES
#define GROUPS 128 /* words along k that these rows meet at a time: 16 KiB of a panel, in the first cache */
#define COLS WH_CODES_COLS

const wh_codes_isa *wh_codes_isa_select(uint64_t features) {
  const wh_codes_isa *isa = NULL;
#if defined(__x86_64__)
#define ISA(level, vectors, per_word, rows, turned, turn, product, take, release) \
  static const wh_codes_isa level = {per_word,                                    \
                                     rows,                                        \
                                     wh_k_matmul_codes_tile__##vectors,           \
                                     wh_k_matmul_codes_finish__##vectors,         \
                                     "matmul_codes__" #level,                     \
                                     "matmul_codes_panels__" #level,              \
                                     turned,                                      \
                                     turn,                                        \
                                     product,                                     \
                                     take,                                        \
                                     release}
  ISA(avx2, avx2, 2, 6, wh_k_conv_codes_tile__avx2, wh_k_matmul_codes_turn__avx2, NULL, NULL, NULL);
  ISA(avxvnni, avxvnni, 4, 6, NULL, NULL, NULL, NULL, NULL);
  ISA(avx512, avx512, 2, 12, NULL, NULL, NULL, NULL, NULL);
  ISA(avx512vnni, avx512vnni, 4, 12, NULL, NULL, NULL, NULL, NULL);
  ISA(amxint8, avx512vnni, 4, 12, NULL, NULL, wh_k_matmul_codes_product__amxint8,
      wh_k_codes_tiles_take__amxint8, wh_k_codes_tiles_release__amxint8);
#undef ISA
#define WH_MATMUL_CODES_KERNEL(level, needs) \
  if ((features & (needs)) == (needs)) isa = &level;
#include "backends/cpu/kernels_matmul_codes.def"
#endif
  (void)features;
  return isa;
}

static int64_t groups_of(const wh_codes_isa *isa, int64_t k) { return ceil_div(k, isa->per_word); }

int64_t wh_matmul_codes_width(const wh_codes_isa *isa, int64_t n, int64_t k) {
  const int64_t bytes = groups_of(isa, k) * COLS * 4, fit = bytes ? PANELS_BYTES / bytes : MOST_PANELS;
  return COLS * min_i64(fit < 1 ? 1 : fit > MOST_PANELS ? MOST_PANELS : fit, ceil_div(n, COLS));
}

static int64_t panel_words(const wh_codes_isa *isa, int64_t k) { return (groups_of(isa, k) + 1) * COLS; }

bool wh_matmul_codes_packed_scratch(const wh_codes_isa *isa, int64_t k, size_t *out) {
  size_t bytes;
  return wh_mul_size((size_t)groups_of(isa, k) + 16, ROWS * sizeof(uint32_t), &bytes) && /* 16: of tiles */
         wh_add_size(bytes, 64, &bytes) && /* rests read 2 bytes behind words */
         wh_align_size(bytes, 64, out);
}

bool wh_matmul_codes_scratch(const wh_codes_isa *isa, int64_t n, int64_t k, size_t *out) {
  size_t rows, panels;
  return wh_matmul_codes_packed_scratch(isa, k, &rows) &&
         wh_mul_size((size_t)wh_matmul_codes_width(isa, n, k) * sizeof(uint32_t),
                     (size_t)groups_of(isa, k) + 1, &panels) &&
         wh_add_size(rows, panels, out);
}

typedef struct operand {
  const void *codes, *zeros;
  int64_t zero_step;
  bool is_signed;
} operand;

/* What is added to a code before it is copied: to make it unsigned or signed. */
static int32_t shift_of(int per_word, bool is_signed, bool unsigned_bytes) {
  if (per_word != 4) return 0;
  return unsigned_bytes ? (is_signed ? 128 : 0) : (is_signed ? 0 : -128);
}
/* The zero point of codes as they are copied. */
static uint32_t zero_of(const operand *o, int per_word, bool unsigned_bytes, int64_t i) {
  return (uint32_t)((o->zeros ? wh_code_at(o->zeros, i * o->zero_step, o->is_signed) : 0) +
                    shift_of(per_word, o->is_signed, unsigned_bytes));
}

#define PIECE 128 /* words of a row that are copied at a time */

typedef int16_t __attribute__((may_alias)) half_word; /* of words */

/* n codes of a row, as `w` to a word in the order of memory; their sum. */
INLINE uint32_t widen_body(const int w, const bool is_signed, const uint8_t *restrict from, int64_t n,
                           uint32_t *restrict to) {
  const int32_t shift = shift_of(w, is_signed, true);
  half_word *restrict halves = (half_word *)(void *)to;
  uint8_t *restrict bytes = (uint8_t *)(void *)to;
  uint32_t sum = 0;
  for (int64_t k = 0; k < n; k++) {
    const int32_t code = wh_code_at(from, k, is_signed) + shift;
    if (w == 4)
      bytes[k] = (uint8_t)code;
    else
      halves[k] = (half_word)code;
    sum += (uint32_t)code;
  }
  return sum;
}

static uint32_t widen(int w, bool is_signed, const uint8_t *from, int64_t n, uint32_t *to) {
  if (w == 4) return is_signed ? widen_body(4, true, from, n, to) : widen_body(4, false, from, n, to);
  return is_signed ? widen_body(2, true, from, n, to) : widen_body(2, false, from, n, to);
}

void wh_matmul_codes_copy(int per_word, int64_t high, bool a_signed, const wh_matmul_part *p, int64_t row,
                          int64_t rows, uint32_t *dst, uint32_t *sums) {
  const int64_t groups = ceil_div(p->k, per_word), w = per_word;
  _Alignas(64) uint32_t piece[MOST_TILE_ROWS][PIECE];
  memset(sums, 0, (size_t)rows * sizeof *sums);
  for (int64_t r0 = 0; r0 < rows; r0 += high)
    for (int64_t g = 0; g < groups; g += PIECE) {
      const int64_t n = min_i64(PIECE, groups - g), codes = min_i64(n * w, p->k - g * w),
                    r_end = min_i64(high, rows - r0);
      for (int64_t r = 0; r < r_end; r++) {
        const uint8_t *from = (const uint8_t *)p->a + (row + r0 + r) * p->lda + g * w;
        piece[r][n - 1] = 0;
        sums[r0 + r] += widen(per_word, a_signed, from, codes, piece[r]);
      }
      for (int64_t i = 0; i < n; i++, dst += high) {
        for (int64_t r = 0; r < r_end; r++) dst[r] = piece[r][i];
        for (int64_t r = r_end; r < high; r++) dst[r] = 0;
      }
    }
}

/* n codes of each of `cols` columns as words. */
INLINE void words_of(const int w, const bool is_signed, const uint8_t *from, int64_t ldb, int n, int64_t cols,
                     uint32_t *to, uint32_t *sums) {
  const int32_t shift = shift_of(w, is_signed, false);
  for (int64_t c = 0; c < cols; c++) {
    uint32_t word = 0, sum = 0;
    for (int i = 0; i < n; i++) {
      const uint32_t code = (uint32_t)(wh_code_at(from + i * ldb, c, is_signed) + shift);
      word |= (w == 4 ? code & 0xff : code & 0xffff) << 32 / w * i;
      sum += code;
    }
    to[c] = word;
    sums[c] += sum;
  }
}

/* A panel of `cols` columns of k codes. Columns that are missing are zeros. */
INLINE void panel_body(const int w, const bool is_signed, const uint8_t *from, int64_t ldb, int64_t k,
                       int64_t cols, uint32_t *dst) {
  const int64_t groups = ceil_div(k, w);
  uint32_t *sums = dst + groups * COLS;
  memset(sums, 0, COLS * sizeof *sums);
  if (cols < COLS) memset(dst, 0, (size_t)(groups * COLS) * sizeof *dst);
  for (int64_t g = 0; g < groups; g++, from += w * ldb) {
    const int64_t left = k - g * w;
    if (left >= w && cols == COLS)
      words_of(w, is_signed, from, ldb, w, COLS, dst + g * COLS, sums);
    else
      words_of(w, is_signed, from, ldb, (int)min_i64(left, w), cols, dst + g * COLS, sums);
  }
}

static void copy_panel(int w, bool is_signed, const uint8_t *from, int64_t ldb, int64_t k, int64_t cols,
                       uint32_t *dst) {
  if (w == 4 && is_signed) panel_body(4, true, from, ldb, k, cols, dst);
  if (w == 4 && !is_signed) panel_body(4, false, from, ldb, k, cols, dst);
  if (w == 2 && is_signed) panel_body(2, true, from, ldb, k, cols, dst);
  if (w == 2 && !is_signed) panel_body(2, false, from, ldb, k, cols, dst);
}

bool wh_matmul_codes_layout(const wh_codes_isa *isa, wh_dtype dtype, int64_t n, int64_t k,
                            wh_linear_layout *out) {
  if (isa->turned) return wh_conv_codes_columns(dtype, n, k, out);
  *out = (wh_linear_layout){.id = WH_CODES_PANELS + (uint32_t)isa->per_word,
                            .dtype = dtype,
                            .n = n,
                            .k = k,
                            .panel_cols = COLS,
                            .n_panels = ceil_div(n, COLS)};
  return n > 0 && k > 0 &&
         wh_mul_size((size_t)groups_of(isa, k) + 1, COLS * sizeof(uint32_t), &out->panel_bytes) &&
         wh_mul_size(out->panel_bytes, (size_t)out->n_panels, &out->n_bytes);
}

int64_t wh_matmul_codes_ld(const wh_codes_isa *isa) { return isa->turned ? WH_CODES_TURNED : COLS; }

void wh_matmul_codes_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                          int64_t panel_end) {
  for (int64_t i = panel_begin; i < panel_end; i++)
    copy_panel((int)(l->id - WH_CODES_PANELS), l->dtype == WH_DTYPE_I8, (const uint8_t *)src + i * COLS, l->n,
               l->k, min_i64(COLS, l->n - i * COLS),
               (uint32_t *)(void *)((char *)dst + (size_t)i * l->panel_bytes));
}

/* Where the sums of rows from `row` on with panel i of the columns go, `sums` if it is not NULL, and the zero
 * points and sums of these columns. Returns whether one has a zero point that is not 0. */
INLINE bool finish_at(const wh_codes_isa *isa, const wh_matmul_part *p, const operand *b,
                      const uint32_t *panel, int64_t row, int64_t i, int32_t *sums, uint32_t *column_zeros,
                      wh_codes_finish *f) {
  const int64_t cols = min_i64(COLS, p->n - i * COLS);
  bool zeros = false;
  f->cols = cols;
  f->ldy = sums ? COLS : p->ldy;
  f->column_sums = panel + groups_of(isa, p->k) * COLS;
  f->column_zeros = column_zeros;
  f->y = sums ? sums : (int32_t *)p->y + row * p->ldy + i * COLS;
  for (int64_t c = 0; c < COLS; c++) {
    column_zeros[c] = c < cols ? zero_of(b, isa->per_word, false, i * COLS + c) : 0;
    zeros = zeros || column_zeros[c];
  }
  return zeros;
}

/* Rows [row, row + rows), at most ROWS, with panels [begin, end), the first of which is column 0's. */
static void run_rows(const wh_codes_isa *isa, const wh_matmul_part *p, const operand *a, const operand *b,
                     const uint32_t *panels, int64_t row, int64_t rows, int64_t begin, int64_t end,
                     uint32_t *words, wh_codes_end *chain) {
  const int64_t groups = groups_of(isa, p->k), step = panel_words(isa, p->k);
  _Alignas(64) uint32_t dots[ROWS * COLS];
  _Alignas(64) int32_t sums[ROWS * COLS]; /* for the chain */
  uint32_t row_zeros[ROWS], rests[ROWS], column_zeros[COLS];
  wh_matmul_codes_copy(isa->per_word, isa->tile_rows, a->is_signed, p, row, rows, words, rests);
  for (int64_t r = 0; r < rows; r++) {
    row_zeros[r] = zero_of(a, isa->per_word, true, row + r);
    rests[r] = (uint32_t)p->k * row_zeros[r] - rests[r];
  }
  for (int64_t i = begin; i < end; i++) {
    const uint32_t *panel = panels + i * step;
    wh_codes_finish f = {.rows = rows, .dots = dots, .row_zeros = row_zeros, .row_rests = rests};
    for (int64_t g = 0; g < groups; g += GROUPS)
      for (int64_t r = 0, n; r < rows; r += n) {
        n = min_i64(isa->tile_rows, rows - r);
        const wh_codes_tile t = {.rows = n,
                                 .groups = min_i64(GROUPS, groups - g),
                                 .goes_on = g > 0,
                                 .a = words + r * groups + g * isa->tile_rows,
                                 .b = panel + g * COLS,
                                 .y = dots + r * COLS};
        isa->tile(&t);
      }
    (void)finish_at(isa, p, b, panel, row, i, chain ? sums : NULL, column_zeros, &f);
    isa->finish(&f);
    if (chain) wh_codes_end_run(chain, sums, row, rows, i * COLS, f.cols);
  }
}

#define TILE_BYTES 64 /* of a row in a tile register */
#define TILE_HIGH 16

/* The same in tile registers, of at most 2 * TILE_HIGH rows, which are read where they lie if they fit. */
static void run_tiles(const wh_codes_isa *isa, const wh_matmul_part *p, const operand *a, const operand *b,
                      const uint32_t *panels, int64_t row, int64_t rows, int64_t begin, int64_t end,
                      uint32_t *words, wh_codes_end *chain) {
  const int64_t step = panel_words(isa, p->k);
  _Alignas(64) uint32_t dots[2 * TILE_HIGH * COLS], start[COLS];
  _Alignas(64) int32_t sums[2 * TILE_HIGH * COLS];
  uint32_t row_zeros[2 * TILE_HIGH], rests[2 * TILE_HIGH], column_zeros[COLS];
  wh_codes_product product = {.rows = rows,
                              .k = p->k,
                              .lda = p->lda,
                              .a = (const uint8_t *)p->a + row * p->lda,
                              .a_signed = a->is_signed,
                              .start = start,
                              .y = dots};
  bool has_sums = false, one_zero = true;
  for (int64_t r = 0; r < rows; r++) {
    row_zeros[r] = zero_of(a, 0, true, row + r);
    one_zero = one_zero && row_zeros[r] == row_zeros[0];
  }
  if (rows % TILE_HIGH || p->k % TILE_BYTES) {
    const int64_t lda = ceil_div(p->k, TILE_BYTES) * TILE_BYTES;
    memset(words, 0, (size_t)(ceil_div(rows, TILE_HIGH) * TILE_HIGH * lda));
    for (int64_t r = 0; r < rows; r++)
      memcpy((char *)words + r * lda, (const char *)product.a + r * p->lda, (size_t)p->k);
    product.a = words;
    product.lda = lda;
  }
  for (int64_t i = begin; i < end; i++) {
    const uint32_t *panel = panels + i * step;
    if (row == 0 && i + 1 < end) wh_ask_for(panel + step, step * (int64_t)sizeof *panel);
    wh_codes_finish f = {.rows = rows, .dots = dots, .row_zeros = row_zeros, .row_rests = rests};
    const bool zeros = finish_at(isa, p, b, panel, row, i, chain ? sums : NULL, column_zeros, &f);
    const bool done = chain && one_zero && !zeros; /* a tile register begins with all that zero points add */
    for (int64_t c = 0; c < COLS; c++) start[c] = done ? 0 - row_zeros[0] * f.column_sums[c] : 0;
    for (int64_t r = 0; !has_sums && !done && r < rows; r++) {
      rests[r] = (uint32_t)p->k * row_zeros[r];
      for (int64_t k = 0; zeros && k < p->k; k++)
        rests[r] -= (uint32_t)wh_code_at((const char *)product.a + r * product.lda, k, a->is_signed);
    }
    has_sums = has_sums || (zeros && !done);
    product.b = panel;
    isa->product(&product);
    if (!done) isa->finish(&f);
    if (chain) wh_codes_end_run(chain, done ? (int32_t *)dots : sums, row, rows, i * COLS, f.cols);
  }
}

/* Rows of a that meet panels together. */
static int64_t rows_at_once(const wh_codes_isa *isa) { return isa->product ? 2 * TILE_HIGH : ROWS; }

static void run_some(const wh_codes_isa *isa, const wh_matmul_part *p, const operand *a, const operand *b,
                     const uint32_t *panels, int64_t row, int64_t begin, int64_t end, uint32_t *words,
                     wh_codes_end *chain) {
  const int64_t rows = min_i64(rows_at_once(isa), p->m - row);
  (isa->product ? run_tiles : run_rows)(isa, p, a, b, panels, row, rows, begin, end, words, chain);
}

static operand operand_a(const wh_matmul_part *p, bool is_signed) {
  return (operand){p->a, p->a_zero, p->a_zero_step, is_signed};
}
static operand operand_b(const wh_matmul_part *p, bool is_signed) {
  return (operand){p->b, p->b_zero, p->b_zero_step, is_signed};
}

void wh_matmul_codes_run(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed, bool b_signed,
                         void *scratch) {
  const int64_t n_panels = ceil_div(p->n, COLS), step = panel_words(isa, p->k);
  const operand a = operand_a(p, a_signed), b = operand_b(p, b_signed);
  uint32_t *panels = scratch, *words = panels + n_panels * step;
  for (int64_t i = 0; i < n_panels; i++)
    copy_panel(isa->per_word, b_signed, (const uint8_t *)p->b + i * COLS, p->ldb, p->k,
               min_i64(COLS, p->n - i * COLS), panels + i * step);
  if (isa->take) isa->take();
  for (int64_t row = 0; row < p->m; row += rows_at_once(isa))
    run_some(isa, p, &a, &b, panels, row, 0, n_panels, words, NULL);
  if (isa->release) isa->release();
}

/* Tasks are some panels of rows_at_once. */
void wh_matmul_codes_run_packed(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed,
                                bool b_signed, const void *panels, char *scratch, size_t worker_scratch,
                                wh_codes_end *chain, const wh_worker *worker) {
  const int64_t high = rows_at_once(isa), n_panels = ceil_div(p->n, COLS), down = ceil_div(p->m, high);
  const operand a = operand_a(p, a_signed), b = operand_b(p, b_signed);
  uint32_t *words = (uint32_t *)(void *)(scratch + worker_scratch * (size_t)worker->index);
  int64_t across = 1, begin, end;
  if (isa->turned) {
    wh_matmul_codes_run_turned(isa, p, a_signed, b_signed, panels, words, chain, worker);
    return;
  }
  if (down < 4 * worker->count) across = min_i64(worker->count, n_panels);
  wh_worker_range(worker, down * across, &begin, &end);
  if (isa->take) isa->take();
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i % down * high, piece = i / down; /* with the same panels one after the other */
    run_some(isa, p, &a, &b, panels, row, n_panels * piece / across, n_panels * (piece + 1) / across, words,
             chain);
  }
  if (isa->release) isa->release();
}
