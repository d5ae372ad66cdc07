/* gguf_read.c - the bytes of one GGUF file (v2 or v3, little-endian) to metadata and weight views.
 *
 * The input is hostile: every count, length, offset and product is checked before it is used, and counts are
 * checked against the bytes that are left before anything is allocated for them. Names, strings and weights
 * stay where they lie. Messages name the field or tensor; the caller puts the file's name in front. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_internal.h"
#include "formats/limits.h"

#define DAMAGED "the file is truncated or corrupt: download it again"

/* The smallest encodings: what a count costs at least in bytes of the file. */
#define META_MIN_BYTES (8 + 1 + 4 + 1)           /* key of one byte, type, one-byte value */
#define TENSOR_MIN_BYTES (8 + 1 + 4 + 8 + 4 + 8) /* name of one byte, rank, one dim, type, offset */

typedef struct gguf_cursor {
  const uint8_t *data;
  size_t n_bytes, at; /* at <= n_bytes */
} gguf_cursor;

typedef struct gguf_header {
  uint32_t version;
  uint64_t n_tensors, n_meta;
} gguf_header;

/* Where a tensor's bytes lie, relative to the data section. */
typedef struct gguf_span {
  uint64_t offset, n_bytes;
  size_t weight;
} gguf_span;

static size_t bytes_left(const gguf_cursor *c) { return c->n_bytes - c->at; }

/* All take_* return false, without moving, when the file ends first. */
static bool take(gguf_cursor *c, void *out, size_t n) {
  if (bytes_left(c) < n) return false;
  memcpy(out, c->data + c->at, n);
  c->at += n;
  return true;
}

static bool take_string(gguf_cursor *c, wh_str *out) {
  size_t start = c->at;
  uint64_t len;
  if (!take(c, &len, sizeof len)) return false;
  if (len > bytes_left(c)) {
    c->at = start;
    return false;
  }
  *out = (wh_str){(const char *)c->data + c->at, (size_t)len};
  c->at += (size_t)len;
  return true;
}

/* ---- header ---- */

static wh_status read_header(gguf_cursor *c, gguf_header *out) {
  gguf_header h;
  if (c->n_bytes < WH_GGUF_HEADER_BYTES)
    return WH_FAIL(ERR_CORRUPT,
                   "header: a GGUF file begins with %d bytes, but this one ends at byte %zu; " DAMAGED,
                   WH_GGUF_HEADER_BYTES, c->n_bytes);
  c->at = WH_GGUF_MAGIC_BYTES; /* the caller has seen the magic number */
  (void)take(c, &h.version, sizeof h.version);
  (void)take(c, &h.n_tensors, sizeof h.n_tensors);
  (void)take(c, &h.n_meta, sizeof h.n_meta);
  if (h.version && (h.version & 0xffff) == 0)
    return WH_FAIL(ERR_UNSUPPORTED,
                   "big-endian GGUF is not supported: convert the model for little-endian machines");
  if (h.version == 1)
    return WH_FAIL(ERR_UNSUPPORTED, "GGUF version 1 is not supported (want 2 or 3): convert the model again");
  if (h.version < WH_GGUF_VERSION_MIN || h.version > WH_GGUF_VERSION_MAX)
    return WH_FAIL(ERR_UNSUPPORTED, "GGUF version %" PRIu32 " is not supported, want %d or %d", h.version,
                   WH_GGUF_VERSION_MIN, WH_GGUF_VERSION_MAX);
  if (h.n_meta > bytes_left(c) / META_MIN_BYTES)
    return WH_FAIL(ERR_CORRUPT, "header: %" PRIu64 " metadata entries do not fit %zu bytes; " DAMAGED,
                   h.n_meta, c->n_bytes);
  if (h.n_tensors > bytes_left(c) / TENSOR_MIN_BYTES)
    return WH_FAIL(ERR_CORRUPT, "header: %" PRIu64 " tensors do not fit %zu bytes; " DAMAGED, h.n_tensors,
                   c->n_bytes);
  if (h.n_meta > WH_LIMIT_META_ENTRIES)
    return WH_FAIL(ERR_LIMIT, "header: %" PRIu64 " metadata entries, at most %d are read", h.n_meta,
                   WH_LIMIT_META_ENTRIES);
  if (h.n_tensors > WH_LIMIT_WEIGHTS)
    return WH_FAIL(ERR_LIMIT, "header: %" PRIu64 " tensors, at most %d are read", h.n_tensors,
                   WH_LIMIT_WEIGHTS);
  *out = h;
  return WH_OK;
}

/* ---- metadata ---- */

