/* chat_prompt.c - see chat_prompt.h. */
#define _GNU_SOURCE /* tm_gmtoff */
#include "cli/chat_prompt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/json_out.h"

void cli_chat_append(json_t *messages, const char *role, const char *content, size_t n_bytes) {
  json_t *message = json_object();
  cli_json_set_text(message, "role", role);
  cli_json_set(message, "content", cli_json_string(content, n_bytes));
  cli_json_append(messages, message);
}

/* What the clock on the wall shows, by the zone of the environment (TZ, /etc/localtime). */
static int64_t local_time(void) {
  time_t now = time(NULL);
  struct tm local;
  tzset();
  return localtime_r(&now, &local) ? (int64_t)now + local.tm_gmtoff : (int64_t)now;
}

cli_exit cli_chat_tokenize(const wh_model *model, const json_t *messages, int32_t **ids, size_t *n) {
  CLI_TRY(cli_json_check());
  char *json = json_dumps(messages, JSON_COMPACT);
  if (!json) return cli_fail(CLI_LIMIT, "out of memory for the conversation");
  wh_chat_options options = WH_CHAT_OPTIONS_INIT;
  options.local_time = local_time();
  char *text = NULL;
  size_t n_bytes = 0;
  wh_status status = wh_model_render_chat(model, json, &options, &text, &n_bytes);
  free(json);
  if (status == WH_ERR_NOT_FOUND)
    return cli_fail(CLI_UNSUPPORTED, "this model has no chat template; use `whimbrel run` without --chat");
  if (status != WH_OK) return cli_fail_library(status);
  /* The template writes the BOS itself where the model wants one, so none is added. */
  cli_exit code = cli_tokenize(model, text, n_bytes, WH_TOKENIZE_PARSE_SPECIAL, ids, n);
  wh_string_destroy(text);
  return code;
}
