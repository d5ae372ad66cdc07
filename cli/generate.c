/* generate.c - see generate.h. */
#include "cli/generate.h"

#include <stdlib.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/lookup.h"

const char *cli_stop_reason_name(cli_stop_reason reason) {
  switch (reason) {
    case CLI_STOP_END:
      return "end";
    case CLI_STOP_LENGTH:
      return "length";
    case CLI_STOP_STRING:
      return "stop";
    case CLI_STOP_CONTEXT:
      return "context";
    case CLI_STOP_INTERRUPTED:
      return "interrupted";
  }
  return "?";
}

void cli_history_deinit(cli_history *history) {
  free(history->tokens);
  *history = (cli_history){0};
}

void cli_generation_deinit(cli_generation *generation) {
  free(generation->tokens);
  free(generation->hashes);
  cli_buffer_deinit(&generation->text);
  *generation = (cli_generation){0};
}

/* The session holds at most its context, so that is all the room a history ever needs. */
static cli_exit history_reserve(cli_history *history, size_t context) {
  if (history->capacity >= context) return CLI_OK;
  int32_t *tokens = realloc(history->tokens, context * sizeof *tokens);
  if (!tokens) return cli_fail(CLI_LIMIT, "out of memory");
  history->tokens = tokens;
  history->capacity = context;
  return CLI_OK;
}

/* Runs tokens and records what the session now holds, whatever happened. */
static cli_exit run_and_record(cli_engine *engine, cli_history *history, const int32_t *tokens, size_t n) {
  size_t before = history->n;
  cli_exit code = cli_run_tokens(engine, tokens, n, engine->prompt_chunk);
  size_t length = wh_session_length(engine->session, 0);
  if (length > before && length <= history->capacity) {
    memcpy(history->tokens + before, tokens, (length - before) * sizeof *tokens);
    history->n = length;
  }
  return code;
}

/* Keeps the common beginning of the session and the prompt, runs the rest. At least one token is run: its
 * logits pick the first token of the answer. */
static cli_exit run_prompt(cli_engine *engine, cli_history *history, const int32_t *prompt, size_t n_prompt,
                           cli_generation *g) {
  size_t common = 0;
  while (common < history->n && common + 1 < n_prompt && history->tokens[common] == prompt[common]) ++common;
  CLI_TRY_WH(wh_session_truncate(engine->session, 0, (uint32_t)common));
  history->n = common;
  g->n_prompt_run = n_prompt - common;
  double start = cli_seconds();
  cli_exit code = run_and_record(engine, history, prompt + common, n_prompt - common);
  g->prompt_seconds = cli_seconds() - start;
  return code;
}

static cli_exit emit(const cli_generation_options *options, cli_generation *g, const char *text,
                     size_t n_bytes) {
  CLI_TRY(cli_buffer_add(&g->text, text, n_bytes));
  return n_bytes && options->on_text ? options->on_text(options->on_text_ctx, text, n_bytes) : CLI_OK;
}

static cli_exit allocate_results(const cli_engine *engine, const cli_generation_options *options,
                                 size_t n_prompt, cli_generation *g) {
  /* The last token needs no position, hence the one more. */
  size_t room = wh_session_context(engine->session) - n_prompt + 1;
  size_t most = options->max_tokens < room ? options->max_tokens : room;
  g->tokens = calloc(most + 1, sizeof *g->tokens);
  if (options->keep_hashes) g->hashes = calloc(most + 1, sizeof *g->hashes);
  if (!g->tokens || (options->keep_hashes && !g->hashes)) return cli_fail(CLI_LIMIT, "out of memory");
  return cli_buffer_add(&g->text, "", 0);
}

/* Speculative decoding (Leviathan et al., 2023) by exact match. A run takes the token just sampled and a
 * draft of what may follow, and gives the logits behind each of them. Row i is sampled only when the i tokens
 * before it were sampled as drafted, so the sampler sees what it would see without drafts. A row's bits do
 * not depend on its batch (docs/NUMERICS.md): the answer cannot change, only the number of runs. */
typedef struct decoder {
  cli_engine *engine;
  cli_history *history;
  uint32_t row; /* of the last run: the logits of the next token */
  size_t ahead; /* drafted tokens that the session holds and the answer has not reached */
} decoder;

/* Positions that the session would hold without drafts. */
static size_t positions(const decoder *d) { return d->history->n - d->ahead; }

static cli_exit forget_draft(decoder *d) {
  if (d->ahead == 0) return CLI_OK;
  CLI_TRY_WH(wh_session_truncate(d->engine->session, 0, (uint32_t)positions(d)));
  d->history->n = positions(d);
  d->ahead = 0;
  return CLI_OK;
}

static wh_status run_rows(decoder *d, size_t n) {
  static const int32_t rows[CLI_LOOKUP_MAX + 1] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  wh_batch batch = WH_BATCH_INIT;
  batch.tokens = d->history->tokens + d->history->n;
  batch.n_tokens = batch.n_outputs = (uint32_t)n;
  batch.output_rows = rows;
  return wh_session_run(d->engine->session, &batch);
}

/* Makes the logits behind `token` the next ones: they are there when it was drafted, else it is run with a
 * draft behind it. The session has a position for it. */
