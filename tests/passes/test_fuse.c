/* test_fuse.c - rules that make one op of several: when each fires, and when it must not. */
#include "tests/passes/passes_text.h"

static void gates_fuse(void **state) {
  (void)state;
  static const char *const acts[][2] = {{"silu", "swiglu"}, {"gelu", "geglu"}};
  for (size_t i = 0; i < 2; i++)
    for (int swapped = 0; swapped < 2; swapped++) {
      char before[512], after[512];
      (void)snprintf(before, sizeof before,
                     "  %%9 = %s(%%1) \"a\"" F "  %%10 = mul(%s) \"m\"" F "  output \"o\" %%10\n", acts[i][0],
                     swapped ? "%2, %9" : "%9, %2");
      (void)snprintf(after, sizeof after, "  %%9 = %s(%%1, %%2) \"m\"" F "  output \"o\" %%9\n", acts[i][1]);
      assert_rewrites(wh_pass_fuse, before, after);
    }
  /* a gate of itself, and both sides: the first is taken */
  assert_rewrites(wh_pass_fuse, "%9 = silu(%1) \"a\"" F "%10 = mul(%9, %1) \"m\"" F "output \"o\" %10\n",
                  "%9 = swiglu(%1, %1) \"m\"" F "output \"o\" %9\n");
  assert_rewrites(wh_pass_fuse,
                  "%9 = silu(%1) \"a\"" F "%10 = gelu(%2) \"b\"" F "%11 = mul(%9, %10) \"m\"" F
                  "output \"o\" %11\n",
                  "%9 = gelu(%2) \"b\"" F "%10 = swiglu(%1, %9) \"m\"" F "output \"o\" %10\n");
}

static void gates_do_not_fuse(void **state) {
  (void)state;
  /* two uses */
  assert_keeps(wh_pass_fuse, "%9 = silu(%1) \"a\"" F "%10 = mul(%9, %2) \"m\"" F "%11 = add(%10, %9) \"s\"" F
                             "output \"o\" %11\n");
  assert_keeps(wh_pass_fuse, "%9 = silu(%1) \"a\"" F "%10 = mul(%9, %9) \"m\"" F "output \"o\" %10\n");
  /* an output */
  assert_keeps(wh_pass_fuse,
               "%9 = silu(%1) \"a\"" F "%10 = mul(%9, %2) \"m\"" F "output \"o\" %10\noutput \"a\" %9\n");
  /* a broadcast, another activation, another op */
  assert_keeps(wh_pass_fuse, "%9 = silu(%1) \"a\"" F "%10 = mul(%9, %5) \"m\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse, "%9 = silu(%1) \"a\"" F "%10 = mul(%9, %6) \"m\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse, "%9 = gelu_erf(%1) \"a\"" F "%10 = mul(%9, %2) \"m\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse, "%9 = silu(%1) \"a\"" F "%10 = add(%9, %2) \"m\"" F "output \"o\" %10\n");
}

static void residuals_fuse(void **state) {
  (void)state;
  assert_rewrites(wh_pass_fuse,
                  "%9 = linear(%1, %3) \"l\"" F "%10 = add(%2, %9) \"s\"" F "output \"o\" %10\n",
                  "%9 = linear(%1, %3, _, %2) \"s\"" F "output \"o\" %9\n");
  assert_rewrites(wh_pass_fuse,
                  "%9 = linear(%1, %3, %5) \"l\"" F "%10 = add(%9, %2) \"s\"" F "output \"o\" %10\n",
                  "%9 = linear(%1, %3, %5, %2) \"s\"" F "output \"o\" %9\n");
  /* bias first, then the residual; the residual is made after the product */
  assert_rewrites(wh_pass_fuse,
                  "%9 = linear(%1, %3) \"l\"" F "%10 = add(%9, %5) \"b\"" F "%11 = neg(%2) \"n\"" F
                  "%12 = add(%11, %10) \"s\"" F "output \"o\" %12\n",
                  "%9 = neg(%2) \"n\"" F "%10 = linear(%1, %3, %5, %9) \"s\"" F "output \"o\" %10\n");
  /* two products: one becomes the other's residual */
  assert_rewrites(wh_pass_fuse,
                  "%9 = linear(%1, %3) \"l\"" F "%10 = linear(%2, %3) \"m\"" F "%11 = add(%9, %10) \"s\"" F
                  "output \"o\" %11\n",
                  "%9 = linear(%2, %3) \"m\"" F "%10 = linear(%1, %3, _, %9) \"s\"" F "output \"o\" %10\n");
}