/* Widens n scalars of a type at `bytes`, which the caller has checked; uint64 keeps its bits. Returns n, or
 * the index of the first bool that is none. */
static size_t widen_ints(uint32_t type, const uint8_t *bytes, size_t n, int64_t *out) {
#define WIDEN(T, ok)                            \
  for (size_t i = 0; i < n; i++) {              \
    T v;                                        \
    memcpy(&v, bytes + i * sizeof v, sizeof v); \
    if (!(ok)) return i;                        \
    out[i] = (int64_t)v;                        \
  }                                             \
  return n
  switch (type) {
    case WH_GGUF_VALUE_U8:
      WIDEN(uint8_t, true);
    case WH_GGUF_VALUE_I8:
      WIDEN(int8_t, true);
    case WH_GGUF_VALUE_U16:
      WIDEN(uint16_t, true);
    case WH_GGUF_VALUE_I16:
      WIDEN(int16_t, true);
    case WH_GGUF_VALUE_U32:
      WIDEN(uint32_t, true);
    case WH_GGUF_VALUE_I32:
      WIDEN(int32_t, true);
    case WH_GGUF_VALUE_I64:
      WIDEN(int64_t, true);
    case WH_GGUF_VALUE_U64:
      WIDEN(uint64_t, true);
    default:
      WIDEN(uint8_t, v <= 1); /* bool */
  }
#undef WIDEN
}

/* INT, or UINT when one of the integers is beyond int64. */
static wh_meta_kind int_kind(uint32_t type, const int64_t *ints, size_t n) {
  if (type == WH_GGUF_VALUE_U64)
    for (size_t i = 0; i < n; i++)
      if (ints[i] < 0) return WH_META_UINT;
  return WH_META_INT;
}

static void widen_floats(uint32_t type, const uint8_t *bytes, size_t n, double *out) {
  if (type == WH_GGUF_VALUE_F64) {
    if (n) memcpy(out, bytes, n * sizeof *out);
    return;
  }
  for (size_t i = 0; i < n; i++) {
    float v;
    memcpy(&v, bytes + i * sizeof v, sizeof v);
    out[i] = (double)v;
  }
}

static wh_status meta_ends(const gguf_cursor *c, wh_str key) {
  return WH_FAIL(ERR_CORRUPT, "metadata '%s': its value runs past the end of the file at byte %zu; " DAMAGED,
                 wh_printable(key).text, c->n_bytes);
}

static wh_status meta_bad_bool(wh_str key, size_t elem) {
  return WH_FAIL(ERR_CORRUPT, "metadata '%s': element %zu is a bool that is neither 0 nor 1",
                 wh_printable(key).text, elem);
}

static wh_status read_strings(gguf_cursor *c, wh_str key, size_t n, const wh_allocator *alloc,
                              const wh_str **out) {
  wh_str *strings = wh_alloc_uninit(alloc, n * sizeof *strings, WH_ALIGN_DEFAULT);
  if (!strings) return WH_OOM("metadata array");
  for (size_t i = 0; i < n; i++) {
    if (take_string(c, &strings[i])) continue;
    wh_free(alloc, strings);
    return WH_FAIL(ERR_CORRUPT,
                   "metadata '%s': string %zu of %zu runs past the end of the file at byte %zu; " DAMAGED,
                   wh_printable(key).text, i, n, c->n_bytes);
  }
  *out = strings;
  return WH_OK;
}

