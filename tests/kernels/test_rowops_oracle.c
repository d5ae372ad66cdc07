/* test_rowops_oracle.c - the reference row ops against binary64, within bounds derived from their operation
 * counts; what quantize_act promises; the dequantisers against another implementation's values. */
#define _DEFAULT_SOURCE /* mmap */
#include "backends/cpu/rowops.h"

#include "tests/kernels/rowops_buffers.h"

#define U 0x1p-24         /* one rounding to binary32 */
#define SLACK 1.01        /* products of (1 + u) terms */
#define EXP_ERROR 0x1p-22 /* relative error of wh_exp_f32; test_exact_math measures less */
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static wh_rowops ref;
static const wh_worker alone = {0, 1, NULL};

static int select_ref(void **state) {
  (void)state;
  wh_rowops_select(0, &ref);
  return 0;
}

static const int64_t sizes[] = {1, 2, 31, 64, 65, 100, 576, 1000, 4096};

/* Roundings that one term of a sum64 passes through. */
static double sum64_roundings(int64_t n) { return (double)((n + 63) / 64) + 6; }

static void assert_within(double got, double want, double bound, const char *what, int64_t at) {
  if (!(fabs(got - want) <= bound * SLACK + 0x1p-149))
    fail_msg("%s[%lld]: got %.9g, want %.9g, bound %.3g", what, (long long)at, got, want, bound);
}

static void test_rms_norm(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++) {
    int64_t n = sizes[i];
    guarded x = filled((size_t)n, FILL_ORDINARY, 1), w = filled((size_t)n, FILL_ORDINARY, 2), y;
    wh_norm_args a = {.rows = 1, .n = n, .ldx = n, .ldy = n, .x = floats(&x), .w = floats(&w), .eps = 1e-5f};
    a.y = guarded_new(&y, x.bytes, 0);
    ref.rms_norm(&a, &alone);
    double ss = 0;
    for (int64_t j = 0; j < n; j++) ss += (double)a.x[j] * a.x[j];
    double r = 1 / sqrt(ss / (double)n + (double)a.eps);
    /* the sum, / n and + eps count half under the root; then root, reciprocal and two products */
    double relative = ((sum64_roundings(n) + 2) / 2 + 4) * U;
    for (int64_t j = 0; j < n; j++) {
      double want = a.x[j] * r * a.w[j];
      assert_within(a.y[j], want, relative * fabs(want), "rms_norm", j);
    }
    guarded_free(&x), guarded_free(&w), guarded_free(&y);
  }
}

static void test_layer_norm(void **state) {
  (void)state;
  for (size_t i = 1; i < COUNT(sizes); i++) {
    int64_t n = sizes[i];
    guarded x = filled((size_t)n, FILL_ORDINARY, 3), w = filled((size_t)n, FILL_ORDINARY, 4);
    guarded b = filled((size_t)n, FILL_ORDINARY, 5), y;
    wh_norm_args a = {
        .rows = 1, .n = n, .ldx = n, .ldy = n, .x = floats(&x), .w = floats(&w), .b = floats(&b)};
    a.eps = 1e-5f;
    a.y = guarded_new(&y, x.bytes, 0);
    ref.layer_norm(&a, &alone);
    double mean = 0, mean_abs = 0, v = 0, d_abs = 0, d_max = 0;
    for (int64_t j = 0; j < n; j++) mean += a.x[j], mean_abs += fabsf(a.x[j]);
    mean /= (double)n, mean_abs /= (double)n;
    for (int64_t j = 0; j < n; j++) {
      double d = a.x[j] - mean;
      v += d * d, d_abs += fabs(d), d_max = fmax(d_max, fabs(d));
    }
    v /= (double)n, d_abs /= (double)n;
    /* every difference is off by at most d_error; that moves the variance by 2 mean|d| d_error + d_error^2 */
    double d_error = (sum64_roundings(n) + 1) * U * mean_abs + U * d_max;
    double v_error =
        2 * d_abs * d_error + d_error * d_error + (sum64_roundings(n) + 2) * U * (v + (double)a.eps);
    double r = 1 / sqrt(v + (double)a.eps), r_error = v_error / (2 * (v + (double)a.eps)) + 2 * U;
    for (int64_t j = 0; j < n; j++) {
      double scaled = (a.x[j] - mean) * r * a.w[j], want = scaled + a.b[j];
      double bound = fabs(scaled) * (r_error + 2 * U) + r * fabsf(a.w[j]) * d_error + U * fabs(want);
      assert_within(a.y[j], want, bound, "layer_norm", j);
    }
    guarded_free(&x), guarded_free(&w), guarded_free(&b), guarded_free(&y);
  }
}

