/* npy.c - tensors from and to NumPy's files. */
#include "formats/npy.h"
#include "api/api_internal.h"
#include "core/base/file.h"

struct wh_npy_file {
  const wh_allocator *alloc;
  wh_file *file;
  wh_tensor tensor;
};

wh_status wh_npy_load(const char *path, const wh_allocator *allocator, wh_npy_file **out) {
  WH_WANT(path, "path");
  WH_WANT(out, "out");
  wh_npy_file *f = wh_alloc_zeroed(allocator, sizeof *f);
  if (!f) return WH_OOM("tensor");
  f->alloc = allocator;
  wh_npy a;
  wh_status st = wh_file_open(path, allocator, &f->file);
  if (st == WH_OK) st = wh_npy_read(path, wh_file_data(f->file), wh_file_size(f->file), &a);
  if (st != WH_OK) {
    wh_npy_destroy(f);
    return st;
  }
  f->tensor = (wh_tensor)WH_TENSOR_INIT;
  f->tensor.dtype = a.dtype;
  f->tensor.rank = a.rank;
  memcpy(f->tensor.dims, a.dims, sizeof f->tensor.dims);
  f->tensor.data = a.n_bytes ? a.data : NULL;
  f->tensor.n_bytes = a.n_bytes;
  *out = f;
  return WH_OK;
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
