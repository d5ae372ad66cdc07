/* test_attention.c - the attention and cache kernels: every level gives the reference's bits, whatever the
 * team, the chunking of the prompt, the pages and the rest of the batch; the reference agrees with a binary64
 * oracle. */
#include "tests/kernels/guarded.h" /* first */

#include "tests/kernels/attention_fixture.h"

static const shape shapes[] = {
    {WH_DTYPE_F16, 3, 1, 64, 64, 320, 0, 0.0f},    {WH_DTYPE_F16, 8, 8, 64, 64, 320, 0, 0.0f},
    {WH_DTYPE_F32, 8, 2, 128, 128, 320, 0, 0.0f},  {WH_DTYPE_F16, 4, 2, 80, 80, 320, 100, 0.0f},
    {WH_DTYPE_F32, 6, 1, 96, 96, 320, 64, 30.0f},  {WH_DTYPE_F16, 5, 1, 72, 72, 320, 1, 0.0f},
    {WH_DTYPE_F16, 7, 1, 256, 256, 320, 0, 50.0f}, {WH_DTYPE_F32, 8, 1, 33, 17, 320, 77, 0.0f},
    {WH_DTYPE_F16, 2, 1, 7, 5, 320, 0, 0.0f},      {WH_DTYPE_F16, 60, 1, 16, 32, 320, 0, 0.0f},
    {WH_DTYPE_F32, 2, 2, 1, 1, 320, 65, 0.0f},     {WH_DTYPE_F16, 4, 4, 40, 112, 320, 63, 20.0f},
    {WH_DTYPE_F32, 8, 1, 34, 18, 320, 0, 0.0f},    {WH_DTYPE_F16, 9, 1, 6, 3, 320, 0, 0.0f},
    {WH_DTYPE_Q8_0, 3, 1, 64, 64, 320, 0, 0.0f},   {WH_DTYPE_Q8_0, 4, 4, 128, 96, 320, 70, 0.0f},
    {WH_DTYPE_Q8_0, 8, 1, 32, 32, 320, 0, 30.0f},  {WH_DTYPE_Q8_0, 5, 1, 96, 160, 320, 1, 0.0f},
    {WH_DTYPE_Q8_0, 2, 1, 256, 256, 320, 0, 0.0f}, {WH_DTYPE_Q8_0, 30, 2, 32, 64, 320, 63, 0.0f},
};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

/* One key or value that is not finite, of the first KV head: a NaN among the visible keys (q8_0 makes one of
 * an infinity) spoils the rows that see it, and no other; the rest is what the reference gives. */
static void check_not_finite(const shape *s, bool in_keys, float special) {
  enum { POSITION = 70 };
  problem p = problem_new(*s, 1, 140);
  batch b = batch_run(0, POSITION - 2, 4);
  batch_add(&b, 0, 127, 3);
  cache c = cache_new(&p);
  const int64_t row = s->n_heads * s->value_dim, group = s->n_heads / s->n_kv_heads;
  float *y = new_floats(b.rows * row);
  (in_keys ? p.k : p.v)[POSITION * s->n_kv_heads * (in_keys ? s->head_dim : s->value_dim)] = special;
  append_all(&p, &c, 0, 1);
  check_batch(&p, &b, &c);
  attend(&p, &b, &c, 0, 1, y);
  const bool nan = isnan(special) || s->dtype == WH_DTYPE_Q8_0;
  for (int64_t i = 0; i < b.rows * row && nan; i++) {
    const int64_t at = b.positions[i / row], head = i % row / s->value_dim, d = i % s->value_dim;
    const bool sees = at >= POSITION && (s->window == 0 || at - POSITION < s->window) && head < group;
    const bool spoiled = sees && (in_keys || d < (s->dtype == WH_DTYPE_Q8_0 ? 32 : 1));
    if (spoiled != (bool)isnan(y[i]))
      fail_msg("dtype %d, %g in %s: position %d, head %d, column %d is %g", (int)s->dtype, (double)special,
               in_keys ? "keys" : "values", (int)at, (int)head, (int)d, (double)y[i]);
  }
  free(y);
  cache_free(&c);
  problem_free(&p);
}

