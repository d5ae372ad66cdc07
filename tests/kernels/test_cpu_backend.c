/* test_cpu_backend.c - the CPU behind the backend ABI: a block with every kind of step has the reference's
 * values at every level and team, for frame after frame, from several threads at once; indices outside their
 * range are zeros and a fault; values read row by row are the same at every level; memory is what was asked
 * for. */
#define _DEFAULT_SOURCE /* guarded.h */
#include "backends/cpu/cpu_backend.h"

#include <math.h>
#include <pthread.h>

#include "core/base/exact_math.h"
#include "tests/base/failing_allocator.h"
#include "tests/kernels/block_fixture.h"
#include "tests/kernels/levels.h"
#include "tests/kernels/linear_q_fixture.h"

#define CONTEXT 100
#define SLOTS 2
#define TABLE_ROWS 70
#define MAX_TOKENS 64

/* %s: the type of the keys and values. The table of the first gather is that of the product "logits". */
static const char block_text[] =
    "graph \"block\" {\n"
    "  symbol tokens 0..64\n"
    "  symbol outputs 0..64\n"
    "  %%1 = input \"ids\" i32[tokens]\n"
    "  %%2 = input \"positions\" i32[tokens]\n"
    "  %%3 = input \"sequences\" i32[tokens]\n"
    "  %%4 = input \"rows\" i32[outputs]\n"
    "  %%5 = const \"table\" q4_1[70, 64]\n"
    "  %%6 = const \"inv_freq\" f32[16]\n"
    "  %%7 = const \"norm\" f32[64]\n"
    "  %%8 = const \"wq\" f16[64, 64]\n"
    "  %%9 = const \"wk\" q8_0[32, 64]\n"
    "  %%10 = const \"wv\" bf16[32, 64]\n"
    "  %%11 = const \"bias\" f32[32]\n"
    "  %%12 = state \"keys\" %s[2, 100, 1, 32]\n"
    "  %%13 = state \"values\" %s[2, 100, 1, 32]\n"
    "  %%14 = const \"router\" f32[4, 64]\n"
    "  %%15 = const \"experts\" q6_k[4, 96, 256]\n"
    "  %%16 = const \"plain_table\" f16[9, 64]\n"
    "  %%17 = gather_rows(%%5, %%1) \"x\" : f32[tokens, 64]\n"
    "  %%18 = rope_table(%%2, %%6) {mscale = 0x1p+0} \"rope\" : f32[tokens, 2, 16]\n"
    "  %%19 = rms_norm(%%17, %%7) {eps = 0x1p-10} \"h\" : f32[tokens, 64]\n"
    "  %%20 = quantize_act(%%19) \"h8\" : q8a[tokens, 64]\n"
    "  %%21 = linear(%%19, %%8) \"q\" : f32[tokens, 64]\n"
    "  %%22 = linear(%%20, %%9, %%11) \"k\" : f32[tokens, 32]\n"
    "  %%23 = linear(%%19, %%10) \"v\" : f32[tokens, 32]\n"
    "  %%24 = reshape(%%21) {shape = [tokens, 2, 32]} \"qh\" : f32[tokens, 2, 32]\n"
    "  %%25 = reshape(%%22) {shape = [tokens, 1, 32]} \"kh\" : f32[tokens, 1, 32]\n"
    "  %%26 = reshape(%%23) {shape = [tokens, 1, 32]} \"vh\" : f32[tokens, 1, 32]\n"
    "  %%27 = rope(%%24, %%18) {neox = 1} \"qr\" : f32[tokens, 2, 32]\n"
    "  %%28 = rope(%%25, %%18) {neox = 1} \"kr\" : f32[tokens, 1, 32]\n"
    "  %%29 = kv_append(%%12, %%28, %%2, %%3) {key = 1} \"ka\" : %s[2, 100, 1, 32]\n"
    "  %%30 = kv_append(%%13, %%26, %%2, %%3) {key = 0} \"va\" : %s[2, 100, 1, 32]\n"
    "  %%31 = attention(%%27, %%29, %%30, %%2, %%3) {scale = 0x1p-2, softcap = 0x0p+0, window = 0} \"att\" : "
    "f32[tokens, 2, 32]\n"
    "  %%32 = reshape(%%31) {shape = [tokens, 64]} \"att.flat\" : f32[tokens, 64]\n"
    "  %%33 = add(%%32, %%17) \"y\" : f32[tokens, 64]\n"
    "  %%34 = linear(%%19, %%14) \"scores\" : f32[tokens, 4]\n"
    "  %%35 = expert_select(%%34) {used = 2} \"chosen\" : i32[tokens, 2]\n"
    "  %%36 = softmax(%%34) \"p\" : f32[tokens, 4]\n"
    "  %%37 = expert_weights(%%36, %%35) {normalise = 1, scale = 0x1p+0} \"weights\" : f32[tokens, 2]\n"
    "  %%38 = gather_rows(%%16, %%1) \"plain\" : f32[tokens, 64]\n"
    "  %%39 = select_rows(%%33, %%4) \"some\" : f32[outputs, 64]\n"
    "  %%40 = quantize_act(%%39) \"some8\" : q8a[outputs, 64]\n"
    "  %%41 = linear(%%40, %%5) \"logits\" : f32[outputs, 70]\n"
    "  %%42 = const \"wide\" q8_0[256, 64]\n"
    "  %%43 = linear(%%20, %%42) \"wide.y\" : f32[tokens, 256]\n"
    "  %%44 = quantize_act(%%43) \"wide.8\" : q8a[tokens, 256]\n"
    "  %%45 = expert_linear(%%44, %%15, %%35) \"expert.y\" : f32[tokens, 2, 96]\n"
    "  %%46 = expert_sum(%%45, %%37) \"sum\" : f32[tokens, 96]\n"
    "  output \"logits\" %%41\n"
    "  output \"sum\" %%46\n"
    "  output \"plain\" %%38\n"
    "}\n";

