/* device.c - the public face of backends. */
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/cpu/cpu_backend.h"

static const wh_backend *const wh_backends[] = {&wh_backend_cpu};
#define N_BACKENDS (sizeof wh_backends / sizeof wh_backends[0])

wh_status wh_device_create(const wh_device_options *options, wh_device **out) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_DEVICE_OPTIONS_INIT);
  const char *name = o.name ? o.name : "cpu";
  for (size_t i = 0; i < N_BACKENDS; i++) {
    if (strcmp(wh_backends[i]->name, name) != 0) continue;
    wh_device *d = wh_alloc_zeroed(o.allocator, sizeof *d);
    if (!d) return WH_OOM("device");
    d->alloc = o.allocator;
    d->backend = wh_backends[i];
    wh_status st = d->backend->create(&o, &d->device);
    if (st != WH_OK) {
      wh_free(d->alloc, d);
      return st;
    }
    *out = d;
    return WH_OK;
  }
  char known[64] = "";
  for (size_t i = 0, at = 0; i < N_BACKENDS; i++)
    at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", wh_backends[i]->name);
  return WH_FAIL(ERR_INVALID_ARGUMENT, "unknown device '%.32s'; known: %s", name, known);
}

void wh_device_destroy(wh_device *d) {
  if (!d) return;
  d->backend->destroy(d->device);
  wh_free(d->alloc, d);
}

wh_status wh_device_get_info(const wh_device *d, wh_device_info *info) {
  WH_WANT(d, "device");
  WH_WANT_INFO(info, "info", WH_DEVICE_INFO_INIT);
  wh_device_info full = WH_DEVICE_INFO_INIT;
  d->backend->get_info(d->device, &full);
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_device_measure(wh_device *d, double seconds, wh_device_roofline *out) {
  WH_WANT(d, "device");
  WH_WANT(out, "out");
  return d->backend->measure(d->device, seconds, out);
}
