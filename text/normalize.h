/* text/normalize.h - Unicode normalisation of text that is to be tokenized. Private to text/. */
#ifndef WH_TEXT_NORMALIZE_H
#define WH_TEXT_NORMALIZE_H

#include "core/base/str.h"
#include "core/base/text_buffer.h"

/* The text in Unicode's Normalization Form C, ill-formed bytes as they are. *out is `text` itself where it
 * cannot change, else it lies in `buffer`, which is cleared first. */
WH_NODISCARD wh_status wh_normalize_nfc(wh_str text, wh_text_buffer *buffer, wh_str *out);

#endif
