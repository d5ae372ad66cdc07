/* gguf_write.c - metadata and weights to a GGUF v3 file, all or nothing.
 *
 * Everything is checked before the first byte is written, so that a file which exists can be read back. */
#include "formats/gguf_write.h"

#include <inttypes.h>
#include <string.h>

#include "formats/gguf_internal.h"
#include "formats/limits.h"

/* ---- checks ---- */

/* The range of an integer type, of those that int64 covers. */
static void int_range(uint32_t type, int64_t *min, int64_t *max) {
  unsigned bits = 8 * (unsigned)wh_gguf_value_bytes(type);
  switch (type) {
    case WH_GGUF_VALUE_BOOL:
      *min = 0, *max = 1;
      break;
    case WH_GGUF_VALUE_U8:
    case WH_GGUF_VALUE_U16:
    case WH_GGUF_VALUE_U32:
      *min = 0, *max = (INT64_C(1) << bits) - 1;
      break;
    case WH_GGUF_VALUE_U64:
      *min = 0, *max = INT64_MAX;
      break;
    case WH_GGUF_VALUE_I64:
      *min = INT64_MIN, *max = INT64_MAX;
      break;
    default:
      *min = -(INT64_C(1) << (bits - 1)), *max = (INT64_C(1) << (bits - 1)) - 1;
  }
}

static wh_status check_ints(wh_str key, uint32_t type, const int64_t *v, size_t n) {
  int64_t min, max;
  int_range(type, &min, &max);
  for (size_t i = 0; i < n; i++)
    if (v[i] < min || v[i] > max)
      return WH_FAIL(ERR_INVALID_ARGUMENT,
                     "metadata '%s': %" PRId64 " does not fit its type, %" PRId64 " to %" PRId64,
                     wh_printable(key).text, v[i], min, max);
  return WH_OK;
}

static wh_status check_value(wh_str key, const wh_meta_value *v) {
  bool is_array = v->kind == WH_META_ARRAY;
  wh_meta_kind kind = is_array ? v->elem_kind : v->kind;
  bool known = v->file_type == WH_GGUF_VALUE_STRING || wh_gguf_value_bytes(v->file_type);
  bool suits = kind == WH_META_UINT ? v->file_type == WH_GGUF_VALUE_U64
                                    : known && kind == wh_gguf_value_kind(v->file_type);
  if (!known || !suits)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "metadata '%s': GGUF type %" PRIu32 " does not suit the value",
                   wh_printable(key).text, v->file_type);
  if (is_array && v->n > WH_LIMIT_ARRAY_ELEMS)
    return WH_FAIL(ERR_LIMIT, "metadata '%s': %zu elements, at most %u can be read", wh_printable(key).text,
                   v->n, WH_LIMIT_ARRAY_ELEMS);
  if (kind == WH_META_INT || kind == WH_META_BOOL)
    return check_ints(key, v->file_type, is_array ? v->ints : &v->i, is_array ? v->n : 1);
  return WH_OK;
}

static wh_status check_name(const char *what, wh_str name, size_t max_bytes) {
  if (name.len == 0 || name.len > max_bytes || memchr(name.data, '\0', name.len))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s '%s': a name has 1 to %zu bytes, none of them NUL", what,
                   wh_printable(name).text, max_bytes);
  return WH_OK;
}

/* *out is a copy of `w` with n_bytes set. */
static wh_status check_weight(const wh_weight_view *w, bool can_produce, wh_weight_view *out) {
  uint32_t type;
  size_t n_bytes = 0;
  int64_t n_elems = 1;
  WH_TRY(check_name("tensor", w->name, WH_LIMIT_WEIGHT_NAME_BYTES));
  if (!wh_gguf_type_of(w->dtype, &type))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "tensor '%s': GGUF has no type for %s", wh_printable(w->name).text,
                   wh_dtype_name(w->dtype));
  bool fits = w->rank >= 1 && w->rank <= WH_GGUF_RANK_MAX && w->dims[w->rank - 1] > 0 &&
              wh_dtype_row_bytes(w->dtype, (uint64_t)w->dims[w->rank - 1], &n_bytes);
  for (int d = 0; fits && d < w->rank; d++) {
    fits = w->dims[d] > 0 && !__builtin_mul_overflow(n_elems, w->dims[d], &n_elems);
    if (fits && d < w->rank - 1) fits = !__builtin_mul_overflow(n_bytes, w->dims[d], &n_bytes);
  }
  if (!fits)
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "tensor '%s': want 1 to %d positive dimensions, the last in whole blocks of %s",
                   wh_printable(w->name).text, WH_GGUF_RANK_MAX, wh_dtype_name(w->dtype));
  if (!w->data && !can_produce)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "tensor '%s': has no data", wh_printable(w->name).text);
  *out = *w;
  out->n_bytes = n_bytes;
  return WH_OK;
}

