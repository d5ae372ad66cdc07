/* amx_trap.h - runs the tile instructions of AMX on processors that lack them: each raises SIGILL, and a
 * handler does what it says. So the kernels that are tested are the ones that ship. */
#ifndef WH_TESTS_AMX_TRAP_H
#define WH_TESTS_AMX_TRAP_H

#include <stdbool.h>

/* From here on tile instructions run in all threads of the test, also without leave of the system. False
 * where there is no such trap: elsewhere than on x86-64 Linux. */
bool amx_trap_install(void);

#endif
