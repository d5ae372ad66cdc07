/* cgroup_quota.c - how much processor time the control groups of this process grant.
 *
 * /proc/self/cgroup says which group the process is in, /proc/self/mountinfo where that hierarchy can be
 * seen. Limits add up along the path to the root of the mount, so the smallest counts. Version 2 has cpu.max,
 * version 1 cpu.cfs_quota_us and cpu.cfs_period_us; a machine may use both. A line that makes no sense is
 * passed over: the limit only chooses the number of threads. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cpu_budget.h"
#include "core/base/small_file.h"
#include "core/base/str.h"
#include "core/base/text_buffer.h"

/* Cuts the next piece up to `separator` off *rest; false at the end. */
static bool next_piece(wh_str *rest, char separator, wh_str *piece) {
  if (!rest->data) return false;
  const char *end = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
  *piece = (wh_str){rest->data, end ? (size_t)(end - rest->data) : rest->len};
  *rest = end ? (wh_str){end + 1, rest->len - piece->len - 1} : (wh_str){NULL, 0};
  return true;
}

static bool list_has(wh_str list, const char *word) {
  for (wh_str item; next_piece(&list, ',', &item);)
    if (wh_str_is(item, word)) return true;
  return false;
}

/* The group's path in one hierarchy: "0::PATH" for version 2, "N:...,cpu,...:PATH" for version 1. */
static bool find_group(const char *text, bool v2, wh_str *path) {
  wh_str rest = wh_str_from(text), line, id, controllers;
  while (next_piece(&rest, '\n', &line)) {
    if (!next_piece(&line, ':', &id) || !next_piece(&line, ':', &controllers) || !line.data) continue;
    if (v2 ? wh_str_is(id, "0") && controllers.len == 0 : list_has(controllers, "cpu")) {
      *path = line; /* what is left; it may hold colons */
      return true;
    }
  }
  return false;
}

/* Where that hierarchy is mounted, and which of its groups is the root of the mount. Fields of a line: id,
 * parent, device, root, mount point, options, optional ones, "-", type, source, super options. */
static bool find_mount(const char *text, bool v2, wh_str *mount_root, wh_str *mount_point) {
  wh_str rest = wh_str_from(text), line;
  while (next_piece(&rest, '\n', &line)) {
    wh_str field[5], word, type = {NULL, 0}, source, super = {NULL, 0};
    int n = 0;
    while (n < 5 && next_piece(&line, ' ', &field[n])) n++;
    while (next_piece(&line, ' ', &word) && !wh_str_is(word, "-")) continue;
    if (n < 5 || !next_piece(&line, ' ', &type) || !next_piece(&line, ' ', &source)) continue;
    if (!next_piece(&line, ' ', &super)) super = (wh_str){NULL, 0};
    if (v2 ? wh_str_is(type, "cgroup2") : wh_str_is(type, "cgroup") && list_has(super, "cpu")) {
      *mount_root = field[3];
      *mount_point = field[4];
      return true;
    }
  }
  return false;
}

/* Appends a field of mountinfo, where blanks and backslashes are three octal digits. */
static void append_unescaped(wh_text_buffer *b, wh_str s) {
  for (size_t i = 0; i < s.len; i++) {
    char c = s.data[i];
    if (c == '\\' && i + 3 < s.len) {
      int value = 0, digits = 0;
      while (digits < 3 && s.data[i + 1 + (size_t)digits] >= '0' && s.data[i + 1 + (size_t)digits] <= '7')
        value = value * 8 + (s.data[i + 1 + (size_t)digits++] - '0');
      if (digits == 3) c = (char)value, i += 3;
    }
    wh_text_buffer_append(b, &c, 1);
  }
}

/* A positive number of microseconds at *s, which moves past it; 0 for anything else ("max", -1, text). */
static double read_us(const char **s) {
  char *end = NULL;
  if (!*s) return 0.0;
  long long v = strtoll(*s, &end, 10);
  bool number = end != *s;
  *s = end;
  return number && v > 0 ? (double)v : 0.0;
}