static void test_levels(void **state) {
  (void)state;
  for (size_t i = 0; i < N_SHAPES; i++) {
    problem p = problem_new(shapes[i], 3, 300);
    cache ref = cache_new(&p);
    append_all(&p, &ref, 0, 1);
    const int64_t rows[] = {1, 2, 3, 7, 19, 66, 130};
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
      if (rows[k] * p.s.n_heads * (p.s.head_dim + p.s.value_dim) > 32000)
        continue; /* the reference is slow */
      batch b = batch_run((int32_t)(k % 3), k % 2 ? 300 - rows[k] : (int64_t)(k * 20), rows[k]);
      check_batch(&p, &b, &ref);
    }
    batch mixed_batch = batch_run(2, 0, 3); /* sequences at different depths, as in a server's step */
    batch_add(&mixed_batch, 0, 127, 1);
    batch_add(&mixed_batch, 1, 60, 9);
    batch_add(&mixed_batch, 0, 299, 1);
    check_batch(&p, &mixed_batch, &ref);
    batch gaps = {.rows = 0}; /* ascending, not consecutive */
    batch_add(&gaps, 1, 3, 1);
    batch_add(&gaps, 1, 64, 1);
    batch_add(&gaps, 1, 200, 2);
    batch_add(&gaps, 1, 255, 2);
    check_batch(&p, &gaps, &ref);
    const float not_finite[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 6; k++) check_not_finite(&shapes[i], k % 2, not_finite[k / 2]);
    cache_free(&ref);
    problem_free(&p);
  }
}

static void test_cache(void **state) {
  (void)state;
  for (size_t i = 0; i < N_SHAPES; i++) {
    problem p = problem_new(shapes[i], 2, 300);
    /* every way that rounding to f16 can go: ties, overflow, subnormals, NaN; with q8_0 an infinity or NaN
     * makes a block's codes 0 and its scale NaN */
    const float special[] = {65504.0f,   65519.996f, 65520.0f,   -65520.0f,    1e30f,    INFINITY,
                             -INFINITY,  NAN,        0x1p-14f,   0x1.ffcp-15f, 0x1p-24f, 0x1p-25f,
                             0x1.8p-25f, 0x1p-26f,   0x1.002p0f, 0x1.006p0f};
    for (size_t j = 0; j < sizeof special / sizeof special[0]; j++) {
      p.k[j * 3 % (size_t)p.s.head_dim + j] = special[j];
      p.v[j] = special[j];
    }
    cache ref = cache_new(&p);
    append_all(&p, &ref, 0, 1);
    for (const kernel *k = kernels; k < kernels + N_KERNELS; k++)
      for (int threads = k->needs ? 1 : 3; threads <= 3 && runs(k, p.s.dtype); threads++) {
        cache got = cache_new(&p);
        append_all(&p, &got, k->needs, threads);
        assert_memory_equal(got.keys.data, ref.keys.data, ref.keys.bytes);
        assert_memory_equal(got.values.data, ref.values.data, ref.values.bytes);
        cache_free(&got);
      }
    cache_free(&ref);
    problem_free(&p);
  }
}

/* A prompt in one shot and in pieces, the cache growing as it goes. */
static void test_prompt_chunking(void **state) {
  (void)state;
  const size_t pick[] = {0, 3, 7, 13};
  uint64_t all = wh_cpu_features_detect();
  for (size_t i = 0; i < sizeof pick / sizeof pick[0]; i++) {
    problem p = problem_new(shapes[pick[i]], 1, 150);
    const int64_t row = p.s.n_heads * p.s.value_dim;
    float *want = new_floats(150 * row), *got = new_floats(150 * row);
    batch whole = batch_run(0, 0, 150);
    cache one = cache_new(&p);
    append(&p, &whole, &one, all, 2);
    attend(&p, &whole, &one, all, 2, want);
    const int64_t piece[] = {1, 7, 64};
    for (size_t k = 0; k < 3; k++) {
      cache grown = cache_new(&p);
      for (int64_t from = 0; from < 150; from += piece[k]) {
        batch part = batch_run(0, from, 150 - from < piece[k] ? 150 - from : piece[k]);
        append(&p, &part, &grown, all, 1 + (int)(from % 3));
        attend(&p, &part, &grown, all, 1 + (int)(from % 3), got + from * row);
      }
      expect_same("pieces", &p.s, &whole, want, got);
      cache_free(&grown);
    }
    cache_free(&one);
    problem_free(&p);
    free(want);
    free(got);
  }
}

