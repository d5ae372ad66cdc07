/* plan/place.h - which device runs which node.
 *
 * Devices come in order of the caller's wish; device 0 is the default. Rules name nodes by the beginning of
 * their names ("blk.12."); the longest that fits wins. What follows from data goes before a rule: a node that
 * reads a written state runs where the state lies, and one that reads activations in a device's own form
 * (q8a, q13a) where they were made. */
#ifndef WH_PLAN_PLACE_H
#define WH_PLAN_PLACE_H

#include "core/backend_abi.h"

/* An open device. */
typedef struct wh_plan_device {
  const wh_backend *backend;
  void *dev;
  const char *name; /* for reports; NULL: the backend's. Lives as long as the device */
} wh_plan_device;

static inline const char *wh_plan_device_name(const wh_plan_device *d) {
  return d->name ? d->name : d->backend->name;
}

#define WH_PLAN_MAX_DEVICES 16

typedef struct wh_place_rule {
  const char *prefix; /* of node names */
  uint32_t device;
} wh_place_rule;

typedef struct wh_place_options {
  const wh_plan_device *devices;
  size_t n_devices; /* 1..WH_PLAN_MAX_DEVICES */
  const wh_place_rule *rules;
  size_t n_rules;
  bool fallback; /* a node that its device refuses goes to the last device; false: an error lists them all */
} wh_place_options;

/* Sets device_of[n] and claims[n] (for these dims, from the device that runs it) of every node of g, which is
 * compact. ERR_UNSUPPORTED says how many nodes were refused, and names the first with their reasons. */
WH_NODISCARD wh_status wh_place_nodes(const wh_graph *g, const wh_place_options *options, const int64_t *dims,
                                      const wh_allocator *alloc, uint16_t *device_of, wh_claim *claims);

#endif
