/* test_passes.c - each rewrite: when it fires, when it must not, and what it leaves; then the pipeline. */
#include "core/passes/passes.h"
#include "tests/base/failing_allocator.h"
#include "tests/ir/random_graph.h"

static const char head[] =
    "graph \"g\" {\n"
    "  symbol t 1..64\n"
    "  %1 = input \"x\" f32[t, 64]\n"
    "  %2 = input \"y\" f32[t, 64]\n"
    "  %3 = const \"w\" f32[64, 64]\n"
    "  %4 = const \"wq\" q4_0[64, 64]\n"
    "  %5 = const \"b\" f32[64]\n"
    "  %6 = const \"one\" f32[1]\n"
    "  %7 = input \"p\" i32[t]\n"
    "  %8 = state \"keys\" f16[t, 4, 64, 16]\n";

#define F " : f32[t, 64]\n"
#define Q " : q8a[t, 64]\n"
#define EPS "{eps = 0x1p-10}"

typedef wh_status (*pass_fn)(wh_graph *);

static wh_graph *with_head(const char *body) {
  char text[4096];
  assert_true(snprintf(text, sizeof text, "%s%s}\n", head, body) < (int)sizeof text);
  return graph_from_text(text);
}

/* The pass turns `before` into `after`, which is well-formed; running it again changes nothing. */
static void assert_rewrites(pass_fn pass, const char *before, const char *after) {
  wh_graph *g = with_head(before), *want = with_head(after);
  char *text = graph_text(want);
  for (int round = 0; round < 2; round++) {
    assert_ok(pass(g));
    assert_ok(wh_pass_compact(g));
    assert_ok(wh_graph_verify(g));
    assert_graph_text(g, text);
  }
  free(text);
  wh_graph_destroy(g);
  wh_graph_destroy(want);
}

static void assert_keeps(pass_fn pass, const char *body) { assert_rewrites(pass, body, body); }

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

#define CHAIN(text) " {formula = \"" text "\"} "

static wh_status chain_pass(wh_graph *g) { return wh_pass_chain(g, false, false); }
static wh_status codes_pass(wh_graph *g) { return wh_pass_chain(g, true, false); }
static wh_status products_pass(wh_graph *g) { return wh_pass_chain(g, false, true); }

static void steps_become_chains(void **state) {
  (void)state;
  /* h-swish, whose first operand is used twice */
  assert_rewrites(chain_pass,
                  "%9 = add(%1, %5) \"a\"" F "%10 = max(%9, %5) \"b\"" F "%11 = mul(%1, %10) \"m\"" F
                  "output \"o\" %11\n",
                  "%9 = chain(%1, %5)" CHAIN("add 0 1; max 2 1; mul 0 3") "\"m\"" F "output \"o\" %9\n");
  /* what is used outside stays, and what has another shape */
  assert_rewrites(chain_pass,
                  "%9 = exp(%1) \"a\"" F "%10 = relu(%9) \"b\"" F "%11 = neg(%10) \"c\"" F
                  "output \"o\" %11\noutput \"a\" %9\n",
                  "%9 = exp(%1) \"a\"" F
                  "%10 = chain(%9)" CHAIN("relu 0; neg 1") "\"c\"" F "output \"o\" %10\noutput \"a\" %9\n");
  assert_rewrites(chain_pass,
                  "%9 = neg(%5) \"a\" : f32[64]\n%10 = relu(%5) \"b\" : f32[64]\n%11 = add(%9, %10) \"c\" : f32[64]\n"
                  "%12 = mul(%1, %11) \"m\"" F "output \"o\" %12\n",
                  "%9 = chain(%5)" CHAIN("neg 0; relu 0; add 1 2") "\"c\" : f32[64]\n"
                  "%10 = mul(%1, %9) \"m\"" F "output \"o\" %10\n");
}

static void steps_do_not_become_chains(void **state) {
  (void)state;
  assert_keeps(chain_pass, "%9 = neg(%1) \"a\"" F "output \"o\" %9\n");
  assert_keeps(chain_pass, "%9 = neg(%1) \"a\"" F "%10 = sqrt(%9) \"b\"" F "output \"o\" %10\n");
  assert_keeps(chain_pass,
               "%9 = neg(%1) \"a\"" F "%10 = exp(%9) \"b\"" F "output \"o\" %10\noutput \"a\" %9\n");
}