/* Dimension d of what is stored for position j of a KV head of the first sequence. */
static double cached(const problem *p, const guarded *g, bool is_key, int64_t kv, int64_t j, int64_t d) {
  const shape *s = &p->s;
  const int64_t n = is_key ? s->head_dim : s->value_dim, tile = p->page_table[j / 64] * s->n_kv_heads + kv;
  if (s->dtype == WH_DTYPE_Q8_0) {
    const wh_kv_q8_block *block = wh_kv_q8_tile(g->data, n, tile) + d / 32;
    int code = is_key ? block->codes[d % 32 / 4 * 256 + j % 64 * 4 + d % 4] - 128
                      : (int8_t)block->codes[j % 64 * 32 + d % 32];
    return (double)code * (double)wh_f32_from_f16(block->scale[j % 64]);
  }
  const int64_t i = tile * 64 * n + (is_key ? d * 64 + j % 64 : j % 64 * n + d);
  return s->dtype == WH_DTYPE_F16 ? (double)wh_f32_from_f16(((const uint16_t *)(const void *)g->data)[i])
                                  : (double)((const float *)(const void *)g->data)[i];
}

/* What q8_0 stores is within half a code of what was given: the scale has rounded by 2^-11, and the largest
 * value, which it can push past code 127, is then off by that much. */
static void test_q8_store(void **state) {
  (void)state;
  for (size_t i = 0; i < N_SHAPES; i++) {
    if (shapes[i].dtype != WH_DTYPE_Q8_0) continue;
    problem p = problem_new(shapes[i], 1, 200);
    const shape *s = &p.s;
    for (int64_t d = 0; d < 32; d++) {
      p.k[d] = 0.0f; /* a block of zeros; one that rounds to zeros; one whose scale is subnormal */
      p.v[d] = 0x1p-30f;
      p.v[s->n_kv_heads * s->value_dim + d] *= 0x1p-9f;
    }
    cache c = cache_new(&p);
    append_all(&p, &c, 0, 1);
    for (int is_key = 0; is_key < 2; is_key++) {
      const int64_t n = is_key ? s->head_dim : s->value_dim;
      for (int64_t at = 0; at < 200 * s->n_kv_heads * n; at += 32) {
        const float *x = (is_key ? p.k : p.v) + at;
        double top = 0.0;
        for (int d = 0; d < 32; d++) top = fabs((double)x[d]) > top ? fabs((double)x[d]) : top;
        double step = fmax(top / 127.0, 0x1p-24);
        for (int d = 0; d < 32; d++) {
          int64_t dim = (at + d) % n, kv = (at + d) / n % s->n_kv_heads, j = at / n / s->n_kv_heads;
          double got = cached(&p, is_key ? &c.keys : &c.values, is_key, kv, j, dim);
          double bound = step * 0.501 + top * 0x1p-11 + 127 * 0x1p-25;
          if (!(fabs(got - (double)x[d]) <= bound))
            fail_msg("position %d dim %d: stored %g for %g", (int)j, (int)dim, got, (double)x[d]);
        }
      }
    }
    cache_free(&c);
    problem_free(&p);
  }
}

/* The reference against binary64. Scores: a chain of D fused steps and two products, each within eps = 2^-24
 * relative, is off by at most (D + 3) eps sum|q k|, times |derivative| <= 1 of the soft cap plus its own few
 * ulp. A score off by ds scales its probability by exp(ds); sums of n positive terms add n eps; merging
 * chunks rescales with two exponentials of a few ulp each. With q8_0, queries are rounded too: each dimension
 * by at most half a code of its block. */
