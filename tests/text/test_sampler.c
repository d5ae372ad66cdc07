/* test_sampler.c - each option against its definition in double precision, the draw against its distribution,
 * and what the sampler promises: determinism, ties, extremes, no allocation while sampling. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/sampler.h"

static uint64_t test_state = 1;
static double test_uniform(void) {
  test_state = test_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (double)(test_state >> 11) * 0x1p-53;
}

static wh_sampler *make(const wh_sampler_options *o, size_t n) {
  wh_sampler *s = NULL;
  assert_int_equal(wh_sampler_create(o, n, NULL, &s), WH_OK);
  return s;
}

static int32_t sample(wh_sampler *s, const float *logits) {
  int32_t id = -1;
  assert_int_equal(wh_sampler_sample(s, logits, &id), WH_OK);
  return id;
}

static void test_greedy(void **state) {
  (void)state;
  wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
  wh_sampler *s = make(&o, 6);
  assert_int_equal(sample(s, (float[]){1, 3, 2, 3, -INFINITY, 0}), 1); /* ties: the lowest id */
  assert_int_equal(sample(s, (float[]){-5, -4, -9, -4, -4, -INFINITY}), 1);
  assert_int_equal(sample(s, (float[]){0, INFINITY, 2, INFINITY, 1, 0}), 1);
  assert_int_equal(sample(s, (float[]){-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -3e38f}), 5);
  wh_sampler_destroy(s);
  wh_sampler_destroy(NULL);
}

