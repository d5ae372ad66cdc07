/* test_expert_linear.c - products with a matrix per expert: every row has the bits of the plain reference
 * product with its expert's slice of the weights, at every level, for every weight type, any number of
 * tokens, choices and workers; nothing outside the operands is touched. */
#define _DEFAULT_SOURCE /* guarded.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/expert_linear.h"
#include "backends/cpu/rowops.h"
#include "core/base/allocator.h"
#include "core/base/exact_math.h"
#include "tests/kernels/guarded.h"
#include "tests/kernels/levels.h"
#include "tests/kernels/linear_q_fixture.h"

#define N_TEAMS 3
static wh_team *teams[N_TEAMS]; /* of 1, 2 and 3 workers */
static fixture_rng rng = {7};

typedef struct problem {
  wh_dtype dtype;
  int64_t tokens, slots, n_experts, n, k;
  bool per_slot;
  guarded w, x, selected; /* the file's bytes; q8a, q13a or f32 rows; choices */
  guarded want;
} problem;

static bool quantised(const problem *p) { return wh_dtype_is_quantised(p->dtype); }
static int64_t n_x(const problem *p) { return p->per_slot ? p->tokens * p->slots : p->tokens; }
static int32_t *selected(const problem *p) { return (int32_t *)(void *)p->selected.data; }

static size_t matrix_bytes(const problem *p) {
  size_t row;
  assert_true(wh_dtype_row_bytes(p->dtype, (uint64_t)p->k, &row));
  return row * (size_t)p->n;
}

static void make_weights(problem *p) {
  const int64_t rows = p->n_experts * p->n;
  uint8_t *w = guarded_new(&p->w, matrix_bytes(p) * (size_t)p->n_experts, 0);
  if (quantised(p)) {
    fixture_weights(&rng, p->dtype, rows, p->k, true, w);
    return;
  }
  for (int64_t i = 0; i < rows * p->k; i++) {
    const float v = fixture_random_unit(&rng);
    if (p->dtype == WH_DTYPE_F32) ((float *)(void *)w)[i] = v;
    if (p->dtype == WH_DTYPE_F16) ((uint16_t *)(void *)w)[i] = wh_f16_from_f32(v);
    if (p->dtype == WH_DTYPE_BF16) ((uint16_t *)(void *)w)[i] = (uint16_t)(wh_f32_bits(v) >> 16);
  }
}

/* The plain reference product of every row with every expert; of each row the expert that it chose is kept.
 */
static void make_wanted(problem *p) {
  const wh_worker alone = {0, 1, NULL};
  wh_expert_layout l;
  assert_int_equal(wh_expert_linear_layout(0, p->dtype, p->n_experts, p->n, p->k, &l), WH_OK);
  const size_t y_bytes = (size_t)(n_x(p) * p->n) * sizeof(float);
  float *y = malloc(y_bytes), *want;
  assert_non_null(y);
  want = guarded_new(&p->want, (size_t)(p->tokens * p->slots * p->n) * sizeof *want, 0);
  for (int64_t e = 0; e < p->n_experts; e++) {
    const void *w = p->w.data + (size_t)e * matrix_bytes(p);
    if (p->dtype != WH_DTYPE_F32) {
      const wh_linear_q_args a = {
          .layout = &l.matrix, .w = w, .x = p->x.data, .m = n_x(p), .y = y, .ldy = p->n};
      (quantised(p) ? wh_linear_q_select : wh_linear_h_select)(0, p->dtype, NULL)(&a, &alone);
    } else {
      const wh_linear_f_args a = {.layout = &l.matrix,
                                  .w = w,
                                  .x = (const float *)(const void *)p->x.data,
                                  .ldx = p->k,
                                  .m = n_x(p),
                                  .y = y,
                                  .ldy = p->n};
      wh_linear_f_select(0, p->dtype, NULL)(&a, &alone);
    }
    for (int64_t r = 0; r < p->tokens * p->slots; r++)
      if (selected(p)[r] == e)
        memcpy(want + r * p->n, y + (p->per_slot ? r : r / p->slots) * p->n, (size_t)p->n * sizeof *y);
  }
  free(y);
}

/* A third of the rows goes to expert 0, and the last expert is only chosen where there are few. */
static int32_t random_expert(const problem *p) {
  if (fixture_random(&rng) % 3 == 0) return 0;
  return (int32_t)(fixture_random(&rng) % (uint32_t)(p->n_experts > 2 ? p->n_experts - 1 : p->n_experts));
}