/* Constants get random bytes that are numbers of their type. */
static wh_graph *new_graph(const char *kv) {
  char text[sizeof block_text + 64];
  fixture_rng rng = {11};
  (void)snprintf(text, sizeof text, block_text, kv, kv, kv, kv);
  wh_graph *g = graph_from_text(text);
  for (wh_value v = 1; v < g->n_values; v++) {
    wh_value_info *info = &g->values[v];
    if (info->kind != WH_VALUE_CONST) continue;
    const wh_dtype type = info->shape.dtype;
    const size_t n = info->n_bytes / (wh_dtype_is_quantised(type) ? 1 : type == WH_DTYPE_F32 ? 4 : 2);
    uint8_t *data = malloc(info->n_bytes);
    assert_non_null(data);
    if (wh_dtype_is_quantised(type)) {
      size_t row;
      const wh_dtype_info *t = wh_dtype_get(type);
      assert_true(wh_dtype_row_bytes(type, t->block_elems, &row));
      fixture_weights(&rng, type, (int64_t)(n / row), t->block_elems, false, data);
    }
    for (size_t i = 0; i < n && !wh_dtype_is_quantised(type); i++) {
      const float x = fixture_random_unit(&rng);
      const uint16_t half = type == WH_DTYPE_F16 ? wh_f16_from_f32(x) : (uint16_t)(wh_f32_bits(x) >> 16);
      if (type == WH_DTYPE_F32)
        memcpy(data + i * 4, &x, 4);
      else
        memcpy(data + i * 2, &half, 2);
    }
    info->data = data;
  }
  return g;
}

static void free_graph(wh_graph *g) {
  for (wh_value v = 1; v < g->n_values; v++) free((void *)(uintptr_t)g->values[v].data);
  wh_graph_destroy(g);
}

static void *open_device(const char *isa, uint32_t n_threads, const wh_allocator *alloc) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  void *dev = NULL;
  o.isa = isa;
  o.n_threads = n_threads;
  o.allocator = alloc;
  assert_ok(wh_backend_cpu.open(0, &o, &dev));
  return dev;
}

/* ---- batches ---- */

typedef struct batch {
  int64_t n, n_rows;
  int32_t ids[MAX_TOKENS], positions[MAX_TOKENS], sequences[MAX_TOKENS], rows[MAX_TOKENS];
} batch;

/* n tokens from position `at` on, split over both sequences. */
static batch new_batch(int64_t n, int64_t n_rows, int32_t at) {
  batch b = {.n = n, .n_rows = n_rows};
  for (int64_t i = 0; i < n; i++) {
    b.ids[i] = (int32_t)(i * 3 + at) % 9;
    b.sequences[i] = i >= n / 2;
    b.positions[i] = at + (int32_t)(b.sequences[i] ? i - n / 2 : i);
  }
  for (int64_t i = 0; i < n_rows; i++) b.rows[i] = (int32_t)(n - 1 - i % n);
  return b;
}

static const int64_t most[FIXTURE_MAX_SYMBOLS] = {MAX_TOKENS, MAX_TOKENS};

static void run_batch(fixture_run *r, const batch *b) {
  const int64_t symbols[FIXTURE_MAX_SYMBOLS] = {b->n, b->n_rows};
  const wh_value_info *v = r->b->g->values;
  if (r->dims[v[1].shape.dims[0]] != b->n || r->dims[v[4].shape.dims[0]] != b->n_rows)
    (void)fixture_lay_out(r, symbols);
  fixture_write(r, "ids", b->ids, (size_t)b->n * 4);
  fixture_write(r, "positions", b->positions, (size_t)b->n * 4);
  fixture_write(r, "sequences", b->sequences, (size_t)b->n * 4);
  fixture_write(r, "rows", b->rows, (size_t)b->n_rows * 4);
  fixture_submit(r);
}

/* Every value of a run, by value; free with free_values. */
typedef struct values {
  size_t n;
  unsigned char **data;
  size_t *n_bytes;
} values;

static values read_values(const fixture_run *r) {
  const wh_graph *g = r->b->g;
  values v = {g->n_values, calloc(g->n_values, sizeof *v.data), calloc(g->n_values, sizeof *v.n_bytes)};
  assert_true(v.data && v.n_bytes);
  for (wh_value i = 1; i < g->n_values; i++)
    if (g->values[i].kind != WH_VALUE_CONST) v.data[i] = fixture_read(r, i, &v.n_bytes[i]);
  return v;
}
static void free_values(values *v) {
  for (size_t i = 0; i < v->n; i++) free(v->data[i]);
  free(v->data);
  free(v->n_bytes);
}

