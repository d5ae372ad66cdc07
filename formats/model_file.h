/* formats/model_file.h - what every reader makes of a model file: typed metadata and named weight views.
 *
 * Everything points into the mapped file (or into arrays owned by the object) and lives until
 * wh_model_file_close. Readers check every size before they build one: a consumer may trust `n_bytes`.
 * Nothing changes after opening, so any number of threads may read one. */
#ifndef WH_FORMATS_MODEL_FILE_H
#define WH_FORMATS_MODEL_FILE_H

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/str.h"

typedef enum wh_meta_kind {
  WH_META_INT = 1, /* any integer type of the file, as int64 */
  WH_META_FLOAT,
  WH_META_BOOL,
  WH_META_STRING,
  WH_META_ARRAY,
  WH_META_UINT /* a uint64 beyond INT64_MAX, or an array that holds one: as the bits of uint64 */
} wh_meta_kind;

typedef struct wh_meta_value {
  wh_meta_kind kind;
  wh_meta_kind elem_kind; /* arrays only; never ARRAY */
  uint32_t file_type;     /* the file's own number of the type (arrays: of an element), to write it back */
  int64_t i;              /* INT, BOOL, UINT */
  double f;               /* FLOAT */
  wh_str s;               /* STRING */
  size_t n;               /* ARRAY: number of elements; exactly one pointer below is set */
  const int64_t *ints;    /* INT, BOOL and UINT elements */
  const double *floats;
  const wh_str *strings;
} wh_meta_value;

typedef struct wh_meta_entry {
  wh_str key;
  wh_meta_value value;
} wh_meta_entry;

/* A weight as it lies in the file. dims are row-major: dims[rank-1] is contiguous and blocks run along it
 * (GGUF stores them the other way round). */
typedef struct wh_weight_view {
  wh_str name;
  wh_dtype dtype;
  int rank;
  int64_t dims[WH_MAX_RANK];
  const void *data;
  size_t n_bytes;
} wh_weight_view;

typedef struct wh_model_file wh_model_file;

/* Opens a model file by its magic number (GGUF today); any part of a split model opens all of it. Errors name
 * the file, the field or tensor, and what is wrong with it. */
WH_NODISCARD wh_status wh_model_file_open(const char *path, const wh_allocator *alloc, wh_model_file **out);
/* The same over bytes that the caller keeps alive (tests, fuzzing); `name` is for messages. `data` should be
 * aligned to WH_ALIGN_SIMD, as weights are placed relative to it. A part of a split model is refused. */
WH_NODISCARD wh_status wh_model_file_open_memory(const char *name, const void *data, size_t n_bytes,
                                                 const wh_allocator *alloc, wh_model_file **out);
void wh_model_file_close(wh_model_file *file); /* NULL is fine */

const char *wh_model_file_path(const wh_model_file *file);   /* a split model's first part */
const char *wh_model_file_format(const wh_model_file *file); /* "GGUF v3" */
size_t wh_model_file_total_bytes(const wh_model_file *file); /* all parts */

/* A hash of what the system knows of the files: equal stamps, equal content. False when that cannot be said:
 * bytes of a caller, or a file that changed a moment ago. */
bool wh_model_file_stamp(const wh_model_file *file, wh_hash128 *out);

size_t wh_model_file_n_meta(const wh_model_file *file);
const wh_meta_entry *wh_model_file_meta(const wh_model_file *file, size_t i);
size_t wh_model_file_n_weights(const wh_model_file *file);
const wh_weight_view *wh_model_file_weight(const wh_model_file *file, size_t i);

/* Look-ups by name, O(1); NULL when absent. */
const wh_meta_value *wh_model_file_find_meta(const wh_model_file *file, const char *key);
const wh_weight_view *wh_model_file_find_weight(const wh_model_file *file, const char *name);

/* The same as an index; the number of entries when absent. */
size_t wh_model_file_meta_index(const wh_model_file *file, const char *key);
size_t wh_model_file_weight_index(const wh_model_file *file, const char *name);

/* Typed look-ups. `*_or` returns the default when the key is absent; all raise ERR_CORRUPT naming the key
 * when the kind or range is wrong, and the required form raises it when the key is absent. Floats must be
 * finite. A string lives as long as the model (or as `fallback`, which may be NULL). */
WH_NODISCARD wh_status wh_model_file_get_int(const wh_model_file *f, const char *key, int64_t min,
                                             int64_t max, int64_t *out);
WH_NODISCARD wh_status wh_model_file_get_int_or(const wh_model_file *f, const char *key, int64_t min,
                                                int64_t max, int64_t fallback, int64_t *out);
WH_NODISCARD wh_status wh_model_file_get_float(const wh_model_file *f, const char *key, double *out);
WH_NODISCARD wh_status wh_model_file_get_bool_or(const wh_model_file *f, const char *key, bool fallback,
                                                 bool *out);
WH_NODISCARD wh_status wh_model_file_get_string(const wh_model_file *f, const char *key, wh_str *out);
WH_NODISCARD wh_status wh_model_file_get_string_or(const wh_model_file *f, const char *key,
                                                   const char *fallback, wh_str *out);

/* A hint that a weight's pages need not stay resident: they can be read again from the file. */
void wh_model_file_weight_dont_need(const wh_model_file *f, const wh_weight_view *w);

#endif
