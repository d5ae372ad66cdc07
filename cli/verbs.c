/* verbs.c - see verbs.h. */
#include "cli/verbs.h"

const cli_verb *const cli_verbs[] = {
    &cli_verb_run,    &cli_verb_chat, &cli_verb_inspect,  &cli_verb_devices,   &cli_verb_bench,
    &cli_verb_verify, &cli_verb_eval, &cli_verb_quantize, &cli_verb_calibrate, NULL,
};
_Static_assert(CLI_N(cli_verbs) == CLI_N_VERBS + 1, "a row per verb");

const cli_exit_code cli_exit_codes[] = {
    {0, "done"},
    {1, "a check said no: verify found a difference, bench a wrong answer"},
    {2, "an argument is wrong"},
    {3, "an input file is missing, unreadable or corrupt"},
    {4, "the model or the machine lacks something that is needed"},
    {5, "out of memory, or a limit such as the context length was met"},
    {6, "output could not be written"},
    {70, "a defect of Whimbrel"},
    {130, "interrupted"},
    {0, NULL},
};
