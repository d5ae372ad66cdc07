/* known.c - data whose elements the host has. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/exact_math.h"
#include "import/onnx/importer.h"

/* To the nearest, ties to even; a NaN stays one. */
static uint16_t bf16_of(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  if (isnan(f)) return (uint16_t)(u >> 16 | 64u);
  return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

size_t ox_size_of(wh_dtype dtype) {
  const wh_dtype_info *t = wh_dtype_get(dtype);
  return t && t->block_elems == 1 ? t->block_bytes : 0;
}

bool ox_is_aligned(const wh_datum *d) {
  const size_t size = ox_size_of(d->dtype);
  return !d->data || !size || (uintptr_t)d->data % size == 0;
}

wh_datum *ox_copy(ox *o, const wh_datum *d) {
  wh_datum *c = ox_array(o, 1, sizeof *c);
  if (!c) return &o->nothing;
  *c = *d;
  return c;
}

bool ox_count(const int64_t *dims, int rank, size_t *n) {
  size_t all = 1;
  bool is_empty = false;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0 || dims[i] > WH_DIM_LIMIT) return false;
    if (dims[i] == 0)
      is_empty = true;
    else if (!wh_mul_size(all, (size_t)dims[i], &all) || all > (size_t)WH_DIM_LIMIT)
      return false;
  }
  *n = is_empty ? 0 : all;
  return true;
}

static wh_datum *blank(ox *o, wh_dtype dtype, int rank, const int64_t *dims) {
  wh_datum *d = ox_array(o, 1, sizeof *d);
  if (!d) return &o->nothing;
  d->kind = WH_DATUM_TENSOR;
  d->dtype = dtype;
  d->rank = rank;
  d->is_weight = true;
  if (rank > WH_MAX_RANK)
    OX_FAIL(o, ERR_LIMIT, "a value has rank %d, at most %d is computed", rank, WH_MAX_RANK);
  if (o->st == WH_OK && !ox_count(dims, rank, &d->n)) OX_FAIL(o, ERR_LIMIT, "a value has too many elements");
  for (int i = 0; i < rank && o->st == WH_OK; i++) d->dims[i] = dims[i];
  d->is_cheap = d->n <= 1024;
  return o->st == WH_OK ? d : &o->nothing;
}

wh_datum *ox_new(ox *o, wh_dtype dtype, int rank, const int64_t *dims) {
  wh_datum *d = blank(o, dtype, rank, dims);
  if (o->st != WH_OK) return d;
  if (!ox_size_of(dtype))
    OX_FAIL(o, ERR_UNSUPPORTED, "values of type %s are not computed on the host", wh_dtype_name(dtype));
  void *data = ox_array(o, d->n, ox_size_of(dtype));
  d->data = data;
  return data ? d : &o->nothing;
}

wh_datum *ox_new_strings(ox *o, int rank, const int64_t *dims) {
  wh_datum *d = blank(o, WH_DTYPE_STRING, rank, dims);
  if (o->st != WH_OK) return d;
  wh_str *s = ox_array(o, d->n, sizeof *s);
  for (size_t i = 0; s && i < d->n; i++) s[i] = (wh_str){"", 0};
  d->strings = s;
  return s ? d : &o->nothing;
}

wh_datum *ox_from(ox *o, wh_datum *d, wh_datum *const *operands, size_t n) {
  if (o->st != WH_OK) return &o->nothing;
  for (size_t i = 0; i < n; i++) {
    if (!operands[i]) continue;
    d->is_weight = d->is_weight && operands[i]->is_weight;
    d->depends |= operands[i]->depends;
  }
  return d;
}

wh_datum *ox_const_ints(ox *o, const int64_t *v, size_t n) {
  const int64_t dim = (int64_t)n;
  wh_datum *d = ox_new(o, WH_DTYPE_I64, 1, &dim);
  for (size_t i = 0; i < n && o->st == WH_OK; i++)
    ox_store_int(WH_DTYPE_I64, (void *)(uintptr_t)d->data, i, v[i]);
  return d;
}

wh_datum *ox_const_floats(ox *o, const float *v, size_t n) {
  const int64_t dim = (int64_t)n;
  wh_datum *d = ox_new(o, WH_DTYPE_F32, 1, &dim);
  for (size_t i = 0; i < n && o->st == WH_OK; i++)
    ox_store(WH_DTYPE_F32, (void *)(uintptr_t)d->data, i, v[i]);
  return d;
}