static wh_status check_alignment(const wh_gguf_content *content, size_t *out) {
  *out = WH_GGUF_ALIGNMENT_DEFAULT;
  for (size_t i = 0; i < content->n_meta; i++) {
    const wh_meta_entry *e = &content->meta[i];
    if (!wh_str_is(e->key, "general.alignment")) continue;
    int64_t a = e->value.i;
    if (e->value.kind != WH_META_INT || a < WH_LIMIT_ALIGNMENT_MIN || a > WH_LIMIT_ALIGNMENT_MAX ||
        (a & (a - 1)))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "metadata 'general.alignment': want a power of two from %d to %u",
                     WH_LIMIT_ALIGNMENT_MIN, WH_LIMIT_ALIGNMENT_MAX);
    *out = (size_t)a;
  }
  return WH_OK;
}

/* Collects names and sizes in `plan`, whose tables find duplicates. */
static wh_status check_content(const wh_gguf_content *content, wh_model_file *plan, size_t *alignment) {
  size_t n_elems = 0, data_bytes = 0;
  if (content->n_meta > WH_LIMIT_META_ENTRIES || content->n_weights > WH_LIMIT_WEIGHTS)
    return WH_FAIL(ERR_LIMIT, "%zu metadata entries and %zu tensors, at most %d and %d can be read",
                   content->n_meta, content->n_weights, WH_LIMIT_META_ENTRIES, WH_LIMIT_WEIGHTS);
  WH_TRY(wh_model_file_reserve_meta(plan, content->n_meta));
  WH_TRY(wh_model_file_reserve_weights(plan, content->n_weights));
  for (size_t i = 0; i < content->n_meta; i++) {
    const wh_meta_entry *e = &content->meta[i];
    static const wh_meta_value none = {.kind = WH_META_BOOL}; /* the plan must not own the caller's arrays */
    WH_TRY(check_name("metadata", e->key, WH_LIMIT_META_KEY_BYTES));
    WH_TRY(check_value(e->key, &e->value));
    WH_TRY(wh_model_file_add_meta(plan, e->key, &none));
    if (e->value.kind == WH_META_ARRAY) n_elems += e->value.n; /* both factors are bounded: cannot overflow */
  }
  if (n_elems > WH_LIMIT_META_ELEMS)
    return WH_FAIL(ERR_LIMIT, "metadata arrays of %zu elements in all, at most %u can be read", n_elems,
                   WH_LIMIT_META_ELEMS);
  WH_TRY(check_alignment(content, alignment));
  for (size_t i = 0; i < content->n_weights; i++) {
    wh_weight_view w;
    WH_TRY(check_weight(&content->weights[i], content->produce != NULL, &w));
    WH_TRY(wh_model_file_add_weight(plan, &w));
    if (!wh_add_size(data_bytes, w.n_bytes, &data_bytes) ||
        !wh_align_size(data_bytes, *alignment, &data_bytes))
      return WH_FAIL(ERR_LIMIT, "tensor '%s': the file would be larger than 64 bits can count",
                     wh_printable(w.name).text);
  }
  return WH_OK;
}

/* ---- bytes ---- */

static wh_status put_u32(wh_file_writer *out, uint32_t v) { return wh_file_writer_append(out, &v, sizeof v); }
static wh_status put_u64(wh_file_writer *out, uint64_t v) { return wh_file_writer_append(out, &v, sizeof v); }

static wh_status put_string(wh_file_writer *out, wh_str s) {
  WH_TRY(put_u64(out, s.len));
  return wh_file_writer_append(out, s.data, s.len);
}

static wh_status put_int(wh_file_writer *out, uint32_t type, int64_t v) {
  return wh_file_writer_append(out, &v, wh_gguf_value_bytes(type)); /* the low bytes come first */
}

static wh_status put_float(wh_file_writer *out, uint32_t type, double v) {
  float narrow = (float)v;
  return type == WH_GGUF_VALUE_F64 ? wh_file_writer_append(out, &v, sizeof v)
                                   : wh_file_writer_append(out, &narrow, sizeof narrow);
}

