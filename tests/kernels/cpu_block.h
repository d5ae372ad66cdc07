/* cpu_block.h - a graph with every kind of step for tests of the CPU backend, batches for it, and its values.
 */
#ifndef WH_TESTS_CPU_BLOCK_H
#define WH_TESTS_CPU_BLOCK_H

#include "backends/cpu/cpu_backend.h"
#include "core/base/exact_math.h"
#include "tests/kernels/block_fixture.h"
#include "tests/kernels/linear_q_fixture.h"

#define CONTEXT 128 /* two pages */
#define SLOTS 2
#define PAGES 5
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
    "  %%5 = input \"pages\" i32[2, 2]\n"
    "  %%6 = const \"table\" q4_1[70, 64]\n"
    "  %%7 = const \"inv_freq\" f32[16]\n"
    "  %%8 = const \"norm\" f32[64]\n"
    "  %%9 = const \"wq\" f16[64, 64]\n"
    "  %%10 = const \"wk\" q8_0[32, 64]\n"
    "  %%11 = const \"wv\" bf16[32, 64]\n"
    "  %%12 = const \"bias\" f32[32]\n"
    "  %%13 = state \"keys\" %s[5, 1, 64, 32]\n"
    "  %%14 = state \"values\" %s[5, 1, 64, 32]\n"
    "  %%15 = const \"router\" f32[4, 64]\n"
    "  %%16 = const \"experts\" q6_k[4, 96, 256]\n"
    "  %%17 = const \"plain_table\" f16[9, 64]\n"
    "  %%18 = gather_rows(%%6, %%1) \"x\" : f32[tokens, 64]\n"
    "  %%19 = rope_table(%%2, %%7) {mscale = 0x1p+0} \"rope\" : f32[tokens, 2, 16]\n"
    "  %%20 = rms_norm(%%18, %%8) {eps = 0x1p-10} \"h\" : f32[tokens, 64]\n"
    "  %%21 = quantize_act(%%20) \"h8\" : q8a[tokens, 64]\n"
    "  %%22 = quantize_wide(%%20) \"h13\" : q13a[tokens, 64]\n"
    "  %%23 = linear(%%22, %%9) \"q\" : f32[tokens, 64]\n"
    "  %%24 = linear(%%21, %%10, %%12) \"k\" : f32[tokens, 32]\n"
    "  %%25 = linear(%%22, %%11) \"v\" : f32[tokens, 32]\n"
    "  %%26 = reshape(%%23) {shape = [tokens, 2, 32]} \"qh\" : f32[tokens, 2, 32]\n"
    "  %%27 = reshape(%%24) {shape = [tokens, 1, 32]} \"kh\" : f32[tokens, 1, 32]\n"
    "  %%28 = reshape(%%25) {shape = [tokens, 1, 32]} \"vh\" : f32[tokens, 1, 32]\n"
    "  %%29 = rope(%%26, %%19) {neox = 1} \"qr\" : f32[tokens, 2, 32]\n"
    "  %%30 = rope(%%27, %%19) {neox = 1} \"kr\" : f32[tokens, 1, 32]\n"
    "  %%31 = kv_append(%%13, %%30, %%2, %%3, %%5) {key = 1} \"ka\" : %s[5, 1, 64, 32]\n"
    "  %%32 = kv_append(%%14, %%28, %%2, %%3, %%5) {key = 0} \"va\" : %s[5, 1, 64, 32]\n"
    "  %%33 = attention(%%29, %%31, %%32, %%2, %%3, %%5) {scale = 0x1p-2, softcap = 0x0p+0, window = 0} "
    "\"att\" : "
    "f32[tokens, 2, 32]\n"
    "  %%34 = reshape(%%33) {shape = [tokens, 64]} \"att.flat\" : f32[tokens, 64]\n"
    "  %%35 = add(%%34, %%18) \"y\" : f32[tokens, 64]\n"
    "  %%36 = linear(%%20, %%15) \"scores\" : f32[tokens, 4]\n"
    "  %%37 = expert_select(%%36) {used = 2} \"chosen\" : i32[tokens, 2]\n"
    "  %%38 = softmax(%%36) \"p\" : f32[tokens, 4]\n"
    "  %%39 = expert_weights(%%38, %%37) {normalise = 1, scale = 0x1p+0} \"weights\" : f32[tokens, 2]\n"
    "  %%40 = gather_rows(%%17, %%1) \"plain\" : f32[tokens, 64]\n"
    "  %%41 = select_rows(%%35, %%4) \"some\" : f32[outputs, 64]\n"
    "  %%42 = quantize_act(%%41) \"some8\" : q8a[outputs, 64]\n"
    "  %%43 = linear(%%42, %%6) \"logits\" : f32[outputs, 70]\n"
    "  %%44 = const \"wide\" q8_0[256, 64]\n"
    "  %%45 = linear(%%21, %%44) \"wide.y\" : f32[tokens, 256]\n"
    "  %%46 = quantize_act(%%45) \"wide.8\" : q8a[tokens, 256]\n"
    "  %%47 = expert_linear(%%46, %%16, %%37) \"expert.y\" : f32[tokens, 2, 96]\n"
    "  %%48 = expert_sum(%%47, %%39) \"sum\" : f32[tokens, 96]\n"
    "  output \"logits\" %%43\n"
    "  output \"sum\" %%48\n"
    "  output \"plain\" %%40\n"
    "}\n";

