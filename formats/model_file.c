/* model_file.c - the model-file object that every reader fills: name look-ups, typed getters, its end of
 * life.
 *
 * Owns the parts (mapped files), the metadata arrays and the tables; names and strings point into the parts.
 * Knows no file format. */
#include "formats/model_file.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/hash.h"
#include "formats/model_file_internal.h"

/* ---- names ---- */

#define PROBES_MAX 1024 /* bounds the time that a hostile file can cost */

static uint32_t name_hash(wh_str s) { return (uint32_t)wh_hash_bytes(s.data, s.len).low; }

static wh_str meta_name(const wh_model_file *f, size_t i) { return f->meta[i].key; }
static wh_str weight_name(const wh_model_file *f, size_t i) { return f->weights[i].name; }
typedef wh_str (*name_of)(const wh_model_file *f, size_t i);

/* The slot that holds `name`, or the free one where it belongs; NULL when neither is near. Half of the slots
 * are free, so that cannot happen to names which were not made to collide. */
static wh_name_slot *index_slot(const wh_name_index *index, const wh_model_file *f, name_of name_at,
                                wh_str name, uint32_t hash) {
  size_t mask = index->n_slots - 1;
  for (size_t n = 0; n <= mask && n < PROBES_MAX; n++) {
    wh_name_slot *s = &index->slots[(hash + n) & mask];
    if (!s->position_plus_1) return s;
    if (s->hash == hash && wh_str_equal(name_at(f, s->position_plus_1 - 1), name)) return s;
  }
  return NULL;
}

static size_t index_find(const wh_name_index *index, const wh_model_file *f, name_of name_at,
                         const char *name) {
  if (!index->n_slots || !name) return 0;
  wh_str s = wh_str_from(name);
  const wh_name_slot *slot = index_slot(index, f, name_at, s, name_hash(s));
  return slot ? slot->position_plus_1 : 0;
}

/* Makes the table large enough for n names, keeping those it has. */
static bool index_reserve(wh_name_index *index, const wh_allocator *alloc, size_t n) {
  size_t want = 8, need;
  if (!wh_mul_size(n, 2, &need)) return false;
  while (want < need)
    if (!wh_mul_size(want, 2, &want)) return false;
  if (want <= index->n_slots) return true;
  wh_name_slot *slots = wh_alloc_array(alloc, want, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < index->n_slots; i++) {
    if (!index->slots[i].position_plus_1) continue;
    size_t j = index->slots[i].hash & (want - 1);
    while (slots[j].position_plus_1) j = (j + 1) & (want - 1);
    slots[j] = index->slots[i];
  }
  wh_free(alloc, index->slots);
  *index = (wh_name_index){slots, want};
  return true;
}

/* ---- names in messages ---- */

/* Length of the printable UTF-8 sequence at p, or 0. */
static size_t printable_length(const unsigned char *p, size_t n) {
  if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7f;
  size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4 || len > n) return 0;
  uint32_t c = p[0] & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
    c = c << 6 | (p[i] & 0x3f);
  }
  static const uint32_t smallest[5] = {0, 0, 0xa0, 0x800, 0x10000}; /* C1 controls are not printable either */
  bool bidi = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  return c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || bidi ? 0 : len;
}

wh_printable_text wh_printable(wh_str name) {
  wh_printable_text t;
  size_t used = 0, room = sizeof t.text - 4; /* "..." and the NUL */
  const unsigned char *p = (const unsigned char *)name.data;
  for (size_t i = 0; i < name.len;) {
    size_t len = printable_length(p + i, name.len - i), n = len ? len : 1;
    if (used + n > room) {
      memcpy(t.text + used, "...", 3);
      used += 3;
      break;
    }
    if (len)
      memcpy(t.text + used, p + i, len);
    else
      t.text[used] = '?';
    used += n;
    i += n;
  }
  t.text[used] = '\0';
  return t;
}

#define PATH_TAIL_BYTES 180
bool wh_path_is_long(const char *path) { return strlen(path) > PATH_TAIL_BYTES; }
const char *wh_path_tail(const char *path) {
  size_t n = strlen(path);
  return n > PATH_TAIL_BYTES ? path + n - PATH_TAIL_BYTES : path;
}

/* ---- life ---- */

wh_status wh_model_file_create(const char *path, const wh_allocator *alloc, wh_model_file **out) {
  wh_model_file *f = wh_alloc_zeroed(alloc, sizeof *f);
  if (!f) return WH_OOM("model file");
  f->alloc = alloc;
  f->path = wh_alloc_string(alloc, path, strlen(path));
  if (!f->path) {
    wh_free(alloc, f);
    return WH_OOM("model file");
  }
  *out = f;
  return WH_OK;
}

void wh_meta_value_free(const wh_allocator *alloc, wh_meta_value *value) {
  union { /* the arrays are const to everyone but their owner */
    const void *c;
    void *m;
  } p[3] = {{value->ints}, {value->floats}, {value->strings}};
  for (int i = 0; i < 3; i++) wh_free(alloc, p[i].m);
}

