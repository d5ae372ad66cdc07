/* test_lm.c - batches on the fake backend, with a model small enough to know its answers: a token's
 * embedding is (id, 1), "attention" sums what its sequence holds up to the token, and the logits of a row are
 * (sum of ids so far, number of tokens so far, id). */
#include <math.h>

#include "tests/base/failing_allocator.h"
#include "tests/ir/graph_fixture.h"
#include "tests/lm/lm_fixture.h"

#define N_VOCAB 10
#define CONTEXT 6
#define MAX_BATCH 5
#define MAX_OUTPUTS 3
#define MAX_SEQUENCES 2

#define HEAD                \
  "graph \"counter\" {\n"   \
  "  symbol tokens 1..16\n" \
  "  symbol outputs 0..8\n" \
  "  symbol pages 1..8\n"   \
  "  symbol slots 1..4\n"   \
  "  symbol table 1..2\n"
#define INPUTS                                  \
  "  %1 = input \"tokens\" i32[tokens]\n"       \
  "  %2 = input \"positions\" i32[tokens]\n"    \
  "  %3 = input \"sequences\" i32[tokens]\n"    \
  "  %4 = input \"output_rows\" i32[outputs]\n" \
  "  %5 = input \"page_table\" i32[slots, table]\n"
#define BODY                                                                                                \
  "  %6 = const \"table\" f32[10, 2]\n"                                                                     \
  "  %7 = state \"values\" f32[pages, 1, 64, 2]\n"                                                          \
  "  %8 = const \"from_sum\" f32[3, 2]\n"                                                                   \
  "  %9 = const \"from_token\" f32[3, 2]\n"                                                                 \
  "  %10 = state \"keys\" f32[pages, 1, 64, 2]\n"                                                           \
  "  %11 = gather_rows(%6, %1) \"embed\" : f32[tokens, 2]\n"                                                \
  "  %12 = reshape(%11) {shape = [tokens, 1, 2]} \"heads\" : f32[tokens, 1, 2]\n"                           \
  "  %13 = kv_append(%7, %12, %2, %3, %5) {key = 0} \"append\" : f32[pages, 1, 64, 2]\n"                    \
  "  %14 = kv_append(%10, %12, %2, %3, %5) {key = 1} \"append_k\" : f32[pages, 1, 64, 2]\n"                 \
  "  %15 = attention(%12, %14, %13, %2, %3, %5) {scale = 0x1p+0, softcap = 0x0p+0, window = 0} \"attn\" : " \
  "f32[tokens, 1, 2]\n"                                                                                     \
  "  %16 = reshape(%15) {shape = [tokens, 2]} \"flat\" : f32[tokens, 2]\n"                                  \
  "  %17 = select_rows(%16, %4) \"rows\" : f32[outputs, 2]\n"                                               \
  "  %18 = select_rows(%11, %4) \"token_rows\" : f32[outputs, 2]\n"                                         \
  "  %19 = linear(%17, %8) \"sums\" : f32[outputs, 3]\n"                                                    \
  "  %20 = linear(%18, %9, _, %19) \"logits\" : f32[outputs, 3]\n"                                          \
  "  output \"logits\" %20\n"                                                                               \
  "}\n"

static const float from_sum[6] = {1, 0, 0, 1, 0, 0}, from_token[6] = {0, 0, 0, 0, 1, 0};

typedef struct session_fixture {
  fake_device dev;
  failing_allocator alloc;
  float table[2 * N_VOCAB];
  wh_program *p;
  wh_lm *s;
} session_fixture;

static wh_graph *counter_graph(session_fixture *f) {
  wh_graph *g = graph_from_text(HEAD INPUTS BODY);
  for (int i = 0; i < N_VOCAB; i++) {
    f->table[2 * i] = (float)i;
    f->table[2 * i + 1] = 1;
  }
  g->values[6].data = f->table;
  g->values[6].origin = f; /* of a file: read in place */
  g->values[8].data = from_sum;
  g->values[9].data = from_token;
  return g;
}

static wh_lm_options options_of(session_fixture *f) {
  return (wh_lm_options){.alloc = &f->alloc.base,
                         .context = CONTEXT,
                         .max_batch = MAX_BATCH,
                         .max_outputs = MAX_OUTPUTS,
                         .max_sequences = MAX_SEQUENCES,
                         .n_pages = MAX_SEQUENCES};
}

static wh_status create(session_fixture *f, wh_graph *g, const wh_lm_options *o) {
  return lm_create(g, &f->dev, o, &f->p, &f->s);
}

