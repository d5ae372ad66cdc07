/* lm/lookup.h - guesses the next tokens from the text so far: what followed the last time it went like
 * this. Prompt lookup decoding (Saxena, 2023): a draft for speculative decoding that needs no second model.
 * It pays where an answer repeats its prompt or itself: code to edit, quotations, lists. */
#ifndef WH_LM_LOOKUP_H
#define WH_LM_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/* Writes a draft of `most` tokens that may follow the n tokens and returns its length: `most`, or 0 when
 * nothing in the text ends like its end. */
size_t wh_lookup_draft(const int32_t *tokens, size_t n, size_t most, int32_t *draft);

#endif
