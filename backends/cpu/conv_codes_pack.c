/* conv_codes_pack.c - levels, and weights in the panels of conv_codes.h. */
#include <string.h>

#include "backends/cpu/conv_codes.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define ROWS WH_CONV_CODES_ROWS
#define BLOCK_WORDS WH_CONV_CODES_BLOCK

/* ---- levels ---- */

const wh_conv_codes_isa *wh_conv_codes_isa_select(uint64_t features) {
  const wh_conv_codes_isa *isa = NULL;
#if defined(__x86_64__)
#define ISA(level, places, saturates)                                                       \
  static const wh_conv_codes_isa level = {places, saturates, wh_k_conv_codes_tile__##level, \
                                          "conv_codes__" #level}
  ISA(avx2, 16, true);
  ISA(avxvnni, 16, false);
  ISA(avx512, 32, true);
  ISA(avx512vnni, 32, false);
#undef ISA
#define WH_CONV_CODES_KERNEL(level, needs) \
  if ((features & (needs)) == (needs)) isa = &level;
#include "backends/cpu/kernels_conv_codes.def"
#endif
  (void)features;
  return isa;
}

/* ---- weights ---- */

static bool has_rests(const wh_linear_layout *l) { return l->id != WH_CONV_CODES_PANELS + 1; }

/* Where the second of two rests has its x if it is none: not before the block's first byte. */
#define NO_REST (UINT32_C(2) << 16)

/* A code as words have it. */
static int32_t signed_code(wh_dtype dtype, const void *p, int64_t i) {
  const bool is_signed = dtype == WH_DTYPE_I8;
  return wh_code_at(p, i, is_signed) - (is_signed ? 0 : 128);
}

/* Words of rests that a block of so many words has room for. */
static int64_t room_of(int64_t words) { return (words / 4 + 3) / 2 * 2 * ROWS; }
static int64_t rest_words(int64_t words) { return ROWS + room_of(words); }
int64_t wh_conv_codes_block_at(bool rests, int64_t k) {
  return ROWS + k * ROWS + (rests ? k / BLOCK_WORDS * rest_words(BLOCK_WORDS) : 0);
}
int64_t wh_conv_codes_panel_size(bool rests, int64_t words) {
  const int64_t last = words % BLOCK_WORDS;
  return wh_conv_codes_block_at(rests, words - last) + last * ROWS + (rests && last ? rest_words(last) : 0);
}

static bool layout_of(uint32_t id, wh_dtype dtype, int64_t m, int64_t c, int64_t taps,
                      wh_linear_layout *out) {
  int64_t k;
  *out = (wh_linear_layout){
      .id = id, .dtype = dtype, .n = m, .k = c, .panel_cols = ROWS, .n_panels = ceil_div(m, ROWS)};
  if (m <= 0 || c <= 0 || taps <= 0 || __builtin_mul_overflow(c + 3, taps, &k) || k >= INT64_C(1) << 31)
    return false;
  return wh_mul_size((size_t)wh_conv_codes_panel_size(has_rests(out), ceil_div(c, 4) * taps),
                     sizeof(uint32_t), &out->panel_bytes) &&
         wh_mul_size(out->panel_bytes, (size_t)out->n_panels, &out->n_bytes);
}

bool wh_conv_codes_layout(const wh_conv_codes_isa *isa, wh_dtype dtype, int64_t m, int64_t c, int64_t taps,
                          wh_linear_layout *out) {
  return layout_of(WH_CONV_CODES_PANELS + !isa->saturates, dtype, m, c, taps, out);
}

bool wh_conv_codes_columns(wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out) {
  return layout_of(WH_CONV_CODES_COLUMNS, dtype, n, k, 1, out);
}

static int64_t words_of(const wh_linear_layout *l) {
  const int64_t size = (int64_t)(l->panel_bytes / sizeof(uint32_t));
  int64_t words = size / ROWS;
  while (wh_conv_codes_panel_size(has_rests(l), words) > size) words--;
  return words;
}

/* Word `at` of output m: tap at % taps of four channels. */
static uint32_t word_of(const wh_linear_layout *l, const void *src, int64_t taps, int64_t m, int64_t at) {
  const int64_t first = at / taps * 4, n = m < l->n ? min_i64(4, l->k - first) : 0;
  uint32_t word = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t c = first + i,
                  from = l->id == WH_CONV_CODES_COLUMNS ? c * l->n + m : (m * l->k + c) * taps + at % taps;
    word |= ((uint32_t)signed_code(l->dtype, src, from) & 0xff) << 8 * i;
  }
  return word;
}

