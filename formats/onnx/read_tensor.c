/* read_tensor.c - TensorProto and SparseTensorProto. */
#include <inttypes.h>
#include <string.h>

#include "formats/onnx/onnx_internal.h"

/* Field numbers. */
enum { DIMS = 1, DATA_TYPE, SEGMENT, FLOATS, INT32S, STRINGS, INT64S, NAME, RAW, DOUBLES, UINT64S };
enum { EXTERNAL = 13, LOCATION };

/* By the file format's number; `field` is where elements lie that are not raw. */
typedef struct onnx_type {
  wh_dtype dtype;
  uint32_t field;
} onnx_type;
static const onnx_type types[] = {
    [1] = {WH_DTYPE_F32, FLOATS},       [2] = {WH_DTYPE_U8, INT32S},
    [3] = {WH_DTYPE_I8, INT32S},        [4] = {WH_DTYPE_U16, INT32S},
    [5] = {WH_DTYPE_I16, INT32S},       [6] = {WH_DTYPE_I32, INT32S},
    [7] = {WH_DTYPE_I64, INT64S},       [8] = {WH_DTYPE_STRING, STRINGS},
    [9] = {WH_DTYPE_BOOL, INT32S},      [10] = {WH_DTYPE_F16, INT32S},
    [11] = {WH_DTYPE_F64, DOUBLES},     [12] = {WH_DTYPE_U32, UINT64S},
    [13] = {WH_DTYPE_U64, UINT64S},     [14] = {WH_DTYPE_C64, FLOATS},
    [15] = {WH_DTYPE_C128, DOUBLES},    [16] = {WH_DTYPE_BF16, INT32S},
    [17] = {WH_DTYPE_F8E4M3FN, INT32S}, [18] = {WH_DTYPE_F8E4M3FNUZ, INT32S},
    [19] = {WH_DTYPE_F8E5M2, INT32S},   [20] = {WH_DTYPE_F8E5M2FNUZ, INT32S},
    [21] = {WH_DTYPE_U4, INT32S},       [22] = {WH_DTYPE_I4, INT32S},
    [23] = {WH_DTYPE_F4E2M1, INT32S},   [24] = {WH_DTYPE_F8E8M0, INT32S},
    [25] = {WH_DTYPE_U2, INT32S},       [26] = {WH_DTYPE_I2, INT32S},
};
#define N_TYPES (sizeof types / sizeof types[0])

wh_dtype wh_onnx_dtype(uint64_t number) {
  return number < N_TYPES && types[number].field ? types[number].dtype : WH_DTYPE_FORCE_32;
}

uint64_t wh_onnx_type_number(wh_dtype dtype) {
  for (uint64_t i = 0; i < N_TYPES; i++)
    if (types[i].field && types[i].dtype == dtype) return i;
  return 0;
}

/* One value of a typed field, or the many of a packed one. */
static size_t count_values(const wh_wire_field *f, unsigned fixed_bytes) {
  if (f->type != WH_WIRE_BYTES) return 1;
  if (fixed_bytes) return f->bytes.len / fixed_bytes;
  size_t n = 0;
  for (size_t i = 0; i < f->bytes.len; i++) n += (uint8_t)f->bytes.data[i] < 128;
  return n;
}

static bool take_values(const wh_wire_field *f, unsigned fixed_bytes, uint64_t *out) {
  if (f->type != WH_WIRE_BYTES) {
    *out = f->bits;
    return true;
  }
  if (fixed_bytes) {
    for (size_t i = 0; i + fixed_bytes <= f->bytes.len; i += fixed_bytes, out++) {
      *out = 0;
      for (unsigned b = 0; b < fixed_bytes; b++) *out |= (uint64_t)(uint8_t)f->bytes.data[i + b] << 8 * b;
    }
    return f->bytes.len % fixed_bytes == 0;
  }
  wh_wire w = wh_wire_of(f->bytes);
  while (w.at < w.end)
    if (!wh_wire_varint(&w, out++)) return false;
  return true;
}

