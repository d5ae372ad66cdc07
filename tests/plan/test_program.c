/* test_program.c - programs on the fake backend: operands, bindings, barriers, packing, refusals, faults; and
 * a check of placement as a whole: every value is still what its producer wrote when its users read it. */
#include <math.h>

#include "core/passes/passes.h"
#include "core/plan/program.h"
#include "tests/base/failing_allocator.h"
#include "tests/ir/random_graph.h"
#include "tests/plan/fake_backend.h"

/* h = linear(x, w) + b as a matrix of two rows each; y = neg(h); z = linear(x, w); output y + z */
static const char mlp_text[] =
    "graph \"mlp\" {\n"
    "  symbol t 1..8\n"
    "  %1 = input \"x\" f32[t, 4]\n"
    "  %2 = const \"w\" f32[6, 4]\n"
    "  %3 = const \"b\" f32[6]\n"
    "  %4 = linear(%1, %2, %3) \"h\" : f32[t, 6]\n"
    "  %5 = reshape(%4) {shape = [t, 2, 3]} \"view\" : f32[t, 2, 3]\n"
    "  %6 = neg(%5) \"y\" : f32[t, 2, 3]\n"
    "  %7 = linear(%1, %2) \"z\" : f32[t, 6]\n"
    "  %8 = reshape(%6) {shape = [t, 6]} \"flat\" : f32[t, 6]\n"
    "  %9 = add(%8, %7) \"sum\" : f32[t, 6]\n"
    "  output \"sum\" %9\n"
    "  output \"x\" %1\n"
    "}\n";
static const float mlp_w[24] = {1,  2,  3,  4,  5, 6, 7, 8, 9, 10, 11, 12,
                                -1, -2, -3, -4, 0, 1, 0, 1, 2, 2,  2,  2};
static const float mlp_b[6] = {100, 200, 300, 400, 500, 600};

static int mlp_origin;

static wh_graph *mlp_graph(void) {
  wh_graph *g = graph_from_text(mlp_text);
  g->values[2].data = mlp_w;
  g->values[2].origin = &mlp_origin;
  g->values[3].data = mlp_b;
  return g;
}

static wh_program_options options_for(fake_device *dev, const int64_t *symbols_max,
                                      const wh_allocator *alloc) {
  dev->alloc = alloc;
  return (wh_program_options){
      .backend = &fake_backend, .device = dev, .symbols_max = symbols_max, .alloc = alloc};
}

static wh_program *mlp_program(wh_graph *g, fake_device *dev) {
  static const int64_t max[] = {8};
  wh_program *p = NULL;
  const wh_program_options o = options_for(dev, max, NULL);
  assert_ok(wh_program_create(g, &o, &p));
  return p;
}

static const wh_instr *instr_named(const wh_program *p, const char *name) {
  for (size_t i = 0; i < wh_program_n_instrs(p); i++)
    if (strcmp(wh_program_instr(p, i)->node->name, name) == 0) return wh_program_instr(p, i);
  fail_msg("no instruction '%s'", name);
  return NULL;
}

static void run_mlp(wh_program *p, int64_t t) {
  assert_ok(wh_program_bind(p, &t));
  wh_operand *x = wh_program_input(p, "x");
  const wh_operand *y = wh_program_output(p, "sum");
  assert_int_equal(x->dims[0], t);
  assert_int_equal(y->dims[0], t);
  for (int64_t i = 0; i < t * 4; i++) ((float *)x->data)[i] = (float)(i % 7 - 3);
  assert_ok(wh_program_run(p));
  for (int64_t r = 0; r < t; r++)
    for (int o = 0; o < 6; o++) { /* -(z + b) + z is -b only in real numbers; these are exact integers */
      assert_float_equal(((const float *)y->data)[r * 6 + o], -mlp_b[o], 0);
    }
}

static void a_program_computes(void **state) {
  (void)state;
  for (int pack = 0; pack < 2; pack++) {
    fake_device dev = {.pack = pack, .scratch_bytes = 100};
    wh_graph *g = mlp_graph();
    wh_program *p = mlp_program(g, &dev);
    for (int64_t t = 1; t <= 8; t++) run_mlp(p, t);
    run_mlp(p, 3);
    wh_program_destroy(p);
    assert_int_equal(dev.n_released, dev.n_compiled);
    assert_int_equal(dev.n_compiled, 4); /* views are no instructions */
    wh_graph_destroy(g);
  }
  wh_program_destroy(NULL);
}

