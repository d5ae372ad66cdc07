/* test_program.c - programs and their runs on the fake backend: slots, layouts, bindings, barriers, packing,
 * sharing, several devices, refusals, faults; and a check of placement as a whole: every value is still what
 * its producer wrote when its users read it. */
#include <math.h>

#include "core/exec/run.h"
#include "core/passes/passes.h"
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

typedef struct fixture {
  fake_device dev[2];
  wh_plan_device devices[2];
  wh_place_rule rules[2];
  wh_program_options options;
} fixture;

static const wh_program_options *options_for(fixture *f, const int64_t *symbols, const wh_allocator *alloc) {
  for (int i = 0; i < 2; i++) {
    f->dev[i].alloc = alloc;
    f->devices[i] = (wh_plan_device){.backend = &fake_backend, .dev = &f->dev[i]};
  }
  f->options.place.devices = f->devices;
  if (!f->options.place.n_devices) f->options.place.n_devices = 1;
  f->options.symbols = symbols;
  f->options.alloc = alloc;
  return &f->options;
}

static const int64_t mlp_max[] = {8};

static wh_program *mlp_program(fixture *f, const wh_allocator *alloc) {
  wh_program *p = NULL;
  assert_ok(wh_program_create(mlp_graph(), options_for(f, mlp_max, alloc), &p));
  return p;
}

static wh_run *new_run(wh_program *p, const int64_t *symbols, const wh_allocator *alloc) {
  wh_run *r = NULL;
  assert_ok(wh_run_create(p, &(wh_run_options){.symbols = symbols, .alloc = alloc}, &r));
  return r;
}

static void assert_nothing_lives(const fixture *f) {
  for (int i = 0; i < 2; i++) {
    assert_int_equal(f->dev[i].n_released, f->dev[i].n_compiled);
    assert_int_equal(f->dev[i].n_live, 0);
  }
}

static size_t step_named(const wh_program *p, const char *name) {
  for (size_t i = 0; i < p->n_steps; i++)
    if (strcmp(p->graph->nodes[p->steps[i].node].name, name) == 0) return i;
  fail_msg("no step '%s'", name);
  return 0;
}

static const wh_arg *input_of(const wh_program *p, const char *name, unsigned i) {
  return &p->args[p->steps[step_named(p, name)].first_arg + i];
}

static const wh_arg *output_of(const wh_program *p, const char *name) {
  const wh_step *s = &p->steps[step_named(p, name)];
  return &p->args[s->first_arg + s->n_inputs];
}

static wh_status try_mlp(wh_run *r, int64_t t) {
  const wh_program *p = wh_run_program(r);
  const size_t x = (size_t)wh_program_find_input(p, "x");
  WH_TRY(wh_run_bind(r, &t));
  float *data = wh_run_input(r, x).data;
  for (int64_t i = 0; i < t * 4; i++) data[i] = (float)(i % 7 - 3);
  return wh_run_execute(r);
}

static void check_mlp(wh_run *r, int64_t t) {
  const wh_program *p = wh_run_program(r);
  const wh_run_port y = wh_run_output(r, (size_t)wh_program_find_output(p, "sum"));
  assert_int_equal(y.dims[0], t);
  assert_int_equal(y.dims[1], 6);
  for (int64_t i = 0; i < t * 6; i++) /* -(z + b) + z is -b only in real numbers; these are exact integers */
    assert_float_equal(((const float *)y.data)[i], -mlp_b[i % 6], 0);
}

static void run_mlp(wh_run *r, int64_t t) {
  assert_ok(try_mlp(r, t));
  check_mlp(r, t);
}

static void a_program_computes(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    fixture f = {.dev = {{.pack = kind & 1, .scratch_bytes = 100, .hidden = kind & 2}}};
    wh_program *p = mlp_program(&f, NULL);
    wh_run *r = new_run(p, mlp_max, NULL);
    wh_program_release(p); /* the run has it */
    for (int64_t t = 1; t <= 8; t++) run_mlp(r, t);
    run_mlp(r, 3);
    assert_int_equal(p->n_steps, 4); /* views are no steps */
    wh_run_destroy(r);
    assert_nothing_lives(&f);
  }
  wh_program_release(NULL);
  wh_run_destroy(NULL);
}

static void operands_name_slots(void **state) {
  (void)state;
  fixture f = {.dev = {{.scratch_bytes = 100}}};
  wh_program *p = mlp_program(&f, NULL);
  const uint32_t x = p->inputs[wh_program_find_input(p, "x")].slots[0];
  assert_int_equal(input_of(p, "h", 0)->slot, x);
  assert_int_equal(p->slots[input_of(p, "h", 1)->slot].kind, WH_SLOT_WEIGHT);
  assert_int_equal(input_of(p, "h", 1)->slot, input_of(p, "z", 1)->slot);
  assert_int_equal(p->steps[step_named(p, "z")].n_inputs, 2);
  assert_int_equal(input_of(p, "y", 0)->slot, output_of(p, "h")->slot); /* through a view */
  assert_int_equal(p->graph->values[input_of(p, "y", 0)->value].shape.rank, 3);
  assert_int_equal(input_of(p, "sum", 0)->slot, output_of(p, "y")->slot);
  assert_int_equal(p->outputs[wh_program_find_output(p, "sum")].slots[0], output_of(p, "sum")->slot);
  assert_int_equal(p->outputs[wh_program_find_output(p, "x")].slots[0], x);
  assert_int_equal(wh_program_find_input(p, "sum"), -1);
  assert_int_equal(wh_program_find_output(p, "h"), -1);
  wh_program_step_info info;
  wh_program_describe(p, step_named(p, "h"), &info);
  assert_int_equal(info.weight_bytes, sizeof mlp_w + sizeof mlp_b);
  assert_string_equal(info.kernel, "fake");
  wh_layout *l = NULL;
  assert_ok(wh_program_get_layout(p, (int64_t[]){5}, &l));
  for (size_t i = 0; i < p->n_steps; i++) {
    assert_int_equal(l->n_bytes[p->steps[i].scratch], 100);
    assert_int_equal(l->offsets[p->steps[i].scratch] % WH_PLAN_ALIGN, 0);
    assert_int_equal(l->n_bytes[p->args[p->steps[i].first_arg + p->steps[i].n_inputs].slot],
                     5 * 6 * sizeof(float));
  }
  assert_int_not_equal(l->offsets[p->steps[0].scratch], l->offsets[p->steps[1].scratch]); /* one phase */
  wh_run_memory m;
  wh_program_predict_memory(p, l, &m);
  assert_int_equal(m.weights.mapped_bytes,
                   sizeof mlp_w); /* once, though two products read it; b is not the file's */
  assert_int_equal(m.state_bytes, 0);
  assert_true(m.arena.arena_bytes >= m.arena.lower_bound_bytes);
  wh_layout_release(l);
  wh_program_release(p);
}

