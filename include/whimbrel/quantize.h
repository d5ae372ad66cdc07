/* quantize.h - a model file's weights in a smaller type, and which of their columns matter. */
#ifndef WHIMBREL_QUANTIZE_H
#define WHIMBREL_QUANTIZE_H

#include "whimbrel/progress.h"
#include "whimbrel/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A weight that was written. */
typedef struct wh_quantized_weight {
  uint32_t struct_size;
  int32_t rank;
  const char *name; /* valid during the call */
  wh_dtype from, to;
  int64_t dims[WH_MAX_RANK];
  uint64_t n_bytes;      /* as written */
  double relative_error; /* root of the sum of squared errors over that of the squared elements; 0: kept as it
                            is */
} wh_quantized_weight;
/* A non-zero return ends the call with ERR_CANCELLED, and nothing is written. */
typedef int (*wh_quantized_fn)(void *ctx, const wh_quantized_weight *weight);

typedef struct wh_quantize_options {
  uint32_t struct_size;
  wh_dtype dtype; /* f32, f16, bf16 or a block type (default q4_k); for ONNX: i8 or i4 */
  const char
      *importance;    /* a file of wh_importance_save or of llama.cpp's llama-imatrix (GGUF); NULL: none */
  uint32_t n_threads; /* 0: one per physical core */
  uint32_t
      may_requantize;     /* 1: weights that are in a block type already are converted, too, and lose twice */
  wh_quantized_fn report; /* after each weight; NULL: none */
  void *report_ctx;
  const wh_allocator *allocator; /* NULL: the heap; borrowed for the call */
  uint32_t dynamic;              /* 1: ONNX, i8: products are computed with codes of their inputs, too */
} wh_quantize_options;
#define WH_QUANTIZE_OPTIONS_INIT \
  { sizeof(wh_quantize_options), WH_DTYPE_Q4_K, NULL, 0, 0, NULL, NULL, NULL, 0 }

/* Reads the GGUF model at `from`, all of its parts, and writes one file, whole or not at all, a few rows at a
 * time. Matrices get the dtype, except that
 * - the output matrix (the embedding where there is none) gets q6_k where the dtype is smaller;
 * - rows that are no whole blocks of 256 get a type of 32 of at least the bits: q4_0, q5_0, q5_1, q8_0,
 * iq4_nl; those that are no whole blocks of 32, f16;
 * - vectors, norms, biases, a mixture's router and what is not called "NAME.weight" stay as they are.
 * The file does not depend on the number of threads.
 *
 * An ONNX model's f32 weights of at least 1024 elements become codes in operators that other runtimes have,
 * too; what does not change is carried over byte for byte, and data that lay outside the file comes into it.
 * It is at most 2 GiB then. One thread works.
 * - i8: weights of MatMul, Gemm and Conv are i8 with a scale for each of their outputs, which a
 *   DequantizeLinear makes floats of (a product before opset 13).
 * - i8, dynamic: weights of MatMul and plain Gemm, as operands of MatMulInteger; their inputs become u8 while
 * the model runs, by DynamicQuantizeLinear (opset 11).
 * - i4: weights of MatMul and plain Gemm in blocks of 32, for com.microsoft's MatMulNBits.
 * Tables that only Gather reads are i8 with a scale for each row. */
WH_API WH_NODISCARD wh_status wh_quantize(const char *from, const char *to,
                                          const wh_quantize_options *options);

/* Mean squares of what each matrix of a model is multiplied with, column by column, over all that a session
 * runs. */
typedef struct wh_importance wh_importance;
/* Watches the session by its trace (wh_session_set_trace, which it takes) until it is destroyed. The session
 * outlives it. Experts of a mixture share what all of them see. */
WH_API WH_NODISCARD wh_status wh_importance_create(wh_session *session, wh_importance **out);
/* The file has the form of llama.cpp's importance matrices in GGUF. ERR_INVALID_ARGUMENT when nothing ran
 * yet. */
WH_API WH_NODISCARD wh_status wh_importance_save(const wh_importance *importance, const char *path);
WH_API void wh_importance_destroy(wh_importance *importance); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
