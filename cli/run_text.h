/* run_text.h - `whimbrel run --text`: embeddings from an ONNX encoder, by the tokenizer.json beside it. */
#ifndef CLI_RUN_TEXT_H
#define CLI_RUN_TEXT_H

#include "cli/graph_engine.h"

typedef struct cli_text_options {
  cli_strings texts;
  const char *tokenizer; /* NULL: tokenizer.json beside the model, or in the folder above */
  uint32_t pooling;      /* index: auto|mean|cls|last */
  uint32_t normalize;    /* index: auto|yes|no */
} cli_text_options;

cli_option_group cli_text_group(cli_text_options *options);

/* One embedding per text, all in one run: a summary or JSON, and `folder`/embedding.npy unless it is NULL. */
WH_NODISCARD cli_exit cli_run_text(const char *model, const cli_engine_options *engine,
                                   const cli_graph_options *graph, const cli_text_options *options,
                                   const char *folder, bool json);

#endif
