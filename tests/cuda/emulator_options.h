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
/* Writes, where the option `count` was set, what each kernel's largest launch asked of memory and of the
 * matrix units, a line each by name: backends/gpu/kernels/counters.txt. False: it cannot be written. */
bool emulator_write_counters(const char *path);
/* Reports since the last call, which are printed. */
unsigned emulator_take_reports(void);

#endif
