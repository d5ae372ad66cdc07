/* test_long_rope_model.c - a LongRoPE model through the public API: a row of logits is a function of the
 * tokens up to it. Sessions of every context, batch, number of sequences and history, and speculators, give
 * the same bits. That they are the right ones is test_family_goldens.c's business. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/base/temp_folder.h"
#include "tests/models/tiny_cmocka.h"
#include "tests/models/tiny_model.h"
#include "whimbrel/whimbrel.h"

#define BORDER 64
#define N_STREAMS 2
#define N_TOKENS 90
#define MAX_VOCAB 256

static temp_folder folder;
static wh_device *device;
static wh_model *model;
static size_t n_vocab;
static int32_t streams[N_STREAMS][N_TOKENS];

typedef float rows[N_TOKENS][MAX_VOCAB];

static void need(wh_status status) {
  if (status != WH_OK) fail_msg("%s", wh_last_error()->message);
}

static uint32_t below(uint64_t *rng, uint32_t n) {
  *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*rng >> 33) % n;
}

static wh_session *open_session(wh_dtype kv, uint32_t context, uint32_t batch, uint32_t sequences) {
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  o.context = context;
  o.max_batch = o.max_outputs = batch;
  o.max_sequences = sequences;
  o.kv_dtype = kv;
  wh_session *s = NULL;
  need(wh_session_create(model, device, &o, &s));
  return s;
}

/* Appends the stream's tokens [at, at + n) to sequence `seq`; with `all`, every row is wanted, else the last.
 */
static void append(wh_session *s, uint32_t seq, uint32_t stream, uint32_t at, uint32_t n, bool all) {
  int32_t sequences[N_TOKENS], wanted[N_TOKENS];
  for (uint32_t i = 0; i < n; i++) {
    sequences[i] = (int32_t)seq;
    wanted[i] = (int32_t)i;
  }
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = n;
  b.tokens = streams[stream] + at;
  b.sequences = sequences;
  b.n_outputs = all ? n : 1;
  b.output_rows = all ? wanted : NULL;
  need(wh_session_run(s, &b));
}

static void assert_row(const rows *want, const float *got, uint32_t p, const char *how) {
  assert_non_null(got);
  if (memcmp((*want)[p], got, n_vocab * sizeof *got) != 0) fail_msg("position %u: other bits %s", p, how);
}

/* The rows of a stream, a token at a time in a session of its own. */
static void reference(wh_dtype kv, uint32_t stream, rows *out) {
  wh_session *s = open_session(kv, N_TOKENS, 16, 1);
  for (uint32_t p = 0; p < N_TOKENS; p++) {
    append(s, 0, stream, p, 1, false);
    memcpy((*out)[p], wh_session_logits(s, 0), n_vocab * sizeof(float));
  }
  wh_session_destroy(s);
}

static void contexts_and_chunks(void **state) {
  (void)state;
  static rows want;
  static const wh_dtype kinds[] = {WH_DTYPE_F16, WH_DTYPE_F32, WH_DTYPE_Q8_0};
  static const uint32_t contexts[] = {40, BORDER, BORDER + 1, N_TOKENS, 400}, chunks[] = {1, 7, 64, 90};
  for (size_t k = 0; k < 3; k++) {
    reference(kinds[k], 0, &want);
    for (size_t c = 0; c < 5; c++)
      for (size_t i = 0; i < 4; i++) {
        const uint32_t n = contexts[c] < N_TOKENS ? contexts[c] : N_TOKENS,
                       chunk = chunks[i] < n ? chunks[i] : n;
        char how[80];
        (void)snprintf(how, sizeof how, "with a context of %u, chunks of %u", contexts[c], chunk);
        for (int all = 0; all < 2; all++) {
          wh_session *s = open_session(kinds[k], contexts[c], chunk, 1);
          for (uint32_t at = 0; at < n; at += chunk) {
            const uint32_t count = n - at < chunk ? n - at : chunk;
            append(s, 0, 0, at, count, all);
            for (uint32_t r = all ? 0 : count - 1; r < count; r++)
              assert_row(&want, wh_session_logits(s, all ? r : 0), at + r, how);
          }
          wh_session_destroy(s);
        }
      }
  }
}

