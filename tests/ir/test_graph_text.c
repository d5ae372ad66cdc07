/* test_graph_text.c - the text form: what is printed is read back as the same graph; what is wrong is refused
 * with the line and what was expected; failing allocations; the fuzzer's corpus. */
#include <locale.h>
#include <math.h>

#include "tests/base/corpus.h"
#include "tests/base/failing_allocator.h"
#include "tests/ir/random_graph.h"

static void assert_round_trip(const wh_graph *g) {
  char *text = graph_text(g);
  wh_graph *back = graph_from_text(text);
  wh_hash128 before, after;
  assert_graph_text(back, text);
  assert_ok(wh_graph_hash(g, &before));
  assert_ok(wh_graph_hash(back, &after));
  assert_memory_equal(&before, &after, sizeof before);
  wh_graph_destroy(back);
  free(text);
}

static void random_graphs_round_trip(void **state) {
  (void)state;
  bool seen[WH_OP_COUNT] = {0};
  for (uint64_t seed = 1; seed <= 300; seed++) {
    wh_graph *g = random_graph_with_regions(seed, 60), *copy;
    assert_ok(wh_graph_verify(g));
    assert_round_trip(g);
    char *text = graph_text(g);
    assert_ok(wh_graph_clone(g, &copy));
    assert_graph_text(copy, text);
    assert_ok(wh_graph_verify(copy));
    wh_graph_destroy(copy);
    free(text);
    for (size_t n = 0; n < g->n_nodes; n++) seen[g->nodes[n].op] = true;
    wh_graph_destroy(g);
  }
  for (int op = 0; op < WH_OP_COUNT; op++)
    if (!seen[op]) fail_msg("no random graph has %s", wh_op_get((wh_op)op)->name);
}

static void a_layer_reads_as_it_prints(void **state) {
  (void)state;
  char *text = read_text_file(WH_TEST_CORPUS_DIR "/layer.txt");
  wh_graph *g = graph_from_text(text);
  assert_graph_text(g, text);
  assert_int_equal(g->n_nodes, 27);
  assert_int_equal(g->dims.n_symbols, 5);
  wh_graph_destroy(g);
  free(text);
}

static void names_keep_their_bytes(void **state) {
  (void)state;
  wh_graph *g =
      graph_from_text("graph \"\" { %1 = input \"\\x22 \\x5c \\xff\\x0a\" f32[] output \"~ !\" %1 }");
  assert_string_equal(g->name, "");
  assert_string_equal(wh_graph_value(g, 1)->name, "\" \\ \xff\n");
  assert_string_equal(g->outputs[0].name, "~ !");
  assert_graph_text(g,
                    "graph \"\" {\n  %1 = input \"\\x22 \\x5c \\xff\\x0a\" f32[]\n  output \"~ !\" %1\n}\n");
  wh_graph_destroy(g);
}

static void dims_read_as_they_print(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol a 0..100 symbol min 2..9 %1 = input \"x\" "
      "f32[((min max a) min ((a + 3) * 2)), ((2 + 3) * a), ((a + min) / 7), (min min a), 1099511627776, (a + "
      "0)] }");
  assert_graph_text(
      g,
      "graph \"g\" {\n  symbol a 0..100\n  symbol min 2..9\n  %1 = input \"x\" "
      "f32[(((a + 3) * 2) min (a max min)), (a * 5), ((a + min) / 7), (a min min), 1099511627776, a]\n}\n");
  wh_graph_destroy(g);
}

