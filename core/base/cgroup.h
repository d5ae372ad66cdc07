/* base/cgroup.h - the control groups that this process is in, and the files of their controllers. */
#ifndef WH_BASE_CGROUP_H
#define WH_BASE_CGROUP_H

#include "core/base/text_buffer.h"

/* A group as a visitor sees it. `folder` is where it can be seen, without `root`; wh_cgroup_file reads a file
 * there. */
typedef struct wh_cgroup {
  const char *root;
  wh_text_buffer *folder;
  bool v2; /* of the unified hierarchy; else of the controller's own */
} wh_cgroup;
typedef wh_status (*wh_cgroup_visitor)(void *ctx, const wh_cgroup *group);

/* Calls `visit` for the process's group in each hierarchy that can hold the controller ("cpu", "memory") and
 * for every group above it, up to the root of the mount; a limit holds for all groups below, so the smallest
 * counts. `root` goes in front of /proc and of the mount points. Lines and files that make no sense are
 * passed over. Fails with ERR_OUT_OF_MEMORY, or as the visitor does. */
WH_NODISCARD wh_status wh_cgroup_visit(const char *root, const char *controller, const wh_allocator *alloc,
                                       wh_cgroup_visitor visit, void *ctx);

/* The text of the group's file, owned by the caller (wh_free), or NULL in *out. */
WH_NODISCARD wh_status wh_cgroup_file(const wh_cgroup *group, const char *name, char **out);

#endif
