/* input.h - reading prompts: whole files, standard input, lines. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/report.h"

/* A growable byte string that is always NUL-terminated once anything was added. Zero-initialise; deinit
 * frees. */
typedef struct cli_buffer {
  char *data;
  size_t n, capacity;
} cli_buffer;
WH_NODISCARD cli_exit cli_buffer_add(cli_buffer *buffer, const char *data, size_t n);
void cli_buffer_deinit(cli_buffer *buffer);

/* Whether a file's name means standard input: NULL or "-". */
bool cli_is_standard_input(const char *path);
/* All of a file, or of standard input. The result is NUL-terminated but may hold NUL bytes. */
WH_NODISCARD cli_exit cli_read_all(const char *path, cli_buffer *out);

/* Lines of standard input, read without stdio so that Ctrl-C can break off a read. */
typedef struct cli_line_reader {
  cli_buffer pending;
  size_t start; /* of what was not handed out yet */
  bool at_end;
} cli_line_reader;
typedef enum cli_line_result { CLI_LINE_READ, CLI_LINE_END, CLI_LINE_BROKEN_OFF } cli_line_result;
/* *line (borrowed until the next call) is without its newline. BROKEN_OFF: a signal came; what was typed is
 * gone. */
WH_NODISCARD cli_exit cli_read_line(cli_line_reader *reader, cli_line_result *result, const char **line,
                                    size_t *n);
void cli_line_reader_deinit(cli_line_reader *reader);

#endif
