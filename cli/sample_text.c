/* sample_text.c - see sample_text.h. */
#include "cli/sample_text.h"

#include <stdlib.h>
#include <string.h>

const char cli_sample_text[] =
    "A whimbrel is a wading bird with long legs and a bill that curves downward. It breeds on the tundra of "
    "the far "
    "north, from Iceland across Siberia to Alaska, and when the short summer ends it flies south over open "
    "sea, some "
    "birds without a stop for five days, to spend the winter on the coasts of Africa, South America and "
    "Australia. "
    "There it walks along the edge of the falling tide and takes crabs out of their holes. On the moors it "
    "eats berries, "
    "on the mudflats worms, on a lawn by the harbour whatever there is. \"Few birds,\" an old guide says, "
    "\"are so much "
    "at home in so many places; and wherever it is heard, its call is the same seven notes.\"";

static bool has_tokenizer(const wh_model *model) {
  size_t n;
  return wh_model_tokenize(model, "", 0, 0, NULL, 0, &n) != WH_ERR_NOT_FOUND;
}

/* For a model without a tokenizer: ids that walk through the vocabulary in large steps. */
static void fill_ids(const wh_model *model, size_t n, int32_t *ids) {
  wh_model_info info = WH_MODEL_INFO_INIT;
  wh_model_get_info(model, &info);
  for (size_t i = 0; i < n; ++i) ids[i] = (int32_t)((i * 7919 + 13) % info.n_vocab);
}

cli_exit cli_sample_tokens(const wh_model *model, size_t n, int32_t **ids) {
  int32_t *text_ids = NULL, *out = calloc(n ? n : 1, sizeof *out);
  size_t n_text = 0;
  cli_exit code = CLI_OK;
  if (!out) return cli_fail(CLI_LIMIT, "out of memory for %zu tokens", n);
  if (!has_tokenizer(model)) {
    fill_ids(model, n, out);
  } else {
    code = cli_tokenize(model, cli_sample_text, strlen(cli_sample_text), WH_TOKENIZE_ADD_BOS, &text_ids,
                        &n_text);
    if (code == CLI_OK && !n_text)
      code =
          cli_fail(CLI_MODEL, "the model's tokenizer makes no tokens of plain text; is the file complete?");
    for (size_t i = 0; code == CLI_OK && i < n; ++i) out[i] = text_ids[i % n_text];
  }
  free(text_ids);
  if (code == CLI_OK)
    *ids = out;
  else
    free(out);
  return code;
}
