/* sample_text.h - a fixed text for verbs that need some tokens and were given none. */
#ifndef CLI_SAMPLE_TEXT_H
#define CLI_SAMPLE_TEXT_H

#include "cli/engine.h"

/* About 150 tokens of English prose. */
extern const char cli_sample_text[];

/* Exactly n tokens: the sample text over and over, or ids spread over the vocabulary of a model without a
 * tokenizer. *ids is owned by the caller: free. */
WH_NODISCARD cli_exit cli_sample_tokens(const wh_model *model, size_t n, int32_t **ids);

#endif