/* `n_elems_left` is the file's remaining allowance of array elements. */
static wh_status read_array(gguf_cursor *c, wh_str key, const wh_allocator *alloc, size_t *n_elems_left,
                            wh_meta_value *out) {
  uint32_t type;
  uint64_t count;
  if (!take(c, &type, sizeof type) || !take(c, &count, sizeof count)) return meta_ends(c, key);
  size_t elem_bytes = wh_gguf_value_bytes(type);
  if (type == WH_GGUF_VALUE_ARRAY)
    return WH_FAIL(ERR_UNSUPPORTED, "metadata '%s': an array of arrays is not supported",
                   wh_printable(key).text);
  if (!elem_bytes && type != WH_GGUF_VALUE_STRING)
    return WH_FAIL(ERR_CORRUPT, "metadata '%s': array elements of type %" PRIu32 ", which GGUF does not have",
                   wh_printable(key).text, type);
  size_t least = type == WH_GGUF_VALUE_STRING ? sizeof(uint64_t) : elem_bytes; /* of one element */
  if (count > bytes_left(c) / least)
    return WH_FAIL(ERR_CORRUPT,
                   "metadata '%s': %" PRIu64
                   " elements do not fit the file, which ends at byte %zu; " DAMAGED,
                   wh_printable(key).text, count, c->n_bytes);
  if (count > WH_LIMIT_ARRAY_ELEMS || count > *n_elems_left)
    return WH_FAIL(ERR_LIMIT,
                   "metadata '%s': %" PRIu64 " elements, at most %u in one array and %u in all are read",
                   wh_printable(key).text, count, WH_LIMIT_ARRAY_ELEMS, WH_LIMIT_META_ELEMS);
  size_t n = (size_t)count;
  *n_elems_left -= n;
  wh_meta_value v = {.kind = WH_META_ARRAY, .elem_kind = wh_gguf_value_kind(type), .file_type = type, .n = n};
  const uint8_t *bytes = c->data + c->at;
  if (type == WH_GGUF_VALUE_STRING) {
    WH_TRY(read_strings(c, key, n, alloc, &v.strings));
  } else if (v.elem_kind == WH_META_FLOAT) {
    double *floats = wh_alloc_uninit(alloc, n * sizeof *floats, WH_ALIGN_DEFAULT);
    if (!floats) return WH_OOM("metadata array");
    widen_floats(type, bytes, n, floats);
    v.floats = floats;
  } else {
    int64_t *ints = wh_alloc_uninit(alloc, n * sizeof *ints, WH_ALIGN_DEFAULT);
    if (!ints) return WH_OOM("metadata array");
    size_t good = widen_ints(type, bytes, n, ints);
    if (good < n) {
      wh_free(alloc, ints);
      return meta_bad_bool(key, good);
    }
    v.ints = ints;
    if (v.elem_kind == WH_META_INT) v.elem_kind = int_kind(type, ints, n);
  }
  c->at += n * elem_bytes;
  *out = v;
  return WH_OK;
}

static wh_status read_value(gguf_cursor *c, wh_str key, const wh_allocator *alloc, size_t *n_elems_left,
                            wh_meta_value *out) {
  uint32_t type;
  if (!take(c, &type, sizeof type)) return meta_ends(c, key);
  if (type == WH_GGUF_VALUE_ARRAY) return read_array(c, key, alloc, n_elems_left, out);
  wh_meta_value v = {.kind = wh_gguf_value_kind(type), .file_type = type};
  if (type == WH_GGUF_VALUE_STRING) {
    if (!take_string(c, &v.s)) return meta_ends(c, key);
  } else {
    size_t n_bytes = wh_gguf_value_bytes(type);
    uint8_t bytes[8];
    if (!n_bytes)
      return WH_FAIL(ERR_CORRUPT, "metadata '%s': a value of type %" PRIu32 ", which GGUF does not have",
                     wh_printable(key).text, type);
    if (!take(c, bytes, n_bytes)) return meta_ends(c, key);
    if (v.kind == WH_META_FLOAT)
      widen_floats(type, bytes, 1, &v.f);
    else if (widen_ints(type, bytes, 1, &v.i) != 1)
      return meta_bad_bool(key, 0);
    else if (v.kind == WH_META_INT)
      v.kind = int_kind(type, &v.i, 1);
  }
  *out = v;
  return WH_OK;
}

/* A key or tensor name: not empty, of bounded length, without NUL (look-ups take C strings). */
static wh_status read_name(gguf_cursor *c, const char *what, uint64_t i, uint64_t n, size_t max_bytes,
                           wh_str *out) {
  if (!take_string(c, out))
    return WH_FAIL(ERR_CORRUPT,
                   "%s %" PRIu64 " of %" PRIu64
                   ": its name runs past the end of the file at byte %zu; " DAMAGED,
                   what, i, n, c->n_bytes);
  if (out->len == 0)
    return WH_FAIL(ERR_CORRUPT, "%s %" PRIu64 " of %" PRIu64 ": its name is empty", what, i, n);
  if (out->len > max_bytes)
    return WH_FAIL(ERR_LIMIT, "%s '%s': its name has %zu bytes, at most %zu are read", what,
                   wh_printable(*out).text, out->len, max_bytes);
  if (memchr(out->data, '\0', out->len))
    return WH_FAIL(ERR_CORRUPT, "%s '%s': its name contains a NUL byte", what, wh_printable(*out).text);
  return WH_OK;
}

static wh_status read_metadata(gguf_cursor *c, const gguf_header *h, wh_model_file *f) {
  size_t n_elems_left = WH_LIMIT_META_ELEMS;
  WH_TRY(wh_model_file_reserve_meta(f, (size_t)h->n_meta));
  for (uint64_t i = 0; i < h->n_meta; i++) {
    wh_str key;
    wh_meta_value value;
    WH_TRY(read_name(c, "metadata", i, h->n_meta, WH_LIMIT_META_KEY_BYTES, &key));
    WH_TRY(read_value(c, key, f->alloc, &n_elems_left, &value));
    wh_status status = wh_model_file_add_meta(f, key, &value);
    if (status != WH_OK) {
      wh_meta_value_free(f->alloc, &value);
      return status;
    }
  }
  return WH_OK;
}

