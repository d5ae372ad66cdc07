/* tensor.h - element types, and tensors of them. */
#ifndef WHIMBREL_TENSOR_H
#define WHIMBREL_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "whimbrel/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WH_MAX_RANK 8

/* name, number (stable), text, elements per block, bytes per block, class (core/base/dtype.h).
 *
 * A quantised type is a dtype, not an op: its blocks run along the last dimension. Block layouts are GGUF's
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and ggml-common.h).
 *
 * i4, u4 and f4e2m1 lie two to a byte, i2 and u2 four, the first in the lowest bits; a row that fills no
 * whole byte ends in padding. bool is one byte, 0 or 1. f8 has one sign and four or five exponent bits; fn
 * has no infinity, fnuz neither that nor -0 (as ONNX's float8 types); f4e2m1 has neither infinity nor NaN,
 * and f8e8m0 is a power of two or NaN (OCP MX). c64 and c128 are pairs of f32 and f64. A string has no bytes
 * in a buffer: it exists on the host only.
 *
 * That a type is in this list does not mean that an op computes it: docs/NUMERICS.md says which do. */
#define WH_DTYPE_LIST(X)                       \
  X(F32, 0, "f32", 1, 4, FLOAT)                \
  X(F16, 1, "f16", 1, 2, FLOAT)                \
  X(BF16, 2, "bf16", 1, 2, FLOAT)              \
  X(F64, 3, "f64", 1, 8, FLOAT)                \
  X(I8, 4, "i8", 1, 1, SIGNED)                 \
  X(I16, 5, "i16", 1, 2, SIGNED)               \
  X(I32, 6, "i32", 1, 4, SIGNED)               \
  X(I64, 7, "i64", 1, 8, SIGNED)               \
  X(U8, 8, "u8", 1, 1, UNSIGNED)               \
  X(BOOL, 9, "bool", 1, 1, BOOL)               \
  X(U16, 10, "u16", 1, 2, UNSIGNED)            \
  X(U32, 11, "u32", 1, 4, UNSIGNED)            \
  X(U64, 12, "u64", 1, 8, UNSIGNED)            \
  X(I4, 13, "i4", 2, 1, SIGNED)                \
  X(U4, 14, "u4", 2, 1, UNSIGNED)              \
  X(Q4_0, 16, "q4_0", 32, 18, QUANTISED)       \
  X(Q4_1, 17, "q4_1", 32, 20, QUANTISED)       \
  X(Q5_0, 18, "q5_0", 32, 22, QUANTISED)       \
  X(Q5_1, 19, "q5_1", 32, 24, QUANTISED)       \
  X(Q8_0, 20, "q8_0", 32, 34, QUANTISED)       \
  X(Q2_K, 21, "q2_k", 256, 84, QUANTISED)      \
  X(Q3_K, 22, "q3_k", 256, 110, QUANTISED)     \
  X(Q4_K, 23, "q4_k", 256, 144, QUANTISED)     \
  X(Q5_K, 24, "q5_k", 256, 176, QUANTISED)     \
  X(Q6_K, 25, "q6_k", 256, 210, QUANTISED)     \
  X(IQ4_NL, 26, "iq4_nl", 32, 18, QUANTISED)   \
  X(IQ4_XS, 27, "iq4_xs", 256, 136, QUANTISED) \
  X(MXFP4, 28, "mxfp4", 32, 17, QUANTISED)     \
  X(Q8A, 48, "q8a", 1, 0, OPAQUE)              \
  X(Q13A, 49, "q13a", 1, 0, OPAQUE)            \
  X(F8E4M3FN, 64, "f8e4m3fn", 1, 1, FLOAT)     \
  X(F8E4M3FNUZ, 65, "f8e4m3fnuz", 1, 1, FLOAT) \
  X(F8E5M2, 66, "f8e5m2", 1, 1, FLOAT)         \
  X(F8E5M2FNUZ, 67, "f8e5m2fnuz", 1, 1, FLOAT) \
  X(C64, 68, "c64", 1, 8, COMPLEX)             \
  X(C128, 69, "c128", 1, 16, COMPLEX)          \
  X(STRING, 70, "string", 1, 0, STRING)        \
  X(F4E2M1, 71, "f4e2m1", 2, 1, FLOAT)         \
  X(F8E8M0, 72, "f8e8m0", 1, 1, FLOAT)         \
  X(I2, 73, "i2", 4, 1, SIGNED)                \
  X(U2, 74, "u2", 4, 1, UNSIGNED)

/* WH_DTYPE_Q8A and WH_DTYPE_Q13A are no storage types: they are activations quantised for integer products
 * (docs/NUMERICS.md, "quantize_act" and "quantize_wide"); their bytes are laid out by the backend. */
typedef enum wh_dtype {
#define WH_DTYPE_ENUM(name, number, text, elems, bytes, class_name) WH_DTYPE_##name = number,
  WH_DTYPE_LIST(WH_DTYPE_ENUM)
#undef WH_DTYPE_ENUM
      WH_DTYPE_FORCE_32 = 0x7fffffff
} wh_dtype;

/* "f32", "q4_k" ...; "?" for a number that is no dtype. */
WH_API const char *wh_dtype_name(wh_dtype dtype);

/* A view of elements in memory that somebody else has: row-major, without gaps. */
typedef struct wh_tensor {
  uint32_t struct_size;
  wh_dtype dtype;
  int32_t rank;
  uint32_t reserved;         /* 0 */
  int64_t dims[WH_MAX_RANK]; /* the first `rank` count; 0 is allowed */
  const void *data;          /* NULL where n_bytes is 0 */
  uint64_t n_bytes;          /* as dtype and dims say */
} wh_tensor;
#define WH_TENSOR_INIT \
  { sizeof(wh_tensor), WH_DTYPE_F32, 0, 0, {0}, NULL, 0 }

/* ---- NumPy's .npy files ---- */

/* A tensor in a file, which it keeps mapped. Destroying does nothing for NULL. */
typedef struct wh_npy_file wh_npy_file;
/* ERR_CORRUPT and ERR_UNSUPPORTED name the file and what is wrong with it: big-endian numbers, Fortran order,
 * more than WH_MAX_RANK dimensions, objects. allocator NULL: the heap; borrowed until the file is destroyed.
 */
WH_API WH_NODISCARD wh_status wh_npy_load(const char *path, const wh_allocator *allocator, wh_npy_file **out);
/* The same of a file's bytes, which are borrowed until the file object is destroyed; `name` is for messages.
 */
WH_API WH_NODISCARD wh_status wh_npy_open_memory(const char *name, const void *data, size_t n_bytes,
                                                 const wh_allocator *allocator, wh_npy_file **out);
WH_API const wh_tensor *wh_npy_tensor(const wh_npy_file *file); /* lives as long as the file object */
WH_API void wh_npy_destroy(wh_npy_file *file);
/* Writes the file whole or not at all. bf16 is written as u2 and f8 as u1, for which NumPy has no names;
 * other types that it does not know are ERR_UNSUPPORTED. */
WH_API WH_NODISCARD wh_status wh_npy_save(const char *path, const wh_tensor *tensor);
/* What stands in front of the tensor's bytes in such a file: *n_bytes of header[WH_NPY_HEADER_MAX]. */
#define WH_NPY_HEADER_MAX 512
WH_API WH_NODISCARD wh_status wh_npy_make_header(const wh_tensor *tensor, char header[WH_NPY_HEADER_MAX],
                                                 size_t *n_bytes);

#ifdef __cplusplus
}
#endif
#endif