static void barriers_stand_between_phases(void **state) {
  (void)state;
  fixture f = {.dev = {{0}}};
  wh_program *p = mlp_program(&f, NULL);
  wh_layout *l = NULL;
  static const struct {
    const char *name;
    bool barrier;
  } want[] = {{"h", false}, {"z", false}, {"y", true}, {"sum", true}};
  assert_int_equal(p->n_steps, 4);
  for (size_t i = 0; i < 4; i++) {
    wh_program_step_info info;
    wh_program_describe(p, i, &info);
    assert_string_equal(info.node->name, want[i].name);
    assert_int_equal(info.barrier, want[i].barrier);
  }
  wh_text_buffer b;
  wh_text_buffer_init(&b, NULL);
  assert_ok(wh_program_get_layout(p, mlp_max, &l));
  wh_program_print(p, l, &b);
  assert_non_null(strstr(b.data, "h "));
  assert_non_null(strstr(b.data, "mapped:f32[6,4]"));
  assert_non_null(strstr(b.data, "fake"));
  wh_text_buffer_deinit(&b);
  wh_layout_release(l);
  wh_program_release(p);
}

static void symbol_values_are_checked(void **state) {
  (void)state;
  fixture f = {.dev = {{0}}};
  wh_program *p = NULL;
  assert_int_equal(wh_program_create(mlp_graph(), options_for(&f, (int64_t[]){9}, NULL), &p), WH_ERR_LIMIT);
  assert_error_says("dimension 't' of graph 'mlp' cannot be 9: at most 8");
  assert_int_equal(wh_program_create(mlp_graph(), options_for(&f, (int64_t[]){-1}, NULL), &p), WH_ERR_LIMIT);
  assert_null(p);
  p = mlp_program(&f, NULL);
  wh_run *r = new_run(p, (int64_t[]){6}, NULL);
  assert_ok(wh_run_bind(r, (int64_t[]){2}));
  assert_int_equal(wh_run_bind(r, (int64_t[]){7}), WH_ERR_LIMIT);
  assert_error_says("at most 6");
  assert_int_equal(wh_run_bind(r, (int64_t[]){-1}), WH_ERR_LIMIT);
  assert_int_equal(wh_run_input(r, 0).dims[0], 2); /* as before */
  run_mlp(r, 6);
  assert_ok(wh_run_reshape(r, (int64_t[]){8})); /* a larger arena */
  run_mlp(r, 8);
  assert_ok(wh_run_reshape(r, (int64_t[]){1}));
  run_mlp(r, 1);
  assert_int_equal(wh_run_reshape(r, (int64_t[]){9}), WH_ERR_LIMIT);
  run_mlp(r, 1);
  wh_run_destroy(r);
  wh_program_release(p);
  assert_nothing_lives(&f);
}

static void layouts_are_kept(void **state) {
  (void)state;
  fixture f = {.dev = {{0}}};
  wh_program *p = mlp_program(&f, NULL);
  wh_layout *first = NULL, *again = NULL;
  assert_ok(wh_program_get_layout(p, (int64_t[]){3}, &first));
  assert_ok(wh_program_get_layout(p, (int64_t[]){3}, &again));
  assert_ptr_equal(first, again);
  wh_layout_release(again);
  for (int round = 0; round < 3; round++)
    for (int64_t t = 0; t <= 8; t++) { /* fewer than are kept */
      assert_ok(wh_program_get_layout(p, &t, &again));
      if (t == 3) assert_ptr_equal(first, again);
      wh_layout_release(again);
    }
  wh_layout_release(first);
  wh_program_release(p);
}

/* What is live at the same time, within the arena. */
static void assert_places_are_apart(const wh_program *p, const wh_layout *l) {
  for (uint32_t a = 0; a < p->n_slots; a++) {
    const wh_slot *x = &p->slots[a];
    if (x->kind != WH_SLOT_ARENA || !l->n_bytes[a]) continue;
    assert_true(l->n_bytes[a] <= l->room[a]);
    assert_true(l->offsets[a] % WH_PLAN_ALIGN == 0);
    assert_true(l->offsets[a] + l->room[a] <= l->memory[0].arena.arena_bytes);
    for (uint32_t b = 0; b < a; b++) {
      const wh_slot *y = &p->slots[b];
      if (y->kind != WH_SLOT_ARENA || !l->n_bytes[b] || x->first > y->last || y->first > x->last) continue;
      assert_true(l->offsets[a] + l->n_bytes[a] <= l->offsets[b] ||
                  l->offsets[b] + l->n_bytes[b] <= l->offsets[a]);
    }
  }
}

/* Of many shapes, one that is a little larger or smaller takes the places of the last, from the first on; of
 * few ones each has places of its own. */