/* Exporters name dims as they like; "t" is the symbol t, whichever way it was written. */
static void odd_symbols_are_quoted(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol \"t\" 4..8 symbol \"Batch Size\" 1..2 symbol \"floor(h/2)\\x22\" 1..9 symbol "
      "\"9\" "
      "0..3\n%1 = input \"x\" f32[(\"t\" - \"9\"), (t mod \"floor(h/2)\\x22\"), (9 ceildiv \"Batch Size\"), "
      "\"9\"]\n"
      "%2 = neg(%1) \"the node\" : f32[(t - \"9\"), (t mod \"floor(h/2)\\x22\"), (9 ceildiv \"Batch Size\"), "
      "\"9\"] }");
  assert_string_equal(g->nodes[0].name, "the node"); /* and not a symbol of its shape */
  assert_graph_text(g,
                    "graph \"g\" {\n  symbol t 4..8\n  symbol \"Batch Size\" 1..2\n  symbol "
                    "\"floor(h/2)\\x22\" 1..9\n  symbol "
                    "\"9\" 0..3\n  %1 = input \"x\" f32[(t - \"9\"), (t mod \"floor(h/2)\\x22\"), (9 ceildiv "
                    "\"Batch Size\"), "
                    "\"9\"]\n  %2 = neg(%1) \"the node\" : f32[(t - \"9\"), (t mod \"floor(h/2)\\x22\"), (9 "
                    "ceildiv \"Batch "
                    "Size\"), \"9\"]\n}\n");
  assert_round_trip(g);
  wh_graph_destroy(g);
}

/* A batch of images of any size: the product of its dims is no dim, but each of them is in both shapes. */
static void reshapes_cancel_what_both_sides_have(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol n 1..65536 symbol h 1..65536 symbol w 1..65536 %1 = input \"x\" f32[n, 64, h, "
      "w]\n"
      "%2 = reshape(%1) {shape = [n, 4, 16, h, w]} \"y\" : f32[n, 4, 16, h, w] }");
  wh_graph_destroy(g);
}

static float alpha_of(const char *number) {
  char text[256];
  (void)snprintf(text, sizeof text,
                 "graph \"g\" { %%1 = input \"x\" f32[1] %%2 = scale(%%1) {alpha = %s} \"y\" : f32[1] }",
                 number);
  wh_graph *g = graph_from_text(text);
  float f = wh_node_f(&g->nodes[0], WH_ATTR_ALPHA);
  assert_round_trip(g);
  wh_graph_destroy(g);
  return f;
}

static void floats_are_exact(void **state) {
  (void)state;
  static const float values[] = {
      0.0f, 1.0f, -1.5f, 0.1f, 1e-5f, 3.14159274f, 0x1p-149f, 0x1.fffffep-127f, 0x1.fffffep127f, 0x1p-126f};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    char number[64];
    (void)snprintf(number, sizeof number, "%a", (double)values[i]);
    float back = alpha_of(number);
    assert_memory_equal(&back, &values[i], sizeof back);
  }
  assert_true(signbit(alpha_of("-0x0p+0")));
  assert_float_equal(alpha_of("0x18p-3"), 3.0f, 0);
  assert_float_equal(alpha_of("0x0.00000000001p+44"), 1.0f, 0);
  assert_float_equal(alpha_of("0xap3"), 80.0f, 0);
  test_rng r = {7};
  for (int i = 0; i < 2000; i++) { /* as C's %a has it */
    wh_graph *g = graph_from_text(
        "graph \"g\" { %1 = input \"x\" f32[1] %2 = scale(%1) {alpha = 0x0p+0} \"y\" : f32[1] }");
    wh_attr a = random_attr(&r, g, WH_ATTR_ALPHA, 0);
    g->nodes[0].attrs[0] = a;
    char want[64], *text = graph_text(g);
    (void)snprintf(want, sizeof want, "{alpha = %a}", (double)a.f);
    assert_non_null(strstr(text, want));
    free(text);
    wh_graph_destroy(g);
  }
}

/* printf's %a and strtod use the locale's decimal point; the text form must not. */
static void the_locale_does_not_show(void **state) {
  (void)state;
  static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
  bool comma = false;
  for (size_t i = 0; i < 4 && !comma; i++) comma = setlocale(LC_NUMERIC, locales[i]) != NULL;
  if (!comma) skip(); /* none is installed */
  assert_float_equal(alpha_of("0x1.8p+1"), 3.0f, 0);
  (void)setlocale(LC_NUMERIC, "C");
}