#define CONV "strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], group = 1"
#define IMAGES \
  "%9 = const \"c\" f32[6, 4, 3, 3]\n%10 = reshape(%1) {shape = [t, 4, 4, 4]} \"x\" : f32[t, 4, 4, 4]\n"
#define Y " : f32[t, 6, 2, 2]\n"

static void convolutions_take_what_follows(void **state) {
  (void)state;
  assert_rewrites(
      chain_pass,
      IMAGES "%11 = conv(%10, %9) {" CONV "} \"v\"" Y "%12 = relu(%11) \"r\"" Y "output \"o\" %12\n",
      IMAGES "%11 = conv_chain(%10, %9) {formula = \"relu 0\", " CONV "} \"r\"" Y "output \"o\" %11\n");
  /* the convolution stands second, its residual first */
  assert_rewrites(chain_pass,
                  IMAGES "%11 = conv(%10, %9) {" CONV "} \"v\"" Y "%12 = neg(%11) \"n\"" Y
                         "%13 = conv(%10, %9) {" CONV "} \"w\"" Y "%14 = add(%12, %13) \"s\"" Y
                         "%15 = relu(%14) \"r\"" Y "output \"o\" %15\noutput \"n\" %12\n",
                  IMAGES "%11 = conv_chain(%10, %9) {formula = \"neg 0\", " CONV "} \"n\"" Y
                         "%12 = conv_chain(%10, %9, _, %11) {formula = \"add 1 0; relu 2\", " CONV "} \"r\"" Y
                         "output \"o\" %12\noutput \"n\" %11\n");
  assert_keeps(chain_pass, IMAGES "%11 = conv(%10, %9) {" CONV "} \"v\"" Y "%12 = relu(%11) \"r\"" Y
                                  "output \"o\" %12\noutput \"v\" %11\n");
}

#define CODES                                                                                    \
  "%9 = const \"c\" i8[6, 4, 3, 3]\n%10 = input \"u\" u8[t, 4, 4, 4]\n%11 = const \"s\" f32[]\n" \
  "%12 = const \"z\" u8[]\n%13 = const \"a\" f32[6, 1, 1]\n%14 = input \"v\" u8[t, 6, 2, 2]\n"
#define SUMS "%15 = conv_integer(%10, %9, %12) {" CONV "} \"i\" : i32[t, 6, 2, 2]\n"
#define ONE_SCALE "axis = 0, block = 0"
#define Y8 " : u8[t, 6, 2, 2]\n"
#define CAST " {to = 0, saturate = 0} "

/* Chains, with "z" 0. */
static wh_status zero_pass(wh_graph *g) {
  static const uint8_t zero;
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_CONST && g->values[v].shape.dtype == WH_DTYPE_U8) {
      g->values[v].data = &zero;
      g->values[v].n_bytes = sizeof zero;
    }
  return codes_pass(g);
}

static void what_lies_between_codes_is_one(void **state) {
  (void)state;
  /* a zero point that is 0 is no step */
  assert_rewrites(
      zero_pass,
      CODES "%15 = dequantize_linear(%14, %11, %12) {" ONE_SCALE "} \"d\"" Y "%16 = neg(%15) \"n\"" Y
            "%17 = quantize_linear(%16, %11, %12) {to = 8, saturate = 1, " ONE_SCALE "} \"q\"" Y8
            "output \"o\" %17\n",
      CODES "%15 = chain_codes(%11, %14) {formula = \"mul 1 0; neg 2; div 3 0; round 4\", to = 8} \"q\"" Y8
            "output \"o\" %15\n");
  /* a convolution's sums to floats, and to codes */
  assert_rewrites(codes_pass,
                  CODES SUMS "%16 = cast(%15)" CAST "\"f\"" Y "%17 = mul(%16, %13) \"m\"" Y
                             "output \"o\" %17\n",
                  CODES "%15 = conv_codes(%10, %9, %12, _, %13) {formula = \"mul 0 1\", to = 0, " CONV
                        "} \"m\"" Y "output \"o\" %15\n");
  assert_rewrites(
      codes_pass,
      CODES SUMS "%16 = cast(%15)" CAST "\"f\"" Y "%17 = mul(%16, %13) \"m\"" Y
                 "%18 = quantize_linear(%17, %11, %12) {to = 8, saturate = 1, " ONE_SCALE "} \"q\"" Y8
                 "output \"o\" %18\n",
      CODES
      "%15 = conv_codes(%10, %9, %12, _, %11, %12, %13) {formula = \"mul 0 3; div 4 1; round 5; add 6 2\", "
      "to = 8, " CONV "} \"q\"" Y8 "output \"o\" %15\n");
  /* codes added to codes; without a zero point */
  assert_rewrites(
      codes_pass,
      CODES "%15 = dequantize_linear(%14, %11, %12) {" ONE_SCALE "} \"d\"" Y "%16 = add(%15, %15) \"s\"" Y
            "%17 = quantize_linear(%16, %11) {to = 8, saturate = 1, " ONE_SCALE "} \"q\"" Y8
            "output \"o\" %17\n",
      CODES
      "%15 = chain_codes(%11, %14, %12) {formula = \"sub 1 2; mul 3 0; add 4 4; div 5 0; round 6\", to = 8} "
      "\"q\"" Y8 "output \"o\" %15\n");
  /* a product with a row per column and a residual */
  assert_rewrites(codes_pass,
                  "%9 = const \"c\" i8[64, 64]\n%10 = input \"u\" u8[t, 64]\n"
                  "%11 = matmul_integer(%10, %9) \"i\" : i32[t, 64]\n%12 = cast(%11)" CAST "\"f\"" F
                  "%13 = mul(%12, %5) \"m\"" F "%14 = add(%1, %13) \"r\"" F "output \"o\" %14\n",
                  "%9 = const \"c\" i8[64, 64]\n%10 = input \"u\" u8[t, 64]\n"
                  "%11 = matmul_codes(%10, %9, _, _, %1, %5) {formula = \"mul 0 2; add 1 3\", to = 0} \"r\"" F
                  "output \"o\" %11\n");
}