/* Sequences that grow and are cut back at random, several in a batch. */
static void random_histories(void **state) {
  (void)state;
  static rows want[N_STREAMS];
  uint64_t rng = 77;
  for (uint32_t i = 0; i < N_STREAMS; i++) reference(WH_DTYPE_F16, i, &want[i]);
  static const uint32_t batches[] = {4, 40};
  for (size_t i = 0; i < 2; i++) {
    wh_session *s = open_session(WH_DTYPE_F16, N_TOKENS, batches[i], N_STREAMS);
    for (int step = 0; step < 150; step++) {
      int32_t tokens[40], sequences[40], wanted[40];
      uint32_t position[40];
      wh_batch b = WH_BATCH_INIT;
      for (uint32_t k = 0; k < N_STREAMS; k++) {
        const uint32_t seq = ((uint32_t)step + k) % N_STREAMS;
        uint32_t length = wh_session_length(s, seq), cut = below(&rng, 30);
        if (length == N_TOKENS || below(&rng, 4) == 0) {
          length = length > cut ? length - cut : 0;
          need(wh_session_truncate(s, seq, length));
        }
        uint32_t n = below(&rng, batches[i] / N_STREAMS + 1);
        for (; n && length < N_TOKENS; n--, length++) {
          tokens[b.n_tokens] = streams[seq][length];
          position[b.n_tokens] = length;
          sequences[b.n_tokens++] = (int32_t)seq;
        }
      }
      if (!b.n_tokens) continue;
      for (uint32_t r = 0; r < b.n_tokens; r++)
        if (below(&rng, 3) == 0) wanted[b.n_outputs++] = (int32_t)r;
      b.tokens = tokens;
      b.sequences = sequences;
      b.output_rows = wanted;
      b.n_to_follow = below(&rng, 3) ? 0 : below(&rng, 40);
      need(wh_session_run(s, &b));
      for (uint32_t o = 0; o < b.n_outputs; o++)
        assert_row(&want[sequences[wanted[o]]], wh_session_logits(s, o), position[wanted[o]],
                   "in a random history");
    }
    wh_session_destroy(s);
  }
}

static int32_t likeliest(const float *logits) {
  int32_t best = 0;
  for (size_t i = 1; i < n_vocab; i++)
    if (logits[i] > logits[best]) best = (int32_t)i;
  return best;
}

/* Speculators across the border: by earlier text, which here repeats itself, and by a session of the model.
 */
static void speculation(void **state) {
  (void)state;
  enum { PROMPT = 48, PERIOD = 6 };
  static rows want;
  int32_t tokens[N_TOKENS];
  for (int i = 0; i < PROMPT; i++) tokens[i] = streams[0][i % PERIOD];
  wh_session *plain = open_session(WH_DTYPE_F16, N_TOKENS, 64, 1);
  for (uint32_t n = 0; n < N_TOKENS;) { /* greedy, but every third token is the text's, so that drafts fail */
    wh_batch b = WH_BATCH_INIT;
    b.n_tokens = n ? 1 : PROMPT;
    b.tokens = tokens + n;
    b.n_outputs = 1;
    need(wh_session_run(plain, &b));
    n += b.n_tokens;
    memcpy(want[n - 1], wh_session_logits(plain, 0), n_vocab * sizeof(float));
    if (n < N_TOKENS) tokens[n] = n % 3 ? likeliest(want[n - 1]) : tokens[n - PERIOD];
  }
  wh_session_destroy(plain);
  for (int kind = 0; kind < 3; kind++) {
    wh_session *s = open_session(WH_DTYPE_F16, kind == 1 ? 300 : N_TOKENS, 20, 1),
               *draft = kind ? open_session(WH_DTYPE_F16, kind == 1 ? 80 : 300, 20, 1) : NULL;
    wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
    o.max_lookup = kind == 1 ? 0 : 8;
    o.draft = draft;
    o.max_draft = kind ? 6 : 0;
    o.min_probability = 0;
    wh_speculator *p = NULL;
    need(wh_speculator_create(s, &o, &p));
    wh_speculator_expect(p, PROMPT);
    need(wh_speculator_append(p, tokens, PROMPT, true));
    for (uint32_t n = PROMPT; n <= N_TOKENS; n++) {
      assert_row(&want, wh_speculator_logits(p), n - 1,
                 kind ? "with a draft session" : "with drafts by text");
      if (n < N_TOKENS) need(wh_speculator_advance(p, tokens[n], N_TOKENS - n));
    }
    wh_speculator_stats stats = WH_SPECULATOR_STATS_INIT;
    wh_speculator_get_stats(p, &stats);
    assert_true(stats.n_accepted > 0 && stats.n_drafted > stats.n_accepted);
    wh_speculator_destroy(p);
    wh_session_destroy(draft);
    wh_session_destroy(s);
  }
}

