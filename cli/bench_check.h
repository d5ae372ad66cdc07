/* bench_check.h - the answer's check in front of a bench: a wrong answer gets no speed. */
#ifndef CLI_BENCH_CHECK_H
#define CLI_BENCH_CHECK_H

#include "cli/engine.h"

/* Positions that the check uses in each sequence, and tokens that it needs. */
#define CLI_BENCH_CHECK_TOKENS 100

/* A fixed text gives the same logits in large runs as in runs of seven tokens, and in every sequence of a
 * batch as alone. In exact mode the bits must agree; in fast mode, which promises bounds and not bits, the
 * likeliest tokens. Leaves text in the sequences; CLI_DIFFERENT: a wrong answer. */
#define CLI_ANSWER_HASH 33
/* `answer` gets the hash of the logits of all steps, or of the tokens in fast mode: the same on every device.
 */
WH_NODISCARD cli_exit cli_bench_check(cli_engine *engine, const int32_t *tokens, uint32_t n_sequences,
                                      char answer[CLI_ANSWER_HASH]);

#endif