static void products_take_what_follows(void **state) {
  (void)state;
#define B "%9 = const \"b\" f32[64, 64]\n"
  assert_rewrites(products_pass,
                  B "%10 = matmul(%1, %9) \"p\"" F "%11 = add(%5, %10) \"r\"" F "output \"o\" %11\n",
                  B "%10 = matmul_chain(%1, %9, %5) {formula = \"add 0 1\"} \"r\"" F "output \"o\" %10\n");
  /* a chain, whose second product is an operand of the first */
  assert_rewrites(products_pass,
                  B "%10 = matmul(%1, %9) \"p\"" F "%11 = matmul(%1, %9) \"q\"" F
                    "%12 = add(%11, %10) \"s\"" F "%13 = erf(%12) \"e\"" F "%14 = mul(%13, %12) \"m\"" F
                    "output \"o\" %14\n",
                  B "%10 = matmul(%1, %9) \"p\"" F
                    "%11 = matmul_chain(%1, %9, %10) {formula = \"add 0 1; erf 2; mul 3 2\"} \"m\"" F
                    "output \"o\" %11\n");
  /* sums that something else wants, and those of a backend without the op */
  assert_keeps(products_pass, B "%10 = matmul(%1, %9) \"p\"" F "%11 = relu(%10) \"r\"" F
                                "output \"o\" %11\noutput \"p\" %10\n");
  assert_keeps(chain_pass, B "%10 = matmul(%1, %9) \"p\"" F "%11 = relu(%10) \"r\"" F "output \"o\" %11\n");
#undef B
}