/* Constants get random bytes that are numbers of their type. */
static inline wh_graph *new_graph(const char *kv) {
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

static inline void free_graph(wh_graph *g) {
  for (wh_value v = 1; v < g->n_values; v++) free((void *)(uintptr_t)g->values[v].data);
  wh_graph_destroy(g);
}

static inline void *open_device(const char *isa, uint32_t n_threads, const wh_allocator *alloc) {
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
  int32_t pages[SLOTS * 2]; /* in no order, and one is not used */
} batch;

/* n tokens from position `at` on, split over both sequences. */
static inline batch new_batch(int64_t n, int64_t n_rows, int32_t at) {
  batch b = {.n = n, .n_rows = n_rows, .pages = {3, 0, 1, 4}};
  for (int64_t i = 0; i < n; i++) {
    b.ids[i] = (int32_t)(i * 3 + at) % 9;
    b.sequences[i] = i >= n / 2;
    b.positions[i] = at + (int32_t)(b.sequences[i] ? i - n / 2 : i);
  }
  for (int64_t i = 0; i < n_rows; i++) b.rows[i] = (int32_t)(n - 1 - i % n);
  return b;
}

static const int64_t most[FIXTURE_MAX_SYMBOLS] = {MAX_TOKENS, MAX_TOKENS};

static inline void run_batch(fixture_run *r, const batch *b) {
  const int64_t symbols[FIXTURE_MAX_SYMBOLS] = {b->n, b->n_rows};
  const wh_value_info *v = r->b->g->values;
  if (r->dims[v[1].shape.dims[0]] != b->n || r->dims[v[4].shape.dims[0]] != b->n_rows)
    (void)fixture_lay_out(r, symbols);
  fixture_write(r, "ids", b->ids, (size_t)b->n * 4);
  fixture_write(r, "positions", b->positions, (size_t)b->n * 4);
  fixture_write(r, "sequences", b->sequences, (size_t)b->n * 4);
  fixture_write(r, "rows", b->rows, (size_t)b->n_rows * 4);
  fixture_write(r, "pages", b->pages, sizeof b->pages);
  fixture_submit(r);
}

/* Every value of a run, by value; free with free_values. */
typedef struct values {
  size_t n;
  unsigned char **data;
  size_t *n_bytes;
} values;

static inline values read_values(const fixture_run *r) {
  const wh_graph *g = r->b->g;
  values v = {g->n_values, calloc(g->n_values, sizeof *v.data), calloc(g->n_values, sizeof *v.n_bytes)};
  assert_true(v.data && v.n_bytes);
  for (wh_value i = 1; i < g->n_values; i++)
    if (g->values[i].kind != WH_VALUE_CONST) v.data[i] = fixture_read(r, i, &v.n_bytes[i]);
  return v;
}
static inline void free_values(values *v) {
  for (size_t i = 0; i < v->n; i++) free(v->data[i]);
  free(v->data);
  free(v->n_bytes);
}

/* The first value that differs, or NULL. */
static inline const char *difference(const wh_graph *g, const values *a, const values *b) {
  for (size_t i = 0; i < a->n; i++)
    if (a->n_bytes[i] != b->n_bytes[i] || (a->data[i] && memcmp(a->data[i], b->data[i], a->n_bytes[i]) != 0))
      return g->values[i].name;
  return NULL;
}

#define N_BATCHES 5
static inline void get_batches(batch out[N_BATCHES]) {
  out[0] = new_batch(13, 13, 0);
  out[1] = new_batch(1, 1, 7);
  out[1].sequences[0] = 0;
  out[2] = new_batch(64, 5, 8);
  out[3] = new_batch(0, 0, 0);
  out[4] = new_batch(1, 1, 8);
}

/* All batches in a row, and the values after each. */
static inline void run_all(fixture_run *r, values out[N_BATCHES]) {
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

static inline expected expect(const char *kv) {
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
static inline void free_expected(expected *e) {
  for (int i = 0; i < N_BATCHES; i++) free_values(&e->all[i]);
  free_graph(e->g);
}

static const char *const kv_types[] = {"f16", "f32", "q8_0"};

#endif
