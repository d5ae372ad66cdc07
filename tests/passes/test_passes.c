/* test_passes.c - what merges, moves, folds and goes; then the pipeline. */
#include "tests/passes/passes_text.h"

static void equal_nodes_merge(void **state) {
  (void)state;
  assert_rewrites(wh_pass_cse,
                  "%9 = neg(%1) \"a\"" F "%10 = neg(%1) \"b\"" F "%11 = exp(%9) \"c\"" F
                  "%12 = exp(%10) \"d\"" F "output \"c\" %11\noutput \"d\" %12\n",
                  "%9 = neg(%1) \"a\"" F "%10 = exp(%9) \"c\"" F "output \"c\" %10\noutput \"d\" %10\n");
  assert_rewrites(wh_pass_cse,
                  "%9 = scale(%1) {alpha = 0x1p+0} \"a\"" F "%10 = scale(%1) {alpha = 0x1p+0} \"b\"" F
                  "%11 = add(%9, %10) \"s\"" F "output \"o\" %11\n",
                  "%9 = scale(%1) {alpha = 0x1p+0} \"a\"" F "%10 = add(%9, %9) \"s\"" F "output \"o\" %10\n");
  assert_rewrites(wh_pass_cse,
                  "%9 = reshape(%1) {shape = [t, 4, 16]} \"a\" : f32[t, 4, 16]\n"
                  "%10 = reshape(%1) {shape = [t, 4, 16]} \"b\" : f32[t, 4, 16]\n"
                  "%11 = mul(%9, %10) \"m\" : f32[t, 4, 16]\noutput \"o\" %11\n",
                  "%9 = reshape(%1) {shape = [t, 4, 16]} \"a\" : f32[t, 4, 16]\n"
                  "%10 = mul(%9, %9) \"m\" : f32[t, 4, 16]\noutput \"o\" %10\n");
}

static void different_nodes_do_not_merge(void **state) {
  (void)state;
  assert_keeps(wh_pass_cse, "%9 = neg(%1) \"a\"" F "%10 = neg(%2) \"b\"" F "%11 = exp(%1) \"c\"" F
                            "output \"a\" %9\noutput \"b\" %10\noutput \"c\" %11\n");
  assert_keeps(wh_pass_cse,
               "%9 = scale(%1) {alpha = 0x0p+0} \"a\"" F "%10 = scale(%1) {alpha = -0x0p+0} \"b\"" F
               "output \"a\" %9\noutput \"b\" %10\n");
  assert_keeps(wh_pass_cse,
               "%9 = sub(%1, %2) \"a\"" F "%10 = sub(%2, %1) \"b\"" F "output \"a\" %9\noutput \"b\" %10\n");
  assert_keeps(wh_pass_cse, "%9 = linear(%1, %3) \"a\"" F "%10 = linear(%1, %3, %5) \"b\"" F
                            "output \"a\" %9\noutput \"b\" %10\n");
  assert_keeps(wh_pass_cse,
               "%9 = reshape(%1) {shape = [t, 4, 16]} \"a\" : f32[t, 4, 16]\n"
               "%10 = reshape(%1) {shape = [t, 64, 1]} \"b\" : f32[t, 64, 1]\n"
               "output \"a\" %9\noutput \"b\" %10\n");
}

#define CUSTOM(name, ints, floats, tensor) \
  "{name = \"" name "\", ints = [" ints "], floats = [" floats "], tensor = " tensor "}"