static void residuals_do_not_fuse(void **state) {
  (void)state;
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = add(%2, %9) \"s\"" F
                             "%11 = mul(%10, %9) \"m\"" F "output \"o\" %11\n");
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = add(%2, %9) \"s\"" F
                             "output \"o\" %10\noutput \"l\" %9\n");
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = add(%9, %9) \"s\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse,
               "%9 = linear(%1, %3, _, %2) \"l\"" F "%10 = add(%9, %2) \"s\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = sub(%2, %9) \"s\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = add(%9, %6) \"s\"" F "output \"o\" %10\n");
}

static void biases_fuse_or_not(void **state) {
  (void)state;
  assert_rewrites(wh_pass_fuse,
                  "%9 = linear(%1, %3) \"l\"" F "%10 = add(%9, %5) \"s\"" F "output \"o\" %10\n",
                  "%9 = linear(%1, %3, %5) \"s\"" F "output \"o\" %9\n");
  /* a second bias, a bias after a residual: other sums */
  assert_keeps(wh_pass_fuse,
               "%9 = linear(%1, %3, %5) \"l\"" F "%10 = add(%9, %5) \"s\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_fuse,
               "%9 = linear(%1, %3, _, %2) \"l\"" F "%10 = add(%9, %5) \"s\"" F "output \"o\" %10\n");
  /* two uses, an output, no constant */
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = add(%9, %5) \"s\"" F
                             "%11 = mul(%9, %10) \"m\"" F "output \"o\" %11\n");
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F "%10 = add(%9, %5) \"s\"" F
                             "output \"o\" %10\noutput \"l\" %9\n");
  assert_keeps(wh_pass_fuse, "%9 = linear(%1, %3) \"l\"" F
                             "%10 = neg(%5) \"n\" : f32[64]\n"
                             "%11 = add(%9, %10) \"s\"" F "output \"o\" %11\n");
}

static void quantisation_ends_norms_and_gates(void **state) {
  (void)state;
  assert_rewrites(wh_pass_fuse,
                  "%9 = rms_norm(%1, %5) " EPS " \"n\"" F "%10 = quantize_act(%9) \"q\"" Q
                  "output \"o\" %10\n",
                  "%9 = rms_norm_quantize(%1, %5) " EPS " \"q\"" Q "output \"o\" %9\n");
  assert_rewrites(wh_pass_fuse,
                  "%9 = rms_norm(%1) " EPS " \"n\"" F "%10 = quantize_act(%9) \"q\"" Q "output \"o\" %10\n",
                  "%9 = rms_norm_quantize(%1) " EPS " \"q\"" Q "output \"o\" %9\n");
  assert_rewrites(wh_pass_fuse,
                  "%9 = swiglu(%1, %2) \"n\"" F "%10 = quantize_act(%9) \"q\"" Q "output \"o\" %10\n",
                  "%9 = swiglu_quantize(%1, %2) \"q\"" Q "output \"o\" %9\n");
  /* the gate fuses first, then its quantisation: two rounds */
  assert_rewrites(wh_pass_fuse,
                  "%9 = gelu(%1) \"a\"" F "%10 = mul(%9, %2) \"m\"" F "%11 = quantize_act(%10) \"q\"" Q
                  "output \"o\" %11\n",
                  "%9 = geglu_quantize(%1, %2) \"q\"" Q "output \"o\" %9\n");
  assert_keeps(wh_pass_fuse, "%9 = rms_norm(%1, %5) " EPS " \"n\"" F "%10 = quantize_act(%9) \"q\"" Q
                             "output \"o\" %10\noutput \"n\" %9\n");
  assert_keeps(wh_pass_fuse, "%9 = rms_norm(%1, %5) " EPS " \"n\"" F "%10 = quantize_act(%9) \"q\"" Q
                             "%11 = neg(%9) \"m\"" F "output \"o\" %10\noutput \"m\" %11\n");
  assert_keeps(wh_pass_fuse, "%9 = layer_norm(%1, %5) " EPS " \"n\"" F "%10 = quantize_act(%9) \"q\"" Q
                             "output \"o\" %10\n");
}