static void errors_name_line_and_expectation(void **state) {
  (void)state;
#define X "graph \"g\" {\n symbol t 1..8\n %1 = input \"x\" f32[t, 64]\n"
#define Y " %2 = scale(%1) "
#define Z " \"y\" : f32[t, 64]\n"
#define C(attr) "%2 = custom(%1) {" attr "}"
  static const struct {
    const char *text, *error;
  } bad[] = {
      {"", "line 1: expected 'graph', found the end"},
      {"graphs \"g\" {}", "line 1: expected 'graph', found 'graphs'"},
      {"graph g {}", "line 1: expected the graph's quoted name, found 'g'"},
      {"graph \"g\n\" {}", "line 1: expected printable text or \\xNN in a name"},
      {"graph \"g", "line 1: expected '\"' at the end of a name, found the end"},
      {"graph \"\\x0\" {}", "\\xNN, not 00, in a name"},
      {"graph \"\\x00\" {}", "\\xNN, not 00, in a name"},
      {"graph \"\\y41\" {}", "\\xNN, not 00, in a name"},
      {"graph \"\\x4", "\\xNN, not 00, in a name"},
      {"graph \"g\" }", "line 1: expected '{', found '}'"},
      {"graph \"g\" {\n\n  node }",
       "line 3: expected symbol, output, region, a value such as %1, or '}', found 'node'"},
      {"graph \"g\" {\n",
       "line 2: expected symbol, output, region, a value such as %1, or '}', found the end"},
      {"graph \"g\" {\n}\n x", "line 3: expected the end of the text, found 'x'"},
      {"graph \"g\" { \x80 }", "found a byte that is no text"},
      {"graph \"g\" { symbol T 1..8 }", "expected the name of a dimension, found 'T'"},
      {"graph \"g\" { symbol 1t 1..8 }", "expected the name of a dimension, found '1t'"},
      {"graph \"g\" { symbol \"\" 1..8 }", "line 1: a dimension symbol has no name"},
      {"graph \"g\" { symbol \"N M 1..8 }", "expected '\"' at the end of a name"},
      {"graph \"g\" { symbol \"N\" 1..8 symbol \"N\" 1..8 }", "line 1: symbol 'N' is declared twice"},
      {"graph \"g\" { symbol \"t\" 1..8 symbol t 1..8 }", "line 1: symbol 't' is declared twice"},
      {"graph \"g\" { symbol t 1-8 }", "expected '..', found '-8'"},
      {"graph \"g\" { symbol t 8..1 }", "line 1: symbol 't': bad range 8..1"},
      {"graph \"g\" { symbol t 1..99999999999999999999 }", "expected the largest value of the dimension"},
      {"graph \"g\" { symbol t 1..8\n symbol t 1..8 }", "line 2: symbol 't' is declared twice"},
      {X "%3 = input \"y\" f32[] }", "line 4: the next value is %2, not %3"},
      {X "%1 = input \"y\" f32[] }", "line 4: the next value is %2, not %1"},
      {X "%2 input \"y\" f32[] }", "line 4: expected '=', found 'input'"},
      {X "%2 = inputs \"y\" f32[] }", "line 4: expected input, const, state or an op, found 'inputs'"},
      {X "%2 = input y f32[] }", "line 4: expected a quoted name, found 'y'"},
      {X "%2 = input \"y\" f33[] }", "line 4: expected an element type, found 'f33[]'"},
      {X "%2 = input \"y\" f32 }", "line 4: expected '[', found '}'"},
      {X "%2 = input \"y\" f32[1 2] }", "line 4: expected ',' or ']', found '2]'"},
      {X "%2 = input \"y\" f32[u] }",
       "line 4: expected a dimension: a number, a declared symbol or '(', found 'u]'"},
      {X "%2 = input \"y\" f32[-1] }", "line 4: expected a dimension"},
      {X "%2 = input \"y\" f32[1099511627777] }", "line 4: expected a dimension of at most 2^40"},
      {X "%2 = input \"y\" f32[1,1,1,1,1,1,1,1,1] }", "line 4: more than 8 dimensions"},
      {X "%2 = input \"y\" f32[(t & 1)] }", "line 4: expected one of + - * / mod ceildiv min max, found '&'"},
      {X "%2 = input \"y\" f32[(t - 2)] }", "line 4: the dimension (t - 2) can be negative: as low as -1"},
      {X "%2 = input \"y\" f32[\"u\"] }", "line 4: expected a dimension: a number, a declared symbol"},
      {X "%2 = input \"y\" f32[(t + 1] }", "line 4: expected ')', found ']'"},
      {X "%2 = input \"y\" f32[(t / 0)] }", "line 4: a dimension is divided by what can be 0"},
      {X "%2 = input \"y\" f32[((1099511627776 * t) + t)] }", "line 4: a dimension can reach"},
      {X "%2 = const \"y\" f32[t] }", "line 4: constant 'y' has a symbolic dimension"},
      {X "%2 = const \"y\" q4_k[255] }", "line 4: constant 'y': its q4_k shape has no whole number of bytes"},
      {X "%2 = neg %1", "line 4: expected '(', found '%1'"},
      {X "%2 = neg(%0)" Z "}", "line 4: %0 is used before it is made"},
      {X "%2 = neg(%2)" Z "}", "line 4: %2 is used before it is made"},
      {X "%2 = neg(%99999999999)" Z "}", "line 4: expected the number of a value"},
      {X "%2 = neg(1)" Z "}", "line 4: expected a value such as %1, found '1)'"},
      {X "%2 = neg(%1 %1)" Z "}", "line 4: expected ',' or ')', found '%1)'"},
      {X "%2 = neg()" Z "}", "line 4: node 'y': neg takes 1 to 1 inputs, not 0"},
      {X "%2 = neg(_)" Z "}", "line 4: node 'y': input 0 is missing"},
      {X "%2 = add(%1,%1,%1,%1,%1,%1)" Z "}", "line 4: node 'y': add takes 2 to 2 inputs, not 6"},
      {X "%2, %4 = neg(%1)" Z "}", "line 4: the next value is %3, not %4"},
      {X "%2, 3 = neg(%1)" Z "}", "line 4: expected a value such as %1, found '3'"},
      {X "%2, %3 = input \"y\" f32[] }", "line 4: expected input, const, state or an op"},
      {X "%2, %3 = neg(%1)" Z "}", "line 4: node 'y' has 1 outputs, not 2 values of 1 shapes"},
      {X "%2 = neg(%1) \"y\" : f32[t, 64], f32[] }",
       "line 4: node 'y' has 1 outputs, not 1 values of 2 shapes"},
      {X "region ^2() { yield %1 } }", "line 4: the next region is ^1, not ^2"},
      {X "region 1() { yield %1 } }", "line 4: expected a region such as ^1, found '1()'"},
      {X "region ^1 { yield %1 } }", "line 4: expected '(', found '{'"},
      {X "region ^1(%3 : f32[]) { yield %1 } }", "line 4: the next value is %2, not %3"},
      {X "region ^1(%2 : f32[] %3 : f32[]) { yield %1 } }", "line 4: expected ',' or ')', found '%3'"},
      {X "region ^1(%2 f32[]) { yield %1 } }", "line 4: expected ':', found 'f32[])'"},
      {X "region ^1() { }", "line 4: expected a value such as %1, region or yield, found '}'"},
      {X "region ^1() { output \"o\" %1 yield %1 } }",
       "line 4: expected a value such as %1, region or yield"},
      {X "region ^1() { %2 = input \"y\" f32[] yield %1 } }",
       "line 4: expected input, const, state or an op"},
      {X "region ^1() { yield %1, } }", "line 4: expected a value such as %1, found '}'"},
      {X "region ^1() { yield %1 ", "line 4: expected ',' or '}', found the end"},
      {X "region ^1() {", "line 4: expected a value such as %1, region or yield, found the end"},
      {X "yield %1 }", "expected symbol, output, region"},
      {X "%2 = neg(%1) [^1, 2]" Z "}", "line 4: expected a region such as ^1, found '2]'"},
      {X "%2 = neg(%1) [^1" Z "}", "line 4: expected ',' or ']', found '\"y\"'"},
      {X C("name = n") Z "}", "line 4: expected a quoted string, found 'n}'"},
      {X C("ints = 1") Z "}", "line 4: expected '[', found '1}'"},
      {X C("ints = [1, 0x1p+0]") Z "}", "line 4: expected ',' or ']'"},
      {X C("floats = [1]") Z "}", "line 4: expected a hexadecimal float"},
      {X C("floats = [0x1p+0") Z "}", "line 4: expected ',' or ']', found '}'"},
      {X C("tensor = u8[2] \"0\"") Z "}", "line 4: expected pairs of hexadecimal digits before here"},
      {X C("tensor = u8[2] \"0g\"") Z "}", "line 4: expected pairs of hexadecimal digits before here"},
      {X C("tensor = u8[t] \"00\"") Z "}", "attribute tensor has a symbolic dimension"},
      {X C("tensor = u8[2] \"00\"") Z "}", "attribute tensor has another size than its shape"},
      {X C("tensor = string[1] \"00\"") Z "}", "attribute tensor has another size than its shape"},
      {X "%2 = neg(%1) : f32[] }", "line 4: expected the node's quoted name, found ':'"},
      {X "%2 = neg(%1) \"y\" f32[t, 64] }", "line 4: expected ':', found 'f32[t,'"},
      {X "%2 = neg(%1) \"y\" : f32[t, 63] }", "line 4: node 'y' has another shape than its operands give"},
      {X "%2 = neg(%1) \"y\" : f16[t, 64] }", "line 4: node 'y' has another shape than its operands give"},
      {X Y "{beta = 1}" Z "}", "line 4: expected an attribute of the op, found 'beta'"},
      {X Y "{eps = 0x1p0}" Z "}", "line 4: expected an attribute of the op, found 'eps'"},
      {X Y "{}" Z "}", "line 4: expected an attribute of the op, found '}'"},
      {X Y Z "}", "line 4: node 'y': scale lacks an attribute"},
      {X Y "{alpha 0x1p0}" Z "}", "line 4: expected '=', found '0x1p0}'"},
      {X Y "{alpha = 1.5}" Z "}", "line 4: expected a hexadecimal float such as 0x1.8p+3, found '1.5}'"},
      {X Y "{alpha = nan}" Z "}", "line 4: expected a hexadecimal float"},
      {X Y "{alpha = 0x.8p0}" Z "}", "line 4: expected a hexadecimal float"},
      {X Y "{alpha = 0x1.8}" Z "}", "line 4: expected a hexadecimal float"},
      {X Y "{alpha = 0x1.8.8p0}" Z "}", "line 4: expected a hexadecimal float"},
      {X Y "{alpha = 0x1p}" Z "}", "line 4: expected an exponent, found '}'"},
      {X Y "{alpha = 0x1p99999}" Z "}", "line 4: expected an exponent"},
      {X Y "{alpha = 0x1p+128}" Z "}", "line 4: the number is no 32-bit float"},
      {X Y "{alpha = 0x1p-150}" Z "}", "line 4: the number is no 32-bit float"},
      {X Y "{alpha = 0x1p-9999}" Z "}", "line 4: the number is no 32-bit float"},
      {X Y "{alpha = 0x1.0000001p+0}" Z "}", "line 4: the number is no 32-bit float"},
      {X Y "{alpha = 0x12345678901234p+0}" Z "}", "line 4: expected fewer digits"},
      {X Y "{alpha = 0x1p0" Z "}", "line 4: expected ',' or '}', found '\"y\"'"},
      {X "output x %1 }", "line 4: expected the output's quoted name, found 'x'"},
      {X "output \"x\" %2 }", "line 4: %2 is used before it is made"},
      {X "output \"x\" }", "line 4: expected a value such as %1, found '}'"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    wh_graph *g = NULL;
    if (wh_graph_parse(bad[i].text, strlen(bad[i].text), NULL, &g) == WH_OK)
      fail_msg("was accepted: %s", bad[i].text);
    assert_null(g);
    assert_error_says("graph text, line");
    assert_error_says(bad[i].error);
  }
}

static void integers_have_64_bits(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool ok;
  } cases[] = {{"9223372036854775807", true},
               {"-9223372036854775808", true},
               {"9223372036854775808", false},
               {"-9223372036854775809", false},
               {"-0", true},
               {"+1", false}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[512];
    wh_graph *g = NULL;
    (void)snprintf(text, sizeof text,
                   "graph \"g\" { %%1 = input \"x\" f32[1, 1, 4] %%2 = input \"t\" f32[1, 2, 1]\n"
                   "%%3 = rope(%%1, %%2) {neox = %s} \"y\" : f32[1, 1, 4] }",
                   cases[i].text);
    assert_int_equal(wh_graph_parse(text, strlen(text), NULL, &g) == WH_OK, cases[i].ok);
    if (g) assert_round_trip(g);
    wh_graph_destroy(g);
  }
}

