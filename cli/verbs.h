/* verbs.h - the program's verbs, each in its own cmd_*.c, and what it exits with. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/args.h"

extern const cli_verb cli_verb_run, cli_verb_chat, cli_verb_inspect, cli_verb_devices, cli_verb_bench,
    cli_verb_verify, cli_verb_eval, cli_verb_quantize, cli_verb_calibrate;
extern const cli_verb *const cli_verbs[]; /* ends with NULL */
#define CLI_N_VERBS 9

#define CLI_PURPOSE "runs a language model from its file, with the same answer on every machine"

typedef struct cli_exit_code {
  int code;
  const char *meaning;
} cli_exit_code;
extern const cli_exit_code cli_exit_codes[]; /* ends without a meaning */

#endif