static void operands_are_resolved(void **state) {
  (void)state;
  fake_device dev = {.scratch_bytes = 100};
  wh_graph *g = mlp_graph();
  wh_program *p = mlp_program(g, &dev);
  assert_ok(wh_program_bind(p, (int64_t[]){5}));
  const wh_instr *h = instr_named(p, "h"), *y = instr_named(p, "y"), *z = instr_named(p, "z"),
                 *sum = instr_named(p, "sum");
  assert_ptr_equal(h->in[0].data, wh_program_input(p, "x")->data);
  assert_ptr_equal(h->in[1].data, mlp_w); /* not packed: in place */
  assert_ptr_equal(h->in[2].data, mlp_b);
  assert_null(h->in[3].data);
  assert_null(z->in[2].data);
  assert_ptr_equal(y->in[0].data, h->out.data); /* through a view */
  assert_int_equal(y->in[0].rank, 3);
  assert_int_equal(y->in[0].dims[0], 5);
  assert_int_equal(y->in[0].dims[2], 3);
  assert_ptr_equal(sum->in[0].data, y->out.data);
  assert_int_equal(sum->in[0].rank, 2);
  assert_ptr_equal(sum->in[1].data, z->out.data);
  assert_ptr_equal(wh_program_output(p, "sum")->data, sum->out.data);
  assert_ptr_equal(wh_program_output(p, "x")->data, wh_program_input(p, "x")->data);
  assert_int_equal(h->out.dtype, WH_DTYPE_F32);
  assert_int_equal(h->weight_bytes, sizeof mlp_w + sizeof mlp_b);
  wh_program_memory m;
  wh_program_get_memory(p, &m);
  assert_int_equal(m.mapped_bytes, sizeof mlp_w); /* once, though two products read it; b is not the file's */
  for (size_t i = 0; i < wh_program_n_instrs(p); i++) {
    const wh_instr *in = wh_program_instr(p, i);
    assert_int_equal(in->step, 2 * i + 1);
    assert_int_equal(in->scratch_bytes, 100);
    assert_int_equal((uintptr_t)in->scratch % WH_PLAN_ALIGN, 0);
    assert_int_equal((uintptr_t)in->out.data % WH_PLAN_ALIGN, 0);
    assert_ptr_not_equal(in->scratch, in->out.data);
    assert_int_equal(wh_program_output_bytes(p, i), 5 * 6 * sizeof(float));
  }
  assert_ptr_not_equal(h->scratch, z->scratch); /* one phase */
  assert_null(wh_program_input(p, "sum"));
  assert_null(wh_program_output(p, "h"));
  wh_program_destroy(p);
  wh_graph_destroy(g);
}

static void barriers_stand_between_phases(void **state) {
  (void)state;
  fake_device dev = {0};
  wh_graph *g = mlp_graph();
  wh_program *p = mlp_program(g, &dev);
  static const struct {
    const char *name;
    bool barrier;
  } want[] = {{"h", false}, {"z", false}, {"y", true}, {"sum", true}};
  assert_int_equal(wh_program_n_instrs(p), 4);
  for (size_t i = 0; i < 4; i++) {
    assert_string_equal(wh_program_instr(p, i)->node->name, want[i].name);
    assert_int_equal(wh_program_instr(p, i)->barrier, want[i].barrier);
  }
  wh_text_buffer b;
  wh_text_buffer_init(&b, NULL);
  wh_program_print(p, &b);
  assert_non_null(strstr(b.data, "h "));
  assert_non_null(strstr(b.data, "mapped:f32[6,4]"));
  assert_non_null(strstr(b.data, "fake"));
  wh_text_buffer_deinit(&b);
  wh_program_destroy(p);
  wh_graph_destroy(g);
}

