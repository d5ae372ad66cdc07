/* memory_budget.c - see memory_budget.h. */
#define _GNU_SOURCE
#include "core/base/memory_budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/cgroup.h"
#include "core/base/small_file.h"

#define UNLIMITED UINT64_MAX
#define V1_UNLIMITED (UINT64_C(1) << 62) /* version 1 writes the largest whole number of pages */

const char *wh_bytes_text(uint64_t n_bytes, char out[WH_BYTES_TEXT]) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = (double)n_bytes;
  int unit = 0;
  while (value >= 1023.95 && unit < 6) value /= 1024, unit++;
  (void)snprintf(out, WH_BYTES_TEXT, "%.*f %s", unit ? 1 : 0, value, units[unit]);
  return out;
}

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static uint64_t left_of(uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; }

static void lower(wh_memory_budget *b, uint64_t available, const char *what, uint64_t limit) {
  char bytes[WH_BYTES_TEXT];
  if (available >= b->available) return;
  b->available = available;
  (void)snprintf(b->limit, sizeof b->limit, "%s of %s", what, wh_bytes_text(limit, bytes));
}

/* ---- numbers in texts ---- */

/* The number at s; `none` for anything else ("max", a missing file). */
static uint64_t number_or(const char *s, uint64_t none) {
  char *end = NULL;
  if (!s) return none;
  while (*s == ' ' || *s == '\t') s++;
  if (*s < '0' || *s > '9') return none;
  unsigned long long v = strtoull(s, &end, 10);
  return v;
}

/* The number behind the word that begins a line, and behind `skip` more words; `none` without such a line. */
static uint64_t field_or(const char *text, const char *word, int skip, uint64_t none) {
  size_t n = strlen(word);
  for (const char *line = text; line && *line;) {
    const char *end = strchr(line, '\n');
    if (strncmp(line, word, n) == 0 && (line[n] == ' ' || line[n] == '\t')) {
      const char *at = line + n;
      for (int i = 0; i < skip; i++) {
        at += strspn(at, " \t");
        at += strcspn(at, " \t\n");
      }
      return number_or(at, none);
    }
    line = end ? end + 1 : NULL;
  }
  return none;
}

/* ---- control groups ---- */

typedef struct group_walk {
  wh_memory_budget *budget;
  uint64_t swap_free;
} group_walk;

static wh_status file_number(const wh_cgroup *group, const char *name, uint64_t none, uint64_t *out) {
  char *text = NULL;
  WH_TRY(wh_cgroup_file(group, name, &text));
  *out = number_or(text, none);
  wh_free(group->folder->alloc, text);
  return WH_OK;
}

/* Of what the group uses, pages of files that can be dropped at once. */
static wh_status reclaimable(const wh_cgroup *group, uint64_t *out) {
  static const char *const names[2][4] = {
      {"total_inactive_file", "total_active_file", "total_dirty", "total_writeback"},
      {"inactive_file", "active_file", "file_dirty", "file_writeback"}};
  const char *const *name = names[group->v2];
  char *text = NULL;
  WH_TRY(wh_cgroup_file(group, "memory.stat", &text));
  uint64_t files = add(field_or(text, name[0], 0, 0), field_or(text, name[1], 0, 0));
  uint64_t busy = add(field_or(text, name[2], 0, 0), field_or(text, name[3], 0, 0));
  *out = left_of(files, busy);
  wh_free(group->folder->alloc, text);
  return WH_OK;
}

/* Version 2 limits memory and swap each, version 1 memory and the sum of both. */
static wh_status visit(void *ctx, const wh_cgroup *group) {
  group_walk *walk = ctx;
  uint64_t limit, used, cache, swap_limit, swap_used;
  WH_TRY(file_number(group, group->v2 ? "memory.max" : "memory.limit_in_bytes", UNLIMITED, &limit));
  if (limit == UNLIMITED || (!group->v2 && limit >= V1_UNLIMITED)) return WH_OK;
  WH_TRY(file_number(group, group->v2 ? "memory.current" : "memory.usage_in_bytes", 0, &used));
  WH_TRY(file_number(group, group->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", UNLIMITED,
                     &swap_limit));
  WH_TRY(
      file_number(group, group->v2 ? "memory.swap.current" : "memory.memsw.usage_in_bytes", 0, &swap_used));
  WH_TRY(reclaimable(group, &cache));
  uint64_t left = add(left_of(limit, left_of(used, cache)), walk->swap_free);
  if (swap_limit != UNLIMITED) {
    uint64_t swap_left = left_of(swap_limit, group->v2 ? swap_used : left_of(swap_used, cache));
    uint64_t both = group->v2 ? add(left_of(limit, left_of(used, cache)), swap_left) : swap_left;
    if (both < left) left = both;
  }
  lower(walk->budget, left, "the control group's limit", limit);
  return WH_OK;
}

