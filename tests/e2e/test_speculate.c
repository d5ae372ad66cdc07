/* test_speculate.c - the speculator gives what the model alone gives: same tokens, same logits, same state,
 * for every drafter, sampler, draft length, context end and sequence. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

enum { CONTEXT = 96, ANSWER_MAX = CONTEXT };

static void ok_at(int line, wh_status st) {
  if (st != WH_OK) fail_msg("line %d: %s", line, wh_last_error()->message);
}
#define OK(expr) ok_at(__LINE__, (expr))

/* Two models of one vocabulary: the target, and one that mostly guesses wrong. */
static struct fixture {
  temp_folder folder;
  temp_path path, other_path;
  wh_device *device;
  wh_model *model, *other;
} fx;

static void write_model(wh_dtype dtype, int64_t width, const char *path) {
  small_model_put(path, dtype, width);
}

static int fixture_create(void **state) {
  (void)state;
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  d.n_threads = 2;
  fx.folder = temp_folder_create();
  fx.path = temp_path_of(&fx.folder, "target.gguf");
  fx.other_path = temp_path_of(&fx.folder, "other.gguf");
  write_model(WH_DTYPE_Q4_0, 64, fx.path.text);
  write_model(WH_DTYPE_Q8_0, 32, fx.other_path.text);
  OK(wh_device_create(&d, &fx.device));
  OK(wh_model_open(fx.path.text, NULL, &fx.model));
  OK(wh_model_open(fx.other_path.text, NULL, &fx.other));
  return 0;
}

static int fixture_destroy(void **state) {
  (void)state;
  wh_model_destroy(fx.model);
  wh_model_destroy(fx.other);
  wh_device_destroy(fx.device);
  temp_folder_remove(&fx.folder);
  return 0;
}

static wh_session *session_of(const wh_model *model, uint32_t context, uint32_t max_batch) {
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  wh_session *s = NULL;
  o.context = context;
  o.max_batch = max_batch;
  o.max_outputs = max_batch < WH_SPECULATE_MAX_DRAFT + 1 ? max_batch : WH_SPECULATE_MAX_DRAFT + 1;
  o.max_sequences = 3;
  OK(wh_session_create(model, fx.device, &o, &s));
  return s;
}

typedef struct answer {
  int32_t tokens[ANSWER_MAX];
  char hashes[ANSWER_MAX][33];
  size_t n;
  wh_speculator_stats stats;
} answer;

typedef struct question {
  wh_sampling sampling;
  uint32_t n_prompt, n_answer, context, sequence;
} question;

static wh_generator *generator_for(const question *q, const int32_t *prompt) {
  wh_generator *g = NULL;
  OK(wh_generator_create(fx.model, &q->sampling, &g));
  for (uint32_t i = 0; i < q->n_prompt; i++) wh_generator_accept(g, prompt[i]);
  return g;
}

static void prompt_of(const question *q, int32_t *prompt) {
  for (uint32_t i = 0; i < q->n_prompt; i++) prompt[i] = (int32_t)(i * i * 7 % 23 % SMALL_N_VOCAB);
}

/* The answer as the speculator gives it; it keeps its tokens for the caller. */
static void speculate(wh_speculator *s, const question *q, answer *out) {
  int32_t prompt[CONTEXT];
  prompt_of(q, prompt);
  wh_generator *g = generator_for(q, prompt);
  out->n = 0;
  OK(wh_speculator_append(s, prompt, q->n_prompt, true));
  for (;;) {
    const float *logits = wh_speculator_logits(s);
    assert_non_null(logits);
    wh_hash_text(logits, SMALL_N_VOCAB * sizeof *logits, out->hashes[out->n]);
    OK(wh_generator_sample(g, logits, &out->tokens[out->n]));
    uint32_t n;
    const int32_t *held = wh_speculator_tokens(s, &n);
    assert_int_equal(n, q->n_prompt + out->n);
    assert_memory_equal(held + q->n_prompt, out->tokens, out->n * sizeof *held);
    out->n++;
    if (out->n == q->n_answer || n == q->context) break;
    OK(wh_speculator_advance(s, out->tokens[out->n - 1], q->n_answer - (uint32_t)out->n));
  }
  out->stats = (wh_speculator_stats)WH_SPECULATOR_STATS_INIT;
  wh_speculator_get_stats(s, &out->stats);
  wh_generator_destroy(g);
}