/* Every kind of attribute tells nodes apart, and so do the outputs that a node declares. */
static void attributes_and_outputs_tell_nodes_apart(void **state) {
  (void)state;
#define BASE "%9 = custom(%1) " CUSTOM("n", "1, 2", "0x0p+0", "u8[2] \"0001\"") " \"a\" : f32[t, 64]\n"
#define OTHER(attrs, shape) \
  BASE "%10 = custom(%1) " attrs " \"b\" : " shape "\noutput \"a\" %9\noutput \"b\" %10\n"
  static const char *const different[] = {
      OTHER(CUSTOM("m", "1, 2", "0x0p+0", "u8[2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 3", "0x0p+0", "u8[2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1", "0x0p+0", "u8[2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 2", "-0x0p+0", "u8[2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 2", "", "u8[2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 2", "0x0p+0", "u8[2] \"0002\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 2", "0x0p+0", "i8[2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 2", "0x0p+0", "u8[1, 2] \"0001\""), "f32[t, 64]"),
      OTHER(CUSTOM("n", "1, 2", "0x0p+0", "u8[2] \"0001\""), "f32[64, t]"),
      OTHER(CUSTOM("n", "1, 2", "0x0p+0", "u8[2] \"0001\""), "f16[t, 64]"),
  };
  for (size_t i = 0; i < sizeof different / sizeof different[0]; i++) assert_keeps(wh_pass_cse, different[i]);
  assert_rewrites(wh_pass_cse, OTHER(CUSTOM("n", "1, 2", "0x0p+0", "u8[2] \"0001\""), "f32[t, 64]"),
                  BASE "output \"a\" %9\noutput \"b\" %9\n");
#undef OTHER
#undef BASE
}

/* Merged output by output; kept while any of them is needed. */
static void nodes_with_several_outputs(void **state) {
  (void)state;
#define PAIR(values, name) \
  values " = custom(%1) " CUSTOM("topk", "5", "", "u8[0] \"\"") " \"" name "\" : f32[t, 5], i64[t, 5]\n"
  assert_rewrites(wh_pass_cse,
                  PAIR("%9, %10", "a")
                      PAIR("%11, %12", "b") "output \"v\" %11\noutput \"i\" %12\noutput \"w\" %9\n",
                  PAIR("%9, %10", "a") "output \"v\" %9\noutput \"i\" %10\noutput \"w\" %9\n");
  assert_keeps(wh_pass_dce, PAIR("%9, %10", "a") "output \"i\" %10\n");
  assert_keeps(wh_pass_dce, PAIR("%9, %10", "a") "output \"v\" %9\n");
  assert_rewrites(wh_pass_dce, PAIR("%9, %10", "a") "%11 = neg(%9) \"b\" : f32[t, 5]\noutput \"o\" %1\n",
                  "output \"o\" %1\n");
  assert_keeps(wh_pass_fuse, PAIR("%9, %10", "a") "%11 = neg(%9) \"b\" : f32[t, 5]\noutput \"o\" %11\n");
}

#define BODY                  \
  "%9 = input \"c\" bool[]\n" \
  "region ^1(%10 : i64[], %11 : bool[], %12 : f32[t, 64]) {\n"
#define LOOP(values) values " = loop(_, %9, %1) {trips = []} [^1] \"l\"" F

