/* formats/gguf_write.h - writes GGUF v3 files. */
#ifndef WH_FORMATS_GGUF_WRITE_H
#define WH_FORMATS_GGUF_WRITE_H

#include "core/base/file.h"
#include "formats/model_file.h"

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

/* What the file shall hold; all of it is borrowed for the call. */
typedef struct wh_gguf_content {
  /* value.file_type is the wh_gguf_value_type to write: it must suit the kind, and integers must fit it. A
   * "general.alignment" among the entries is obeyed. */
  const wh_meta_entry *meta;
  size_t n_meta;
  /* n_bytes is not read. A weight whose `data` is NULL comes from `produce`. */
  const wh_weight_view *weights;
  size_t n_weights;
  /* Appends all bytes of weights[i] to `file`, a few at a time if it likes. Its failure is the write's. */
  wh_status (*produce)(void *ctx, size_t i, wh_file_writer *file);
  void *ctx;
} wh_gguf_content;

/* Writes `path`, all or nothing. Refuses what wh_model_file_open would refuse. */
WH_NODISCARD wh_status wh_gguf_write(const char *path, const wh_gguf_content *content,
                                     const wh_allocator *alloc);

/* Entries for the scalar types in use; `key` and `s` are borrowed. */
static inline wh_meta_entry wh_gguf_meta_u32(const char *key, uint32_t v) {
  return (wh_meta_entry){wh_str_from(key), {.kind = WH_META_INT, .file_type = WH_GGUF_VALUE_U32, .i = v}};
}
static inline wh_meta_entry wh_gguf_meta_f32(const char *key, float v) {
  return (wh_meta_entry){wh_str_from(key),
                         {.kind = WH_META_FLOAT, .file_type = WH_GGUF_VALUE_F32, .f = (double)v}};
}
static inline wh_meta_entry wh_gguf_meta_bool(const char *key, bool v) {
  return (wh_meta_entry){wh_str_from(key), {.kind = WH_META_BOOL, .file_type = WH_GGUF_VALUE_BOOL, .i = v}};
}
static inline wh_meta_entry wh_gguf_meta_string(const char *key, const char *s) {
  return (wh_meta_entry){wh_str_from(key),
                         {.kind = WH_META_STRING, .file_type = WH_GGUF_VALUE_STRING, .s = wh_str_from(s)}};
}

#endif