static void products_take_quantised_activations(void **state) {
  (void)state;
  assert_rewrites(wh_pass_legalise, "%9 = linear(%1, %4) \"l\"" F "output \"o\" %9\n",
                  "%9 = quantize_act(%1) \"x.q8a\"" Q "%10 = linear(%9, %4) \"l\"" F "output \"o\" %10\n");
  assert_keeps(wh_pass_legalise, "%9 = linear(%1, %3) \"l\"" F "output \"o\" %9\n");
  static const char *const wide[] = {"f16", "bf16"};
  for (int i = 0; i < 2; i++) {
    char before[256], after[256];
    (void)snprintf(before, sizeof before,
                   "%%9 = const \"h\" %s[64, 64]\n%%10 = linear(%%1, %%9) \"l\"" F "output \"o\" %%10\n",
                   wide[i]);
    (void)snprintf(after, sizeof after,
                   "%%9 = const \"h\" %s[64, 64]\n%%10 = quantize_wide(%%1) \"x.q13a\""
                   " : q13a[t, 64]\n%%11 = linear(%%10, %%9) \"l\"" F "output \"o\" %%11\n",
                   wide[i]);
    assert_rewrites(wh_pass_legalise, before, after);
  }
  assert_keeps(wh_pass_legalise,
               "%9 = quantize_act(%1) \"q\"" Q "%10 = linear(%9, %4) \"l\"" F "output \"o\" %10\n");
}

static void a_dead_user_does_not_stop_a_fusion(void **state) {
  (void)state;
  wh_graph *g = with_head("%9 = silu(%1) \"a\"" F "%10 = mul(%9, %2) \"m\"" F "%11 = exp(%9) \"dead\"" F
                          "output \"o\" %10\n");
  assert_ok(wh_passes_run(g, NULL));
  assert_int_equal(g->n_nodes, 1);
  assert_int_equal(g->nodes[0].op, WH_OP_SWIGLU);
  wh_graph_destroy(g);
}

/* ---- layer norms written as single ops ---- */

#define R " : f32[t, 1]\n"
#define SUM " {axes = [1], keep = 1}"
#define CONSTANTS(eps) \
  "%9 = const \"64\" f32[]\n%10 = const " eps "\n%11 = const \"2\" f32[]\n%12 = const \"63\" f32[]\n"
#define NUMBERS CONSTANTS("\"0x1p-10\" f32[1]")
#define MEAN(n) \
  "%13 = reduce_sum(%1)" SUM " \"s\"" R "%14 = div(%13, " n ") \"mean\"" R "%15 = sub(%1, %14) \"d\"" F
#define ROOT(square, n)                                                          \
  square "%17 = reduce_sum(%16)" SUM " \"ss\"" R "%18 = div(%17, " n ") \"v\"" R \
         "%19 = add(%18, %10) \"e\"" R "%20 = sqrt(%19) \"r\"" R
#define POWER(e) "%16 = pow(%15, " e ") \"p\"" F
#define PRODUCT "%16 = mul(%15, %15) \"p\"" F

/* Gives constants whose names are numbers these values; then as assert_rewrites does. */
static void assert_norm(const char *before, const char *after) {
  float numbers[8];
  wh_graph *g = with_head(before), *want = with_head(after);
  char *text = graph_text(want);
  size_t n = 0;
  for (size_t v = 1; v < g->n_values && n < 8; v++) {
    char *end;
    wh_value_info *c = &g->values[v];
    if (c->kind != WH_VALUE_CONST) continue;
    numbers[n] = strtof(c->name, &end);
    if (*end || end == c->name) continue;
    c->data = &numbers[n++];
    c->n_bytes = sizeof numbers[0];
  }
  assert_int_equal(n, 4);
  for (int round = 0; round < 2; round++) {
    assert_ok(wh_pass_fuse(g));
    assert_ok(wh_graph_verify(g));
    assert_graph_text(g, text);
  }
  free(text);
  wh_graph_destroy(g);
  wh_graph_destroy(want);
}

