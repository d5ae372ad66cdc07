/* perplexity.c - see perplexity.h. */
#include "cli/perplexity.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/model_path.h"
#include "cli/raw_prompt.h"

#define OUTPUTS_MAX 64 /* rows of logits in one run: with large vocabularies, rows are the memory */

typedef struct evaluation {
  cli_engine *engine;
  int32_t *tokens;
  size_t n_tokens;
  int32_t bos; /* negative: none */
  size_t chunk, n_chunks;
  cli_score score;
} evaluation;

/* What the tokenizer puts in front of every text, if it does: it shows in the difference. */
static cli_exit find_bos(const wh_model *model, int32_t *bos) {
  int32_t plain[8] = {0}, marked[8] = {0};
  size_t n_plain = 0, n_marked = 0;
  CLI_TRY_WH(wh_model_tokenize(model, "a", 1, 0, plain, CLI_N(plain), &n_plain));
  CLI_TRY_WH(wh_model_tokenize(model, "a", 1, WH_TOKENIZE_ADD_BOS, marked, CLI_N(marked), &n_marked));
  bool in_front = n_marked > n_plain && n_plain > 0 && marked[0] != plain[0];
  *bos = in_front ? marked[0] : -1;
  return CLI_OK;
}

/* The largest logit is found first: exp cannot overflow. */
void cli_score_token(cli_score *score, const float *logits, size_t n_vocab, int32_t token) {
  float largest = logits[0];
  for (size_t i = 1; i < n_vocab; ++i)
    if (logits[i] > largest) largest = logits[i];
  double sum = 0;
  for (size_t i = 0; i < n_vocab; ++i) sum += exp((double)(logits[i] - largest));
  const double v = log(sum) - (double)(logits[token] - largest);
  score->nll += v;
  score->nll2 += v * v;
  ++score->n;
}

/* Runs tokens [begin, end) of the chunk; those from `first_scored` on give logits, each of which scores the
 * token after it. */
static cli_exit run_piece(evaluation *e, const int32_t *chunk, size_t begin, size_t end, uint32_t n_to_follow,
                          bool scored) {
  int32_t rows[OUTPUTS_MAX];
  wh_batch batch = WH_BATCH_INIT;
  batch.n_tokens = (uint32_t)(end - begin);
  batch.tokens = chunk + begin;
  batch.n_to_follow = n_to_follow;
  if (scored) {
    for (uint32_t i = 0; i < batch.n_tokens; ++i) rows[i] = (int32_t)i;
    batch.n_outputs = batch.n_tokens;
    batch.output_rows = rows;
  }
  CLI_TRY_WH(wh_session_run(e->engine->session, &batch));
  for (uint32_t i = 0; i < batch.n_outputs; ++i) {
    const float *logits = wh_session_logits(e->engine->session, i);
    if (!logits) return cli_fail(CLI_INTERNAL, "the session has no logits for row %" PRIu32, i);
    cli_score_token(&e->score, logits, e->engine->info.n_vocab, chunk[begin + i + 1]);
  }
  return CLI_OK;
}

static cli_exit run_chunk(evaluation *e, int32_t *chunk) {
  size_t first = e->chunk / 2, last = e->chunk - 1; /* rows first..last-1 score tokens first+1..last */
  int32_t kept = chunk[0];
  if (e->bos >= 0) chunk[0] = e->bos;
  cli_exit code = CLI_OK;
  for (size_t begin = 0; begin < last && code == CLI_OK;) {
    bool scored = begin >= first;
    size_t limit = scored ? last : first;
    size_t most = scored ? e->engine->max_outputs : e->engine->prompt_chunk;
    if (most > e->engine->prompt_chunk) most = e->engine->prompt_chunk;
    size_t end = limit - begin < most ? limit : begin + most;
    code = run_piece(e, chunk, begin, end, scored ? 0 : (uint32_t)(limit - end), scored);
    begin = end;
    if (code == CLI_OK && cli_interrupted()) code = cli_fail_interrupted();
  }
  chunk[0] = kept;
  return code;
}

static cli_exit prepare(evaluation *e, const cli_perplexity_options *options, const cli_buffer *text) {
  CLI_TRY(cli_raw_tokenize(e->engine->model, text->data, text->n, true, options->special, &e->tokens,
                           &e->n_tokens));
  CLI_TRY(find_bos(e->engine->model, &e->bos));
  e->chunk = wh_session_context(e->engine->session);
  return cli_perplexity_chunks(e->n_tokens, e->chunk, options->max_chunks, &e->n_chunks);
}

static cli_exit evaluate(evaluation *e) {
  for (size_t i = 0; i < e->n_chunks; ++i) {
    CLI_TRY_WH(wh_session_truncate(e->engine->session, 0, 0));
    CLI_TRY(run_chunk(e, e->tokens + i * e->chunk));
    cli_progress("chunk %zu of %zu: perplexity %.4f", i + 1, e->n_chunks,
                 exp(e->score.nll / (double)e->score.n));
  }
  cli_progress("%s", "");
  return CLI_OK;
}

void cli_score_summarise(const cli_score *score, size_t n_chunks, size_t chunk, double seconds,
                         cli_perplexity *out) {
  const double n = (double)score->n, mean = score->nll / n, variance = score->nll2 / n - mean * mean;
  *out = (cli_perplexity){.perplexity = exp(mean),
                          .mean_nll = mean,
                          .n_scored = score->n,
                          .n_chunks = n_chunks,
                          .chunk = chunk,
                          .seconds = seconds};
  out->error = n > 1 && variance > 0 ? sqrt(variance / (n - 1)) * out->perplexity : 0;
}

cli_exit cli_perplexity_chunks(size_t n_tokens, size_t chunk, uint32_t max_chunks, size_t *n_chunks) {
  if (chunk < 4) return cli_fail(CLI_USAGE, "--ctx %zu leaves nothing to score; use 4 or more", chunk);
  *n_chunks = n_tokens / chunk;
  if (*n_chunks == 0)
    return cli_fail(CLI_USAGE,
                    "the text has %zu tokens but a chunk has %zu; give a longer text or a smaller --ctx",
                    n_tokens, chunk);
  if (max_chunks && *n_chunks > max_chunks) *n_chunks = max_chunks;
  return CLI_OK;
}

cli_exit cli_perplexity_of(const char *model, const cli_engine_options *engine_options,
                           const cli_perplexity_options *options, cli_engine *engine, cli_perplexity *out) {
  evaluation e = {.engine = engine};
  cli_session_needs needs = {.context = CLI_PERPLEXITY_CONTEXT, .max_outputs = OUTPUTS_MAX};
  if (engine_options->prompt_chunk && engine_options->prompt_chunk < needs.max_outputs)
    needs.max_outputs = engine_options->prompt_chunk;
  cli_buffer text = {0};
  cli_exit code = cli_is_standard_input(options->file) ? cli_model_path_check(model) : CLI_OK;
  if (code == CLI_OK) code = cli_read_all(options->file, &text);
  if (code == CLI_OK) code = cli_engine_open(model, engine_options, &needs, engine);
  if (code == CLI_OK) code = prepare(&e, options, &text);
  const double start = cli_seconds();
  if (code == CLI_OK) code = evaluate(&e);
  if (code == CLI_OK) cli_score_summarise(&e.score, e.n_chunks, e.chunk, cli_seconds() - start, out);
  cli_buffer_deinit(&text);
  free(e.tokens);
  return code;
}
