/* raw_prompt.c - see raw_prompt.h. */
#include "cli/raw_prompt.h"

#define SHOWN_BYTES 40

/* Somebody who pastes a template wonders at the answer; somebody who reads a web page does not. */
static cli_exit note_control(const wh_model *model, const char *text, size_t n_bytes) {
  size_t offset, length;
  CLI_TRY_WH(wh_model_find_control(model, text, n_bytes, &offset, &length));
  if (!length) return CLI_OK;
  char shown[SHOWN_BYTES + 1];
  size_t n = length < SHOWN_BYTES ? length : SHOWN_BYTES;
  for (size_t i = 0; i < n; ++i)
    shown[i] = (unsigned char)text[offset + i] < 32 || text[offset + i] == 127 ? '?' : text[offset + i];
  shown[n] = '\0';
  cli_note("[%s at byte %zu is read as plain text; --special reads it as the control token]", shown, offset);
  return CLI_OK;
}

cli_exit cli_raw_tokenize(const wh_model *model, const char *text, size_t n_bytes, bool begins, bool special,
                          int32_t **ids, size_t *n) {
  uint32_t flags = (begins ? WH_TOKENIZE_ADD_BOS : 0) | (special ? WH_TOKENIZE_PARSE_SPECIAL : 0);
  if (!special) CLI_TRY(note_control(model, text, n_bytes));
  return cli_tokenize(model, text, n_bytes, flags, ids, n);
}
