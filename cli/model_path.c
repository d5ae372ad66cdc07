/* model_path.c - see model_path.h. */
#include "cli/model_path.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/args.h"

#define NAMES_MAX 256 /* of a folder's files, to find the one that was meant */

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  if (n < m) return false;
  for (size_t i = 0; i < m; ++i)
    if (tolower((unsigned char)text[n - m + i]) != end[i]) return false;
  return true;
}

static bool is_model_name(const char *path) { return ends_with(path, ".gguf") || ends_with(path, ".onnx"); }

static bool begins_with(const char *text, const char *beginning) {
  return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* --- names
 * ---------------------------------------------------------------------------------------------------- */

static size_t word_length(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || (s[n] && strchr("-_.", s[n]))) ++n;
  return n;
}

/* "org/model" or "org/model:quant". */
static bool is_hub_name(const char *s) {
  size_t org = word_length(s);
  if (org == 0 || s[0] == '.' || s[org] != '/') return false;
  size_t model = word_length(s + org + 1);
  const char *rest = s + org + 1 + model;
  return model && (*rest == '\0' || *rest == ':') && !is_model_name(s);
}

/* "model:tag" */
static bool is_tagged_name(const char *s) {
  size_t model = word_length(s), tag = s[model] == ':' ? word_length(s + model + 1) : 0;
  return model > 1 && tag && s[model + 1 + tag] == '\0' && !is_model_name(s);
}

/* Behind the hub's address, if that is what it begins with. */
static const char *behind_hub(const char *s) {
  static const char *const hubs[] = {"https://huggingface.co/",
                                     "http://huggingface.co/",
                                     "https://hf.co/",
                                     "huggingface.co/",
                                     "hf.co/",
                                     "hf://",
                                     "hf:"};
  for (size_t i = 0; i < CLI_N(hubs); ++i)
    if (begins_with(s, hubs[i])) return s + strlen(hubs[i]);
  return NULL;
}

static cli_exit fail_hub(cli_exit code, const char *typed, const char *name) {
  return cli_fail(
      code,
      "%s: no such file; if that is a model at Hugging Face, download one of the .gguf files under "
      "https://huggingface.co/%.*s/tree/main and give its path",
      typed, (int)strcspn(name, ":"), name);
}

static cli_exit fail_ollama(cli_exit code, const char *typed, const char *name) {
  return cli_fail(
      code,
      "%s: no such file; if that is a model of Ollama, `ollama show %s --modelfile` prints the path "
      "of its file (FROM ...), which can be given here",
      typed, name);
}

/* --- folders
 * -------------------------------------------------------------------------------------------------- */

static cli_exit explain_folder(const char *path) {
  char first[NAME_MAX + 1] = "";
  size_t n_models = 0, n_other = 0;
  DIR *folder = opendir(path);
  for (const struct dirent *e; folder && (e = readdir(folder));) {
    n_other +=
        ends_with(e->d_name, ".safetensors") || ends_with(e->d_name, ".bin") || ends_with(e->d_name, ".pth");
    if (!is_model_name(e->d_name)) continue;
    if (n_models++ == 0 || strcmp(e->d_name, first) < 0) snprintf(first, sizeof first, "%s", e->d_name);
  }
  if (folder) closedir(folder);
  const char *slash = ends_with(path, "/") ? "" : "/";
  if (n_models == 1)
    return cli_fail(CLI_MODEL, "%s: is a folder; give its file %s%s%s", path, path, slash, first);
  if (n_models)
    return cli_fail(CLI_MODEL, "%s: is a folder; give one of its %zu models, e.g. %s%s%s", path, n_models,
                    path, slash, first);
  if (n_other)
    return cli_fail(
        CLI_UNSUPPORTED,
        "%s: is a folder with a model in a format that Whimbrel does not read; convert it to GGUF "
        "(llama.cpp's convert_hf_to_gguf.py does) or download it as a .gguf file",
        path);
  return cli_fail(CLI_MODEL,
                  "%s: is a folder, and there is no .gguf or .onnx file in it; give the path of one", path);
}

