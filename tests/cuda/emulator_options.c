/* emulator_options.c - see emulator_options.h. */
#include "tests/cuda/emulator_options.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/cuda_backend.h"

static int (*set)(const char *);
static unsigned (*calls)(void), (*report_count)(void);
static const char *(*report)(unsigned);
static void (*clear)(void);

static void find(void *library, const char *name, void *to) {
  void *f = dlsym(library, name);
  if (!f) abort();
  memcpy(to, &f, sizeof f);
}

static void open_emulator(void) {
  void *library = dlopen(WH_EMULATOR, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    (void)fprintf(stderr, "%s\n", dlerror());
    abort();
  }
  find(library, "ptxemu_set", &set);
  find(library, "ptxemu_calls", &calls);
  find(library, "ptxemu_report_count", &report_count);
  find(library, "ptxemu_report", &report);
  find(library, "ptxemu_clear", &clear);
  wh_cuda_emulator_path(WH_EMULATOR);
}

void emulator_options(const char *options) {
  if (!set) open_emulator();
  if (set(options) == 0) return;
  (void)fprintf(stderr, "the emulator does not know the options '%s'\n", options);
  abort();
}

unsigned emulator_calls(void) { return calls(); }

unsigned emulator_take_reports(void) {
  const unsigned n = report_count();
  for (unsigned i = 0; i < n && report(i); i++) (void)fprintf(stderr, "  %s\n", report(i));
  clear();
  return n;
}
