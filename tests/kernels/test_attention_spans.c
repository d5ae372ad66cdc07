/* test_attention_spans.c - attention over more than one span of 16 chunks: every level and cut gives the bits
 * of docs/NUMERICS.md's two levels, which are those of one chain within a span, and no worse than one beyond.
 */
#include "tests/kernels/guarded.h" /* first */

#include "tests/kernels/attention_fixture.h"

#define LENGTH 2180
#define WHOLE INT64_MAX /* chunks of a span: one chain */

static const shape shapes[] = {
    {WH_DTYPE_F32, 3, 1, 32, 32, 2240, 0, 0.0f},     {WH_DTYPE_F16, 4, 2, 40, 48, 2240, 0, 0.0f},
    {WH_DTYPE_Q8_0, 2, 1, 64, 64, 2240, 0, 0.0f},    {WH_DTYPE_F16, 3, 1, 32, 32, 2240, 1030, 0.0f},
    {WH_DTYPE_F32, 2, 1, 17, 33, 2240, 40, 0.0f},    {WH_DTYPE_Q8_0, 2, 2, 32, 32, 2240, 1024, 30.0f},
    {WH_DTYPE_F16, 20, 1, 16, 16, 2240, 1100, 0.0f},
};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

/* Every kernel, and teams that cut the work within spans and between them. */
static void check_teams(const problem *p, const batch *b, const cache *c) {
  static const int threads[] = {1, 2, 3, 7};
  const int64_t n = b->rows * p->s.n_heads * p->s.value_dim;
  float *want = new_floats(n), *got = new_floats(n);
  attend(p, b, c, 0, 1, want);
  for (const kernel *k = kernels; k < kernels + N_KERNELS; k++)
    for (size_t t = 0; t < sizeof threads / sizeof *threads && runs(k, p->s.dtype) && k->needs; t++) {
      memset(got, 0x5a, (size_t)n * sizeof *got);
      attend(p, b, c, k->needs, threads[t], got);
      expect_same(k->isa, &p->s, b, want, got);
    }
  free(want);
  free(got);
}

static void test_levels(void **state) {
  (void)state;
  for (size_t i = 0; i < N_SHAPES; i++) {
    problem p = problem_new(shapes[i], 1, LENGTH);
    cache c = cache_new(&p);
    append_all(&p, &c, wh_cpu_features_detect(), 1);
    static const int64_t alone[] = {1022, 1023, 1024, 1025, 1087, 1088, 2047, 2048, 2049, LENGTH - 1};
    for (size_t k = 0; k < sizeof alone / sizeof *alone; k++) {
      batch b = batch_run(0, alone[k], 1);
      check_teams(&p, &b, &c);
    }
    batch b = batch_run(0, 1020, 9); /* rows of one item end in different spans */
    check_teams(&p, &b, &c);
    b = batch_run(0, 1000, 50);
    batch_add(&b, 0, 2040, 20);
    check_teams(&p, &b, &c);
    cache_free(&c);
    problem_free(&p);
  }
}

/* ---- the definition, with spans of any length, over f32 ---- */

typedef struct part {
  bool any;
  float m, l, o[64];
} part;

static void add_part(part *all, const part *one, int64_t n) {
  if (!all->any) {
    *all = *one;
    return;
  }
  const float top = fmaxf(all->m, one->m), a = wh_exp_f32(all->m - top), b = wh_exp_f32(one->m - top);
  all->l = fmaf(all->l, a, one->l * b);
  for (int64_t d = 0; d < n; d++) all->o[d] = fmaf(all->o[d], a, one->o[d] * b);
  all->m = top;
}

static const float *at(const problem *p, const float *x, int64_t n_dim, int64_t position, int64_t head) {
  return x + (position * p->s.n_kv_heads + head) * n_dim;
}

