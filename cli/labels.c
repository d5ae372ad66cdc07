/* labels.c - see labels.h. */
#include "cli/labels.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/tensor_numbers.h"

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

/* The likeliest classes of a row, largest first; how many. */
static size_t best_of_row(const cli_labels *labels, const wh_tensor *t, uint64_t row, size_t best[N_SHOWN]) {
  const uint64_t begin = row * labels->n;
  size_t k = 0;
  for (; k < N_SHOWN && k < labels->n; k++) {
    best[k] = labels->n;
    for (size_t i = 0; i < labels->n; i++) {
      bool taken = false;
      for (size_t j = 0; j < k && !taken; j++) taken = best[j] == i;
      if (!taken && (best[k] == labels->n || cli_number_at(t, begin + i) > cli_number_at(t, begin + best[k])))
        best[k] = i;
    }
  }
  return k;
}

static uint64_t n_rows_of(const cli_labels *labels, const wh_tensor *t) {
  return cli_n_elements(t) / labels->n;
}

bool cli_labels_fit(const cli_labels *labels, const wh_tensor *t) {
  const bool is_float = t->dtype == WH_DTYPE_F32 || t->dtype == WH_DTYPE_F64 || t->dtype == WH_DTYPE_F16 ||
                        t->dtype == WH_DTYPE_BF16;
  return labels->n && is_float && t->rank > 0 && (uint64_t)t->dims[t->rank - 1] == labels->n;
}

void cli_labels_print(const cli_labels *labels, const wh_tensor *t, cli_output *out) {
  const uint64_t n_rows = n_rows_of(labels, t);
  size_t best[N_SHOWN];
  for (uint64_t r = 0; r < n_rows && r < ROWS_SHOWN; r++) {
    if (n_rows > 1) cli_output_printf(out, " row %" PRIu64 "\n", r);
    const size_t n = best_of_row(labels, t, r, best);
    for (size_t k = 0; k < n; k++) {
      cli_output_printf(out, "  %-12.6g ", cli_number_at(t, r * labels->n + best[k]));
      cli_output_text(out, labels->lines[best[k]], strlen(labels->lines[best[k]]));
      cli_output_printf(out, "\n");
    }
  }
  if (n_rows > ROWS_SHOWN) cli_output_printf(out, " and %" PRIu64 " rows more\n", n_rows - ROWS_SHOWN);
}

json_t *cli_labels_json(const cli_labels *labels, const wh_tensor *t) {
  json_t *rows = json_array();
  size_t best[N_SHOWN];
  for (uint64_t r = 0; r < n_rows_of(labels, t); r++) {
    json_t *row = json_array();
    const size_t n = best_of_row(labels, t, r, best);
    for (size_t k = 0; k < n; k++) {
      json_t *one = json_object();
      const char *line = labels->lines[best[k]];
      cli_json_set(one, "label", cli_json_string(line, strlen(line)));
      cli_json_set_real(one, "value", cli_number_at(t, r * labels->n + best[k]));
      cli_json_append(row, one);
    }
    cli_json_append(rows, row);
  }
  return rows;
}
