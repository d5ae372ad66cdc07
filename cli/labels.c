/* labels.c - see labels.h. */
#include "cli/labels.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define N_SHOWN 5
#define ROWS_SHOWN 16

cli_exit cli_labels_read(const char *path, cli_labels *out) {
  CLI_TRY(cli_read_all(path, &out->text));
  size_t n = 0;
  for (size_t i = 0; i < out->text.n; i++) n += out->text.data[i] == '\n';
  out->lines = calloc(n + 1, sizeof *out->lines);
  if (!out->lines) return cli_fail(CLI_LIMIT, "out of memory");
  for (char *line = out->text.data, *end; line && *line; line = end) {
    end = strchr(line, '\n');
    if (end) *end++ = '\0';
    line[strcspn(line, "\r")] = '\0';
    out->lines[out->n++] = line;
    if (!end) break;
  }
  return out->n ? CLI_OK : cli_fail(CLI_MODEL, "%s: has no lines to be labels", path);
}

void cli_labels_deinit(cli_labels *labels) {
  free(labels->lines);
  cli_buffer_deinit(&labels->text);
  *labels = (cli_labels){.n = 0};
}

static void print_row(const cli_labels *labels, const float *row, cli_output *out) {
  size_t shown[N_SHOWN];
  for (size_t k = 0; k < N_SHOWN && k < labels->n; k++) {
    size_t best = labels->n;
    for (size_t i = 0; i < labels->n; i++) {
      bool taken = false;
      for (size_t j = 0; j < k && !taken; j++) taken = shown[j] == i;
      if (!taken && (best == labels->n || row[i] > row[best])) best = i;
    }
    shown[k] = best;
    cli_output_printf(out, "  %-12.6g ", (double)row[best]);
    cli_output_text(out, labels->lines[best], strlen(labels->lines[best]));
    cli_output_printf(out, "\n");
  }
}

bool cli_labels_print(const cli_labels *labels, const wh_tensor *t, cli_output *out) {
  uint64_t n_rows = 1;
  if (t->dtype != WH_DTYPE_F32 || t->rank < 1 || (uint64_t)t->dims[t->rank - 1] != labels->n) return false;
  for (int d = 0; d + 1 < t->rank; d++) n_rows *= (uint64_t)t->dims[d];
  for (uint64_t r = 0; r < n_rows && r < ROWS_SHOWN; r++) {
    if (n_rows > 1) cli_output_printf(out, " row %" PRIu64 "\n", r);
    print_row(labels, (const float *)t->data + r * labels->n, out);
  }
  if (n_rows > ROWS_SHOWN) cli_output_printf(out, " and %" PRIu64 " rows more\n", n_rows - ROWS_SHOWN);
  return true;
}