/* The answer token by token, by the session alone. */
static void decode_plainly(const question *q, answer *out) {
  int32_t prompt[CONTEXT];
  prompt_of(q, prompt);
  wh_session *session = session_of(fx.model, q->context, CONTEXT);
  wh_generator *g = generator_for(q, prompt);
  wh_batch b = WH_BATCH_INIT;
  b.tokens = prompt;
  b.n_tokens = q->n_prompt;
  b.n_outputs = 1;
  for (out->n = 0;;) {
    OK(wh_session_run(session, &b));
    const float *logits = wh_session_logits(session, 0);
    wh_hash_text(logits, SMALL_N_VOCAB * sizeof *logits, out->hashes[out->n]);
    OK(wh_generator_sample(g, logits, &out->tokens[out->n++]));
    if (out->n == q->n_answer || wh_session_length(session, 0) == q->context) break;
    b.tokens = &out->tokens[out->n - 1];
    b.n_tokens = 1;
  }
  wh_generator_destroy(g);
  wh_session_destroy(session);
}

static void assert_same_answer(const answer *a, const answer *b) {
  assert_int_equal(a->n, b->n);
  assert_memory_equal(a->tokens, b->tokens, a->n * sizeof a->tokens[0]);
  for (size_t i = 0; i < a->n; i++) assert_string_equal(a->hashes[i], b->hashes[i]);
}

typedef enum drafter { BY_NOTHING, BY_LOOKUP, BY_ITSELF, BY_ANOTHER, BY_BOTH, N_DRAFTERS } drafter;

typedef struct pair {
  wh_session *session, *draft;
  wh_speculator *speculator;
} pair;

static pair pair_create(const question *q, drafter d, uint32_t length, uint32_t draft_context) {
  pair p = {.session = session_of(fx.model, q->context, 40)};
  wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
  if (d >= BY_ITSELF) p.draft = session_of(d == BY_ANOTHER ? fx.other : fx.model, draft_context, 7);
  o.sequence = q->sequence;
  o.draft = p.draft;
  o.draft_sequence = 1;
  o.max_draft = d >= BY_ITSELF ? length : 0;
  o.max_lookup = d == BY_LOOKUP || d == BY_BOTH ? length : 0;
  o.min_probability = 0;
  OK(wh_speculator_create(p.session, &o, &p.speculator));
  return p;
}

static void pair_destroy(pair *p) {
  wh_speculator_destroy(p->speculator);
  wh_session_destroy(p->draft);
  wh_session_destroy(p->session);
}

static wh_sampling sampling_of(int i) {
  wh_sampling s = WH_SAMPLING_INIT; /* greedy */
  if (i >= 1) s.temperature = 0.8f, s.seed = 11;
  if (i >= 2) s.temperature = 0.05f, s.top_p = 0.9f, s.repetition_penalty = 1.1f, s.frequency_penalty = 0.02f;
  return s;
}

static void every_drafter_gives_the_same_answer(void **state) {
  (void)state;
  static const uint32_t lengths[] = {1, 3, WH_SPECULATE_MAX_DRAFT};
  for (int sampling = 0; sampling < 3; sampling++) {
    question q = {sampling_of(sampling), 17, 60, CONTEXT, 0};
    answer plain, drafted;
    decode_plainly(&q, &plain);
    for (drafter d = BY_NOTHING; d < N_DRAFTERS; d++)
      for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        pair p = pair_create(&q, d, lengths[l], CONTEXT);
        speculate(p.speculator, &q, &drafted);
        assert_same_answer(&plain, &drafted);
        const wh_speculator_stats *s = &drafted.stats;
        assert_int_equal(s->n_advanced, q.n_answer - 1);
        assert_int_equal(s->n_advanced, s->n_runs + s->n_accepted);
        assert_true(s->n_accepted <= s->n_drafted);
        if (d == BY_NOTHING) assert_int_equal(s->n_drafted, 0);
        if (d == BY_ITSELF && sampling == 0) { /* who guesses with the model's own mind is always right */
          assert_int_equal(s->n_accepted, s->n_drafted);
          assert_true(s->n_runs <= (q.n_answer - 1 + lengths[l]) / (lengths[l] + 1) + 1);
        }
        if (d == BY_ANOTHER) assert_true(s->n_drafted > 0 && s->n_accepted < s->n_drafted);
        assert_true((s->n_draft_runs > 0) == (d >= BY_ITSELF));
        pair_destroy(&p);
      }
  }
}

