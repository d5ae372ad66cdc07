/* backends.c - see backends.h. */
#define _GNU_SOURCE /* dladdr */
#include "core/backends.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text_buffer.h"

wh_status wh_backend_check(const wh_backend *b, const char *where) {
  if (!b) return WH_FAIL(ERR_UNSUPPORTED, "%s: gives no backend", where);
  if (b->struct_size < sizeof(uint32_t) * 2 || b->abi_version != WH_BACKEND_ABI_VERSION)
    return WH_FAIL(ERR_UNSUPPORTED, "%s: made for version %u of the backend interface; this is version %u",
                   where, b->struct_size < sizeof(uint32_t) * 2 ? 0 : b->abi_version, WH_BACKEND_ABI_VERSION);
  if (b->struct_size < sizeof *b)
    return WH_FAIL(ERR_UNSUPPORTED, "%s: its backend struct has %u bytes, %zu are needed", where,
                   b->struct_size, sizeof *b);
  const bool whole = b->name && b->count && b->open && b->close && b->get_info && b->measure &&
                     b->buffer_create && b->buffer_import && b->buffer_destroy && b->buffer_host &&
                     b->buffer_footprint && b->claim && b->value_bytes && b->pack && b->compile &&
                     b->code_destroy && b->describe && b->queue_create && b->queue_destroy && b->submit &&
                     b->upload && b->download && b->copy && b->wait && b->read_value;
  return whole ? WH_OK : WH_FAIL(ERR_UNSUPPORTED, "%s: a function of its backend is missing", where);
}

static bool is_name(const char *s) {
  size_t n = 0;
  while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '_') n++;
  return n > 0 && n < 32 && !s[n];
}

static wh_status open_object(const char *path, const wh_backend **out) {
  void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* stays open: its code may be anybody's */
  if (!object) return WH_FAIL(ERR_UNAVAILABLE, "the backend cannot be opened: %s", dlerror());
  union { /* ISO C has no conversion from an object's address to a function's */
    void *address;
    wh_backend_entry_fn entry;
  } u = {dlsym(object, WH_BACKEND_ENTRY)};
  if (!u.address) {
    (void)dlclose(object);
    return WH_FAIL(ERR_UNSUPPORTED, "%s: is no backend: it lacks " WH_BACKEND_ENTRY, path);
  }
  union {
    void *address;
    wh_backend_errors_fn set;
  } errors = {dlsym(object, WH_BACKEND_ERRORS)};
  if (errors.address) errors.set(wh_error_set);
  const wh_backend *b = u.entry();
  wh_status st = wh_backend_check(b, path);
  if (st != WH_OK) {
    (void)dlclose(object);
    return st;
  }
  *out = b;
  return WH_OK;
}

bool wh_backend_own_folder(char *out, size_t n_bytes) {
  union {
    bool (*function)(char *, size_t);
    void *address;
  } here = {wh_backend_own_folder};
  Dl_info info;
  if (!dladdr(here.address, &info) || !info.dli_fname || info.dli_fname[0] != '/') return false;
  const size_t n = (size_t)(strrchr(info.dli_fname, '/') - info.dli_fname);
  if (n >= n_bytes) return false;
  memcpy(out, info.dli_fname, n);
  out[n] = '\0';
  return true;
}

static wh_status unknown(const char *name, const wh_backend *const *linked, size_t n_linked) {
  wh_text_buffer known;
  wh_text_buffer_init(&known, NULL);
  for (size_t i = 0; i < n_linked; i++) wh_text_buffer_printf(&known, "%s%s", i ? ", " : "", linked[i]->name);
  wh_status st =
      WH_FAIL(ERR_INVALID_ARGUMENT, "unknown device '%.32s'; known: %s", name, known.data ? known.data : "");
  wh_text_buffer_deinit(&known);
  return st;
}

wh_status wh_backend_find(const char *name, const wh_backend *const *linked, size_t n_linked,
                          const char *folder, const wh_backend **out) {
  for (size_t i = 0; i < n_linked; i++) {
    if (strcmp(linked[i]->name, name) != 0) continue;
    WH_TRY(wh_backend_check(linked[i], name));
    *out = linked[i];
    return WH_OK;
  }
  if (!folder || !is_name(name)) return unknown(name, linked, n_linked);
  wh_text_buffer path;
  wh_text_buffer_init(&path, NULL);
  wh_text_buffer_printf(&path, "%s/whimbrel-backend-%s.so", folder, name);
  wh_status st = path.oom                       ? WH_OOM("path of a backend")
                 : access(path.data, F_OK) != 0 ? unknown(name, linked, n_linked)
                                                : open_object(path.data, out);
  wh_text_buffer_deinit(&path);
  return st;
}
