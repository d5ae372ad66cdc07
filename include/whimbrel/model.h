/* model.h - a model file: what it says, its weights, its graph.
 *
 * Threads: a model is immutable once open; any number of threads may use it at the same time. */
#ifndef WHIMBREL_MODEL_H
#define WHIMBREL_MODEL_H

#include <stdbool.h>

#include "whimbrel/allocator.h"
#include "whimbrel/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wh_model wh_model;

typedef struct wh_model_options {
  uint32_t struct_size;
  uint32_t reserved;
  const wh_allocator *allocator; /* NULL: the heap; borrowed */
  const wh_log *log;             /* NULL: silent; borrowed for the call. Nothing is logged today. */
} wh_model_options;
#define WH_MODEL_OPTIONS_INIT \
  { sizeof(wh_model_options), 0, NULL, NULL }

/* Maps the file and builds its graph; weights stay mapped, and are not read: it takes milliseconds however
 * large they are. Errors name the file and the field or tensor. */
WH_API WH_NODISCARD wh_status wh_model_open(const char *path, const wh_model_options *options,
                                            wh_model **out);
WH_API wh_model *wh_model_retain(wh_model *model);
WH_API void wh_model_destroy(wh_model *model); /* its sessions and streams hold references of their own */

/* Strings live as long as the model. */
typedef struct wh_model_info {
  uint32_t struct_size;
  uint32_t n_layers;
  const char *path, *format; /* "GGUF v3" */
  const char *architecture;  /* "llama", "qwen3" ... */
  const char *name;          /* as the file says; "" if it does not */
  uint64_t n_parameters, file_bytes, weight_bytes;
  uint64_t context_length; /* that the model was trained for */
  uint64_t n_vocab, n_embedding;
  uint64_t n_experts, n_experts_used; /* of a layer; that a token uses of them; 0: no mixture of experts */
} wh_model_info;
#define WH_MODEL_INFO_INIT \
  { sizeof(wh_model_info), 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0 }
WH_API wh_status wh_model_get_info(const wh_model *model, wh_model_info *info);

/* xxHash128 of the core graph's text as 32 hex digits: the model's identity. The weights' bytes are not part
 * of it. */
WH_API WH_NODISCARD wh_status wh_model_graph_hash(const wh_model *model, char out[33]);

/* Metadata entry i; *value_text is printable one-line text (long arrays abbreviated as "[first, ... (n)]").
 * Both are written into the caller's buffers, always NUL-terminated; a buffer of 0 bytes may be NULL.
 * ERR_NOT_FOUND past the end. */
WH_API size_t wh_model_n_metadata(const wh_model *model);
WH_API WH_NODISCARD wh_status wh_model_get_metadata(const wh_model *model, size_t i, char *key,
                                                    size_t key_bytes, char *value_text, size_t value_bytes);

typedef struct wh_weight_info {
  uint32_t struct_size;
  wh_dtype dtype;
  char name[128]; /* clipped */
  int32_t rank;
  int64_t dims[WH_MAX_RANK]; /* row-major */
  uint64_t n_bytes;
} wh_weight_info;
#define WH_WEIGHT_INFO_INIT \
  { sizeof(wh_weight_info), WH_DTYPE_F32, {0}, 0, {0}, 0 }
WH_API size_t wh_model_n_weights(const wh_model *model);
WH_API WH_NODISCARD wh_status wh_model_get_weight(const wh_model *model, size_t i, wh_weight_info *info);
/* xxHash128 of weight i's bytes as 32 hex digits: its content. Reads the whole weight, on the calling thread.
 */
WH_API WH_NODISCARD wh_status wh_model_weight_hash(const wh_model *model, size_t i, char out[33]);

/* The graph as text, before or after the passes; *out is owned by the caller: wh_string_destroy. */
WH_API WH_NODISCARD wh_status wh_model_graph_text(const wh_model *model, bool optimised, char **out);

#ifdef __cplusplus
}
#endif
#endif