/* A drafter that is always wrong is asked less and less. */
static void wrong_drafts_become_rare(void **state) {
  (void)state;
  question q = {sampling_of(1), 5, 80, CONTEXT, 0};
  answer drafted;
  q.sampling.temperature = 50.0f; /* next to uniform: nothing can be guessed */
  pair p = pair_create(&q, BY_ANOTHER, 16, CONTEXT);
  speculate(p.speculator, &q, &drafted);
  assert_true(drafted.stats.n_drafted < 40);
  pair_destroy(&p);
}

static void unsure_models_do_not_draft(void **state) {
  (void)state;
  question q = {sampling_of(0), 17, 40, CONTEXT, 0};
  answer plain, drafted;
  decode_plainly(&q, &plain);
  for (int sure = 0; sure < 2; sure++) {
    wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
    pair p = {session_of(fx.model, CONTEXT, 40), session_of(fx.model, CONTEXT, 8), NULL};
    o.draft = p.draft;
    o.max_draft = 8;
    o.min_probability = sure ? 0.0f : 1.0f;
    OK(wh_speculator_create(p.session, &o, &p.speculator));
    speculate(p.speculator, &q, &drafted);
    assert_same_answer(&plain, &drafted);
    assert_true((drafted.stats.n_drafted > 0) == sure);
    pair_destroy(&p);
  }
}

static void every_end(void **state) {
  (void)state;
  question q = {sampling_of(0), 17, 60, CONTEXT, 0};
  answer whole, part;
  decode_plainly(&q, &whole);
  for (drafter d = BY_LOOKUP; d < N_DRAFTERS; d++) {
    for (q.n_answer = 1; q.n_answer < 24; q.n_answer++) { /* the end of the answer */
      pair p = pair_create(&q, d, 8, CONTEXT);
      speculate(p.speculator, &q, &part);
      whole.n = q.n_answer;
      assert_same_answer(&whole, &part);
      pair_destroy(&p);
    }
    q.n_answer = 60;
    for (q.context = 17; q.context < 36;
         q.context++) { /* the end of the context; the last token needs none */
      pair p = pair_create(&q, d, 8, CONTEXT);
      speculate(p.speculator, &q, &part);
      whole.n = q.context - 17 + 1;
      assert_same_answer(&whole, &part);
      uint32_t n;
      (void)wh_speculator_tokens(p.speculator, &n);
      assert_int_equal(n, q.context);
      assert_int_equal(wh_speculator_advance(p.speculator, part.tokens[part.n - 1], 5), WH_ERR_LIMIT);
      assert_int_equal(wh_speculator_append(p.speculator, part.tokens, 1, true), WH_ERR_LIMIT);
      pair_destroy(&p);
    }
    q.context = CONTEXT;
    for (uint32_t small = 16; small < 30;
         small += 3) { /* of the draft's context, which ends the drafting only */
      pair p = pair_create(&q, d, 8, small);
      speculate(p.speculator, &q, &part);
      whole.n = 60;
      assert_same_answer(&whole, &part);
      pair_destroy(&p);
    }
  }
}

/* Texts one after the other in one speculator, each from a common beginning; other sequences do not notice.
 */
static void truncation_and_sequences(void **state) {
  (void)state;
  question q = {sampling_of(0), 17, 30, CONTEXT, 2};
  answer plain, drafted;
  decode_plainly(&q, &plain);
  for (drafter d = BY_NOTHING; d < N_DRAFTERS; d++) {
    pair p = pair_create(&q, d, 5, CONTEXT);
    for (int round = 0; round < 4; round++) {
      speculate(p.speculator, &q, &drafted);
      assert_same_answer(&plain, &drafted);
      assert_int_equal(wh_session_length(p.session, 0), 0);
      assert_int_equal(wh_speculator_truncate(p.speculator, CONTEXT), WH_ERR_INVALID_ARGUMENT);
      static const int32_t detour[] = {5, 9, 5, 9, 5, 9, 5};
      OK(wh_speculator_truncate(p.speculator, 9));
      assert_null(wh_speculator_logits(p.speculator));
      OK(wh_speculator_append(p.speculator, detour, 7, true));
      for (int i = 0; i < 6; i++) OK(wh_speculator_advance(p.speculator, i % 2 ? 5 : 9, UINT32_MAX));
      OK(wh_speculator_truncate(p.speculator, 0));
      uint32_t n = 1;
      (void)wh_speculator_tokens(p.speculator, &n);
      assert_int_equal(n, 0);
    }
    assert_int_equal(wh_session_length(p.session, 2), 0);
    pair_destroy(&p);
  }
}