/* Words of the field `number`, which may come in several pieces. */
static wh_status read_words(wh_onnx_reader *r, wh_str bytes, uint32_t number, const uint64_t **out,
                            size_t *n) {
  const unsigned fixed_bytes = number == FLOATS ? 4 : number == DOUBLES ? 8 : 0;
  wh_wire_field f;
  uint64_t *words = NULL;
  for (int pass = 0; pass < 2; pass++) {
    size_t count = 0;
    bool more;
    wh_wire w = wh_wire_of(bytes);
    for (;;) {
      WH_TRY(wh_wire_next(&w, &f, &more));
      if (!more) break;
      if (f.number != number) continue;
      if (pass && !take_values(&f, fixed_bytes, words + count))
        return WH_FAIL(ERR_CORRUPT, "a list of elements ends within one");
      count += count_values(&f, fixed_bytes);
    }
    if (!pass) WH_TRY(wh_onnx_array(r, count, sizeof *words, &words));
    *n = count;
  }
  *out = words;
  return WH_OK;
}

static wh_status read_dims(wh_onnx_reader *r, wh_str bytes, uint32_t number, int *rank, int64_t *dims) {
  const uint64_t *words;
  size_t n;
  WH_TRY(read_words(r, bytes, number, &words, &n));
  if (n > WH_MAX_RANK)
    return WH_FAIL(ERR_LIMIT, "it has %zu dimensions, at most %d are read", n, WH_MAX_RANK);
  for (size_t i = 0; i < n; i++) {
    if (words[i] > INT64_MAX) return WH_FAIL(ERR_CORRUPT, "dimension %zu is negative", i);
    dims[i] = (int64_t)words[i];
  }
  *rank = (int)n;
  return WH_OK;
}

/* Elements, and bytes in row-major form. */
static wh_status size_tensor(wh_onnx_tensor *t) {
  size_t n = 1;
  for (int i = 0; i < t->rank; i++)
    if (t->dims[i] == 0) n = 0;
  for (int i = 0; i < t->rank && n; i++)
    if (!wh_mul_size(n, (size_t)t->dims[i], &n)) return WH_FAIL(ERR_CORRUPT, "its size overflows");
  t->n_elements = n;
  if (t->dtype == WH_DTYPE_STRING) return WH_OK;
  if (!wh_dtype_row_bytes(t->dtype, n, &t->n_bytes)) /* parts of a byte: one run of them */
    return WH_FAIL(ERR_CORRUPT, "its size overflows");
  return WH_OK;
}

typedef struct tensor_fields {
  wh_str raw;
  bool has_raw, is_external;
  size_t n_strings, n_entries;
  uint64_t type;
} tensor_fields;

static wh_status scan(wh_str bytes, wh_onnx_tensor *t, tensor_fields *s) {
  wh_wire w = wh_wire_of(bytes);
  wh_wire_field f;
  for (bool more;;) {
    WH_TRY(wh_wire_next(&w, &f, &more));
    if (!more) return WH_OK;
    if (f.number == DATA_TYPE) s->type = f.bits;
    if (f.number == NAME) t->name = f.bytes;
    if (f.number == STRINGS) s->n_strings++;
    if (f.number == EXTERNAL) s->n_entries++;
    if (f.number == LOCATION) s->is_external = f.bits == 1;
    if (f.number == SEGMENT) return WH_FAIL(ERR_UNSUPPORTED, "it comes in segments");
    if (f.number == RAW && f.type == WH_WIRE_BYTES) {
      s->raw = f.bytes;
      s->has_raw = true;
    }
  }
}

static wh_status read_strings(wh_onnx_reader *r, wh_str bytes, wh_onnx_tensor *t, size_t n) {
  wh_wire w = wh_wire_of(bytes);
  wh_wire_field f;
  wh_str *strings;
  size_t i = 0;
  if (n != t->n_elements)
    return WH_FAIL(ERR_CORRUPT, "it has %zu strings where its shape wants %zu", n, t->n_elements);
  WH_TRY(wh_onnx_array(r, n, sizeof *strings, &strings));
  for (bool more;;) {
    WH_TRY(wh_wire_next(&w, &f, &more));
    if (!more) break;
    if (f.number == STRINGS) strings[i++] = f.bytes;
  }
  t->strings = strings;
  return WH_OK;
}

