/* cpu_budget.c - the affinity mask and the cores behind it. Control groups: cgroup_quota.c. */
#define _GNU_SOURCE
#include "core/base/cpu_budget.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/small_file.h"

#define CPU_LIMIT 65536 /* processors; a larger index in a file is nonsense */

/* Calls mark[i] = value for every i < n of a list like "0-3,8,10-11". */
static void mark_list(const char *s, int *mark, int n, int value) {
  while (*s) {
    char *end = NULL;
    long first = strtol(s, &end, 10), last = first;
    if (end == s) return;
    s = end;
    if (*s == '-') {
      last = strtol(s + 1, &end, 10);
      if (end == s + 1) return;
      s = end;
    }
    for (long i = first < 0 ? 0 : first; i <= last && i < n; i++) mark[i] = value;
    if (*s != ',') return;
    s++;
  }
}

/* Fills core_cpus from cpus: the first allowed processor of each set of SMT siblings. */
static wh_status find_cores(const char *root, wh_cpu_budget *b) {
  const wh_allocator *alloc = b->alloc;
  char path[96], *text = NULL;
  WH_TRY(wh_small_file_read(root, "/sys/devices/system/cpu/smt/active", alloc, &text));
  bool no_smt = text && text[0] == '0';
  wh_free(alloc, text);
  int n_marks = b->cpus[b->n_cpus - 1] + 1;
  int *seen = no_smt ? NULL : wh_alloc_array(alloc, (size_t)n_marks, sizeof *seen);
  if (!no_smt && !seen) return WH_OOM("processor list");
  wh_status st = WH_OK;
  for (int i = 0; i < b->n_cpus && st == WH_OK; i++) {
    if (!no_smt && seen[b->cpus[i]]) continue;
    b->core_cpus[b->n_cores++] = b->cpus[i];
    /* the name since Linux 5.3, then the older one */
    for (int name = 0; name < 2 && !no_smt && st == WH_OK; name++) {
      (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", b->cpus[i],
                     name == 0 ? "core_cpus_list" : "thread_siblings_list");
      st = wh_small_file_read(root, path, alloc, &text);
      if (st != WH_OK || !text) continue;
      mark_list(text, seen, n_marks, 1);
      wh_free(alloc, text);
      break;
    }
  }
  wh_free(alloc, seen);
  return st;
}

/* Counts a list like "0-1,4". */
static wh_status count_nodes(const char *root, wh_cpu_budget *b) {
  enum { NODES_MAX = 1024 };
  char *text = NULL;
  WH_TRY(wh_small_file_read(root, "/sys/devices/system/node/has_cpu", b->alloc, &text));
  b->n_nodes = 1;
  if (!text) return WH_OK;
  int *marks = wh_alloc_array(b->alloc, NODES_MAX, sizeof *marks), n = 0;
  if (marks) mark_list(text, marks, NODES_MAX, 1);
  for (int i = 0; marks && i < NODES_MAX; i++) n += marks[i];
  wh_free(b->alloc, text);
  if (!marks) return WH_OOM("memory nodes");
  wh_free(b->alloc, marks);
  if (n > 1) b->n_nodes = n;
  return WH_OK;
}

wh_status wh_cpu_budget_read_from(const char *root, const int *cpus, int n, const wh_allocator *alloc,
                                  wh_cpu_budget *out) {
  wh_cpu_budget b = {.alloc = alloc, .n_cpus = n};
  b.cpus = wh_alloc_array(alloc, (size_t)n, sizeof *b.cpus);
  b.core_cpus = wh_alloc_array(alloc, (size_t)n, sizeof *b.core_cpus);
  wh_status st = b.cpus && b.core_cpus ? WH_OK : WH_OOM("processor list");
  if (st == WH_OK) {
    memcpy(b.cpus, cpus, (size_t)n * sizeof *cpus);
    st = find_cores(root, &b);
  }
  if (st == WH_OK) st = count_nodes(root, &b);
  if (st == WH_OK) st = wh_cgroup_cpu_quota(root, alloc, &b.quota);
  if (st == WH_OK)
    *out = b;
  else
    wh_cpu_budget_deinit(&b);
  return st;
}

#if defined(__linux__)
/* The affinity mask as a list; *n 0 when the system does not tell. */
static wh_status affinity_list(const wh_allocator *alloc, int **out, int *n) {
  for (size_t limit = 1024; limit <= CPU_LIMIT; limit *= 8) {
    size_t bytes = CPU_ALLOC_SIZE(limit);
    cpu_set_t *set = wh_alloc_uninit(alloc, bytes, _Alignof(cpu_set_t));
    int *list = wh_alloc_array(alloc, limit, sizeof *list);
    if (!set || !list) {
      wh_free(alloc, set);
      wh_free(alloc, list);
      return WH_OOM("processor list");
    }
    CPU_ZERO_S(bytes, set);
    bool told = sched_getaffinity(0, bytes, set) == 0, too_small = !told && errno == EINVAL;
    *n = 0;
    for (size_t i = 0; told && i < limit; i++)
      if (CPU_ISSET_S(i, bytes, set)) list[(*n)++] = (int)i;
    wh_free(alloc, set);
    *out = list;
    if (!too_small) return WH_OK;
    wh_free(alloc, list);
    *out = NULL;
  }
  return WH_OK;
}
#else
static wh_status affinity_list(const wh_allocator *alloc, int **out, int *n) {
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  *n = online < 1 ? 0 : online > CPU_LIMIT ? CPU_LIMIT : (int)online;
  *out = wh_alloc_array(alloc, (size_t)*n, sizeof **out);
  if (!*out) return WH_OOM("processor list");
  for (int i = 0; i < *n; i++) (*out)[i] = i;
  return WH_OK;
}
#endif

wh_status wh_cpu_budget_read(const wh_allocator *alloc, wh_cpu_budget *out) {
  int *list = NULL, n = 0, first = 0;
  WH_TRY(affinity_list(alloc, &list, &n));
  wh_status st = wh_cpu_budget_read_from("", n > 0 ? list : &first, n > 0 ? n : 1, alloc, out);
  wh_free(alloc, list);
  return st;
}

void wh_cpu_budget_deinit(wh_cpu_budget *b) {
  if (!b) return;
  wh_free(b->alloc, b->cpus);
  wh_free(b->alloc, b->core_cpus);
  *b = (wh_cpu_budget){0};
}

int wh_cpu_threads_within(int n_cores, double quota) {
  int threads = n_cores;
  if (quota > 0.0 && quota < threads) {
    int whole = (int)quota;
    threads = whole < quota ? whole + 1 : whole;
  }
  return threads < 1 ? 1 : threads;
}

int wh_cpu_budget_threads(const wh_cpu_budget *b) { return wh_cpu_threads_within(b->n_cores, b->quota); }
