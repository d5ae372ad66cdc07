/* fuzz_tokenizer_json.c - any bytes as a tokenizer.json, and a text behind the last line: the file is refused
 * with a message, or it encodes the text into ids that it has, the same ones each time. */
#include <stdint.h>
#include <stdlib.h>

#include "text/tokenizer_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()

static bool encode(const wh_tokenizer_json *t, wh_str text, wh_token_list *list) {
  const wh_status status =
      wh_tokenizer_json_encode(t, text, WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL, 0, list);
  REQUIRE(status == WH_OK || wh_last_error()->status == status);
  REQUIRE(status != WH_ERR_INTERNAL);
  for (size_t i = 0; i < list->n; i++)
    REQUIRE(list->ids[i] >= 0 && (size_t)list->ids[i] < wh_tokenizer_json_n_tokens(t));
  return status == WH_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  wh_tokenizer_json *t = NULL;
  size_t n = n_bytes;
  while (n > 0 && data[n - 1] != '\n') n--;
  if (n == 0) n = n_bytes;
  const wh_str file = {(const char *)data, n}, text = {(const char *)data + n, n_bytes - n};
  if (wh_tokenizer_json_read("fuzz", file, NULL, &t) != WH_OK) {
    REQUIRE(t == NULL && wh_last_error()->message[0] && wh_last_error()->status != WH_ERR_INTERNAL);
    return 0;
  }
  wh_token_list first, second;
  wh_token_list_init(&first, NULL);
  wh_token_list_init(&second, NULL);
  REQUIRE(encode(t, text, &first) == encode(t, text, &second));
  REQUIRE(first.n == second.n &&
          (first.n == 0 || memcmp(first.ids, second.ids, first.n * sizeof *first.ids) == 0));
  REQUIRE(wh_tokenizer_json_padding(t) >= 0);
  wh_token_list_deinit(&first);
  wh_token_list_deinit(&second);
  wh_tokenizer_json_destroy(t);
  return 0;
}
