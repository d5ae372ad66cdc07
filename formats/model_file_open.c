/* model_file_open.c - maps a file, recognises its format by its first bytes and hands it to the reader. */
#include <string.h>

#include "formats/gguf_internal.h"

/* Takes `part` over, also on failure. */
static wh_status read_part(const char *path, wh_model_part part, const wh_allocator *alloc,
                           wh_model_file **out) {
  wh_model_file *f = NULL;
  wh_status status = wh_model_file_create(path, alloc, &f);
  if (status == WH_OK) status = wh_model_file_add_part(f, part);
  if (status != WH_OK) wh_file_close(part.file);
  if (status == WH_OK) {
    bool is_gguf =
        part.n_bytes >= WH_GGUF_MAGIC_BYTES && memcmp(part.data, WH_GGUF_MAGIC, WH_GGUF_MAGIC_BYTES) == 0;
    status = is_gguf ? wh_gguf_read(f) : wh_foreign_file(part.data, part.n_bytes);
  }
  if (status != WH_OK) {
    wh_model_file_close(f);
    return wh_fail_prefix(WH_PATH_FMT, WH_PATH_ARG(path));
  }
  *out = f;
  return WH_OK;
}

wh_status wh_model_file_open_one(const char *path, const wh_allocator *alloc, wh_model_file **out) {
  wh_file *file;
  WH_TRY(wh_file_open(path, alloc, &file));
  return read_part(path, (wh_model_part){file, wh_file_data(file), wh_file_size(file)}, alloc, out);
}

wh_status wh_model_file_open(const char *path, const wh_allocator *alloc, wh_model_file **out) {
  wh_model_file *f;
  WH_TRY(wh_model_file_open_one(path, alloc, &f));
  wh_status status = wh_gguf_join_parts(&f);
  if (status != WH_OK) {
    wh_model_file_close(f);
    return status;
  }
  *out = f;
  return WH_OK;
}

wh_status wh_model_file_open_memory(const char *name, const void *data, size_t n_bytes,
                                    const wh_allocator *alloc, wh_model_file **out) {
  if (!name) name = "model in memory";
  if (!data || n_bytes == 0) return WH_FAIL(ERR_CORRUPT, WH_PATH_FMT ": no bytes", WH_PATH_ARG(name));
  wh_model_file *f;
  WH_TRY(read_part(name, (wh_model_part){NULL, data, n_bytes}, alloc, &f));
  wh_status status = wh_gguf_join_parts(&f);
  if (status != WH_OK) {
    wh_model_file_close(f);
    return status;
  }
  *out = f;
  return WH_OK;
}