static void make_problem(problem *p) {
  make_weights(p);
  float *x = malloc((size_t)(n_x(p) * p->k) * sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n_x(p) * p->k; i++) x[i] = fixture_random_unit(&rng);
  if (quantised(p)) {
    fixture_quantize(x, n_x(p), p->k, guarded_new(&p->x, wh_q8a_bytes(n_x(p), p->k), 0));
  } else if (p->dtype != WH_DTYPE_F32) {
    wh_rowops ref;
    wh_rowops_select(0, &ref);
    const wh_quantize_wide_args a = {n_x(p), p->k, p->k, x,
                                     guarded_new(&p->x, wh_q13a_bytes(n_x(p), p->k), 0)};
    ref.quantize_wide(&a, &(wh_worker){0, 1, NULL});
  } else
    memcpy(guarded_new(&p->x, (size_t)(n_x(p) * p->k) * sizeof *x, 0), x, p->x.bytes);
  free(x);
  guarded_new(&p->selected, (size_t)(p->tokens * p->slots) * sizeof(int32_t), 0);
  for (int64_t r = 0; r < p->tokens * p->slots; r++) selected(p)[r] = random_expert(p);
  make_wanted(p);
}

static void free_problem(problem *p) {
  assert_true(guarded_free(&p->w) & guarded_free(&p->x) & guarded_free(&p->selected) &
              guarded_free(&p->want));
}

typedef struct call {
  const wh_expert_layout *layout;
  const void *src;
  void *dst;
  const wh_expert_linear_args *args;
} call;

static void run_pack(void *arg, const wh_worker *w) {
  const call *c = arg;
  int64_t begin, end;
  wh_worker_range(w, c->layout->n_experts * c->layout->matrix.n_panels, &begin, &end);
  if (!wh_expert_linear_pack(c->layout, c->src, c->dst, begin, end)) abort(); /* every scale is finite */
}

static void run_product(void *arg, const wh_worker *w) { wh_expert_linear(((const call *)arg)->args, w); }

/* `room`: how many more rows than there are the scratch was asked for. */
static void check(const problem *p, const char *level, uint64_t mask, wh_team *team, int64_t room) {
  wh_expert_layout l;
  guarded packed, scratch, y;
  assert_int_equal(mask & ~test_features(), 0);
  assert_int_equal(wh_expert_linear_layout(mask, p->dtype, p->n_experts, p->n, p->k, &l), WH_OK);
  call c = {.layout = &l, .src = p->w.data, .dst = guarded_new(&packed, l.n_bytes, 0xee)};
  wh_team_run(team, run_pack, &c);
  wh_expert_linear_args a = {.layout = &l,
                             .w = packed.data,
                             .x = p->x.data,
                             .per_slot = p->per_slot,
                             .tokens = p->tokens,
                             .slots = p->slots,
                             .selected = selected(p),
                             .step = 1};
  if (p->dtype != WH_DTYPE_F32)
    a.linear_q = (quantised(p) ? wh_linear_q_select : wh_linear_h_select)(mask, p->dtype, NULL);
  else
    a.linear_f = wh_linear_f_select(mask, p->dtype, NULL);
  assert_true(wh_expert_linear_scratch_bytes(mask, &l, p->tokens * p->slots + room, &a.scratch_bytes));
  assert_int_equal(a.scratch_bytes % 64, 0);
  a.scratch = guarded_new(&scratch, a.scratch_bytes * (size_t)wh_team_size(team), 0xcc);
  a.y = guarded_new(&y, p->want.bytes, 0x5a);
  c.args = &a;
  wh_team_run(team, run_product, &c);
  const bool same = memcmp(y.data, p->want.data, y.bytes) == 0;
  if (!same || !(guarded_free(&y) & guarded_free(&scratch) & guarded_free(&packed)))
    fail_msg("%s at %s, %d workers: %lld tokens, %lld of %lld experts of %lld x %lld%s: %s",
             wh_dtype_name(p->dtype), level, wh_team_size(team), (long long)p->tokens, (long long)p->slots,
             (long long)p->n_experts, (long long)p->n, (long long)p->k, p->per_slot ? ", per slot" : "",
             same ? "written outside" : "not the plain product's bits");
}

static const wh_dtype types[] = {WH_DTYPE_F32,  WH_DTYPE_F16,    WH_DTYPE_BF16,   WH_DTYPE_Q4_0,
                                 WH_DTYPE_Q4_1, WH_DTYPE_Q5_0,   WH_DTYPE_Q5_1,   WH_DTYPE_Q8_0,
                                 WH_DTYPE_Q2_K, WH_DTYPE_Q3_K,   WH_DTYPE_Q4_K,   WH_DTYPE_Q5_K,
                                 WH_DTYPE_Q6_K, WH_DTYPE_IQ4_NL, WH_DTYPE_IQ4_XS, WH_DTYPE_MXFP4};
#define N_TYPES (sizeof types / sizeof types[0])

/* Activations shared by a token's choices, and one row for each of them. */
static void check_all(wh_dtype dtype, problem shape, bool every_team) {
  for (int per_slot = 0; per_slot < 2; per_slot++) {
    problem p = shape;
    p.dtype = dtype;
    p.per_slot = per_slot != 0;
    make_problem(&p);
    for (int i = 0; i < n_levels; i++)
      for (int t = 0; t < N_TEAMS; t++)
        if (every_team || t == i % N_TEAMS) check(&p, levels[i].name, levels[i].mask, teams[t], t * 50);
    free_problem(&p);
  }
}

