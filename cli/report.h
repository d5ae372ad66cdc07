/* report.h - exit codes, the one error line, notes and progress.
 *
 * Code below main() does not print errors: it records one with cli_fail and returns its exit code up; main
 * prints the record once. Notes and progress go to standard error, and only if a person is there to read
 * them. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>

#include "whimbrel/whimbrel.h"

/* What the process exits with; documented in `whimbrel --help` and in README.md. */
typedef enum cli_exit {
  CLI_OK = 0,
  CLI_DIFFERENT = 1,     /* a check said no: verify found a difference, bench a wrong answer */
  CLI_USAGE = 2,         /* an argument is wrong */
  CLI_MODEL = 3,         /* an input file is missing, unreadable or corrupt */
  CLI_UNSUPPORTED = 4,   /* the model or the machine lacks something */
  CLI_LIMIT = 5,         /* out of memory, or a limit such as the context length */
  CLI_IO = 6,            /* output could not be written */
  CLI_INTERNAL = 70,     /* a defect of Whimbrel */
  CLI_INTERRUPTED = 130, /* Ctrl-C */
  CLI_HELP_SHOWN = -1    /* never leaves the program: --help was answered, nothing is left to do */
} cli_exit;

/* Records the error line and returns `code`. Control characters are replaced: the line stays one line. */
WH_NODISCARD cli_exit cli_fail(cli_exit code, const char *fmt, ...) WH_PRINTF(2, 3);
/* The same from the library's error record, with a hint where there is one. */
WH_NODISCARD cli_exit cli_fail_library(wh_status status);
/* The same for failures to open or read an input file, where every cause means CLI_MODEL unless it is memory
 * or support. */
WH_NODISCARD cli_exit cli_fail_input(wh_status status);
/* Appends to the recorded line, e.g. the remedy that only the caller knows. */
void cli_fail_append(const char *fmt, ...) WH_PRINTF(1, 2);
cli_exit cli_exit_of_status(wh_status status);
const char *cli_error_line(void); /* "" before the first error */
void cli_print_error(void);       /* the recorded line, to standard error */

#define CLI_TRY(expr)                                  \
  do {                                                 \
    cli_exit cli_try_code_ = (expr);                   \
    if (cli_try_code_ != CLI_OK) return cli_try_code_; \
  } while (0)
#define CLI_TRY_WH(expr)                                                    \
  do {                                                                      \
    wh_status cli_try_status_ = (expr);                                     \
    if (cli_try_status_ != WH_OK) return cli_fail_library(cli_try_status_); \
  } while (0)

void cli_set_quiet(bool quiet);
bool cli_stderr_is_terminal(void);
/* A line for the person at the terminal; dropped when quiet or when standard error is not a terminal. */
void cli_note(const char *fmt, ...) WH_PRINTF(1, 2);
/* A line that a script's log should have too; dropped only when quiet. Control characters are replaced. */
void cli_warn(const char *fmt, ...) WH_PRINTF(1, 2);
/* Replaces the progress line; an empty one removes it. Same conditions as cli_note. */
void cli_progress(const char *fmt, ...) WH_PRINTF(1, 2);

#endif