static void what_lies_between_codes_stays(void **state) {
  (void)state;
  /* a cast alone, sums that something else wants, and codes in the middle, which are rounded there */
  assert_keeps(codes_pass, CODES SUMS "%16 = cast(%15)" CAST "\"f\"" Y "output \"o\" %16\n");
  assert_rewrites(codes_pass,
                  CODES SUMS "%16 = cast(%15)" CAST "\"f\"" Y "%17 = mul(%16, %13) \"m\"" Y
                             "output \"o\" %17\noutput \"i\" %15\n",
                  CODES SUMS "%16 = chain_codes(%13, %15) {formula = \"mul 1 0\", to = 0} \"m\"" Y
                             "output \"o\" %16\noutput \"i\" %15\n");
  assert_rewrites(codes_pass,
                  CODES "%15 = dequantize_linear(%14, %11) {" ONE_SCALE "} \"d\"" Y "%16 = relu(%15) \"e\"" Y
                        "%17 = quantize_linear(%16, %11) {to = 8, saturate = 1, " ONE_SCALE "} \"q\"" Y8
                        "%18 = dequantize_linear(%17, %11) {" ONE_SCALE "} \"g\"" Y "%19 = neg(%18) \"n\"" Y
                        "output \"o\" %19\n",
                  CODES
                  "%15 = chain_codes(%11, %14) {formula = \"mul 1 0; relu 2; div 3 0; round 4\", to = 8} "
                  "\"q\"" Y8 "%16 = chain_codes(%15, %11) {formula = \"mul 0 1; neg 2\", to = 0} \"n\"" Y
                  "output \"o\" %16\n");
  /* a scale per channel, and backends without these ops */
  assert_keeps(codes_pass, CODES
               "%15 = const \"k\" f32[6]\n%16 = dequantize_linear(%14, %15) {axis = 1, block = "
               "0} \"d\"" Y "%17 = neg(%16) \"n\"" Y "output \"o\" %17\n");
  assert_keeps(chain_pass, CODES SUMS "%16 = cast(%15)" CAST "\"f\"" Y "%17 = mul(%16, %13) \"m\"" Y
                                      "output \"o\" %17\n");
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

/* The node of that name, which is there. */
static const wh_node_info *node_named(const wh_graph *g, const char *name) {
  for (size_t n = 0; n < g->n_nodes; n++)
    if (strcmp(g->nodes[n].name, name) == 0) return &g->nodes[n];
  fail_msg("there is no node '%s'", name);
  return NULL;
}

static int64_t width_of(const wh_graph *g, wh_value v) {
  return wh_dim_get(&g->dims, g->values[v].shape.dims[1])->value;
}

/* A layer with six heads on three KV heads and a tail of a few outputs, as wh_passes_run leaves it. */
static const char shared_layer[] =
    "graph \"layer\" {\n"
    "  symbol t 1..64 symbol pages 1..8 symbol slots 1..4 symbol table 1..8\n"
    "  %1 = input \"x\" f32[t, 64] %2 = input \"p\" i32[t] %3 = input \"s\" i32[t]\n"
    "  %4 = input \"table\" i32[slots, table]\n"
    "  %5 = const \"wq\" f32[96, 64] %6 = const \"wk\" f32[48, 64] %7 = const \"wo\" f32[64, 96]\n"
    "  %8 = const \"wg\" q8_0[128, 64] %9 = const \"wd\" q8_0[64, 128] %10 = const \"few\" f32[3, 64]\n"
    "  %11 = const \"b\" f32[96] %12 = state \"k\" f16[pages, 3, 64, 16] %13 = state \"v\" f16[pages, 3, 64, "
    "16]\n"
    "  %14 = linear(%1, %5, %11) \"q\" : f32[t, 96] %15 = linear(%1, %6) \"key\" : f32[t, 48]\n"
    "  %16 = reshape(%14) {shape = [t, 6, 16]} \"q3\" : f32[t, 6, 16]\n"
    "  %17 = reshape(%15) {shape = [t, 3, 16]} \"k3\" : f32[t, 3, 16]\n"
    "  %18 = kv_append(%12, %17, %2, %3, %4) {key = 1} \"ka\" : f16[pages, 3, 64, 16]\n"
    "  %19 = kv_append(%13, %17, %2, %3, %4) {key = 0} \"va\" : f16[pages, 3, 64, 16]\n"
    "  %20 = attention(%16, %18, %19, %2, %3, %4) {scale = 0x1p-2, softcap = 0x0p+0, window = 0} \"att\" : "
    "f32[t, 6, 16]\n"
    "  %21 = reshape(%20) {shape = [t, 96]} \"flat\" : f32[t, 96]\n"
    "  %22 = linear(%21, %7, _, %1) \"o\" : f32[t, 64] %23 = rms_norm_quantize(%22) {eps = 0x1p-10} \"norm\" "
    ": "
    "q8a[t, 64]\n"
    "  %24 = linear(%23, %8) \"gate\" : f32[t, 128] %25 = swiglu_quantize(%24, %24) \"h\" : q8a[t, 128]\n"
    "  %26 = linear(%25, %9, _, %22) \"down\" : f32[t, 64] %27 = linear(%26, %10) \"few\" : f32[t, 3]\n"
    "  output \"few\" %27 output \"down\" %26 }\n";

static void a_layer_is_shared_out(void **state) {
  (void)state;
  char data[96 * 64 * 4] = {0};
  wh_graph *g = graph_from_text(shared_layer);
  const char *names[] = {"wq", "wk", "wo", "wg", "wd", "few", "b"};
  for (wh_value v = 1; v < g->n_values; v++)
    for (size_t i = 0; i < 7; i++)
      if (g->values[v].kind == WH_VALUE_CONST && strcmp(g->values[v].name, names[i]) == 0)
        g->values[v].data = data;
  assert_ok(wh_pass_share(g, 2));
  /* heads with their keys: one and two of three; weights where they lie, a row of wq has 256 bytes */
  const wh_node_info *q0 = node_named(g, "share0.q"), *q1 = node_named(g, "share1.q");
  assert_int_equal(width_of(g, q0->outputs[0]), 32);
  assert_int_equal(width_of(g, q1->outputs[0]), 64);
  assert_ptr_equal(g->values[q0->inputs[1]].data, data);
  assert_ptr_equal(g->values[q1->inputs[1]].data, data + 32 * 256);
  assert_ptr_equal(g->values[q1->inputs[2]].data, data + 32 * 4);
  assert_int_equal(width_of(g, node_named(g, "share0.ka")->outputs[0]), 1);
  assert_int_equal(width_of(g, node_named(g, "share1.va")->outputs[0]), 2);
  assert_int_equal(width_of(g, node_named(g, "share1.att")->outputs[0]), 4);
  /* joined on each device, before what needs all of it; the residual is cut as the product is */
  assert_int_equal(node_named(g, "flat")->op, WH_OP_CONCAT);
  assert_int_equal(node_named(g, "share1.flat.all")->op, WH_OP_CONCAT);
  assert_int_equal(g->nodes[g->values[node_named(g, "share1.o")->inputs[3]].producer].op, WH_OP_SLICE);
  assert_int_equal(node_named(g, "share1.down")->inputs[3], node_named(g, "share1.o")->outputs[0]);
  /* gates are quantised when they are joined; what is small is computed once, where it is asked for */
  assert_int_equal(node_named(g, "share1.h")->op, WH_OP_SWIGLU);
  assert_int_equal(node_named(g, "h")->op, WH_OP_QUANTIZE_ACT);
  assert_int_equal(width_of(g, node_named(g, "few")->outputs[0]), 3);
  for (size_t n = 0; n < g->n_nodes; n++) assert_null(strstr(g->nodes[n].name, "few.all"));
  assert_string_equal(g->outputs[1].name, "down");
  assert_int_equal(width_of(g, g->outputs[1].value), 64);
  wh_graph_destroy(g);
}

/* More devices than KV heads: attention stays whole on one of them, with its states. */
static void heads_that_are_too_few_stay(void **state) {
  (void)state;
  char data[96 * 64 * 4] = {0};
  wh_graph *g = graph_from_text(shared_layer);
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_CONST) g->values[v].data = data;
  assert_ok(wh_pass_share(g, 4));
  size_t n_attention = 0, n_states = 0;
  for (size_t n = 0; n < g->n_nodes; n++) n_attention += g->nodes[n].op == WH_OP_ATTENTION;
  for (wh_value v = 1; v < g->n_values; v++) n_states += g->values[v].kind == WH_VALUE_STATE;
  assert_int_equal(n_attention, 1);
  assert_int_equal(n_states, 2);
  assert_int_equal(width_of(g, node_named(g, "share3.down")->outputs[0]), 16);
  wh_graph_destroy(g);
  g = graph_from_text(shared_layer); /* without data there is nothing to cut */
  assert_ok(wh_pass_share(g, 2));
  wh_graph_destroy(g);
  g = graph_from_text(shared_layer);
  assert_int_equal(wh_pass_share(g, 1), WH_ERR_LIMIT);
  assert_int_equal(wh_pass_share(g, WH_SHARE_MAX_DEVICES + 1), WH_ERR_LIMIT);
  wh_graph_destroy(g);
}