/* `bad`: of the embedding of token 8, where that is not 0; `hidden`: the host cannot address the device. */
static void setup_with(session_fixture *f, bool hidden, float bad) {
  *f = (session_fixture){.dev = {.hidden = hidden}};
  f->dev.alloc = failing_allocator_init(&f->alloc, 0);
  const wh_lm_options o = options_of(f);
  wh_graph *g = counter_graph(f);
  if (bad != 0) f->table[2 * 8] = bad;
  assert_ok(create(f, g, &o));
}
static void setup(session_fixture *f) { setup_with(f, false, 0); }

static void teardown(session_fixture *f) {
  wh_lm_destroy(f->s);
  wh_program_release(f->p);
  assert_int_equal(f->alloc.n_live, 0);
}

static wh_status run(session_fixture *f, uint32_t n, const int32_t *tokens, const int32_t *sequences,
                     uint32_t n_outputs, const int32_t *rows) {
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = n;
  b.tokens = tokens;
  b.sequences = sequences;
  b.n_outputs = n_outputs;
  b.output_rows = rows;
  return wh_lm_run(f->s, &b);
}

#define T(...) ((const int32_t[]){__VA_ARGS__})

static void assert_logits(const session_fixture *f, uint32_t output, float sum, float count, float id) {
  const float *y = wh_lm_row(f->s, output);
  assert_non_null(y);
  assert_float_equal(y[0], sum, 0);
  assert_float_equal(y[1], count, 0);
  assert_float_equal(y[2], id, 0);
}

static void tokens_follow_each_other(void **state) {
  (void)state;
  session_fixture f;
  setup(&f);
  assert_int_equal(lm_length(f.s, 0), 0);
  assert_null(wh_lm_row(f.s, 0));
  assert_ok(run(&f, 3, T(1, 2, 3), NULL, 3, T(0, 1, 2)));
  assert_logits(&f, 0, 1, 1, 1);
  assert_logits(&f, 1, 3, 2, 2);
  assert_logits(&f, 2, 6, 3, 3);
  assert_null(wh_lm_row(f.s, 3));
  assert_ok(run(&f, 1, T(4), NULL, 1, NULL)); /* the last row by default */
  assert_logits(&f, 0, 10, 4, 4);
  assert_null(wh_lm_row(f.s, 1));
  assert_ok(run(&f, 1, T(5), NULL, 0, NULL)); /* no logits wanted */
  assert_null(wh_lm_row(f.s, 0));
  assert_int_equal(lm_length(f.s, 0), 5);
  assert_ok(run(&f, 1, T(6), NULL, 1, T(0)));
  assert_logits(&f, 0, 21, 6, 6);
  teardown(&f);
}

static void sequences_do_not_mix(void **state) {
  (void)state;
  session_fixture f;
  setup(&f);
  assert_ok(run(&f, 3, T(1, 2, 9), T(0, 0, 1), 2, T(1, 2)));
  assert_logits(&f, 0, 3, 2, 2);
  assert_logits(&f, 1, 9, 1, 9);
  assert_ok(run(&f, 4, T(8, 7, 3, 4), T(1, 1, 0, 0), 2, T(1, 3))); /* in another order */
  assert_logits(&f, 0, 24, 3, 7);
  assert_logits(&f, 1, 10, 4, 4);
  assert_int_equal(lm_length(f.s, 0), 4);
  assert_int_equal(lm_length(f.s, 1), 3);
  assert_int_equal(lm_length(f.s, 2), 0);
  teardown(&f);
}