static void layouts_share_places(void **state) {
  (void)state;
  for (int many = 0; many < 2; many++) {
    fixture f = {.dev = {{0}}, .options = {.many_shapes = many != 0}};
    wh_program *p = mlp_program(&f, NULL);
    wh_run *r = new_run(p, (int64_t[]){1}, NULL);
    const wh_layout *first = wh_run_layout(r);
    for (uint32_t i = 0; i < p->n_slots; i++)
      if (p->slots[i].kind == WH_SLOT_ARENA && first->n_bytes[i] >= 8)
        assert_int_equal(first->room[i] > first->n_bytes[i], many);
    static const int64_t shapes[] = {7, 6, 5, 4, 2, 8, 1, 3, 8};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
      assert_ok(wh_run_reshape(r, &shapes[i]));
      run_mlp(r, shapes[i]);
      const wh_layout *l = wh_run_layout(r);
      assert_places_are_apart(p, l);
    }
    wh_layout *seven = NULL, *five = NULL;
    assert_ok(wh_program_get_layout(p, (int64_t[]){7}, &seven));
    assert_ok(wh_program_get_layout(p, (int64_t[]){5}, &five));
    const bool shared = seven->memory[0].arena.arena_bytes == five->memory[0].arena.arena_bytes;
    assert_int_equal(shared, many);
    wh_layout_release(seven);
    wh_layout_release(five);
    wh_run_destroy(r);
    wh_program_release(p);
    assert_nothing_lives(&f);
  }
}

/* Where all that there is grows, it lies as before, further apart; where one of many does, or much becomes
 * less, places are found anew: theirs have an eighth more than they need. */
static void places_are_stretched(void **state) {
  (void)state;
  static const char text[] =
      "graph \"growing\" {\n"
      "  symbol t 1..100000\n"
      "  symbol u 1..100000\n"
      "  %1 = input \"x\" f32[t]\n"
      "  %2 = input \"y\" f32[u]\n"
      "  %3 = neg(%1) \"a\" : f32[t]\n"
      "  %4 = neg(%3) \"b\" : f32[t]\n"
      "  %5 = neg(%4) \"c\" : f32[t]\n"
      "  %6 = neg(%2) \"d\" : f32[u]\n"
      "  output \"c\" %5\n"
      "  output \"d\" %6\n"
      "}\n";
  enum { ANEW, KEPT, STRETCHED };
  static const struct {
    int64_t t, u;
    int how;
  } steps[] = {{101, 101, ANEW},  {150, 150, STRETCHED}, {151, 149, KEPT},   {700, 690, STRETCHED},
               {700, 2000, ANEW}, {750, 2000, KEPT},     {9000, 9000, ANEW}, {40000, 40000, STRETCHED},
               {100, 100, ANEW},  {3, 3, ANEW}};
  fixture f = {.dev = {{0}}, .options = {.many_shapes = true}};
  options_for(&f, (int64_t[]){101, 101}, NULL);
  f.options.many_shapes = true;
  wh_program *p = NULL;
  wh_layout *before = NULL;
  assert_ok(wh_program_create(graph_from_text(text), &f.options, &p));
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    wh_layout *l = NULL;
    assert_ok(wh_program_get_layout(p, (int64_t[]){steps[i].t, steps[i].u}, &l));
    assert_places_are_apart(p, l);
    for (uint32_t s = 0; s < p->n_slots; s++) {
      if (p->slots[s].kind != WH_SLOT_ARENA || !l->n_bytes[s]) continue;
      if (steps[i].how == ANEW) assert_int_equal(l->room[s], l->n_bytes[s] + l->n_bytes[s] / 8);
      if (steps[i].how == KEPT) assert_int_equal(l->offsets[s], before->offsets[s]);
      if (steps[i].how == KEPT)
        assert_int_equal(l->room[s] / WH_PLAN_ALIGN, (before->room[s] + WH_PLAN_ALIGN - 1) / WH_PLAN_ALIGN);
      if (steps[i].how == STRETCHED) assert_true(l->offsets[s] >= before->offsets[s]);
      if (steps[i].how == STRETCHED) assert_true(l->room[s] > before->room[s]);
    }
    if (before) wh_layout_release(before);
    before = l;
  }
  wh_layout_release(before);
  wh_program_release(p);
  assert_nothing_lives(&f);
}

/* Not where what lives together has not grown: three hundred values that come one after the other have, two
 * that stand beside each other for a while have not. */
static void stretching_is_bounded(void **state) {
  (void)state;
  enum { N = 300 };
  char text[64 * (N + 10)];
  int at = sprintf(text,
                   "graph \"uneven\" {\n  symbol t 1..100000\n  %%1 = input \"x\" f32[t]\n"
                   "  %%2 = input \"y\" f32[40000]\n  %%3 = neg(%%2) \"a\" : f32[40000]\n"
                   "  %%4 = neg(%%3) \"b\" : f32[40000]\n  %%5 = neg(%%1) \"c\" : f32[t]\n");
  for (int i = 6; i < N; i++) at += sprintf(text + at, "  %%%d = neg(%%%d) \"n%d\" : f32[t]\n", i, i - 1, i);
  (void)sprintf(text + at, "  output \"a\" %%4\n  output \"b\" %%%d\n}\n", N - 1);
  fixture f = {.dev = {{0}}, .options = {.many_shapes = true}};
  options_for(&f, (int64_t[]){8000}, NULL);
  f.options.many_shapes = true;
  wh_program *p = NULL;
  assert_ok(wh_program_create(graph_from_text(text), &f.options, &p));
  for (int64_t t = 8000; t <= 40000; t += 32000) {
    wh_layout *l = NULL;
    assert_ok(wh_program_get_layout(p, (int64_t[]){t}, &l));
    assert_places_are_apart(p, l);
    uint64_t most = 0;
    for (uint32_t phase = 0; phase < 2 * N; phase++) {
      uint64_t live = 0;
      for (uint32_t s = 0; s < p->n_slots; s++)
        if (p->slots[s].kind == WH_SLOT_ARENA && p->slots[s].first <= phase && phase <= p->slots[s].last)
          live += l->n_bytes[s];
      if (live > most) most = live;
    }
    assert_true(l->memory[0].arena.arena_bytes <= most + most / 2 + 1024);
    wh_layout_release(l);
  }
  wh_program_release(p);
  assert_nothing_lives(&f);
}

static size_t n_claims;
static wh_status claim_none(void *device, const wh_graph *g, wh_node n, const int64_t *dims, wh_claim *out) {
  n_claims++;
  WH_TRY(fake_backend.claim(device, g, n, dims, out));
  out->no_scratch = out->scratch_bytes == 0;
  return WH_OK;
}