static void test_softmax(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++) {
    int64_t n = sizes[i];
    guarded x = filled((size_t)n, FILL_ORDINARY, 6), y;
    wh_softmax_args a = {.rows = 1, .n = n, .ldx = n, .ldy = n, .x = floats(&x)};
    a.y = guarded_new(&y, x.bytes, 0);
    ref.softmax(&a, &alone);
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) top = fmax(top, a.x[j]);
    for (int64_t j = 0; j < n; j++) sum += exp(a.x[j] - top);
    /* exp's argument is off by a rounding of at most 8 */
    double p_error = 8 * U + EXP_ERROR;
    for (int64_t j = 0; j < n; j++) {
      double want = exp(a.x[j] - top) / sum;
      assert_within(a.y[j], want, want * (2 * p_error + (sum64_roundings(n) + 1) * U), "softmax", j);
    }
    guarded_free(&x), guarded_free(&y);
  }
}

/* What is chosen at place i has exactly i better ones: higher, or equal and earlier; nothing is below a NaN.
 */
static void assert_selection(const wh_expert_select_args *a) {
  for (int64_t i = 0; i < a->used; i++) {
    const int32_t chosen = a->selected[i];
    int64_t better = 0;
    assert_in_range(chosen, 0, a->n - 1);
    for (int64_t j = 0; j < a->n; j++) {
      const double x = isnan(a->scores[j]) ? -INFINITY : a->scores[j];
      const double y = isnan(a->scores[chosen]) ? -INFINITY : a->scores[chosen];
      better += x > y || (x == y && j < chosen);
    }
    assert_int_equal(better, i);
  }
}

static void test_expert_select(void **state) {
  (void)state;
  enum { MOST = 130 };
  float scores[MOST];
  int32_t selected[MOST];
  uint64_t seed = 20;
  for (int round = 0; round < 2000; round++) {
    const int64_t n = 1 + (int64_t)(random_next(&seed) % MOST),
                  used = 1 + (int64_t)(random_next(&seed) % (uint64_t)n);
    for (int64_t j = 0; j < n; j++) {
      scores[j] = random_unit(&seed);
      if (round % 2) scores[j] = rintf(scores[j] * 3.0f); /* ties, zeros of both signs */
      if (round % 3 == 0 && random_next(&seed) % 5 == 0) scores[j] = random_next(&seed) % 2 ? NAN : -INFINITY;
      if (round % 100 == 99) scores[j] = NAN;
    }
    const wh_expert_select_args a = {.rows = 1, .n = n, .used = used, .scores = scores, .selected = selected};
    ref.expert_select(&a, &alone);
    assert_selection(&a);
  }
}

static void test_expert_weights(void **state) {
  (void)state;
  enum { N = 40, USED = 6 };
  uint64_t seed = 21;
  float p[N], y[USED];
  int32_t selected[USED];
  for (int round = 0; round < 100; round++) {
    double sum = 0;
    for (int j = 0; j < N; j++) p[j] = 0x1p-20f + fabsf(random_unit(&seed));
    for (int i = 0; i < USED; i++) sum += (double)p[selected[i] = (int32_t)(random_next(&seed) % N)];
    for (int normalise = 0; normalise < 2; normalise++) {
      const wh_expert_weights_args a = {1, N, USED, p, selected, normalise != 0, 2.5f, y};
      ref.expert_weights(&a, &alone);
      for (int i = 0; i < USED; i++) {
        const double want = 2.5 * (double)p[selected[i]] / (normalise ? sum : 1);
        assert_within(y[i], want, want * (USED + 1) * U, "expert_weights", i);
      }
    }
  }
}

