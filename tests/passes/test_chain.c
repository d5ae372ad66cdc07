/* test_chain.c - formulas of elementwise steps, alone and behind convolutions and products. */
#include "tests/passes/passes_text.h"

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

/* Chains, with a given number for "z". */
static float bound;
static wh_status bound_pass(wh_graph *g) {
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_CONST && g->values[v].shape.rank == 0) {
      g->values[v].data = &bound;
      g->values[v].n_bytes = sizeof bound;
    }
  return chain_pass(g);
}

static void maxima_with_zero_are_relu(void **state) {
  (void)state;
#define ZERO "%9 = const \"z\" f32[]\n"
  static const char text[] =
      ZERO "%10 = max(%1, %9) \"a\"" F "%11 = max(%9, %10) \"b\"" F "output \"o\" %11\n";
  bound = 0.0f;
  assert_rewrites(bound_pass, text,
                  ZERO "%10 = chain(%1)" CHAIN("relu 0; relu 1") "\"b\"" F "output \"o\" %10\n");
  static const float others[] = {-0.0f, 1.0f};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    bound = others[i];
    assert_rewrites(bound_pass, text,
                    ZERO "%10 = chain(%9, %1)" CHAIN("max 1 0; max 0 2") "\"b\"" F "output \"o\" %10\n");
  }
}

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(steps_become_chains),
      cmocka_unit_test(steps_do_not_become_chains),
      cmocka_unit_test(maxima_with_zero_are_relu),
      cmocka_unit_test(convolutions_take_what_follows),
      cmocka_unit_test(what_lies_between_codes_is_one),
      cmocka_unit_test(products_take_what_follows),
      cmocka_unit_test(what_lies_between_codes_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
