/* test_long_rope.c - sessions of a model with two sets of rotary frequencies, on the fake backend. The model
 * is small enough to know its answers: the logits of a row are (sum of what is stored up to it, number of
 * tokens up to it, its id), where a token is stored as its id plus 1000 when it was computed with set 1. So a
 * row says with which set every position before it was computed. */
#include "tests/base/failing_allocator.h"
#include "tests/ir/graph_fixture.h"
#include "tests/lm/lm_fixture.h"

#define N_VOCAB 10
#define CONTEXT 24
#define BORDER 7
#define MAX_BATCH 5
#define MAX_OUTPUTS 5
#define MAX_SEQUENCES 3
#define MARK 1000

#define GRAPH                                                                                               \
  "graph \"marker\" {\n"                                                                                    \
  "  symbol tokens 1..16\n"                                                                                 \
  "  symbol outputs 0..8\n"                                                                                 \
  "  symbol pages 1..64\n"                                                                                  \
  "  symbol slots 1..4\n"                                                                                   \
  "  symbol table 1..2\n"                                                                                   \
  "  %1 = input \"tokens\" i32[tokens]\n"                                                                   \
  "  %2 = input \"positions\" i32[tokens]\n"                                                                \
  "  %3 = input \"sequences\" i32[tokens]\n"                                                                \
  "  %4 = input \"output_rows\" i32[outputs]\n"                                                             \
  "  %5 = input \"rope_sets\" i32[tokens]\n"                                                                \
  "  %6 = input \"page_table\" i32[slots, table]\n"                                                         \
  "  %7 = const \"table\" f32[10, 2]\n"                                                                     \
  "  %8 = const \"marks\" f32[2, 2]\n"                                                                      \
  "  %9 = const \"from_sum\" f32[3, 2]\n"                                                                   \
  "  %10 = const \"from_token\" f32[3, 2]\n"                                                                \
  "  %11 = state \"values\" f32[pages, 1, 64, 2]\n"                                                         \
  "  %12 = state \"keys\" f32[pages, 1, 64, 2]\n"                                                           \
  "  %13 = gather_rows(%7, %1) \"embed\" : f32[tokens, 2]\n"                                                \
  "  %14 = gather_rows(%8, %5) \"mark\" : f32[tokens, 2]\n"                                                 \
  "  %15 = add(%13, %14) \"marked\" : f32[tokens, 2]\n"                                                     \
  "  %16 = reshape(%15) {shape = [tokens, 1, 2]} \"heads\" : f32[tokens, 1, 2]\n"                           \
  "  %17 = kv_append(%11, %16, %2, %3, %6) {key = 0} \"append\" : f32[pages, 1, 64, 2]\n"                   \
  "  %18 = kv_append(%12, %16, %2, %3, %6) {key = 1} \"append_k\" : f32[pages, 1, 64, 2]\n"                 \
  "  %19 = attention(%16, %18, %17, %2, %3, %6) {scale = 0x1p+0, softcap = 0x0p+0, window = 0} \"attn\" : " \
  "f32[tokens, 1, 2]\n"                                                                                     \
  "  %20 = reshape(%19) {shape = [tokens, 2]} \"flat\" : f32[tokens, 2]\n"                                  \
  "  %21 = select_rows(%20, %4) \"rows\" : f32[outputs, 2]\n"                                               \
  "  %22 = select_rows(%13, %4) \"token_rows\" : f32[outputs, 2]\n"                                         \
  "  %23 = linear(%21, %9) \"sums\" : f32[outputs, 3]\n"                                                    \
  "  %24 = linear(%22, %10, _, %23) \"logits\" : f32[outputs, 3]\n"                                         \
  "  output \"logits\" %24\n"                                                                               \
  "}\n"

static const float from_sum[6] = {1, 0, 0, 1, 0, 0}, from_token[6] = {0, 0, 0, 0, 1, 0},
                   marks[4] = {0, 0, MARK, 0};

typedef struct fixture {
  fake_device dev;
  failing_allocator alloc;
  float table[2 * N_VOCAB];
  wh_graph *g; /* until the program has it */
  wh_program *p;
  wh_lm *s;
  int32_t held[MAX_SEQUENCES][CONTEXT]; /* what the session should hold */
  uint32_t length[MAX_SEQUENCES];
  size_t n_interrupts, interrupt_at; /* 0: never */
} fixture;

