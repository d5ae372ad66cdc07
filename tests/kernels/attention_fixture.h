/* attention_fixture.h - histories of keys and values in pages of no order, and the kernels of a mask run on
 * them with guarded buffers. For tests of the attention kernels; included after guarded.h. */
#ifndef WH_TESTS_ATTENTION_FIXTURE_H
#define WH_TESTS_ATTENTION_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/attention_q8.h"
#include "core/base/exact_math.h"
#include "tests/kernels/levels.h"

#define MAX_ROWS 160

/* Every kernel of the list that dispatch is made of. With its own needs as the mask it is the one chosen. */
typedef struct kernel {
  const char *isa;
  uint64_t needs;
  bool f16, f32, q8; /* caches that it takes */
  wh_attention_fn attend;
  wh_kv_append_fn append;
} kernel;
static const kernel kernels[] = {
#define WH_ATTENTION_KERNEL(stores, isa, needs) \
  {#isa,                                        \
   needs,                                       \
   stores(WH_DTYPE_F16),                        \
   stores(WH_DTYPE_F32),                        \
   stores(WH_DTYPE_Q8_0),                       \
   wh_k_attention_##isa,                        \
   wh_k_kv_append_##isa},
#include "backends/cpu/kernels_attention.def"
#undef WH_ATTENTION_KERNEL
};
#define N_KERNELS (sizeof kernels / sizeof kernels[0])

static inline bool takes(const kernel *k, wh_dtype dtype) {
  return dtype == WH_DTYPE_F16 ? k->f16 : dtype == WH_DTYPE_F32 ? k->f32 : dtype == WH_DTYPE_Q8_0 && k->q8;
}
/* On this machine. */
static inline bool runs(const kernel *k, wh_dtype dtype) {
  return takes(k, dtype) && (wh_cpu_features_detect() & k->needs) == k->needs;
}

typedef struct shape {
  wh_dtype dtype;
  int64_t n_heads, n_kv_heads, head_dim, value_dim, context;
  int64_t window;
  float softcap;
} shape;

typedef struct batch {
  int64_t n_seq, rows;
  int32_t positions[MAX_ROWS], sequences[MAX_ROWS];
} batch;

/* History and queries of a batch, all seeded: keys and values for every position of every sequence. */
typedef struct problem {
  shape s;
  int64_t n_seq, length; /* positions filled in each sequence */
  float *k, *v;          /* [n_seq][length][n_kv_heads][dim] */
  int64_t n_pages, table;
  int32_t *page_table; /* [n_seq][table], in no order, with pages that nobody uses */
} problem;

static uint32_t seed;
static inline float uniform(void) { /* (-1, 1) */
  seed = seed * 1664525u + 1013904223u;
  return ((float)(seed >> 8) - 8388607.5f) / 8388608.0f;
}
/* mostly ordinary values, some large, tiny and zero */
static inline float mixed(void) {
  float x = uniform();
  switch (seed >> 8 & 63) {
    case 0:
      return 0.0f;
    case 1:
      return -0.0f;
    case 2:
      return x * 8.0f;
    case 3:
      return x * 0x1p-18f;
    case 4:
      return x * 0x1p-140f;
    default:
      return x;
  }
}

static inline float *new_floats(int64_t n) {
  float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n; i++) x[i] = mixed();
  return x;
}

static inline problem problem_new(shape s, int64_t n_seq, int64_t length) {
  problem p = {.s = s, .n_seq = n_seq, .length = length};
  seed = (uint32_t)(s.head_dim * 131 + s.n_heads * 17 + length);
  p.k = new_floats(n_seq * length * s.n_kv_heads * s.head_dim);
  p.v = new_floats(n_seq * length * s.n_kv_heads * s.value_dim);
  p.table = (s.context + 63) / 64;
  p.n_pages = n_seq * p.table + 3;
  p.page_table = malloc((size_t)(n_seq * p.table) * sizeof *p.page_table);
  assert_non_null(p.page_table);
  assert_true(p.n_pages % 7 != 0);
  for (int64_t i = 0; i < n_seq * p.table; i++) /* nothing is known of a page that no position needs */
    p.page_table[i] = i % p.table * 64 < length ? (int32_t)((i * 7 + 2) % p.n_pages) : INT32_MIN;
  return p;
}
static inline void problem_free(problem *p) {
  free(p->page_table);
  free(p->k);
  free(p->v);
}

typedef struct call {
  wh_kv_append_fn append;
  wh_attention_fn attend;
  wh_kv_append_args keys, values;
  wh_attention_args attention;
} call;

