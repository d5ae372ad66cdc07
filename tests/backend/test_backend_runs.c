/* test_backend_runs.c - on every backend: memory and copies, one block over many frames, order between
 * queues, claims that refuse, packing that looks for what is not finite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#include "tests/backend/small_block.h"
#include "tests/backend/suite.h"
#include "tests/backend/targets.h"
#include <cmocka.h>
/* clang-format on */

static const wh_point none = {NULL, 0};

#define OK(call)                                                                            \
  do {                                                                                      \
    if ((call) != WH_OK) fail_msg("%s: %s: %s", t->label, #call, wh_last_error()->message); \
  } while (0)

/* ---- memory ---- */

static void test_buffers(const suite_target *t) {
  static const wh_memory_kind kinds[] = {WH_MEMORY_DEVICE, WH_MEMORY_POOL, WH_MEMORY_HOST};
  static const uint64_t sizes[] = {0, 1, 255, 4097, 3u << 20};
  const wh_backend *b = t->backend;
  wh_queue *q = NULL;
  OK(b->queue_create(t->dev, &q));
  for (size_t k = 0; k < 3; k++)
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      wh_buffer *x = NULL;
      wh_point p = none;
      const size_t n = (size_t)sizes[i];
      unsigned char *seen = malloc(n + 1);
      assert_non_null(seen);
      memset(seen, 1, n + 1);
      OK(b->buffer_create(t->dev, kinds[k], n, &x));
      assert_true(b->buffer_footprint(t->dev, kinds[k], n) >= n);
      const void *host = b->buffer_host(t->dev, x);
      assert_true(kinds[k] != WH_MEMORY_HOST || host);
      assert_int_equal((uintptr_t)host % WH_BUFFER_ALIGN, 0);
      OK(b->download(q, seen, x, 0, n, NULL, 0, &p));
      OK(b->wait(p));
      for (size_t at = 0; at < n; at++) assert_int_equal(seen[at], 0);
      assert_int_equal(seen[n], 1);
      b->buffer_destroy(t->dev, x);
      free(seen);
    }
  b->queue_destroy(q);
}

/* Bytes go up, across and down, at odd places, on three queues that wait for each other, on the host's side
 * of things only at the end. */
static void test_copies(const suite_target *t) {
  const wh_backend *b = t->backend;
  wh_queue *q[3];
  wh_buffer *x = NULL, *y = NULL;
  for (int i = 0; i < 3; i++) OK(b->queue_create(t->dev, &q[i]));
  OK(b->buffer_create(t->dev, WH_MEMORY_DEVICE, 5000, &x));
  OK(b->buffer_create(t->dev, WH_MEMORY_HOST, 5000, &y));
  unsigned char from[4000], to[4000];
  for (int round = 0; round < 10; round++) {
    wh_point p[3] = {none, none, none};
    for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)(i * 7 + (size_t)round);
    memset(to, 0, sizeof to);
    OK(b->upload(q[0], x, 13, from, sizeof from, NULL, 0, &p[0]));
    OK(b->copy(q[1], y, 101, x, 13, sizeof from, &p[0], 1, &p[1]));
    OK(b->copy(q[1], x, 4100, x, 13, 900, &p[0], 1, &p[1]));
    OK(b->download(q[2], to, y, 101, sizeof to, p, 2, &p[2]));
    OK(b->wait(p[2]));
    assert_memory_equal(from, to, sizeof to);
    OK(b->download(q[2], to, x, 4100, 900, &p[1], 1, &p[2]));
    OK(b->wait(p[2]));
    OK(b->wait(p[1]));
    OK(b->wait(p[0])); /* again: reached */
    assert_memory_equal(from, to, 900);
  }
  for (int i = 0; i < 3; i++) b->queue_destroy(q[i]);
  b->buffer_destroy(t->dev, x);
  b->buffer_destroy(t->dev, y);
}

static void test_ranges_are_checked(const suite_target *t) {
  const wh_backend *b = t->backend;
  wh_queue *q = NULL;
  wh_buffer *x = NULL;
  char bytes[16] = {0};
  OK(b->queue_create(t->dev, &q));
  OK(b->buffer_create(t->dev, WH_MEMORY_DEVICE, 100, &x));
  assert_int_not_equal(b->upload(q, x, 90, bytes, 11, NULL, 0, NULL), WH_OK);
  assert_int_not_equal(b->upload(q, x, UINT64_MAX, bytes, 2, NULL, 0, NULL), WH_OK);
  assert_int_not_equal(b->download(q, bytes, x, 101, 0, NULL, 0, NULL), WH_OK);
  assert_int_not_equal(b->copy(q, x, 0, x, 95, 6, NULL, 0, NULL), WH_OK);
  b->queue_destroy(q);
  b->buffer_destroy(t->dev, x);
}

