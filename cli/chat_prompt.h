/* chat_prompt.h - a conversation as JSON messages, and its tokens by the model's chat template. */
#ifndef CLI_CHAT_PROMPT_H
#define CLI_CHAT_PROMPT_H

#include <jansson.h>

#include "cli/engine.h"

/* Adds {"role", "content"}. */
void cli_chat_append(json_t *messages, const char *role, const char *content, size_t n_bytes);
/* The tokens of the conversation with the answer's opening; *ids is owned by the caller: free. */
WH_NODISCARD cli_exit cli_chat_tokenize(const wh_model *model, const json_t *messages, int32_t **ids,
                                        size_t *n);

#endif