/* The first value that differs, or NULL. */
static const char *difference(const wh_graph *g, const values *a, const values *b) {
  for (size_t i = 0; i < a->n; i++)
    if (a->n_bytes[i] != b->n_bytes[i] || (a->data[i] && memcmp(a->data[i], b->data[i], a->n_bytes[i]) != 0))
      return g->values[i].name;
  return NULL;
}

#define N_BATCHES 5
static void get_batches(batch out[N_BATCHES]) {
  out[0] = new_batch(13, 13, 0);
  out[1] = new_batch(1, 1, 7);
  out[1].sequences[0] = 0;
  out[2] = new_batch(64, 5, 8);
  out[3] = new_batch(0, 0, 0);
  out[4] = new_batch(1, 1, 8);
}

/* All batches in a row, and the values after each. */
static void run_all(fixture_run *r, values out[N_BATCHES]) {
  batch batches[N_BATCHES];
  get_batches(batches);
  for (int i = 0; i < N_BATCHES; i++) {
    run_batch(r, &batches[i]);
    out[i] = read_values(r);
  }
}

typedef struct expected {
  wh_graph *g;
  values all[N_BATCHES];
} expected;

static expected expect(const char *kv) {
  expected e = {.g = new_graph(kv)};
  void *dev = open_device("ref", 1, NULL);
  fixture_block b = fixture_block_new(&wh_backend_cpu, dev, e.g, most);
  fixture_run r = fixture_run_new(&b, most);
  run_all(&r, e.all);
  assert_int_equal(fixture_take_fault(&r).node_plus_1, 0);
  fixture_run_free(&r);
  fixture_block_free(&b);
  wh_backend_cpu.close(dev);
  return e;
}
static void free_expected(expected *e) {
  for (int i = 0; i < N_BATCHES; i++) free_values(&e->all[i]);
  free_graph(e->g);
}

static const char *const kv_types[] = {"f16", "f32", "q8_0"};

static void every_level_has_the_values_of_the_reference(void **state) {
  (void)state;
  for (size_t t = 0; t < 3; t++) {
    expected e = expect(kv_types[t]);
    for (int l = 0; l < n_levels; l++)
      for (uint32_t threads = 1; threads <= 3; threads++) {
        void *dev = open_device(levels[l].name, threads, NULL);
        fixture_block b = fixture_block_new(&wh_backend_cpu, dev, e.g, most);
        fixture_run r = fixture_run_new(&b, most);
        values got[N_BATCHES];
        run_all(&r, got);
        for (int i = 0; i < N_BATCHES; i++) {
          const char *what = difference(e.g, &e.all[i], &got[i]);
          if (what)
            fail_msg("level %s, %u threads, %s, batch %d: '%s' differs", levels[l].name, threads, kv_types[t],
                     i, what);
          free_values(&got[i]);
        }
        fixture_run_free(&r);
        fixture_block_free(&b);
        wh_backend_cpu.close(dev);
      }
    free_expected(&e);
  }
}

/* The comparison sees a change of one input. */
static void another_token_has_other_values(void **state) {
  (void)state;
  expected e = expect("f16");
  void *dev = open_device(NULL, 2, NULL);
  fixture_block b = fixture_block_new(&wh_backend_cpu, dev, e.g, most);
  fixture_run r = fixture_run_new(&b, most);
  batch batches[N_BATCHES];
  get_batches(batches);
  batches[0].ids[3] ^= 1;
  run_batch(&r, &batches[0]);
  values got = read_values(&r);
  assert_non_null(difference(e.g, &e.all[0], &got));
  free_values(&got);
  fixture_run_free(&r);
  fixture_block_free(&b);
  wh_backend_cpu.close(dev);
  free_expected(&e);
}

/* ---- queues ---- */

/* Frames in turns: each has its own memory, and the queue keeps what it derived from the last one. */
static void frames_of_one_queue_keep_apart(void **state) {
  (void)state;
  expected e = expect("f16");
  void *dev = open_device(NULL, 2, NULL);
  fixture_block b = fixture_block_new(&wh_backend_cpu, dev, e.g, most);
  fixture_run r[2] = {fixture_run_new(&b, most), fixture_run_new(&b, most)};
  wh_queue *second = r[1].queue;
  batch batches[N_BATCHES];
  get_batches(batches);
  r[1].queue = r[0].queue;
  for (int i = 0; i < N_BATCHES; i++)
    for (int k = 0; k < 2; k++) {
      run_batch(&r[k], &batches[i]);
      values got = read_values(&r[k]);
      const char *what = difference(e.g, &e.all[i], &got);
      if (what) fail_msg("batch %d of run %d: '%s' differs", i, k, what);
      free_values(&got);
    }
  r[1].queue = second;
  fixture_run_free(&r[0]);
  fixture_run_free(&r[1]);
  fixture_block_free(&b);
  wh_backend_cpu.close(dev);
  free_expected(&e);
}