static void bad_batches_change_nothing(void **state) {
  (void)state;
  session_fixture f;
  setup(&f);
  assert_ok(run(&f, 2, T(1, 2), NULL, 1, NULL));
  static const struct {
    uint32_t n;
    int32_t tokens[8], sequences[8];
    uint32_t n_outputs;
    int32_t rows[4];
    wh_status status;
    const char *error;
  } bad[] = {
      {0, {0}, {0}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "a batch of 0 tokens: must be 1 to 5"},
      {6, {0}, {0}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "a batch of 6 tokens: must be 1 to 5"},
      {2, {3, 10}, {0}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "token 10 at 1: the vocabulary has 10"},
      {1, {-1}, {0}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "token -1 at 0: the vocabulary has 10"},
      {1, {INT32_MIN}, {0}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "the vocabulary has 10"},
      {2, {3, 3}, {0, 2}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "sequence 2 at 1: the session has 2"},
      {1, {3}, {-1}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "sequence -1 at 0: the session has 2"},
      {3, {3, 4, 5}, {0, 1, 0}, 1, {0}, WH_ERR_INVALID_ARGUMENT, "the tokens of sequence 0 are not adjacent"},
      {5, {3, 4, 5, 6, 7}, {0}, 1, {0}, WH_ERR_LIMIT, "the context of 6 tokens is full"},
      {2, {3, 4}, {0}, 4, {0}, WH_ERR_INVALID_ARGUMENT, "4 rows of logits wanted: at most 3"},
      {2, {3, 4}, {0}, 1, {2}, WH_ERR_INVALID_ARGUMENT, "output row 2: rows must ascend within the batch"},
      {2, {3, 4}, {0}, 1, {-1}, WH_ERR_INVALID_ARGUMENT, "output row -1: rows must ascend"},
      {2, {3, 4}, {0}, 2, {1, 1}, WH_ERR_INVALID_ARGUMENT, "output row 1: rows must ascend"},
      {2, {3, 4}, {0}, 2, {1, 0}, WH_ERR_INVALID_ARGUMENT, "output row 0: rows must ascend"},
  };
  size_t n_run = f.dev.n_run;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(run(&f, bad[i].n, bad[i].tokens, bad[i].sequences, bad[i].n_outputs, bad[i].rows),
                     bad[i].status);
    assert_error_says(bad[i].error);
    assert_null(wh_lm_row(f.s, 0));
    assert_int_equal(lm_length(f.s, 0), 2);
    assert_int_equal(lm_length(f.s, 1), 0);
  }
  assert_int_equal(run(&f, 2, T(3, 4), NULL, 2, NULL), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("output rows are not given");
  assert_int_equal(run(&f, 2, NULL, NULL, 1, NULL), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("a batch without tokens");
  assert_int_equal(f.dev.n_run, n_run);
  assert_ok(run(&f, 4, T(3, 4, 5, 6), NULL, 1, NULL)); /* fills the context exactly */
  assert_logits(&f, 0, 21, 6, 6);
  assert_int_equal(run(&f, 1, T(1), NULL, 1, NULL), WH_ERR_LIMIT);
  assert_ok(run(&f, 1, T(1), T(1), 1, NULL)); /* the other sequence has room */
  teardown(&f);
}

static void truncation_forgets(void **state) {
  (void)state;
  session_fixture f;
  setup(&f);
  assert_ok(run(&f, 4, T(1, 2, 3, 4), NULL, 1, NULL));
  assert_int_equal(lm_truncate(f.s, 0, 5), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("the sequence holds 4 tokens; cannot keep 5");
  assert_int_equal(lm_truncate(f.s, 2, 0), WH_ERR_INVALID_ARGUMENT);
  assert_ok(lm_truncate(f.s, 0, 4));
  assert_ok(lm_truncate(f.s, 0, 2));
  assert_int_equal(lm_length(f.s, 0), 2);
  assert_ok(run(&f, 1, T(9), NULL, 1, NULL));
  assert_logits(&f, 0, 12, 3, 9);
  assert_ok(lm_truncate(f.s, 0, 0));
  assert_ok(run(&f, 1, T(7), NULL, 1, NULL));
  assert_logits(&f, 0, 7, 1, 7);
  teardown(&f);
}

typedef struct trace_record {
  size_t n, stop_at;
  char text[512];
  float last[3];
} trace_record;

static int record_trace(void *ctx, const wh_run_trace_event *e) {
  trace_record *t = ctx;
  assert_int_equal(e->step, t->n);
  size_t at = strlen(t->text);
  (void)snprintf(t->text + at, sizeof t->text - at, "%s:%s[%lld]%llu ", e->node->name,
                 wh_op_get(e->node->op)->name, (long long)e->port.dims[0], (unsigned long long)e->n_bytes);
  assert_int_equal(e->port.dtype, WH_DTYPE_F32);
  if (e->n_bytes == sizeof t->last) memcpy(t->last, e->port.data, sizeof t->last);
  return ++t->n == t->stop_at;
}

static void traces_show_every_instruction(void **state) {
  (void)state;
  session_fixture f;
  trace_record t = {0};
  setup(&f);
  wh_lm_set_trace(f.s, record_trace, &t);
  assert_ok(run(&f, 2, T(4, 5), NULL, 1, NULL));
  assert_string_equal(t.text,
                      "embed:gather_rows[2]16 append:kv_append[2]1024 append_k:kv_append[2]1024 "
                      "token_rows:select_rows[1]8 attn:attention[2]16 rows:select_rows[1]8 sums:linear[1]12 "
                      "logits:linear[1]12 ");
  assert_logits(&f, 0, 9, 2, 5);
  assert_memory_equal(t.last, wh_lm_row(f.s, 0), sizeof t.last);
  t = (trace_record){.stop_at = 3};
  assert_int_equal(run(&f, 1, T(1), NULL, 1, NULL), WH_ERR_CANCELLED);
  assert_int_equal(t.n, 3);
  assert_int_equal(lm_length(f.s, 0), 2); /* as before the call */
  wh_lm_set_trace(f.s, NULL, NULL);
  assert_ok(run(&f, 1, T(1), NULL, 1, NULL));
  assert_logits(&f, 0, 10, 3, 1);
  assert_int_equal(t.n, 3);
  teardown(&f);
}

static void non_finite_logits_are_an_error(void **state) {
  (void)state;
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 3; i++) {
    session_fixture f;
    setup(&f);
    assert_ok(run(&f, 1, T(1), NULL, 1, NULL));
    f.table[2 * 8] = bad[i];
    assert_int_equal(run(&f, 2, T(2, 8), NULL, 2, T(0, 1)), WH_ERR_CORRUPT);
    assert_error_says("tensor 'table' holds a NaN or infinite value in the row of token 8");
    assert_int_equal(lm_length(f.s, 0), 1);
    assert_null(wh_lm_row(f.s, 0));
    assert_ok(run(&f, 1, T(2), NULL, 1, NULL)); /* the session goes on */
    assert_logits(&f, 0, 3, 2, 2);
    f.table[2 * 9] = 3e38f; /* finite, but sums overflow */
    assert_ok(run(&f, 1, T(9), T(1), 1, NULL));
    assert_int_equal(run(&f, 1, T(9), T(1), 1, NULL), WH_ERR_CORRUPT);
    assert_error_says("a logit that is not finite");
    teardown(&f);
  }
}

/* A row that is not finite is its sequence's business. */
static void one_bad_row_fails_nobody_else(void **state) {
  (void)state;
  session_fixture f;
  setup(&f);
  assert_ok(run(&f, 1, T(1), T(0), 1, NULL));
  f.table[2 * 8] = NAN;
  assert_ok(run(&f, 3, T(8, 3, 4), T(0, 1, 1), 3, T(0, 1, 2)));
  assert_null(wh_lm_row(f.s, 0));
  assert_int_equal(wh_lm_row_status(f.s, 0), WH_ERR_CORRUPT);
  assert_error_says("tensor 'table' holds a NaN or infinite value in the row of token 8");
  assert_ok(wh_lm_row_status(f.s, 1));
  assert_int_equal(wh_lm_row_status(f.s, 3), WH_ERR_NOT_FOUND);
  assert_logits(&f, 1, 3, 1, 3);
  assert_logits(&f, 2, 7, 2, 4);
  assert_int_equal(lm_length(f.s, 0), 1); /* what it held before */
  assert_int_equal(lm_length(f.s, 1), 2);
  assert_ok(run(&f, 2, T(5, 2), T(1, 0), 2, T(0, 1)));
  assert_logits(&f, 0, 12, 3, 5);
  assert_logits(&f, 1, 3, 2, 2);

  wh_sequence *good = NULL, *bad = NULL; /* the same of sequences as handles */
  assert_ok(lm_truncate(f.s, 0, 0));
  assert_ok(lm_truncate(f.s, 1, 0));
  assert_ok(wh_lm_sequence_create(f.s, &bad));
  assert_ok(wh_lm_sequence_create(f.s, &good));
  assert_ok(wh_lm_sequence_append(bad, T(2, 8), 2, 1));
  assert_ok(wh_lm_sequence_append(good, T(2, 3), 2, 2));
  uint32_t n_waiting;
  assert_ok(wh_lm_step(f.s, &n_waiting));
  assert_int_equal(n_waiting, 0);
  assert_null(wh_lm_sequence_row(bad, 0));
  assert_int_equal(wh_lm_sequence_status(bad), WH_ERR_CORRUPT);
  assert_error_says("row of token 8");
  assert_ok(wh_lm_sequence_status(good));
  assert_float_equal(wh_lm_sequence_row(good, 0)[0], 2, 0);
  assert_float_equal(wh_lm_sequence_row(good, 1)[0], 5, 0);
  teardown(&f);
}

/* Where the host does not address the device, the best logits come by themselves, and the row when it is
 * asked for. */
static void rows_stay_on_the_device(void **state) {
  (void)state;
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  session_fixture f;
  wh_lm_best best;
  setup_with(&f, true, 0);
  assert_ok(run(&f, 3, T(1, 2, 9), NULL, 2, T(0, 2)));
  size_t n = f.dev.n_downloads;
  assert_true(wh_lm_row_best(f.s, 1, &best));
  assert_int_equal(best.n, 3);
  assert_memory_equal(best.ids, ((int64_t[]){0, 2, 1}), 3 * sizeof *best.ids); /* 12, 9, 3 */
  assert_memory_equal(best.logits, ((float[]){12, 9, 3}), 3 * sizeof *best.logits);
  assert_true(wh_lm_row_best(f.s, 0, &best));
  assert_memory_equal(best.ids, ((int64_t[]){0, 1, 2}), 3 * sizeof *best.ids); /* 1, 1, 1 */
  assert_false(wh_lm_row_best(f.s, 2, &best));
  assert_int_equal(f.dev.n_downloads, n);
  assert_logits(&f, 1, 12, 3, 9);
  assert_logits(&f, 0, 1, 1, 1);
  assert_int_equal(f.dev.n_downloads, n + 1);
  assert_ok(run(&f, 1, T(2), NULL, 1, NULL)); /* the next step's */
  assert_logits(&f, 0, 14, 4, 2);
  teardown(&f);
  for (size_t i = 0; i < 3; i++) {
    setup_with(&f, true, bad[i]);
    assert_ok(run(&f, 3, T(8, 3, 4), T(0, 1, 1), 3, T(0, 1, 2)));
    assert_false(wh_lm_row_best(f.s, 0, &best));
    assert_int_equal(wh_lm_row_status(f.s, 0), WH_ERR_CORRUPT);
    assert_true(wh_lm_row_best(f.s, 2, &best));
    assert_float_equal(best.logits[0], 7, 0);
    assert_logits(&f, 2, 7, 2, 4);
    teardown(&f);
  }
}

static void best_of_sequences_as_handles(void **state) {
  (void)state;
  session_fixture f;
  wh_lm_best best;
  wh_sequence *s = NULL;
  uint32_t n_waiting;
  setup_with(&f, true, 0);
  assert_ok(wh_lm_sequence_create(f.s, &s));
  assert_ok(wh_lm_sequence_append(s, T(2, 3), 2, 2));
  assert_false(wh_lm_sequence_row_best(s, 0, &best));
  assert_ok(wh_lm_step(f.s, &n_waiting));
  const size_t n = f.dev.n_downloads;
  assert_true(wh_lm_sequence_row_best(s, 1, &best));
  assert_float_equal(best.logits[0], 5, 0);
  assert_false(wh_lm_sequence_row_best(s, 2, &best));
  assert_int_equal(f.dev.n_downloads, n);
  f.dev.fail_at = f.dev.n_calls + 1;
  assert_null(wh_lm_sequence_row(s, 1)); /* it cannot be had now */
  assert_float_equal(wh_lm_sequence_row(s, 1)[0], 5, 0);
  teardown(&f);
}

static void other_graphs_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *text, *error;
  } graphs[] = {
      {"graph \"g\" { symbol tokens 1..8 %1 = input \"tokens\" i32[tokens] output \"logits\" %1 }",
       "graph 'g' has no dimension 'outputs'; it is no language model"},
      {HEAD "%1 = input \"token\" i32[tokens] %2 = input \"positions\" i32[tokens] %3 = input \"sequences\" "
            "i32[tokens]\n"
            "%4 = input \"output_rows\" i32[outputs] %5 = input \"page_table\" i32[slots, table]\n" BODY,
       "graph 'counter' has no input 'tokens' of i32[tokens]"},
      {HEAD INPUTS
       "%6 = input \"x\" f32[outputs, 4] %7 = neg(%6) \"y\" : f32[outputs, 4] output \"probabilities\" %7 }",
       "has no output 'logits' of f32[outputs, n]"},
      {HEAD INPUTS "%6 = input \"x\" f32[tokens, 4] output \"logits\" %6 }",
       "has no output 'logits' of f32[outputs, n]"},
      {HEAD INPUTS "%6 = input \"x\" f32[outputs, tokens] output \"logits\" %6 }",
       "has no output 'logits' of f32[outputs, n]"},
      {HEAD INPUTS "%6 = input \"x\" f32[outputs] output \"logits\" %6 }",
       "has no output 'logits' of f32[outputs, n]"},
      {HEAD INPUTS "%6 = input \"x\" q8a[outputs, 4] output \"logits\" %6 }",
       "has no output 'logits' of f32[outputs, n]"},
      {HEAD "%1 = input \"tokens\" i8[tokens] %2 = input \"positions\" i32[tokens] %3 = input \"sequences\" "
            "i32[tokens]\n"
            "%4 = input \"output_rows\" i32[outputs] %5 = input \"x\" f32[outputs, 4] output \"logits\" %5 }",
       "has no input 'tokens' of i32[tokens]"},
      {HEAD "%1 = input \"tokens\" i32[tokens] %2 = input \"positions\" i32[tokens] %3 = input \"sequences\" "
            "i32[tokens]\n"
            "%4 = input \"output_rows\" i32[slots] %5 = input \"x\" f32[outputs, 4] output \"logits\" %5 }",
       "has no input 'output_rows' of i32[outputs]"},
      {HEAD "%1 = input \"tokens\" i32[tokens] %2 = input \"positions\" i32[tokens] %3 = input \"sequences\" "
            "i32[tokens]\n"
            "%4 = input \"output_rows\" i32[outputs] %5 = input \"page_table\" i32[table, slots]\n" BODY,
       "has no input 'page_table' of i32[slots, table]"},
  };
  for (size_t i = 0; i < sizeof graphs / sizeof graphs[0]; i++) {
    session_fixture f = {0};
    f.dev.alloc = failing_allocator_init(&f.alloc, 0);
    const wh_lm_options o = options_of(&f);
    assert_int_equal(create(&f, graph_from_text(graphs[i].text), &o), WH_ERR_UNSUPPORTED);
    assert_error_says(graphs[i].error);
    assert_null(f.s);
    teardown(&f);
  }
}

