/* test_attention.c - attention as exporters write it becomes one op, and what only looks like it stays. */
#include "tests/passes/passes_text.h"

static wh_status chains_and_attention(wh_graph *g) {
  WH_TRY(wh_pass_chain(g, true, true));
  return wh_pass_attention(g);
}

#define QKV                              \
  "%9 = input \"q\" f32[2, t, 4, 16]\n"  \
  "%10 = input \"k\" f32[2, t, 4, 16]\n" \
  "%11 = input \"v\" f32[2, t, 4, 8]\n"  \
  "%12 = input \"m\" f32[2, 1, 1, t]\n"  \
  "%13 = const \"s\" f32[]\n"
#define TURNED(perm) " {perm = [" perm "]} "
#define S " : f32[2, 4, t, t]\n"
#define ONE(inputs, formula, perm) \
  "matmul_attention(" inputs ") {formula = \"" formula "\", perm = [" perm "]} "

/* BERT: heads side by side; scores are divided, then masked. */
static void bert(void **state) {
  (void)state;
  assert_rewrites(chains_and_attention,
                  QKV "%14 = transpose(%9)" TURNED("0, 2, 1, 3") "\"a\" : f32[2, 4, t, 16]\n"
                      "%15 = transpose(%10)" TURNED("0, 2, 3, 1") "\"b\" : f32[2, 4, 16, t]\n"
                      "%16 = transpose(%11)" TURNED("0, 2, 1, 3") "\"c\" : f32[2, 4, t, 8]\n"
                      "%17 = matmul(%14, %15) \"p\"" S "%18 = div(%17, %13) \"d\"" S
                      "%19 = add(%18, %12) \"e\"" S "%20 = softmax(%19) \"f\"" S
                      "%21 = matmul(%20, %16) \"g\" : f32[2, 4, t, 8]\n"
                      "%22 = transpose(%21)" TURNED("0, 2, 1, 3") "\"h\" : f32[2, t, 4, 8]\n"
                      "output \"o\" %22\n",
                  QKV "%14 = " ONE("%9, %10, %11, %12, %13", "div 0 2; add 3 1",
                                   "0, 2, 1, 3, 0, 2, 3, 1, 0, 2, 1, 3, 0, 2, 1, 3")
                      "\"h\" : f32[2, t, 4, 8]\noutput \"o\" %14\n");
}

/* torch's scaled_dot_product_attention: factors on both sides, k transposed twice, no mask. */
static void torch(void **state) {
  (void)state;
  assert_rewrites(chains_and_attention,
                  QKV "%14 = transpose(%9)" TURNED("0, 2, 1, 3") "\"a\" : f32[2, 4, t, 16]\n"
                      "%15 = transpose(%10)" TURNED("0, 2, 1, 3") "\"b\" : f32[2, 4, t, 16]\n"
                      "%16 = transpose(%15)" TURNED("0, 1, 3, 2") "\"c\" : f32[2, 4, 16, t]\n"
                      "%17 = transpose(%11)" TURNED("0, 2, 1, 3") "\"d\" : f32[2, 4, t, 8]\n"
                      "%18 = mul(%14, %13) \"e\" : f32[2, 4, t, 16]\n"
                      "%19 = matmul(%18, %16) \"p\"" S "%20 = softmax(%19) \"f\"" S
                      "%21 = matmul(%20, %17) \"g\" : f32[2, 4, t, 8]\noutput \"o\" %21\n",
                  QKV "%14 = transpose(%9)" TURNED("0, 2, 1, 3") "\"a\" : f32[2, 4, t, 16]\n"
                      "%15 = mul(%14, %13) \"e\" : f32[2, 4, t, 16]\n"
                      "%16 = " ONE("%15, %10, %11", "",
                                   "0, 1, 2, 3, 0, 2, 3, 1, 0, 2, 1, 3, 0, 1, 2, 3")
                      "\"g\" : f32[2, 4, t, 8]\noutput \"o\" %16\n");
}

/* Reshapes around both products: of q and the scores to [a, b, c], of the weights and the result to [d, e,
 * f].
 */
#define RESHAPED(heads, rows, kv, a, b, c, d, e, f)                                          \
  "%9 = input \"q\" f32[1, " heads ", " rows ", 16]\n%10 = input \"k\" f32[1, " kv           \
  ", 16, 5]\n"                                                                               \
  "%11 = input \"v\" f32[1, " kv                                                             \
  ", 5, 8]\n"                                                                                \
  "%12 = reshape(%9) {shape = [" a ", " b ", " c ", 16]} \"a\" : f32[" a ", " b ", " c       \
  ", 16]\n"                                                                                  \
  "%13 = matmul(%12, %10) \"p\" : f32[" a ", " b ", " c                                      \
  ", 5]\n"                                                                                   \
  "%14 = reshape(%13) {shape = [1, " heads ", " rows ", 5]} \"b\" : f32[1, " heads ", " rows \
  ", 5]\n"                                                                                   \
  "%15 = softmax(%14) \"f\" : f32[1, " heads ", " rows                                       \
  ", 5]\n"                                                                                   \
  "%16 = reshape(%15) {shape = [" d ", " e ", " f ", 5]} \"c\" : f32[" d ", " e ", " f       \
  ", 5]\n"                                                                                   \
  "%17 = matmul(%16, %11) \"g\" : f32[" d ", " e ", " f                                      \
  ", 8]\n"                                                                                   \
  "%18 = reshape(%17) {shape = [1, " heads ", " rows ", 8]} \"y\" : f32[1, " heads ", " rows \
  ", 8]\n"                                                                                   \
  "output \"o\" %18\n"

