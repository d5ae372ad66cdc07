/* emulator_options.h - steers the emulator that wh_backend_cuda opens as "cuda:emulated", in tests that link
 * both. */
#ifndef TEST_CUDA_EMULATOR_OPTIONS_H
#define TEST_CUDA_EMULATOR_OPTIONS_H

#include <stdbool.h>

/* Opens it where the build has it and tells the backend; options as in its README. Aborts when there is none.
 */
void emulator_options(const char *options);
/* Calls that `fail=N` counts, since it was set last. */
unsigned emulator_calls(void);
/* Reports since the last call, which are printed. */
unsigned emulator_take_reports(void);

#endif