static void nesting_and_length_are_bounded(void **state) {
  (void)state;
  size_t n = (size_t)17 << 20;
  char *text = malloc(n);
  assert_non_null(text);
  memset(text, '(', n);
  static const char head[] = "graph \"g\" { symbol t 1..8 %1 = input \"x\" f32[";
  memcpy(text, head, sizeof head - 1);
  wh_graph *g = NULL;
  assert_int_equal(wh_graph_parse(text, n, NULL, &g), WH_ERR_LIMIT);
  assert_error_says("at most 8388608 are read");
  assert_int_equal(wh_graph_parse(text, (size_t)1 << 20, NULL, &g), WH_ERR_LIMIT);
  assert_error_says("dimensions nest more than 256 deep");
  assert_null(g);
  free(text);
}

/* Every prefix of a valid text is an error or a graph, and never reads past its end (sanitizers watch). */
static void truncated_texts_are_refused(void **state) {
  (void)state;
  char *text = read_text_file(WH_TEST_CORPUS_DIR "/layer.txt");
  size_t length = strlen(text);
  for (size_t n = 0; n + 2 < length; n++) {
    char *exact = malloc(n + 1);
    wh_graph *g = NULL;
    memcpy(exact, text, n);
    assert_int_not_equal(wh_graph_parse(exact, n, NULL, &g), WH_OK);
    assert_null(g);
    free(exact);
  }
  free(text);
}

