/* output.c - see output.h. Owns the temporary file until finish renames it or abandon removes it. */
#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cli_exit fail_write(const cli_output *out, int error) {
  return cli_fail(CLI_IO, "cannot write to %s: %s", out->name, strerror(error));
}

/* Creates the temporary file beside the target, with the permissions that a plain open would give. */
static cli_exit open_temporary(cli_output *out, const char *path) {
  /* A link's target is replaced, not the link. */
  out->target = realpath(path, NULL);
  if (!out->target) out->target = strdup(path);
  if (!out->target) return cli_fail(CLI_LIMIT, "out of memory");
  size_t n = strlen(out->target) + sizeof ".XXXXXX";
  out->temporary = malloc(n);
  if (!out->temporary) return cli_fail(CLI_LIMIT, "out of memory");
  snprintf(out->temporary, n, "%s.XXXXXX", out->target);
  int fd = mkstemp(out->temporary);
  if (fd < 0) {
    int error = errno;
    free(out->temporary);
    out->temporary = NULL;
    return fail_write(out, error);
  }
  mode_t mask = umask(0);
  umask(mask);
  if (fchmod(fd, 0666 & ~mask) != 0 || !(out->stream = fdopen(fd, "w"))) {
    int error = errno;
    close(fd);
    return fail_write(out, error);
  }
  return CLI_OK;
}

cli_exit cli_output_open(const char *path, cli_output *out) {
  *out = (cli_output){.name = "standard output"};
  if (!path || strcmp(path, "-") == 0) {
    out->stream = stdout;
    out->is_terminal = isatty(STDOUT_FILENO) == 1;
    return CLI_OK;
  }
  out->name = path;
  struct stat st;
  cli_exit code = CLI_OK;
  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
    out->stream = fopen(path, "w");
    if (!out->stream) code = fail_write(out, errno);
  } else {
    code = open_temporary(out, path);
  }
  if (code != CLI_OK) cli_output_abandon(out);
  return code;
}

void cli_output_write(cli_output *out, const char *data, size_t n_bytes) {
  if (out->write_errno || n_bytes == 0) return;
  errno = 0;
  if (fwrite(data, 1, n_bytes, out->stream) != n_bytes) out->write_errno = errno ? errno : EIO;
}

void cli_output_printf(cli_output *out, const char *fmt, ...) {
  if (out->write_errno) return;
  va_list args;
  va_start(args, fmt);
  errno = 0;
  if (vfprintf(out->stream, fmt, args) < 0) out->write_errno = errno ? errno : EIO;
  va_end(args);
}

/* Length of the control character at text[0], 0 if it is none: C0 but newline and tab, DEL, and C1 in UTF-8.
 */
static size_t control_length(const char *text, size_t n_bytes) {
  unsigned char c = (unsigned char)text[0];
  if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) return 1;
  if (c == 0xc2 && n_bytes > 1 && (unsigned char)text[1] < 0xa0) return 2;
  return 0;
}

void cli_output_text(cli_output *out, const char *text, size_t n_bytes) {
  if (!out->is_terminal) {
    cli_output_write(out, text, n_bytes);
    return;
  }
  size_t start = 0, i = 0;
  while (i < n_bytes) {
    size_t skip = control_length(text + i, n_bytes - i);
    if (skip) {
      cli_output_write(out, text + start, i - start);
      start = i + skip;
    }
    i += skip ? skip : 1;
  }
  cli_output_write(out, text + start, n_bytes - start);
}

cli_exit cli_output_flush(cli_output *out) {
  if (!out->write_errno) {
    errno = 0;
    if (fflush(out->stream) != 0) out->write_errno = errno ? errno : EIO;
  }
  return out->write_errno ? fail_write(out, out->write_errno) : CLI_OK;
}

cli_exit cli_output_finish(cli_output *out) {
  cli_exit code = cli_output_flush(out);
  if (code == CLI_OK && out->temporary) {
    if (fsync(fileno(out->stream)) != 0) code = fail_write(out, errno);
    if (code == CLI_OK && rename(out->temporary, out->target) != 0) code = fail_write(out, errno);
    if (code == CLI_OK) {
      free(out->temporary);
      out->temporary = NULL;
    }
  }
  cli_output_abandon(out);
  return code;
}

void cli_output_abandon(cli_output *out) {
  if (out->stream && out->stream != stdout) fclose(out->stream);
  if (out->temporary) unlink(out->temporary);
  free(out->temporary);
  free(out->target);
  *out = (cli_output){0};
}