/* Passes work inside regions, and no node leaves or enters one. */
static void regions_keep_their_nodes(void **state) {
  (void)state;
  assert_rewrites(wh_pass_cse,
                  BODY "%13 = neg(%12) \"a\"" F "%14 = neg(%12) \"b\"" F "%15 = add(%13, %14) \"s\"" F
                       "yield %11, %15 }\n" LOOP("%16") "output \"o\" %16\n",
                  BODY "%13 = neg(%12) \"a\"" F "%14 = add(%13, %13) \"s\"" F
                       "yield %11, %14 }\n" LOOP("%15") "output \"o\" %15\n");
  /* what is yielded is a use; the same node outside, or in another region, is another one */
  assert_rewrites(
      wh_pass_cse,
      BODY "%13 = neg(%1) \"a\"" F "%14 = neg(%1) \"b\"" F
           "yield %11, %14 }\n" LOOP("%15") "%16 = neg(%1) \"c\"" F "output \"o\" %15\noutput \"c\" %16\n",
      BODY "%13 = neg(%1) \"a\"" F "yield %11, %13 }\n" LOOP("%14") "%15 = neg(%1) \"c\"" F
                                                                    "output \"o\" %14\noutput \"c\" %15\n");
  assert_keeps(wh_pass_cse,
               "%9 = input \"c\" bool[]\nregion ^1() {\n%10 = neg(%1) \"a\"" F
               "yield %10 }\nregion ^2() {\n"
               "%11 = neg(%1) \"b\"" F "yield %11 }\n%12 = if(%9) [^1, ^2] \"i\"" F "output \"o\" %12\n");
  assert_rewrites(wh_pass_fuse,
                  BODY "%13 = silu(%12) \"a\"" F "%14 = mul(%13, %2) \"m\"" F
                       "yield %11, %14 }\n" LOOP("%15") "output \"o\" %15\n",
                  BODY "%13 = swiglu(%12, %2) \"m\"" F "yield %11, %13 }\n" LOOP("%14") "output \"o\" %14\n");
  /* made once outside, used often inside: fused, it would be made often */
  assert_keeps(wh_pass_fuse,
               "%9 = input \"c\" bool[]\n%10 = silu(%1) \"a\"" F
               "region ^1(%11 : i64[], %12 : bool[], %13 : f32[t, 64]) {\n%14 = mul(%10, %13) \"m\"" F
               "yield %12, %14 }\n%15 = loop(_, %9, %1) {trips = []} [^1] \"l\"" F "output \"o\" %15\n");
  /* a value that is yielded has a use beside the product's */
  assert_keeps(
      wh_pass_fuse, BODY
      "%13 = silu(%12) \"a\"" F "%14 = mul(%13, %2) \"m\"" F
      "yield %11, %14, %13 }\n%15, %16 = loop(_, %9, %1) {trips = [t]} [^1] \"l\" : f32[t, 64], f32[t, t, "
      "64]\noutput \"o\" %15\noutput \"p\" %16\n");
  assert_rewrites(wh_pass_legalise,
                  BODY "%13 = linear(%12, %4) \"p\"" F "yield %11, %13 }\n" LOOP("%14") "output \"o\" %14\n",
                  BODY "%13 = quantize_act(%12) \"parameter.q8a\"" Q "%14 = linear(%13, %4) \"p\"" F
                       "yield %11, %14 }\n" LOOP("%15") "output \"o\" %15\n");
  assert_rewrites(wh_pass_dce,
                  BODY "%13 = neg(%12) \"a\"" F "%14 = exp(%12) \"dead\"" F
                       "yield %11, %13 }\n" LOOP("%15") "output \"o\" %15\n",
                  BODY "%13 = neg(%12) \"a\"" F "yield %11, %13 }\n" LOOP("%14") "output \"o\" %14\n");
  /* nobody needs the loop: neither it nor its region is left, and another region stays */
  assert_rewrites(
      wh_pass_dce,
      BODY "%13 = neg(%12) \"a\"" F "yield %11, %13 }\n" LOOP(
          "%14") "region ^2() {\n%15 = neg(%1) \"b\"" F
                 "yield %15 }\nregion ^3() {\nyield %1 }\n%16 = if(%9) [^2, ^3] \"i\"" F "output \"o\" %16\n",
      "%9 = input \"c\" bool[]\nregion ^1() {\n%10 = neg(%1) \"b\"" F
      "yield %10 }\nregion ^2() {\nyield %1 }\n%11 = if(%9) [^1, ^2] \"i\"" F "output \"o\" %11\n");
}

/* Effects happen as often as they are written. Such a graph (two writers of one state) is refused by
 * wh_graph_verify, so this looks at the nodes alone. */
static void kv_append_is_never_merged(void **state) {
  (void)state;
  wh_graph *g = with_head(
      "%9 = input \"pt\" i32[t, t]\n"
      "%10 = reshape(%1) {shape = [t, 4, 16]} \"k\" : f32[t, 4, 16]\n"
      "%11 = kv_append(%8, %10, %7, %7, %9) {key = 1} \"a\" : f16[t, 4, 64, 16]\n");
  wh_value again;
  wh_node_info n = g->nodes[1];
  assert_ok(wh_graph_add_node(g, n.op, "again", n.inputs, n.n_inputs, n.attrs, n.n_attrs, &again));
  assert_ok(wh_pass_cse(g));
  assert_int_equal(g->n_nodes, 3);
  assert_ok(wh_pass_dce(g)); /* nor swept, without an output */
  assert_ok(wh_pass_compact(g));
  assert_int_equal(g->n_nodes, 3);
  wh_graph_destroy(g);
}

