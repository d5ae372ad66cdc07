/* gguf_split.c - models that come as NAME-00001-of-0000N.gguf ...: finds, checks and joins the parts.
 *
 * The first part's metadata is the model's; the others contribute weights. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/gguf_internal.h"
#include "formats/limits.h"

typedef struct gguf_split {
  int64_t no, count; /* counted from 0; 1 when the file is not split */
  int64_t n_tensors; /* of all parts, -1 when the file does not say */
} gguf_split;

static wh_status read_split(const wh_model_file *f, gguf_split *out) {
  gguf_split s;
  /* 0 is what some writers leave in a file that is not split */
  WH_TRY(wh_model_file_get_int_or(f, "split.count", 0, WH_LIMIT_PARTS, 1, &s.count));
  if (s.count == 0) s.count = 1;
  WH_TRY(wh_model_file_get_int_or(f, "split.no", 0, s.count - 1, 0, &s.no));
  WH_TRY(wh_model_file_get_int_or(f, "split.tensors.count", 0, WH_LIMIT_WEIGHTS, -1, &s.n_tensors));
  *out = s;
  return WH_OK;
}

#define SUFFIX_BYTES 20 /* -00001-of-00003.gguf */

static void write_suffix(char *out, int64_t no, int64_t count) {
  char text[64];
  (void)snprintf(text, sizeof text, "-%05" PRId64 "-of-%05" PRId64 ".gguf", no + 1, count);
  memcpy(out, text, SUFFIX_BYTES); /* both numbers are at most WH_LIMIT_PARTS: five digits */
}

/* Moves the weights and the mapping of `part` to the end of f's. */
static wh_status adopt(wh_model_file *f, wh_model_file *part, int64_t no) {
  WH_TRY(wh_model_file_reserve_weights(f, f->n_weights + part->n_weights));
  for (size_t i = 0; i < part->n_weights; i++)
    if (wh_model_file_add_weight(f, &part->weights[i]) != WH_OK)
      return WH_FAIL(ERR_CORRUPT, WH_PATH_FMT ": tensor '%s' is in part %" PRId64 " and in a part before it",
                     WH_PATH_ARG(part->path), wh_printable(part->weights[i].name).text, no + 1);
  WH_TRY(wh_model_file_add_part(f, part->parts[0]));
  part->parts[0].file = NULL;
  return WH_OK;
}

static wh_status open_part(const char *path, const gguf_split *whole, int64_t no, const wh_allocator *alloc,
                           wh_model_file **out) {
  wh_model_file *f;
  gguf_split s = {0};
  wh_status status = wh_model_file_open_one(path, alloc, &f);
  if (status == WH_ERR_NOT_FOUND)
    return WH_FAIL(ERR_NOT_FOUND,
                   WH_PATH_FMT ": part %" PRId64 " of %" PRId64
                               " of the model is missing: put all parts in one folder",
                   WH_PATH_ARG(path), no + 1, whole->count);
  WH_TRY(status);
  status = read_split(f, &s);
  if (status == WH_OK && (s.no != no || s.count != whole->count))
    status = WH_FAIL(ERR_CORRUPT,
                     WH_PATH_FMT ": the name says part %" PRId64 " of %" PRId64
                                 ", its metadata says part %" PRId64 " of %" PRId64,
                     WH_PATH_ARG(path), no + 1, whole->count, s.no + 1, s.count);
  if (status == WH_OK && s.n_tensors != whole->n_tensors)
    status = WH_FAIL(ERR_CORRUPT,
                     WH_PATH_FMT ": metadata 'split.tensors.count' is %" PRId64 ", in another part %" PRId64
                                 ": the parts are not of one model",
                     WH_PATH_ARG(path), s.n_tensors, whole->n_tensors);
  if (status != WH_OK) {
    wh_model_file_close(f);
    return status;
  }
  *out = f;
  return WH_OK;
}

/* `path` is a buffer that ends in the suffix; *first becomes the joined model. */
static wh_status join(char *path, const gguf_split *whole, const wh_allocator *alloc, wh_model_file **first) {
  char *suffix = path + strlen(path) - SUFFIX_BYTES;
  wh_model_file *f = NULL;
  wh_status status = WH_OK;
  for (int64_t no = 0; no < whole->count && status == WH_OK; no++) {
    wh_model_file *part = NULL;
    write_suffix(suffix, no, whole->count);
    status = open_part(path, whole, no, alloc, &part);
    if (status != WH_OK) break;
    if (no == 0) {
      f = part;
    } else {
      status = adopt(f, part, no);
      wh_model_file_close(part);
    }
    if (status == WH_OK && f->n_weights > WH_LIMIT_WEIGHTS)
      status = WH_FAIL(ERR_LIMIT, WH_PATH_FMT ": more than %d tensors in all parts", WH_PATH_ARG(path),
                       WH_LIMIT_WEIGHTS);
  }
  if (status == WH_OK && whole->n_tensors >= 0 && (uint64_t)whole->n_tensors != f->n_weights)
    status =
        WH_FAIL(ERR_CORRUPT,
                WH_PATH_FMT ": metadata 'split.tensors.count' is %" PRId64 ", but the parts hold %zu tensors",
                WH_PATH_ARG(f->path), whole->n_tensors, f->n_weights);
  if (status != WH_OK) {
    wh_model_file_close(f);
    return status;
  }
  *first = f;
  return WH_OK;
}

wh_status wh_gguf_join_parts(wh_model_file **f) {
  gguf_split whole;
  const char *path = (*f)->path;
  const wh_allocator *alloc = (*f)->alloc;
  WH_TRY(read_split(*f, &whole));
  if (whole.count == 1) return WH_OK;
  if (!(*f)->parts[0].file)
    return WH_FAIL(ERR_UNSUPPORTED,
                   WH_PATH_FMT ": part %" PRId64 " of %" PRId64
                               " of a split model can only be opened by its path",
                   WH_PATH_ARG(path), whole.no + 1, whole.count);
  char suffix[SUFFIX_BYTES + 1] = {0};
  size_t len = strlen(path);
  write_suffix(suffix, whole.no, whole.count);
  if (len < SUFFIX_BYTES || memcmp(path + len - SUFFIX_BYTES, suffix, SUFFIX_BYTES) != 0)
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   WH_PATH_FMT
                   ": part %" PRId64 " of %" PRId64
                   " of a split model must be named NAME%s, so that the others can be found: rename it",
                   WH_PATH_ARG(path), whole.no + 1, whole.count, suffix);
  char *buffer = wh_alloc_string(alloc, path, len);
  if (!buffer) return WH_OOM("file name");
  wh_model_file *joined = NULL;
  wh_status status = join(buffer, &whole, alloc, &joined);
  wh_free(alloc, buffer);
  if (status == WH_OK) {
    wh_model_file_close(*f);
    *f = joined;
  }
  return status;
}