/* What never needs scratch is asked for it once. */
static void nodes_without_scratch_have_no_slot_for_it(void **state) {
  (void)state;
  wh_backend backend = fake_backend;
  backend.claim = claim_none;
  fixture f = {.dev = {{0}}};
  wh_program *p = NULL;
  options_for(&f, mlp_max, NULL);
  f.devices[0].backend = &backend;
  n_claims = 0;
  assert_ok(wh_program_create(mlp_graph(), &f.options, &p));
  size_t n_scratch = 0;
  for (size_t s = 0; s < p->n_steps; s++) n_scratch += p->steps[s].scratch != WH_NO_SLOT;
  assert_true(n_scratch < p->n_steps);
  assert_true(n_claims >= p->n_steps);
  n_claims = 0;
  wh_run *r = new_run(p, mlp_max, NULL);
  run_mlp(r, 4);
  assert_int_equal(n_claims, n_scratch);
  wh_run_destroy(r);
  wh_program_release(p);
  assert_nothing_lives(&f);
}

/* What a node makes and a concatenation joins lies within the joined value where a slot may begin, once; what
 * a run is given, and parts of rows, have places of their own. So has what may begin elsewhere in a run of
 * smaller dims, unless each vector of dims has a layout. */
static void parts_lie_within_their_whole(void **state) {
  (void)state;
  static const char text[] =
      "graph \"parts\" {\n"
      "  symbol t 1..8\n"
      "  %1 = input \"x\" f32[1, 4, t]\n"
      "  %2 = neg(%1) \"a\" : f32[1, 4, t]\n"
      "  %3 = neg(%2) \"b\" : f32[1, 4, t]\n"
      "  %4 = concat(%2, %1, %3, %2) {axis = 1} \"all\" : f32[1, 16, t]\n"
      "  %5 = reshape(%3) {shape = [2, 2, t]} \"view\" : f32[2, 2, t]\n"
      "  %6 = neg(%5) \"c\" : f32[2, 2, t]\n"
      "  %7 = concat(%6, %6) {axis = 1} \"rows\" : f32[2, 4, t]\n"
      "  output \"all\" %4\n"
      "  output \"rows\" %7\n"
      "}\n";
  for (int many = 0; many < 2; many++) {
    wh_backend backend = fake_backend;
    backend.traits |= WH_BACKEND_PARTS;
    fixture f = {.dev = {{.check_tags = true}}};
    options_for(&f, mlp_max, NULL);
    f.devices[0].backend = &backend;
    f.options.many_shapes = many != 0;
    wh_program *p = NULL;
    assert_ok(wh_program_create(graph_from_text(text), &f.options, &p));
    uint32_t slot_of[8] = {0};
    for (size_t i = 0; i < p->n_args; i++) slot_of[p->args[i].value] = p->args[i].slot;
    for (int64_t t = 1; t <= 8; t++) {
      wh_layout *l = NULL;
      assert_ok(wh_program_get_layout(p, &t, &l));
      const uint64_t *at = l->offsets, whole = at[slot_of[4]], bytes = (uint64_t)t * 16;
      assert_true(at[slot_of[2]] == whole);
      assert_true((at[slot_of[3]] == whole + 2 * bytes) == (many && 2 * bytes % WH_PLAN_ALIGN == 0));
      for (int v = 1; v <= 7; v++) {
        const bool within = at[slot_of[v]] < whole + 4 * bytes && at[slot_of[v]] + bytes > whole;
        if (v == 1 || v >= 6 || (v == 3 && !many)) assert_false(within);
      }
      wh_layout_release(l);
    }
    wh_program_release(p);
    assert_nothing_lives(&f);
  }
}

static size_t n_done;
static void weight_done(void *ctx, const void *origin, uint64_t n_bytes) {
  assert_true(n_bytes > 0);
  assert_ptr_equal(ctx, &n_done);
  assert_ptr_equal(origin, &mlp_origin);
  n_done++;
}

static void weights_are_packed_once_per_layout(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    const bool two = kind & 1;
    fixture f = {.dev = {{.pack = true, .other_layout = two ? "z" : NULL, .hidden = kind & 2}}};
    wh_graph *g = mlp_graph();
    wh_program *p = NULL;
    n_done = 0;
    g->values[3].origin = &mlp_origin; /* a vector of the file: copied */
    f.options.weight_done = weight_done;
    f.options.weight_done_ctx = &n_done;
    assert_ok(wh_program_create(g, options_for(&f, mlp_max, NULL), &p));
    assert_int_equal(f.dev[0].n_packed, 0);
    wh_run *r = new_run(p, mlp_max, NULL);
    assert_int_equal(f.dev[0].n_packed, 1 + two);
    assert_int_equal(n_done, 2 * (1 + two) + 1); /* after a batch, and after all; the vector */
    assert_string_equal(f.dev[0].packed[0], "w");
    assert_true((input_of(p, "h", 1)->slot == input_of(p, "z", 1)->slot) == !two);
    assert_int_equal(input_of(p, "h", 1)->layout, 7);
    assert_int_equal(input_of(p, "z", 1)->layout, two ? 8 : 7);
    run_mlp(r, 4);
    wh_weight_memory m;
    wh_weight_set_get_memory(p->devices[0].weights, &m);
    assert_true(m.packed_bytes >= (size_t)(1 + two) * sizeof mlp_w);
    assert_int_equal(m.mapped_bytes, 0);
    wh_run_destroy(r);
    wh_program_release(p);
    assert_nothing_lives(&f);
  }
}

