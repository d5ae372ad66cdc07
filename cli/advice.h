/* advice.h - options that contradict each other, and what a person who chose them should know. */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

#include "cli/engine.h"

WH_NODISCARD cli_exit cli_check_engine_options(const cli_engine_options *options);
/* Notes about threads, context and kept weights, once the session is there. */
void cli_advise(const cli_engine *engine);

#endif
