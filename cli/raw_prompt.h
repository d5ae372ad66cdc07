/* raw_prompt.h - tokens of a text that the model is to continue as it is, without a chat template. */
#ifndef CLI_RAW_PROMPT_H
#define CLI_RAW_PROMPT_H

#include "cli/engine.h"

/* With `begins`, BOS in front where the model wants one and the text does not bring it; never an EOS behind.
 * `special`:
 * control tokens written in the text are read as such, as a pasted template means them; else as any text, and
 * a note tells of the first one. *ids is owned by the caller: free. */
WH_NODISCARD cli_exit cli_raw_tokenize(const wh_model *model, const char *text, size_t n_bytes, bool begins,
                                       bool special, int32_t **ids, size_t *n);

#endif