/* Two runs of a program, and two programs of a model, have one set of weights. */
static void weights_and_programs_are_shared(void **state) {
  (void)state;
  fixture f = {.dev = {{.pack = true}}};
  wh_program *p = mlp_program(&f, NULL), *q = NULL, *other = NULL;
  wh_run *a = new_run(p, mlp_max, NULL);
  const size_t live = f.dev[0].n_live;
  wh_run *b = new_run(p, mlp_max, NULL);
  assert_int_equal(f.dev[0].n_packed, 1);
  assert_int_equal(f.dev[0].n_live - live, 2); /* a queue and an arena */
  assert_ok(try_mlp(a, 5));
  assert_ok(try_mlp(b, 2));
  check_mlp(a, 5);
  check_mlp(b, 2);
  wh_weight_set *have[] = {p->devices[0].weights};
  f.options.weights = have;
  assert_ok(wh_program_create(mlp_graph(), options_for(&f, mlp_max, NULL), &q));
  assert_ptr_equal(q->devices[0].weights, have[0]);
  wh_graph *changed = mlp_graph();
  changed->values[3].data = mlp_w; /* another bias */
  assert_ok(wh_program_create(changed, options_for(&f, mlp_max, NULL), &other));
  assert_ptr_not_equal(other->devices[0].weights, have[0]);
  wh_program_release(p);
  wh_run_destroy(a);
  wh_run_destroy(b);
  wh_run *c = new_run(q, mlp_max, NULL);
  run_mlp(c, 7);
  assert_int_equal(f.dev[0].n_packed, 1);
  wh_run_destroy(c);
  wh_program_release(q);
  wh_program_release(other);
  assert_nothing_lives(&f);
}

enum { LENT_COLS = 1 << 16 };

static void run_lent(wh_run *r, const float *x, int64_t t) {
  assert_ok(wh_run_bind(r, &t));
  wh_run_give_input(r, 0, x);
  assert_ok(wh_run_execute(r));
  const float *y = wh_run_output(r, 0).data;
  for (int64_t i = 0; i < t * LENT_COLS; i++) assert_float_equal(y[i], -x[i], 0);
}

/* A large input is read where the caller has it; what comes after does not notice. */
static void inputs_are_lent(void **state) {
  (void)state;
  static const char text[] =
      "graph \"lent\" {\n"
      "  symbol t 1..2\n"
      "  %1 = input \"x\" f32[t, 65536]\n"
      "  %2 = neg(%1) \"y\" : f32[t, 65536]\n"
      "  output \"y\" %2\n"
      "}\n";
  static const int64_t most[] = {2};
  static _Alignas(64) float x[2][2 * LENT_COLS + 1];
  for (int kind = 0; kind < 2; kind++) {
    fixture f = {.dev = {{.hidden = kind & 1}}};
    wh_program *p = NULL;
    assert_ok(wh_program_create(graph_from_text(text), options_for(&f, most, NULL), &p));
    wh_run *r = new_run(p, most, NULL);
    const size_t live = f.dev[0].n_live;
    for (size_t i = 0; i < 2 * LENT_COLS + 1; i++) {
      x[0][i] = (float)(i % 11);
      x[1][i] = (float)(i % 7) - 3;
    }
    run_lent(r, x[0], 2);
    assert_int_equal(f.dev[0].n_live - live, !f.dev[0].hidden);
    x[0][5] = 77;
    run_lent(r, x[0], 2);
    run_lent(r, x[1], 1); /* fewer rows than there is room for */
    assert_int_equal(f.dev[0].n_live, live);
    run_lent(r, x[0], 2);
    run_lent(r, x[1] + 1, 2); /* not aligned */
    assert_int_equal(f.dev[0].n_live, live);
    run_lent(r, x[0], 2);
    assert_ok(wh_run_reshape(r, most));
    assert_int_equal(f.dev[0].n_live, live);
    run_lent(r, x[0], 2);
    wh_run_destroy(r);
    wh_program_release(p);
    assert_nothing_lives(&f);
  }
}

/* Runs that take turns have one arena, which grows for the larger of them. */
static void an_arena_is_taken_over(void **state) {
  (void)state;
  for (int kind = 0; kind < 2; kind++) {
    fixture f = {.dev = {{.pack = true, .hidden = kind & 1}}};
    static const int64_t small[] = {2};
    wh_program *p = mlp_program(&f, NULL);
    wh_run *a = new_run(p, small, NULL), *b = NULL;
    const size_t live = f.dev[0].n_live;
    assert_ok(wh_run_create(p, &(wh_run_options){.symbols = mlp_max, .arena_of = a}, &b));
    assert_int_equal(f.dev[0].n_live - live, 1); /* a queue */
    run_mlp(b, 8);
    for (int i = 0; i < 3; i++) {
      assert_ok(wh_run_take_over(a, b));
      run_mlp(a, 2);
      assert_ok(wh_run_take_over(b, a));
      run_mlp(b, 5);
      assert_int_equal(f.dev[0].n_live - live, 1);
    }
    wh_run_destroy(b);
    assert_ok(wh_run_take_over(a, NULL));
    run_mlp(a, 1);
    wh_run *c = new_run(p, mlp_max, NULL); /* which finds no memory behind what it takes over */
    f.dev[0].n_calls = 0;
    f.dev[0].fail_at = 1;
    assert_int_not_equal(wh_run_take_over(c, a), WH_OK);
    f.dev[0].fail_at = 0;
    assert_ok(wh_run_take_over(a, NULL));
    assert_ok(wh_run_take_over(c, NULL));
    run_mlp(a, 2);
    run_mlp(c, 8);
    wh_run_destroy(c);
    wh_run_destroy(a);
    wh_program_release(p);
    assert_nothing_lives(&f);
  }
}

/* A program of other constants uses the weights of the model where another one has them, and keeps them. */
static void weights_are_lent(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    fixture f = {.dev = {{.pack = kind & 1, .hidden = kind & 2}}};
    wh_program *p = mlp_program(&f, NULL), *early = NULL, *q = NULL;
    wh_weight_set *lenders[] = {p->devices[0].weights};
    f.options.lenders = lenders;
    f.options.n_lenders = 1;
    assert_ok(wh_program_create(mlp_graph(), options_for(&f, mlp_max, NULL), &early));
    wh_run *a = new_run(p, mlp_max, NULL); /* `early` was made before there was anything to lend */
    wh_run *b = new_run(early, mlp_max, NULL);
    assert_int_equal(f.dev[0].n_packed, kind & 1 ? 2 : 0);
    assert_int_equal(wh_weight_set_get_packing(early->devices[0].weights).n_shared, 0);
    assert_ok(wh_program_create(mlp_graph(), options_for(&f, mlp_max, NULL), &q));
    wh_run_destroy(a);
    wh_run_destroy(b);
    wh_program_release(p);
    wh_program_release(early);
    wh_run *c = new_run(q, mlp_max, NULL);
    run_mlp(c, 7);
    assert_int_equal(f.dev[0].n_packed, kind & 1 ? 2 : 0);
    assert_int_equal(wh_weight_set_get_packing(q->devices[0].weights).n_shared, 1);
    assert_int_equal(wh_weight_set_get_packing(q->devices[0].weights).n_own, 0);
    wh_weight_memory m;
    wh_weight_set_get_memory(q->devices[0].weights, &m);
    assert_int_equal(m.packed_bytes + m.mapped_bytes, 0);
    wh_run_destroy(c);
    wh_program_release(q);
    assert_nothing_lives(&f);
  }
}

