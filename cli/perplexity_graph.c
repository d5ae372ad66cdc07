/* perplexity_graph.c - see perplexity_graph.h. */
#include "cli/perplexity_graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/embedding_facts.h"
#include "cli/input.h"
#include "cli/memory.h"
#include "cli/model_path.h"
#include "cli/token_inputs.h"

typedef struct evaluation {
  cli_graph_engine *g;
  cli_graph_options graph; /* no input is given by a file */
  int32_t *tokens;
  size_t n_tokens;
  int32_t bos; /* negative: none */
  size_t chunk, n_chunks;
  cli_score score;
} evaluation;

/* The token that the file's post-processor puts in front of a text, if it does. */
static cli_exit find_bos(const wh_tokenizer_file *t, int32_t *bos) {
  int32_t plain[8] = {0}, marked[8] = {0};
  size_t n_plain = 0, n_marked = 0;
  CLI_TRY_WH(wh_tokenizer_file_encode(t, "a", 1, 0, CLI_N(plain), plain, CLI_N(plain), &n_plain));
  CLI_TRY_WH(wh_tokenizer_file_encode(t, "a", 1, WH_TOKENIZE_ADD_SPECIAL, CLI_N(marked), marked,
                                      CLI_N(marked), &n_marked));
  *bos = n_marked > n_plain && n_plain > 0 && marked[0] != plain[0] ? marked[0] : -1;
  return CLI_OK;
}

static cli_exit encode(evaluation *e, const wh_tokenizer_file *t, const cli_buffer *text, bool special) {
  const uint32_t flags = special ? WH_TOKENIZE_PARSE_SPECIAL : 0;
  size_t n;
  CLI_TRY(find_bos(t, &e->bos));
  CLI_TRY_WH(wh_tokenizer_file_encode(t, text->data, text->n, flags, 0, NULL, 0, &n));
  e->tokens = calloc(n + 1, sizeof *e->tokens);
  if (!e->tokens) return cli_fail(CLI_LIMIT, "out of memory");
  CLI_TRY_WH(wh_tokenizer_file_encode(t, text->data, text->n, flags, 0, e->tokens, n, &e->n_tokens));
  return CLI_OK;
}

static cli_exit tokenize(evaluation *e, const char *model, const cli_perplexity_options *o,
                         const cli_buffer *text) {
  char path[CLI_PATH_BYTES];
  wh_tokenizer_file *t = NULL;
  CLI_TRY(cli_tokenizer_path(model, o->tokenizer, path));
  const wh_status st = wh_tokenizer_file_load(path, cli_allocator(), &t);
  if (st != WH_OK) return cli_fail_input(st);
  const cli_exit code = encode(e, t, text, o->special);
  wh_tokenizer_file_destroy(t);
  return code;
}

/* A row of floats for each token. */
static cli_exit find_logits(const cli_graph_engine *g, size_t width, wh_tensor *out) {
  for (int named = 1; named >= 0; named--)
    for (uint32_t i = 0; i < g->info.n_outputs; i++) {
      const char *name;
      CLI_TRY(cli_graph_output(g, i, &name, out));
      if (out->dtype == WH_DTYPE_F32 && out->rank == 3 && out->dims[0] == 1 &&
          out->dims[1] == (int64_t)width && out->dims[2] > 1 && (!named || strstr(name, "logits")))
        return CLI_OK;
    }
  return cli_fail(CLI_UNSUPPORTED, "%s: no output has a row of f32 logits for each token",
                  g->engine.info.path);
}

/* Rows first..last-1 score tokens first+1..last; the last token is not run. */
static cli_exit run_chunk(evaluation *e, int32_t *chunk) {
  const size_t first = e->chunk / 2, last = e->chunk - 1;
  const int32_t kept = chunk[0];
  const cli_token_rows rows = {&chunk, &last, 1, last, 0};
  wh_tensor logits;
  if (e->bos >= 0) chunk[0] = e->bos;
  cli_exit code = cli_set_token_inputs(e->g, &e->graph, "eval", "a decoder of tokens has no others", &rows);
  chunk[0] = kept;
  CLI_TRY(code);
  CLI_TRY(cli_graph_run(e->g));
  CLI_TRY(find_logits(e->g, last, &logits));
  const size_t n_vocab = (size_t)logits.dims[2];
  for (size_t i = first; i < last; ++i) {
    const int32_t token = chunk[i + 1];
    if (token < 0 || (size_t)token >= n_vocab)
      return cli_fail(CLI_MODEL, "%s: the tokenizer's token %" PRId32 " has none of the model's %zu logits",
                      e->g->engine.info.path, token, n_vocab);
    cli_score_token(&e->score, (const float *)logits.data + i * n_vocab, n_vocab, token);
  }
  return CLI_OK;
}

static cli_exit evaluate(evaluation *e) {
  for (size_t i = 0; i < e->n_chunks; ++i) {
    CLI_TRY(run_chunk(e, e->tokens + i * e->chunk));
    cli_progress("chunk %zu of %zu: perplexity %.4f", i + 1, e->n_chunks,
                 exp(e->score.nll / (double)e->score.n));
  }
  cli_progress("%s", "");
  return CLI_OK;
}

cli_exit cli_perplexity_of_graph(const char *model, const cli_engine_options *engine,
                                 const cli_perplexity_options *options, cli_graph_engine *g,
                                 cli_perplexity *out) {
  evaluation e = {.g = g, .chunk = engine->context ? engine->context : CLI_PERPLEXITY_CONTEXT};
  cli_buffer text = {0};
  cli_exit code = cli_model_path_check(model);
  if (code == CLI_OK) code = cli_read_all(options->file, &text);
  if (code == CLI_OK) code = tokenize(&e, model, options, &text);
  if (code == CLI_OK) code = cli_perplexity_chunks(e.n_tokens, e.chunk, options->max_chunks, &e.n_chunks);
  if (code == CLI_OK) code = cli_graph_open(model, engine, &e.graph, g);
  const double start = cli_seconds();
  if (code == CLI_OK) code = evaluate(&e);
  if (code == CLI_OK) cli_score_summarise(&e.score, e.n_chunks, e.chunk, cli_seconds() - start, out);
  cli_buffer_deinit(&text);
  free(e.tokens);
  return code;
}
