/* device.c - the public face of backends. */
#define _POSIX_C_SOURCE 200809L /* PATH_MAX */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/cpu/cpu_backend.h"
#include "core/backends.h"

static const wh_backend *const wh_backends[] = {&wh_backend_cpu};
#define N_BACKENDS (sizeof wh_backends / sizeof wh_backends[0])

/* Without a folder of the caller's: whimbrel/ beside the library, where an installed one has its backends,
 * and beside it, where a build has them. */
static wh_status find_backend(const char *name, const char *folder, const wh_backend **out) {
  char own[PATH_MAX], installed[PATH_MAX];
  if (folder || !wh_backend_own_folder(own, sizeof own))
    return wh_backend_find(name, wh_backends, N_BACKENDS, folder, out);
  const int n = snprintf(installed, sizeof installed, "%s/whimbrel", own);
  wh_status st = n > 0 && (size_t)n < sizeof installed
                     ? wh_backend_find(name, wh_backends, N_BACKENDS, installed, out)
                     : WH_ERR_INVALID_ARGUMENT;
  return st == WH_ERR_INVALID_ARGUMENT ? wh_backend_find(name, wh_backends, N_BACKENDS, own, out) : st;
}

/* What stands before a colon names the backend, which reads the rest. */
static const char *backend_of(const char *name, char out[32]) {
  const size_t n = strcspn(name, ":");
  if (!name[n] || n >= 32) return name;
  memcpy(out, name, n);
  out[n] = '\0';
  return out;
}

wh_status wh_device_create(const wh_device_options *options, wh_device **out) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_DEVICE_OPTIONS_INIT);
  char before[32];
  if (!o.name) o.name = "cpu";
  const char *name = backend_of(o.name, before);
  const wh_backend *backend = NULL;
  WH_TRY(find_backend(name, o.backend_folder, &backend));
  if (name != o.name && backend == &wh_backend_cpu)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "device '%.64s': there is one cpu, without a colon", o.name);
  wh_device *d = wh_alloc_zeroed(o.allocator, sizeof *d);
  if (!d) return WH_OOM("device");
  atomic_init(&d->n_refs, 1);
  d->alloc = o.allocator;
  d->backend = backend;
  (void)snprintf(d->name, sizeof d->name, "%s", o.name);
  wh_status st = backend->open(0, &o, &d->device);
  if (st != WH_OK) {
    wh_free(d->alloc, d);
    return st;
  }
  *out = d;
  return WH_OK;
}

wh_device *wh_device_retain(wh_device *d) {
  if (d) wh_refs_add(&d->n_refs);
  return d;
}

void wh_device_destroy(wh_device *d) {
  if (!d || !wh_refs_drop(&d->n_refs)) return;
  d->backend->close(d->device);
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
