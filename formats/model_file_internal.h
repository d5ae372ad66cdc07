/* formats/model_file_internal.h - how a reader fills a wh_model_file. For files of this folder only. */
#ifndef WH_FORMATS_MODEL_FILE_INTERNAL_H
#define WH_FORMATS_MODEL_FILE_INTERNAL_H

#include <stdint.h>

#include "core/base/file.h"
#include "formats/model_file.h"

/* Names to positions: open addressing, linear probing, at most half full. */
typedef struct wh_name_slot {
  uint32_t hash;
  uint32_t position_plus_1; /* 0: free */
} wh_name_slot;

typedef struct wh_name_index {
  wh_name_slot *slots;
  size_t n_slots; /* a power of two, or 0 */
} wh_name_index;

/* One file of the model. `file` is NULL when the caller owns the bytes. */
typedef struct wh_model_part {
  wh_file *file;
  const uint8_t *data;
  size_t n_bytes;
} wh_model_part;

struct wh_model_file {
  const wh_allocator *alloc;
  char *path;
  char format[16];
  wh_model_part *parts;
  size_t n_parts, parts_capacity;
  wh_meta_entry *meta;
  size_t n_meta, meta_capacity;
  wh_name_index meta_index;
  wh_weight_view *weights;
  size_t n_weights, weights_capacity;
  wh_name_index weight_index;
};

/* An object without parts, metadata and weights. */
wh_status wh_model_file_create(const char *path, const wh_allocator *alloc, wh_model_file **out);

/* Appends a part; on success the model owns `part.file`. */
wh_status wh_model_file_add_part(wh_model_file *f, wh_model_part part);

/* Room for `n` entries in all; must precede the adds. */
wh_status wh_model_file_reserve_meta(wh_model_file *f, size_t n);
wh_status wh_model_file_reserve_weights(wh_model_file *f, size_t n);

/* A name that is there already is ERR_CORRUPT. The name's bytes must outlive the model (they lie in a part);
 * on success the model owns the arrays of `value`. */
wh_status wh_model_file_add_meta(wh_model_file *f, wh_str key, const wh_meta_value *value);
wh_status wh_model_file_add_weight(wh_model_file *f, const wh_weight_view *weight);

void wh_meta_value_free(const wh_allocator *alloc, wh_meta_value *value);

/* A name as a message may show it: clipped, control characters and invalid UTF-8 replaced by '?'. By value,
 * so that `wh_printable(name).text` can stand among printf arguments. */
typedef struct wh_printable_text {
  char text[100];
} wh_printable_text;
wh_printable_text wh_printable(wh_str name);

/* "<end of a long path>" for messages; the record has 512 bytes and must hold the sentence too. */
#define WH_PATH_FMT "%s%s"
#define WH_PATH_ARG(path) wh_path_is_long(path) ? "..." : "", wh_path_tail(path)
bool wh_path_is_long(const char *path);
const char *wh_path_tail(const char *path);

#endif
