/* import/families/tokenizer_source.h - builds the tokenizer that a model file describes. */
#ifndef WH_FAMILIES_TOKENIZER_SOURCE_H
#define WH_FAMILIES_TOKENIZER_SOURCE_H

#include "formats/model_file.h"
#include "text/tokenizer.h"

/* Reads the tokenizer.ggml.* keys. The tokenizer borrows the file's strings: destroy it before closing the
 * file. A file without a tokenizer is ERR_NOT_FOUND. */
WH_NODISCARD wh_status wh_tokenizer_from_model_file(const wh_model_file *file, const wh_allocator *alloc,
                                                    wh_tokenizer **out);

#endif