/* Parts of a matrix that is no product's are rows: what multiplies by it is computed whole. */
static void matrices_beside_values_stay_whole(void **state) {
  (void)state;
  char data[64 * 64 * 4] = {0};
  wh_graph *g = graph_from_text(
      "graph \"g\" { %1 = input \"x\" f32[64, 64] %2 = const \"w\" f32[64, 64] %3 = const \"c\" f32[64, 64]\n"
      "  %4 = linear(%1, %2) \"p\" : f32[64, 64] %5 = mul(%4, %3) \"y\" : f32[64, 64] output \"y\" %5 }\n");
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_CONST) g->values[v].data = data;
  assert_ok(wh_pass_share(g, 2));
  assert_int_equal(width_of(g, node_named(g, "share1.p")->outputs[0]), 32);
  assert_int_equal(width_of(g, g->outputs[0].value), 64);
  wh_graph_destroy(g);
}

static void sharing_without_memory_leaks_nothing(void **state) {
  (void)state;
  char data[96 * 64 * 4] = {0};
  for (size_t fail_at = 1;; fail_at++) {
    failing_allocator a;
    const wh_allocator *alloc = failing_allocator_init(&a, fail_at);
    wh_graph *g = NULL;
    wh_status st = wh_graph_parse(shared_layer, strlen(shared_layer), alloc, &g);
    if (st == WH_OK) {
      for (wh_value v = 1; v < g->n_values; v++)
        if (g->values[v].kind == WH_VALUE_CONST) g->values[v].data = data;
      st = wh_pass_share(g, 2);
      wh_graph_destroy(g);
    }
    assert_int_equal(a.n_live, 0);
    if (st == WH_OK) break;
    assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
  }
}

