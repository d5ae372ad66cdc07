/* interrupt.h - Ctrl-C as a flag that loops look at. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

#include "cli/report.h"

/* From now on the first Ctrl-C (or SIGTERM) only sets the flag. A second one before the flag is cleared ends
 * the program, whatever it is doing. */
void cli_interrupt_catch(void);
/* Waits until reading from the file would not block; false when the flag is or becomes set. */
bool cli_interrupt_wait_readable(int fd);
bool cli_interrupted(void);
void cli_interrupt_clear(void);
/* CLI_INTERRUPTED with its error line. */
WH_NODISCARD cli_exit cli_fail_interrupted(void);

#endif