/* The limit of one group's folder; 0: none. */
static wh_status read_limit(const char *root, wh_text_buffer *folder, bool v2, double *out) {
  const wh_allocator *alloc = folder->alloc;
  size_t len = folder->len;
  char *quota_text = NULL, *period_text = NULL;
  wh_text_buffer_puts(folder, v2 ? "/cpu.max" : "/cpu.cfs_quota_us");
  if (folder->oom) return WH_OOM("path of a control group");
  WH_TRY(wh_small_file_read(root, folder->data, alloc, &quota_text));
  folder->len = len;
  wh_status st = WH_OK;
  if (!v2 && quota_text) {
    wh_text_buffer_puts(folder, "/cpu.cfs_period_us");
    st = folder->oom ? WH_OOM("path of a control group")
                     : wh_small_file_read(root, folder->data, alloc, &period_text);
    folder->len = len;
  }
  if (st == WH_OK) {
    const char *quota_at = quota_text, *period_at = period_text;
    double quota = read_us(&quota_at), period = read_us(v2 ? &quota_at : &period_at);
    *out = quota > 0.0 && period > 0.0 ? quota / period : 0.0;
  }
  wh_free(alloc, quota_text);
  wh_free(alloc, period_text);
  return st;
}

/* The smallest limit from the process's group up to the root of the mount. */
static wh_status hierarchy_limit(const char *root, const char *groups, const char *mounts, bool v2,
                                 const wh_allocator *alloc, double *out) {
  wh_str path, mount_root, mount_point;
  *out = 0.0;
  if (!find_group(groups, v2, &path) || !find_mount(mounts, v2, &mount_root, &mount_point)) return WH_OK;
  /* The mount shows the groups below mount_root. A path outside it, as seen from some containers ("/../x"),
   * leaves the mount point itself. */
  if (!wh_str_is(mount_root, "/")) {
    bool below = path.len >= mount_root.len && memcmp(path.data, mount_root.data, mount_root.len) == 0 &&
                 (path.len == mount_root.len || path.data[mount_root.len] == '/');
    path = below ? (wh_str){path.data + mount_root.len, path.len - mount_root.len} : (wh_str){"", 0};
  }
  if (path.len >= 3 && memcmp(path.data, "/..", 3) == 0) path = (wh_str){"", 0};
  while (path.len && path.data[path.len - 1] == '/') path.len--;

  wh_text_buffer folder;
  wh_text_buffer_init(&folder, alloc);
  append_unescaped(&folder, mount_point);
  size_t top = folder.len;
  wh_text_buffer_append(&folder, path.data, path.len);
  wh_status st = folder.oom ? WH_OOM("path of a control group") : WH_OK;
  while (st == WH_OK) {
    double limit = 0.0;
    st = read_limit(root, &folder, v2, &limit);
    if (st == WH_OK && limit > 0.0 && (*out == 0.0 || limit < *out)) *out = limit;
    if (folder.len <= top) break;
    while (folder.len > top && folder.data[folder.len - 1] != '/') folder.len--;
    if (folder.len > top) folder.len--; /* the slash */
  }
  wh_text_buffer_deinit(&folder);
  return st;
}

wh_status wh_cgroup_cpu_quota(const char *root, const wh_allocator *alloc, double *out) {
  char *groups = NULL, *mounts = NULL;
  double v1 = 0.0, v2 = 0.0;
  wh_status st = wh_small_file_read(root, "/proc/self/cgroup", alloc, &groups);
  if (st == WH_OK) st = wh_small_file_read(root, "/proc/self/mountinfo", alloc, &mounts);
  if (st == WH_OK && groups && mounts) {
    st = hierarchy_limit(root, groups, mounts, false, alloc, &v1);
    if (st == WH_OK) st = hierarchy_limit(root, groups, mounts, true, alloc, &v2);
  }
  wh_free(alloc, groups);
  wh_free(alloc, mounts);
  if (st == WH_OK) *out = v1 > 0.0 && (v2 == 0.0 || v1 < v2) ? v1 : v2;
  return st;
}
