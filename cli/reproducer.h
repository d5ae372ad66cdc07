/* reproducer.h - where `verify` writes the first node that differs, by itself. */
#ifndef CLI_REPRODUCER_H
#define CLI_REPRODUCER_H

#include <limits.h>

#include "cli/output.h"

typedef struct cli_reproducer {
  const char *wanted;                  /* the folder that was asked for; NULL: one is named after the node */
  char folder[PATH_MAX];               /* where it is; "": none was written, ... */
  char reason[WH_ERROR_MESSAGE_BYTES]; /* ... and why */
} cli_reproducer;

/* Runs the model once more with the node extracted into the folder. */
typedef wh_status (*cli_extract_fn)(void *ctx, const char *node, const char *folder);

/* Never fails: the difference is what counts. */
void cli_reproducer_write(cli_reproducer *r, const char *node, cli_extract_fn extract, void *ctx);
/* The line of the report. */
void cli_reproducer_report(const cli_reproducer *r, cli_output *out);

#endif