static wh_status read_entries(wh_onnx_reader *r, wh_str bytes, wh_onnx_tensor *t, size_t n) {
  wh_wire w = wh_wire_of(bytes);
  wh_wire_field f;
  wh_onnx_meta *entries;
  size_t i = 0;
  WH_TRY(wh_onnx_array(r, n, sizeof *entries, &entries));
  for (bool more;;) {
    WH_TRY(wh_wire_next(&w, &f, &more));
    if (!more) break;
    if (f.number == EXTERNAL) WH_TRY(wh_onnx_read_entry(f.bytes, &entries[i++]));
  }
  return wh_onnx_read_external(r, entries, n, t->n_bytes, &t->raw);
}

static wh_status read_tensor(wh_onnx_reader *r, wh_str bytes, wh_onnx_tensor *t) {
  tensor_fields s = {.has_raw = false};
  WH_TRY(scan(bytes, t, &s));
  t->dtype = wh_onnx_dtype(s.type);
  if (t->dtype == WH_DTYPE_FORCE_32)
    return WH_FAIL(ERR_UNSUPPORTED, "its data type, number %" PRIu64 ", is not known", s.type);
  WH_TRY(read_dims(r, bytes, DIMS, &t->rank, t->dims));
  WH_TRY(size_tensor(t));
  if (t->dtype == WH_DTYPE_STRING) return read_strings(r, bytes, t, s.n_strings);
  if (s.is_external) return read_entries(r, bytes, t, s.n_entries);
  if (s.has_raw) {
    t->raw = s.raw;
    if (t->raw.len != t->n_bytes)
      return WH_FAIL(ERR_CORRUPT, "it has %zu bytes where its shape wants %zu", t->raw.len, t->n_bytes);
    return WH_OK;
  }
  WH_TRY(read_words(r, bytes, types[s.type].field, &t->words, &t->n_words));
  size_t want = t->n_elements;
  if (t->dtype == WH_DTYPE_C64 || t->dtype == WH_DTYPE_C128) want *= 2;
  if (wh_dtype_get(t->dtype)->block_elems > 1) want = t->n_bytes;
  if (t->n_words != want)
    return WH_FAIL(ERR_CORRUPT, "it has %zu elements where its shape wants %zu", t->n_words, want);
  return WH_OK;
}

wh_status wh_onnx_read_tensor(wh_onnx_reader *r, wh_str bytes, wh_onnx_tensor *out) {
  wh_onnx_tensor t = {.name = {"", 0}};
  wh_status st = read_tensor(r, bytes, &t);
  if (st != WH_OK) return wh_fail_prefix("tensor '" WH_STR_FMT "'", WH_STR_ARG(t.name));
  *out = t;
  return WH_OK;
}

wh_status wh_onnx_read_sparse(wh_onnx_reader *r, wh_str bytes, wh_onnx_sparse *out) {
  wh_onnx_sparse s = {.rank = 0};
  wh_wire w = wh_wire_of(bytes);
  wh_wire_field f;
  for (bool more;;) {
    WH_TRY(wh_wire_next(&w, &f, &more));
    if (!more) break;
    if (f.number == 1) WH_TRY(wh_onnx_read_tensor(r, f.bytes, &s.values));
    if (f.number == 2) WH_TRY(wh_onnx_read_tensor(r, f.bytes, &s.indices));
  }
  WH_TRY(read_dims(r, bytes, 3, &s.rank, s.dims));
  if (s.indices.dtype != WH_DTYPE_I64 && s.values.n_elements)
    return WH_FAIL(ERR_CORRUPT, "sparse tensor '" WH_STR_FMT "': its indices are no int64",
                   WH_STR_ARG(s.values.name));
  *out = s;
  return WH_OK;
}

void wh_onnx_tensor_read(const wh_onnx_tensor *t, void *dst) {
  if (!t->words) {
    if (t->n_bytes) memcpy(dst, t->raw.data, t->n_bytes);
    return;
  }
  const size_t size = t->n_words ? t->n_bytes / t->n_words : 0;
  uint8_t *to = dst;
  for (size_t i = 0; i < t->n_words; i++, to += size)
    memcpy(to, &t->words[i], size); /* little-endian: the low bytes come first */
}