static cli_exit advance(decoder *d, int32_t token, size_t max_draft, cli_generation *g) {
  ++g->n_steps;
  if (d->ahead && d->history->tokens[positions(d)] == token) {
    --d->ahead;
    ++d->row;
    ++g->n_accepted;
    return CLI_OK;
  }
  CLI_TRY(forget_draft(d));
  cli_history *history = d->history;
  size_t room = wh_session_context(d->engine->session) - history->n - 1;
  history->tokens[history->n] = token;
  size_t n_draft = cli_lookup_draft(history->tokens, history->n + 1, max_draft < room ? max_draft : room);
  wh_status status = run_rows(d, 1 + n_draft);
  if (status != WH_OK && n_draft) {
    /* A token that the answer never reaches must not be what ends it. */
    n_draft = 0;
    status = run_rows(d, 1);
  }
  if (status != WH_OK) return cli_fail_library(status);
  history->n += 1 + n_draft;
  g->n_drafted += n_draft;
  d->ahead = n_draft;
  d->row = 0;
  return CLI_OK;
}

/* Decodes until a stop rule holds. The session's last run has left the logits of the next token. */
static cli_exit decode(cli_engine *engine, wh_generator *generator, cli_history *history,
                       wh_text_stream *stream, const cli_generation_options *options, cli_generation *g) {
  decoder d = {.engine = engine, .history = history};
  double start = cli_seconds();
  bool stopped = false;
  g->reason = CLI_STOP_LENGTH;
  while (g->n_tokens < options->max_tokens) {
    const float *logits = wh_session_logits(engine->session, d.row);
    if (!logits) return cli_fail(CLI_INTERNAL, "the session has no logits after a run");
    if (g->hashes) wh_hash_text(logits, engine->info.n_vocab * sizeof *logits, g->hashes[g->n_hashes++]);
    int32_t token = 0;
    bool is_end = false;
    CLI_TRY_WH(wh_generator_sample(generator, logits, &token));
    CLI_TRY_WH(wh_model_token_is_end(engine->model, token, &is_end));
    if (is_end && !options->ignore_end) {
      g->reason = CLI_STOP_END;
      break;
    }
    g->tokens[g->n_tokens++] = token;
    const char *text = NULL;
    size_t n_bytes = 0;
    CLI_TRY_WH(wh_text_stream_push(stream, token, &text, &n_bytes, &stopped));
    CLI_TRY(emit(options, g, text, n_bytes));
    if (stopped) {
      g->reason = CLI_STOP_STRING;
      break;
    }
    if (g->n_tokens == options->max_tokens) break;
    if (positions(&d) == wh_session_context(engine->session)) {
      g->reason = CLI_STOP_CONTEXT;
      break;
    }
    if (cli_interrupted()) {
      g->reason = CLI_STOP_INTERRUPTED;
      break;
    }
    /* A run gives one token more than it drafts. */
    size_t wanted = options->max_tokens - g->n_tokens - 1;
    CLI_TRY(advance(&d, token, options->lookup < wanted ? options->lookup : wanted, g));
  }
  g->decode_seconds = cli_seconds() - start;
  CLI_TRY(forget_draft(&d));
  if (stopped) return CLI_OK;
  const char *text = NULL;
  size_t n_bytes = 0;
  CLI_TRY_WH(wh_text_stream_finish(stream, &text, &n_bytes));
  return emit(options, g, text, n_bytes);
}

cli_exit cli_generate(cli_engine *engine, wh_generator *generator, cli_history *history,
                      const int32_t *prompt, size_t n_prompt, const cli_generation_options *options,
                      cli_generation *out) {
  uint32_t context = wh_session_context(engine->session);
  if (n_prompt == 0) return cli_fail(CLI_USAGE, "the prompt is empty; give some text");
  if (n_prompt > context)
    return cli_fail(CLI_LIMIT,
                    "the prompt has %zu tokens but the context holds %u; use --ctx %zu or a shorter prompt",
                    n_prompt, context, n_prompt + options->max_tokens);
  CLI_TRY(history_reserve(history, context));
  cli_generation g = {.n_prompt = n_prompt};
  wh_text_stream *stream = NULL;
  cli_exit code = allocate_results(engine, options, n_prompt, &g);
  if (code == CLI_OK) {
    wh_status status = wh_text_stream_create(engine->model, options->stops ? options->stops->items : NULL,
                                             options->stops ? options->stops->n : 0, false, &stream);
    if (status != WH_OK) code = cli_fail_library(status);
  }
  if (code == CLI_OK) code = run_prompt(engine, history, prompt, n_prompt, &g);
  if (code == CLI_OK) {
    wh_generator_reset(generator);
    for (size_t i = 0; i < n_prompt; ++i) wh_generator_accept(generator, prompt[i]);
    code = decode(engine, generator, history, stream, options, &g);
  }
  wh_text_stream_destroy(stream);
  if (code == CLI_OK)
    *out = g;
  else
    cli_generation_deinit(&g);
  return code;
}

void cli_note_timing(const cli_generation *g) {
  double prompt_rate = g->prompt_seconds > 0 ? (double)g->n_prompt_run / g->prompt_seconds : 0;
  double decode_rate = g->decode_seconds > 0 ? (double)g->n_steps / g->decode_seconds : 0;
  if (g->n_steps)
    cli_note("[prompt %zu tokens, %.1f tokens/s; answer %zu tokens, %.1f tokens/s]", g->n_prompt, prompt_rate,
             g->n_tokens, decode_rate);
  else
    cli_note("[prompt %zu tokens, %.1f tokens/s; answer %zu tokens]", g->n_prompt, prompt_rate, g->n_tokens);
  if (g->n_drafted) cli_note("[%zu tokens drafted, %zu of them accepted]", g->n_drafted, g->n_accepted);
}