static void wrong_tokens_leave_the_sequence_alone(void **state) {
  (void)state;
  question q = {sampling_of(0), 17, 30, CONTEXT, 0};
  static const int32_t bad[] = {1, 2, SMALL_N_VOCAB};
  answer plain, drafted;
  decode_plainly(&q, &plain);
  pair p = pair_create(&q, BY_BOTH, 5, CONTEXT);
  assert_int_equal(wh_speculator_append(p.speculator, bad, 3, true), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_speculator_advance(p.speculator, -1, 9), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_session_length(p.session, 0), 0);
  speculate(p.speculator, &q, &drafted);
  assert_same_answer(&plain, &drafted);
  pair_destroy(&p);
}

static void assert_refused(wh_session *s, const wh_speculator_options *o, const char *why) {
  wh_speculator *none = NULL;
  assert_int_equal(wh_speculator_create(s, o, &none), WH_ERR_INVALID_ARGUMENT);
  assert_null(none);
  if (!strstr(wh_last_error()->message, why))
    fail_msg("'%s' does not say '%s'", wh_last_error()->message, why);
}

static void what_is_refused(void **state) {
  (void)state;
  wh_session *s = session_of(fx.model, CONTEXT, 8), *d = session_of(fx.other, CONTEXT, 8);
  wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
  o.max_lookup = WH_SPECULATE_MAX_DRAFT + 1;
  assert_refused(s, &o, "at most 16");
  o.max_lookup = 8;
  assert_refused(s, &o, "at least 9");
  o.max_lookup = 7;
  o.sequence = 3;
  assert_refused(s, &o, "no sequence 3");
  o.sequence = 0;
  o.draft = s;
  assert_refused(s, &o, "cannot draft for itself");
  o.draft = d;
  o.draft_sequence = 9;
  assert_refused(s, &o, "no sequence 9");
  o.draft_sequence = 0;
  o.min_probability = 1.5f;
  assert_refused(s, &o, "min_probability");
  o.min_probability = 0.5f;
  wh_batch b = WH_BATCH_INIT;
  b.tokens = (const int32_t[]){1};
  b.n_tokens = 1;
  OK(wh_session_run(d, &b));
  assert_refused(s, &o, "empty sequence");
  wh_session_destroy(d);
  wh_session_destroy(s);
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  wh_session_options so = WH_SESSION_OPTIONS_INIT;
  wh_session *draft = session_of(fx.other, CONTEXT, 8), *session = NULL;
  wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
  wh_speculator *s = NULL;
  failing_allocator a;
  so.context = CONTEXT;
  so.max_outputs = 9;
  so.allocator = failing_allocator_init(&a, 0);
  OK(wh_session_create(fx.model, fx.device, &so, &session));
  o.draft = draft;
  o.max_draft = 8;
  size_t live = a.n_live, n = 0;
  wh_status st;
  do {
    a.fail_at = a.n_requests + ++n;
    st = wh_speculator_create(session, &o, &s);
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    if (st != WH_OK) assert_int_equal(a.n_live, live);
  } while (st != WH_OK);
  assert_true(n > 3);
  a.fail_at = 0;
  size_t requests = a.n_requests;
  OK(wh_speculator_append(s, (const int32_t[]){1, 2, 3}, 3, true)); /* running allocates nothing */
  for (int i = 0; i < 20; i++) OK(wh_speculator_advance(s, i % 5, 20));
  assert_int_equal(a.n_requests, requests);
  wh_speculator_destroy(s);
  assert_int_equal(a.n_live, live);
  wh_session_destroy(session);
  wh_session_destroy(draft);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_drafter_gives_the_same_answer),
      cmocka_unit_test(wrong_drafts_become_rare),
      cmocka_unit_test(unsure_models_do_not_draft),
      cmocka_unit_test(every_end),
      cmocka_unit_test(truncation_and_sequences),
      cmocka_unit_test(wrong_tokens_leave_the_sequence_alone),
      cmocka_unit_test(what_is_refused),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, fixture_create, fixture_destroy);
}