static inline void run_append(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->append(&c->keys, w);
  c->append(&c->values, w);
}
static inline void run_attend(void *arg, const wh_worker *w) {
  const call *c = arg;
  c->attend(&c->attention, w);
}

static inline void team_run(int n_threads, wh_team_fn fn, void *arg) {
  wh_team *team;
  assert_int_equal(wh_team_create(n_threads, NULL, NULL, &team), WH_OK);
  wh_team_run(team, fn, arg);
  wh_team_destroy(team);
}

/* A cache pair; what is not written is NaN (all bits set). */
typedef struct cache {
  guarded keys, values;
} cache;

static inline cache cache_new(const problem *p) {
  cache c;
  size_t bytes = 0;
  assert_true(wh_kv_cache_bytes(p->s.dtype, p->n_pages, p->s.n_kv_heads, p->s.head_dim, &bytes));
  guarded_new(&c.keys, bytes, 0xff);
  assert_true(wh_kv_cache_bytes(p->s.dtype, p->n_pages, p->s.n_kv_heads, p->s.value_dim, &bytes));
  guarded_new(&c.values, bytes, 0xff);
  return c;
}
static inline void cache_free(cache *c) {
  assert_true(guarded_free(&c->keys));
  assert_true(guarded_free(&c->values));
}

/* Stores the rows of `b` with the kernels of a mask. Row strides exceed the rows, the last row ends at a
 * guard page. */
static inline void append(const problem *p, const batch *b, cache *c, uint64_t mask, int n_threads) {
  const shape *s = &p->s;
  int64_t k_row = s->n_kv_heads * s->head_dim, v_row = s->n_kv_heads * s->value_dim, gap = 5;
  guarded k, v;
  float *ks = guarded_new(&k, (size_t)((b->rows - 1) * (k_row + gap) + k_row) * sizeof(float), 0xff);
  float *vs = guarded_new(&v, (size_t)((b->rows - 1) * (v_row + gap) + v_row) * sizeof(float), 0xff);
  for (int64_t r = 0; r < b->rows; r++) {
    int64_t at = b->sequences[r] * p->length + b->positions[r];
    memcpy(ks + r * (k_row + gap), p->k + at * k_row, (size_t)k_row * sizeof(float));
    memcpy(vs + r * (v_row + gap), p->v + at * v_row, (size_t)v_row * sizeof(float));
  }
  call run = {.append = wh_kv_append_select(mask, s->dtype, NULL)};
  run.keys = (wh_kv_append_args){.dtype = s->dtype,
                                 .is_key = true,
                                 .rows = b->rows,
                                 .n_kv_heads = s->n_kv_heads,
                                 .head_dim = s->head_dim,
                                 .x = ks,
                                 .ldx = k_row + gap,
                                 .positions = b->positions,
                                 .sequences = b->sequences,
                                 .page_table = p->page_table,
                                 .table = p->table,
                                 .cache = c->keys.data};
  run.values = run.keys;
  run.values.is_key = false;
  run.values.head_dim = s->value_dim;
  run.values.x = vs;
  run.values.ldx = v_row + gap;
  run.values.cache = c->values.data;
  team_run(n_threads, run_append, &run);
  assert_true(guarded_free(&k));
  assert_true(guarded_free(&v));
}

static inline void append_all(const problem *p, cache *c, uint64_t mask, int n_threads) {
  for (int64_t from = 0; from < p->length; from += MAX_ROWS)
    for (int32_t seq = 0; seq < p->n_seq; seq++) {
      batch b = {.rows = p->length - from < MAX_ROWS ? p->length - from : MAX_ROWS};
      for (int64_t r = 0; r < b.rows; r++) {
        b.positions[r] = (int32_t)(from + r);
        b.sequences[r] = seq;
      }
      append(p, &b, c, mask, n_threads);
    }
}

/* The query of (sequence, position, head) does not depend on the batch it comes in. */
static inline void fill_query(const shape *s, int32_t seq, int32_t pos, float *q) {
  seed = (uint32_t)(seq * 7919 + pos * 104729 + 3);
  for (int64_t i = 0; i < s->n_heads * s->head_dim; i++) q[i] = mixed() * 3.0f;
}