/* Heads that share keys: rows of one product, apart again under the mask. As importers lower
 * GroupQueryAttention. */
#define GROUPED(mask, scores)                                                                        \
  "%9 = input \"q\" f32[2, 6, t, 16]\n%10 = input \"k\" f32[2, 3, 16, 5]\n"                          \
  "%11 = input \"v\" f32[2, 3, 5, 8]\n%12 = input \"m\" f32[t, 5]\n"                                 \
  "%13 = reshape(%9) {shape = [2, 3, (2 * t), 16]} \"a\" : f32[2, 3, (2 * t), 16]\n"                 \
  "%14 = matmul(%13, %10) \"p\" : f32[2, 3, (2 * t), 5]\n"                                           \
  "%15 = reshape(%14) {shape = [2, 6, t, 5]} \"b\" : f32[2, 6, t, 5]\n" mask "%17 = softmax(" scores \
  ") \"f\" : f32[2, 6, t, 5]\n"                                                                      \
  "%18 = reshape(%17) {shape = [2, 3, (2 * t), 5]} \"c\" : f32[2, 3, (2 * t), 5]\n"                  \
  "%19 = matmul(%18, %11) \"g\" : f32[2, 3, (2 * t), 8]\n"                                           \
  "%20 = reshape(%19) {shape = [2, 6, t, 8]} \"y\" : f32[2, 6, t, 8]\n"
#define PLAIN_ORDERS "0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3"

static void heads_that_share_keys(void **state) {
  (void)state;
  assert_rewrites(chains_and_attention,
                  GROUPED("%16 = add(%15, %12) \"e\" : f32[2, 6, t, 5]\n", "%16") "output \"o\" %20\n",
                  "%9 = input \"q\" f32[2, 6, t, 16]\n%10 = input \"k\" f32[2, 3, 16, 5]\n"
                  "%11 = input \"v\" f32[2, 3, 5, 8]\n%12 = input \"m\" f32[t, 5]\n"
                  "%13 = " ONE("%9, %10, %11, %12", "add 0 1",
                               PLAIN_ORDERS) "\"y\" : f32[2, 6, t, 8]\noutput \"o\" %13\n");
}

#define THREE                                                                                         \
  "%9 = input \"q\" f32[2, t, 16]\n%10 = input \"k\" f32[2, 16, t]\n%11 = input \"v\" f32[2, t, 8]\n" \
  "%12 = matmul(%9, %10) \"p\" : f32[2, t, t]\n%13 = softmax(%12) \"f\" : f32[2, t, t]\n"

static void look_alikes_stay(void **state) {
  (void)state;
  /* weights, or scores, that something else wants */
  assert_keeps(chains_and_attention, THREE
               "%14 = matmul(%13, %11) \"g\" : f32[2, t, 8]\n"
               "output \"o\" %14\noutput \"w\" %13\n");
  assert_keeps(chains_and_attention, THREE
               "%14 = matmul(%13, %11) \"g\" : f32[2, t, 8]\n"
               "output \"o\" %14\noutput \"w\" %12\n");
  /* weights as the second factor */
  assert_keeps(chains_and_attention, THREE "%14 = matmul(%12, %13) \"g\" : f32[2, t, t]\noutput \"o\" %14\n");
  /* values that are one matrix for all */
  assert_keeps(chains_and_attention,
               "%9 = input \"q\" f32[2, t, 16]\n%10 = input \"k\" f32[2, 16, 64]\n"
               "%11 = matmul(%9, %10) \"p\" : f32[2, t, 64]\n%12 = softmax(%11) \"f\" : f32[2, t, 64]\n"
               "%13 = matmul(%12, %3) \"g\" : f32[2, t, 64]\noutput \"o\" %13\n");
  /* heads that take keys in turns, in both products or in the second, and rows of one head with several */
  assert_keeps(chains_and_attention, RESHAPED("6", "t", "3", "2", "3", "t", "2", "3", "t"));
  assert_keeps(chains_and_attention, RESHAPED("6", "10", "3", "1", "3", "20", "2", "3", "10"));
  assert_keeps(chains_and_attention, RESHAPED("6", "10", "6", "2", "6", "5", "2", "6", "5"));
  /* weights that are set to 0 where a row sees no key */
  assert_keeps(chains_and_attention, THREE
               "%14 = input \"e\" bool[t, 1]\n%15 = const \"z\" f32[]\n"
               "%16 = where(%14, %15, %13) \"h\" : f32[2, t, t]\n"
               "%17 = matmul(%16, %11) \"g\" : f32[2, t, 8]\noutput \"o\" %17\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(bert), cmocka_unit_test(torch),
                                     cmocka_unit_test(heads_that_share_keys),
                                     cmocka_unit_test(look_alikes_stay)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
