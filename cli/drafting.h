/* drafting.h - the options of speculative decoding, and what they open beside the engine. */
#ifndef CLI_DRAFTING_H
#define CLI_DRAFTING_H

#include "cli/engine.h"

typedef struct cli_drafting_options {
  const char *model; /* NULL: no draft model */
  uint32_t n_tokens, lookup;
  double min_probability;
} cli_drafting_options;
#define CLI_DRAFTING_OPTIONS_INIT \
  { NULL, 8, 0, 0.5 }
cli_option_group cli_drafting_group(cli_drafting_options *options);

/* Rows of logits that the engine's session must give. */
uint32_t cli_drafting_rows(const cli_drafting_options *options);

/* Owned: close frees all three, before the engine is closed. Zero-initialise. The speculator is there also
 * when nothing is drafted. */
typedef struct cli_drafting {
  wh_model *model;
  wh_session *session;
  wh_speculator *speculator;
} cli_drafting;

/* After cli_engine_start. */
WH_NODISCARD cli_exit cli_drafting_open(cli_engine *engine, const cli_drafting_options *options,
                                        cli_drafting *out);
void cli_drafting_close(cli_drafting *drafting);

#endif