/* What one device makes and another reads is copied, whichever of them the host can address. */
static void a_graph_is_split(void **state) {
  (void)state;
  for (int kind = 0; kind < 8; kind++) {
    fixture f = {.dev = {{.pack = kind & 1, .hidden = kind & 2}, {.pack = true, .hidden = kind & 4}}};
    f.options.place = (wh_place_options){.n_devices = 2, .rules = f.rules, .n_rules = 2};
    f.rules[0] = (wh_place_rule){"h", 1};
    f.rules[1] = (wh_place_rule){"sum", 1};
    wh_program *p = mlp_program(&f, NULL);
    assert_int_equal(p->n_blocks, 4); /* z, h: both at once; y; sum */
    size_t n_copies = 0;
    for (size_t k = 0; k < p->n_blocks; k++) n_copies += p->blocks[k].n_copies;
    assert_int_equal(n_copies, 3); /* h to y; y and z to sum */
    wh_run *r = new_run(p, mlp_max, NULL);
    for (int64_t t = 8; t > 0; t -= 3) run_mlp(r, t);
    assert_true(f.dev[0].n_run == 6 && f.dev[1].n_run == 6);
    wh_text_buffer b;
    wh_text_buffer_init(&b, NULL);
    wh_program_print(p, wh_run_layout(r), &b);
    assert_non_null(strstr(b.data, "copy h from fake"));
    wh_text_buffer_deinit(&b);
    wh_run_destroy(r);
    wh_program_release(p);
    assert_nothing_lives(&f);
  }
}

/* A copy is there until the last step of its block that reads it, however late that is. */
static void copies_stay_until_they_are_read(void **state) {
  (void)state;
  fixture f = {.dev = {{0}, {.hidden = true}}};
  f.options.place = (wh_place_options){.n_devices = 2, .rules = f.rules, .n_rules = 1};
  f.rules[0] = (wh_place_rule){"h", 1};
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol t 1..8 %1 = input \"x\" f32[t, 4]\n"
      "%2 = neg(%1) \"h1\" : f32[t, 4] %3 = add(%1, %1) \"h2\" : f32[t, 4] %4 = neg(%2) \"a\" : f32[t, 4]\n"
      "%5 = neg(%4) \"b\" : f32[t, 4] %6 = neg(%5) \"c\" : f32[t, 4] %7 = neg(%6) \"d\" : f32[t, 4]\n"
      "%8 = add(%7, %2) \"e\" : f32[t, 4] %9 = add(%8, %3) \"sum\" : f32[t, 4] output \"sum\" %9 }");
  wh_program *p = NULL;
  assert_ok(wh_program_create(g, options_for(&f, mlp_max, NULL), &p));
  wh_run *r = new_run(p, mlp_max, NULL);
  float *x = wh_run_input(r, 0).data;
  for (int i = 0; i < 32; i++) x[i] = (float)i;
  assert_ok(wh_run_execute(r));
  const float *sum = wh_run_output(r, 0).data;
  for (int i = 0; i < 32; i++) assert_true(sum[i] == 0); /* -x - x + 2 x */
  wh_run_destroy(r);
  wh_program_release(p);
  assert_nothing_lives(&f);
}

static void a_refused_node_may_fall_back(void **state) {
  (void)state;
  fixture f = {.dev = {{.refuse = "y"}, {0}}};
  f.options.place = (wh_place_options){.n_devices = 2, .fallback = true};
  wh_program *p = mlp_program(&f, NULL);
  wh_run *r = new_run(p, mlp_max, NULL);
  run_mlp(r, 4);
  assert_int_equal(f.dev[1].n_run, 1);
  assert_string_equal(f.dev[1].ran[0], "y");
  wh_run_destroy(r);
  wh_program_release(p);
  wh_program *none = NULL;
  f.options.place = (wh_place_options){.n_devices = 1, .rules = f.rules, .n_rules = 1};
  f.rules[0] = (wh_place_rule){"h", 1};
  assert_int_equal(wh_program_create(mlp_graph(), options_for(&f, mlp_max, NULL), &none),
                   WH_ERR_INVALID_ARGUMENT);
  assert_error_says("names device 1 of 1");
}

static void damaged_weights_are_named(void **state) {
  (void)state;
  fixture f = {.dev = {{.pack = true, .not_finite = "w"}}};
  wh_program *p = mlp_program(&f, NULL);
  wh_run *r = NULL;
  assert_int_equal(wh_run_create(p, &(wh_run_options){.symbols = mlp_max}, &r), WH_ERR_CORRUPT);
  assert_error_says("tensor 'w' holds a NaN or infinite value");
  assert_null(r);
  wh_program_release(p);
  p = NULL;
  static const float infinite[6] = {0, 0, 0, 0, 0, INFINITY}, nan[6] = {NAN};
  for (int i = 0; i < 3; i++) { /* a vector, which is not packed */
    wh_graph *g = mlp_graph();
    g->values[3].data = i == 0 ? nan : i == 1 ? infinite : NULL;
    assert_int_equal(wh_program_create(g, options_for(&f, mlp_max, NULL), &p),
                     i == 2 ? WH_ERR_INVALID_ARGUMENT : WH_ERR_CORRUPT);
    assert_error_says(i == 2 ? "constant 'b' has no data" : "tensor 'b' holds a NaN or infinite value");
  }
  assert_null(p);
  assert_nothing_lives(&f);
}