static wh_status read_alignment(const wh_model_file *f, size_t *out) {
  const wh_meta_value *v = wh_model_file_find_meta(f, "general.alignment");
  int64_t a = WH_GGUF_ALIGNMENT_DEFAULT;
  if (v) {
    if (v->kind != WH_META_INT) return WH_FAIL(ERR_CORRUPT, "metadata 'general.alignment' is not an integer");
    a = v->i;
  }
  if (a < WH_LIMIT_ALIGNMENT_MIN || a > WH_LIMIT_ALIGNMENT_MAX || (a & (a - 1)))
    return WH_FAIL(ERR_CORRUPT,
                   "metadata 'general.alignment' is %" PRId64 ", want a power of two from %d to %u", a,
                   WH_LIMIT_ALIGNMENT_MIN, WH_LIMIT_ALIGNMENT_MAX);
  *out = (size_t)a;
  return WH_OK;
}

/* ---- tensors ---- */

/* "4096 x 11008", in the file's order. */
typedef struct dims_text {
  char text[4 * 24];
} dims_text;
static dims_text dims_in_file_order(const wh_weight_view *w) {
  dims_text t = {""};
  size_t used = 0;
  for (int d = w->rank - 1; d >= 0; d--)
    used +=
        (size_t)snprintf(t.text + used, sizeof t.text - used, "%s%" PRId64, used ? " x " : "", w->dims[d]);
  return t;
}

static wh_status tensor_ends(const gguf_cursor *c, wh_str name) {
  return WH_FAIL(ERR_CORRUPT, "tensor '%s': the file ends at byte %zu inside its description; " DAMAGED,
                 wh_printable(name).text, c->n_bytes);
}

/* Sets rank and dims, in our order. The product of the dims fits int64. */
static wh_status read_dims(gguf_cursor *c, wh_weight_view *w) {
  uint32_t rank;
  if (!take(c, &rank, sizeof rank)) return tensor_ends(c, w->name);
  if (rank < 1 || rank > WH_GGUF_RANK_MAX)
    return WH_FAIL(ERR_CORRUPT, "tensor '%s': rank %" PRIu32 ", want 1 to %d", wh_printable(w->name).text,
                   rank, WH_GGUF_RANK_MAX);
  int64_t n_elems = 1;
  bool fits = true;
  w->rank = (int)rank;
  for (int d = w->rank - 1; d >= 0; d--) {
    uint64_t dim;
    if (!take(c, &dim, sizeof dim)) return tensor_ends(c, w->name);
    if (dim == 0 || dim > INT64_MAX)
      return WH_FAIL(ERR_CORRUPT, "tensor '%s': dimension %d is %" PRIu64, wh_printable(w->name).text,
                     w->rank - 1 - d, dim);
    w->dims[d] = (int64_t)dim;
    fits = fits && !__builtin_mul_overflow(n_elems, w->dims[d], &n_elems);
  }
  if (!fits)
    return WH_FAIL(ERR_CORRUPT, "tensor '%s': %s elements are more than 64 bits can count",
                   wh_printable(w->name).text, dims_in_file_order(w).text);
  return WH_OK;
}

static wh_status read_dtype(gguf_cursor *c, wh_weight_view *w) {
  uint32_t type;
  if (!take(c, &type, sizeof type)) return tensor_ends(c, w->name);
  if (wh_gguf_dtype_of(type, &w->dtype)) return WH_OK;
  const char *known = wh_gguf_unread_type_name(type);
  return WH_FAIL(ERR_UNSUPPORTED, "tensor '%s': type %" PRIu32 "%s%s%s is not supported; these are: %s",
                 wh_printable(w->name).text, type, known ? " (" : "", known ? known : "", known ? ")" : "",
                 wh_gguf_readable_types());
}

