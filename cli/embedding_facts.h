/* embedding_facts.h - what the files beside an encoder say of it: tokenizer.json, and what
 * sentence-transformers writes of pooling, normalising and length. */
#ifndef CLI_EMBEDDING_FACTS_H
#define CLI_EMBEDDING_FACTS_H

#include <stdint.h>

#include "cli/report.h"

#define CLI_PATH_BYTES 4096
typedef enum cli_pooling {
  CLI_POOLING_AUTO,
  CLI_POOLING_MEAN,
  CLI_POOLING_CLS,
  CLI_POOLING_LAST
} cli_pooling;

typedef struct cli_embedding_facts {
  char tokenizer[CLI_PATH_BYTES];
  cli_pooling pooling; /* AUTO: nothing is said */
  bool has_modules;    /* whether what follows is known */
  bool normalizes;
  uint64_t max_tokens; /* 0: nothing is said */
} cli_embedding_facts;

/* The files lie beside the model or in the folder above. A tokenizer that was named is not searched for. */
WH_NODISCARD cli_exit cli_embedding_facts_read(const char *model, const char *tokenizer,
                                               cli_embedding_facts *out);

/* The tokenizer alone. */
WH_NODISCARD cli_exit cli_tokenizer_path(const char *model, const char *tokenizer, char out[CLI_PATH_BYTES]);

#endif