static void dead_code_goes(void **state) {
  (void)state;
  assert_rewrites(
      wh_pass_dce,
      "%9 = input \"pt\" i32[t, t]\n%10 = neg(%1) \"a\"" F "%11 = exp(%10) \"b\"" F "%12 = exp(%11) \"c\"" F
      "%13 = neg(%2) \"d\"" F
      "%14 = reshape(%13) {shape = [t, 4, 16]} \"k\" : f32[t, 4, 16]\n"
      "%15 = kv_append(%8, %14, %7, %7, %9) {key = 1} \"e\" : f16[t, 4, 64, 16]\noutput \"o\" %10\n",
      "%9 = input \"pt\" i32[t, t]\n%10 = neg(%1) \"a\"" F "%11 = neg(%2) \"d\"" F
      "%12 = reshape(%11) {shape = [t, 4, 16]} \"k\" : f32[t, 4, 16]\n"
      "%13 = kv_append(%8, %12, %7, %7, %9) {key = 1} \"e\" : f16[t, 4, 64, 16]\noutput \"o\" %10\n");
  wh_graph *g = with_head("%9 = neg(%1) \"a\"" F);
  assert_ok(wh_pass_dce(g));
  assert_ok(wh_pass_compact(g));
  assert_int_equal(g->n_nodes, 0);
  assert_ok(wh_graph_verify(g));
  wh_graph_destroy(g);
}

static void compaction_restores_order(void **state) {
  (void)state;
  wh_graph *g = with_head("%9 = neg(%1) \"a\"" F "%10 = exp(%9) \"b\"" F "%11 = exp(%2) \"c\"" F
                          "%12 = add(%10, %11) \"d\"" F "output \"o\" %12\n");
  wh_value late;
  assert_ok(wh_graph_add_node(g, WH_OP_TANH, "late", (wh_value[]){9}, 1, NULL, 0, &late));
  g->nodes[1].inputs[0] = late; /* b = exp(late): before its operand */
  assert_int_equal(wh_graph_verify(g), WH_ERR_INTERNAL);
  assert_ok(wh_pass_compact(g));
  assert_ok(wh_graph_verify(g));
  static const char *const order[] = {"a", "c", "late", "b", "d"};
  assert_int_equal(g->n_nodes, 5);
  for (size_t i = 0; i < 5; i++) assert_string_equal(g->nodes[i].name, order[i]);
  g->nodes[0].inputs[0] = g->nodes[4].outputs[0]; /* a needs d needs ... a */
  assert_int_equal(wh_pass_compact(g), WH_ERR_INTERNAL);
  assert_error_says("graph 'g' has a cycle");
  wh_graph_destroy(g);
}

/* Folding: neg and add of f32 constants; anything else is not supported. */
static wh_status tiny_eval(void *ctx, const wh_graph *g, const wh_node_info *node, const void *const *inputs,
                           void *out) {
  size_t bytes;
  float *y = out;
  const float *a = inputs[0], *b = inputs[1];
  ++*(size_t *)ctx;
  assert_true(wh_shape_bytes(g, &g->values[node->outputs[0]].shape, NULL, &bytes));
  for (size_t i = 0; i < bytes / sizeof *y; i++) {
    if (node->op == WH_OP_NEG)
      y[i] = -a[i];
    else if (node->op == WH_OP_ADD)
      y[i] = a[i] + b[i];
    else if (node->op == WH_OP_SQRT)
      return WH_FAIL(ERR_DEVICE, "broken");
    else
      return WH_FAIL(ERR_UNSUPPORTED, "not here");
  }
  return WH_OK;
}

