/* output.h - where a verb's result goes: standard output, or a file that appears whole or not at all. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stddef.h>
#include <stdio.h>

#include "cli/report.h"

/* Owned by the verb: open, write, then finish or abandon. A failed write is remembered and every later call
 * returns it, so that a printer can check once at its end. */
typedef struct cli_output {
  FILE *stream;
  const char *name; /* as the user gave it, for messages */
  char *temporary;  /* file that becomes `target`; NULL when written in place */
  char *target;
  int write_errno;
  bool is_terminal;
} cli_output;

/* path NULL or "-": standard output. A regular file is replaced only by finish; devices and pipes are written
 * in place. */
WH_NODISCARD cli_exit cli_output_open(const char *path, cli_output *out);
void cli_output_write(cli_output *out, const char *data, size_t n_bytes);
void cli_output_printf(cli_output *out, const char *fmt, ...) WH_PRINTF(2, 3);
/* Model-made text: like write, but control characters never reach a terminal. */
void cli_output_text(cli_output *out, const char *text, size_t n_bytes);
/* Pushes what was written to the reader and says whether all of it arrived. */
WH_NODISCARD cli_exit cli_output_flush(cli_output *out);
/* Flushes; a file is synced and renamed into place. Ends the output's life whatever it returns. */
WH_NODISCARD cli_exit cli_output_finish(cli_output *out);
/* Ends it without result; a no-op after finish. */
void cli_output_abandon(cli_output *out);

#endif
