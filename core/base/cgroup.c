/* cgroup.c - see cgroup.h.
 *
 * /proc/self/cgroup says which group the process is in, /proc/self/mountinfo where that hierarchy can be
 * seen. A machine may use both versions, each for other controllers. */
#include "core/base/cgroup.h"

#include <string.h>

#include "core/base/small_file.h"
#include "core/base/str.h"

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
static bool find_group(const char *text, const char *controller, bool v2, wh_str *path) {
  wh_str rest = wh_str_from(text), line, id, controllers;
  while (next_piece(&rest, '\n', &line)) {
    if (!next_piece(&line, ':', &id) || !next_piece(&line, ':', &controllers) || !line.data) continue;
    if (v2 ? wh_str_is(id, "0") && controllers.len == 0 : list_has(controllers, controller)) {
      *path = line; /* what is left; it may hold colons */
      return true;
    }
  }
  return false;
}

/* Where that hierarchy is mounted, and which of its groups is the root of the mount. Fields of a line: id,
 * parent, device, root, mount point, options, optional ones, "-", type, source, super options. */
static bool find_mount(const char *text, const char *controller, bool v2, wh_str *mount_root,
                       wh_str *mount_point) {
  wh_str rest = wh_str_from(text), line;
  while (next_piece(&rest, '\n', &line)) {
    wh_str field[5], word, type = {NULL, 0}, source, super = {NULL, 0};
    int n = 0;
    while (n < 5 && next_piece(&line, ' ', &field[n])) n++;
    while (next_piece(&line, ' ', &word) && !wh_str_is(word, "-")) continue;
    if (n < 5 || !next_piece(&line, ' ', &type) || !next_piece(&line, ' ', &source)) continue;
    if (!next_piece(&line, ' ', &super)) super = (wh_str){NULL, 0};
    if (v2 ? wh_str_is(type, "cgroup2") : wh_str_is(type, "cgroup") && list_has(super, controller)) {
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

wh_status wh_cgroup_file(const wh_cgroup *group, const char *name, char **out) {
  wh_text_buffer *folder = group->folder;
  size_t len = folder->len;
  wh_text_buffer_puts(folder, "/");
  wh_text_buffer_puts(folder, name);
  if (folder->oom) return WH_OOM("path of a control group");
  wh_status st = wh_small_file_read(group->root, folder->data, folder->alloc, out);
  folder->data[folder->len = len] = '\0';
  return st;
}

static wh_status visit_hierarchy(const char *root, const char *groups, const char *mounts,
                                 const char *controller, bool v2, const wh_allocator *alloc,
                                 wh_cgroup_visitor visit, void *ctx) {
  wh_str path, mount_root, mount_point;
  if (!find_group(groups, controller, v2, &path) ||
      !find_mount(mounts, controller, v2, &mount_root, &mount_point))
    return WH_OK;
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
  const wh_cgroup group = {root, &folder, v2};
  while (st == WH_OK) {
    st = visit(ctx, &group);
    if (folder.len <= top) break;
    while (folder.len > top && folder.data[folder.len - 1] != '/') folder.len--;
    if (folder.len > top) folder.len--; /* the slash */
  }
  wh_text_buffer_deinit(&folder);
  return st;
}

wh_status wh_cgroup_visit(const char *root, const char *controller, const wh_allocator *alloc,
                          wh_cgroup_visitor visit, void *ctx) {
  char *groups = NULL, *mounts = NULL;
  wh_status st = wh_small_file_read(root, "/proc/self/cgroup", alloc, &groups);
  if (st == WH_OK) st = wh_small_file_read(root, "/proc/self/mountinfo", alloc, &mounts);
  for (int v2 = 0; v2 < 2 && st == WH_OK && groups && mounts; v2++)
    st = visit_hierarchy(root, groups, mounts, controller, v2 == 1, alloc, visit, ctx);
  wh_free(alloc, groups);
  wh_free(alloc, mounts);
  return st;
}
