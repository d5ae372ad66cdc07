/* test_rowops.c - every row op at every instruction-set level gives the reference's bits, for awkward sizes,
 * for any split over workers and in place, and touches nothing outside its operands. */
#define _DEFAULT_SOURCE /* mmap */
#include "backends/cpu/rowops.h"

#include "tests/kernels/levels.h"
#include "tests/kernels/rowops_buffers.h"

typedef void (*run_fn)(const wh_rowops *table, const void *args, const wh_worker *w);
typedef const char *(*name_fn)(const wh_rowops *table);
#define WH_ROWOP(op, name, family, levels)                                                         \
  static void run_##name(const wh_rowops *t, const void *a, const wh_worker *w) { t->name(a, w); } \
  static const char *name_##name(const wh_rowops *t) { return t->name##_name; }
#include "backends/cpu/kernels_rowops.def"

/* Every op of the list, for the tests of its family. */
typedef struct listed_op {
  const char *family;
  run_fn run;
  name_fn name;
} listed_op;
static const listed_op listed[] = {
#define WH_ROWOP(op, name, family, levels) {#family, run_##name, name_##name},
#include "backends/cpu/kernels_rowops.def"
};
#define N_LISTED (sizeof listed / sizeof listed[0])
static bool was_run[N_LISTED];
#define FOR_EACH_OF(fam, o)                                           \
  for (const listed_op *(o) = listed; (o) < listed + N_LISTED; (o)++) \
    if (strcmp((o)->family, fam) == 0)

/* The reference and what to hold against it. */
static wh_rowops tables[MAX_LEVELS];
static int n_tables;

static int select_tables(void **state) {
  if (find_levels(state) != 0) return -1;
  n_tables = n_levels;
  for (int i = 0; i < n_levels; i++) wh_rowops_select(levels[i].mask, &tables[i]);
  return strcmp(tables[0].rms_norm_name, "rms_norm__ref") == 0 ? 0 : -1;
}

/* One operation on prepared inputs. `out` points at the field of `args` that receives the result. In place:
 * `alias` is the field that must equal it and `initial` the input's contents. */
typedef struct call {
  run_fn run;
  name_fn name;
  void *args;
  void **out;
  size_t out_bytes;
  const void *initial;
  const float **alias;
  bool as_floats; /* a NaN equals a NaN */
} call;

static bool same_bits(const void *a, const void *b, size_t n, bool as_floats) {
  if (memcmp(a, b, n) == 0) return true;
  if (!as_floats) return false;
  for (size_t i = 0; i < n; i += 4) {
    float x, y;
    memcpy(&x, (const char *)a + i, 4);
    memcpy(&y, (const char *)b + i, 4);
    if (memcmp(&x, &y, 4) != 0 && !(isnan(x) && isnan(y))) return false;
  }
  return true;
}

/* A fresh output with what the kernel makes of it. Workers run one after the other, forwards or backwards: no
 * row op may depend on who is first. */
static guarded run_workers(const call *c, const wh_rowops *table, int count, bool backwards) {
  guarded out;
  *c->out = guarded_new(&out, c->out_bytes, 0x5a);
  if (c->initial) memcpy(out.data, c->initial, c->out_bytes);
  if (c->alias) *c->alias = floats(&out);
  for (int i = 0; i < count; i++) {
    wh_worker w = {backwards ? count - 1 - i : i, count, NULL};
    c->run(table, c->args, &w);
  }
  return out;
}

/* Number of (level, split) combinations that differ from the reference. */
static int count_differences(const call *c, const wh_rowops *all, int n, bool report) {
  int bad = 0;
  guarded want = run_workers(c, &all[0], 1, false);
  for (size_t i = 0; i < N_LISTED; i++) was_run[i] |= report && listed[i].name == c->name;
  for (int t = 0; t < n; t++) {
    if (t > 1 && c->name(&all[t]) == c->name(&all[t - 1])) continue; /* the same kernel as one level below */
    for (int workers = t == 0 ? 2 : 1; workers <= 3; workers++) {
      guarded got = run_workers(c, &all[t], workers, workers == 2);
      bool same = same_bits(want.data, got.data, c->out_bytes, c->as_floats);
      same = guarded_free(&got) && same;
      if (!same && report)
        print_error("%s, %d workers: differs from the reference\n", c->name(&all[t]), workers);
      bad += !same;
    }
  }
  return bad + !guarded_free(&want);
}