static void constants_fold(void **state) {
  (void)state;
  wh_graph *g;
  size_t calls = 0;
  const wh_fold_evaluator fold = {&calls, tiny_eval};
  static const float a[3] = {1, 2, 3}, b[3] = {10, 20, 30};
  wh_value va, vb, sum, neg, kept, x, mixed, bare, of_bare, on_kept;
  assert_ok(wh_graph_create("fold", NULL, &g));
  assert_ok(wh_graph_add_f32(g, "a", a, 3, &va));
  assert_ok(wh_graph_add_f32(g, "b", b, 3, &vb));
  const wh_shape shape = g->values[va].shape;
  assert_ok(wh_graph_add_input(g, "x", &shape, &x));
  assert_ok(wh_graph_add_const_shape(g, "bare", &shape, &bare)); /* no data: cannot fold */
  assert_ok(wh_graph_add_node(g, WH_OP_ADD, "sum", (wh_value[]){va, vb}, 2, NULL, 0, &sum));
  assert_ok(wh_graph_add_node(g, WH_OP_NEG, "neg", &sum, 1, NULL, 0, &neg)); /* of what was just folded */
  assert_ok(wh_graph_add_node(g, WH_OP_EXP, "kept", &neg, 1, NULL, 0, &kept));
  assert_ok(wh_graph_add_node(g, WH_OP_NEG, "on_kept", &kept, 1, NULL, 0, &on_kept));
  assert_ok(wh_graph_add_node(g, WH_OP_ADD, "mixed", (wh_value[]){neg, x}, 2, NULL, 0, &mixed));
  assert_ok(wh_graph_add_node(g, WH_OP_NEG, "of_bare", &bare, 1, NULL, 0, &of_bare));
  assert_ok(wh_graph_add_output(g, "neg", neg));
  assert_ok(wh_graph_add_output(g, "kept", on_kept));
  assert_ok(wh_graph_add_output(g, "mixed", mixed));
  assert_ok(wh_graph_add_output(g, "bare", of_bare));
  assert_ok(wh_pass_fold(g, &fold));
  assert_ok(wh_graph_verify(g));
  assert_int_equal(calls, 3);
  assert_int_equal(g->n_nodes, 4);
  const wh_value_info *folded = wh_graph_value(g, g->outputs[0].value);
  assert_int_equal(folded->kind, WH_VALUE_CONST);
  assert_string_equal(folded->name, "neg");
  assert_int_equal(folded->n_bytes, sizeof a);
  for (int i = 0; i < 3; i++) assert_float_equal(((const float *)folded->data)[i], -(a[i] + b[i]), 0);
  assert_int_equal(g->nodes[2].inputs[0], g->outputs[0].value);
  wh_graph *copy;
  assert_ok(wh_graph_clone(g, &copy)); /* folded data belongs to the graph: the copy has its own */
  wh_graph_destroy(g);
  assert_float_equal(((const float *)wh_graph_value(copy, copy->outputs[0].value)->data)[2], -33, 0);
  wh_value broken;
  assert_ok(wh_graph_add_node(copy, WH_OP_SQRT, "broken", &va, 1, NULL, 0, &broken));
  assert_int_equal(wh_pass_fold(copy, &fold), WH_ERR_DEVICE); /* a failure is passed on */
  wh_graph_destroy(copy);
}

/* experts.txt is what import/families builds, with the residual read by the router. */
static const char expert_layer_optimised[] =
    "graph \"experts\" {\n"
    "  symbol t 1..64\n"
    "  %1 = input \"x\" f32[t, 64]\n"
    "  %2 = const \"router\" f32[8, 64]\n"
    "  %3 = const \"gate_exps\" q4_0[8, 32, 64]\n"
    "  %4 = const \"up_exps\" q4_0[8, 32, 64]\n"
    "  %5 = const \"down_exps\" q8_0[8, 64, 32]\n"
    "  %6 = linear(%1, %2) \"scores\" : f32[t, 8]\n"
    "  %7 = expert_select(%6) {used = 2} \"select\" : i32[t, 2]\n"
    "  %8 = softmax(%6) \"probs\" : f32[t, 8]\n"
    "  %9 = expert_weights(%8, %7) {scale = 0x1p+0, normalise = 1} \"weights\" : f32[t, 2]\n"
    "  %10 = quantize_act(%1) \"x.q8a\" : q8a[t, 64]\n"
    "  %11 = expert_linear(%10, %3, %7) \"gate\" : f32[t, 2, 32]\n"
    "  %12 = expert_linear(%10, %4, %7) \"up\" : f32[t, 2, 32]\n"
    "  %13 = swiglu_quantize(%11, %12) \"gated.q8a\" : q8a[t, 2, 32]\n"
    "  %14 = expert_linear(%13, %5, %7) \"down\" : f32[t, 2, 64]\n"
    "  %15 = expert_sum(%14, %9, %1) \"residual\" : f32[t, 64]\n"
    "  output \"o\" %15\n"
    "}\n";

