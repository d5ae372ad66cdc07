/* labels.h - names of classes, a line each, and the likeliest classes of a tensor's rows. */
#ifndef CLI_LABELS_H
#define CLI_LABELS_H

#include <jansson.h>

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
/* Whether the tensor's rows are floats, as many as there are labels. */
bool cli_labels_fit(const cli_labels *labels, const wh_tensor *t);
/* The five largest of each row, largest first, of equals the first. Of a tensor that fits. */
void cli_labels_print(const cli_labels *labels, const wh_tensor *t, cli_output *out);
json_t *cli_labels_json(const cli_labels *labels,
                        const wh_tensor *t); /* [[{"label": ..., "value": ...}, ...], ...] */

#endif