static void every_type(void **state) {
  (void)state;
  static const problem shapes[] = {{.tokens = 1, .slots = 2, .n_experts = 4, .n = 33, .k = 256},
                                   {.tokens = 1, .slots = 8, .n_experts = 12, .n = 64, .k = 512},
                                   {.tokens = 5, .slots = 3, .n_experts = 6, .n = 40, .k = 256},
                                   {.tokens = 90, .slots = 2, .n_experts = 3, .n = 70, .k = 256}};
  for (size_t t = 0; t < N_TYPES; t++)
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) check_all(types[t], shapes[s], t % 4 == 0);
}

/* One expert, one choice; more panels than are held; rows of an expert that make several groups. */
static void awkward_shapes(void **state) {
  (void)state;
  static const problem shapes[] = {
      {.dtype = WH_DTYPE_Q8_0, .tokens = 3, .slots = 1, .n_experts = 1, .n = 1, .k = 32},
      {.dtype = WH_DTYPE_Q4_K, .tokens = 9, .slots = 2, .n_experts = 2, .n = 300, .k = 256},
      {.dtype = WH_DTYPE_F16, .tokens = 9, .slots = 2, .n_experts = 2, .n = 300, .k = 100},
      {.dtype = WH_DTYPE_Q4_0, .tokens = 50, .slots = 2, .n_experts = 2, .n = 33, .k = 8224},
      {.dtype = WH_DTYPE_F32, .tokens = 50, .slots = 2, .n_experts = 2, .n = 20, .k = 2100}};
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) check_all(shapes[s].dtype, shapes[s], s < 3);
}

/* A run of no tokens: a prompt's chunk whose logits nobody wants. */
static void no_tokens(void **state) {
  (void)state;
  const wh_expert_linear_args a = {.tokens = 0, .slots = 2};
  wh_expert_linear(&a, &(wh_worker){0, 1, NULL});
}

static void limits(void **state) {
  (void)state;
  wh_expert_layout l;
  size_t bytes;
  assert_int_equal(wh_expert_linear_layout(0, WH_DTYPE_Q8_0, 0, 32, 32, &l), WH_ERR_LIMIT);
  assert_int_equal(wh_expert_linear_layout(0, WH_DTYPE_Q4_K, 4, 32, 100, &l), WH_ERR_UNSUPPORTED);
  assert_int_equal(wh_expert_linear_layout(0, WH_DTYPE_F32, INT32_MAX, INT32_MAX, INT32_MAX, &l),
                   WH_ERR_LIMIT);
  assert_int_equal(wh_expert_linear_layout(0, WH_DTYPE_Q8_0, 4, 32, 32, &l), WH_OK);
  assert_false(wh_expert_linear_scratch_bytes(0, &l, INT64_MAX, &bytes));
}

/* A scale that is no number is found in whichever expert it is. */
static void packing_checks_every_expert(void **state) {
  (void)state;
  for (int level = 0; level < 2; level++)
    for (int64_t damaged = -1; damaged < 3; damaged++) {
      problem p = {.dtype = WH_DTYPE_Q8_0, .n_experts = 3, .n = 40, .k = 64};
      make_weights(&p);
      if (damaged >= 0) memcpy(p.w.data + (size_t)(damaged + 1) * matrix_bytes(&p) - 34, "\x00\x7c", 2);
      wh_expert_layout l;
      const uint64_t mask = level ? wh_cpu_features_detect() : 0;
      assert_int_equal(wh_expert_linear_layout(mask, p.dtype, 3, p.n, p.k, &l), WH_OK);
      guarded packed;
      void *dst = guarded_new(&packed, l.n_bytes, 0);
      assert_int_equal(wh_expert_linear_pack(&l, p.w.data, dst, 0, 3 * l.matrix.n_panels), damaged < 0);
      assert_true(guarded_free(&packed) & guarded_free(&p.w));
    }
}

static int make_teams(void **state) {
  if (find_levels(state) != 0) return -1;
  for (int i = 0; i < N_TEAMS; i++)
    if (wh_team_create(i + 1, NULL, wh_allocator_default(), &teams[i]) != WH_OK) return -1;
  return 0;
}

static int free_teams(void **state) {
  (void)state;
  for (int i = 0; i < N_TEAMS; i++) wh_team_destroy(teams[i]);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type),
      cmocka_unit_test(awkward_shapes),
      cmocka_unit_test(no_tokens),
      cmocka_unit_test(limits),
      cmocka_unit_test(packing_checks_every_expert),
  };
  return cmocka_run_group_tests(tests, make_teams, free_teams);
}