static void layer_norms_fuse(void **state) {
  (void)state;
  assert_norm(NUMBERS MEAN("%9") ROOT(POWER("%11"), "%9") "%21 = div(%15, %20) \"y\"" F
                                                          "%22 = mul(%21, %5) \"yw\"" F
                                                          "%23 = add(%5, %22) \"o\"" F "output \"o\" %23\n",
              NUMBERS "%13 = layer_norm(%1, %5, %5) " EPS " \"o\"" F "output \"o\" %13\n");
  assert_norm(NUMBERS MEAN("%9") ROOT(PRODUCT, "%9") "%21 = div(%15, %20) \"y\"" F
                                                     "%22 = add(%21, %5) \"o\"" F "output \"o\" %22\n",
              NUMBERS "%13 = layer_norm(%1, _, %5) " EPS " \"o\"" F "output \"o\" %13\n");
  /* a product behind a sum is none of the norm's */
  assert_norm(NUMBERS MEAN("%9") ROOT(PRODUCT, "%9") "%21 = div(%15, %20) \"y\"" F
                                                     "%22 = add(%21, %5) \"yb\"" F
                                                     "%23 = mul(%22, %5) \"o\"" F "output \"o\" %23\n",
              NUMBERS "%13 = layer_norm(%1, _, %5) " EPS " \"yb\"" F "%14 = mul(%13, %5) \"o\"" F
                      "output \"o\" %14\n");
}

#define AXES CONSTANTS("\"0x1p-10\" f32[1, 1, 1]")
#define WIDE                                                                                 \
  PRODUCT "%17 = reduce_sum(%16)" SUM " \"ss\"" R "%18 = div(%17, %9) \"v\"" R               \
          "%19 = add(%18, %10) \"e\" : f32[1, t, 1]\n%20 = sqrt(%19) \"r\" : f32[1, t, 1]\n" \
          "%21 = div(%15, %20) \"y\" : f32[1, t, 64]\noutput \"o\" %21\n"

#define INFINITE CONSTANTS("\"inf\" f32[1]")

static void what_is_no_layer_norm_stays(void **state) {
  (void)state;
#define KEEPS(body) assert_norm(NUMBERS body, NUMBERS body)
#define END "%21 = div(%15, %20) \"y\"" F "output \"o\" %21\n"
  KEEPS(MEAN("%12") ROOT(PRODUCT, "%9") END); /* other lengths than the row's */
  KEEPS(MEAN("%9") ROOT(PRODUCT, "%12") END);
  KEEPS(MEAN("%9") ROOT(POWER("%12"), "%9") END); /* another power */
  KEEPS(MEAN("%9") ROOT("%16 = mul(%15, %1) \"p\"" F, "%9") END);
  KEEPS(MEAN("%9") ROOT(PRODUCT, "%9") "%21 = div(%1, %20) \"y\"" F "output \"o\" %21\n");
  KEEPS(MEAN("%9") ROOT(PRODUCT, "%9") END "output \"d\" %15\n"); /* what others want, too */
  KEEPS(MEAN("%9") ROOT(PRODUCT, "%9") END "output \"r\" %20\n");
  KEEPS(MEAN("%9") ROOT(PRODUCT, "%9") END "output \"mean\" %14\n");
  /* an eps that makes more axes, and one that no attribute can be */
  assert_norm(AXES MEAN("%9") WIDE, AXES MEAN("%9") WIDE);
  assert_norm(INFINITE MEAN("%9") ROOT(PRODUCT, "%9") END, INFINITE MEAN("%9") ROOT(PRODUCT, "%9") END);
#undef KEEPS
#undef END
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gates_fuse),
      cmocka_unit_test(gates_do_not_fuse),
      cmocka_unit_test(residuals_fuse),
      cmocka_unit_test(residuals_do_not_fuse),
      cmocka_unit_test(biases_fuse_or_not),
      cmocka_unit_test(quantisation_ends_norms_and_gates),
      cmocka_unit_test(products_take_quantised_activations),
      cmocka_unit_test(a_dead_user_does_not_stop_a_fusion),
      cmocka_unit_test(layer_norms_fuse),
      cmocka_unit_test(what_is_no_layer_norm_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