static int count_calls(void *ctx) { return ++*(int *)ctx == 3; }

/* Up to the original context nothing is kept or computed twice; beyond it, a run can be ended. */
static void costs(void **state) {
  (void)state;
  wh_session_memory within = WH_SESSION_MEMORY_INIT, beyond = WH_SESSION_MEMORY_INIT;
  wh_session *s = open_session(WH_DTYPE_F16, BORDER, 8, 1);
  wh_session_get_memory(s, &within);
  char *plan = NULL;
  need(wh_session_plan_text(s, &plan));
  assert_null(strstr(plan, "rope.set"));
  wh_string_destroy(plan);
  wh_session_destroy(s);
  s = open_session(WH_DTYPE_F16, BORDER + 1, 8, 1);
  wh_session_get_memory(s, &beyond);
  assert_true(beyond.other >= within.other + (BORDER + 1) * sizeof(int32_t) + 8 * n_vocab * sizeof(float));
  for (uint32_t at = 0; at < BORDER; at += 8) append(s, 0, 0, at, 8, false);
  int n_calls = 0;
  wh_session_set_interrupt(s, count_calls, &n_calls);
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = b.n_outputs = 1;
  b.tokens = streams[0] + BORDER;
  assert_int_equal(wh_session_run(s, &b), WH_ERR_CANCELLED);
  assert_int_equal(n_calls, 3);
  assert_int_equal(wh_session_length(s, 0), BORDER);
  need(wh_session_run(s, &b));
  assert_int_equal(n_calls, 3 + 7); /* two of nine chunks were there */
  wh_session_destroy(s);
}

static int open_all(void **state) {
  (void)state;
  folder = temp_folder_create();
  tiny_goldens *g = tiny_goldens_load("variants");
  const tiny_case *c = tiny_find_case(g, "phi3_longrope_long");
  n_vocab = c->n_vocab;
  assert_true(n_vocab <= MAX_VOCAB);
  for (uint32_t s = 0; s < N_STREAMS; s++)
    for (uint32_t i = 0; i < N_TOKENS; i++) streams[s][i] = c->tokens[(i * (2 * s + 1) + s) % c->n_tokens];
  tiny_model *m = tiny_model_make(c, WH_DTYPE_F32);
  temp_path path = temp_path_of(&folder, "tiny.gguf");
  tiny_model_write(m, path.text);
  tiny_model_free(m);
  tiny_goldens_free(g);
  wh_device_options options = WH_DEVICE_OPTIONS_INIT;
  need(wh_device_create(&options, &device));
  need(wh_model_open(path.text, NULL, &model));
  return 0;
}

static int close_all(void **state) {
  (void)state;
  wh_model_destroy(model);
  wh_device_destroy(device);
  temp_folder_remove(&folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(contexts_and_chunks),
      cmocka_unit_test(random_histories),
      cmocka_unit_test(speculation),
      cmocka_unit_test(costs),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