/* ---- one block, many frames ---- */

/* A prompt, single tokens, nothing, a prompt again: states grow, shapes change with each frame. */
static void test_frames(const suite_target *t) {
  static const int64_t rows[] = {70, 1, 1, 0, 5, 1, 33, 1};
  suite s = {.target = t, .random = 9};
  small_block m = small_block_make(&s, 70, 128);
  suite_case *c = m.c;
  int64_t *most = case_dims(c, 70), position = 0;
  executor *x = NULL;
  OK(executor_create(t, c->g, most, NULL, &x));
  const size_t n = executor_n_steps(x);
  for (size_t round = 0; round < sizeof rows / sizeof rows[0]; round++) {
    case_set_rows(c, rows[round]);
    small_block_inputs(&m, position);
    position += rows[round];
    int64_t *dims = case_dims(c, rows[round]);
    const wh_fault want = case_compute(c);
    assert_int_equal(want.node_plus_1, 0);
    OK(executor_bind(x, dims));
    OK(small_block_write(&m, x));
    for (size_t at = 0; at < n;) { /* whole, by two, by one */
      const size_t count = round % 3 == 0 ? n : round % 3 == 1 && n - at > 1 ? 2 : 1;
      OK(executor_run(x, at, count));
      at += count;
    }
    for (wh_value v = 1; v < c->g->n_values; v++)
      if (c->g->values[v].kind == WH_VALUE_NODE) case_compare(c, x, 0, v);
    free(dims);
  }
  for (size_t i = 0; i < n; i++) {
    wh_step_info info = {.struct_size = sizeof info};
    t->backend->describe(t->dev, executor_code(x), i, &info);
    assert_true(info.kernel && *info.kernel && info.reason && *info.reason);
  }
  executor_destroy(x);
  free(most);
  case_free(c);
}

/* The fault of the lowest node stays, whatever the order in which they run. */
static void test_faults(const suite_target *t) {
  suite s = {.target = t, .random = 4};
  suite_case *c = case_begin(&s, 3, "two gathers");
  const wh_value table = case_const(c, WH_DTYPE_F32, 2, (const int64_t[]){5, 8});
  wh_value ids[2];
  for (int i = 0; i < 2; i++) {
    ids[i] = case_indices(c, 1, (const int64_t[]){ROWS}, 0, 5);
    ((int32_t *)c->data[ids[i]])[1 + i] = 77 + i;
  }
  for (int i = 0; i < 2; i++)
    (void)case_node(c, WH_OP_GATHER_ROWS, (const wh_value[]){table, ids[i]}, 2, NULL, 0);
  int64_t *dims = case_dims(c, 3);
  executor *x = NULL;
  wh_fault fault;
  OK(executor_create(t, c->g, dims, NULL, &x));
  for (int i = 0; i < 2; i++) OK(executor_write(x, ids[i], c->data[ids[i]], c->n_bytes[ids[i]]));
  OK(executor_run(x, 0, 2));
  OK(executor_fault(x, &fault));
  assert_int_equal(fault.node_plus_1, 1);
  assert_int_equal(fault.code, WH_FAULT_INDEX);
  assert_int_equal(fault.value, 77);
  OK(executor_run(x, 0, 2)); /* it stays */
  OK(executor_fault(x, &fault));
  assert_int_equal(fault.value, 77);
  for (int i = 0; i < 2; i++) ((int32_t *)c->data[ids[i]])[1 + i] = 2;
  OK(executor_bind(x, dims)); /* without one */
  for (int i = 0; i < 2; i++) OK(executor_write(x, ids[i], c->data[ids[i]], c->n_bytes[ids[i]]));
  OK(executor_run(x, 0, 2));
  OK(executor_fault(x, &fault));
  assert_int_equal(fault.node_plus_1, 0);
  executor_destroy(x);
  free(dims);
  case_free(c);
}

/* Attention is the last that reads its rows' places, and what quantises its result, which some backends do in
 * the same launch, may be given their memory. */