static void test_expert_sum(void **state) {
  (void)state;
  enum { SLOTS = 5, N = 300 };
  guarded x = filled(SLOTS * N, FILL_ORDINARY, 22), w = filled(SLOTS, FILL_ORDINARY, 23);
  guarded r = filled(N, FILL_ORDINARY, 24), y;
  wh_expert_sum_args a = {1, SLOTS, N, floats(&x), floats(&w), NULL, guarded_new(&y, r.bytes, 0)};
  for (int residual = 0; residual < 2; residual++) {
    a.residual = residual ? floats(&r) : NULL;
    ref.expert_sum(&a, &alone);
    for (int64_t j = 0; j < N; j++) {
      double want = residual ? a.residual[j] : 0, size = fabs(want);
      for (int64_t i = 0; i < SLOTS; i++) {
        const double term = (double)a.weights[i] * (double)a.x[i * N + j];
        want += term, size += fabs(term);
      }
      assert_within(a.y[j], want, size * (SLOTS + 1) * U, "expert_sum", j);
    }
  }
  guarded_free(&x), guarded_free(&w), guarded_free(&r), guarded_free(&y);
}

static void test_gated(void **state) {
  (void)state;
  const int64_t n = 4096;
  guarded g = filled((size_t)n, FILL_ORDINARY, 7), u = filled((size_t)n, FILL_ORDINARY, 8), y;
  wh_gated_args a = {.rows = 1, .n = n, .lda = n, .ldb = n, .ldy = n, .a = floats(&g), .b = floats(&u)};
  a.y = guarded_new(&y, g.bytes, 0);
  ref.swiglu(&a, &alone);
  for (int64_t j = 0; j < n; j++) {
    double x = a.a[j], want = x / (1 + exp(-x)) * a.b[j];
    assert_within(a.y[j], want, fabs(want) * (EXP_ERROR + 3 * U), "swiglu", j);
  }
  ref.geglu(&a, &alone);
  for (int64_t j = 0; j < n; j++) {
    double x = a.a[j], half = 0.5 * x * a.b[j];
    double want = half * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    /* tanh is good to EXP_ERROR; its argument carries 5 roundings, and |v tanh'(v)| < 1/2; then three
     * operations, two of them on a factor of at most 2 */
    assert_within(a.y[j], want, fabs(half) * (EXP_ERROR + 2.5 * U + 2 * 3 * U), "geglu", j);
  }
  guarded_free(&g), guarded_free(&u), guarded_free(&y);
}

static void test_rope(void **state) {
  (void)state;
  const int32_t positions[] = {0, 1, 7, 511, 8191, 131071};
  float inv_freq[32], table[COUNT(positions)][2][32], x[COUNT(positions)][64], y[COUNT(positions)][64];
  for (int i = 0; i < 32; i++) inv_freq[i] = (float)pow(10000.0, -i / 32.0);
  uint64_t seed = 9;
  fill_floats(&x[0][0], COUNT(positions) * 64, FILL_ORDINARY, &seed);
  wh_rope_table_args t = {
      .rows = COUNT(positions), .n_freq = 32, .positions = positions, .inv_freq = inv_freq};
  t.mscale = 1.0f, t.y = &table[0][0][0];
  ref.rope_table(&t, &alone);
  for (int neox = 0; neox < 2; neox++) {
    wh_rope_args a = {
        .rows = COUNT(positions), .heads = 1, .head_dim = 64, .n_freq = 32, .ldx = 64, .ldy = 64};
    a.neox = neox, a.x = &x[0][0], a.table = &table[0][0][0], a.y = &y[0][0];
    ref.rope(&a, &alone);
    for (size_t p = 0; p < COUNT(positions); p++)
      for (int i = 0; i < 32; i++) {
        double angle = (double)positions[p] * inv_freq[i], c = cos(angle), s = sin(angle);
        /* the angle is rounded once; sine and cosine are good to 2^-23 */
        double bound = angle * U + 0x1p-23;
        assert_within(table[p][0][i], c, bound, "cos", i);
        assert_within(table[p][1][i], s, bound, "sin", i);
        int j0 = neox ? i : 2 * i, j1 = neox ? i + 32 : 2 * i + 1;
        double x0 = x[p][j0], x1 = x[p][j1], size = fabs(x0) + fabs(x1);
        assert_within(y[p][j0], x0 * c - x1 * s, size * (bound + 2 * U), "rope first", i);
        assert_within(y[p][j1], x0 * s + x1 * c, size * (bound + 2 * U), "rope second", i);
      }
  }
}

