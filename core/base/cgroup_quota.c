/* cgroup_quota.c - how much processor time the control groups of this process grant.
 *
 * Version 2 has cpu.max, version 1 cpu.cfs_quota_us and cpu.cfs_period_us. A limit that makes no sense is
 * passed over: it only chooses the number of threads. */
#include <stdlib.h>

#include "core/base/cgroup.h"
#include "core/base/cpu_budget.h"

/* A positive number of microseconds at *s, which moves past it; 0 for anything else ("max", -1, text). */
static double read_us(const char **s) {
  char *end = NULL;
  if (!*s) return 0.0;
  long long v = strtoll(*s, &end, 10);
  bool number = end != *s;
  *s = end;
  return number && v > 0 ? (double)v : 0.0;
}

/* Keeps the smallest limit in *ctx; 0: none. */
static wh_status visit(void *ctx, const wh_cgroup *group) {
  double *smallest = ctx;
  char *quota_text = NULL, *period_text = NULL;
  const wh_allocator *alloc = group->folder->alloc;
  WH_TRY(wh_cgroup_file(group, group->v2 ? "cpu.max" : "cpu.cfs_quota_us", &quota_text));
  wh_status st = WH_OK;
  if (!group->v2 && quota_text) st = wh_cgroup_file(group, "cpu.cfs_period_us", &period_text);
  const char *quota_at = quota_text, *period_at = period_text;
  double quota = read_us(&quota_at), period = read_us(group->v2 ? &quota_at : &period_at);
  double limit = quota > 0.0 && period > 0.0 ? quota / period : 0.0;
  if (limit > 0.0 && (*smallest == 0.0 || limit < *smallest)) *smallest = limit;
  wh_free(alloc, quota_text);
  wh_free(alloc, period_text);
  return st;
}

wh_status wh_cgroup_cpu_quota(const char *root, const wh_allocator *alloc, double *out) {
  double smallest = 0.0;
  WH_TRY(wh_cgroup_visit(root, "cpu", alloc, visit, &smallest));
  *out = smallest;
  return WH_OK;
}