void wh_model_file_close(wh_model_file *f) {
  if (!f) return;
  const wh_allocator *alloc = f->alloc;
  for (size_t i = 0; i < f->n_meta; i++) wh_meta_value_free(alloc, &f->meta[i].value);
  for (size_t i = 0; i < f->n_parts; i++) wh_file_close(f->parts[i].file);
  wh_free(alloc, f->meta);
  wh_free(alloc, f->meta_index.slots);
  wh_free(alloc, f->weights);
  wh_free(alloc, f->weight_index.slots);
  wh_free(alloc, f->parts);
  wh_free(alloc, f->path);
  wh_free(alloc, f);
}

wh_status wh_model_file_add_part(wh_model_file *f, wh_model_part part) {
  if (!wh_grow_array(f->alloc, (void **)&f->parts, &f->parts_capacity, f->n_parts, f->n_parts + 1,
                     sizeof *f->parts))
    return WH_OOM("parts of the model");
  f->parts[f->n_parts++] = part;
  return WH_OK;
}

wh_status wh_model_file_reserve_meta(wh_model_file *f, size_t n) {
  if (!wh_grow_array(f->alloc, (void **)&f->meta, &f->meta_capacity, f->n_meta, n, sizeof *f->meta) ||
      !index_reserve(&f->meta_index, f->alloc, n))
    return WH_OOM("metadata table");
  return WH_OK;
}

wh_status wh_model_file_reserve_weights(wh_model_file *f, size_t n) {
  if (!wh_grow_array(f->alloc, (void **)&f->weights, &f->weights_capacity, f->n_weights, n,
                     sizeof *f->weights) ||
      !index_reserve(&f->weight_index, f->alloc, n))
    return WH_OOM("weight table");
  return WH_OK;
}

wh_status wh_model_file_add_meta(wh_model_file *f, wh_str key, const wh_meta_value *value) {
  uint32_t hash = name_hash(key);
  wh_name_slot *slot = index_slot(&f->meta_index, f, meta_name, key, hash);
  if (!slot)
    return WH_FAIL(ERR_LIMIT, "metadata '%s': the key's hash is that of too many others",
                   wh_printable(key).text);
  if (slot->position_plus_1)
    return WH_FAIL(ERR_CORRUPT, "metadata '%s': the key occurs twice", wh_printable(key).text);
  f->meta[f->n_meta] = (wh_meta_entry){key, *value};
  *slot = (wh_name_slot){hash, (uint32_t)++f->n_meta};
  return WH_OK;
}

wh_status wh_model_file_add_weight(wh_model_file *f, const wh_weight_view *weight) {
  uint32_t hash = name_hash(weight->name);
  wh_name_slot *slot = index_slot(&f->weight_index, f, weight_name, weight->name, hash);
  if (!slot)
    return WH_FAIL(ERR_LIMIT, "tensor '%s': the name's hash is that of too many others",
                   wh_printable(weight->name).text);
  if (slot->position_plus_1)
    return WH_FAIL(ERR_CORRUPT, "tensor '%s': the name occurs twice", wh_printable(weight->name).text);
  f->weights[f->n_weights] = *weight;
  *slot = (wh_name_slot){hash, (uint32_t)++f->n_weights};
  return WH_OK;
}

/* ---- what the file says ---- */

const char *wh_model_file_path(const wh_model_file *f) { return f->path; }
const char *wh_model_file_format(const wh_model_file *f) { return f->format; }

size_t wh_model_file_total_bytes(const wh_model_file *f) {
  size_t n = 0;
  for (size_t i = 0; i < f->n_parts; i++) n += f->parts[i].n_bytes; /* all mapped at once: cannot overflow */
  return n;
}

bool wh_model_file_stamp(const wh_model_file *f, wh_hash128 *out) {
  wh_hash128 stamp = {0, 0};
  for (size_t i = 0; i < f->n_parts; i++) {
    if (!f->parts[i].file || !wh_file_is_settled(f->parts[i].file)) return false;
    const struct {
      wh_hash128 before;
      wh_file_identity identity; /* both without padding */
    } link = {stamp, wh_file_get_identity(f->parts[i].file)};
    stamp = wh_hash_bytes(&link, sizeof link);
  }
  *out = stamp;
  return f->n_parts > 0;
}

size_t wh_model_file_n_meta(const wh_model_file *f) { return f->n_meta; }
const wh_meta_entry *wh_model_file_meta(const wh_model_file *f, size_t i) {
  return i < f->n_meta ? &f->meta[i] : NULL;
}
size_t wh_model_file_n_weights(const wh_model_file *f) { return f->n_weights; }
const wh_weight_view *wh_model_file_weight(const wh_model_file *f, size_t i) {
  return i < f->n_weights ? &f->weights[i] : NULL;
}

size_t wh_model_file_meta_index(const wh_model_file *f, const char *key) {
  size_t at = index_find(&f->meta_index, f, meta_name, key);
  return at ? at - 1 : f->n_meta;
}

size_t wh_model_file_weight_index(const wh_model_file *f, const char *name) {
  size_t at = index_find(&f->weight_index, f, weight_name, name);
  return at ? at - 1 : f->n_weights;
}