/* ---- quantize_act ---- */

static void *quantized(guarded *g, const float *x, int64_t rows, int64_t k) {
  void *q8a = guarded_new(g, wh_q8a_bytes(rows, k), 0);
  ref.quantize_act(&(wh_quantize_act_args){.rows = rows, .k = k, .ldx = k, .x = x, .q8a = q8a}, &alone);
  return q8a;
}

/* What the codes stand for, and that every sum beside them is the sum of the codes. */
static void decode_row(void *q8a, int64_t rows, int64_t k, int64_t row, double *y) {
  wh_q8a_tile tile = wh_q8a_tile_at(q8a, rows, k, row / WH_Q8A_TILE);
  int64_t r = row % WH_Q8A_TILE;
  for (int64_t b = 0; b < (k + 255) / 256 * 8; b++) {
    const int16_t *jsum = tile.jsum + (b / 8 * tile.rows + r) * 8 + b % 8;
    const int16_t *jsum16 = tile.jsum16 + (b / 8 * tile.rows + r) * 16 + b % 8 * 2;
    if (b >= k / 32) { /* an unused slot of a short group */
      assert_true(*jsum == 0 && jsum16[0] == 0 && jsum16[1] == 0);
      continue;
    }
    int64_t slot = b * tile.rows + r;
    int32_t t = tile.t[slot], half[2] = {0, 0}, pair[2][2] = {{0}};
    assert_in_range(t, 0, 3);
    for (int j = 0; j < 32; j++) {
      int32_t code = tile.q[slot * 32 + j];
      assert_true(code >= -127);
      half[j / 16] += code;
      pair[j / 16][j % 4 / 2] += code;
      y[b * 32 + j] = (double)tile.scale[b / 8 * tile.rows + r] * (1 << t) * code;
    }
    assert_int_equal(tile.nbsum16[slot * 2], -half[0]);
    assert_int_equal(tile.nbsum16[slot * 2 + 1], -half[1]);
    for (int i = 0; i < 4; i++) assert_int_equal(tile.npair[i / 2][slot * 2 + i % 2], -pair[i / 2][i % 2]);
    assert_int_equal(tile.nbsum[slot], -half[0] - half[1]);
    assert_true(tile.fbsum[slot] == (float)((half[0] + half[1]) * (1 << t)));
    assert_int_equal(*jsum, (half[0] + half[1]) * (1 << t));
    assert_int_equal(jsum16[0], half[0] * (1 << t));
    assert_int_equal(jsum16[1], half[1] * (1 << t));
  }
}

static void test_quantisation_error(void **state) {
  (void)state;
  const int64_t rows = 70, k = 608;
  for (fill kind = 0; kind < N_FILLS; kind++) {
    guarded x = filled((size_t)(rows * k), kind, 10), q;
    void *q8a = quantized(&q, floats(&x), rows, k);
    double *y = malloc((size_t)k * sizeof *y);
    for (int64_t i = 0; i < rows; i++) {
      const float *row = floats(&x) + i * k;
      wh_q8a_tile tile = wh_q8a_tile_at(q8a, rows, k, i / WH_Q8A_TILE);
      decode_row(q8a, rows, k, i, y);
      for (int64_t j = 0; j < k; j++) {
        int64_t b = j / 32, r = i % WH_Q8A_TILE, end = b / 8 * 256 + 256 < k ? b / 8 * 256 + 256 : k;
        double top = 0, block_top = 0;
        for (int64_t m = b / 8 * 256; m < end; m++) top = fmax(top, fabsf(row[m]));
        for (int64_t m = b * 32; m < b * 32 + 32; m++) block_top = fmax(block_top, fabsf(row[m]));
        int t = tile.t[b * tile.rows + r];
        double scale = tile.scale[b / 8 * tile.rows + r], step = scale * (1 << t);
        if (top < 0x1p-100) {
          assert_true(scale == 0.0 && t == 3 && y[j] == 0.0);
          continue;
        }
        assert_true(ldexp(block_top, 3 - t) <= top && (t == 0 || ldexp(block_top, 4 - t) > top));
        /* half a step, and the roundings of the factor, the product and S, on at most 127 steps */
        assert_within(y[j], row[j], step * (0.5 + 127 * 5 * U), "x", j);
      }
    }
    free(y);
    guarded_free(&x), guarded_free(&q);
  }
}