static wh_lm_options options_of(fixture *f) {
  return (wh_lm_options){.alloc = &f->alloc.base,
                         .context = CONTEXT,
                         .max_batch = MAX_BATCH,
                         .max_outputs = MAX_OUTPUTS,
                         .max_sequences = MAX_SEQUENCES,
                         .n_pages = MAX_SEQUENCES,
                         .long_rope_border = BORDER};
}

static void prepare(fixture *f, size_t fail_at) {
  *f = (fixture){0};
  f->dev.alloc = failing_allocator_init(&f->alloc, fail_at);
  f->g = graph_from_text(GRAPH);
  for (int i = 0; i < N_VOCAB; i++) {
    f->table[2 * i] = (float)i;
    f->table[2 * i + 1] = 1;
  }
  f->g->values[7].data = f->table;
  f->g->values[7].origin = f; /* of a file: read in place */
  f->g->values[8].data = marks;
  f->g->values[9].data = from_sum;
  f->g->values[10].data = from_token;
}

static void setup(fixture *f) {
  prepare(f, 0);
  const wh_lm_options o = options_of(f);
  assert_ok(lm_create(f->g, &f->dev, &o, &f->p, &f->s));
}

static void teardown(fixture *f) {
  wh_lm_destroy(f->s);
  wh_program_release(f->p);
  assert_int_equal(f->alloc.n_live, 0);
}

/* The row of the sequence's position p. */
static void assert_row(const fixture *f, uint32_t output, int32_t seq, uint32_t p) {
  const float *y = wh_lm_row(f->s, output);
  float sum = 0;
  assert_non_null(y);
  for (uint32_t i = 0; i <= p; i++) sum += (float)(f->held[seq][i] + (p + 1 > BORDER ? MARK : 0));
  assert_float_equal(y[0], sum, 0);
  assert_float_equal(y[1], (float)(p + 1), 0);
  assert_float_equal(y[2], (float)f->held[seq][p], 0);
}

/* Runs a batch and looks at all of its rows; the expected state follows. */
static wh_status run(fixture *f, wh_batch *b) {
  uint32_t position[16], length[MAX_SEQUENCES];
  memcpy(length, f->length, sizeof length);
  for (uint32_t i = 0; i < b->n_tokens; i++) {
    int32_t seq = b->sequences ? b->sequences[i] : 0;
    position[i] = length[seq]++;
    f->held[seq][position[i]] = b->tokens[i];
  }
  wh_status st = wh_lm_run(f->s, b);
  if (st == WH_OK) memcpy(f->length, length, sizeof length);
  for (uint32_t i = 0; st == WH_OK && i < b->n_outputs; i++) {
    uint32_t row = b->output_rows ? (uint32_t)b->output_rows[i] : b->n_tokens - 1;
    assert_row(f, i, b->sequences ? b->sequences[row] : 0, position[row]);
  }
  assert_null(wh_lm_row(f->s, st == WH_OK ? b->n_outputs : 0));
  for (uint32_t i = 0; i < MAX_SEQUENCES; i++) assert_int_equal(lm_length(f->s, i), f->length[i]);
  return st;
}

static const int32_t some[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3}, all_rows[] = {0, 1, 2, 3, 4};

static wh_status append(fixture *f, uint32_t n, uint32_t n_outputs, uint32_t n_to_follow) {
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = n;
  b.tokens = some;
  b.n_outputs = n_outputs;
  b.output_rows = n_outputs > 1 ? all_rows : NULL;
  b.n_to_follow = n_to_follow;
  return run(f, &b);
}

static void truncate(fixture *f, uint32_t seq, uint32_t length) {
  assert_ok(lm_truncate(f->s, seq, length));
  f->length[seq] = length;
}

/* How many times the program ran since the last call. */
static size_t n_steps(fixture *f) {
  size_t n = f->dev.n_run / f->p->n_steps;
  f->dev.n_run = 0;
  return n;
}

static void one_batch_across_the_border(void **state) {
  (void)state;
  fixture f;
  setup(&f);
  assert_ok(append(&f, 5, 5, 0));
  assert_int_equal(n_steps(&f), 1);
  assert_ok(append(&f, 5, 5, 0)); /* positions 5 to 9: two rows with set 0, then all ten with set 1 */
  assert_int_equal(n_steps(&f), 1 + 2);
  assert_ok(append(&f, 1, 1, 0));
  assert_int_equal(n_steps(&f), 1);
  teardown(&f);
}