/* Everything but the place of the data: `*offset` is relative to the data section. */
static wh_status read_tensor(gguf_cursor *c, uint64_t i, uint64_t n, size_t alignment, wh_weight_view *w,
                             uint64_t *offset) {
  WH_TRY(read_name(c, "tensor", i, n, WH_LIMIT_WEIGHT_NAME_BYTES, &w->name));
  WH_TRY(read_dims(c, w));
  WH_TRY(read_dtype(c, w));
  if (!take(c, offset, sizeof *offset)) return tensor_ends(c, w->name);
  if (*offset & (alignment - 1))
    return WH_FAIL(ERR_CORRUPT, "tensor '%s': offset %" PRIu64 " is not a multiple of the alignment, %zu",
                   wh_printable(w->name).text, *offset, alignment);
  uint64_t row = (uint64_t)w->dims[w->rank - 1];
  const wh_dtype_info *info = wh_dtype_get(w->dtype);
  if (row % info->block_elems)
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s': rows of %" PRIu64 " elements are not whole blocks of %s, which hold %d",
                   wh_printable(w->name).text, row, info->name, info->block_elems);
  size_t n_bytes = 0;
  bool fits = wh_dtype_row_bytes(w->dtype, row, &n_bytes);
  for (int d = 0; d < w->rank - 1; d++) fits = fits && !__builtin_mul_overflow(n_bytes, w->dims[d], &n_bytes);
  if (!fits)
    return WH_FAIL(ERR_CORRUPT, "tensor '%s': %s elements of %s need more bytes than 64 bits can count",
                   wh_printable(w->name).text, dims_in_file_order(w).text, info->name);
  w->n_bytes = n_bytes;
  return WH_OK;
}

static int compare_spans(const void *a, const void *b) {
  const gguf_span *x = a, *y = b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  return x->weight < y->weight ? -1 : x->weight > y->weight;
}

/* Points the weights at their bytes. `first` is the part's first weight; c stands behind the descriptions. */
static wh_status place_weights(const gguf_cursor *c, wh_model_file *f, size_t first, gguf_span *spans,
                               size_t n, size_t alignment) {
  size_t data_at;
  if (!wh_align_size(c->at, alignment, &data_at)) data_at = SIZE_MAX;
  for (size_t i = 0; i < n; i++) {
    wh_weight_view *w = &f->weights[first + i];
    if (data_at > c->n_bytes || spans[i].offset > c->n_bytes - data_at ||
        w->n_bytes > c->n_bytes - data_at - (size_t)spans[i].offset)
      return WH_FAIL(ERR_CORRUPT,
                     "tensor '%s': %s elements of %s need %zu bytes at offset %" PRIu64
                     " of the data at byte %zu, but the file ends at byte %zu; " DAMAGED,
                     wh_printable(w->name).text, dims_in_file_order(w).text, wh_dtype_name(w->dtype),
                     w->n_bytes, spans[i].offset, data_at, c->n_bytes);
    w->data = c->data + data_at + (size_t)spans[i].offset;
  }
  qsort(spans, n, sizeof *spans, compare_spans);
  for (size_t i = 1; i < n; i++) {
    if (spans[i - 1].offset + spans[i - 1].n_bytes <= spans[i].offset) continue;
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s' at offset %" PRIu64 " overlaps tensor '%s' at offset %" PRIu64 "; " DAMAGED,
                   wh_printable(f->weights[spans[i].weight].name).text, spans[i].offset,
                   wh_printable(f->weights[spans[i - 1].weight].name).text, spans[i - 1].offset);
  }
  return WH_OK;
}

static wh_status read_weights(gguf_cursor *c, const gguf_header *h, size_t alignment, wh_model_file *f) {
  size_t n = (size_t)h->n_tensors, first = f->n_weights;
  if (n == 0) return WH_OK;
  WH_TRY(wh_model_file_reserve_weights(f, first + n));
  gguf_span *spans = wh_alloc_array(f->alloc, n, sizeof *spans);
  if (!spans) return WH_OOM("tensor table");
  wh_status status = WH_OK;
  for (size_t i = 0; i < n && status == WH_OK; i++) {
    wh_weight_view w = {.rank = 0};
    status = read_tensor(c, i, n, alignment, &w, &spans[i].offset);
    spans[i].n_bytes = w.n_bytes;
    spans[i].weight = first + i;
    if (status == WH_OK) status = wh_model_file_add_weight(f, &w);
  }
  if (status == WH_OK) status = place_weights(c, f, first, spans, n, alignment);
  wh_free(f->alloc, spans);
  return status;
}

wh_status wh_gguf_read(wh_model_file *f) {
  const wh_model_part *part = &f->parts[f->n_parts - 1];
  gguf_cursor c = {part->data, part->n_bytes, 0};
  gguf_header h;
  size_t alignment;
  WH_TRY(read_header(&c, &h));
  WH_TRY(read_metadata(&c, &h, f));
  WH_TRY(read_alignment(f, &alignment));
  WH_TRY(read_weights(&c, &h, alignment, f));
  (void)snprintf(f->format, sizeof f->format, "GGUF v%" PRIu32, h.version);
  return WH_OK;
}