/* A chunk's part for one head's query; in `exact`, sums that are as good as exact go on. */
static part chunk_part(const problem *p, const float *q, int64_t head, int64_t lo, int64_t hi, int64_t chunk,
                       double *total, double *exact) {
  part one = {.any = true, .m = -INFINITY};
  float s[64], lanes[64] = {0};
  for (int j = 0; j < 64; j++) {
    const int64_t position = chunk * 64 + j;
    if (position < lo || position > hi) continue;
    const float *k = at(p, p->k, p->s.head_dim, position, head);
    double sum = 0.0;
    s[j] = 0.0f;
    for (int64_t d = 0; d < p->s.head_dim; d++) {
      s[j] = fmaf(q[d] * 0.125f, k[d], s[j]);
      sum += (double)q[d] * 0.125 * (double)k[d];
    }
    one.m = fmaxf(one.m, s[j]);
    *total += exp(sum);
    for (int64_t d = 0; d < p->s.value_dim; d++)
      exact[d] += exp(sum) * (double)at(p, p->v, p->s.value_dim, position, head)[d];
  }
  for (int j = 0; j < 64; j++) {
    const int64_t position = chunk * 64 + j;
    if (position < lo || position > hi) continue;
    lanes[j] = wh_exp_f32(s[j] - one.m);
    for (int64_t d = 0; d < p->s.value_dim; d++)
      one.o[d] = fmaf(lanes[j], at(p, p->v, p->s.value_dim, position, head)[d], one.o[d]);
  }
  for (int h = 32; h > 0; h /= 2)
    for (int j = 0; j < h; j++) lanes[j] = lanes[j] + lanes[j + h];
  one.l = lanes[0];
  return one;
}

/* y of one row, with spans of n chunks; its squared error is added to *error. */
static void plain(const problem *p, int64_t position, int64_t n, float *y, double *error) {
  const shape *s = &p->s;
  const int64_t lo = s->window && position >= s->window ? position - s->window + 1 : 0;
  float q[1024];
  fill_query(s, 0, (int32_t)position, q);
  for (int64_t h = 0; h < s->n_heads; h++, y += s->value_dim) {
    part all = {.any = false}, span = {.any = false};
    double total = 0.0, exact[64] = {0};
    for (int64_t c = lo / 64; c <= position / 64; c++) {
      const part one = chunk_part(p, q + h * s->head_dim, h / (s->n_heads / s->n_kv_heads), lo, position, c,
                                  &total, exact);
      add_part(&span, &one, s->value_dim);
      if (c < position / 64 && (c + 1) % n != 0) continue;
      add_part(&all, &span, s->value_dim);
      span.any = false;
    }
    for (int64_t d = 0; d < s->value_dim; d++) {
      y[d] = all.o[d] / all.l;
      *error += pow((double)y[d] - exact[d] / total, 2);
    }
  }
}

/* Within a span the two levels are one chain; across spans they are not, and this sees it. */
static void test_definition(void **state) {
  (void)state;
  static const size_t pick[] = {0, 4};
  static const int64_t positions[] = {0, 700, 1023, 1024, 1025, 1060, 2047, 2048, LENGTH - 1};
  double two = 0.0, one = 0.0;
  for (size_t i = 0; i < 2; i++) {
    problem p = problem_new(shapes[pick[i]], 1, LENGTH);
    const int64_t n = p.s.n_heads * p.s.value_dim, window = p.s.window ? p.s.window : LENGTH;
    float *got = new_floats(n), *want = new_floats(n), *chain = new_floats(n);
    cache c = cache_new(&p);
    append_all(&p, &c, 0, 1);
    for (size_t k = 0; k < sizeof positions / sizeof *positions; k++) {
      const int64_t at = positions[k], lo = at >= window ? at - window + 1 : 0;
      batch b = batch_run(0, at, 1);
      attend(&p, &b, &c, 0, 1, got);
      plain(&p, at, WH_ATTENTION_SPAN, want, &two);
      plain(&p, at, WHOLE, chain, &one);
      expect_same("two levels", &p.s, &b, want, got);
      const bool same = memcmp(want, chain, (size_t)n * sizeof *want) == 0;
      if (lo / 1024 == at / 1024) assert_true(same);
      if (at - lo > 1100) assert_false(same);
    }
    cache_free(&c);
    problem_free(&p);
    free(got);
    free(want);
    free(chain);
  }
  assert_true(two > 0.0 && two <= 1.02 * one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_levels),
      cmocka_unit_test(test_definition),
  };
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
