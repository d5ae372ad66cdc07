/* perplexity.h - how well a model predicts a text: the definition of llama.cpp's llama-perplexity, so that
 * the numbers compare. The text's tokens are cut into chunks of the context; each is run from an empty
 * context with its first token replaced by BOS where the model wants one; of its second half, every token but
 * the first is scored by the logits before it. */
#ifndef CLI_PERPLEXITY_H
#define CLI_PERPLEXITY_H

#include "cli/engine.h"

typedef struct cli_perplexity_options {
  const char *file;    /* NULL or "-": standard input */
  uint32_t max_chunks; /* 0: all */
  bool special;        /* control tokens in the text are read as such */
} cli_perplexity_options;

typedef struct cli_perplexity {
  double perplexity, error; /* error of the mean, carried through exp */
  double mean_nll;
  size_t n_scored, n_chunks, chunk;
  double seconds;
} cli_perplexity;

/* The engine is left open for the caller to look at and to close, also on failure. */
WH_NODISCARD cli_exit cli_perplexity_of(const char *model, const cli_engine_options *engine_options,
                                        const cli_perplexity_options *options, cli_engine *engine,
                                        cli_perplexity *out);

#endif
