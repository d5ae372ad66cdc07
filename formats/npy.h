/* formats/npy.h - NumPy's .npy files: one tensor each. */
#ifndef WH_FORMATS_NPY_H
#define WH_FORMATS_NPY_H

#include "core/base/allocator.h"
#include "core/base/dtype.h"

typedef struct wh_npy {
  wh_dtype dtype;
  int rank;
  int64_t dims[WH_MAX_RANK];
  const void *data; /* row-major, within the bytes that were read; aligned as those are */
  size_t n_bytes;
} wh_npy;

/* Bytes of a file. `name` is for messages. Fortran order, big-endian numbers, structs and objects are
 * refused, as is a header or a body that is shorter than it should be; what follows the body is, too. */
WH_NODISCARD wh_status wh_npy_read(const char *name, const void *bytes, size_t n, wh_npy *out);

/* The header of a file for such a tensor, a multiple of 64 bytes, to be followed by its bytes: written to
 * header[WH_NPY_HEADER_BYTES]; gives its length. bf16 has no name there and is written as u16 ("<u2"), f8 as
 * u8; types without one or two of these are ERR_UNSUPPORTED. */
#define WH_NPY_HEADER_BYTES 512
WH_NODISCARD wh_status wh_npy_header(wh_dtype dtype, int rank, const int64_t *dims,
                                     char header[WH_NPY_HEADER_BYTES], size_t *n);

#endif