static void the_pipeline_on_experts(void **state) {
  (void)state;
  char *text = read_text_file(WH_TEST_CORPUS_DIR "/experts.txt");
  wh_graph *g = graph_from_text(text);
  assert_ok(wh_passes_run(g, NULL));
  assert_graph_text(g, expert_layer_optimised);
  wh_graph_destroy(g);
  free(text);
}

static void sums_of_experts_that_are_used_twice_stay(void **state) {
  (void)state;
  static const char rest[] =
      "  %9 = input \"s\" f32[t, 2, 64]\n  %10 = input \"v\" f32[t, 2]\n"
      "  %11 = expert_sum(%9, %10) \"e\"" F;
  char body[512];
  (void)snprintf(body, sizeof body, "%s%s", rest,
                 "  %12 = add(%11, %5) \"b\"" F "  output \"o\" %12\n"); /* a bias is no residual */
  assert_keeps(wh_pass_fuse, body);
  (void)snprintf(body, sizeof body, "%s%s", rest,
                 "  %12 = add(%1, %11) \"a\"" F "  output \"o\" %12\n  output \"e\" %11\n");
  assert_keeps(wh_pass_fuse, body);
  (void)snprintf(body, sizeof body, "%s%s", rest,
                 "  %12 = add(%11, %1) \"a\"" F "  %13 = add(%12, %2) \"c\"" F "  output \"o\" %13\n");
  char after[512]; /* one residual, and the next sum is a sum */
  (void)snprintf(after, sizeof after,
                 "  %%9 = input \"s\" f32[t, 2, 64]\n  %%10 = input \"v\" f32[t, 2]\n"
                 "  %%11 = expert_sum(%%9, %%10, %%1) \"a\"" F "  %%12 = add(%%11, %%2) \"c\"" F
                 "  output \"o\" %%12\n");
  assert_rewrites(wh_pass_fuse, body, after);
}

static char *read_layer(void) { return read_text_file(WH_TEST_CORPUS_DIR "/layer.txt"); }

/* A layer as import/families builds it, against a golden that was read with care: one quantisation for q, k
 * and v in their norm, the gate in one op with the quantisation after it, residuals in the products. */
static void the_pipeline_on_a_layer(void **state) {
  (void)state;
  char *text = read_layer(), *want = read_text_file(WH_TEST_DATA_DIR "/layer_optimised.txt");
  wh_graph *g = graph_from_text(text);
  assert_ok(wh_passes_run(g, NULL));
  assert_graph_text(g, want);
  wh_graph_destroy(g);
  free(text);
  free(want);
}

static void the_pipeline_is_idempotent_and_pure(void **state) {
  (void)state;
  for (uint64_t seed = 100; seed < 160; seed++) {
    wh_graph *g = random_graph_with_regions(seed, 80), *same = NULL;
    assert_ok(wh_graph_clone(g, &same));
    wh_status st = wh_passes_run(g, NULL);
    assert_int_equal(wh_passes_run(same, NULL), st);
    if (st == WH_OK) {
      char *once = graph_text(g);
      assert_graph_text(same, once); /* a function of the graph alone */
      assert_ok(wh_passes_run(g, NULL));
      assert_graph_text(g, once);
      free(once);
    } else {
      assert_int_equal(st, WH_ERR_INVALID_ARGUMENT);
    }
    wh_graph_destroy(g);
    wh_graph_destroy(same);
  }
}

/* Work per node, counted and not timed: products that each wait for a quantisation that legalisation appends,
 * norms and gates that fuse, equal nodes that merge, constants that fold. */