static void symbol_values_are_checked(void **state) {
  (void)state;
  fake_device dev = {0};
  wh_graph *g = mlp_graph();
  wh_program *p = NULL;
  wh_program_options o = options_for(&dev, (int64_t[]){9}, NULL);
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_LIMIT);
  assert_error_says("dimension 't' of graph 'mlp' cannot be 9: at most 8");
  o.symbols_max = (int64_t[]){-1};
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_LIMIT);
  assert_null(p);
  o.symbols_max = (int64_t[]){6};
  assert_ok(wh_program_create(g, &o, &p));
  assert_int_equal(wh_program_run(p), WH_ERR_INTERNAL); /* not bound */
  assert_ok(wh_program_bind(p, (int64_t[]){2}));
  assert_int_equal(wh_program_bind(p, (int64_t[]){7}), WH_ERR_LIMIT);
  assert_int_equal(wh_program_bind(p, (int64_t[]){-1}), WH_ERR_LIMIT);
  assert_int_equal(wh_program_input(p, "x")->dims[0], 2); /* as before */
  run_mlp(p, 6);
  wh_program_destroy(p);
  wh_graph_destroy(g);
}

static size_t n_done;
static void weight_done(void *ctx, const void *origin) {
  assert_ptr_equal(ctx, &n_done);
  assert_ptr_equal(origin, &mlp_origin);
  n_done++;
}

static void weights_are_packed_once_per_layout(void **state) {
  (void)state;
  static const int64_t max[] = {8};
  for (int two = 0; two < 2; two++) {
    fake_device dev = {.pack = true, .other_layout = two ? "z" : NULL};
    wh_graph *g = mlp_graph();
    wh_program *p = NULL;
    wh_program_options o = options_for(&dev, max, NULL);
    n_done = 0;
    g->values[3].origin = &mlp_origin; /* a vector of the file: copied */
    o.weight_done = weight_done;
    o.weight_done_ctx = &n_done;
    assert_ok(wh_program_create(g, &o, &p));
    assert_int_equal(dev.n_packed, 1 + two);
    assert_int_equal(n_done, 2 * (1 + two) + 1); /* after a batch, and after all; the vector */
    assert_string_equal(dev.packed[0], "w");
    const wh_instr *h = instr_named(p, "h"), *z = instr_named(p, "z");
    assert_true((h->in[1].data == z->in[1].data) == !two);
    assert_ptr_not_equal(h->in[1].data, mlp_w);
    assert_ptr_not_equal(h->in[2].data, mlp_b);
    assert_memory_equal(h->in[2].data, mlp_b, sizeof mlp_b);
    assert_int_equal((uintptr_t)z->in[1].data % 64, 0);
    run_mlp(p, 4);
    wh_program_memory m;
    wh_program_get_memory(p, &m);
    assert_true(m.packed_bytes >= (size_t)(1 + two) * sizeof mlp_w);
    assert_int_equal(m.mapped_bytes, 0);
    assert_int_equal(m.state_bytes, 0);
    assert_true(m.plan.arena_bytes >= m.plan.lower_bound_bytes);
    wh_program_destroy(p);
    wh_graph_destroy(g);
  }
}

static void damaged_weights_are_named(void **state) {
  (void)state;
  static const int64_t max[] = {8};
  fake_device dev = {.pack = true, .not_finite = "w"};
  wh_graph *g = mlp_graph();
  wh_program *p = NULL;
  const wh_program_options o = options_for(&dev, max, NULL);
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_CORRUPT);
  assert_error_says("tensor 'w' holds a NaN or infinite value");
  static const float infinite[6] = {0, 0, 0, 0, 0, INFINITY}, nan[6] = {NAN};
  for (int i = 0; i < 2; i++) { /* a vector, which is not packed */
    g->values[3].data = i ? nan : infinite;
    assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_CORRUPT);
    assert_error_says("tensor 'b' holds a NaN or infinite value");
  }
  g->values[3].data = NULL;
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("constant 'b' has no data");
  assert_null(p);
  wh_graph_destroy(g);
}

