/* conv_codes_pack.c - levels, and weights in the panels of conv_codes.h. */
#include <string.h>

#include "backends/cpu/conv_codes.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define BLOCK_WORDS WH_CONV_CODES_BLOCK

/* ---- levels ---- */

const wh_conv_codes_isa *wh_conv_codes_isa_select(uint64_t features) {
  const wh_conv_codes_isa *isa = NULL;
#if defined(__x86_64__)
#define ISA(level, places, layout, take, release)                                         \
  static const wh_conv_codes_isa level = {places, layout,  wh_k_conv_codes_tile__##level, \
                                          take,   release, "conv_codes__" #level}
  ISA(avx2, 16, WH_CONV_CODES_PANELS, NULL, NULL);
  ISA(avxvnni, 16, WH_CONV_CODES_PANELS + 1, NULL, NULL);
  ISA(avx512, 32, WH_CONV_CODES_PANELS, NULL, NULL);
  ISA(avx512vnni, 32, WH_CONV_CODES_PANELS + 1, NULL, NULL);
  ISA(amxint8, 32, WH_CONV_CODES_TILES, wh_k_codes_tiles_take__amxint8, wh_k_codes_tiles_release__amxint8);
#undef ISA
#define WH_CONV_CODES_KERNEL(level, needs) \
  if ((features & (needs)) == (needs)) isa = &level;
#include "backends/cpu/kernels_conv_codes.def"
#endif
  (void)features;
  return isa;
}

/* ---- weights ---- */

int64_t wh_conv_codes_rows(uint32_t layout) {
  return layout == WH_CONV_CODES_TILES ? WH_CONV_CODES_MOST_ROWS : WH_CONV_CODES_ROWS;
}
bool wh_conv_codes_has_rests(uint32_t layout) {
  return layout == WH_CONV_CODES_PANELS || layout == WH_CONV_CODES_COLUMNS;
}

/* Where the second of two rests has its x if it is none: not before the block's first byte. */
#define NO_REST (UINT32_C(2) << 16)

/* Words of rests that a block of so many words has room for. */
static int64_t room_of(int64_t words) { return (words / 4 + 3) / 2 * 2 * WH_CONV_CODES_ROWS; }
static int64_t rest_words(uint32_t layout, int64_t words) {
  return wh_conv_codes_has_rests(layout) && words ? WH_CONV_CODES_ROWS + room_of(words) : 0;
}
/* Words of an output, with those that are missing. */
static int64_t whole_words(uint32_t layout, int64_t words) {
  return layout == WH_CONV_CODES_TILES ? ceil_div(words, WH_CONV_CODES_STEP) * WH_CONV_CODES_STEP : words;
}
int64_t wh_conv_codes_block_at(uint32_t layout, int64_t k) {
  return (1 + k) * wh_conv_codes_rows(layout) + k / BLOCK_WORDS * rest_words(layout, BLOCK_WORDS);
}
int64_t wh_conv_codes_panel_size(uint32_t layout, int64_t words) {
  const int64_t last = words % BLOCK_WORDS;
  return wh_conv_codes_block_at(layout, words - last) +
         whole_words(layout, last) * wh_conv_codes_rows(layout) + rest_words(layout, last);
}

static bool layout_of(uint32_t id, wh_dtype dtype, int64_t m, int64_t c, int64_t taps,
                      wh_linear_layout *out) {
  const int64_t rows = wh_conv_codes_rows(id);
  int64_t k;
  *out = (wh_linear_layout){.id = id,
                            .dtype = dtype,
                            .n = m,
                            .k = c,
                            .taps = taps,
                            .panel_cols = rows,
                            .n_panels = ceil_div(m, rows)};
  if (m <= 0 || c <= 0 || taps <= 0 || __builtin_mul_overflow(c + 3, taps, &k) || k >= INT64_C(1) << 31)
    return false;
  return wh_mul_size((size_t)wh_conv_codes_panel_size(id, ceil_div(c, 4) * taps), sizeof(uint32_t),
                     &out->panel_bytes) &&
         wh_mul_size(out->panel_bytes, (size_t)out->n_panels, &out->n_bytes);
}

bool wh_conv_codes_layout(const wh_conv_codes_isa *isa, wh_dtype dtype, int64_t m, int64_t c, int64_t taps,
                          wh_linear_layout *out) {
  return layout_of(isa->layout, dtype, m, c, taps, out);
}

bool wh_conv_codes_columns(wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out) {
  return layout_of(WH_CONV_CODES_COLUMNS, dtype, n, k, 1, out);
}

/* The word of output m: tap `tap` of the channels behind `first`, in codes that are signed. */
static uint32_t word_of(const wh_linear_layout *l, const uint8_t *src, int64_t taps, int64_t m, int64_t first,
                        int64_t tap) {
  const int64_t n = m < l->n ? min_i64(4, l->k - first) : 0;
  const bool columns = l->id == WH_CONV_CODES_COLUMNS;
  const int64_t from = columns ? first * l->n + m : (m * l->k + first) * taps + tap,
                step = columns ? l->n : taps;
  const uint8_t flip = l->dtype == WH_DTYPE_I8 ? 0 : 0x80;
  uint32_t word = 0;
  if (n == 4) {
    const uint8_t *x = src + from, *y = x + 2 * step;
    word = x[0] | (uint32_t)x[step] << 8 | (uint32_t)y[0] << 16 | (uint32_t)y[step] << 24;
    return word ^ flip * UINT32_C(0x01010101);
  }
  for (int64_t i = 0; i < n; i++) word |= (uint32_t)(src[from + i * step] ^ flip) << 8 * i;
  return word;
}

/* What is too much of the second of two codes where 255 times both must fit 16 bits: of two that are both
 * positive, or both negative. */
static int32_t excess_of(uint32_t word, int half) {
  const int sum = (int8_t)(word >> 16 * half & 0xff) + (int8_t)(word >> (16 * half + 8) & 0xff);
  return sum > 128 ? sum - 128 : sum < -128 ? sum + 128 : 0;
}

/* What is too much in word k becomes number n and on of the rests; how many there are then. */
static int64_t move_excess(uint32_t *word, int64_t k, int64_t n, uint32_t *rests) {
  for (int half = 0; half < 2; half++) {
    const uint32_t excess = (uint32_t)excess_of(*word, half);
    if (!excess) continue;
    const int at = 16 * half + 8, to = n % 2 * 16;
    uint32_t *rest = rests + n / 2 * 2;
    *word = (*word & ~(UINT32_C(0xff) << at)) | (((*word >> at) - excess) & 0xff) << at;
    rest[0] |= (excess & 0xff) << (8 + to);
    rest[1] = (rest[1] & ~(UINT32_C(0xffff) << to)) | (uint32_t)(k * 64 + half * 2) << to;
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
  int64_t n[WH_CONV_CODES_ROWS] = {0}, all = 0;
  for (int64_t i = 0; i < words; i++)
    for (int64_t r = 0, at = k + i, first = at / taps * 4, tap = at % taps; r < WH_CONV_CODES_ROWS; r++) {
      const uint32_t word = word_of(l, src, taps, panel * WH_CONV_CODES_ROWS + r, first, tap);
      to[i * WH_CONV_CODES_ROWS + r] = word;
      sums[r] += (uint32_t)sum_of(word);
      n[r] += (excess_of(word, 0) != 0) + (excess_of(word, 1) != 0);
    }
  if (!wh_conv_codes_has_rests(l->id)) return;
  uint32_t *head = to + words * WH_CONV_CODES_ROWS, *rests = head + WH_CONV_CODES_ROWS;
  memset(head, 0, (size_t)rest_words(l->id, words) * sizeof *head);
  for (int64_t r = 0; r < WH_CONV_CODES_ROWS; r++) all += ceil_div(n[r], 2) * 2;
  if (all > room_of(words)) {
    *head = WH_CONV_CODES_TWICE;
    return;
  }
  for (int64_t r = 0; r < WH_CONV_CODES_ROWS; rests += head[r++]) {
    head[r] = (uint32_t)ceil_div(n[r], 2) * 2;
    if (n[r] % 2) rests[n[r]] = NO_REST;
    for (int64_t i = 0, count = 0; i < words; i++)
      count = move_excess(&to[i * WH_CONV_CODES_ROWS + r], i, count, rests);
  }
}

/* Words [0, words) of a panel for tile registers, and their sums. */
static void pack_tiles(const wh_linear_layout *l, const void *src, int64_t taps, int64_t panel, int64_t words,
                       uint32_t *to, uint32_t *sums) {
  const int64_t rows = WH_CONV_CODES_MOST_ROWS, step = WH_CONV_CODES_STEP;
  for (int64_t k = 0; k < words; k += step)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t i = 0; i < step; i++, to++) {
        const int64_t first = (k + i) / taps * 4;
        *to = k + i < words ? word_of(l, src, taps, panel * rows + r, first, (k + i) % taps) : 0;
        sums[r] += (uint32_t)sum_of(*to);
      }
}

void wh_conv_codes_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                        int64_t panel_end) {
  const int64_t taps = l->taps, words = ceil_div(l->k, 4) * taps, rows = wh_conv_codes_rows(l->id);
  for (int64_t p = panel_begin; p < panel_end; p++) {
    uint32_t *to = (uint32_t *)(void *)((char *)dst + (size_t)p * l->panel_bytes);
    memset(to, 0, (size_t)rows * sizeof *to);
    if (l->id == WH_CONV_CODES_TILES) {
      pack_tiles(l, src, taps, p, words, to + rows, to);
      continue;
    }
    for (int64_t k = 0; k < words; k += BLOCK_WORDS)
      pack_block(l, src, taps, p, k, min_i64(BLOCK_WORDS, words - k), to + wh_conv_codes_block_at(l->id, k),
                 to);
  }
}
