/* verbs.h - the program's verbs, each in its own cmd_*.c. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/args.h"

extern const cli_verb cli_verb_run, cli_verb_chat, cli_verb_inspect, cli_verb_devices, cli_verb_bench,
    cli_verb_verify, cli_verb_eval;

#endif
