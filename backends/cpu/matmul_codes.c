/* matmul_codes.c - see matmul_codes.h: copies, tiles, zero points. */
#include "backends/cpu/matmul_codes.h"

#include <string.h>

#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define PANELS_BYTES ((int64_t)1 << 18)
#define MOST_PANELS 16
#define ROWS 48 /* of a that are copied at a time */
#define COLS WH_CODES_COLS

const wh_codes_isa *wh_codes_isa_select(uint64_t features) {
  const wh_codes_isa *isa = NULL;
#if defined(__x86_64__)
  static const wh_codes_isa avx2 = {2, 6, wh_k_matmul_codes_tile__avx2, "matmul_codes__avx2"},
                            avxvnni = {4, 6, wh_k_matmul_codes_tile__avxvnni, "matmul_codes__avxvnni"},
                            avx512 = {2, 12, wh_k_matmul_codes_tile__avx512, "matmul_codes__avx512"},
                            avx512vnni = {4, 12, wh_k_matmul_codes_tile__avx512vnni,
                                          "matmul_codes__avx512vnni"};
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

bool wh_matmul_codes_scratch(const wh_codes_isa *isa, int64_t n, int64_t k, size_t *out) {
  const size_t words = (size_t)(wh_matmul_codes_width(isa, n, k) + ROWS); /* for each group, and a sum */
  size_t bytes;
  return wh_mul_size(words * sizeof(uint32_t), (size_t)groups_of(isa, k) + 1, &bytes) &&
         wh_align_size(bytes, 64, out);
}

/* A code of either type. */
static inline int32_t code_at(const void *p, int64_t i, bool is_signed) {
  return is_signed ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

typedef struct operand {
  const void *codes, *zeros;
  int64_t zero_step;
  bool is_signed;
} operand;

/* What is added to a code before it is copied: to make it unsigned or signed, or less its zero point. */
static int32_t shift_of(const operand *o, int per_word, bool unsigned_bytes, int64_t i) {
  if (per_word == 4) return unsigned_bytes ? (o->is_signed ? 128 : 0) : (o->is_signed ? 0 : -128);
  return o->zeros ? -code_at(o->zeros, i * o->zero_step, o->is_signed) : 0;
}
/* The zero point of codes as they are copied. */
static int32_t zero_of(const operand *o, int per_word, bool unsigned_bytes, int64_t i) {
  if (per_word != 4) return 0;
  return (o->zeros ? code_at(o->zeros, i * o->zero_step, o->is_signed) : 0) +
         shift_of(o, 4, unsigned_bytes, i);
}

#define INLINE static inline __attribute__((always_inline))

/* Rows [row, row + rows) of a; sums of their codes. A word's codes lie in the order of memory. */
INLINE void rows_body(const int w, const bool is_signed, const operand *a, const wh_matmul_part *p,
                      int64_t row, int64_t rows, uint32_t *dst, uint32_t *sums) {
  const int64_t groups = ceil_div(p->k, w);
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t *from = (const uint8_t *)a->codes + (row + r) * p->lda;
    const int32_t shift = shift_of(a, w, true, row + r);
    uint8_t *bytes = (uint8_t *)(dst + r * groups);
    uint32_t sum = 0;
    dst[r * groups + groups - 1] = 0;
    for (int64_t k = 0; k < p->k; k++) {
      const int32_t code = code_at(from, k, is_signed) + shift;
      const int16_t half = (int16_t)code;
      if (w == 4)
        bytes[k] = (uint8_t)code;
      else
        memcpy(bytes + 2 * k, &half, sizeof half);
      sum += (uint32_t)code;
    }
    sums[r] = sum;
  }
}

static void copy_rows(const wh_codes_isa *isa, const operand *a, const wh_matmul_part *p, int64_t row,
                      int64_t rows, uint32_t *dst, uint32_t *sums) {
  if (isa->per_word == 4 && a->is_signed) rows_body(4, true, a, p, row, rows, dst, sums);
  if (isa->per_word == 4 && !a->is_signed) rows_body(4, false, a, p, row, rows, dst, sums);
  if (isa->per_word == 2 && a->is_signed) rows_body(2, true, a, p, row, rows, dst, sums);
  if (isa->per_word == 2 && !a->is_signed) rows_body(2, false, a, p, row, rows, dst, sums);
}

/* Codes [k, k + n) of `cols` columns as words. */
INLINE void words_of(const int w, const bool is_signed, const uint8_t *from, int64_t ldb, int n, int64_t cols,
                     const int32_t *shift, uint32_t *to, uint32_t *sums) {
  for (int64_t c = 0; c < cols; c++) {
    uint32_t word = 0, sum = 0;
    for (int i = 0; i < n; i++) {
      const uint32_t code = (uint32_t)(code_at(from + i * ldb, c, is_signed) + shift[c]);
      word |= (w == 4 ? code & 0xff : code & 0xffff) << 32 / w * i;
      sum += code;
    }
    to[c] = word;
    sums[c] += sum;
  }
}

/* All columns of b, panel by panel; sums of their codes. Columns that are missing are zeros. */
INLINE void columns_body(const int w, const bool is_signed, const operand *b, const wh_matmul_part *p,
                         uint32_t *dst, uint32_t *sums) {
  const int64_t groups = ceil_div(p->k, w);
  for (int64_t c0 = 0; c0 < p->n; c0 += COLS, dst += groups * COLS, sums += COLS) {
    const int64_t cols = min_i64(COLS, p->n - c0);
    const uint8_t *from = (const uint8_t *)b->codes + c0;
    int32_t shift[COLS] = {0};
    for (int64_t c = 0; c < cols; c++) shift[c] = shift_of(b, w, false, c0 + c);
    memset(sums, 0, COLS * sizeof *sums);
    if (cols < COLS) memset(dst, 0, (size_t)(groups * COLS) * sizeof *dst);
    for (int64_t g = 0; g < groups; g++, from += w * p->ldb) {
      const int64_t left = p->k - g * w;
      if (left >= w && cols == COLS)
        words_of(w, is_signed, from, p->ldb, w, COLS, shift, dst + g * COLS, sums);
      else
        words_of(w, is_signed, from, p->ldb, (int)min_i64(left, w), cols, shift, dst + g * COLS, sums);
    }
  }
}

static void copy_columns(const wh_codes_isa *isa, const operand *b, const wh_matmul_part *p, uint32_t *dst,
                         uint32_t *sums) {
  if (isa->per_word == 4 && b->is_signed) columns_body(4, true, b, p, dst, sums);
  if (isa->per_word == 4 && !b->is_signed) columns_body(4, false, b, p, dst, sums);
  if (isa->per_word == 2 && b->is_signed) columns_body(2, true, b, p, dst, sums);
  if (isa->per_word == 2 && !b->is_signed) columns_body(2, false, b, p, dst, sums);
}

typedef struct corrections {
  const uint32_t *row_sums, *column_sums;
  const operand *a, *b;
  int per_word;
} corrections;

/* (a - za)(b - zb) summed is the dot, less za times b's sum and zb times a's, plus k za zb. */
static void finish(const wh_matmul_part *p, const corrections *c, const uint32_t *dots, int64_t row,
                   int64_t rows, int64_t col) {
  const int64_t cols = min_i64(COLS, p->n - col);
  uint32_t zero[COLS];
  for (int64_t i = 0; i < cols; i++) zero[i] = (uint32_t)zero_of(c->b, c->per_word, false, col + i);
  for (int64_t r = 0; r < rows; r++, dots += COLS) {
    const uint32_t za = (uint32_t)zero_of(c->a, c->per_word, true, row + r), sum = c->row_sums[r],
                   both = (uint32_t)p->k * za - sum;
    int32_t *y = (int32_t *)p->y + (row + r) * p->ldy + col;
    for (int64_t i = 0; i < cols; i++)
      y[i] = (int32_t)(dots[i] - za * c->column_sums[col + i] + zero[i] * both);
  }
}

void wh_matmul_codes_run(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed, bool b_signed,
                         void *scratch) {
  const int64_t groups = groups_of(isa, p->k), panels = ceil_div(p->n, COLS);
  const operand a = {p->a, p->a_zero, p->a_zero_step, a_signed},
                b = {p->b, p->b_zero, p->b_zero_step, b_signed};
  uint32_t *b_words = scratch, *a_words = b_words + panels * COLS * groups,
           *column_sums = a_words + ROWS * groups, *row_sums = column_sums + panels * COLS;
  _Alignas(64) uint32_t dots[ROWS * COLS];
  const corrections c = {row_sums, column_sums, &a, &b, isa->per_word};
  copy_columns(isa, &b, p, b_words, column_sums);
  for (int64_t row = 0; row < p->m; row += ROWS) {
    const int64_t rows = min_i64(ROWS, p->m - row);
    copy_rows(isa, &a, p, row, rows, a_words, row_sums);
    for (int64_t i = 0; i < panels; i++) {
      for (int64_t r = 0, n; r < rows; r += n) {
        n = ceil_div(rows - r, ceil_div(rows - r, isa->tile_rows));
        const wh_codes_tile t = {n, groups, a_words + r * groups, b_words + i * groups * COLS,
                                 dots + r * COLS};
        isa->tile(&t);
      }
      finish(p, &c, dots, row, rows, i * COLS);
    }
  }
}
