/* text/tokenizer_file.h - a tokenizer.json (Hugging Face's tokenizers) as a tokenizer.
 *
 * WordPiece with BERT's normaliser and splitter, byte-level BPE with GPT-2's pattern, and Unigram with what
 * SentencePiece's models need of normalisers and splitters; what a file says that these do not do is refused,
 * not passed over. Ids are those of the reference, except for characters that one of the two Unicode tables
 * does not know yet, and for texts that become a control token's by being normalised, which stay texts here.
 */
#ifndef WH_TEXT_TOKENIZER_FILE_H
#define WH_TEXT_TOKENIZER_FILE_H

#include "text/tokenizer.h"

typedef struct wh_tokenizer_json wh_tokenizer_json;

/* `name` is for messages. */
WH_NODISCARD wh_status wh_tokenizer_json_read(const char *name, wh_str text, const wh_allocator *alloc,
                                              wh_tokenizer_json **out);
void wh_tokenizer_json_destroy(wh_tokenizer_json *t); /* NULL is fine */

/* Appends the ids. With WH_TOKENIZE_ADD_SPECIAL between those that the post-processor puts around a text; of
 * more than max_tokens (0: no bound) the last ones of the text are dropped. */
WH_NODISCARD wh_status wh_tokenizer_json_encode(const wh_tokenizer_json *t, wh_str text, uint32_t flags,
                                                size_t max_tokens, wh_token_list *list);
size_t wh_tokenizer_json_n_tokens(const wh_tokenizer_json *t);
int32_t wh_tokenizer_json_padding(const wh_tokenizer_json *t);   /* 0 where the file has none */
size_t wh_tokenizer_json_max_tokens(const wh_tokenizer_json *t); /* of its truncation; 0: none */

#endif
