/* perplexity.h - how well a model predicts a text: the definition of llama.cpp's llama-perplexity, so that
 * the numbers compare. The text's tokens are cut into chunks of the context; each is run from an empty
 * context with its first token replaced by BOS where the model wants one; of its second half, every token but
 * the first is scored by the logits before it. */
#ifndef CLI_PERPLEXITY_H
#define CLI_PERPLEXITY_H

#include "cli/engine.h"

typedef struct cli_perplexity_options {
  const char *file;      /* NULL or "-": standard input */
  uint32_t max_chunks;   /* 0: all */
  bool special;          /* control tokens in the text are read as such */
  const char *tokenizer; /* of an ONNX model; NULL: the tokenizer.json beside it */
} cli_perplexity_options;

#define CLI_PERPLEXITY_CONTEXT 512 /* tokens of a chunk, unless --ctx says more */

typedef struct cli_perplexity {
  double perplexity, error; /* error of the mean, carried through exp */
  double mean_nll;
  size_t n_scored, n_chunks, chunk;
  double seconds;
} cli_perplexity;

/* Sums over scored tokens: of -log of the probability that the logits give each, and of its square. */
typedef struct cli_score {
  double nll, nll2;
  size_t n;
} cli_score;
void cli_score_token(cli_score *score, const float *logits, size_t n_vocab, int32_t token);
void cli_score_summarise(const cli_score *score, size_t n_chunks, size_t chunk, double seconds,
                         cli_perplexity *out);
/* How many chunks the text has, or why none. */
WH_NODISCARD cli_exit cli_perplexity_chunks(size_t n_tokens, size_t chunk, uint32_t max_chunks,
                                            size_t *n_chunks);

/* The engine is left open for the caller to look at and to close, also on failure. */
WH_NODISCARD cli_exit cli_perplexity_of(const char *model, const cli_engine_options *engine_options,
                                        const cli_perplexity_options *options, cli_engine *engine,
                                        cli_perplexity *out);

#endif