static void test_errors(void **state) {
  (void)state;
  wh_sampler *s = NULL;
  int32_t id = 77;
  for (int greedy = 0; greedy < 2; greedy++) {
    wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
    o.temperature = greedy ? 0 : 1;
    s = make(&o, 3);
    assert_int_equal(wh_sampler_sample(s, (float[]){1, NAN, 2}, &id), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(wh_sampler_sample(s, (float[]){NAN, 1, 2}, &id), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(wh_sampler_sample(s, (float[]){-INFINITY, -INFINITY, -INFINITY}, &id),
                     WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(id, 77);
    wh_sampler_destroy(s);
  }
  wh_sampler_options bad[11];
  for (size_t i = 0; i < 11; i++) bad[i] = (wh_sampler_options)WH_SAMPLER_OPTIONS_INIT;
  bad[0].temperature = -1;
  bad[1].temperature = NAN;
  bad[2].temperature = INFINITY;
  bad[3].top_p = 0;
  bad[4].top_p = 1.5f;
  bad[5].min_p = -0.1f;
  bad[6].min_p = 2;
  bad[7].repetition_penalty = 0;
  bad[8].presence_penalty = INFINITY;
  bad[9].frequency_penalty = NAN;
  bad[10].penalty_window = WH_SAMPLER_WINDOW_MAX + 1;
  for (size_t i = 0; i < 11; i++) {
    s = NULL;
    assert_int_equal(wh_sampler_create(&bad[i], 4, NULL, &s), WH_ERR_INVALID_ARGUMENT);
    assert_null(s);
  }
  assert_int_equal(wh_sampler_create(&(wh_sampler_options)WH_SAMPLER_OPTIONS_INIT, 0, NULL, &s),
                   WH_ERR_INVALID_ARGUMENT);
}

/* The chain's definition, naively: probabilities of all tokens. */
#define N 40
static void reference(const wh_sampler_options *o, const float *logits, const int32_t *history,
                      size_t n_history, double *p) {
  double l[N];
  int order[N];
  size_t from = n_history > o->penalty_window ? n_history - o->penalty_window : 0, kept = N;
  for (int i = 0; i < N; i++) {
    int count = 0;
    for (size_t k = from; k < n_history; k++) count += history[k] == i;
    l[i] = (double)logits[i];
    if (count) {
      l[i] = l[i] > 0 ? l[i] / (double)o->repetition_penalty : l[i] * (double)o->repetition_penalty;
      l[i] -= count * (double)o->frequency_penalty + (double)o->presence_penalty;
    }
    order[i] = i;
  }
  for (int i = 1; i < N; i++) /* insertion sort is stable: equals stay in order of id */
    for (int k = i; k > 0 && l[order[k]] > l[order[k - 1]]; k--) {
      int t = order[k];
      order[k] = order[k - 1];
      order[k - 1] = t;
    }
  double w[N], total = 0, sum = 0;
  for (int i = 0; i < N; i++) w[i] = exp((l[order[i]] - l[order[0]]) / (double)o->temperature);
  if (o->top_k && o->top_k < kept) kept = o->top_k;
  while (kept > 1 && w[kept - 1] < (double)o->min_p) kept--;
  for (size_t i = 0; i < kept; i++) total += w[i];
  size_t n = kept;
  if (o->top_p < 1)
    for (n = 0; n < kept && sum < (double)o->top_p * total; n++) sum += w[n];
  total = 0;
  for (size_t i = 0; i < n; i++) total += w[i];
  for (int i = 0; i < N; i++) p[i] = 0;
  for (size_t i = 0; i < n; i++) p[order[i]] = w[i] / total;
}

static void check_distribution(const wh_sampler_options *o, const float *logits, const int32_t *history,
                               size_t n_history) {
  enum { DRAWS = 20000 };
  double p[N], chi2 = 0;
  int counts[N] = {0}, cells = 0;
  reference(o, logits, history, n_history, p);
  wh_sampler_options once = *o;
  wh_sampler *s = make(&once, N);
  for (int d = 0; d < DRAWS; d++) {
    if (n_history) { /* the pick enters the history: give it the same one again */
      for (size_t k = 0; k < o->penalty_window + n_history; k++)
        wh_sampler_accept(s, k < o->penalty_window ? N + 1 : history[k - o->penalty_window]);
    }
    int32_t id = sample(s, logits);
    assert_in_range(id, 0, N - 1);
    counts[id]++;
  }
  wh_sampler_destroy(s);
  for (int i = 0; i < N; i++) {
    double expected = p[i] * DRAWS;
    if (p[i] == 0) assert_int_equal(counts[i], 0); /* cut off: never drawn */
    if (expected < 5) continue;
    chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
    cells++;
  }
  /* mean cells - 1, variance twice that: five standard deviations and room for few cells */
  assert_true(chi2 < cells + 5 * sqrt(2.0 * cells) + 8);
}

static void test_distribution(void **state) {
  (void)state;
  float logits[N];
  const int32_t history[] = {3, 5, 3, 7, 39, 3, 0};
  for (int round = 0; round < 14; round++) {
    wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
    for (int i = 0; i < N; i++) logits[i] = (float)(6 * test_uniform() - 3);
    logits[11] = logits[12]; /* ties across the cuts */
    logits[13] = -INFINITY;
    o.temperature = round % 3 == 0 ? 1.0f : round % 3 == 1 ? 0.6f : 1.7f;
    o.seed = (uint64_t)round;
    if (round & 1) o.top_k = 1 + (uint32_t)(test_uniform() * 20);
    if (round & 2) o.top_p = 0.3f + 0.6f * (float)test_uniform();
    if (round & 4) o.min_p = 0.02f + 0.3f * (float)test_uniform();
    if (round & 8) {
      o.repetition_penalty = 1.3f;
      o.presence_penalty = 0.5f;
      o.frequency_penalty = 0.25f;
      o.penalty_window = round & 1 ? 4 : 16;
    }
    check_distribution(&o, logits, history, round & 8 ? 7 : 0);
  }
}

static void test_cuts(void **state) {
  (void)state;
  const float logits[] = {1, 2, 2, 2, 0};
  wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
  o.temperature = 1;
  o.top_k = 2; /* of three equals the lower ids */
  wh_sampler *s = make(&o, 5);
  bool seen[5] = {false};
  for (int i = 0; i < 200; i++) seen[sample(s, logits)] = true;
  assert_true(!seen[0] && seen[1] && seen[2] && !seen[3] && !seen[4]);
  wh_sampler_destroy(s);
  o.top_k = 0;
  o.top_p = 1e-6f; /* one token stays, always */
  s = make(&o, 5);
  for (int i = 0; i < 50; i++) assert_int_equal(sample(s, logits), 1);
  wh_sampler_destroy(s);
  o.top_p = 1;
  o.min_p = 1;
  s = make(&o, 5);
  for (int i = 0; i < 50; i++) assert_in_range(sample(s, logits), 1, 3);
  wh_sampler_destroy(s);
}

static void test_extremes(void **state) {
  (void)state;
  wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
  o.temperature = 1e-40f; /* subnormal */
  wh_sampler *s = make(&o, 4);
  for (int i = 0; i < 50; i++) assert_int_equal(sample(s, (float[]){1, 1.0000001f, -3e38f, 0}), 1);
  wh_sampler_destroy(s);
  o.temperature = 3e38f;
  s = make(&o, 4);
  bool seen[4] = {false};
  for (int i = 0; i < 200; i++) seen[sample(s, (float[]){3e38f, -3e38f, -INFINITY, 0})] = true;
  assert_true(seen[0] && seen[1] && !seen[2] && seen[3]);
  wh_sampler_destroy(s);
  o.temperature = 1;
  o.top_p = 0.9f;
  s = make(&o, 4);
  memset(seen, 0, sizeof seen);
  for (int i = 0; i < 200; i++) seen[sample(s, (float[]){1, INFINITY, 3e38f, INFINITY})] = true;
  assert_true(!seen[0] && seen[1] && !seen[2] && seen[3]);
  wh_sampler_destroy(s);
  s = make(&o, 1);
  assert_int_equal(sample(s, (float[]){-1}), 0);
  wh_sampler_destroy(s);
}

static void test_penalties_greedy(void **state) {
  (void)state;
  const float logits[] = {2.0f, 1.9f, -1.0f, -1.1f};
  wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
  o.repetition_penalty = 1.1f;
  o.penalty_window = 1;
  wh_sampler *s = make(&o, 4);
  assert_int_equal(sample(s, logits), 0);
  assert_int_equal(sample(s, logits), 1); /* 2.0 / 1.1 < 1.9 */
  assert_int_equal(sample(s, logits), 0); /* the window forgot 0 */
  wh_sampler_reset(s);
  assert_int_equal(sample(s, logits), 0);
  wh_sampler_destroy(s);
  o = (wh_sampler_options)WH_SAMPLER_OPTIONS_INIT;
  o.frequency_penalty = 0.04f;
  s = make(&o, 4);
  const int32_t expected[] = {0, 0, 0, 1, 0, 1, 0}; /* 2 - .04 n0 against 1.9 - .04 n1 */
  for (int i = 0; i < 7; i++) assert_int_equal(sample(s, logits), expected[i]);
  wh_sampler_accept(s, -5); /* ids outside of the vocabulary do no harm */
  wh_sampler_accept(s, 1000000);
  (void)sample(s, logits);
  wh_sampler_destroy(s);
}

/* The same picks on every machine: their hash is a golden, made by this code and reviewed when it changes. */
static void test_determinism(void **state) {
  (void)state;
  enum { VOCAB = 50000, PICKS = 40 };
  float *logits = malloc(VOCAB * sizeof *logits);
  int32_t first[PICKS];
  assert_non_null(logits);
  wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
  o.temperature = 0.8f;
  o.top_k = 400;
  o.top_p = 0.95f;
  o.min_p = 0.001f;
  o.repetition_penalty = 1.1f;
  o.seed = 42;
  wh_sampler *s = make(&o, VOCAB);
  for (int round = 0; round < 2; round++) {
    uint32_t x = 7;
    for (int i = 0; i < PICKS; i++) {
      for (int k = 0; k < VOCAB; k++) {
        x = x * 1664525u + 1013904223u;
        logits[k] = (float)(x >> 16) * 0x1p-12f; /* exact: many ties, logits 0 to 16 */
      }
      int32_t id = sample(s, logits);
      if (round == 0) first[i] = id;
      assert_int_equal(id, first[i]);
    }
    wh_sampler_reset(s);
  }
  wh_sampler_destroy(s);
  free(logits);
  uint32_t hash = 2166136261u;
  for (int i = 0; i < PICKS; i++) hash = (hash ^ (uint32_t)first[i]) * 16777619u;
  assert_int_equal(hash, 0x90400933u);
}

typedef struct counting {
  int n_alloc, n_live, fail_at;
} counting;

static void *counting_alloc(void *ctx, size_t size, size_t align) {
  counting *c = ctx;
  if (c->n_alloc++ == c->fail_at) return NULL;
  c->n_live++;
  return wh_allocator_default()->alloc(NULL, size, align);
}

static void counting_free(void *ctx, void *ptr) {
  ((counting *)ctx)->n_live--;
  wh_allocator_default()->free(NULL, ptr);
}

static void test_memory(void **state) {
  (void)state;
  counting c = {0, 0, -1};
  const wh_allocator alloc = {&c, counting_alloc, counting_free};
  wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
  o.temperature = 1;
  o.top_p = 0.9f;
  o.top_k = 5;
  o.frequency_penalty = 0.1f;
  wh_sampler *s = NULL;
  int fail_at = 0;
  for (;; fail_at++) {
    c = (counting){0, 0, fail_at};
    wh_status status = wh_sampler_create(&o, 100, &alloc, &s);
    if (status == WH_OK) break;
    assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
    assert_null(s);
    assert_int_equal(c.n_live, 0);
  }
  assert_true(fail_at >= 3);
  int before = c.n_alloc;
  float logits[100];
  for (int i = 0; i < 100; i++) logits[i] = (float)(i % 17);
  for (int i = 0; i < 300; i++) (void)sample(s, logits);
  wh_sampler_reset(s);
  assert_int_equal(c.n_alloc, before); /* sampling allocates nothing */
  wh_sampler_destroy(s);
  assert_int_equal(c.n_live, 0);
}

/* ---- from the largest logits alone ---- */

/* The n largest, in falling order, of equals the lower ids first. */
static void find_best(const float *logits, size_t n_vocab, size_t n, float *best, int64_t *ids) {
  bool taken[N] = {false};
  for (size_t k = 0; k < n; k++) {
    size_t at = n_vocab;
    for (size_t i = 0; i < n_vocab; i++)
      if (!taken[i] && (at == n_vocab || logits[i] > logits[at])) at = i;
    taken[at] = true;
    best[k] = logits[at];
    ids[k] = (int64_t)at;
  }
}

static void some_penalties(wh_sampler_options *o, int round) {
  if (round % 3 == 0) o->repetition_penalty = round % 4 == 3 ? 0.8f : 1.3f;
  if (round % 9 == 0) o->frequency_penalty = round % 5 ? 0.4f : -0.4f;
  if (round % 6 == 0) o->presence_penalty = 1.0f;
  o->penalty_window = 1 + (uint32_t)(test_uniform() * 8);
}

/* Where they decide, the token is that of all logits; where not, the sampler is as it was. */
static void test_best(void **state) {
  (void)state;
  float logits[N], best[N];
  int64_t ids[N];
  size_t n_decided = 0, n_open = 0, n_penalised = 0, n_top_p = 0;
  for (int round = 0; round < 4000; round++) {
    wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
    const double spread = round % 5 ? 12 : 300; /* wide: most weights are 0 */
    const size_t n = round % 11 ? 1 + (size_t)(test_uniform() * 20) : N;
    for (int i = 0; i < N; i++)
      logits[i] = (float)(floor(8 * test_uniform()) / 8 * spread - spread / 2); /* ties */
    if (round % 7 == 0) logits[20] = logits[21] = -0.0f, logits[19] = 0.0f;
    if (round % 13 == 0) logits[5] = -INFINITY;
    if (round % 17 == 0) logits[6] = logits[9] = INFINITY;
    o.temperature = round % 4 ? 0.3f + (float)test_uniform() : 0.0f;
    o.seed = (uint64_t)round;
    if (round & 1) o.top_k = 1 + (uint32_t)(test_uniform() * 25);
    if (round & 2) o.top_p = 0.3f + 0.6f * (float)test_uniform();
    if (round & 4) o.min_p = 0.02f + 0.5f * (float)test_uniform();
    some_penalties(&o, round);
    wh_sampler *all = make(&o, N), *some = make(&o, N);
    find_best(logits, N, n, best, ids);
    for (int i = 0; i < 4; i++) {
      const int32_t token = (int32_t)ids[(size_t)(test_uniform() * (double)n)];
      wh_sampler_accept(all, token);
      wh_sampler_accept(some, token);
    }
    for (int draw = 0; draw < 3; draw++) {
      int32_t id = -1;
      bool decided = true;
      assert_int_equal(wh_sampler_sample_best(some, best, ids, n, &id, &decided), WH_OK);
      n_decided += decided;
      n_open += !decided;
      n_penalised += decided && o.repetition_penalty > 1;
      n_top_p += decided && o.top_k == 0 && o.min_p == 0 && o.temperature > 0 && o.top_p < 1 && n < N;
      assert_int_equal(decided ? id : sample(some, logits), sample(all, logits));
    }
    wh_sampler_destroy(all);
    wh_sampler_destroy(some);
  }
  assert_true(n_decided > 6000);
  assert_true(n_open > 1000);
  assert_true(n_penalised > 1000);
  assert_true(n_top_p > 300);
}

static void test_best_errors(void **state) {
  (void)state;
  const int64_t ids[] = {1, 0, 2};
  for (int k = 0; k < 2; k++) {
    wh_sampler_options o = WH_SAMPLER_OPTIONS_INIT;
    o.temperature = (float)k;
    wh_sampler *s = make(&o, 3);
    int32_t id = -1;
    bool decided = true;
    assert_int_equal(wh_sampler_sample_best(s, (float[]){NAN, 2, 1}, ids, 3, &id, &decided),
                     WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(wh_sampler_sample_best(s, (float[]){-INFINITY, -INFINITY}, ids, 2, &id, &decided),
                     WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(wh_sampler_sample_best(s, (float[]){0}, ids, 0, &id, &decided), WH_OK);
    assert_false(decided);
    assert_int_equal(id, -1);
    wh_sampler_destroy(s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_greedy),       cmocka_unit_test(test_errors),
      cmocka_unit_test(test_distribution), cmocka_unit_test(test_cuts),
      cmocka_unit_test(test_extremes),     cmocka_unit_test(test_penalties_greedy),
      cmocka_unit_test(test_best),         cmocka_unit_test(test_best_errors),
      cmocka_unit_test(test_determinism),  cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