/* Step by step is what tracing does. */
static void parts_of_a_block_make_the_whole(void **state) {
  (void)state;
  expected e = expect("f16");
  void *dev = open_device(NULL, 2, NULL);
  fixture_block b = fixture_block_new(&wh_backend_cpu, dev, e.g, most);
  fixture_run r = fixture_run_new(&b, most);
  batch batches[N_BATCHES];
  get_batches(batches);
  run_batch(&r, &batches[0]);
  wh_point done = {0};
  for (size_t i = 0; i < b.n_steps; i++)
    assert_ok(wh_backend_cpu.submit(r.queue, b.code, i, 1, &r.frame, &done, 1, &done));
  assert_ok(wh_backend_cpu.wait(done));
  values got = read_values(&r);
  assert_null(difference(e.g, &e.all[0], &got));
  free_values(&got);
  assert_int_equal(wh_backend_cpu.submit(r.queue, b.code, 1, b.n_steps, &r.frame, NULL, 0, &done),
                   WH_ERR_INTERNAL);
  for (size_t i = 0; i < b.n_steps; i++) {
    wh_step_info info = {.struct_size = sizeof info};
    wh_backend_cpu.describe(dev, b.code, i, &info);
    assert_true(info.kernel && info.kernel[0] && info.reason && info.reason[0]);
  }
  fixture_run_free(&r);
  fixture_block_free(&b);
  wh_backend_cpu.close(dev);
  free_expected(&e);
}

/* A queue that outlives code, and code that outlives a queue. */
static void queues_and_code_end_in_any_order(void **state) {
  (void)state;
  wh_graph *g = new_graph("f16");
  void *dev = open_device(NULL, 1, NULL);
  for (int order = 0; order < 2; order++) {
    fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most),
                  other = fixture_block_new(&wh_backend_cpu, dev, g, most);
    fixture_run r = fixture_run_new(&b, most), s = fixture_run_new(&other, most);
    const batch few = new_batch(3, 1, 0);
    wh_queue *own = s.queue;
    run_batch(&r, &few);
    s.queue = r.queue; /* one queue, two codes */
    run_batch(&s, &few);
    s.queue = own;
    if (order == 0) fixture_run_free(&r);
    fixture_block_free(&b);
    s.queue = order ? r.queue : own;
    run_batch(&s, &few);
    s.queue = own;
    if (order == 1) fixture_run_free(&r);
    fixture_run_free(&s);
    fixture_block_free(&other);
  }
  wh_backend_cpu.close(dev);
  free_graph(g);
}

typedef struct session {
  fixture_run run;
  const expected *e;
  const char *differs;
} session;

static void *run_session(void *arg) {
  session *s = arg;
  values got[N_BATCHES];
  for (int round = 0; round < 3; round++) {
    run_all(&s->run, got);
    for (int i = 0; i < N_BATCHES; i++) {
      const char *what = round ? NULL : difference(s->e->g, &s->e->all[i], &got[i]);
      if (what) s->differs = what;
      free_values(&got[i]);
    }
  }
  return NULL;
}

/* One device, one block; every thread has a queue and memory of its own. */
static void threads_share_a_device(void **state) {
  (void)state;
  enum { THREADS = 3 };
  expected e = expect("f16");
  void *dev = open_device(NULL, 2, NULL);
  fixture_block b = fixture_block_new(&wh_backend_cpu, dev, e.g, most);
  session sessions[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) sessions[i] = (session){fixture_run_new(&b, most), &e, NULL};
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run_session, &sessions[i]), 0);
  for (int i = 0; i < THREADS; i++) {
    wh_device_info info = WH_DEVICE_INFO_INIT;
    wh_backend_cpu.get_info(dev, &info); /* at the same time */
    assert_int_equal(info.n_threads, 2);
  }
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (sessions[i].differs) fail_msg("thread %d: '%s' differs", i, sessions[i].differs);
    fixture_run_free(&sessions[i].run);
  }
  fixture_block_free(&b);
  wh_backend_cpu.close(dev);
  free_expected(&e);
}

/* ---- indices ---- */

static const float *floats_of(const wh_graph *g, const values *v, const char *name) {
  return (const float *)(const void *)v->data[fixture_value(g, name)];
}

static void assert_row(const float *row, size_t n, const float *want, const char *what) {
  for (size_t i = 0; i < n; i++)
    if (wh_f32_bits(row[i]) != wh_f32_bits(want ? want[i] : 0.0f))
      fail_msg("%s: element %zu is wrong", what, i);
}

static void assert_fault(fixture_run *r, const char *node, int64_t value) {
  const wh_fault f = fixture_take_fault(r);
  assert_true(f.node_plus_1 > 0);
  assert_string_equal(r->b->g->nodes[f.node_plus_1 - 1].name, node);
  assert_int_equal(f.code, WH_FAULT_INDEX);
  assert_int_equal(f.value, value);
}

