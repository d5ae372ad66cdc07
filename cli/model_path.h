/* model_path.h - what is meant by a model's path that is no file: a URL, a name at some hub, a folder, a
 * typo. */
#ifndef CLI_MODEL_PATH_H
#define CLI_MODEL_PATH_H

#include "cli/report.h"

/* Fails unless a file (of whatever kind) is there, with the sentence that helps: CLI_USAGE for what cannot be
 * a path, CLI_UNSUPPORTED for a folder of another format, else CLI_MODEL. */
WH_NODISCARD cli_exit cli_model_path_check(const char *path);

bool cli_is_gguf(const char *path); /* by its name */

/* Whether a word that was typed for something else looks like a model. */
bool cli_looks_like_model(const char *word);

#endif
