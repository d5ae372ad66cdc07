/* labels.h - names of classes, a line each, and the likeliest classes of a tensor's rows. */
#ifndef CLI_LABELS_H
#define CLI_LABELS_H

#include "cli/input.h"
#include "cli/output.h"

/* Owned: deinit. Zero-initialise. */
typedef struct cli_labels {
  cli_buffer text;
  const char **lines; /* in text */
  size_t n;
} cli_labels;

WH_NODISCARD cli_exit cli_labels_read(const char *path, cli_labels *out);
void cli_labels_deinit(cli_labels *labels);
/* Prints the five largest of each row, largest first, of equals the first; false: the tensor's rows are not
 * as long as there are labels, or no floats, and nothing is printed. */
bool cli_labels_print(const cli_labels *labels, const wh_tensor *t, cli_output *out);

#endif