/* Rows with an index outside are zeros, the first is reported, and all other rows are as they would be. */
static void indices_outside_are_zeros_and_a_fault(void **state) {
  (void)state;
  static const int32_t outside[] = {TABLE_ROWS, -1, INT32_MAX, INT32_MIN};
  wh_graph *g = new_graph("f16");
  for (int l = 0; l < n_levels; l++)
    for (size_t o = 0; o < 4; o++) {
      void *dev = open_device(levels[l].name, 2, NULL);
      fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most);
      fixture_run r = fixture_run_new(&b, most);
      batch good = new_batch(12, 4, 0), bad = good;
      run_batch(&r, &good);
      values want = read_values(&r);
      assert_int_equal(fixture_take_fault(&r).node_plus_1, 0);
      bad.ids[5] = outside[o];
      bad.ids[7] = -77;
      run_batch(&r, &bad);
      values got = read_values(&r);
      for (size_t i = 0; i < 12; i++) {
        const bool zero = i == 5 || i == 7;
        assert_row(floats_of(g, &got, "x") + i * 64, 64, zero ? NULL : floats_of(g, &want, "x") + i * 64,
                   "x");
        assert_row(floats_of(g, &got, "plain") + i * 64, 64,
                   zero ? NULL : floats_of(g, &want, "plain") + i * 64, "plain");
      }
      assert_fault(&r, "x", outside[o]);
      free_values(&got);
      bad = good;
      bad.rows[2] = outside[o] == TABLE_ROWS ? 12 : outside[o];
      run_batch(&r, &bad);
      got = read_values(&r);
      for (size_t i = 0; i < 4; i++)
        assert_row(floats_of(g, &got, "some") + i * 64, 64,
                   i == 2 ? NULL : floats_of(g, &want, "some") + i * 64, "some");
      assert_fault(&r, "some", bad.rows[2]);
      free_values(&got);
      free_values(&want);
      fixture_run_free(&r);
      fixture_block_free(&b);
      wh_backend_cpu.close(dev);
    }
  free_graph(g);
}

/* The same for rows of the cache: nothing is written for them, and nothing beside the cache is touched. */
static void rows_outside_the_cache_are_left_out(void **state) {
  (void)state;
  const struct {
    int32_t position, sequence;
    int64_t value;
  } outside[] = {{CONTEXT, 0, CONTEXT},
                 {-1, 1, -1},
                 {127, 0, 127},
                 {INT32_MAX, 0, INT32_MAX},
                 {0, SLOTS, SLOTS},
                 {3, -1, -1},
                 {5, INT32_MIN, INT32_MIN},
                 {INT32_MIN, 9, INT32_MIN}};
  for (size_t t = 0; t < 3; t++) {
    wh_graph *g = new_graph(kv_types[t]);
    for (int l = 0; l < n_levels; l++)
      for (size_t o = 0; o < sizeof outside / sizeof outside[0]; o++) {
        void *dev = open_device(levels[l].name, 2, NULL);
        fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most);
        fixture_run r = fixture_run_new(&b, most), s = fixture_run_new(&b, most);
        batch bad = new_batch(6, 6, 0), good = bad; /* good: without row 1 */
        bad.positions[1] = outside[o].position;
        bad.sequences[1] = outside[o].sequence;
        good.n = good.n_rows = 5;
        for (int i = 1; i < 5; i++) {
          good.ids[i] = bad.ids[i + 1];
          good.positions[i] = bad.positions[i + 1];
          good.sequences[i] = bad.sequences[i + 1];
        }
        for (int i = 0; i < 5; i++) good.rows[i] = i;
        run_batch(&r, &bad);
        run_batch(&s, &good);
        values got = read_values(&r), want = read_values(&s);
        for (int k = 0; k < 2; k++) {
          const wh_value state_value = fixture_value(g, k ? "values" : "keys");
          assert_memory_equal(got.data[state_value], want.data[state_value], got.n_bytes[state_value]);
        }
        for (size_t i = 0; i < 6; i++)
          assert_row(floats_of(g, &got, "att") + i * 64, 64,
                     i == 1 ? NULL : floats_of(g, &want, "att") + (i - (i > 1)) * 64, "att");
        assert_fault(&r, "ka", outside[o].value);
        free_values(&got);
        free_values(&want);
        fixture_run_free(&r);
        fixture_run_free(&s);
        fixture_block_free(&b);
        wh_backend_cpu.close(dev);
      }
    free_graph(g);
  }
}

/* A row of attention is its own whatever the order of the rows. */
static void rows_of_a_sequence_come_in_any_order(void **state) {
  (void)state;
  wh_graph *g = new_graph("f16");
  for (int l = 0; l < n_levels; l++) {
    void *dev = open_device(levels[l].name, 2, NULL);
    fixture_block b = fixture_block_new(&wh_backend_cpu, dev, g, most);
    fixture_run r = fixture_run_new(&b, most), s = fixture_run_new(&b, most);
    const batch ascending = new_batch(40, 1, 50);
    batch mixed = ascending;
    int from[40];
    for (int i = 0; i < 40; i++) {
      from[i] = (i * 7 + 3) % 40;
      mixed.ids[i] = ascending.ids[from[i]];
      mixed.positions[i] = ascending.positions[from[i]];
      mixed.sequences[i] = ascending.sequences[from[i]];
    }
    run_batch(&r, &ascending);
    run_batch(&s, &mixed);
    values want = read_values(&r), got = read_values(&s);
    for (int i = 0; i < 40; i++)
      assert_row(floats_of(g, &got, "att") + i * 64, 64, floats_of(g, &want, "att") + from[i] * 64, "att");
    assert_int_equal(fixture_take_fault(&s).node_plus_1, 0);
    free_values(&got);
    free_values(&want);
    fixture_run_free(&r);
    fixture_run_free(&s);
    fixture_block_free(&b);
    wh_backend_cpu.close(dev);
  }
  free_graph(g);
}