static void options_past_the_graphs_range_are_refused(void **state) {
  (void)state;
  session_fixture f = {0};
  f.dev.alloc = failing_allocator_init(&f.alloc, 0);
  wh_lm_options o = options_of(&f);
  o.context = 129;
  assert_int_equal(create(&f, counter_graph(&f), &o), WH_ERR_LIMIT);
  assert_error_says("dimension 'table' of graph 'counter' cannot be 3: at most 2");
  teardown(&f);
  o = options_of(&f);
  o.max_sequences = 5;
  assert_int_equal(create(&f, counter_graph(&f), &o), WH_ERR_LIMIT);
  assert_null(f.s);
  teardown(&f);
}

static void fail_allocations(bool hidden) {
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  size_t fail_at = 0;
  while (st != WH_OK) {
    session_fixture f = {.dev = {.hidden = hidden}};
    f.dev.alloc = failing_allocator_init(&f.alloc, ++fail_at);
    const wh_lm_options o = options_of(&f);
    st = create(&f, counter_graph(&f), &o);
    if (st == WH_OK) { /* running allocates nothing, right or wrong */
      size_t n = f.alloc.n_requests;
      assert_ok(run(&f, 3, T(1, 2, 3), NULL, 2, T(0, 2)));
      assert_int_equal(run(&f, 1, T(77), NULL, 1, NULL), WH_ERR_INVALID_ARGUMENT);
      assert_ok(lm_truncate(f.s, 0, 1));
      assert_int_equal(f.alloc.n_requests, n);
    } else {
      assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    }
    teardown(&f);
  }
  assert_true(fail_at > 20);
}

static void failing_allocations_leak_nothing(void **state) {
  (void)state;
  fail_allocations(false);
  fail_allocations(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tokens_follow_each_other),
      cmocka_unit_test(sequences_do_not_mix),
      cmocka_unit_test(bad_batches_change_nothing),
      cmocka_unit_test(truncation_forgets),
      cmocka_unit_test(traces_show_every_instruction),
      cmocka_unit_test(non_finite_logits_are_an_error),
      cmocka_unit_test(one_bad_row_fails_nobody_else),
      cmocka_unit_test(rows_stay_on_the_device),
      cmocka_unit_test(best_of_sequences_as_handles),
      cmocka_unit_test(other_graphs_are_refused),
      cmocka_unit_test(options_past_the_graphs_range_are_refused),
      cmocka_unit_test(failing_allocations_leak_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