static void test_oracle(void **state) {
  (void)state;
  for (size_t i = 0; i < N_SHAPES; i++) {
    problem p = problem_new(shapes[i], 1, 200);
    const shape *s = &p.s;
    cache c = cache_new(&p);
    append_all(&p, &c, 0, 1);
    batch b = batch_run(0, 0, 1);
    batch_add(&b, 0, 63, 2);
    batch_add(&b, 0, 199, 1);
    float *y = new_floats(b.rows * s->n_heads * s->value_dim), *q = new_floats(s->n_heads * s->head_dim);
    attend(&p, &b, &c, 0, 1, y);
    double worst = 0.0;
    for (int64_t r = 0; r < b.rows; r++) {
      fill_query(s, 0, b.positions[r], q);
      int64_t hi = b.positions[r], lo = s->window && hi >= s->window ? hi - s->window + 1 : 0;
      for (int64_t h = 0; h < s->n_heads; h++) {
        int64_t kv = h / (s->n_heads / s->n_kv_heads);
        double score[200], top = -INFINITY, ds = 0.0, rounded = 0.0, total = 0.0;
        for (int64_t j = lo; j <= hi; j++) {
          double sum = 0.0, magnitude = 0.0, off = 0.0;
          for (int64_t d = 0; d < s->head_dim; d++) {
            double k = cached(&p, &c.keys, true, kv, j, d), largest = 0.0;
            if (s->dtype == WH_DTYPE_Q8_0)
              for (int64_t e = d / 32 * 32; e < d / 32 * 32 + 32; e++)
                largest = fmax(largest, fabs((double)q[h * s->head_dim + e] * 0.125));
            off += largest / 127.0 * 0.5001 * fabs(k);
            sum += (double)q[h * s->head_dim + d] * 0.125 * k;
            magnitude += fabs((double)q[h * s->head_dim + d] * 0.125 * k);
          }
          ds = fmax(ds, (double)(s->head_dim + 3) * magnitude);
          rounded = fmax(rounded, off);
          if (s->softcap > 0.0f) {
            sum = tanh(sum / (double)s->softcap) * (double)s->softcap;
            ds = fmax(ds, (double)(s->head_dim + 3) * magnitude + 6.0 * (double)s->softcap);
          }
          score[j] = sum;
          top = fmax(top, sum);
        }
        for (int64_t j = lo; j <= hi; j++) total += exp(score[j] - top);
        for (int64_t d = 0; d < s->value_dim; d++) {
          double o = 0.0, magnitude = 0.0;
          for (int64_t j = lo; j <= hi; j++) {
            double v = cached(&p, &c.values, false, kv, j, d);
            o += exp(score[j] - top) * v;
            magnitude += exp(score[j] - top) * fabs(v);
          }
          double spread =
              2.0 * fabs(top) + 200.0; /* rounding of s - m, which is at most this large where exp counts */
          double eps = 0x1p-24, n = (double)(hi - lo + 1);
          double bound = eps * (2.0 * ds + 2.0 * n + spread + 64.0) * magnitude / total + 0x1p-126;
          bound += expm1(2.0 * rounded) * magnitude / total;
          double error = fabs((double)y[(r * s->n_heads + h) * s->value_dim + d] - o / total);
          if (!(error <= bound))
            fail_msg("row %d head %d dim %d: %g > %g", (int)r, (int)h, (int)d, error, bound);
          worst = fmax(worst, error / bound);
        }
      }
    }
    if (s->window != 1) assert_true(worst > 0.0); /* one visible position: its value, exactly */
    free(y);
    free(q);
    cache_free(&c);
    problem_free(&p);
  }
}

/* The comparison sees one bit of a visible value; a position in the future does not matter. */
static void test_control(void **state) {
  (void)state;
  problem p = problem_new(shapes[2], 1, 140);
  cache c = cache_new(&p);
  append_all(&p, &c, 0, 1);
  batch b = batch_run(0, 120, 1);
  const int64_t n = p.s.n_heads * p.s.value_dim;
  float *want = new_floats(n), *got = new_floats(n);
  attend(&p, &b, &c, 0, 1, want);
  assert_true(p.page_table[1] > 0);
  float *values = (float *)(void *)c.values.data + p.page_table[1] * p.s.n_kv_heads * 64 * p.s.value_dim;
  values[(121 - 64) * p.s.value_dim] = 1e9f;
  attend(&p, &b, &c, 0, 1, got);
  assert_memory_equal(want, got, (size_t)n * sizeof *want);
  values[(120 - 64) * p.s.value_dim] =
      wh_f32_from_bits(wh_f32_bits(values[(120 - 64) * p.s.value_dim]) ^ 0x10000u);
  attend(&p, &b, &c, 0, 1, got);
  assert_memory_not_equal(want, got, (size_t)n * sizeof *want);
  free(want);
  free(got);
  cache_free(&c);
  problem_free(&p);
}

/* Fills what a cache holds before it is written. */
static void fill_stale(cache *c, int kind) {
  static const uint16_t patterns[] = {0x0000, 0xffff, 0x7c00, 0xfbff, 0x7f80, 0x8000};
  guarded *both[] = {&c->keys, &c->values};
  for (int k = 0; k < 2; k++)
    for (size_t i = 0; i + 1 < both[k]->bytes; i += 2)
      memcpy(both[k]->data + i, &patterns[kind < 6 ? (size_t)kind : (i / 2 * 2654435761u >> 13) % 6], 2);
}