const wh_meta_value *wh_model_file_find_meta(const wh_model_file *f, const char *key) {
  size_t i = wh_model_file_meta_index(f, key);
  return i < f->n_meta ? &f->meta[i].value : NULL;
}

const wh_weight_view *wh_model_file_find_weight(const wh_model_file *f, const char *name) {
  size_t i = wh_model_file_weight_index(f, name);
  return i < f->n_weights ? &f->weights[i] : NULL;
}

static const char *kind_name(wh_meta_kind kind) {
  switch (kind) {
    case WH_META_INT:
      return "an integer";
    case WH_META_FLOAT:
      return "a float";
    case WH_META_BOOL:
      return "a bool";
    case WH_META_STRING:
      return "a string";
    case WH_META_ARRAY:
      return "an array";
    case WH_META_UINT:
      return "an integer beyond the range of int64";
  }
  return "of no known kind";
}

/* *out is NULL when the key is absent. */
static wh_status find_kind(const wh_model_file *f, const char *key, wh_meta_kind kind, bool required,
                           const wh_meta_value **out) {
  const wh_meta_value *v = wh_model_file_find_meta(f, key);
  if (!v && required)
    return WH_FAIL(ERR_CORRUPT, WH_PATH_FMT ": metadata '%s' is missing", WH_PATH_ARG(f->path), key);
  if (v && v->kind != kind)
    return WH_FAIL(ERR_CORRUPT, WH_PATH_FMT ": metadata '%s' is %s, want %s", WH_PATH_ARG(f->path), key,
                   kind_name(v->kind), kind_name(kind));
  *out = v;
  return WH_OK;
}

static wh_status int_in_range(const wh_model_file *f, const char *key, const wh_meta_value *v, int64_t min,
                              int64_t max, int64_t *out) {
  if (v->i < min || v->i > max)
    return WH_FAIL(ERR_CORRUPT, WH_PATH_FMT ": metadata '%s' is %" PRId64 ", want %" PRId64 " to %" PRId64,
                   WH_PATH_ARG(f->path), key, v->i, min, max);
  *out = v->i;
  return WH_OK;
}

wh_status wh_model_file_get_int(const wh_model_file *f, const char *key, int64_t min, int64_t max,
                                int64_t *out) {
  const wh_meta_value *v;
  WH_TRY(find_kind(f, key, WH_META_INT, true, &v));
  return int_in_range(f, key, v, min, max, out);
}

wh_status wh_model_file_get_int_or(const wh_model_file *f, const char *key, int64_t min, int64_t max,
                                   int64_t fallback, int64_t *out) {
  const wh_meta_value *v;
  WH_TRY(find_kind(f, key, WH_META_INT, false, &v));
  if (v) return int_in_range(f, key, v, min, max, out);
  *out = fallback;
  return WH_OK;
}

static wh_status finite_float(const wh_model_file *f, const char *key, const wh_meta_value *v, double *out) {
  if (!isfinite(v->f))
    return WH_FAIL(ERR_CORRUPT, WH_PATH_FMT ": metadata '%s' is %g, want a finite number",
                   WH_PATH_ARG(f->path), key, v->f);
  *out = v->f;
  return WH_OK;
}

wh_status wh_model_file_get_float(const wh_model_file *f, const char *key, double *out) {
  const wh_meta_value *v;
  WH_TRY(find_kind(f, key, WH_META_FLOAT, true, &v));
  return finite_float(f, key, v, out);
}

wh_status wh_model_file_get_bool_or(const wh_model_file *f, const char *key, bool fallback, bool *out) {
  const wh_meta_value *v;
  WH_TRY(find_kind(f, key, WH_META_BOOL, false, &v));
  *out = v ? v->i != 0 : fallback;
  return WH_OK;
}

wh_status wh_model_file_get_string(const wh_model_file *f, const char *key, wh_str *out) {
  const wh_meta_value *v;
  WH_TRY(find_kind(f, key, WH_META_STRING, true, &v));
  *out = v->s;
  return WH_OK;
}

wh_status wh_model_file_get_string_or(const wh_model_file *f, const char *key, const char *fallback,
                                      wh_str *out) {
  const wh_meta_value *v;
  WH_TRY(find_kind(f, key, WH_META_STRING, false, &v));
  *out = v ? v->s : wh_str_from(fallback);
  return WH_OK;
}

/* ---- residency ---- */

/* The mapped part that holds the weight, or NULL (bytes of the caller's). */
static const wh_model_part *part_of(const wh_model_file *f, const wh_weight_view *w, size_t *offset) {
  uintptr_t at = (uintptr_t)w->data;
  for (size_t i = 0; i < f->n_parts; i++) {
    const wh_model_part *p = &f->parts[i];
    uintptr_t begin = (uintptr_t)p->data;
    if (p->file && at >= begin && at - begin < p->n_bytes) {
      *offset = at - begin;
      return p;
    }
  }
  return NULL;
}

void wh_model_file_weight_dont_need(const wh_model_file *f, const wh_weight_view *w) {
  size_t offset;
  const wh_model_part *p = part_of(f, w, &offset);
  if (p) wh_file_dont_need(p->file, offset, w->n_bytes);
}
