/* embedding_facts.c - see embedding_facts.h. */
#include "cli/embedding_facts.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool join(const char *folder, const char *name, char out[CLI_PATH_BYTES]) {
  const int n = snprintf(out, CLI_PATH_BYTES, "%s%s", folder, name);
  return n > 0 && n < CLI_PATH_BYTES;
}

/* The file's document, NULL where there is none. */
static cli_exit read_json(const char *folder, const char *name, json_t **out) {
  char path[CLI_PATH_BYTES];
  json_error_t error;
  *out = NULL;
  if (!join(folder, name, path) || access(path, F_OK) != 0) return CLI_OK;
  *out = json_load_file(path, 0, &error);
  return *out ? CLI_OK : cli_fail(CLI_MODEL, "%s: line %d: %s", path, error.line, error.text);
}

static cli_exit read_pooling(const char *folder, cli_embedding_facts *out) {
  static const struct {
    const char *key;
    cli_pooling pooling; /* AUTO: another that there is no option for */
  } modes[] = {{"pooling_mode_cls_token", CLI_POOLING_CLS},
               {"pooling_mode_mean_tokens", CLI_POOLING_MEAN},
               {"pooling_mode_lasttoken", CLI_POOLING_LAST},
               {"pooling_mode_max_tokens", CLI_POOLING_AUTO},
               {"pooling_mode_mean_sqrt_len_tokens", CLI_POOLING_AUTO},
               {"pooling_mode_weightedmean_tokens", CLI_POOLING_AUTO}};
  json_t *root;
  int n_modes = 0;
  CLI_TRY(read_json(folder, "1_Pooling/config.json", &root));
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    if (!json_is_true(json_object_get(root, modes[i].key))) continue;
    out->pooling = modes[i].pooling;
    n_modes++;
  }
  const bool unknown = n_modes > 1 || (n_modes == 1 && out->pooling == CLI_POOLING_AUTO);
  json_decref(root);
  if (!unknown) return CLI_OK;
  return cli_fail(CLI_UNSUPPORTED,
                  "%s1_Pooling/config.json: pooling other than mean, cls or last; choose by --pooling",
                  folder);
}

static cli_exit read_modules(const char *folder, cli_embedding_facts *out) {
  json_t *root, *sentence;
  CLI_TRY(read_json(folder, "modules.json", &root));
  out->has_modules = json_is_array(root);
  for (size_t i = 0; i < json_array_size(root); i++) {
    const char *type = json_string_value(json_object_get(json_array_get(root, i), "type"));
    if (type && strstr(type, "Normalize")) out->normalizes = true;
  }
  json_decref(root);
  CLI_TRY(read_json(folder, "sentence_bert_config.json", &sentence));
  const json_int_t most = json_integer_value(json_object_get(sentence, "max_seq_length"));
  if (most > 0) out->max_tokens = (uint64_t)most;
  json_decref(sentence);
  return CLI_OK;
}

/* The folder of the files, that of the model or the one above, whichever has the tokenizer; and its path. */
static cli_exit find_tokenizer(const char *model, const char *tokenizer, char folder[CLI_PATH_BYTES],
                               char path[CLI_PATH_BYTES]) {
  char above[CLI_PATH_BYTES];
  const char *slash = strrchr(model, '/');
  const size_t n = slash ? (size_t)(slash - model) + 1 : 0;
  if (n + 16 > CLI_PATH_BYTES) return cli_fail(CLI_MODEL, "%.100s...: the path is too long", model);
  memcpy(folder, n ? model : "./", n ? n : 2);
  folder[n ? n : 2] = '\0';
  if (!join(folder, "tokenizer.json", path) || access(path, F_OK) != 0) {
    if (!join(folder, "../", above) || !join(above, "tokenizer.json", path))
      return cli_fail(CLI_MODEL, "%.100s...: the path is too long", model);
    if (access(path, F_OK) == 0)
      memcpy(folder, above, CLI_PATH_BYTES);
    else if (!tokenizer)
      return cli_fail(CLI_MODEL, "%s: there is no tokenizer.json beside it; say where by --tokenizer FILE",
                      model);
  }
  if (tokenizer && !join("", tokenizer, path))
    return cli_fail(CLI_MODEL, "%.100s...: the path is too long", tokenizer);
  return CLI_OK;
}

cli_exit cli_tokenizer_path(const char *model, const char *tokenizer, char out[CLI_PATH_BYTES]) {
  char folder[CLI_PATH_BYTES];
  return find_tokenizer(model, tokenizer, folder, out);
}

cli_exit cli_embedding_facts_read(const char *model, const char *tokenizer, cli_embedding_facts *out) {
  char folder[CLI_PATH_BYTES];
  *out = (cli_embedding_facts){.pooling = CLI_POOLING_AUTO};
  CLI_TRY(find_tokenizer(model, tokenizer, folder, out->tokenizer));
  CLI_TRY(read_modules(folder, out));
  return read_pooling(folder, out);
}
