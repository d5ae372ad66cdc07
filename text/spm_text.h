/* text/spm_text.h - text as SentencePiece's models see it: normalised, with U+2581 for spaces. Private to
 * text/. */
#ifndef WH_TEXT_SPM_TEXT_H
#define WH_TEXT_SPM_TEXT_H

#include "core/base/text_buffer.h"
#include "text/charsmap.h"

typedef struct wh_spm_rules {
  wh_charsmap charsmap;
  bool removes_spaces;  /* at the ends, and all but one of a run */
  bool keeps_bad_bytes; /* ill-formed UTF-8 becomes byte tokens; else a U+FFFD for each byte */
} wh_spm_rules;

/* Writes `text`, behind a space if `space_prefix`, to `out`, which is cleared first. */
WH_NODISCARD wh_status wh_spm_text(const wh_spm_rules *r, wh_str text, bool space_prefix,
                                   wh_text_buffer *out);

#endif