/* The file of the path's folder that is nearest to its name, into `found` with room for PATH_MAX. */
static bool find_similar(const char *path, char *found) {
  char *names[NAMES_MAX];
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  char folder_path[PATH_MAX], with_end[NAME_MAX + 8];
  size_t n = 0;
  snprintf(folder_path, sizeof folder_path, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
  snprintf(with_end, sizeof with_end, "%s.gguf", name);
  DIR *folder = opendir(folder_path);
  for (const struct dirent *e; folder && n < NAMES_MAX && (e = readdir(folder));)
    if (is_model_name(e->d_name) && (names[n] = strdup(e->d_name))) ++n;
  if (folder) closedir(folder);
  const char *closest = NULL;
  for (size_t i = 0; i < n && !closest; ++i)
    if (strcmp(names[i], with_end) == 0) closest = names[i];
  if (!closest && *name) closest = cli_closest(name, (const char *const *)names, n);
  if (closest) snprintf(found, PATH_MAX, "%s%s", slash ? folder_path : "", closest);
  for (size_t i = 0; i < n; ++i) free(names[i]);
  return closest != NULL;
}

static bool is_folder(const char *path, size_t n) {
  char text[PATH_MAX];
  struct stat s;
  snprintf(text, sizeof text, "%.*s", (int)n, path);
  return stat(text, &s) == 0 && S_ISDIR(s.st_mode);
}

/* --- what is there
 * -------------------------------------------------------------------------------------------- */

static cli_exit explain_missing(const char *path) {
  char similar[PATH_MAX];
  const char *hub = behind_hub(path), *slash = strrchr(path, '/');
  if (hub && is_hub_name(hub)) return fail_hub(CLI_USAGE, path, hub);
  if (begins_with(path, "ollama://")) return fail_ollama(CLI_USAGE, path, path + strlen("ollama://"));
  if (strstr(path, "://") || hub)
    return cli_fail(
        CLI_USAGE,
        "%s is an address, and Whimbrel downloads nothing: fetch the file (e.g. with curl -LO) and "
        "give its path",
        path);
  if (strcmp(path, "-") == 0)
    return cli_fail(CLI_USAGE, "a model cannot come from standard input: give the path of its file");
  if (!*path) return cli_fail(CLI_USAGE, "the model's path is empty: give the path of a .gguf or .onnx file");
  if (path[0] == '~')
    return cli_fail(CLI_MODEL, "%s: no such file; a shell leaves ~ in quotes as it is, so write $HOME", path);
  if (find_similar(path, similar))
    return cli_fail(CLI_MODEL, "%s: no such file; did you mean %s?", path, similar);
  if (slash && slash != path && is_hub_name(path) && !is_folder(path, (size_t)(slash - path)))
    return fail_hub(CLI_MODEL, path, path);
  if (is_tagged_name(path)) return fail_ollama(CLI_MODEL, path, path);
  if (slash && slash != path && !is_folder(path, (size_t)(slash - path)))
    return cli_fail(CLI_MODEL, "%s: no such file; there is no folder %.*s either", path, (int)(slash - path),
                    path);
  return cli_fail(CLI_MODEL, "%s: no such file; give the path of a .gguf or .onnx file%s", path,
                  is_model_name(path) ? "" : " (names of models are not looked up anywhere)");
}

bool cli_is_gguf(const char *path) { return ends_with(path, ".gguf"); }

cli_exit cli_model_path_check(const char *path) {
  struct stat s;
  if (stat(path, &s) == 0) return S_ISDIR(s.st_mode) ? explain_folder(path) : CLI_OK;
  return errno == ENOENT || errno == ENOTDIR ? explain_missing(path) : CLI_OK; /* opening it says why */
}

bool cli_looks_like_model(const char *word) {
  struct stat s;
  return strstr(word, "://") || behind_hub(word) || is_hub_name(word) || is_tagged_name(word) ||
         is_model_name(word) || strchr(word, '/') || stat(word, &s) == 0;
}