/* Values on the grid come back as they were: codes times a power of two with the largest code in the group.
 */
static void test_quantisation_of_grid_values_is_exact(void **state) {
  (void)state;
  const int64_t k = 512;
  float x[512];
  double y[512];
  guarded q;
  uint64_t seed = 11;
  for (int e = -90; e <= 90; e += 15) {
    for (int64_t j = 0; j < k; j++) {
      int limit = 127 >> (j / 32 % 4); /* blocks of every magnitude */
      x[j] = ldexpf((float)((int)(random_next(&seed) % (2u * (unsigned)limit + 1)) - limit), e);
    }
    x[5] = ldexpf(127.0f, e), x[300] = ldexpf(-127.0f, e);
    void *q8a = quantized(&q, x, 1, k);
    decode_row(q8a, 1, k, 0, y);
    for (int64_t j = 0; j < k; j++) assert_true(y[j] == (double)x[j]);
    guarded_free(&q);
  }
}

static void test_quantisation_threshold(void **state) {
  (void)state;
  float x[256] = {0};
  guarded q;
  x[100] = 0x1p-100f;
  wh_q8a_tile tile = wh_q8a_tile_at(quantized(&q, x, 1, 256), 1, 256, 0);
  assert_true(tile.scale[0] == 0x1p-100f / 127.0f / 8.0f && tile.q[100] == 127 && tile.t[3] == 3 &&
              tile.t[0] == 0);
  guarded_free(&q);
  x[100] = nextafterf(0x1p-100f, 0.0f);
  tile = wh_q8a_tile_at(quantized(&q, x, 1, 256), 1, 256, 0);
  assert_true(tile.scale[0] == 0.0f && tile.q[100] == 0 && tile.t[3] == 3 && tile.t[0] == 3);
  guarded_free(&q);
}

/* A NaN must not vanish in the codes: it ends in the scale, and so in every product with the row. */
static void test_quantisation_keeps_a_nan_visible(void **state) {
  (void)state;
  uint64_t masks[] = {0, wh_cpu_features_detect()};
  for (size_t m = 0; m < COUNT(masks); m++) {
    wh_rowops ops;
    wh_rowops_select(masks[m], &ops);
    guarded x = filled(512, FILL_ORDINARY, 12), q;
    floats(&x)[300] = NAN;
    wh_quantize_act_args a = {.rows = 1, .k = 512, .ldx = 512, .x = floats(&x)};
    a.q8a = guarded_new(&q, wh_q8a_bytes(1, 512), 0);
    ops.quantize_act(&a, &alone);
    wh_q8a_tile tile = wh_q8a_tile_at(a.q8a, 1, 512, 0);
    assert_true(!isnan(tile.scale[0]) && isnan(tile.scale[1]));
    guarded_free(&x), guarded_free(&q);
  }
}

static void test_a_row_does_not_depend_on_its_neighbours(void **state) {
  (void)state;
  const int64_t rows = 130, k = 608;
  guarded x = filled((size_t)(rows * k), FILL_WIDE, 13), many, one;
  void *q8a = quantized(&many, floats(&x), rows, k);
  double batch[608], single[608];
  for (int64_t i = 0; i < rows; i += 43) {
    decode_row(q8a, rows, k, i, batch);
    decode_row(quantized(&one, floats(&x) + i * k, 1, k), 1, k, 0, single);
    assert_memory_equal(batch, single, sizeof batch);
    guarded_free(&one);
  }
  guarded_free(&x), guarded_free(&many);
}

