/* test_matmul_blocks.c - rows of q13a with a panel of few-bit weights, at every level of this machine: the
 * reference's bits for tiles of all kinds of sizes, and rows that are not finite. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/matmul_blocks.h"
#include "backends/cpu/whole.h"
#include "tests/kernels/usable_features.h"

#define GAP 3 /* behind a row of outputs */
#define UNTOUCHED (-7.25f)

static const struct {
  const char *name;
  uint64_t needs;
  wh_blocks_wide_fn fn;
} kernels[] = {
#define WH_MATMUL_BLOCKS_WIDE_KERNEL(isa, needs) {#isa, needs, wh_k_matmul_blocks_wide__##isa},
#include "backends/cpu/kernels_matmul_blocks.def"
};

static uint64_t seed = 1;
static uint32_t below(uint32_t n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % n;
}

static void *room(int64_t n, size_t size) {
  void *p = calloc((size_t)n, size);
  assert_non_null(p);
  return p;
}

/* Of a random tile; `extreme`: the largest integers that there are. */
static void fill(wh_blocks_tile *t, wh_q13a_tile *x, uint32_t *codes, float *scales, uint8_t *zeros,
                 bool extreme) {
  const int64_t blocks = ceil_div(t->k, t->block), words = blocks * t->block * t->bits / 32;
  for (int64_t i = 0; i < words * WH_BLOCKS_COLS; i++)
    codes[i] = extreme ? UINT32_MAX : below(65536) << 16 | below(65536);
  for (int64_t i = 0; i < blocks * WH_BLOCKS_COLS; i++) {
    scales[i] = (float)below(2000) / 1000.0f - 0.5f;
    zeros[i] = extreme ? 0 : (uint8_t)below(1u << t->bits);
  }
  for (int64_t i = 0; i < (int64_t)wh_q13a_blocks(t->k) * t->rows; i++) {
    const int64_t left = t->k - i / t->rows * WH_Q13A_BLOCK;
    x->scale[i] = (float)below(1000) / 99.0f;
    for (int64_t k = 0; k < min_i64(left, WH_Q13A_BLOCK); k++)
      x->q[i * WH_Q13A_BLOCK + k] =
          (int16_t)(extreme ? WH_Q13A_MAX : (int)below(2 * WH_Q13A_MAX + 1) - WH_Q13A_MAX);
  }
}

static void check_tile(int64_t rows, int64_t cols, int64_t k, int64_t block, int bits, bool extreme) {
  const int64_t ld = cols + GAP, blocks = ceil_div(k, block), cells = blocks * WH_BLOCKS_COLS;
  const int64_t x_blocks = (int64_t)wh_q13a_blocks(k) * rows, bad = rows / 2;
  uint32_t *codes = room(cells * block * bits / 32, sizeof *codes);
  float *scales = room(cells, sizeof *scales),
        *y[2] = {room(rows * ld, sizeof **y), room(rows * ld, sizeof **y)};
  uint8_t *zeros = room(cells, 1);
  wh_q13a_tile x = {rows, room(x_blocks * WH_Q13A_BLOCK, sizeof *x.q), room(x_blocks, sizeof *x.scale)};
  wh_blocks_tile t = {.rows = rows,
                      .cols = cols,
                      .k = k,
                      .block = block,
                      .bits = bits,
                      .codes = codes,
                      .scales = scales,
                      .zeros = zeros,
                      .wide = &x,
                      .ldy = ld};
  fill(&t, &x, codes, scales, zeros, extreme);
  const uint64_t available = test_features();
  for (int spoiled = 0; spoiled < 2; spoiled++) { /* as quantize_wide leaves a block that is not finite */
    if (spoiled) x.scale[bad] = NAN;
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
      if (kernels[i].needs & ~available) continue;
      for (int64_t j = 0; j < rows * ld; j++) y[i > 0][j] = UNTOUCHED;
      t.y = y[i > 0];
      kernels[i].fn(&t);
      for (int64_t j = 0; j < rows * ld; j++) {
        const float got = t.y[j];
        const bool is_nan = spoiled && j / ld == bad && j % ld < cols;
        if (is_nan ? !isnan(got)
                   : memcmp(&got, &y[0][j], sizeof got) != 0 || (j % ld >= cols && got != UNTOUCHED))
          fail_msg("%s: %d rows, %d of %d, blocks of %d, %d bits: row %d, column %d is %a", kernels[i].name,
                   (int)rows, (int)cols, (int)k, (int)block, bits, (int)(j / ld), (int)(j % ld), (double)got);
      }
    }
  }
  free(codes);
  free(scales);
  free(zeros);
  free(x.q);
  free(x.scale);
  free(y[0]);
  free(y[1]);
}

static void every_level_gives_the_references_bits(void **state) {
  (void)state;
  for (int i = 0; i < 300; i++) {
    const int bits = 2 << below(3); /* 2, 4, 8 */
    const int64_t block = 8 << below(7), rows = 1 + below(i % 8 ? 9 : WH_Q13A_TILE);
    if (block * bits % 32 == 0)
      check_tile(rows, 1 + below(WH_BLOCKS_COLS), 1 + below(700), block, bits, i % 5 == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_level_gives_the_references_bits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
