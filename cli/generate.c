/* generate.c - see generate.h. */
#include "cli/generate.h"

#include <stdlib.h>
#include <string.h>

#include "cli/interrupt.h"

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

void cli_generation_deinit(cli_generation *generation) {
  free(generation->tokens);
  free(generation->hashes);
  cli_buffer_deinit(&generation->text);
  *generation = (cli_generation){0};
}

/* Runs tokens in runs of the prompt's size; the last gives logits. */
static cli_exit append(const cli_engine *engine, wh_speculator *speculator, const int32_t *tokens, size_t n) {
  size_t chunk = engine->prompt_chunk;
  wh_speculator_expect(speculator, n);
  for (size_t done = 0; done < n;) {
    if (cli_interrupted()) return cli_fail_interrupted();
    size_t count = n - done < chunk ? n - done : chunk;
    CLI_TRY_WH(wh_speculator_append(speculator, tokens + done, count, done + count == n));
    done += count;
    if (n > chunk && done < n) cli_progress("reading the prompt: %zu of %zu tokens", done, n);
  }
  cli_progress("%s", "");
  return CLI_OK;
}

static size_t n_found(const cli_engine *engine) {
  wh_session_pages pages = WH_SESSION_PAGES_INIT;
  wh_session_get_pages(engine->session, &pages);
  return (size_t)pages.n_found;
}

/* Keeps the common beginning of the sequence and the prompt, runs the rest. At least one token is run: its
 * logits pick the first token of the answer. */
static cli_exit run_prompt(const cli_engine *engine, wh_speculator *speculator, const int32_t *prompt,
                           size_t n_prompt, cli_generation *g) {
  uint32_t n_held, common = 0;
  const int32_t *held = wh_speculator_tokens(speculator, &n_held);
  while (common < n_held && common + 1 < n_prompt && held[common] == prompt[common]) ++common;
  CLI_TRY_WH(wh_speculator_truncate(speculator, common));
  const size_t before = n_found(engine);
  double start = cli_seconds();
  cli_exit code = append(engine, speculator, prompt + common, n_prompt - common);
  g->prompt_seconds = cli_seconds() - start;
  const size_t found = n_found(engine) - before;
  g->n_prompt_run = n_prompt - common > found ? n_prompt - common - found : 0;
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

static cli_exit keep_hash(const cli_engine *engine, const wh_speculator *speculator, cli_generation *g) {
  if (!g->hashes) return CLI_OK;
  const float *logits = wh_speculator_logits(speculator);
  if (!logits) return cli_fail(CLI_INTERNAL, "the session has no logits after a run");
  wh_hash_text(logits, engine->info.n_vocab * sizeof *logits, g->hashes[g->n_hashes++]);
  return CLI_OK;
}

/* Decodes until a stop rule holds. The speculator has the logits of the next token. */
static cli_exit decode(const cli_engine *engine, wh_speculator *speculator, wh_generator *generator,
                       wh_text_stream *stream, const cli_generation_options *options, cli_generation *g) {
  double start = cli_seconds();
  bool stopped = false;
  uint32_t n_held;
  g->reason = CLI_STOP_LENGTH;
  while (g->n_tokens < options->max_tokens) {
    CLI_TRY(keep_hash(engine, speculator, g));
    int32_t token = 0;
    bool is_end = false;
    CLI_TRY_WH(wh_speculator_sample(speculator, generator, &token));
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
    (void)wh_speculator_tokens(speculator, &n_held);
    if (n_held == wh_session_context(engine->session)) {
      g->reason = CLI_STOP_CONTEXT;
      break;
    }
    if (cli_interrupted()) {
      g->reason = CLI_STOP_INTERRUPTED;
      break;
    }
    CLI_TRY_WH(wh_speculator_advance(speculator, token, options->max_tokens - (uint32_t)g->n_tokens));
  }
  g->decode_seconds = cli_seconds() - start;
  if (stopped) return CLI_OK;
  const char *text = NULL;
  size_t n_bytes = 0;
  CLI_TRY_WH(wh_text_stream_finish(stream, &text, &n_bytes));
  return emit(options, g, text, n_bytes);
}

/* What the speculator did between two looks at its counters. */
static void count_drafts(const wh_speculator *speculator, const wh_speculator_stats *before,
                         cli_generation *g) {
  wh_speculator_stats now = WH_SPECULATOR_STATS_INIT;
  wh_speculator_get_stats(speculator, &now);
  g->n_steps = (size_t)(now.n_advanced - before->n_advanced);
  g->n_runs = (size_t)(now.n_runs - before->n_runs);
  g->n_drafted = (size_t)(now.n_drafted - before->n_drafted);
  g->n_accepted = (size_t)(now.n_accepted - before->n_accepted);
}

cli_exit cli_generate(cli_engine *engine, wh_speculator *speculator, wh_generator *generator,
                      const int32_t *prompt, size_t n_prompt, const cli_generation_options *options,
                      cli_generation *out) {
  uint32_t context = wh_session_context(engine->session);
  if (n_prompt == 0) return cli_fail(CLI_USAGE, "the prompt is empty; give some text");
  if (n_prompt > context)
    return cli_fail(CLI_LIMIT,
                    "the prompt has %zu tokens but the context holds %u; use --ctx %zu or a shorter prompt",
                    n_prompt, context, n_prompt + options->max_tokens);
  wh_speculator_stats before = WH_SPECULATOR_STATS_INIT;
  wh_speculator_get_stats(speculator, &before);
  cli_generation g = {.n_prompt = n_prompt};
  wh_text_stream *stream = NULL;
  cli_exit code = allocate_results(engine, options, n_prompt, &g);
  if (code == CLI_OK) {
    wh_status status = wh_text_stream_create(engine->model, options->stops ? options->stops->items : NULL,
                                             options->stops ? options->stops->n : 0, false, &stream);
    if (status != WH_OK) code = cli_fail_library(status);
  }
  if (code == CLI_OK) code = run_prompt(engine, speculator, prompt, n_prompt, &g);
  if (code == CLI_OK) {
    wh_generator_reset(generator);
    for (size_t i = 0; i < n_prompt; ++i) wh_generator_accept(generator, prompt[i]);
    code = decode(engine, speculator, generator, stream, options, &g);
    count_drafts(speculator, &before, &g);
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
  if (g->n_drafted)
    cli_note("[%zu tokens drafted, %zu of them accepted (%.0f %%); %.2f tokens per run]", g->n_drafted,
             g->n_accepted, 100.0 * (double)g->n_accepted / (double)g->n_drafted,
             (double)g->n_steps / (double)g->n_runs);
}