/* ---- values row by row ---- */

/* The graph and the reference's values say what the forms must hold. */
static void row_major_forms_are_as_defined(void **state) {
  (void)state;
  for (size_t t = 0; t < 3; t++) {
    expected e = expect(kv_types[t]);
    const values *v = &e.all[0];
    const float *k = floats_of(e.g, v, "kr");
    const wh_value keys = fixture_value(e.g, "keys"), h8 = fixture_value(e.g, "h8");
    size_t row;
    assert_true(wh_dtype_row_bytes(e.g->values[keys].shape.dtype, 32, &row));
    assert_int_equal(v->n_bytes[keys], SLOTS * CONTEXT * row);
    for (int64_t s = 0; s < SLOTS; s++)
      for (int64_t p = 0; p < CONTEXT; p++) {
        const unsigned char *at = v->data[keys] + (size_t)(s * CONTEXT + p) * row;
        const int64_t rows_of[2] = {6, 7}, token = s * 6 + p; /* of batch 0 */
        unsigned char want[128] = {0};
        for (int d = 0; d < 32 && p < rows_of[s]; d++) {
          const float x = k[token * 32 + d];
          float top = 0.0f;
          for (int i = 0; i < 32; i++) top = fmaxf(top, fabsf(k[token * 32 + i]));
          const uint16_t half = wh_f16_from_f32(x), scale = wh_f16_from_f32(top / 127.0f);
          if (t == 0) memcpy(want + d * 2, &half, 2);
          if (t == 1) memcpy(want + d * 4, &x, 4);
          if (t == 2) {
            memcpy(want, &scale, 2);
            const float code = fminf(fmaxf(rintf(x * (1.0f / wh_f32_from_f16(scale))), -127.0f), 127.0f);
            want[2 + d] = (unsigned char)(int8_t)code;
          }
        }
        assert_memory_equal(at, want, row);
      }
    /* codes, shifts and scales are those of the activations */
    const float *h = floats_of(e.g, v, "h");
    assert_int_equal(v->n_bytes[h8], 13 * (64 + 2 + 4));
    const unsigned char *codes = v->data[h8], *shifts = codes + 13 * 64, *scales = shifts + 13 * 2;
    for (int64_t i = 0; i < 13 * 64; i++) {
      float scale;
      memcpy(&scale, scales + i / 64 * 4, 4);
      assert_true(shifts[i / 32] <= 3);
      const float step = ldexpf(scale, shifts[i / 32]), x = step * (float)(int8_t)codes[i];
      assert_true(fabsf(x - h[i]) <= 0.51f * step);
    }
    free_expected(&e);
  }
}

/* ---- memory ---- */

