/* report.c - see report.h. State is process-wide: the program has one thread of its own. */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char error_line[WH_ERROR_MESSAGE_BYTES + 256];
static bool quiet_mode;
static bool progress_shown;

static void make_one_line(char *s) {
  for (; *s; ++s)
    if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = ' ';
}

cli_exit cli_fail(cli_exit code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  vsnprintf(error_line, sizeof error_line, fmt, args);
  va_end(args);
  make_one_line(error_line);
  return code;
}

void cli_fail_append(const char *fmt, ...) {
  size_t used = strlen(error_line);
  va_list args;
  va_start(args, fmt);
  vsnprintf(error_line + used, sizeof error_line - used, fmt, args);
  va_end(args);
  make_one_line(error_line + used);
}

cli_exit cli_exit_of_status(wh_status status) {
  switch (status) {
    case WH_OK:
      return CLI_OK;
    case WH_ERR_INVALID_ARGUMENT:
      return CLI_USAGE;
    case WH_ERR_OUT_OF_MEMORY:
    case WH_ERR_LIMIT:
      return CLI_LIMIT;
    case WH_ERR_NOT_FOUND:
    case WH_ERR_CORRUPT:
      return CLI_MODEL;
    case WH_ERR_UNSUPPORTED:
    case WH_ERR_UNAVAILABLE:
    case WH_ERR_DEVICE:
      return CLI_UNSUPPORTED;
    case WH_ERR_IO:
      return CLI_IO;
    case WH_ERR_CANCELLED:
      return CLI_INTERRUPTED;
    case WH_ERR_INTERNAL:
    case WH_STATUS_FORCE_32:
      break;
  }
  return CLI_INTERNAL;
}

/* What to do about it, unless the message says so already. */
static const char *hint_for(wh_status status, const char *message) {
  switch (status) {
    case WH_ERR_OUT_OF_MEMORY:
      if (strstr(message, "weights alone")) return "";
      if (strstr(message, "layers would fit")) return " (--gpu-layers auto)";
      return strstr(message, "smaller context") ? " (-c N), as does --kv q8"
                                                : "; a smaller -c, --kv q8 or --prompt-chunk needs less";
    case WH_ERR_CORRUPT:
      return strstr(message, "download it again") ? "" : "; if the file was downloaded, download it again";
    case WH_ERR_UNAVAILABLE:
      return "; `whimbrel devices` shows what this machine has";
    case WH_ERR_INTERNAL:
      return "; this is a defect of Whimbrel: please report it";
    default:
      return "";
  }
}

cli_exit cli_fail_library(wh_status status) {
  const wh_error_record *record = wh_last_error();
  const char *message = record->message[0] ? record->message : wh_status_name(status);
  return cli_fail(cli_exit_of_status(status), "%s%s", message, hint_for(status, message));
}

cli_exit cli_fail_input(wh_status status) {
  cli_exit code = cli_fail_library(status);
  return code == CLI_USAGE || code == CLI_IO ? CLI_MODEL : code;
}

const char *cli_error_line(void) { return error_line; }

void cli_print_error(void) {
  cli_progress("%s", "");
  fprintf(stderr, "whimbrel: %s\n", error_line);
}

void cli_set_quiet(bool quiet) { quiet_mode = quiet; }

bool cli_stderr_is_terminal(void) { return isatty(STDERR_FILENO) == 1; }

static bool nobody_reads(void) { return quiet_mode || !cli_stderr_is_terminal(); }

void cli_note(const char *fmt, ...) {
  if (nobody_reads()) return;
  cli_progress("%s", "");
  va_list args;
  va_start(args, fmt);
  vfprintf(stderr, fmt, args);
  va_end(args);
  fputc('\n', stderr);
}

void cli_warn(const char *fmt, ...) {
  if (quiet_mode) return;
  char line[sizeof error_line];
  va_list args;
  va_start(args, fmt);
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  make_one_line(line);
  cli_progress("%s", "");
  fprintf(stderr, "whimbrel: warning: %s\n", line);
}

void cli_progress(const char *fmt, ...) {
  if (nobody_reads()) return;
  char line[160];
  va_list args;
  va_start(args, fmt);
  vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  if (!line[0] && !progress_shown) return;
  fprintf(stderr, "\r\033[K%s", line);
  fflush(stderr);
  progress_shown = line[0] != '\0';
}
