/* lookup.h - guesses the next tokens from the text so far: what followed the last time it went like this.
 * Prompt lookup decoding (Saxena, 2023): a draft for speculative decoding that needs no second model. It pays
 * where an answer repeats its prompt or itself: code to edit, quotations, lists. */
#ifndef CLI_LOOKUP_H
#define CLI_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

#define CLI_LOOKUP_MAX 16 /* most tokens of a draft */
/* Of the option of each verb that generates. */
#define CLI_LOOKUP_HELP                                                                                 \
  "Draft up to N tokens from earlier text and check them in one run:\nfaster where text repeats; with " \
  "exact "                                                                                              \
  "numerics the same answer\n(default: off)."

/* Writes a draft of `most` tokens behind the n tokens and returns its length: `most`, or 0 when nothing in
 * the text ends like its end. `tokens` has room for n + most. */
size_t cli_lookup_draft(int32_t *tokens, size_t n, size_t most);

#endif
