/* formats/gguf_internal.h - GGUF's numbers, shared by the reader and the writer.
 *
 * The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. */
#ifndef WH_FORMATS_GGUF_INTERNAL_H
#define WH_FORMATS_GGUF_INTERNAL_H

#include "formats/model_file_internal.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are used as they lie in the file: a big-endian host needs a converting reader"
#endif

#define WH_GGUF_MAGIC "GGUF"
#define WH_GGUF_MAGIC_BYTES 4
#define WH_GGUF_VERSION_MIN 2
#define WH_GGUF_VERSION_MAX 3
#define WH_GGUF_HEADER_BYTES 24 /* magic, version, number of tensors, number of metadata entries */
#define WH_GGUF_RANK_MAX 4
#define WH_GGUF_ALIGNMENT_DEFAULT 32

/* Types of metadata values: name, number, text, bytes of a scalar (0: variable) */
#define WH_GGUF_VALUE_LIST(X) \
  X(U8, 0, "uint8", 1)        \
  X(I8, 1, "int8", 1)         \
  X(U16, 2, "uint16", 2)      \
  X(I16, 3, "int16", 2)       \
  X(U32, 4, "uint32", 4)      \
  X(I32, 5, "int32", 4)       \
  X(F32, 6, "float32", 4)     \
  X(BOOL, 7, "bool", 1)       \
  X(STRING, 8, "string", 0)   \
  X(ARRAY, 9, "array", 0)     \
  X(U64, 10, "uint64", 8)     \
  X(I64, 11, "int64", 8)      \
  X(F64, 12, "float64", 8)

typedef enum wh_gguf_value_type {
#define WH_GGUF_VALUE_ENUM(name, number, text, n_bytes) WH_GGUF_VALUE_##name = number,
  WH_GGUF_VALUE_LIST(WH_GGUF_VALUE_ENUM)
#undef WH_GGUF_VALUE_ENUM
} wh_gguf_value_type;

/* GGUF's tensor type numbers. False when there is no such dtype (or none that GGUF can hold). */
bool wh_gguf_dtype_of(uint32_t type, wh_dtype *out);
bool wh_gguf_type_of(wh_dtype dtype, uint32_t *out);
/* ggml's name of a type that Whimbrel does not read, or NULL for a number that ggml never gave out. */
const char *wh_gguf_unread_type_name(uint32_t type);
/* "f32, f16, ..." */
const char *wh_gguf_readable_types(void);

/* Reads the last part of `f` (its bytes are in place) into f's metadata and weights. Messages lack the path.
 */
wh_status wh_gguf_read(wh_model_file *f);

/* Completes a model of several files: *f is one part, read; on success *f is the first part with the weights
 * of all. On failure *f is what it was. Messages name the file. */
wh_status wh_gguf_join_parts(wh_model_file **f);

/* Maps and reads one file without looking for its other parts. Messages name the file. */
wh_status wh_model_file_open_one(const char *path, const wh_allocator *alloc, wh_model_file **out);

#endif