wh_datum *ox_scalar(ox *o, wh_dtype dtype, double v) {
  wh_datum *d = ox_new(o, dtype, 0, NULL);
  if (o->st == WH_OK) ox_store(dtype, (void *)(uintptr_t)d->data, 0, v);
  return d;
}

wh_datum *ox_sequence(ox *o, wh_dtype dtype, size_t n, wh_datum *const *items) {
  wh_datum *d = ox_array(o, 1, sizeof *d);
  wh_datum **copy = ox_array(o, n, sizeof *copy);
  if (!d || !copy) return &o->nothing;
  for (size_t i = 0; i < n; i++) copy[i] = items[i];
  d->kind = WH_DATUM_SEQUENCE;
  d->dtype = n ? items[0]->dtype : dtype;
  d->n_items = n;
  d->items = copy;
  return d;
}

/* ---- looking at elements ---- */

bool ox_is_known(const wh_datum *d) { return d->data || d->strings || d->kind == WH_DATUM_TENSOR; }

static void align(ox *o, wh_datum *d) {
  void *copy = ox_array(o, d->n, ox_size_of(d->dtype));
  if (!copy) return;
  memcpy(copy, d->data, d->n * ox_size_of(d->dtype));
  d->data = copy;
  d->is_kept = false;
}

void ox_need(ox *o, wh_datum *d) {
  if (o->st != WH_OK) return;
  if (d->kind == WH_DATUM_BUILT && !d->data) ox_end_stage(o);
  if (o->st == WH_OK && d->kind == WH_DATUM_BUILT && !d->data)
    OX_FAIL(o, ERR_INTERNAL, "a stage lost a value");
  if (!ox_is_aligned(d)) align(o, d);
  o->looked |= d->depends;
}

static const void *elements(ox *o, wh_datum *d) {
  ox_need(o, d);
  if (o->st == WH_OK && d->dtype == WH_DTYPE_STRING) OX_FAIL(o, ERR_CORRUPT, "strings are no numbers");
  return o->st == WH_OK ? d->data : NULL;
}

const void *ox_data(ox *o, wh_datum *d) {
  if (ox_has_open_elements(o, d)) OX_FAIL(o, ERR_UNSUPPORTED, "it decides by elements that are open");
  return elements(o, d);
}

double ox_element(const wh_datum *d, size_t i) {
  switch (d->dtype) {
    case WH_DTYPE_F32:
      return ((const float *)d->data)[i];
    case WH_DTYPE_F64:
      return ((const double *)d->data)[i];
    case WH_DTYPE_F16:
      return wh_f32_from_f16(((const uint16_t *)d->data)[i]);
    case WH_DTYPE_BF16:
      return wh_f32_from_bf16(((const uint16_t *)d->data)[i]);
    case WH_DTYPE_U64:
      return (double)((const uint64_t *)d->data)[i];
    default:
      return (double)ox_element_int(d, i);
  }
}

int64_t ox_element_int(const wh_datum *d, size_t i) {
  switch (d->dtype) {
    case WH_DTYPE_I64:
      return ((const int64_t *)d->data)[i];
    case WH_DTYPE_U64:
      return (int64_t)((const uint64_t *)d->data)[i];
    case WH_DTYPE_I32:
      return ((const int32_t *)d->data)[i];
    case WH_DTYPE_U32:
      return ((const uint32_t *)d->data)[i];
    case WH_DTYPE_I16:
      return ((const int16_t *)d->data)[i];
    case WH_DTYPE_U16:
      return ((const uint16_t *)d->data)[i];
    case WH_DTYPE_I8:
      return ((const int8_t *)d->data)[i];
    case WH_DTYPE_U8:
    case WH_DTYPE_BOOL:
      return ((const uint8_t *)d->data)[i];
    case WH_DTYPE_F32:
    case WH_DTYPE_F64:
    case WH_DTYPE_F16:
    case WH_DTYPE_BF16: {
      const double v = ox_element(d, i);
      return v >= -9.2e18 && v <= 9.2e18 ? (int64_t)v : 0;
    }
    default:
      return 0;
  }
}

