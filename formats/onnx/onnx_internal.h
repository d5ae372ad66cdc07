/* formats/onnx/onnx_internal.h - the reader's state. For files of this folder only. */
#ifndef WH_FORMATS_ONNX_INTERNAL_H
#define WH_FORMATS_ONNX_INTERNAL_H

#include "core/base/arena.h"
#include "core/base/file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/wire.h"

/* A file of external data, mapped once. */
typedef struct wh_onnx_external {
  struct wh_onnx_external *next;
  wh_str location;
  wh_file *file;
} wh_onnx_external;

typedef struct wh_onnx_reader {
  wh_arena arena;
  const wh_allocator *alloc;
  const char *path; /* NULL: bytes of a caller */
  wh_onnx_external *external;
  size_t external_bytes;
  unsigned depth;
} wh_onnx_reader;

/* read_tensor.c */
wh_status wh_onnx_read_tensor(wh_onnx_reader *r, wh_str bytes, wh_onnx_tensor *out);
wh_status wh_onnx_read_sparse(wh_onnx_reader *r, wh_str bytes, wh_onnx_sparse *out);
/* WH_DTYPE_FORCE_32 for a number that has no dtype. */
wh_dtype wh_onnx_dtype(uint64_t number);
uint64_t wh_onnx_type_number(wh_dtype dtype); /* 0: it has none */

/* The bytes of an external tensor: `entries` are its key and value pairs. external.c */
wh_status wh_onnx_read_external(wh_onnx_reader *r, const wh_onnx_meta *entries, size_t n, size_t n_bytes,
                                wh_str *out);
void wh_onnx_close_external(wh_onnx_reader *r);

/* read.c: how often a field occurs in a message; the message is well-formed then. */
wh_status wh_onnx_count(wh_str message, uint32_t number, size_t *out);
wh_status wh_onnx_read_entry(wh_str bytes, wh_onnx_meta *out);
/* Room for what was counted. */
wh_status wh_onnx_array(wh_onnx_reader *r, size_t n, size_t size, void *out_pointer);

#endif