/* ---- the machine and the process ---- */

/* KiB of /proc/meminfo and /proc/self/status. */
static uint64_t kib_or(const char *text, const char *word, uint64_t none) {
  uint64_t kib = field_or(text, word, 0, UNLIMITED);
  return kib > UINT64_MAX / 1024 ? none : kib * 1024;
}

/* ZFS keeps its cache outside the system's, which does not count it as available; it gives way all the same.
 */
static wh_status zfs_cache(const char *root, const wh_allocator *alloc, uint64_t *out) {
  char *text = NULL;
  WH_TRY(wh_small_file_read(root, "/proc/spl/kstat/zfs/arcstats", alloc, &text));
  *out = left_of(field_or(text, "size", 1, 0), field_or(text, "c_min", 1, 0));
  wh_free(alloc, text);
  return WH_OK;
}

static wh_status read_machine(const char *root, const wh_allocator *alloc, wh_memory_budget *b,
                              uint64_t *swap_free) {
  char *text = NULL;
  uint64_t zfs = 0;
  WH_TRY(wh_small_file_read(root, "/proc/meminfo", alloc, &text));
  uint64_t available = kib_or(text, "MemAvailable:", UNLIMITED), total = kib_or(text, "MemTotal:", 0);
  *swap_free = kib_or(text, "SwapFree:", 0);
  wh_free(alloc, text);
  WH_TRY(zfs_cache(root, alloc, &zfs));
  if (available != UNLIMITED) lower(b, add(add(available, zfs), *swap_free), "this machine's memory", total);
  return WH_OK;
}

static wh_status read_process(const char *root, const wh_memory_rlimits *limits, const wh_allocator *alloc,
                              wh_memory_budget *b) {
  char *text = NULL;
  if (limits->address_space == UNLIMITED && limits->data == UNLIMITED) return WH_OK;
  WH_TRY(wh_small_file_read(root, "/proc/self/status", alloc, &text));
  if (limits->address_space != UNLIMITED)
    lower(b, left_of(limits->address_space, kib_or(text, "VmSize:", 0)),
          "the limit of address space (ulimit -v)", limits->address_space);
  if (limits->data != UNLIMITED)
    lower(b, left_of(limits->data, kib_or(text, "VmData:", 0)), "the limit of data (ulimit -d)",
          limits->data);
  wh_free(alloc, text);
  return WH_OK;
}

wh_status wh_memory_budget_read_from(const char *root, const wh_memory_rlimits *limits,
                                     const wh_allocator *alloc, wh_memory_budget *out) {
  wh_memory_budget b = {.available = UNLIMITED};
  group_walk walk = {.budget = &b};
  WH_TRY(read_machine(root, alloc, &b, &walk.swap_free));
  WH_TRY(read_process(root, limits, alloc, &b));
  WH_TRY(wh_cgroup_visit(root, "memory", alloc, visit, &walk));
  *out = b;
  return WH_OK;
}

static uint64_t limit_of(int resource) {
  struct rlimit r;
  return getrlimit(resource, &r) == 0 && r.rlim_cur != RLIM_INFINITY ? (uint64_t)r.rlim_cur : UNLIMITED;
}

wh_status wh_memory_budget_read(const wh_allocator *alloc, wh_memory_budget *out) {
  const wh_memory_rlimits limits = {limit_of(RLIMIT_AS), limit_of(RLIMIT_DATA)};
  return wh_memory_budget_read_from("", &limits, alloc, out);
}