static void refusals_name_every_node(void **state) {
  (void)state;
  static const int64_t max[] = {8};
  fake_device dev = {.refuse = "s"};
  wh_graph *g = mlp_graph();
  wh_program *p = NULL;
  wh_program_options o = options_for(&dev, max, NULL);
  wh_value v;
  assert_ok(wh_graph_add_node(g, WH_OP_NEG, "useless", (wh_value[]){9}, 1, NULL, 0, &v));
  assert_ok(
      wh_graph_add_node(g, WH_OP_TANH, "tanh", (wh_value[]){9}, 1, NULL, 0, &v)); /* the device has none */
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_UNSUPPORTED);
  assert_error_says("device 'fake' cannot run 3 of 8 nodes");
  assert_error_says("sum (add): this device does not like 'sum'");
  assert_error_says("useless (neg): this device does not like 'useless'");
  assert_error_says("tanh (tanh): this device does not like 'tanh'");
  assert_null(p);
  assert_int_equal(dev.n_compiled, 0);
  g->nodes[6].dead = true;
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("graph 'mlp' is not compact: node 'useless' is dead");
  wh_graph_destroy(g);
}

/* What does not fit is refused before anything large is taken; the message has the sizes. */
static void memory_is_asked_for_before_it_is_taken(void **state) {
  (void)state;
  static const int64_t max[] = {8};
  fake_device dev = {.pack = true};
  failing_allocator a;
  wh_graph *g = mlp_graph();
  wh_program *p = NULL;
  wh_memory_budget budget = {UINT64_MAX, "a test"};
  wh_program_options o = options_for(&dev, max, failing_allocator_init(&a, 0));
  o.memory = &budget;
  assert_ok(wh_program_create(g, &o, &p));
  wh_program_memory m;
  wh_program_get_memory(p, &m);
  const uint64_t needed = m.arena_bytes + m.state_bytes + m.packed_bytes;
  const size_t n_packed = dev.n_packed;
  assert_true(n_packed > 0);
  wh_program_destroy(p);
  p = NULL;
  static const struct {
    int64_t above_packed; /* budget; negative: below the packed weights alone */
    const char *words;
  } cases[] = {{1, "a smaller context needs less"}, {-1, "the weights alone do not fit"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    budget.available = (uint64_t)((int64_t)m.packed_bytes + cases[i].above_packed);
    assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_OUT_OF_MEMORY);
    assert_error_says("of memory are needed");
    assert_error_says("are left by a test");
    assert_error_says(cases[i].words);
    assert_null(p);
    assert_int_equal(a.n_live, 0);
    assert_int_equal(dev.n_packed, n_packed); /* nothing was packed */
  }
  budget.available = needed + (UINT64_C(8) << 20); /* with what running takes besides */
  assert_ok(wh_program_create(g, &o, &p));
  wh_program_destroy(p);
  p = NULL;
  budget.available--;
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_OUT_OF_MEMORY);
  wh_graph_destroy(g);
}

static void a_failed_compilation_is_undone(void **state) {
  (void)state;
  static const int64_t max[] = {8};
  fake_device dev = {.fail_compile = "y"};
  failing_allocator a;
  wh_graph *g = mlp_graph();
  wh_program *p = NULL;
  const wh_program_options o = options_for(&dev, max, failing_allocator_init(&a, 0));
  assert_int_equal(wh_program_create(g, &o, &p), WH_ERR_DEVICE);
  assert_error_says("node 'y' does not compile");
  assert_int_equal(dev.n_compiled, 2);
  assert_int_equal(dev.n_released, 2);
  assert_int_equal(a.n_live, 0);
  assert_null(p);
  wh_graph_destroy(g);
}

static void failing_allocations_leak_nothing(void **state) {
  (void)state;
  static const int64_t max[] = {8};
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  size_t fail_at = 0;
  wh_graph *g = mlp_graph();
  while (st != WH_OK) {
    fake_device dev = {.pack = true, .scratch_bytes = 64};
    failing_allocator a;
    wh_program *p = NULL;
    const wh_program_options o = options_for(&dev, max, failing_allocator_init(&a, ++fail_at));
    st = wh_program_create(g, &o, &p);
    if (st == WH_OK) {
      size_t n = a.n_requests;
      run_mlp(p, 8);
      run_mlp(p, 1);
      assert_int_equal(a.n_requests, n); /* running allocates nothing */
    } else {
      assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
      assert_null(p);
    }
    wh_program_destroy(p);
    assert_int_equal(a.n_live, 0);
    assert_int_equal(dev.n_released, dev.n_compiled);
  }
  assert_true(fail_at > 20);
  wh_graph_destroy(g);
}