/* The fused forms are the op and then quantize_act. */
static void test_fused_forms(void **state) {
  (void)state;
  const int64_t rows = 5, n = 608;
  guarded x = filled((size_t)(rows * n), FILL_ORDINARY, 14), w = filled((size_t)n, FILL_ORDINARY, 15), y,
          fused, apart;
  size_t bytes = wh_q8a_bytes(rows, n);
  float *out = guarded_new(&y, x.bytes, 0);
  void *q8a = guarded_new(&fused, bytes, 0);
  wh_norm_args norm = {
      .rows = rows, .n = n, .ldx = n, .ldy = n, .x = floats(&x), .w = floats(&w), .eps = 1e-5f};
  norm.y = out, norm.q8a = q8a;
  wh_gated_args gated = {
      .rows = rows, .n = n, .lda = n, .ldb = n, .ldy = n, .a = floats(&x), .b = floats(&x)};
  gated.y = out, gated.q8a = q8a;
  for (int op = 0; op < 3; op++) {
    if (op == 0) ref.rms_norm(&norm, &alone), ref.rms_norm_q8a(&norm, &alone);
    if (op == 1) ref.swiglu(&gated, &alone), ref.swiglu_q8a(&gated, &alone);
    if (op == 2) ref.geglu(&gated, &alone), ref.geglu_q8a(&gated, &alone);
    assert_memory_equal(q8a, quantized(&apart, out, rows, n), bytes);
    guarded_free(&apart);
  }
  guarded_free(&x), guarded_free(&w), guarded_free(&y), guarded_free(&fused);
}

/* ---- dequantisation ---- */

static uint32_t read_u32(FILE *f) {
  uint8_t b[4];
  assert_int_equal(fread(b, 1, 4, f), 4);
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void test_dequantize_against_goldens(void **state) {
  (void)state;
  FILE *f = fopen(WH_TEST_DATA_DIR "/rowops_dequant.bin", "rb");
  assert_non_null(f);
  int n_types = 0;
  for (int first; (first = fgetc(f)) != EOF; n_types++) {
    assert_int_equal(ungetc(first, f), first);
    wh_dtype dtype = (wh_dtype)read_u32(f);
    uint32_t n_bytes = read_u32(f), n = read_u32(f);
    size_t want_bytes = 0;
    assert_true(wh_dtype_row_bytes(dtype, n, &want_bytes) && want_bytes == n_bytes);
    guarded blocks, out;
    assert_int_equal(fread(guarded_new(&blocks, n_bytes, 0), 1, n_bytes, f), n_bytes);
    float *y = guarded_new(&out, n * sizeof *y, 0xff);
    assert_true(wh_dequantize_row(dtype, blocks.data, y, n));
    for (uint32_t i = 0; i < n; i++) {
      float want = wh_f32_from_bits(read_u32(f));
      if (y[i] != want) fail_msg("%s[%u]: got %.9g, want %.9g", wh_dtype_name(dtype), i, y[i], want);
    }
    assert_true(guarded_free(&blocks) && guarded_free(&out));
  }
  (void)fclose(f);
  assert_int_equal(n_types, 15); /* every type but f32 */
}

static void test_dequantize_refuses(void **state) {
  (void)state;
  const wh_dtype refused[] = {WH_DTYPE_F64, WH_DTYPE_I8,  WH_DTYPE_I64, WH_DTYPE_BOOL,
                              WH_DTYPE_Q8A, (wh_dtype)15, (wh_dtype)29, (wh_dtype)1000};
  uint8_t block[256] = {0};
  float y[256];
  for (size_t i = 0; i < COUNT(refused); i++) assert_false(wh_dequantize_row(refused[i], block, y, 256));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rms_norm),
      cmocka_unit_test(test_layer_norm),
      cmocka_unit_test(test_softmax),
      cmocka_unit_test(test_expert_select),
      cmocka_unit_test(test_expert_weights),
      cmocka_unit_test(test_expert_sum),
      cmocka_unit_test(test_gated),
      cmocka_unit_test(test_rope),
      cmocka_unit_test(test_quantisation_error),
      cmocka_unit_test(test_quantisation_of_grid_values_is_exact),
      cmocka_unit_test(test_quantisation_threshold),
      cmocka_unit_test(test_quantisation_keeps_a_nan_visible),
      cmocka_unit_test(test_a_row_does_not_depend_on_its_neighbours),
      cmocka_unit_test(test_fused_forms),
      cmocka_unit_test(test_dequantize_against_goldens),
      cmocka_unit_test(test_dequantize_refuses),
  };
  return cmocka_run_group_tests(tests, select_ref, NULL);
}
