/* text/normalize.h - Unicode normalisation of text that is to be tokenized. Private to text/. */
#ifndef WH_TEXT_NORMALIZE_H
#define WH_TEXT_NORMALIZE_H

#include "core/base/str.h"
#include "core/base/text_buffer.h"

typedef enum wh_normal_form { WH_NFC, WH_NFD, WH_NFKC, WH_NFKD } wh_normal_form;

/* Appends the text in one of Unicode's normalization forms, ill-formed bytes as they are. */
WH_NODISCARD wh_status wh_normalize(wh_normal_form form, wh_str text, wh_text_buffer *out);
/* The text in Normalization Form C. *out is `text` itself where it cannot change, else it lies in `buffer`,
 * which is cleared first. */
WH_NODISCARD wh_status wh_normalize_nfc(wh_str text, wh_text_buffer *buffer, wh_str *out);

#endif