/* Where pages lie and what they held before does not show, nor do sequences that share pages. */
static void test_pages(void **state) {
  (void)state;
  const size_t pick[] = {0, 2, 3, 7, 11, 13, 17};
  for (size_t i = 0; i < sizeof pick / sizeof pick[0]; i++) {
    problem p = problem_new(shapes[pick[i]], 2, 150);
    const int64_t n_k = 128 * p.s.n_kv_heads * p.s.head_dim, n_v = 128 * p.s.n_kv_heads * p.s.value_dim;
    memcpy(p.k + 150 * p.s.n_kv_heads * p.s.head_dim, p.k, (size_t)n_k * sizeof *p.k);
    memcpy(p.v + 150 * p.s.n_kv_heads * p.s.value_dim, p.v, (size_t)n_v * sizeof *p.v);
    batch b = batch_run(0, 127, 4);
    batch_add(&b, 1, 126, 5);
    const int64_t n = b.rows * p.s.n_heads * p.s.value_dim;
    float *want = new_floats(n), *got = new_floats(n);
    cache c = cache_new(&p);
    append_all(&p, &c, 0, 1);
    attend(&p, &b, &c, 0, 1, want);
    cache_free(&c);
    for (const kernel *k = kernels; k < kernels + N_KERNELS; k++)
      for (int variant = 0; variant < 9 && runs(k, p.s.dtype); variant++) {
        problem q = p;
        int32_t table[10];
        q.page_table = table;
        memcpy(table, p.page_table, sizeof table);
        for (int j = 0; j < 10 && variant == 7; j++) table[j] = 9 - j;
        if (variant == 8)
          memcpy(table + 5, table, 2 * sizeof *table); /* the first 128 positions are the same */
        c = cache_new(&q);
        fill_stale(&c, variant < 7 ? variant : 6);
        append_all(&q, &c, k->needs, 1 + variant % 3);
        attend(&q, &b, &c, k->needs, 1 + variant % 3, got);
        expect_same(k->isa, &p.s, &b, want, got);
        cache_free(&c);
      }
    free(want);
    free(got);
    problem_free(&p);
  }
}

/* Each kernel is chosen for its needs, and each level of the machine has one of the list. */
static void test_every_kernel_is_reached(void **state) {
  (void)state;
  static const wh_dtype types[] = {WH_DTYPE_F16, WH_DTYPE_F32, WH_DTYPE_Q8_0};
  for (size_t t = 0; t < 3; t++) {
    for (size_t k = 0; k < N_KERNELS; k++) {
      if (!takes(&kernels[k], types[t])) continue;
      assert_true(wh_attention_select(kernels[k].needs, types[t], NULL) == kernels[k].attend);
      assert_true(wh_kv_append_select(kernels[k].needs, types[t], NULL) == kernels[k].append);
    }
    for (int l = 0; l < n_levels; l++) {
      size_t found = 0;
      for (size_t k = 0; k < N_KERNELS; k++)
        found += runs(&kernels[k], types[t]) &&
                 wh_attention_select(levels[l].mask, types[t], NULL) == kernels[k].attend;
      assert_int_equal(found, 1);
    }
  }
}

static void test_select(void **state) {
  (void)state;
  const char *name = NULL;
  size_t bytes = 7;
  assert_null(wh_attention_select(~UINT64_C(0), WH_DTYPE_BF16, NULL));
  assert_null(wh_kv_append_select(0, WH_DTYPE_Q4_0, NULL));
  assert_non_null(wh_attention_select(0, WH_DTYPE_F16, &name));
  assert_string_equal(name, "attention_ref");
  assert_false(wh_kv_cache_bytes(WH_DTYPE_F16, INT64_MAX, 8, 64, &bytes));
  assert_false(wh_kv_cache_bytes(WH_DTYPE_F16, -1, 8, 64, &bytes));
  assert_int_equal(bytes, 7);
  assert_true(wh_kv_cache_bytes(WH_DTYPE_F32, 2, 3, 5, &bytes));
  assert_int_equal(bytes, 2 * 3 * 5 * 64 * 4);
  assert_true(wh_kv_cache_bytes(WH_DTYPE_Q8_0, 2, 3, 96, &bytes));
  assert_int_equal(bytes, 2 * 3 * 64 * 96 / 32 * 34);
  assert_false(wh_kv_cache_bytes(WH_DTYPE_Q8_0, 1, 1, 80, &bytes)); /* not whole blocks */
  assert_true(wh_attention_scratch_bytes(1, 1, 1, INT64_MAX / 2, 64, 64, 2) == SIZE_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_select),   cmocka_unit_test(test_every_kernel_is_reached),
      cmocka_unit_test(test_cache),    cmocka_unit_test(test_levels),
      cmocka_unit_test(test_q8_store), cmocka_unit_test(test_oracle),
      cmocka_unit_test(test_control),  cmocka_unit_test(test_prompt_chunking),
      cmocka_unit_test(test_pages),
  };
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