static void a_token_at_a_time(void **state) {
  (void)state;
  fixture f;
  setup(&f);
  for (uint32_t i = 0; i < CONTEXT; i++) {
    assert_ok(append(&f, 1, 1, 0));
    assert_int_equal(n_steps(&f), i == BORDER ? 2 : 1);
  }
  teardown(&f);
}

/* A prompt that is known to be long is computed once. */
static void the_hint_saves_a_pass(void **state) {
  (void)state;
  fixture f;
  setup(&f);
  for (uint32_t left = 18; left;) {
    uint32_t n = left < MAX_BATCH ? left : MAX_BATCH;
    left -= n;
    assert_ok(append(&f, n, left == 0, left));
  }
  assert_int_equal(n_steps(&f), 4);
  truncate(&f, 0, 0); /* and one that is as long as the border allows, too */
  assert_ok(append(&f, 5, 0, 2));
  assert_ok(append(&f, 2, 1, 0));
  assert_int_equal(n_steps(&f), 2);
  truncate(&f, 0, 0); /* a wrong hint costs time only */
  assert_ok(append(&f, 5, 0, 100));
  assert_ok(append(&f, 1, 1, 0));
  assert_int_equal(n_steps(&f), 3);
  truncate(&f, 0, 0); /* rows that are wanted below the border overrule it */
  assert_ok(append(&f, 5, 2, 100));
  teardown(&f);
}

static void truncation_below_the_border(void **state) {
  (void)state;
  fixture f;
  setup(&f);
  assert_ok(append(&f, 5, 1, 0));
  assert_ok(append(&f, 5, 1, 0));
  n_steps(&f);
  truncate(&f, 0, 8); /* still beyond it */
  assert_ok(append(&f, 1, 1, 0));
  assert_int_equal(n_steps(&f), 1);
  truncate(&f, 0, 3);
  assert_ok(append(&f, 5, 1, 0)); /* grows past it again: what is there serves */
  assert_int_equal(n_steps(&f), 1);
  truncate(&f, 0, 6);
  assert_ok(append(&f, 1, 1, 0)); /* 7 tokens fit: set 0 from the first on */
  assert_int_equal(n_steps(&f), 2);
  truncate(&f, 0, 0);
  assert_ok(append(&f, 1, 1, 0));
  assert_int_equal(n_steps(&f), 1);
  teardown(&f);
}

static int count_interrupts(void *ctx) {
  fixture *f = ctx;
  return ++f->n_interrupts == f->interrupt_at;
}

static int end_run(void *ctx, const wh_run_trace_event *event) {
  (void)event;
  return --*(size_t *)ctx == 0;
}

/* A run that ends half way leaves what the session holds, and the next one makes up for it. */
static void ended_runs_change_nothing(void **state) {
  (void)state;
  for (size_t at = 1; at <= 2; at++) {
    fixture f;
    setup(&f);
    wh_lm_set_interrupt(f.s, count_interrupts, &f);
    assert_ok(append(&f, 5, 1, 0));
    assert_ok(append(&f, 2, 1, 0));
    assert_int_equal(f.n_interrupts, 0);
    f.interrupt_at = at;
    assert_int_equal(append(&f, 3, 1, 0), WH_ERR_CANCELLED);
    assert_ok(append(&f, 3, 3, 0));
    truncate(&f, 0, 6);
    f.n_interrupts = 0;
    assert_int_equal(append(&f, 1, 1, 0), WH_ERR_CANCELLED);
    assert_ok(append(&f, 4, 4, 0));
    teardown(&f);
  }
  fixture f;
  setup(&f);
  const size_t n_instrs = f.p->n_steps;
  for (size_t left = 1; left <= 3 * n_instrs; left += 3) {
    size_t counter = left;
    truncate(&f, 0, 0);
    assert_ok(append(&f, 5, 1, 0));
    wh_lm_set_trace(f.s, end_run, &counter);
    assert_int_equal(append(&f, 5, 5, 0), WH_ERR_CANCELLED);
    wh_lm_set_trace(f.s, NULL, NULL);
    assert_ok(append(&f, 1, 1, 0)); /* still below the border */
    assert_ok(append(&f, 4, 4, 0));
  }
  teardown(&f);
}