static void test_codes_lie_on_places(const suite_target *t) {
  enum { N = 6, SLOTS = 2, TABLE = 2, HEADS = 4, DIM = 64 };
  for (int lies = 0; lies < 3; lies++) {
    suite s = {.target = t, .random = 12};
    suite_case *c = case_begin(&s, N, "codes on place %d", lies);
    const int64_t state[] = {SLOTS * TABLE, 1, 64, DIM}, one[] = {ROWS, 1, DIM}, q[] = {ROWS, HEADS, DIM},
                  table[] = {SLOTS, TABLE}, rows[] = {ROWS};
    wh_value in[6] = {case_input(c, WH_DTYPE_F32, 3, q, FILL_PLAIN),
                      0,
                      0,
                      case_indices(c, 1, rows, 0, 1),
                      case_indices(c, 1, rows, 0, 1),
                      case_indices(c, 2, table, 0, 1)};
    for (int i = 0; i < N; i++) {
      ((int32_t *)c->data[in[3]])[i] = i / SLOTS;
      ((int32_t *)c->data[in[4]])[i] = i % SLOTS;
    }
    for (int i = 0; i < SLOTS * TABLE; i++) ((int32_t *)c->data[in[5]])[i] = SLOTS * TABLE - 1 - i;
    for (int key = 1; key >= 0; key--) {
      const wh_attr attr = {.key = WH_ATTR_KEY, .i = key};
      const wh_value append[] = {case_state(c, WH_DTYPE_F16, 4, state),
                                 case_input(c, WH_DTYPE_F32, 3, one, FILL_PLAIN), in[3], in[4], in[5]};
      in[2 - key] = case_node(c, WH_OP_KV_APPEND, append, 5, &attr, 1);
    }
    const wh_attr attrs[] = {{.key = WH_ATTR_SCALE, .f = 0.125f},
                             {.key = WH_ATTR_SOFTCAP, .f = 0.0f},
                             {.key = WH_ATTR_WINDOW, .i = 0}};
    const wh_attr flat = {.key = WH_ATTR_SHAPE, .rank = 2, .dims = {c->rows, case_dim(c, HEADS * DIM)}};
    const wh_value y = case_node(c, WH_OP_ATTENTION, in, 6, attrs, 3);
    const wh_value row = case_node(c, WH_OP_RESHAPE, &y, 1, &flat, 1);
    const wh_value codes = case_node(c, WH_OP_QUANTIZE_ACT, &row, 1, NULL, 0);
    int64_t *dims = case_dims(c, N);
    executor *x = NULL;
    wh_fault fault;
    assert_int_equal(case_compute(c).node_plus_1, 0);
    OK(executor_create(t, c->g, dims, NULL, &x));
    executor_overlay(x, in[3 + lies], codes);
    for (wh_value v = 1; v < c->g->n_values; v++)
      if (c->g->values[v].kind == WH_VALUE_INPUT) OK(executor_write(x, v, c->data[v], c->n_bytes[v]));
    OK(executor_run(x, 0, executor_n_steps(x)));
    OK(executor_fault(x, &fault));
    assert_int_equal(fault.node_plus_1, 0);
    case_compare(c, x, 0, y);
    case_compare(c, x, 0, codes);
    executor_destroy(x);
    free(dims);
    case_free(c);
  }
}

/* ---- claims and packing ---- */

static void assert_refuses(const suite_target *t, suite_case *c) {
  int64_t *dims = case_dims(c, c->n_rows);
  wh_claim claim = {.struct_size = sizeof claim, .supported = true};
  OK(t->backend->claim(t->dev, c->g, (wh_node)c->g->n_nodes - 1, dims, &claim));
  assert_false(claim.supported);
  assert_true(strlen(claim.reason) > 10);
  executor *x = NULL;
  assert_int_equal(executor_create(t, c->g, dims, NULL, &x), WH_ERR_UNSUPPORTED);
  free(dims);
  case_free(c);
}

static void test_refusals(const suite_target *t) {
  suite s = {.target = t, .random = 2};
  suite_case *c = case_begin(&s, 2, "float activations, quantised weights");
  wh_value in[2];
  in[0] = case_input(c, WH_DTYPE_F32, 2, (const int64_t[]){ROWS, 64}, FILL_PLAIN);
  in[1] = case_const(c, WH_DTYPE_Q4_0, 2, (const int64_t[]){3, 64});
  (void)case_node(c, WH_OP_LINEAR, in, 2, NULL, 0);
  assert_refuses(t, c);
  c = case_begin(&s, 2, "weights that are computed");
  for (int i = 0; i < 2; i++) in[i] = case_input(c, WH_DTYPE_F32, 2, (const int64_t[]){2, 64}, FILL_PLAIN);
  (void)case_node(c, WH_OP_LINEAR, in, 2, NULL, 0);
  assert_refuses(t, c);
  c = case_begin(&s, 2, "a table of f64");
  in[0] = case_input(c, WH_DTYPE_F64, 2, (const int64_t[]){4, 8}, FILL_PLAIN);
  in[1] = case_indices(c, 1, (const int64_t[]){ROWS}, 0, 4);
  (void)case_node(c, WH_OP_GATHER_ROWS, in, 2, NULL, 0);
  assert_refuses(t, c);
}

