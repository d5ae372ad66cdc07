/* tensor.h - element types and tensor views. */
#ifndef WHIMBREL_TENSOR_H
#define WHIMBREL_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "whimbrel/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WH_MAX_RANK 8

/* name, number (stable), text, elements per block, bytes per block.
 * A quantised type is a dtype, not an op: its blocks run along the last dimension. Block layouts are GGUF's
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and ggml-common.h). */
#define WH_DTYPE_LIST(X)            \
  X(F32, 0, "f32", 1, 4)            \
  X(F16, 1, "f16", 1, 2)            \
  X(BF16, 2, "bf16", 1, 2)          \
  X(F64, 3, "f64", 1, 8)            \
  X(I8, 4, "i8", 1, 1)              \
  X(I16, 5, "i16", 1, 2)            \
  X(I32, 6, "i32", 1, 4)            \
  X(I64, 7, "i64", 1, 8)            \
  X(U8, 8, "u8", 1, 1)              \
  X(BOOL, 9, "bool", 1, 1)          \
  X(Q4_0, 16, "q4_0", 32, 18)       \
  X(Q4_1, 17, "q4_1", 32, 20)       \
  X(Q5_0, 18, "q5_0", 32, 22)       \
  X(Q5_1, 19, "q5_1", 32, 24)       \
  X(Q8_0, 20, "q8_0", 32, 34)       \
  X(Q2_K, 21, "q2_k", 256, 84)      \
  X(Q3_K, 22, "q3_k", 256, 110)     \
  X(Q4_K, 23, "q4_k", 256, 144)     \
  X(Q5_K, 24, "q5_k", 256, 176)     \
  X(Q6_K, 25, "q6_k", 256, 210)     \
  X(IQ4_NL, 26, "iq4_nl", 32, 18)   \
  X(IQ4_XS, 27, "iq4_xs", 256, 136) \
  X(MXFP4, 28, "mxfp4", 32, 17)     \
  X(Q8A, 48, "q8a", 1, 0)

/* WH_DTYPE_Q8A is not a storage type: it is activations quantised for integer products (docs/NUMERICS.md,
 * "quantize_act"); its bytes are laid out by the backend. */
typedef enum wh_dtype {
#define WH_DTYPE_ENUM(name, number, text, elems, bytes) WH_DTYPE_##name = number,
  WH_DTYPE_LIST(WH_DTYPE_ENUM)
#undef WH_DTYPE_ENUM
      WH_DTYPE_FORCE_32 = 0x7fffffff
} wh_dtype;

/* "f32", "q4_k" ...; "?" for a number that is no dtype. */
WH_API const char *wh_dtype_name(wh_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