static void buffers_are_zero_and_aligned(void **state) {
  (void)state;
  static const uint64_t sizes[] = {0, 1, 4096, 100000, 5 << 20};
  failing_allocator counted;
  const wh_allocator *allocators[] = {NULL, failing_allocator_init(&counted, 0)};
  for (int a = 0; a < 2; a++) {
    void *dev = open_device(NULL, 1, allocators[a]);
    for (int kind = WH_MEMORY_DEVICE; kind <= WH_MEMORY_HOST; kind++)
      for (size_t i = 0; i < 5; i++) {
        wh_buffer *b = NULL, *imported = NULL;
        assert_ok(wh_backend_cpu.buffer_create(dev, (wh_memory_kind)kind, sizes[i], &b));
        unsigned char *p = wh_backend_cpu.buffer_host(dev, b);
        assert_int_equal((uintptr_t)p % WH_BUFFER_ALIGN, 0);
        for (uint64_t at = 0; at < sizes[i]; at++) assert_int_equal(p[at], 0);
        if (sizes[i]) p[sizes[i] - 1] = 1;
        assert_true(wh_backend_cpu.buffer_footprint(dev, (wh_memory_kind)kind, sizes[i]) >= sizes[i]);
        assert_ok(wh_backend_cpu.buffer_import(dev, p, sizes[i], &imported));
        assert_ptr_equal(wh_backend_cpu.buffer_host(dev, imported), p);
        wh_backend_cpu.buffer_destroy(dev, imported);
        wh_backend_cpu.buffer_destroy(dev, b);
      }
    wh_buffer *b = NULL;
    assert_int_equal(wh_backend_cpu.buffer_create(dev, WH_MEMORY_DEVICE, UINT64_MAX / 2, &b),
                     WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(wh_backend_cpu.buffer_create(dev, WH_MEMORY_POOL, UINT64_MAX, &b), WH_ERR_OUT_OF_MEMORY);
    wh_backend_cpu.close(dev);
  }
  assert_int_equal(counted.n_live, 0);
}

static void copies_stay_in_their_buffers(void **state) {
  (void)state;
  void *dev = open_device(NULL, 1, NULL);
  wh_buffer *a = NULL, *b = NULL;
  wh_queue *q = NULL;
  wh_point done;
  char got[8];
  assert_ok(wh_backend_cpu.queue_create(dev, &q));
  assert_ok(wh_backend_cpu.buffer_create(dev, WH_MEMORY_DEVICE, 100, &a));
  assert_ok(wh_backend_cpu.buffer_create(dev, WH_MEMORY_HOST, 50, &b));
  assert_ok(wh_backend_cpu.upload(q, a, 92, "whimbrel", 8, NULL, 0, &done));
  assert_ok(wh_backend_cpu.copy(q, b, 3, a, 92, 8, &done, 1, &done));
  assert_ok(wh_backend_cpu.download(q, got, b, 3, 8, &done, 1, &done));
  assert_ok(wh_backend_cpu.wait(done));
  assert_ok(wh_backend_cpu.wait((wh_point){0}));
  assert_memory_equal(got, "whimbrel", 8);
  assert_int_equal(wh_backend_cpu.upload(q, a, 93, got, 8, NULL, 0, &done), WH_ERR_INTERNAL);
  assert_int_equal(wh_backend_cpu.download(q, got, b, UINT64_MAX, 8, NULL, 0, &done), WH_ERR_INTERNAL);
  assert_int_equal(wh_backend_cpu.copy(q, b, 43, a, 0, 8, NULL, 0, &done), WH_ERR_INTERNAL);
  assert_int_equal(wh_backend_cpu.copy(q, b, 0, a, 93, 8, NULL, 0, &done), WH_ERR_INTERNAL);
  done.value = 1000;
  assert_int_equal(wh_backend_cpu.wait(done), WH_ERR_INTERNAL);
  wh_backend_cpu.buffer_destroy(dev, a);
  wh_backend_cpu.buffer_destroy(dev, b);
  wh_backend_cpu.queue_destroy(q);
  wh_backend_cpu.close(dev);
}

/* ---- claims and packing ---- */

static void a_table_is_listed_in_both_forms(void **state) {
  (void)state;
  wh_graph *g = new_graph("f16");
  int64_t *dims = fixture_dims(g, most);
  for (int l = 0; l < n_levels; l++) {
    void *dev = open_device(levels[l].name, 1, NULL);
    wh_claim gather = {.struct_size = sizeof gather}, product = gather, plain = gather;
    for (wh_node n = 0; n < g->n_nodes; n++) {
      wh_claim c = {.struct_size = sizeof c};
      assert_ok(wh_backend_cpu.claim(dev, g, n, dims, &c));
      if (strcmp(g->nodes[n].name, "x") == 0) gather = c;
      if (strcmp(g->nodes[n].name, "logits") == 0) product = c;
      if (strcmp(g->nodes[n].name, "plain") == 0) plain = c;
    }
    assert_int_equal(product.n_layouts, 1);
    if (product.layouts[0].id == 0) { /* both read the model's blocks */
      assert_int_equal(product.layouts[0].n_bytes, g->values[5].n_bytes);
      assert_int_equal(gather.n_layouts, 0);
      assert_int_equal(plain.n_layouts, 0);
    } else {
      for (int i = 0; i < 2; i++) {
        const wh_claim *c = i ? &plain : &gather;
        assert_int_equal(c->n_layouts, 2);
        assert_int_equal(c->layouts[0].id, 0);
        assert_int_equal(c->layouts[0].n_bytes, g->values[i ? 16 : 5].n_bytes);
      }
      assert_int_equal(gather.layouts[1].id, product.layouts[0].id);
      assert_int_equal(gather.layouts[1].n_bytes, product.layouts[0].n_bytes);
    }
    wh_backend_cpu.close(dev);
  }
  free(dims);
  free_graph(g);
}

static void what_has_no_kernel_is_refused(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol t 1..4 %1 = input \"ids\" i32[t] %2 = const \"table\" f64[4, 8] "
      "%3 = gather_rows(%2, %1) \"x\" : f32[t, 8] %4 = input \"w\" f32[8, 8] %5 = linear(%3, %4) \"y\" : "
      "f32[t, 8] "
      "%6 = const \"q\" q8_0[8, 32] %7 = input \"z\" f32[t, 32] %8 = linear(%7, %6) \"p\" : f32[t, 8] }");
  void *dev = open_device(NULL, 1, NULL);
  const int64_t four[FIXTURE_MAX_SYMBOLS] = {4};
  int64_t *dims = fixture_dims(g, four);
  for (wh_node n = 0; n < g->n_nodes; n++) {
    wh_claim c = {.struct_size = sizeof c};
    assert_ok(wh_backend_cpu.claim(dev, g, n, dims, &c));
    assert_false(c.supported);
    assert_true(c.reason[0]);
  }
  wh_backend_cpu.close(dev);
  free(dims);
  wh_graph_destroy(g);
}

