/* report.h - what the emulator found wrong with a program. Kept, counted, and written to standard error
 * unless the options say quiet. Guarded by the driver's lock. */
#ifndef PTXEMU_REPORT_H
#define PTXEMU_REPORT_H

#include <stdbool.h>

/* kind is the word that tests and people look for: "out-of-bounds", "race-shared". */
void report_add(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
unsigned report_count(void);
/* "kind: text" of report i, or NULL; only the first hundred are kept. */
const char *report_text(unsigned i);
void report_clear(void);
void report_quiet(bool quiet);

#endif