static uint64_t work_on_a_chain(size_t n_nodes) {
  wh_graph *g;
  size_t calls = 0;
  const wh_fold_evaluator fold = {&calls, tiny_eval};
  static const float ones[64] = {1};
  wh_value x, w, v, bias, y[4];
  wh_shape row = {.dtype = WH_DTYPE_F32, .rank = 2}, matrix = {.dtype = WH_DTYPE_Q4_0, .rank = 2};
  const wh_attr eps = {.key = WH_ATTR_EPS, .f = 0.5f};
  assert_ok(wh_graph_create("chain", NULL, &g));
  assert_ok(wh_dim_symbol(&g->dims, "t", 1, 64, &row.dims[0]));
  assert_ok(wh_dim_const(&g->dims, 64, &row.dims[1]));
  matrix.dims[0] = matrix.dims[1] = row.dims[1];
  assert_ok(wh_graph_add_input(g, "x", &row, &x));
  assert_ok(wh_graph_add_const_shape(g, "w", &matrix, &w));
  assert_ok(wh_graph_add_const_shape(g, "v", &matrix, &v));
  assert_ok(wh_graph_add_f32(g, "bias", ones, 64, &bias));
  while (g->n_nodes < n_nodes) {
    assert_ok(wh_graph_add_node(g, WH_OP_RMS_NORM, "n", &x, 1, &eps, 1, &y[0]));
    assert_ok(wh_graph_add_node(g, WH_OP_LINEAR, "a", (wh_value[]){y[0], w}, 2, NULL, 0, &y[1]));
    assert_ok(wh_graph_add_node(g, WH_OP_RMS_NORM, "again", &x, 1, &eps, 1, &y[3]));
    assert_ok(wh_graph_add_node(g, WH_OP_LINEAR, "b", (wh_value[]){y[3], v}, 2, NULL, 0, &y[2]));
    assert_ok(wh_graph_add_node(g, WH_OP_SILU, "s", &y[1], 1, NULL, 0, &y[1]));
    assert_ok(wh_graph_add_node(g, WH_OP_MUL, "m", (wh_value[]){y[1], y[2]}, 2, NULL, 0, &y[1]));
    assert_ok(wh_graph_add_node(g, WH_OP_LINEAR, "d", (wh_value[]){y[1], w}, 2, NULL, 0, &y[1]));
    assert_ok(wh_graph_add_node(g, WH_OP_NEG, "c", &bias, 1, NULL, 0, &bias));
    assert_ok(wh_graph_add_node(g, WH_OP_ADD, "e", (wh_value[]){y[1], bias}, 2, NULL, 0, &y[1]));
    assert_ok(wh_graph_add_node(g, WH_OP_ADD, "r", (wh_value[]){x, y[1]}, 2, NULL, 0, &x));
  }
  assert_ok(wh_graph_add_output(g, "o", x));
  assert_ok(wh_passes_run(g, &fold));
  assert_int_equal(5 * calls, g->n_nodes); /* of ten: norm, two products, gate, product; one was folded */
  const uint64_t work = g->work;
  wh_graph_destroy(g);
  return work;
}

static void work_grows_with_the_graph(void **state) {
  (void)state;
  const uint64_t small = work_on_a_chain(2000), large = work_on_a_chain(20000);
  assert_true(small > 2000);
  if (large > 11 * small || large > 20000u * 200u)
    fail_msg("10 times the nodes: %llu steps, not %llu", (unsigned long long)large,
             (unsigned long long)small);
}

static void failing_allocations_leak_nothing(void **state) {
  (void)state;
  char *text = read_layer();
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  size_t fail_at = 0;
  while (st != WH_OK) {
    failing_allocator a;
    wh_graph *g = NULL;
    const wh_allocator *alloc = failing_allocator_init(&a, 0);
    assert_ok(wh_graph_parse(text, strlen(text), alloc, &g));
    a.n_requests = 0;
    a.fail_at = ++fail_at;
    st = wh_passes_run(g, NULL);
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    wh_graph_destroy(g);
    assert_int_equal(a.n_live, 0);
  }
  assert_true(fail_at > 10);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_nodes_merge),
      cmocka_unit_test(different_nodes_do_not_merge),
      cmocka_unit_test(attributes_and_outputs_tell_nodes_apart),
      cmocka_unit_test(nodes_with_several_outputs),
      cmocka_unit_test(regions_keep_their_nodes),
      cmocka_unit_test(work_grows_with_the_graph),
      cmocka_unit_test(kv_append_is_never_merged),
      cmocka_unit_test(dead_code_goes),
      cmocka_unit_test(compaction_restores_order),
      cmocka_unit_test(constants_fold),
      cmocka_unit_test(the_pipeline_on_experts),
      cmocka_unit_test(sums_of_experts_that_are_used_twice_stay),
      cmocka_unit_test(the_pipeline_on_a_layer),
      cmocka_unit_test(the_pipeline_is_idempotent_and_pure),
      cmocka_unit_test(failing_allocations_leak_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
