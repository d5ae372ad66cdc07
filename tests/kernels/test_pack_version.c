/* test_pack_version.c - packed weights outlive the program in pack caches: whoever changes their bytes must
 * raise WH_CPU_PACK_VERSION. Panels of every type are hashed here, and the hash belongs to one version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/conv_codes_winograd.h"
#include "backends/cpu/conv_winograd.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/linear_f.h"
#include "backends/cpu/linear_h.h"
#include "backends/cpu/matmul_codes.h"
#include "core/base/hash.h"

/* The hash of all panels below, for this version. */
#define HASHED_VERSION 6
#define PANELS_HASH "aa5a8aed6dc6123254d392e1e189e3c7"
#define CODES_HASH "21cd5393df7846d8c4daee309adafbc1"
#define TILES_HASH "16613ce57ed08f866d430955e14555e8"
#define WINOGRAD_HASH "2b33fdfcc46e63d58c0be5aff0932b96"
#define WINOGRAD_WIDE_HASH "d93e00c3a7490cfbb731094c28361b62"

static const wh_dtype types[] = {WH_DTYPE_F32,  WH_DTYPE_F16,    WH_DTYPE_BF16,   WH_DTYPE_Q4_0,
                                 WH_DTYPE_Q4_1, WH_DTYPE_Q5_0,   WH_DTYPE_Q5_1,   WH_DTYPE_Q8_0,
                                 WH_DTYPE_Q2_K, WH_DTYPE_Q3_K,   WH_DTYPE_Q4_K,   WH_DTYPE_Q5_K,
                                 WH_DTYPE_Q6_K, WH_DTYPE_IQ4_NL, WH_DTYPE_IQ4_XS, WH_DTYPE_MXFP4};
#define N_TYPES (sizeof types / sizeof types[0])

/* Panels of an n x k matrix of fixed bytes. */
static wh_hash128 panels_hash(wh_dtype dtype, int64_t n, int64_t k) {
  const wh_dtype_info *t = wh_dtype_get(dtype);
  bool quantised = wh_dtype_is_quantised(dtype), wide = wh_linear_h_has(dtype);
  size_t bytes = (size_t)n * (size_t)k / t->block_elems * t->block_bytes;
  wh_linear_layout l;
  assert_int_equal(quantised ? wh_linear_q_layout(WH_CPU_AVX2, dtype, n, k, &l)
                   : wide    ? wh_linear_h_layout(WH_CPU_AVX2, dtype, n, k, &l)
                             : wh_linear_f_layout(WH_CPU_AVX2, dtype, n, k, &l),
                   WH_OK);
  assert_true(l.id != 0);
  uint8_t *src = malloc(bytes), *dst = wh_alloc_uninit(NULL, l.n_bytes, WH_ALIGN_SIMD);
  assert_true(src && dst);
  uint32_t rng = 1;
  for (size_t i = 0; i < bytes; i++) src[i] = (uint8_t)((rng = rng * 1664525u + 1013904223u) >> 24);
  (void)(quantised ? wh_linear_q_pack(&l, src, dst, 0, l.n_panels)
         : wide    ? wh_linear_h_pack(&l, src, dst, 0, l.n_panels)
                   : wh_linear_f_pack(&l, src, dst, 0, l.n_panels));
  wh_hash128 h = wh_hash_bytes(dst, l.n_bytes);
  free(src);
  wh_free(NULL, dst);
  return h;
}

static uint32_t next(uint32_t *rng) { return (*rng = *rng * 1664525u + 1013904223u) >> 24; }

typedef enum codes_panels { PRODUCT, CONVOLUTION, WINOGRAD, TILES, N_CODES_PANELS } codes_panels;