static void failing_allocations_leak_nothing(void **state) {
  (void)state;
  char *text = read_text_file(WH_TEST_CORPUS_DIR "/layer.txt");
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  for (size_t fail_at = 1; st != WH_OK; fail_at++) {
    failing_allocator a;
    wh_graph *g = NULL, *clone = NULL;
    wh_text_buffer b;
    wh_hash128 hash;
    const wh_allocator *alloc = failing_allocator_init(&a, fail_at);
    wh_text_buffer_init(&b, alloc);
    st = wh_graph_parse(text, strlen(text), alloc, &g);
    if (st == WH_OK) st = wh_graph_clone(g, &clone);
    if (st == WH_OK) st = wh_graph_hash(clone, &hash);
    if (st == WH_OK) st = wh_graph_print(clone, &b);
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    if (st == WH_OK) assert_true(fail_at > 20);
    wh_text_buffer_deinit(&b);
    wh_graph_destroy(clone);
    wh_graph_destroy(g);
    assert_int_equal(a.n_live, 0);
  }
  free(text);
}

static void the_corpus_holds(void **state) {
  (void)state;
  corpus_run(WH_TEST_CORPUS_DIR, 2, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_graphs_round_trip),
      cmocka_unit_test(a_layer_reads_as_it_prints),
      cmocka_unit_test(names_keep_their_bytes),
      cmocka_unit_test(dims_read_as_they_print),
      cmocka_unit_test(odd_symbols_are_quoted),
      cmocka_unit_test(reshapes_cancel_what_both_sides_have),
      cmocka_unit_test(floats_are_exact),
      cmocka_unit_test(the_locale_does_not_show),
      cmocka_unit_test(errors_name_line_and_expectation),
      cmocka_unit_test(integers_have_64_bits),
      cmocka_unit_test(nesting_and_length_are_bounded),
      cmocka_unit_test(truncated_texts_are_refused),
      cmocka_unit_test(failing_allocations_leak_nothing),
      cmocka_unit_test(the_corpus_holds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