/* Attends for the rows of b; y [rows][n_heads * value_dim], dense. */
static inline void attend(const problem *p, const batch *b, const cache *c, uint64_t mask, int n_threads,
                          float *y) {
  const shape *s = &p->s;
  const int64_t q_row = s->n_heads * s->head_dim, y_row = s->n_heads * s->value_dim, gap = 3;
  guarded q, out, scratch;
  float *qs = guarded_new(&q, (size_t)((b->rows - 1) * (q_row + gap) + q_row) * sizeof(float), 0xff);
  float *ys = guarded_new(&out, (size_t)((b->rows - 1) * (y_row + gap) + y_row) * sizeof(float), 0xc3);
  for (int64_t r = 0; r < b->rows; r++)
    fill_query(s, b->sequences[r], b->positions[r], qs + r * (q_row + gap));
  size_t bytes = wh_attention_scratch_bytes(b->rows, s->n_heads, s->n_kv_heads, s->head_dim, s->value_dim,
                                            p->table, n_threads);
  call run = {.attend = wh_attention_select(mask, s->dtype, NULL)};
  run.attention = (wh_attention_args){.dtype = s->dtype,
                                      .rows = b->rows,
                                      .n_heads = s->n_heads,
                                      .n_kv_heads = s->n_kv_heads,
                                      .head_dim = s->head_dim,
                                      .value_dim = s->value_dim,
                                      .q = qs,
                                      .ldq = q_row + gap,
                                      .keys = c->keys.data,
                                      .values = c->values.data,
                                      .positions = b->positions,
                                      .sequences = b->sequences,
                                      .page_table = p->page_table,
                                      .table = p->table,
                                      .scale = 0.125f,
                                      .softcap = s->softcap,
                                      .window = s->window,
                                      .y = ys,
                                      .ldy = y_row + gap,
                                      .step = 1,
                                      .scratch = guarded_new(&scratch, bytes, 0xff),
                                      .scratch_bytes = bytes};
  team_run(n_threads, run_attend, &run);
  for (int64_t r = 0; r < b->rows; r++) {
    memcpy(y + r * y_row, ys + r * (y_row + gap), (size_t)y_row * sizeof(float));
    const unsigned char *between = (const unsigned char *)(ys + r * (y_row + gap) + y_row);
    if (r + 1 < b->rows)
      for (size_t i = 0; i < (size_t)gap * sizeof(float); i++) assert_int_equal(between[i], 0xc3);
  }
  assert_true(guarded_free(&q));
  assert_true(guarded_free(&out));
  assert_true(guarded_free(&scratch));
}

static inline batch batch_run(int32_t seq, int64_t from, int64_t rows) {
  batch b = {.n_seq = 1, .rows = rows};
  for (int64_t r = 0; r < rows; r++) {
    b.positions[r] = (int32_t)(from + r);
    b.sequences[r] = seq;
  }
  return b;
}
static inline void batch_add(batch *b, int32_t seq, int64_t from, int64_t rows) {
  for (int64_t r = 0; r < rows; r++, b->rows++) {
    b->positions[b->rows] = (int32_t)(from + r);
    b->sequences[b->rows] = seq;
  }
}

static inline void expect_same(const char *what, const shape *s, const batch *b, const float *want,
                               const float *got) {
  int64_t row = s->n_heads * s->value_dim;
  for (int64_t i = 0; i < b->rows * row; i++)
    if (wh_f32_bits(want[i]) != wh_f32_bits(got[i]) && !(isnan(want[i]) && isnan(got[i])))
      fail_msg(
          "%s: heads %d/%d dim %d/%d window %d cap %g dtype %d: row %d (seq %d pos %d) column %d: %a, not %a",
          what, (int)s->n_heads, (int)s->n_kv_heads, (int)s->head_dim, (int)s->value_dim, (int)s->window,
          (double)s->softcap, (int)s->dtype, (int)(i / row), (int)b->sequences[i / row],
          (int)b->positions[i / row], (int)(i % row), (double)got[i], (double)want[i]);
}

/* Every kernel and team size against the reference, for one batch over one problem. */
static inline void check_batch(const problem *p, const batch *b, const cache *ref_cache) {
  const int64_t n = b->rows * p->s.n_heads * p->s.value_dim;
  float *want = new_floats(n), *got = new_floats(n);
  attend(p, b, ref_cache, 0, 1, want);
  for (const kernel *k = kernels; k < kernels + N_KERNELS; k++)
    for (int threads = k->needs ? 1 : 3; threads <= 3 && runs(k, p->s.dtype); threads++) {
      memset(got, 0x5a, (size_t)n * sizeof *got);
      attend(p, b, ref_cache, k->needs, threads, got);
      expect_same(k->isa, &p->s, b, want, got);
    }
  free(want);
  free(got);
}

#endif
