/* test_cpu_backend.c - the CPU behind the backend ABI: a block with every kind of step has the reference's
 * values at every level and team, for frame after frame, from several threads at once; memory is what was
 * asked for; claims, packing and failures. */
#include <pthread.h>

#include "tests/base/failing_allocator.h"
#include "tests/kernels/cpu_block.h"
#include "tests/kernels/levels.h"

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

/* ---- memory ---- */

static void buffers_are_zero_and_aligned(void **state) {
  (void)state;
  static const uint64_t sizes[] = {0, 1, 4096, 100000, 700 << 10, 5 << 20};
  failing_allocator counted;
  const wh_allocator *allocators[] = {NULL, failing_allocator_init(&counted, 0)};
  for (int a = 0; a < 2; a++) {
    void *dev = open_device(NULL, 1, allocators[a]);
    for (int kind = WH_MEMORY_DEVICE; kind <= WH_MEMORY_HOST; kind += kind == WH_MEMORY_POOL ? 2 : 1)
      for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
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

/* Large ones of the system grow; others, and those of an allocator, are left to be made anew. */
static void buffers_grow(void **state) {
  (void)state;
  static const uint64_t sizes[] = {600 << 10, 2 << 20, (3 << 20) + 1, 4 << 20, 9 << 20, 40 << 20};
  failing_allocator counted;
  void *dev = open_device(NULL, 3, NULL), *other = open_device(NULL, 1, failing_allocator_init(&counted, 0));
  wh_buffer *b = NULL;
  assert_ok(wh_backend_cpu.buffer_create(dev, WH_MEMORY_DEVICE, sizes[0], &b));
  for (size_t i = 1; i < 6; i++) {
    assert_ok(wh_backend_cpu.buffer_grow(dev, b, sizes[i]));
    unsigned char *p = wh_backend_cpu.buffer_host(dev, b);
    assert_int_equal((uintptr_t)p % WH_HUGE_PAGE_BYTES, 0);
    memset(p, 7, sizes[i]);
  }
  assert_int_equal(wh_backend_cpu.buffer_grow(dev, b, UINT64_MAX), WH_ERR_OUT_OF_MEMORY);
  assert_int_equal(wh_backend_cpu.buffer_grow(dev, b, UINT64_MAX / 4), WH_ERR_OUT_OF_MEMORY);
  assert_int_equal(((unsigned char *)wh_backend_cpu.buffer_host(dev, b))[sizes[5] - 1], 7);
  wh_backend_cpu.buffer_destroy(dev, b);
  assert_ok(wh_backend_cpu.buffer_create(dev, WH_MEMORY_DEVICE, 4096, &b));
  assert_int_equal(wh_backend_cpu.buffer_grow(dev, b, 8192), WH_ERR_UNSUPPORTED);
  wh_backend_cpu.buffer_destroy(dev, b);
  assert_ok(wh_backend_cpu.buffer_create(other, WH_MEMORY_DEVICE, sizes[0], &b));
  assert_int_equal(wh_backend_cpu.buffer_grow(other, b, sizes[3]), WH_ERR_UNSUPPORTED);
  wh_backend_cpu.buffer_destroy(other, b);
  wh_backend_cpu.close(dev);
  wh_backend_cpu.close(other);
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
      assert_int_equal(product.layouts[0].n_bytes, g->values[6].n_bytes);
      assert_int_equal(gather.n_layouts, 0);
      assert_int_equal(plain.n_layouts, 0);
    } else {
      assert_int_equal(gather.n_layouts, 2);
      assert_int_equal(gather.layouts[0].id, 0);
      assert_int_equal(gather.layouts[0].n_bytes, g->values[6].n_bytes);
      assert_int_equal(plain.n_layouts, 0); /* of 16-bit values: their panels are rounded */
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
      wh_pack_task t = {.node = n, .weight = node->inputs[1], .layout = c.layouts[0].id, .n_parts = 1};
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
      const wh_frame frame = {1, buffers, offsets, n_bytes, dims, WH_NO_SLOT, NULL};
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
      cmocka_unit_test(buffers_are_zero_and_aligned),
      cmocka_unit_test(buffers_grow),
      cmocka_unit_test(copies_stay_in_their_buffers),
      cmocka_unit_test(a_table_is_listed_in_both_forms),
      cmocka_unit_test(what_has_no_kernel_is_refused),
      cmocka_unit_test(packing_finds_what_is_not_finite),
      cmocka_unit_test(a_device_is_asked_for_correctly),
      cmocka_unit_test(memory_that_runs_out_is_an_error),
  };
  return cmocka_run_group_tests(tests, find_device_levels, NULL);
}