void ox_store_int(wh_dtype dtype, void *data, size_t i, int64_t v) {
  switch (dtype) {
    case WH_DTYPE_I64:
    case WH_DTYPE_U64:
      ((int64_t *)data)[i] = v;
      break;
    case WH_DTYPE_I32:
    case WH_DTYPE_U32:
      ((uint32_t *)data)[i] = (uint32_t)(uint64_t)v;
      break;
    case WH_DTYPE_I16:
    case WH_DTYPE_U16:
      ((uint16_t *)data)[i] = (uint16_t)(uint64_t)v;
      break;
    case WH_DTYPE_I8:
    case WH_DTYPE_U8:
      ((uint8_t *)data)[i] = (uint8_t)(uint64_t)v;
      break;
    case WH_DTYPE_BOOL:
      ((uint8_t *)data)[i] = v != 0;
      break;
    case WH_DTYPE_F32:
    case WH_DTYPE_F64:
    case WH_DTYPE_F16:
    case WH_DTYPE_BF16:
      ox_store(dtype, data, i, (double)v);
      break;
    default: /* zeros, as they are made, stay */
      break;
  }
}

void ox_store(wh_dtype dtype, void *data, size_t i, double v) {
  switch (dtype) {
    case WH_DTYPE_F32:
      ((float *)data)[i] = (float)v;
      break;
    case WH_DTYPE_F64:
      ((double *)data)[i] = v;
      break;
    case WH_DTYPE_F16:
      ((uint16_t *)data)[i] = wh_f16_from_f32((float)v);
      break;
    case WH_DTYPE_BF16:
      ((uint16_t *)data)[i] = bf16_of((float)v);
      break;
    case WH_DTYPE_BOOL:
      ((uint8_t *)data)[i] = v != 0.0;
      break;
    default:
      ox_store_int(dtype, data, i, v >= -9.2e18 && v <= 9.2e18 ? (int64_t)v : 0);
  }
}

bool ox_is_size(ox *o, int64_t v, const char *whose) {
  if (v >= -WH_DIM_LIMIT && v <= WH_DIM_LIMIT) return true;
  OX_FAIL(o, ERR_LIMIT, "%s has the number %" PRId64 ", beyond all sizes that are computed", whose, v);
  return false;
}

const int64_t *ox_open_longs(ox *o, wh_datum *d) {
  if (!elements(o, d)) return NULL;
  int64_t *v = ox_array(o, d->n, sizeof *v);
  for (size_t i = 0; v && i < d->n; i++) v[i] = ox_element_int(d, i);
  return v;
}

const int64_t *ox_longs(ox *o, wh_datum *d) { return ox_data(o, d) ? ox_open_longs(o, d) : NULL; }

const int64_t *ox_ints(ox *o, wh_datum *d) { return ox_data(o, d) ? ox_dims(o, d) : NULL; }

const int64_t *ox_dims(ox *o, wh_datum *d) {
  const int64_t *v = ox_open_longs(o, d);
  for (size_t i = 0; v && i < d->n; i++)
    if (!ox_is_size(o, v[i], "an input")) return NULL;
  return v;
}

const double *ox_doubles(ox *o, wh_datum *d) {
  if (!ox_data(o, d)) return NULL;
  double *v = ox_array(o, d->n, sizeof *v);
  for (size_t i = 0; v && i < d->n; i++) v[i] = ox_element(d, i);
  return v;
}

static bool is_one(ox *o, const wh_datum *d) {
  if (d->n != 1) OX_FAIL(o, ERR_CORRUPT, "a number is wanted and there are %zu", d->n);
  return o->st == WH_OK;
}

int64_t ox_open_long(ox *o, wh_datum *d) {
  if (!elements(o, d) || !is_one(o, d)) return 0;
  return ox_element_int(d, 0);
}

int64_t ox_long(ox *o, wh_datum *d) { return ox_data(o, d) ? ox_open_long(o, d) : 0; }

int64_t ox_int(ox *o, wh_datum *d) {
  const int64_t v = ox_long(o, d);
  return ox_is_size(o, v, "an input") ? v : 0;
}

double ox_double(ox *o, wh_datum *d) {
  if (!ox_data(o, d) || !is_one(o, d)) return 0;
  return ox_element(d, 0);
}
