/* bench_check.c - see bench_check.h. */
#include "cli/bench_check.h"

#include <inttypes.h>
#include <string.h>

#include "cli/bench_run.h"

#define DECODE_TOKENS 4
#define PROMPT_TOKENS (CLI_BENCH_CHECK_TOKENS - DECODE_TOKENS)
#define STEPS (DECODE_TOKENS + 1)
#define SMALL_CHUNK 7 /* odd: no tile or block size divides by it */

typedef struct check_steps {
  char hashes[STEPS][33];
  int32_t best[STEPS];
} check_steps;

static cli_exit record(cli_engine *engine, uint32_t output, check_steps *steps, size_t i) {
  const float *logits = wh_session_logits(engine->session, output);
  if (!logits) return cli_fail(CLI_INTERNAL, "the session has no logits after a run");
  wh_hash_text(logits, engine->info.n_vocab * sizeof *logits, steps->hashes[i]);
  steps->best[i] = cli_argmax(logits, engine->info.n_vocab);
  return CLI_OK;
}

static bool same_step(const cli_engine *engine, const check_steps *a, const check_steps *b, size_t i) {
  return engine->options.numerics == WH_NUMERICS_EXACT ? strcmp(a->hashes[i], b->hashes[i]) == 0
                                                       : a->best[i] == b->best[i];
}

/* The prompt in runs of `chunk`, then tokens one by one; `follow` gives these, NULL: the likeliest ones. */
static cli_exit run_alone(cli_engine *engine, const int32_t *prompt, uint32_t chunk,
                          const check_steps *follow, check_steps *steps) {
  CLI_TRY_WH(wh_session_truncate(engine->session, 0, 0));
  CLI_TRY(cli_run_tokens(engine, 0, prompt, PROMPT_TOKENS, chunk));
  CLI_TRY(record(engine, 0, steps, 0));
  for (size_t i = 0; i < DECODE_TOKENS; ++i) {
    int32_t token = follow ? follow->best[i] : steps->best[i];
    CLI_TRY(cli_run_tokens(engine, 0, &token, 1, 1));
    CLI_TRY(record(engine, 0, steps, i + 1));
  }
  return CLI_OK;
}

static cli_exit check_chunks(cli_engine *engine, const int32_t *prompt, const check_steps *large) {
  check_steps small;
  memset(&small, 0, sizeof small);
  CLI_TRY(run_alone(engine, prompt, SMALL_CHUNK, large, &small));
  for (size_t i = 0; i < STEPS; ++i)
    if (!same_step(engine, large, &small, i))
      return cli_fail(CLI_DIFFERENT,
                      "%s: wrong answer, so no speed: at step %zu, runs of %" PRIu32
                      " tokens and runs of %d disagree; `whimbrel verify` finds the place",
                      engine->info.path, i, engine->prompt_chunk, SMALL_CHUNK);
  return CLI_OK;
}

/* All sequences decode the same text side by side; each must give what the first gave alone. */
static cli_exit check_company(cli_engine *engine, const int32_t *prompt, const check_steps *alone,
                              uint32_t n_sequences) {
  for (uint32_t s = 0; s < n_sequences; ++s) {
    CLI_TRY_WH(wh_session_truncate(engine->session, s, 0));
    CLI_TRY(cli_run_tokens(engine, s, prompt, PROMPT_TOKENS, engine->prompt_chunk));
  }
  for (size_t i = 0; i < DECODE_TOKENS; ++i) {
    int32_t tokens[CLI_BENCH_SEQUENCES_MAX];
    for (uint32_t s = 0; s < n_sequences; ++s) tokens[s] = alone->best[i];
    CLI_TRY(cli_bench_step(engine, tokens, n_sequences));
    for (uint32_t s = 0; s < n_sequences; ++s) {
      check_steps together;
      CLI_TRY(record(engine, s, &together, i + 1));
      if (!same_step(engine, alone, &together, i + 1))
        return cli_fail(CLI_DIFFERENT,
                        "%s: wrong answer, so no speed: sequence %" PRIu32 " of %" PRIu32
                        " together and alone disagree at step %zu",
                        engine->info.path, s, n_sequences, i + 1);
    }
  }
  return CLI_OK;
}

cli_exit cli_bench_check(cli_engine *engine, const int32_t *tokens, uint32_t n_sequences,
                         char answer[CLI_ANSWER_HASH]) {
  check_steps alone;
  memset(&alone, 0, sizeof alone);
  CLI_TRY(run_alone(engine, tokens, engine->prompt_chunk, NULL, &alone));
  const bool exact = engine->options.numerics == WH_NUMERICS_EXACT;
  wh_hash_text(exact ? (const void *)alone.hashes : alone.best,
               exact ? sizeof alone.hashes : sizeof alone.best, answer);
  CLI_TRY(check_chunks(engine, tokens, &alone));
  return n_sequences > 1 ? check_company(engine, tokens, &alone, n_sequences) : CLI_OK;
}