static void packing_finds_what_is_not_finite(void **state) {
  (void)state;
  wh_graph *g = new_graph("f16");
  const uint16_t infinite = 0x7c00;
  for (int l = 0; l < n_levels; l++) {
    void *dev = open_device(levels[l].name, 2, NULL);
    int64_t *dims = fixture_dims(g, most);
    for (wh_node n = 0; n < g->n_nodes; n++) {
      const wh_node_info *node = &g->nodes[n];
      wh_claim c = {.struct_size = sizeof c};
      assert_ok(wh_backend_cpu.claim(dev, g, n, dims, &c));
      if (strcmp(node->name, "q") != 0 && strcmp(node->name, "k") != 0) continue;
      wh_pack_task t = {.node = n, .weight = node->inputs[1], .layout = c.layouts[0].id};
      char *data =
          (char *)(uintptr_t)g->values[t.weight].data + (size_t)(node->name[0] == 'q' ? 0 : 31 * 2 * 34);
      uint16_t kept;
      void *dst = aligned_alloc(64, (c.layouts[0].n_bytes + 63) / 64 * 64);
      t.dst = t.layout ? dst : NULL;
      assert_ok(wh_backend_cpu.pack(dev, g, &t, 1));
      assert_true(t.finite);
      memcpy(&kept, data, 2);
      memcpy(data, &infinite, 2);
      assert_ok(wh_backend_cpu.pack(dev, g, &t, 1));
      assert_false(t.finite);
      t.dst = NULL, t.layout = 0; /* only looked at */
      assert_ok(wh_backend_cpu.pack(dev, g, &t, 1));
      assert_false(t.finite);
      memcpy(data, &kept, 2);
      t.layout = 7;
      assert_int_equal(wh_backend_cpu.pack(dev, g, &t, 1), WH_ERR_INTERNAL);
      free(dst);
    }
    free(dims);
    wh_backend_cpu.close(dev);
  }
  free_graph(g);
}

static void a_device_is_asked_for_correctly(void **state) {
  (void)state;
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  void *dev = NULL;
  assert_int_equal(wh_backend_cpu.count(), 1);
  assert_int_equal(wh_backend_cpu.open(1, &o, &dev), WH_ERR_INVALID_ARGUMENT);
  o.isa = "mmx";
  assert_int_equal(wh_backend_cpu.open(0, &o, &dev), WH_ERR_INVALID_ARGUMENT);
  o.isa = NULL, o.n_threads = 100000;
  assert_int_equal(wh_backend_cpu.open(0, &o, &dev), WH_ERR_INVALID_ARGUMENT);
  assert_null(dev);
}

/* Every allocation of a life, from opening to a run, fails once: an error, and nothing is lost. */
static void memory_that_runs_out_is_an_error(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol t 1..4 %1 = input \"x\" f32[t] %2 = neg(%1) \"y\" : f32[t] output \"y\" %2 }");
  const wh_arg args[] = {{1, 0, 0}, {2, 1, 0}};
  const wh_step step = {.n_inputs = 1, .n_outputs = 1, .scratch = WH_NO_SLOT};
  const wh_block block = {g, &step, 1, args, 2};
  int64_t *dims = fixture_dims(g, (const int64_t[FIXTURE_MAX_SYMBOLS]){4});
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  for (size_t at = 1; st != WH_OK; at++) {
    failing_allocator a;
    wh_device_options o = WH_DEVICE_OPTIONS_INIT;
    void *dev = NULL;
    wh_buffer *buffer = NULL;
    wh_queue *queue = NULL;
    wh_code *code = NULL;
    wh_point done;
    o.n_threads = 2;
    o.allocator = failing_allocator_init(&a, at);
    st = wh_backend_cpu.open(0, &o, &dev);
    if (st == WH_OK) st = wh_backend_cpu.buffer_create(dev, WH_MEMORY_POOL, 256, &buffer);
    if (st == WH_OK) st = wh_backend_cpu.queue_create(dev, &queue);
    if (st == WH_OK) st = wh_backend_cpu.compile(dev, &block, &code);
    if (st == WH_OK) {
      wh_buffer *buffers[] = {buffer, buffer};
      const uint64_t offsets[] = {0, 128}, n_bytes[] = {16, 16};
      const wh_frame frame = {1, buffers, offsets, n_bytes, dims, WH_NO_SLOT};
      st = wh_backend_cpu.submit(queue, code, 0, 1, &frame, NULL, 0, &done);
    }
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    if (dev) {
      wh_backend_cpu.queue_destroy(queue);
      wh_backend_cpu.code_destroy(dev, code);
      wh_backend_cpu.buffer_destroy(dev, buffer);
      wh_backend_cpu.close(dev);
    }
    assert_int_equal(a.n_live, 0);
  }
  free(dims);
  wh_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_level_has_the_values_of_the_reference),
      cmocka_unit_test(another_token_has_other_values),
      cmocka_unit_test(frames_of_one_queue_keep_apart),
      cmocka_unit_test(parts_of_a_block_make_the_whole),
      cmocka_unit_test(queues_and_code_end_in_any_order),
      cmocka_unit_test(threads_share_a_device),
      cmocka_unit_test(indices_outside_are_zeros_and_a_fault),
      cmocka_unit_test(rows_outside_the_cache_are_left_out),
      cmocka_unit_test(rows_of_a_sequence_come_in_any_order),
      cmocka_unit_test(row_major_forms_are_as_defined),
      cmocka_unit_test(buffers_are_zero_and_aligned),
      cmocka_unit_test(copies_stay_in_their_buffers),
      cmocka_unit_test(a_table_is_listed_in_both_forms),
      cmocka_unit_test(what_has_no_kernel_is_refused),
      cmocka_unit_test(packing_finds_what_is_not_finite),
      cmocka_unit_test(a_device_is_asked_for_correctly),
      cmocka_unit_test(memory_that_runs_out_is_an_error),
  };
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