/* A logit that is not finite is found in whichever step it is made, and told with the token. */
static void non_finite_rows_are_found(void **state) {
  (void)state;
  static const float infinite = 1.0f / 0.0f;
  for (uint32_t bad = 0; bad < 5; bad++) {
    fixture f;
    setup(&f);
    assert_ok(append(&f, 5, 1, 0));
    f.table[0] = infinite; /* of token 0 */
    wh_batch b = WH_BATCH_INIT;
    int32_t tokens[5] = {1, 1, 1, 1, 1};
    tokens[bad] = 0;
    b.n_tokens = b.n_outputs = 5;
    b.tokens = tokens;
    b.output_rows = all_rows;
    assert_int_equal(run(&f, &b), WH_ERR_CORRUPT);
    assert_error_says("tensor 'table' holds a NaN or infinite value in the row of token 0");
    assert_ok(append(&f, 5, 5, 0));
    teardown(&f);
  }
}

/* Random batches over several sequences, truncations and ended runs. */
static void random_walk(void **state) {
  (void)state;
  test_rng rng = {2024};
  fixture f;
  setup(&f);
  wh_lm_set_interrupt(f.s, count_interrupts, &f);
  size_t n_cancelled = 0, n_requests = f.alloc.n_requests;
  for (int step = 0; step < 20000; step++) {
    int32_t tokens[MAX_BATCH], sequences[MAX_BATCH], rows[MAX_BATCH];
    wh_batch b = WH_BATCH_INIT;
    const uint32_t first = rng_below(&rng, MAX_SEQUENCES);
    for (uint32_t k = 0; k < MAX_SEQUENCES; k++) { /* some tokens of some sequences, in some order */
      const uint32_t seq = (first + k) % MAX_SEQUENCES, room = CONTEXT - f.length[seq];
      if (room == 0 || rng_below(&rng, 12) == 0) truncate(&f, seq, rng_below(&rng, f.length[seq] + 1));
      uint32_t n = rng_below(&rng, MAX_BATCH - b.n_tokens + 1);
      if (n > CONTEXT - f.length[seq]) n = CONTEXT - f.length[seq];
      for (uint32_t i = 0; i < n; i++) {
        tokens[b.n_tokens] = (int32_t)rng_below(&rng, N_VOCAB);
        sequences[b.n_tokens++] = (int32_t)seq;
      }
    }
    if (!b.n_tokens) continue;
    for (uint32_t i = 0; i < b.n_tokens; i++)
      if (rng_below(&rng, 2)) rows[b.n_outputs++] = (int32_t)i;
    b.tokens = tokens;
    b.sequences = sequences;
    b.output_rows = rows;
    b.n_to_follow = rng_below(&rng, 4) ? 0 : rng_below(&rng, 20);
    f.n_interrupts = 0;
    f.interrupt_at = rng_below(&rng, 8) ? 0 : 1 + rng_below(&rng, 4);
    wh_status st = run(&f, &b);
    if (st != WH_ERR_CANCELLED) assert_ok(st);
    n_cancelled += st == WH_ERR_CANCELLED;
  }
  assert_true(n_cancelled > 100);
  assert_int_equal(f.alloc.n_requests, n_requests); /* runs allocate nothing */
  teardown(&f);
}

static void border_and_input_go_together(void **state) {
  (void)state;
  fixture f;
  prepare(&f, 0);
  wh_lm_options o = options_of(&f);
  o.long_rope_border = 0;
  assert_int_equal(lm_create(f.g, &f.dev, &o, &f.p, &f.s), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("an input 'rope_sets' and a border between the sets go together");
  assert_null(f.s);
  teardown(&f);
}

static void failing_allocations_leak_nothing(void **state) {
  (void)state;
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  for (size_t fail_at = 1; st != WH_OK; fail_at++) {
    fixture f;
    prepare(&f, fail_at);
    const wh_lm_options o = options_of(&f);
    st = lm_create(f.g, &f.dev, &o, &f.p, &f.s);
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    teardown(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_batch_across_the_border),
      cmocka_unit_test(a_token_at_a_time),
      cmocka_unit_test(the_hint_saves_a_pass),
      cmocka_unit_test(truncation_below_the_border),
      cmocka_unit_test(ended_runs_change_nothing),
      cmocka_unit_test(non_finite_rows_are_found),
      cmocka_unit_test(random_walk),
      cmocka_unit_test(border_and_input_go_together),
      cmocka_unit_test(failing_allocations_leak_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
