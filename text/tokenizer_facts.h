/* text/tokenizer_facts.h - what the tokenizers of model families do and model files do not say. Private to
 * text/. Each fact stands in one table of tokenizer_facts.c, with its source. */
#ifndef WH_TEXT_TOKENIZER_FACTS_H
#define WH_TEXT_TOKENIZER_FACTS_H

#include "text/tokenizer.h"

/* Is text brought to Unicode's NFC before it is split? */
bool wh_facts_use_nfc(const wh_tokenizer_spec *spec);

#define WH_STRIP_LEFT 1u  /* white space before the token belongs to it ("lstrip") */
#define WH_STRIP_RIGHT 2u /* white space behind it does ("rstrip") */
unsigned wh_facts_strip(const wh_tokenizer_spec *spec, wh_str token);

/* Control tokens that some files type as plain words; NULL after the last. */
extern const char *const wh_facts_control_texts[];

/* Control tokens that end an answer, known by their text: files name few of them by id. NULL after the last.
 */
extern const char *const wh_facts_end_texts[];
/* The exceptions: vocabularies in which `text` (of wh_facts_end_texts) ends nothing. */
typedef bool (*wh_facts_has_token)(const void *ctx, const char *text);
bool wh_facts_end_is_inner(const char *text, wh_facts_has_token has_token, const void *ctx);

#endif