/* What is too much of the second of two codes where 255 times both must fit 16 bits: of two that are both
 * positive, or both negative. */
static int32_t excess_of(uint32_t word, int half) {
  const int sum = (int8_t)(word >> 16 * half & 0xff) + (int8_t)(word >> (16 * half + 8) & 0xff);
  return sum > 128 ? sum - 128 : sum < -128 ? sum + 128 : 0;
}

/* What is too much in word k becomes number n and on of the rests, but for NULL; how many there are then. */
static int64_t move_excess(uint32_t *word, int64_t k, int64_t n, uint32_t *rests) {
  for (int half = 0; half < 2; half++) {
    const uint32_t excess = (uint32_t)excess_of(*word, half);
    if (!excess) continue;
    if (rests) {
      const int at = 16 * half + 8, to = n % 2 * 16;
      uint32_t *rest = rests + n / 2 * 2;
      *word = (*word & ~(UINT32_C(0xff) << at)) | (((*word >> at) - excess) & 0xff) << at;
      rest[0] |= (excess & 0xff) << (8 + to);
      rest[1] = (rest[1] & ~(UINT32_C(0xffff) << to)) | (uint32_t)(k * 64 + half * 2) << to;
    }
    n++;
  }
  return n;
}

static int32_t sum_of(uint32_t word) {
  return (int8_t)(word & 0xff) + (int8_t)(word >> 8 & 0xff) + (int8_t)(word >> 16 & 0xff) +
         (int8_t)(word >> 24);
}

/* Words [k, k + words) of a panel; their sums are added. */
static void pack_block(const wh_linear_layout *l, const void *src, int64_t taps, int64_t panel, int64_t k,
                       int64_t words, uint32_t *to, uint32_t *sums) {
  for (int64_t i = 0; i < words * ROWS; i++) {
    to[i] = word_of(l, src, taps, panel * ROWS + i % ROWS, k + i / ROWS);
    sums[i % ROWS] += (uint32_t)sum_of(to[i]);
  }
  if (!has_rests(l)) return;
  uint32_t *head = to + words * ROWS, *rests = head + ROWS;
  int64_t n[ROWS] = {0}, all = 0;
  memset(head, 0, (size_t)rest_words(words) * sizeof *head);
  for (int64_t i = 0; i < words * ROWS; i++) n[i % ROWS] = move_excess(&to[i], 0, n[i % ROWS], NULL);
  for (int64_t r = 0; r < ROWS; r++) all += ceil_div(n[r], 2) * 2;
  if (all > room_of(words)) {
    *head = WH_CONV_CODES_TWICE;
    return;
  }
  for (int64_t r = 0; r < ROWS; rests += head[r++]) {
    head[r] = (uint32_t)ceil_div(n[r], 2) * 2;
    if (n[r] % 2) rests[n[r]] = NO_REST;
    for (int64_t i = 0, count = 0; i < words; i++) count = move_excess(&to[i * ROWS + r], i, count, rests);
  }
}

void wh_conv_codes_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                        int64_t panel_end) {
  const int64_t words = words_of(l), taps = words / ceil_div(l->k, 4);
  for (int64_t p = panel_begin; p < panel_end; p++) {
    uint32_t *to = (uint32_t *)(void *)((char *)dst + (size_t)p * l->panel_bytes);
    memset(to, 0, ROWS * sizeof *to);
    for (int64_t k = 0; k < words; k += BLOCK_WORDS)
      pack_block(l, src, taps, p, k, min_i64(BLOCK_WORDS, words - k),
                 to + wh_conv_codes_block_at(has_rests(l), k), to);
  }
}