/* Fills each constant with its tag; all are freed by the caller through `data`. */
static void tag_constants(wh_graph *g, void **data) {
  for (wh_value v = 1; v < g->n_values; v++) {
    data[v] = NULL;
    if (g->values[v].kind != WH_VALUE_CONST) continue;
    data[v] = malloc(g->values[v].n_bytes);
    assert_non_null(data[v]);
    memset(data[v], fake_tag(g, v), g->values[v].n_bytes);
    g->values[v].data = data[v];
  }
}

static void tag_operand(const wh_operand *o, unsigned char tag) {
  memset(o->data, tag, fake_operand_bytes(o));
}

static void assert_tag(const wh_operand *o, unsigned char tag, const char *name) {
  for (size_t i = 0; i < fake_operand_bytes(o); i++)
    if (((const unsigned char *)o->data)[i] != tag) fail_msg("output '%s' was overwritten", name);
}

/* Liveness, phases and placement together, on random graphs before and after the passes, in both orders
 * within a phase: no operand may have been overwritten before its last reader, by an output or by scratch. */
static void every_value_survives_until_its_last_use(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    wh_graph *g = random_graph(seed, 70);
    const int64_t max[] = {5, 2, 7};
    void *data[512];
    fake_device dev = {.check_tags = true, .scratch_bytes = 70, .pack = seed % 2, .reverse = seed / 2 % 2};
    if (seed % 3 == 0 && wh_passes_run(g, NULL) != WH_OK) { /* some have products that cannot be legalised */
      wh_graph_destroy(g);
      continue;
    }
    assert_true(g->n_values < 512);
    tag_constants(g, data);
    wh_program *p = NULL;
    const wh_program_options o = options_for(&dev, max, NULL);
    assert_ok(wh_program_create(g, &o, &p));
    for (size_t i = 0; i < wh_program_n_instrs(p); i++) { /* states start as zeros, not as tags */
      const wh_instr *in = wh_program_instr(p, i);
      for (unsigned k = 0; k < in->node->n_inputs; k++)
        if (in->node->inputs[k] && g->values[in->node->inputs[k]].kind == WH_VALUE_STATE) {
          assert_ok(wh_program_bind(p, max));
          for (size_t b = 0; b < fake_operand_bytes(&in->in[k]); b++)
            assert_int_equal(((const unsigned char *)in->in[k].data)[b], 0);
          tag_operand(&in->in[k], fake_tag(g, in->node->inputs[k]));
        }
    }
    for (int64_t t = 5; t > 0; t -= 2) {
      assert_ok(wh_program_bind(p, (int64_t[]){t, 2, 7}));
      for (wh_value v = 1; v < g->n_values; v++)
        if (g->values[v].kind == WH_VALUE_INPUT)
          tag_operand(wh_program_input(p, g->values[v].name), fake_tag(g, v));
      assert_ok(wh_program_run(p));
      if (dev.n_bad_tags)
        fail_msg("seed %llu: %zu operands were overwritten", (unsigned long long)seed, dev.n_bad_tags);
      for (size_t i = 0; i < g->n_outputs; i++)
        assert_tag(wh_program_output(p, g->outputs[i].name), fake_tag(g, g->outputs[i].value),
                   g->outputs[i].name);
    }
    wh_program_destroy(p);
    for (wh_value v = 1; v < g->n_values; v++) free(data[v]);
    wh_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_program_computes),
      cmocka_unit_test(operands_are_resolved),
      cmocka_unit_test(barriers_stand_between_phases),
      cmocka_unit_test(symbol_values_are_checked),
      cmocka_unit_test(weights_are_packed_once_per_layout),
      cmocka_unit_test(damaged_weights_are_named),
      cmocka_unit_test(refusals_name_every_node),
      cmocka_unit_test(memory_is_asked_for_before_it_is_taken),
      cmocka_unit_test(a_failed_compilation_is_undone),
      cmocka_unit_test(failing_allocations_leak_nothing),
      cmocka_unit_test(every_value_survives_until_its_last_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
