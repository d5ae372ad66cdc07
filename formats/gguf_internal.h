/* formats/gguf_internal.h - GGUF's numbers, shared by the reader and the writer.
 *
 * The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. */
#ifndef WH_FORMATS_GGUF_INTERNAL_H
#define WH_FORMATS_GGUF_INTERNAL_H

#include "formats/gguf_write.h"
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

/* Bytes of a scalar of that type; 0 for strings, arrays and numbers that are no type. */
size_t wh_gguf_value_bytes(uint32_t type);
wh_meta_kind wh_gguf_value_kind(uint32_t type); /* of a number that is a type */

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

/* The refusal of a file that does not begin as GGUF does: says what it is. n_bytes > 0. Messages lack the
 * path. */
wh_status wh_foreign_file(const uint8_t *data, size_t n_bytes);

/* Maps and reads one file without looking for its other parts. Messages name the file. */
wh_status wh_model_file_open_one(const char *path, const wh_allocator *alloc, wh_model_file **out);

#endif
