/* generate.h - the one generation loop: prompt tokens in, text out, with stop rules and timing. */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "cli/engine.h"
#include "cli/input.h"

/* Takes text as it comes; always whole UTF-8. */
typedef cli_exit (*cli_text_fn)(void *ctx, const char *text, size_t n_bytes);

typedef struct cli_generation_options {
  uint32_t max_tokens;
  const cli_strings *stops;
  bool ignore_end;  /* go on past end-of-answer tokens */
  bool keep_hashes; /* one per step */
  cli_text_fn on_text;
  void *on_text_ctx;
} cli_generation_options;

typedef enum cli_stop_reason {
  CLI_STOP_END,        /* the model ended its answer */
  CLI_STOP_LENGTH,     /* max_tokens */
  CLI_STOP_STRING,     /* a stop string */
  CLI_STOP_CONTEXT,    /* no position left */
  CLI_STOP_INTERRUPTED /* Ctrl-C; what was generated so far is valid */
} cli_stop_reason;
const char *cli_stop_reason_name(cli_stop_reason reason);

typedef struct cli_generation {
  cli_stop_reason reason;
  size_t n_prompt;     /* tokens of the prompt */
  size_t n_prompt_run; /* of these, computed now: not held or found in the session */
  size_t n_tokens;     /* generated, an end token not counted */
  int32_t *tokens;
  char (*hashes)[33]; /* of the logits of each step; NULL unless asked for */
  size_t n_hashes;
  cli_buffer text;
  double prompt_seconds, decode_seconds;
  size_t n_steps;               /* tokens of the answer behind which the model went on */
  size_t n_runs;                /* runs of the model that they took */
  size_t n_drafted, n_accepted; /* tokens drafted, and those of them that became the answer's */
} cli_generation;
void cli_generation_deinit(cli_generation *generation);

/* The speculator is of the engine's session; what it holds and the prompt have in common is not run again.
 * Fails with CLI_LIMIT when the prompt does not fit the context. */
WH_NODISCARD cli_exit cli_generate(cli_engine *engine, wh_speculator *speculator, wh_generator *generator,
                                   const int32_t *prompt, size_t n_prompt,
                                   const cli_generation_options *options, cli_generation *out);

/* "prompt 12 tokens, 345.6 tokens/s; answer 64 tokens, 78.9 tokens/s" as a note, and how well drafts did. */
void cli_note_timing(const cli_generation *generation);

#endif
