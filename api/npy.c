/* npy.c - tensors from and to NumPy's files. */
#include "formats/npy.h"
#include "api/api_internal.h"
#include "core/base/file.h"

_Static_assert(WH_NPY_HEADER_MAX == WH_NPY_HEADER_BYTES, "callers have room for it");

struct wh_npy_file {
  const wh_allocator *alloc;
  wh_file *file;
  wh_tensor tensor;
};

static wh_status read(wh_npy_file *f, const char *name, const void *data, size_t n) {
  wh_npy a;
  WH_TRY(wh_npy_read(name, data, n, &a));
  f->tensor = (wh_tensor)WH_TENSOR_INIT;
  f->tensor.dtype = a.dtype;
  f->tensor.rank = a.rank;
  memcpy(f->tensor.dims, a.dims, sizeof f->tensor.dims);
  f->tensor.data = a.n_bytes ? a.data : NULL;
  f->tensor.n_bytes = a.n_bytes;
  return WH_OK;
}

static wh_status create(const wh_allocator *allocator, wh_npy_file **out) {
  *out = wh_alloc_zeroed(allocator, sizeof **out);
  if (!*out) return WH_OOM("tensor");
  (*out)->alloc = allocator;
  return WH_OK;
}

wh_status wh_npy_load(const char *path, const wh_allocator *allocator, wh_npy_file **out) {
  wh_npy_file *f;
  WH_WANT(path, "path");
  WH_WANT(out, "out");
  WH_TRY(create(allocator, &f));
  wh_status st = wh_file_open(path, allocator, &f->file);
  if (st == WH_OK) st = read(f, path, wh_file_data(f->file), wh_file_size(f->file));
  if (st == WH_OK)
    *out = f;
  else
    wh_npy_destroy(f);
  return st;
}

wh_status wh_npy_open_memory(const char *name, const void *data, size_t n_bytes,
                             const wh_allocator *allocator, wh_npy_file **out) {
  wh_npy_file *f;
  WH_WANT(name, "name");
  WH_WANT(data, "data");
  WH_WANT(out, "out");
  WH_TRY(create(allocator, &f));
  const wh_status st = read(f, name, data, n_bytes);
  if (st == WH_OK)
    *out = f;
  else
    wh_npy_destroy(f);
  return st;
}

wh_status wh_npy_make_header(const wh_tensor *tensor, char header[WH_NPY_HEADER_MAX], size_t *n_bytes) {
  wh_tensor t = WH_TENSOR_INIT;
  WH_WANT(tensor, "tensor");
  WH_WANT(header, "header");
  WH_WANT(n_bytes, "n_bytes");
  WH_READ_OPTIONS(&t, tensor, WH_TENSOR_INIT);
  WH_TRY(wh_check_tensor(&t, "tensor", "header"));
  return wh_npy_header(t.dtype, t.rank, t.dims, header, n_bytes);
}

const wh_tensor *wh_npy_tensor(const wh_npy_file *file) { return file ? &file->tensor : NULL; }

void wh_npy_destroy(wh_npy_file *file) {
  if (!file) return;
  wh_file_close(file->file);
  wh_free(file->alloc, file);
}

wh_status wh_npy_save(const char *path, const wh_tensor *tensor) {
  wh_tensor t = WH_TENSOR_INIT;
  char header[WH_NPY_HEADER_BYTES];
  size_t n;
  wh_file_writer *w = NULL;
  WH_WANT(path, "path");
  WH_WANT(tensor, "tensor");
  WH_READ_OPTIONS(&t, tensor, WH_TENSOR_INIT);
  WH_TRY(wh_check_tensor(&t, "tensor", path));
  WH_TRY(wh_npy_header(t.dtype, t.rank, t.dims, header, &n));
  WH_TRY(wh_file_writer_begin(path, NULL, &w));
  wh_status st = wh_file_writer_append(w, header, n);
  if (st == WH_OK && t.n_bytes) st = wh_file_writer_append(w, t.data, (size_t)t.n_bytes);
  if (st == WH_OK) return wh_file_writer_commit(w);
  wh_file_writer_abort(w);
  return st;
}
