/* report.c - the list of reports. */
#include "backends/cuda/ptxemu/report.h"

#include <stdarg.h>
#include <stdio.h>

enum { MAX_KEPT = 100, MAX_TEXT = 512 };

static char kept[MAX_KEPT][MAX_TEXT];
static unsigned count;
static bool is_quiet;

void report_add(const char *kind, const char *format, ...) {
  char text[MAX_TEXT];
  const int n = snprintf(text, sizeof text, "%s: ", kind);
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text + n, sizeof text - (size_t)n, format, args);
  va_end(args);
  if (count < MAX_KEPT) (void)snprintf(kept[count], MAX_TEXT, "%s", text);
  if (!is_quiet) (void)fprintf(stderr, "ptxemu: %s\n", text);
  count++;
}

unsigned report_count(void) { return count; }
const char *report_text(unsigned i) { return i < count && i < MAX_KEPT ? kept[i] : NULL; }
void report_clear(void) { count = 0; }
void report_quiet(bool quiet) { is_quiet = quiet; }