#define CHECK(c, fmt, ...)                                                          \
  do {                                                                              \
    if (count_differences((c), tables, n_tables, true)) fail_msg(fmt, __VA_ARGS__); \
  } while (0)

static const int64_t sizes[] = {1, 2, 31, 63, 64, 65, 100, 576, 1000, 1536, 4096};
static const int64_t row_counts[] = {1, 2, 3, 63, 64, 65, 130};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Every size with a few rows, every row count with the small sizes. */
static bool worth_running(int64_t rows, int64_t n) {
  return rows <= 3 || n <= 100 || (n == 576 && rows >= 65);
}

/* Floats that `rows` rows of n at stride ld span. */
static size_t span(int64_t rows, int64_t n, int64_t ld) { return (size_t)((rows - 1) * ld + n); }

/* Every mask, sensible or not, fills the table; the empty one with references; names follow the functions. */
static void test_select(void **state) {
  (void)state;
  for (uint64_t bits = 0; bits < 64; bits++) {
    const uint64_t mask = (bits & 31) | (bits & 32 ? WH_CPU_NEON : 0);
    wh_rowops t, again;
    memset(&t, 0, sizeof t);
    memset(&again, 0xff, sizeof again);
    wh_rowops_select(mask, &t);
    wh_rowops_select(mask, &again);
    assert_memory_equal(&t, &again, sizeof t);
#define WH_ROWOP(op, name, family, levels)                                        \
  assert_true(t.name != NULL && t.name##_name != NULL);                           \
  assert_int_equal(strncmp(t.name##_name, #name "__", sizeof #name "__" - 1), 0); \
  if (!(mask & (WH_CPU_VECTORS | WH_CPU_AVX512))) assert_string_equal(t.name##_name, #name "__ref");
#include "backends/cpu/kernels_rowops.def"
  }
}

/* ---- norms ---- */

static void check_norm(const listed_op *op, bool q8a, int64_t rows, int64_t n, fill kind, bool weights,
                       bool in_place) {
  int64_t ldx = n + (in_place ? 0 : 3), ldy = in_place ? ldx : n + 5;
  guarded x = filled(span(rows, n, ldx), kind, 1), w = filled((size_t)n, FILL_ORDINARY, 2);
  guarded b = filled((size_t)n, FILL_ORDINARY, 3);
  wh_norm_args a = {.rows = rows, .n = n, .ldx = ldx, .ldy = ldy, .x = floats(&x), .eps = 1e-5f};
  if (weights) a.w = floats(&w), a.b = floats(&b); /* those without a bias leave it alone */
  call c = {.run = op->run, .name = op->name, .args = &a, .as_floats = !q8a};
  c.out = q8a ? &a.q8a : (void **)(void *)&a.y;
  c.out_bytes = q8a ? wh_q8a_bytes(rows, n) : span(rows, n, ldy) * sizeof(float);
  if (in_place) c.initial = x.data, c.alias = &a.x;
  CHECK(&c, "rows %lld, n %lld, fill %d, in place %d", (long long)rows, (long long)n, kind, in_place);
  guarded_free(&x);
  guarded_free(&w);
  guarded_free(&b);
}

static void test_norms(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (size_t r = 0; r < COUNT(row_counts); r++) {
      int64_t rows = row_counts[r], n = sizes[i];
      if (!worth_running(rows, n)) continue;
      const fill n_kinds = rows <= 2 ? N_FILLS : FILL_TINY;
      FOR_EACH_OF("norm", o) {
        for (fill kind = 0; kind < n_kinds; kind++) check_norm(o, false, rows, n, kind, true, false);
        check_norm(o, false, rows, n, FILL_ORDINARY, false, true);
      }
      FOR_EACH_OF("norm_q8a", o) {
        if (n % 32) continue;
        for (fill kind = 0; kind < n_kinds; kind++) check_norm(o, true, rows, n, kind, true, false);
        check_norm(o, true, rows, n, FILL_ORDINARY, false, false);
      }
    }
}

/* ---- quantisation ---- */

static void test_quantize_act(void **state) {
  (void)state;
  static const int64_t ks[] = {32, 64, 224, 256, 288, 512, 576, 1536, 4096};
  for (size_t i = 0; i < COUNT(ks); i++)
    for (size_t r = 0; r < COUNT(row_counts); r++) {
      int64_t rows = row_counts[r], k = ks[i];
      if (!worth_running(rows, k) && k > 576) continue;
      for (fill kind = 0; kind < (rows <= 3 ? N_FILLS : FILL_TINY); kind++) {
        guarded x = filled(span(rows, k, k + 1), kind, 4);
        wh_quantize_act_args a = {.rows = rows, .k = k, .ldx = k + 1, .x = floats(&x)};
        call c = {.run = run_quantize_act, .name = name_quantize_act, .args = &a, .out = &a.q8a};
        c.out_bytes = wh_q8a_bytes(rows, k);
        CHECK(&c, "rows %lld, k %lld, fill %d", (long long)rows, (long long)k, kind);
        guarded_free(&x);
      }
    }
}

static void test_quantize_wide(void **state) {
  (void)state;
  static const int64_t ks[] = {1, 31, 127, 128, 129, 255, 256, 288, 576, 1000, 4096};
  for (size_t i = 0; i < COUNT(ks); i++)
    for (size_t r = 0; r < COUNT(row_counts); r++) {
      int64_t rows = row_counts[r], k = ks[i];
      if (!worth_running(rows, k) && k > 576) continue;
      for (fill kind = 0; kind < (rows <= 3 ? N_FILLS : FILL_TINY); kind++) {
        guarded x = filled(span(rows, k, k + 1), kind, 4);
        wh_quantize_wide_args a = {.rows = rows, .k = k, .ldx = k + 1, .x = floats(&x)};
        call c = {.run = run_quantize_wide, .name = name_quantize_wide, .args = &a, .out = &a.q13a};
        c.out_bytes = wh_q13a_bytes(rows, k);
        CHECK(&c, "rows %lld, k %lld, fill %d", (long long)rows, (long long)k, kind);
        guarded_free(&x);
      }
    }
}

/* ---- gated activations ---- */

static void check_gated(const listed_op *o, bool q8a, int64_t rows, int64_t n, fill kind, bool in_place) {
  int64_t ld = n + (in_place ? 0 : 2);
  guarded g = filled(span(rows, n, ld), kind, 5);
  guarded u = filled(span(rows, n, n), kind, 6);
  wh_gated_args a = {.rows = rows, .n = n, .lda = ld, .ldb = n, .ldy = ld, .a = floats(&g), .b = floats(&u)};
  call c = {.run = o->run, .name = o->name, .args = &a, .as_floats = !q8a};
  c.out = q8a ? &a.q8a : (void **)(void *)&a.y;
  c.out_bytes = q8a ? wh_q8a_bytes(rows, n) : span(rows, n, ld) * sizeof(float);
  if (in_place) c.initial = g.data, c.alias = &a.a;
  CHECK(&c, "rows %lld, n %lld, fill %d, in place %d", (long long)rows, (long long)n, kind, in_place);
  guarded_free(&g);
  guarded_free(&u);
}

static void test_gated(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (size_t r = 0; r < COUNT(row_counts); r++) {
      int64_t rows = row_counts[r], n = sizes[i];
      if (!worth_running(rows, n)) continue;
      const fill n_kinds = rows <= 2 ? N_FILLS : FILL_TINY;
      FOR_EACH_OF("gated", o) {
        for (fill kind = 0; kind < n_kinds; kind++) check_gated(o, false, rows, n, kind, false);
        check_gated(o, false, rows, n, FILL_ORDINARY, true);
      }
      FOR_EACH_OF("gated_q8a", o)
      for (fill kind = 0; kind < n_kinds && n % 32 == 0; kind++)
        if (kind != FILL_EDGES) /* overflows; what an infinity quantises to is not fixed */
          check_gated(o, true, rows, n, kind, false);
    }
}

/* ---- rotary embedding ---- */

static void test_rope_table(void **state) {
  (void)state;
  static const int64_t freqs[] = {1, 3, 8, 15, 16, 17, 32, 64, 100};
  static const int64_t rows[] = {1, 2, 65};
  for (size_t i = 0; i < COUNT(freqs); i++)
    for (size_t r = 0; r < 2 * COUNT(rows); r++) { /* one row of frequencies, then one for each position */
      const int64_t n = rows[r / 2], n_inv = r % 2 ? n * freqs[i] : freqs[i];
      guarded ids, inv = filled((size_t)n_inv, FILL_ORDINARY, 7);
      int32_t *positions = guarded_new(&ids, (size_t)n * 4, 0);
      uint64_t seed = 8;
      for (int64_t j = 0; j < n; j++) positions[j] = (int32_t)(random_next(&seed) % (j % 2 ? 100 : 1000000));
      for (int64_t j = 0; j < n_inv; j++) floats(&inv)[j] = fabsf(floats(&inv)[j]) / 4.0f;
      wh_rope_table_args a = {.rows = n, .n_freq = freqs[i], .mscale = 1.25f, .inv_freq = floats(&inv)};
      a.positions = positions;
      a.ld_inv_freq = r % 2 ? freqs[i] : 0;
      call c = {.run = run_rope_table, .name = name_rope_table, .args = &a, .out = (void **)(void *)&a.y};
      c.out_bytes = (size_t)(n * 2 * freqs[i]) * sizeof(float);
      CHECK(&c, "rows %lld, n_freq %lld, stride %lld", (long long)n, (long long)freqs[i],
            (long long)a.ld_inv_freq);
      guarded_free(&ids);
      guarded_free(&inv);
    }
}

static void check_rope(int64_t rows, int64_t heads, int64_t head_dim, int64_t n_freq, bool neox,
                       bool in_place) {
  int64_t ldx = heads * head_dim + (in_place ? 0 : 7);
  guarded x = filled(span(rows, heads * head_dim, ldx), rows == 2 ? FILL_WIDE : FILL_ORDINARY, 9);
  guarded table = filled((size_t)(rows * 2 * n_freq), FILL_ORDINARY, 10);
  wh_rope_args a = {
      .rows = rows, .heads = heads, .head_dim = head_dim, .n_freq = n_freq, .ldx = ldx, .ldy = ldx};
  a.neox = neox, a.x = floats(&x), a.table = floats(&table);
  call c = {.run = run_rope, .name = name_rope, .args = &a, .out = (void **)(void *)&a.y, .as_floats = true};
  c.out_bytes = x.bytes;
  if (in_place) c.initial = x.data, c.alias = &a.x;
  CHECK(&c, "rows %lld, heads %lld, head_dim %lld, n_freq %lld, neox %d", (long long)rows, (long long)heads,
        (long long)head_dim, (long long)n_freq, neox);
  guarded_free(&x);
  guarded_free(&table);
}

static void test_rope(void **state) {
  (void)state;
  static const int64_t dims[] = {2, 6, 16, 30, 32, 34, 64, 80, 96, 128, 256};
  static const int64_t rows[] = {1, 2, 65};
  for (size_t d = 0; d < COUNT(dims); d++)
    for (size_t r = 0; r < COUNT(rows); r++)
      for (int neox = 0; neox < 2; neox++) {
        check_rope(rows[r], 3, dims[d], dims[d] / 2, neox, false);
        check_rope(rows[r], 3, dims[d], dims[d] / 2, neox, true);
        check_rope(rows[r], 2, dims[d], (dims[d] + 3) / 4, neox, false); /* part passes through */
        check_rope(rows[r], 1, dims[d] + 1, dims[d] / 2, neox, true);
      }
}

/* ---- gathers ---- */

static void check_gather(wh_dtype dtype, int64_t n_ids, int64_t n, float scale) {
  const int64_t table_rows = 5;
  size_t row_bytes = 0;
  assert_true(wh_dtype_row_bytes(dtype, (uint64_t)n, &row_bytes));
  guarded table, ids;
  const void *blocks = guarded_new(&table, row_bytes * (size_t)table_rows, 0);
  int32_t *id = guarded_new(&ids, (size_t)n_ids * 4, 0);
  uint64_t seed = 11 + (uint64_t)dtype;
  for (size_t i = 0; i < table.bytes; i++) table.data[i] = (uint8_t)random_next(&seed);
  for (int64_t i = 0; i < n_ids; i++) id[i] = (int32_t)(random_next(&seed) % (uint64_t)table_rows);
  id[n_ids - 1] = (int32_t)table_rows - 1;
  if (n_ids > 4) { /* outside: the guard page and the canary's neighbourhood would be read */
    static const int32_t outside[] = {-1, INT32_MIN, INT32_MAX, 5};
    for (int i = 0; i < 4; i++) id[i] = outside[i];
  }
  wh_gather_rows_args a = {.dtype = dtype, .n_ids = n_ids, .table_rows = table_rows, .n = n, .scale = scale};
  a.ids = id, a.table = blocks;
  call c = {.run = run_gather_rows, .name = name_gather_rows, .args = &a, .as_floats = true};
  c.out = (void **)(void *)&a.y;
  c.out_bytes = (size_t)(n_ids * n) * sizeof(float);
  CHECK(&c, "%s, ids %lld, n %lld", wh_dtype_name(dtype), (long long)n_ids, (long long)n);
  guarded y = run_workers(&c, &tables[0], 1, false);
  for (int64_t i = 0; n_ids > 4 && i < 4 * n; i++)
    if (floats(&y)[i] != 0.0f) fail_msg("%s: a row outside the table is not zero", wh_dtype_name(dtype));
  assert_true(guarded_free(&y));
  guarded_free(&table);
  guarded_free(&ids);
}

static void test_gather_rows(void **state) {
  (void)state;
  static const wh_dtype plain[] = {WH_DTYPE_F32, WH_DTYPE_F16, WH_DTYPE_BF16};
  for (size_t t = 0; t < COUNT(plain); t++)
    for (size_t i = 0; i < COUNT(sizes); i++) {
      check_gather(plain[t], 1, sizes[i], 1.0f);
      check_gather(plain[t], 7, sizes[i], 12.5f);
    }
  for (wh_dtype d = WH_DTYPE_Q4_0; d <= WH_DTYPE_MXFP4; d++) {
    int64_t block = wh_dtype_get(d)->block_elems;
    check_gather(d, 1, block, 1.0f);
    check_gather(d, 1, 4096, 1.0f);
    check_gather(d, 9, block == 32 ? 576 : 768, 0.3f);
  }
}

/* ---- elementwise ---- */

static void check_binary(const listed_op *o, int64_t n, int64_t b_n, fill kind, bool in_place) {
  guarded x = filled((size_t)n, kind, 12), b = filled((size_t)b_n, kind, 13);
  wh_binary_args a = {.n = n, .b_n = b_n, .a = floats(&x), .b = floats(&b)};
  call c = {.run = o->run, .name = o->name, .args = &a, .out = (void **)(void *)&a.y, .as_floats = true};
  c.out_bytes = x.bytes;
  if (in_place) c.initial = x.data, c.alias = &a.a;
  CHECK(&c, "n %lld, b_n %lld, fill %d", (long long)n, (long long)b_n, kind);
  guarded_free(&x);
  guarded_free(&b);
}

static void check_unary(const listed_op *o, int64_t n, fill kind, bool in_place) {
  guarded x = filled((size_t)n, kind, 14);
  wh_unary_args a = {.n = n, .x = floats(&x), .alpha = 30.0f};
  call c = {.run = o->run, .name = o->name, .args = &a, .out = (void **)(void *)&a.y, .as_floats = true};
  c.out_bytes = x.bytes;
  if (in_place) c.initial = x.data, c.alias = &a.x;
  CHECK(&c, "n %lld, fill %d", (long long)n, kind);
  guarded_free(&x);
}

static void test_elementwise(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (fill kind = 0; kind < N_FILLS; kind++) {
      int64_t n = sizes[i];
      FOR_EACH_OF("binary", o) {
        check_binary(o, n, n, kind, false);
        check_binary(o, n * 3, n, kind, true);
        check_binary(o, n, 1, kind, true);
      }
      FOR_EACH_OF("unary", o) check_unary(o, n, kind, kind & 1);
    }
}

static void test_softmax(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (fill kind = 0; kind < N_FILLS; kind++)
      for (int64_t rows = 1; rows <= 3; rows++) {
        int64_t n = sizes[i], ldy = n + rows - 1;
        guarded x = filled(span(rows, n, n), kind, 15);
        wh_softmax_args a = {.rows = rows, .n = n, .ldx = n, .ldy = ldy, .x = floats(&x)};
        call c = {.run = run_softmax, .name = name_softmax, .args = &a, .out = (void **)(void *)&a.y};
        c.out_bytes = span(rows, n, ldy) * sizeof(float), c.as_floats = true;
        CHECK(&c, "rows %lld, n %lld, fill %d", (long long)rows, (long long)n, kind);
        guarded_free(&x);
      }
}

/* ---- mixture of experts ---- */

static void check_experts(int64_t rows, int64_t n, int64_t used, fill kind) {
  guarded scores = filled((size_t)(rows * n), kind, 18), selected;
  wh_expert_select_args s = {.rows = rows, .n = n, .used = used, .scores = floats(&scores)};
  call c = {
      .run = run_expert_select, .name = name_expert_select, .args = &s, .out = (void **)(void *)&s.selected};
  c.out_bytes = (size_t)(rows * used) * sizeof(int32_t);
  CHECK(&c, "rows %lld, %lld of %lld, fill %d", (long long)rows, (long long)used, (long long)n, kind);
  s.selected = guarded_new(&selected, c.out_bytes, 0);
  tables[0].expert_select(&s, &(wh_worker){0, 1, NULL});
  wh_expert_weights_args a = {.rows = rows, .n = n, .used = used, .p = floats(&scores), .scale = 1.25f};
  a.selected = s.selected;
  call w = {.run = run_expert_weights, .name = name_expert_weights, .args = &a, .out = (void **)(void *)&a.y};
  w.out_bytes = (size_t)(rows * used) * sizeof(float), w.as_floats = true;
  for (int normalise = 0; normalise < 2; normalise++) {
    a.normalise = normalise != 0;
    CHECK(&w, "rows %lld, %lld of %lld, fill %d", (long long)rows, (long long)used, (long long)n, kind);
  }
  guarded_free(&scores), guarded_free(&selected);
}

static void test_experts(void **state) {
  (void)state;
  for (fill kind = 0; kind < N_FILLS; kind++)
    for (int64_t rows = 0; rows <= 5; rows++) {
      check_experts(rows, 8, 2, kind);
      check_experts(rows, 128, 8, kind);
      check_experts(rows, 5, 5, kind);
      check_experts(rows, 1, 1, kind);
    }
}

static void test_expert_sum(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (fill kind = 0; kind < N_FILLS; kind++)
      for (int64_t slots = 1; slots <= 4; slots++)
        for (int64_t rows = 1; rows <= 3; rows += 2) {
          const int64_t n = sizes[i];
          guarded x = filled((size_t)(rows * slots * n), kind, 19),
                  residual = filled((size_t)(rows * n), kind, 20);
          guarded weights = filled((size_t)(rows * slots), FILL_ORDINARY, 21);
          wh_expert_sum_args a = {
              .rows = rows, .slots = slots, .n = n, .x = floats(&x), .weights = floats(&weights)};
          if (slots % 2) a.residual = floats(&residual);
          call c = {.run = run_expert_sum, .name = name_expert_sum, .args = &a, .out = (void **)(void *)&a.y};
          c.out_bytes = (size_t)(rows * n) * sizeof(float), c.as_floats = true;
          CHECK(&c, "rows %lld, slots %lld, n %lld, fill %d", (long long)rows, (long long)slots, (long long)n,
                kind);
          guarded_free(&x), guarded_free(&residual), guarded_free(&weights);
        }
}

/* ---- the test itself ---- */

static void wrong_by_one_bit(const wh_norm_args *a, const wh_worker *w) {
  tables[0].rms_norm(a, w);
  if (w->index == w->count - 1) ((uint32_t *)(void *)a->y)[a->n - 1] ^= 1u;
}
static void writes_before_its_output(const wh_norm_args *a, const wh_worker *w) {
  tables[0].rms_norm(a, w);
  a->y[-1] = 0.0f;
}

/* Controls: a kernel that is wrong in one bit, or that strays, is caught in each of its three splits. */
static void test_that_a_wrong_kernel_is_caught(void **state) {
  (void)state;
  guarded x = filled(100, FILL_ORDINARY, 16);
  wh_norm_args a = {.rows = 1, .n = 100, .ldx = 100, .ldy = 100, .x = floats(&x), .eps = 1e-6f};
  call c = {
      .run = run_rms_norm, .name = name_rms_norm, .args = &a, .out = (void **)(void *)&a.y, .out_bytes = 400};
  wh_rowops pair[2] = {tables[0], tables[0]};
  assert_int_equal(count_differences(&c, pair, 2, false), 0);
  pair[1].rms_norm = wrong_by_one_bit;
  assert_int_equal(count_differences(&c, pair, 2, false), 3);
  pair[1].rms_norm = writes_before_its_output;
  assert_int_equal(count_differences(&c, pair, 2, false), 3);
  guarded_free(&x);
}

static void run_on_team(void *arg, const wh_worker *w) {
  const wh_norm_args *a = arg;
  tables[n_tables - 1].rms_norm_q8a(a, w);
}

/* Real threads, for the race detector: one row shared by three workers. */
static void test_shared_row_on_a_team(void **state) {
  (void)state;
  guarded x = filled(1536, FILL_ORDINARY, 17), want, got;
  size_t bytes = wh_q8a_bytes(1, 1536);
  wh_norm_args a = {.rows = 1, .n = 1536, .ldx = 1536, .x = floats(&x), .eps = 1e-6f};
  a.q8a = guarded_new(&want, bytes, 0);
  tables[0].rms_norm_q8a(&a, &(wh_worker){0, 1, NULL});
  wh_team *team = NULL;
  assert_int_equal(wh_team_create(3, NULL, NULL, &team), WH_OK);
  a.q8a = guarded_new(&got, bytes, 0);
  for (int i = 0; i < 20; i++) {
    memset(got.data, 0, bytes);
    wh_team_run(team, run_on_team, &a);
    assert_memory_equal(want.data, got.data, bytes);
  }
  wh_team_destroy(team);
  guarded_free(&x);
  guarded_free(&want);
  guarded_free(&got);
}

/* A new op needs no test of its own unless its family is new. Last. */
static void test_that_every_op_was_run(void **state) {
  (void)state;
  for (size_t i = 0; i < N_LISTED; i++)
    if (!was_run[i]) fail_msg("no test runs the ops of family %s", listed[i].family);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_that_a_wrong_kernel_is_caught),
      cmocka_unit_test(test_select),
      cmocka_unit_test(test_norms),
      cmocka_unit_test(test_quantize_act),
      cmocka_unit_test(test_quantize_wide),
      cmocka_unit_test(test_gated),
      cmocka_unit_test(test_rope_table),
      cmocka_unit_test(test_rope),
      cmocka_unit_test(test_gather_rows),
      cmocka_unit_test(test_elementwise),
      cmocka_unit_test(test_softmax),
      cmocka_unit_test(test_experts),
      cmocka_unit_test(test_expert_sum),
      cmocka_unit_test(test_shared_row_on_a_team),
      cmocka_unit_test(test_that_every_op_was_run),
  };
  return cmocka_run_group_tests(tests, select_tables, NULL);
}