/* Panels of 8-bit codes: of any size, or few of them large. Packing needs no instruction set. */
static wh_hash128 codes_hash(codes_panels kind, bool small) {
  static int8_t src[70 * 9 * 300];
  wh_linear_layout l;
  uint32_t rng = 1;
  for (size_t i = 0; i < sizeof src; i++) {
    const int code = (int)next(&rng) - 128;
    src[i] = (int8_t)(code / (small && next(&rng) % 16 ? 3 : 1));
  }
  const uint64_t mask =
      kind == TILES ? WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI | WH_CPU_AMX : WH_CPU_AVX2;
  if (kind == WINOGRAD)
    assert_true(wh_codes_winograd_layout(WH_DTYPE_I8, 70, 300, &l));
  else if (kind == CONVOLUTION || kind == TILES)
    assert_true(wh_conv_codes_layout(wh_conv_codes_isa_select(mask), WH_DTYPE_I8, 70, 300, 9, &l));
  else
    assert_true(wh_matmul_codes_layout(wh_codes_isa_select(WH_CPU_AVX2), WH_DTYPE_I8, 70, 9 * 300, &l));
  assert_int_equal(l.id == WH_CONV_CODES_TILES, kind == TILES);
  uint8_t *dst = wh_alloc_uninit(NULL, l.n_bytes, WH_ALIGN_SIMD);
  assert_non_null(dst);
  (l.id == WH_CONV_CODES_WINOGRAD ? wh_codes_winograd_pack
   : l.id >= WH_CONV_CODES_PANELS ? wh_conv_codes_pack
                                  : wh_matmul_codes_pack)(&l, src, dst, 0, l.n_panels);
  const wh_hash128 h = wh_hash_bytes(dst, l.n_bytes);
  wh_free(NULL, dst);
  return h;
}

static void expect_hash(const void *hashes, size_t n, const char *known) {
  char text[WH_HASH_TEXT_BYTES];
  wh_hash_format(wh_hash_bytes(hashes, n), text);
  if (strcmp(text, known) != 0)
    fail_msg("packed weights have other bytes: raise WH_CPU_PACK_VERSION, then put that version and %s here",
             text);
  assert_int_equal(WH_CPU_PACK_VERSION, HASHED_VERSION);
}

static void the_version_belongs_to_the_bytes(void **state) {
  (void)state;
  wh_hash128 all[N_TYPES][2];
  for (size_t i = 0; i < N_TYPES; i++) {
    int64_t block = wh_dtype_get(types[i])->block_elems == 256 ? 256 : 32;
    all[i][0] = panels_hash(types[i], 70, 3 * block); /* padded panels; short groups */
    all[i][1] = panels_hash(types[i], 32, 512);
  }
  expect_hash(all, sizeof all, PANELS_HASH);
}

static void the_version_belongs_to_panels_of_codes(void **state) {
  (void)state;
  wh_hash128 all[2 * N_CODES_PANELS];
  if (!wh_codes_isa_select(WH_CPU_AVX2)) skip();
  for (size_t i = 0; i < 2 * N_CODES_PANELS; i++) all[i] = codes_hash((codes_panels)(i / 2), i % 2);
  for (size_t i = 0; i < 2 * N_CODES_PANELS; i += 2)
    assert_false(wh_hash_equal(all[i], all[i + 1])); /* something was packed */
  expect_hash(all, 2 * TILES * sizeof *all, CODES_HASH);
  expect_hash(all + 2 * TILES, 2 * sizeof *all, TILES_HASH);
}

static wh_hash128 winograd_hash(int64_t panel) {
  static float src[22 * 19 * 9];
  wh_linear_layout l;
  uint32_t rng = 1;
  for (size_t i = 0; i < sizeof src / sizeof *src; i++) src[i] = ((float)next(&rng) - 127.5f) / 64.0f;
  assert_int_equal(wh_winograd_layout(22, 19, panel, &l), WH_OK);
  uint8_t *dst = wh_alloc_uninit(NULL, l.n_bytes, WH_ALIGN_SIMD);
  assert_non_null(dst);
  wh_winograd_pack(&l, src, dst, 0, l.n_panels);
  const wh_hash128 h = wh_hash_bytes(dst, l.n_bytes);
  wh_free(NULL, dst);
  return h;
}

static void the_version_belongs_to_panels_of_minimal_filtering(void **state) {
  (void)state;
  const wh_hash128 h = winograd_hash(WH_WINOGRAD_PANEL), wide = winograd_hash(WH_WINOGRAD_WIDE);
  expect_hash(&h, sizeof h, WINOGRAD_HASH);
  expect_hash(&wide, sizeof wide, WINOGRAD_WIDE_HASH);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_version_belongs_to_panels_of_minimal_filtering),
                                     cmocka_unit_test(the_version_belongs_to_the_bytes),
                                     cmocka_unit_test(the_version_belongs_to_panels_of_codes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
