/* npy.c - see npy.h. The header is a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 */
#include "formats/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6

static const struct {
  const char *descr;
  wh_dtype dtype;
} descrs[] = {{"<f4", WH_DTYPE_F32},       {"<f8", WH_DTYPE_F64},        {"<f2", WH_DTYPE_F16},
              {"<i8", WH_DTYPE_I64},       {"<i4", WH_DTYPE_I32},        {"<i2", WH_DTYPE_I16},
              {"|i1", WH_DTYPE_I8},        {"<u8", WH_DTYPE_U64},        {"<u4", WH_DTYPE_U32},
              {"<u2", WH_DTYPE_U16},       {"|u1", WH_DTYPE_U8},         {"|b1", WH_DTYPE_BOOL},
              {"<c8", WH_DTYPE_C64},       {"<c16", WH_DTYPE_C128},      {"<u2", WH_DTYPE_BF16},
              {"|u1", WH_DTYPE_F8E4M3FN},  {"|u1", WH_DTYPE_F8E4M3FNUZ}, {"|u1", WH_DTYPE_F8E5M2},
              {"|u1", WH_DTYPE_F8E5M2FNUZ}};
#define N_DESCRS (sizeof descrs / sizeof descrs[0])

/* A cursor over the header's text. */
typedef struct text {
  const char *at, *end;
} text;

static void skip_space(text *t) {
  while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t')) t->at++;
}

static bool take(text *t, const char *s) {
  skip_space(t);
  const size_t n = strlen(s);
  if ((size_t)(t->end - t->at) < n || memcmp(t->at, s, n) != 0) return false;
  t->at += n;
  return true;
}

/* 'word' or "word" into out[16] */
static bool take_string(text *t, char out[16]) {
  skip_space(t);
  if (t->at == t->end || (*t->at != '\'' && *t->at != '"')) return false;
  const char quote = *t->at++;
  size_t n = 0;
  while (t->at < t->end && *t->at != quote && n < 15) out[n++] = *t->at++;
  out[n] = '\0';
  return t->at < t->end && *t->at++ == quote;
}

static bool take_shape(text *t, wh_npy *out) {
  if (!take(t, "(")) return false;
  while (!take(t, ")")) {
    int64_t v = 0;
    skip_space(t);
    if (t->at == t->end || *t->at < '0' || *t->at > '9' || out->rank == WH_MAX_RANK) return false;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
      if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *t->at - '0', &v)) return false;
    out->dims[out->rank++] = v;
    if (!take(t, ",") && !(take(t, ")") && t->at--)) return false;
  }
  return true;
}

static wh_status read_header(const char *name, text *t, wh_npy *out) {
  char key[16], descr[16] = "";
  bool has_shape = false;
  if (!take(t, "{")) return WH_FAIL(ERR_CORRUPT, "%.200s: its .npy header is no dict", name);
  while (!take(t, "}")) {
    bool good = take_string(t, key) && take(t, ":");
    if (good && strcmp(key, "descr") == 0) {
      good = take_string(t, descr);
    } else if (good && strcmp(key, "fortran_order") == 0) {
      if (take(t, "True"))
        return WH_FAIL(ERR_UNSUPPORTED,
                       "%.200s: its array is in Fortran order: save numpy.ascontiguousarray(x)", name);
      good = take(t, "False");
    } else if (good && strcmp(key, "shape") == 0) {
      good = has_shape = take_shape(t, out);
    } else {
      good = false;
    }
    if (!good)
      return WH_FAIL(ERR_CORRUPT, "%.200s: its .npy header cannot be read, or has more than %d dimensions",
                     name, WH_MAX_RANK);
    (void)take(t, ",");
  }
  if (!has_shape || !descr[0])
    return WH_FAIL(ERR_CORRUPT, "%.200s: its .npy header lacks descr or shape", name);
  for (size_t i = 0; i < N_DESCRS; i++)
    if (strcmp(descrs[i].descr, descr) == 0) {
      out->dtype = descrs[i].dtype;
      return WH_OK;
    }
  return WH_FAIL(ERR_UNSUPPORTED,
                 "%.200s: its element type '%s' is not read: save little-endian numbers or booleans", name,
                 descr);
}

wh_status wh_npy_read(const char *name, const void *bytes, size_t n, wh_npy *out) {
  const uint8_t *p = bytes;
  wh_npy a = {.rank = 0};
  if (n < 10 || memcmp(p, MAGIC, MAGIC_BYTES) != 0)
    return WH_FAIL(ERR_CORRUPT, "%.200s is no .npy file", name);
  if (p[6] < 1 || p[6] > 3)
    return WH_FAIL(ERR_UNSUPPORTED, "%.200s is of .npy version %u", name, (unsigned)p[6]);
  const size_t begin = p[6] == 1 ? 10 : 12;
  if (n < begin) return WH_FAIL(ERR_CORRUPT, "%.200s ends within its .npy header", name);
  size_t length = p[8] | (size_t)p[9] << 8;
  if (begin == 12) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
  if (n - begin < length) return WH_FAIL(ERR_CORRUPT, "%.200s ends within its .npy header", name);
  text t = {(const char *)p + begin, (const char *)p + begin + length};
  WH_TRY(read_header(name, &t, &a));
  size_t count = 1;
  bool fits = true;
  for (int i = 0; i < a.rank; i++) fits = fits && wh_mul_size(count, (size_t)a.dims[i], &count);
  if (!fits || !wh_dtype_row_bytes(a.dtype, count, &a.n_bytes) || n - begin - length != a.n_bytes)
    return WH_FAIL(ERR_CORRUPT, "%.200s has %zu bytes of elements, which is not what its shape says", name,
                   n - begin - length);
  for (size_t i = 0; a.dtype == WH_DTYPE_BOOL && i < count; i++)
    if (p[begin + length + i] > 1) return WH_FAIL(ERR_CORRUPT, "%.200s: element %zu is no boolean", name, i);
  a.data = p + begin + length;
  *out = a;
  return WH_OK;
}

wh_status wh_npy_header(wh_dtype dtype, int rank, const int64_t *dims, char header[WH_NPY_HEADER_BYTES],
                        size_t *n) {
  const char *descr = NULL;
  for (size_t i = 0; i < N_DESCRS && !descr; i++)
    if (descrs[i].dtype == dtype) descr = descrs[i].descr;
  if (!descr) return WH_FAIL(ERR_UNSUPPORTED, "a .npy file has no type for %s", wh_dtype_name(dtype));
  char *at = header + 10;
  const char *end = header + WH_NPY_HEADER_BYTES;
  at += snprintf(at, (size_t)(end - at), "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int i = 0; i < rank; i++)
    at += snprintf(at, (size_t)(end - at), "%" PRId64 "%s", dims[i],
                   i + 1 < rank ? ", "
                   : rank == 1  ? ","
                                : "");
  at += snprintf(at, (size_t)(end - at), "), }");
  while ((at - header) % 64 != 63) *at++ = ' ';
  *at++ = '\n';
  const size_t length = (size_t)(at - header) - 10;
  memcpy(header, MAGIC "\x01\x00", 8);
  header[8] = (char)(length & 255);
  header[9] = (char)(length >> 8);
  *n = (size_t)(at - header);
  return WH_OK;
}
