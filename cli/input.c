/* input.c - see input.h. */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"

#define READ_BYTES 65536
#define INPUT_BYTES_MAX ((size_t)1 << 30) /* a longer prompt is a mistake, not a prompt */

static cli_exit reserve(cli_buffer *buffer, size_t more) {
  if (more > INPUT_BYTES_MAX - buffer->n)
    return cli_fail(CLI_LIMIT, "the input is longer than %zu bytes; give a shorter one", INPUT_BYTES_MAX);
  size_t needed = buffer->n + more + 1;
  if (needed <= buffer->capacity) return CLI_OK;
  size_t capacity = buffer->capacity ? buffer->capacity : 256;
  while (capacity < needed) capacity *= 2;
  char *data = realloc(buffer->data, capacity);
  if (!data) return cli_fail(CLI_LIMIT, "out of memory");
  buffer->data = data;
  buffer->capacity = capacity;
  return CLI_OK;
}

cli_exit cli_buffer_add(cli_buffer *buffer, const char *data, size_t n) {
  CLI_TRY(reserve(buffer, n));
  if (n) memcpy(buffer->data + buffer->n, data, n);
  buffer->n += n;
  buffer->data[buffer->n] = '\0';
  return CLI_OK;
}

void cli_buffer_deinit(cli_buffer *buffer) {
  free(buffer->data);
  *buffer = (cli_buffer){0};
}

/* Reads once into the buffer; *got is 0 at the end, negative when Ctrl-C came. */
static cli_exit read_some(int fd, const char *name, cli_buffer *buffer, ssize_t *got) {
  CLI_TRY(reserve(buffer, READ_BYTES));
  if (!cli_interrupt_wait_readable(fd)) {
    *got = -1;
    return CLI_OK;
  }
  ssize_t n = read(fd, buffer->data + buffer->n, READ_BYTES);
  if (n < 0 && errno != EINTR) return cli_fail(CLI_MODEL, "cannot read %s: %s", name, strerror(errno));
  if (n > 0) buffer->n += (size_t)n;
  buffer->data[buffer->n] = '\0';
  *got = n;
  return CLI_OK;
}

bool cli_is_standard_input(const char *path) { return !path || strcmp(path, "-") == 0; }

cli_exit cli_read_all(const char *path, cli_buffer *out) {
  bool standard = cli_is_standard_input(path);
  const char *name = standard ? "standard input" : path;
  int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return cli_fail(CLI_MODEL, "cannot read %s: %s", name, strerror(errno));
  cli_buffer buffer = {0};
  ssize_t got = 1;
  cli_exit code = CLI_OK;
  while (code == CLI_OK && got != 0) {
    code = read_some(fd, name, &buffer, &got);
    if (code == CLI_OK && got < 0 && cli_interrupted()) code = cli_fail_interrupted();
  }
  if (!standard) close(fd);
  if (code == CLI_OK)
    *out = buffer;
  else
    cli_buffer_deinit(&buffer);
  return code;
}

cli_exit cli_read_line(cli_line_reader *reader, cli_line_result *result, const char **line, size_t *n) {
  cli_buffer *pending = &reader->pending;
  /* What was handed out by the last call goes now: its caller is done with it. */
  if (reader->start) {
    memmove(pending->data, pending->data + reader->start, pending->n - reader->start);
    pending->n -= reader->start;
    reader->start = 0;
  }
  size_t scanned = 0;
  for (;;) {
    char *newline = pending->n > scanned ? memchr(pending->data + scanned, '\n', pending->n - scanned) : NULL;
    if (newline || (reader->at_end && pending->n)) {
      size_t length = newline ? (size_t)(newline - pending->data) : pending->n;
      reader->start = newline ? length + 1 : length;
      if (length < pending->n) pending->data[length] = '\0';
      *line = pending->data;
      *n = length;
      *result = CLI_LINE_READ;
      return CLI_OK;
    }
    if (reader->at_end) {
      *result = CLI_LINE_END;
      return CLI_OK;
    }
    scanned = pending->n;
    ssize_t got = 0;
    CLI_TRY(read_some(STDIN_FILENO, "standard input", pending, &got));
    if (got < 0 && cli_interrupted()) {
      pending->n = 0;
      *result = CLI_LINE_BROKEN_OFF;
      return CLI_OK;
    }
    reader->at_end = got == 0;
  }
}

void cli_line_reader_deinit(cli_line_reader *reader) { cli_buffer_deinit(&reader->pending); }