/* Of every type, the last weight of all; packed and only looked at. */
static void test_packing_finds_what_is_not_finite(const suite_target *t) {
  static const struct {
    wh_dtype dtype;
    size_t from_end; /* of the block's scale */
    unsigned char bytes[4];
    int n;
  } kinds[] = {{WH_DTYPE_F32, 4, {0, 0, 0xc0, 0x7f}, 4}, {WH_DTYPE_F16, 2, {0, 0xfc}, 2},
               {WH_DTYPE_BF16, 2, {0x80, 0xff}, 2},      {WH_DTYPE_Q8_0, 34, {1, 0x7c}, 2},
               {WH_DTYPE_Q4_1, 18, {0, 0x7c}, 2},        {WH_DTYPE_Q4_K, 144, {0, 0x7e}, 2},
               {WH_DTYPE_Q6_K, 2, {0, 0xfe}, 2},         {WH_DTYPE_MXFP4, 17, {255}, 1}};
  suite s = {.target = t, .random = 6};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    for (int bad = 0; bad < 2; bad++) {
      const bool quantised = wh_dtype_is_quantised(kinds[i].dtype), plain = kinds[i].dtype == WH_DTYPE_F32;
      const wh_op quantize = quantised ? WH_OP_QUANTIZE_ACT : WH_OP_QUANTIZE_WIDE;
      suite_case *c = case_begin(&s, 1, "%s", wh_dtype_name(kinds[i].dtype));
      const wh_value x = case_input(c, WH_DTYPE_F32, 2, (const int64_t[]){ROWS, 512}, FILL_PLAIN);
      const wh_value w = case_const(c, kinds[i].dtype, 2, (const int64_t[]){37, 512});
      const wh_value in[2] = {plain ? x : case_node(c, quantize, &x, 1, NULL, 0), w};
      (void)case_node(c, WH_OP_LINEAR, in, 2, NULL, 0);
      if (bad)
        memcpy((char *)c->data[w] + c->n_bytes[w] - kinds[i].from_end, kinds[i].bytes, (size_t)kinds[i].n);
      int64_t *dims = case_dims(c, 1);
      const wh_node node = (wh_node)c->g->n_nodes - 1;
      wh_claim claim = {.struct_size = sizeof claim};
      OK(t->backend->claim(t->dev, c->g, node, dims, &claim));
      assert_true(claim.supported && claim.n_layouts > 0);
      for (uint32_t l = 0; l < claim.n_layouts; l++) {
        void *dst = claim.layouts[l].id ? aligned_alloc(64, (claim.layouts[l].n_bytes + 63) / 64 * 64) : NULL;
        wh_pack_task task = {node, w, claim.layouts[l].id, dst, !bad, 0, 1};
        OK(t->backend->pack(t->dev, c->g, &task, 1));
        if (task.finite == bad) fail_msg("%s: %s: finite is %d", t->label, c->name, task.finite);
        free(dst);
      }
      free(dims);
      case_free(c);
    }
}

/* ---- all ---- */

static targets all;

static void on_all(void (*test)(const suite_target *t)) {
  for (size_t i = 0; i < all.n; i++) test(&all.items[i]);
}
#define ON_ALL(name)                            \
  static void name##_everywhere(void **state) { \
    (void)state;                                \
    on_all(name);                               \
  }
ON_ALL(test_buffers)
ON_ALL(test_copies)
ON_ALL(test_ranges_are_checked)
ON_ALL(test_frames)
ON_ALL(test_faults)
ON_ALL(test_codes_lie_on_places)
ON_ALL(test_refusals)
ON_ALL(test_packing_finds_what_is_not_finite)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_buffers_everywhere),
      cmocka_unit_test(test_copies_everywhere),
      cmocka_unit_test(test_ranges_are_checked_everywhere),
      cmocka_unit_test(test_frames_everywhere),
      cmocka_unit_test(test_faults_everywhere),
      cmocka_unit_test(test_codes_lie_on_places_everywhere),
      cmocka_unit_test(test_refusals_everywhere),
      cmocka_unit_test(test_packing_finds_what_is_not_finite_everywhere),
  };
  targets_open(&all);
  int failed = cmocka_run_group_tests_name("backend_runs", tests, NULL, NULL);
  failed += (int)targets_close(&all);
  return failed;
}