static wh_status put_value(wh_file_writer *out, const wh_meta_value *v) {
  if (v->kind != WH_META_ARRAY) {
    WH_TRY(put_u32(out, v->file_type));
    if (v->kind == WH_META_STRING) return put_string(out, v->s);
    if (v->kind == WH_META_FLOAT) return put_float(out, v->file_type, v->f);
    return put_int(out, v->file_type, v->i);
  }
  WH_TRY(put_u32(out, WH_GGUF_VALUE_ARRAY));
  WH_TRY(put_u32(out, v->file_type));
  WH_TRY(put_u64(out, v->n));
  for (size_t i = 0; i < v->n; i++) {
    if (v->elem_kind == WH_META_STRING)
      WH_TRY(put_string(out, v->strings[i]));
    else if (v->elem_kind == WH_META_FLOAT)
      WH_TRY(put_float(out, v->file_type, v->floats[i]));
    else
      WH_TRY(put_int(out, v->file_type, v->ints[i]));
  }
  return WH_OK;
}

static wh_status pad(wh_file_writer *out, size_t alignment) {
  static const char zeros[256];
  size_t n = (size_t)(-wh_file_writer_size(out) & (alignment - 1));
  while (n) {
    size_t step = n < sizeof zeros ? n : sizeof zeros;
    WH_TRY(wh_file_writer_append(out, zeros, step));
    n -= step;
  }
  return WH_OK;
}

/* Descriptions of the tensors, which lie one after the other, each aligned. */
static wh_status put_tensors(wh_file_writer *out, const wh_model_file *plan, size_t alignment) {
  uint64_t offset = 0;
  for (size_t i = 0; i < plan->n_weights; i++) {
    const wh_weight_view *w = &plan->weights[i];
    uint32_t type = 0;
    (void)wh_gguf_type_of(w->dtype, &type); /* checked */
    WH_TRY(put_string(out, w->name));
    WH_TRY(put_u32(out, (uint32_t)w->rank));
    for (int d = w->rank - 1; d >= 0; d--) WH_TRY(put_u64(out, (uint64_t)w->dims[d]));
    WH_TRY(put_u32(out, type));
    WH_TRY(put_u64(out, offset));
    offset = (offset + w->n_bytes + alignment - 1) & ~(uint64_t)(alignment - 1); /* checked: no overflow */
  }
  return WH_OK;
}

static wh_status put_weights(wh_file_writer *out, const wh_gguf_content *content, const wh_model_file *plan,
                             size_t alignment) {
  for (size_t i = 0; i < plan->n_weights; i++) {
    const wh_weight_view *w = &plan->weights[i];
    uint64_t before = wh_file_writer_size(out);
    WH_TRY(w->data ? wh_file_writer_append(out, w->data, w->n_bytes)
                   : content->produce(content->ctx, i, out));
    uint64_t written = wh_file_writer_size(out) - before;
    if (written != w->n_bytes)
      return WH_FAIL(ERR_INTERNAL, WH_PATH_FMT ": tensor '%s': %" PRIu64 " bytes were produced, want %zu",
                     WH_PATH_ARG(plan->path), wh_printable(w->name).text, written, w->n_bytes);
    WH_TRY(pad(out, alignment)); /* also after the last: ggml reads whole aligned spans */
  }
  return WH_OK;
}

static wh_status put_content(wh_file_writer *out, const wh_gguf_content *content, const wh_model_file *plan,
                             size_t alignment) {
  WH_TRY(wh_file_writer_append(out, WH_GGUF_MAGIC, WH_GGUF_MAGIC_BYTES));
  WH_TRY(put_u32(out, WH_GGUF_VERSION_MAX));
  WH_TRY(put_u64(out, content->n_weights));
  WH_TRY(put_u64(out, content->n_meta));
  for (size_t i = 0; i < content->n_meta; i++) {
    WH_TRY(put_string(out, content->meta[i].key));
    WH_TRY(put_value(out, &content->meta[i].value));
  }
  WH_TRY(put_tensors(out, plan, alignment));
  WH_TRY(pad(out, alignment));
  return put_weights(out, content, plan, alignment);
}

wh_status wh_gguf_write(const char *path, const wh_gguf_content *content, const wh_allocator *alloc) {
  if (!path || !*path) return WH_FAIL(ERR_INVALID_ARGUMENT, "no file name given");
  wh_model_file *plan = NULL;
  wh_file_writer *out = NULL;
  size_t alignment = 0;
  wh_status status = wh_model_file_create(path, alloc, &plan);
  if (status == WH_OK) status = check_content(content, plan, &alignment);
  if (status != WH_OK) {
    wh_model_file_close(plan);
    return wh_fail_prefix(WH_PATH_FMT, WH_PATH_ARG(path));
  }
  status = wh_file_writer_begin(path, alloc, &out);
  if (status == WH_OK) status = put_content(out, content, plan, alignment);
  if (status == WH_OK)
    status = wh_file_writer_commit(out);
  else
    wh_file_writer_abort(out);
  wh_model_file_close(plan);
  return status;
}