static void work_grows_with_the_graph(void **state) {
  (void)state;
  const uint64_t small = work_on_a_chain(2000), large = work_on_a_chain(20000);
  assert_true(small > 2000);
  if (large > 11 * small || large > 20000u * 200u)
    fail_msg("10 times the nodes: %llu steps, not %llu", (unsigned long long)large,
             (unsigned long long)small);
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
#define NUMBERS                                                                                           \
  "%9 = const \"64\" f32[]\n%10 = const \"0x1p-10\" f32[1]\n%11 = const \"2\" f32[]\n%12 = const \"63\" " \
  "f32[]\n"
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

#define AXES                                                                                             \
  "%9 = const \"64\" f32[]\n%10 = const \"0x1p-10\" f32[1, 1, 1]\n%11 = const \"2\" f32[]\n%12 = const " \
  "\"63\" "                                                                                              \
  "f32[]\n"
#define WIDE                                                                                 \
  PRODUCT "%17 = reduce_sum(%16)" SUM " \"ss\"" R "%18 = div(%17, %9) \"v\"" R               \
          "%19 = add(%18, %10) \"e\" : f32[1, t, 1]\n%20 = sqrt(%19) \"r\" : f32[1, t, 1]\n" \
          "%21 = div(%15, %20) \"y\" : f32[1, t, 64]\noutput \"o\" %21\n"

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
  /* an eps that makes more axes */
  assert_norm(AXES MEAN("%9") WIDE, AXES MEAN("%9") WIDE);
#undef KEEPS
#undef END
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
      cmocka_unit_test(gates_fuse),
      cmocka_unit_test(gates_do_not_fuse),
      cmocka_unit_test(residuals_fuse),
      cmocka_unit_test(residuals_do_not_fuse),
      cmocka_unit_test(biases_fuse_or_not),
      cmocka_unit_test(layer_norms_fuse),
      cmocka_unit_test(what_is_no_layer_norm_stays),
      cmocka_unit_test(quantisation_ends_norms_and_gates),
      cmocka_unit_test(products_take_quantised_activations),
      cmocka_unit_test(equal_nodes_merge),
      cmocka_unit_test(different_nodes_do_not_merge),
      cmocka_unit_test(steps_become_chains),
      cmocka_unit_test(steps_do_not_become_chains),
      cmocka_unit_test(convolutions_take_what_follows),
      cmocka_unit_test(what_lies_between_codes_is_one),
      cmocka_unit_test(what_lies_between_codes_stays),
      cmocka_unit_test(products_take_what_follows),
      cmocka_unit_test(attributes_and_outputs_tell_nodes_apart),
      cmocka_unit_test(nodes_with_several_outputs),
      cmocka_unit_test(regions_keep_their_nodes),
      cmocka_unit_test(a_layer_is_shared_out),
      cmocka_unit_test(heads_that_are_too_few_stay),
      cmocka_unit_test(matrices_beside_values_stay_whole),
      cmocka_unit_test(sharing_without_memory_leaks_nothing),
      cmocka_unit_test(work_grows_with_the_graph),
      cmocka_unit_test(kv_append_is_never_merged),
      cmocka_unit_test(dead_code_goes),
      cmocka_unit_test(compaction_restores_order),
      cmocka_unit_test(constants_fold),
      cmocka_unit_test(the_pipeline_on_experts),
      cmocka_unit_test(sums_of_experts_that_are_used_twice_stay),
      cmocka_unit_test(the_pipeline_on_a_layer),
      cmocka_unit_test(the_pipeline_is_idempotent_and_pure),
      cmocka_unit_test(a_dead_user_does_not_stop_a_fusion),
      cmocka_unit_test(failing_allocations_leak_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
