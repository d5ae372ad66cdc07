/* emulator_options.c - see emulator_options.h. */
#include "tests/cuda/emulator_options.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/cuda_backend.h"
#include "backends/cuda/ptxemu/ptxemu.h"

static int (*set)(const char *);
static unsigned (*calls)(void), (*report_count)(void);
static const char *(*report)(unsigned);
static void (*clear)(void);
static unsigned (*profile_count)(void);
static int (*profile_get)(unsigned, ptxemu_profile *);

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
  find(library, "ptxemu_profile_count", &profile_count);
  find(library, "ptxemu_profile_get", &profile_get);
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

/* ---- counters ---- */

static int more_first(uint64_t a, uint64_t b) { return (a < b) - (a > b); }

/* By name; of a name the launch with the most instructions first, of those the one with the most sectors. */
static int by_name(const void *a, const void *b) {
  const ptxemu_profile *p = a, *q = b;
  const int names = strcmp(p->kernel, q->kernel), counts = more_first(p->instructions, q->instructions);
  return names ? names : counts ? counts : more_first(p->sectors, q->sectors);
}

static void write_ratio(FILE *to, uint64_t part, uint64_t of, double factor) {
  if (of)
    (void)fprintf(to, " %12.2f", factor * (double)part / (double)of);
  else
    (void)fprintf(to, " %12s", "-");
}

/* Of n launches of a kernel. */
static void write_line(FILE *to, const ptxemu_profile *p, unsigned n) {
  char launch[48];
  uint32_t shared = 0;
  for (unsigned i = 0; i < n; i++) shared = p[i].shared_bytes > shared ? p[i].shared_bytes : shared;
  (void)snprintf(launch, sizeof launch, "%ux%ux%u*%u", p->grid[0], p->grid[1], p->grid[2], p->block[0]);
  (void)fprintf(to, "%-40s %16s %10u", p->kernel, launch, shared);
  write_ratio(to, p->sectors, p->global_requests, 1.0);
  write_ratio(to, p->wavefronts, p->shared_requests, 1.0);
  write_ratio(to, p->loop_products, p->loop_instructions, 100.0);
  (void)fputc('\n', to);
}

bool emulator_write_counters(const char *path) {
  unsigned n = 0;
  ptxemu_profile *list = calloc(profile_count() + 1u, sizeof *list);
  FILE *to = list ? fopen(path, "w") : NULL;
  if (!to) {
    free(list);
    return false;
  }
  while (profile_get(n, &list[n]) == 0) n++;
  qsort(list, n, sizeof *list, by_name);
  for (unsigned i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && strcmp(list[i].kernel, list[end].kernel) == 0;) end++;
    write_line(to, &list[i], end - i);
  }
  free(list);
  return fclose(to) == 0;
}