static void refusals_name_every_node(void **state) {
  (void)state;
  fixture f = {.dev = {{.refuse = "s"}}};
  wh_graph *g = mlp_graph();
  wh_program *p = NULL;
  wh_value v;
  assert_ok(wh_graph_add_node(g, WH_OP_NEG, "useless", (wh_value[]){9}, 1, NULL, 0, &v));
  assert_ok(
      wh_graph_add_node(g, WH_OP_TANH, "tanh", (wh_value[]){9}, 1, NULL, 0, &v)); /* the device has none */
  assert_int_equal(wh_program_create(g, options_for(&f, mlp_max, NULL), &p), WH_ERR_UNSUPPORTED);
  assert_error_says("device 'fake' cannot run 3 of 8 nodes");
  assert_error_says("sum (add): this device does not like 'sum'");
  assert_error_says("useless (neg): this device does not like 'useless'");
  assert_error_says("tanh (tanh): this device does not like 'tanh'");
  assert_null(p);
  assert_int_equal(f.dev[0].n_compiled, 0);
  g = mlp_graph();
  g->nodes[2].dead = true;
  assert_int_equal(wh_program_create(g, options_for(&f, mlp_max, NULL), &p), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("graph 'mlp' is not compact: node 'y' is dead");
}

/* What does not fit is refused before anything large is taken; the message has the sizes. */
static void memory_is_asked_for_before_it_is_taken(void **state) {
  (void)state;
  fixture f = {.dev = {{.pack = true}}};
  wh_program *p = mlp_program(&f, NULL);
  wh_layout *l = NULL;
  wh_run_memory m;
  wh_memory_budget budget = {UINT64_MAX, "a test"};
  assert_ok(wh_program_get_layout(p, mlp_max, &l));
  assert_ok(wh_program_check_memory(p, l, &budget));
  wh_program_predict_memory(p, l, &m);
  static const struct {
    int64_t above_packed; /* budget; negative: below the packed weights alone */
    const char *words;
  } cases[] = {{1, "a smaller context needs less"}, {-1, "the weights alone do not fit"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    budget.available = (uint64_t)((int64_t)m.weights.packed_bytes + cases[i].above_packed);
    assert_int_equal(wh_program_check_memory(p, l, &budget), WH_ERR_OUT_OF_MEMORY);
    assert_error_says("of memory are needed");
    assert_error_says("are left by a test");
    assert_error_says(cases[i].words);
  }
  const uint64_t rest =
      m.arena_bytes + m.state_bytes + (UINT64_C(8) << 20); /* with what running takes besides */
  budget.available = rest + m.weights.packed_bytes;
  assert_ok(wh_program_check_memory(p, l, &budget));
  budget.available--;
  assert_int_equal(wh_program_check_memory(p, l, &budget), WH_ERR_OUT_OF_MEMORY);
  assert_int_equal(f.dev[0].n_live, 0); /* nothing was taken or packed */
  assert_int_equal(f.dev[0].n_packed, 0);
  assert_ok(wh_program_load(p, &(wh_progress_sink){0})); /* then a further run needs its own memory only */
  budget.available = rest;
  assert_ok(wh_program_check_memory(p, l, &budget));
  wh_layout_release(l);
  wh_program_release(p);
}

static void a_failed_compilation_is_undone(void **state) {
  (void)state;
  fixture f = {.dev = {{.fail_compile = "y"}}};
  failing_allocator a;
  wh_program *p = NULL;
  const wh_allocator *alloc = failing_allocator_init(&a, 0);
  assert_int_equal(wh_program_create(mlp_graph(), options_for(&f, mlp_max, alloc), &p), WH_ERR_DEVICE);
  assert_error_says("node 'y' does not compile");
  assert_nothing_lives(&f);
  assert_int_equal(a.n_live, 0);
  assert_null(p);
}

static void failing_allocations_leak_nothing(void **state) {
  (void)state;
  for (int hidden = 0; hidden < 2; hidden++) {
    wh_status st = WH_ERR_OUT_OF_MEMORY;
    size_t fail_at = 0;
    while (st != WH_OK) {
      fixture f = {.dev = {{.pack = true, .scratch_bytes = 64, .hidden = hidden}}};
      failing_allocator a;
      wh_program *p = NULL;
      wh_run *r = NULL;
      const wh_allocator *alloc = failing_allocator_init(&a, ++fail_at);
      st = wh_program_create(mlp_graph(), options_for(&f, mlp_max, alloc), &p);
      if (st == WH_OK) st = wh_run_create(p, &(wh_run_options){.symbols = mlp_max, .alloc = alloc}, &r);
      if (st == WH_OK) {
        size_t n = a.n_requests;
        run_mlp(r, 8);
        run_mlp(r, 1);
        assert_int_equal(a.n_requests, n); /* running allocates nothing */
      } else {
        assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
        assert_null(r);
      }
      wh_run_destroy(r);
      wh_program_release(p);
      assert_int_equal(a.n_live, 0);
      assert_nothing_lives(&f);
    }
    assert_true(fail_at > 20);
  }
}

/* Each buffer, copy and submission fails once. */
/* Of two larger arenas the second is not to be had: the run goes on with those that it has, on both devices.
 */
static void growth_that_fails_takes_nothing(void **state) {
  (void)state;
  fixture f = {.dev = {{.pack = true}, {.pack = true}}};
  f.options.place = (wh_place_options){.n_devices = 2, .rules = f.rules, .n_rules = 1};
  f.rules[0] = (wh_place_rule){"y", 1};
  wh_program *p = mlp_program(&f, NULL);
  wh_run *r = new_run(p, (int64_t[]){2}, NULL);
  run_mlp(r, 2);
  const int n_before = f.dev[0].n_calls;
  f.dev[1].fail_at = f.dev[1].n_calls + 1;
  assert_int_equal(wh_run_reshape(r, (int64_t[]){8}), WH_ERR_OUT_OF_MEMORY);
  assert_true(f.dev[0].n_calls > n_before); /* the first one was taken */
  run_mlp(r, 2);
  assert_ok(wh_run_reshape(r, (int64_t[]){8}));
  run_mlp(r, 8);
  wh_run_destroy(r);
  wh_program_release(p);
  assert_nothing_lives(&f);
}

static void failing_devices_leak_nothing(void **state) {
  (void)state;
  int fail_at = 0;
  for (bool more = true; more;) {
    fixture f = {.dev = {{.pack = true, .hidden = true, .fail_at = ++fail_at}, {.hidden = true}}};
    f.options.place = (wh_place_options){.n_devices = 2, .rules = f.rules, .n_rules = 1};
    f.rules[0] = (wh_place_rule){"y", 1};
    wh_run *r = NULL;
    wh_program *p = mlp_program(&f, NULL);
    wh_status st = wh_run_create(p, &(wh_run_options){.symbols = mlp_max}, &r);
    if (st == WH_OK) st = try_mlp(r, 8);
    if (st == WH_OK)
      check_mlp(r, 8);
    else
      assert_true(st == WH_ERR_OUT_OF_MEMORY || st == WH_ERR_DEVICE);
    wh_run_destroy(r);
    wh_program_release(p);
    assert_nothing_lives(&f);
    more = f.dev[0].n_calls >= fail_at; /* without pinned memory, weights go up from other memory */
  }
  assert_true(fail_at > 10);
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

/* Liveness, phases and placement together, on random graphs before and after the passes, in both orders
 * within a phase, on one device and split over two: no operand may have been overwritten before its last
 * reader, by an output or by scratch. */
static void every_value_survives_until_its_last_use(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    wh_graph *g = random_graph(seed, 70);
    const int64_t max[] = {5, 2, 7};
    void *data[512];
    const fake_device device = {.check_tags = true,
                                .scratch_bytes = 70,
                                .pack = seed % 2,
                                .reverse = seed / 2 % 2,
                                .hidden = seed / 8 % 2};
    fixture f = {.dev = {device, device}};
    f.options.place.n_devices = 1 + seed / 4 % 2;
    if (seed % 3 == 0 && wh_passes_run(g, NULL) != WH_OK) { /* some have products that cannot be legalised */
      wh_graph_destroy(g);
      continue;
    }
    assert_true(g->n_values < 512);
    const size_t n_values = g->n_values;
    tag_constants(g, data);
    /* every other node goes to the second device, as far as data lets it */
    wh_place_rule rules[128];
    size_t n_rules = 0;
    for (size_t n = 0; n < g->n_nodes && f.options.place.n_devices == 2 && n_rules < 128; n += 2)
      rules[n_rules++] = (wh_place_rule){g->nodes[n].name, 1};
    f.options.place.rules = rules;
    f.options.place.n_rules = n_rules;
    wh_program *p = NULL;
    wh_status st = wh_program_create(g, options_for(&f, max, NULL), &p);
    if (st == WH_ERR_UNSUPPORTED && n_rules) continue; /* a state between devices */
    assert_ok(st);
    wh_run *r = new_run(p, max, NULL);
    for (int64_t t = 5; t > 0; t -= 2) {
      assert_ok(wh_run_bind(r, (int64_t[]){t, 2, 7}));
      for (size_t i = 0; i < p->n_inputs; i++) {
        const wh_run_port port = wh_run_input(r, i);
        size_t n = 0;
        assert_true(wh_shape_bytes(g, &g->values[p->inputs[i].value].shape, (int64_t[]){t, 2, 7}, &n));
        memset(port.data, fake_tag(g, p->inputs[i].value), n);
      }
      assert_ok(wh_run_execute(r));
      for (size_t i = 0; i < p->n_outputs; i++) {
        const wh_run_port port = wh_run_output(r, i);
        size_t n = 0;
        if (g->values[p->outputs[i].value].shape.dtype == WH_DTYPE_Q8A) continue;
        if (!wh_shape_bytes(g, &g->values[p->outputs[i].value].shape, (int64_t[]){t, 2, 7}, &n)) continue;
        for (size_t k = 0; k < n; k++)
          if (((const unsigned char *)port.data)[k] != fake_tag(g, p->outputs[i].value))
            fail_msg("seed %llu: output '%s' was overwritten", (unsigned long long)seed, p->outputs[i].name);
      }
    }
    const size_t bad = f.dev[0].n_bad_tags + f.dev[1].n_bad_tags;
    if (bad) fail_msg("seed %llu: %zu operands were overwritten", (unsigned long long)seed, bad);
    wh_run_destroy(r);
    wh_program_release(p);
    for (wh_value v = 1; v < n_values; v++) free(data[v]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_program_computes),
      cmocka_unit_test(operands_name_slots),
      cmocka_unit_test(barriers_stand_between_phases),
      cmocka_unit_test(symbol_values_are_checked),
      cmocka_unit_test(layouts_are_kept),
      cmocka_unit_test(layouts_share_places),
      cmocka_unit_test(places_are_stretched),
      cmocka_unit_test(stretching_is_bounded),
      cmocka_unit_test(nodes_without_scratch_have_no_slot_for_it),
      cmocka_unit_test(parts_lie_within_their_whole),
      cmocka_unit_test(weights_are_packed_once_per_layout),
      cmocka_unit_test(weights_and_programs_are_shared),
      cmocka_unit_test(weights_are_lent),
      cmocka_unit_test(inputs_are_lent),
      cmocka_unit_test(an_arena_is_taken_over),
      cmocka_unit_test(a_graph_is_split),
      cmocka_unit_test(copies_stay_until_they_are_read),
      cmocka_unit_test(a_refused_node_may_fall_back),
      cmocka_unit_test(damaged_weights_are_named),
      cmocka_unit_test(refusals_name_every_node),
      cmocka_unit_test(memory_is_asked_for_before_it_is_taken),
      cmocka_unit_test(a_failed_compilation_is_undone),
      cmocka_unit_test(failing_allocations_leak_nothing),
      cmocka_unit_test(growth_that_fails_takes_nothing),
      cmocka_unit_test(failing_devices_leak_nothing),
      cmocka_unit_test(every_value_survives_until_its_last_use),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
