/* external.c - tensors whose data lies in files beside the model. */
#define _POSIX_C_SOURCE 200809L /* lstat */
#include <string.h>
#include <sys/stat.h>

#include "formats/onnx/onnx_internal.h"

static wh_status number(wh_str text, size_t *out) {
  size_t v = 0;
  if (text.len == 0) return WH_FAIL(ERR_CORRUPT, "its external data has an empty number");
  for (size_t i = 0; i < text.len; i++)
    if (text.data[i] < '0' || text.data[i] > '9' || !wh_mul_size(v, 10, &v) ||
        !wh_add_size(v, (size_t)(text.data[i] - '0'), &v))
      return WH_FAIL(ERR_CORRUPT, "its external data has '" WH_STR_FMT "' for a number", WH_STR_ARG(text));
  *out = v;
  return WH_OK;
}

/* A relative path that stays below the folder, whatever the links in it say. */
static wh_status check_location(wh_str s) {
  if (s.len == 0 || memchr(s.data, 0, s.len) || s.data[0] == '/')
    return WH_FAIL(ERR_CORRUPT,
                   "its external data lies at '" WH_STR_FMT "', which is no path below the model's folder",
                   WH_STR_ARG(s));
  for (size_t i = 0; i <= s.len;) {
    size_t n = 0;
    while (i + n < s.len && s.data[i + n] != '/') n++;
    if (n == 2 && memcmp(s.data + i, "..", 2) == 0)
      return WH_FAIL(ERR_CORRUPT, "its external data lies at '" WH_STR_FMT "', outside the model's folder",
                     WH_STR_ARG(s));
    i += n + 1;
  }
  return WH_OK;
}

/* path: the folder's bytes, then the location: no component of which may be a link. */
static wh_status check_links(char *path, size_t folder) {
  for (char *p = path + folder;; p++) {
    const char c = *p;
    if (c != '/' && c != '\0') continue;
    *p = '\0';
    struct stat st;
    const bool is_link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
    if (is_link)
      return WH_FAIL(
          ERR_UNSUPPORTED,
          "its external data lies behind the symbolic link '%s', which could lead anywhere: put the "
          "data itself there",
          path);
    *p = c;
    if (c == '\0') return WH_OK;
  }
}

static wh_status map(wh_onnx_reader *r, wh_str location, wh_file **out) {
  for (const wh_onnx_external *e = r->external; e; e = e->next)
    if (wh_str_equal(e->location, location)) {
      *out = e->file;
      return WH_OK;
    }
  const char *slash = strrchr(r->path, '/');
  const size_t folder = slash ? (size_t)(slash - r->path) + 1 : 0;
  char *path = wh_arena_alloc(&r->arena, folder + location.len + 1);
  wh_onnx_external *e = wh_arena_alloc(&r->arena, sizeof *e);
  if (!path || !e) return WH_OOM("external data");
  memcpy(path, r->path, folder);
  memcpy(path + folder, location.data, location.len);
  WH_TRY(check_links(path, folder));
  WH_TRY(wh_file_open(path, r->alloc, &e->file));
  e->location = location;
  e->next = r->external;
  r->external = e;
  r->external_bytes += wh_file_size(e->file);
  *out = e->file;
  return WH_OK;
}

wh_status wh_onnx_read_external(wh_onnx_reader *r, const wh_onnx_meta *entries, size_t n, size_t n_bytes,
                                wh_str *out) {
  wh_str location = {"", 0};
  size_t offset = 0, length = n_bytes;
  for (size_t i = 0; i < n; i++) {
    if (wh_str_is(entries[i].key, "location")) location = entries[i].value;
    if (wh_str_is(entries[i].key, "offset")) WH_TRY(number(entries[i].value, &offset));
    if (wh_str_is(entries[i].key, "length")) WH_TRY(number(entries[i].value, &length));
  }
  if (!r->path) return WH_FAIL(ERR_UNSUPPORTED, "its data is external, and a model in memory has no folder");
  if (length != n_bytes)
    return WH_FAIL(ERR_CORRUPT, "it has %zu bytes of external data where its shape wants %zu", length,
                   n_bytes);
  WH_TRY(check_location(location));
  wh_file *file;
  WH_TRY(map(r, location, &file));
  if (offset > wh_file_size(file) || wh_file_size(file) - offset < n_bytes)
    return WH_FAIL(ERR_CORRUPT, "its %zu bytes from %zu on are beyond the end of '%s', which has %zu",
                   n_bytes, offset, wh_file_path(file), wh_file_size(file));
  *out = (wh_str){(const char *)wh_file_data(file) + offset, n_bytes};
  return WH_OK;
}

void wh_onnx_close_external(wh_onnx_reader *r) {
  for (wh_onnx_external *e = r->external; e; e = e->next) wh_file_close(e->file);
}
