/* pack_cache.c - the cache's two kinds of files. A header says what the library would have written; the only
 * things that a reader takes from the disk are hashes and data. */
#include "core/plan/pack_cache.h"

#include <stdatomic.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text_buffer.h"
#include "whimbrel/whimbrel.h"

#define FORMAT_VERSION 1u
#define PIECE_BYTES ((size_t)4 << 20)  /* what one thread hashes at a time */
#define WRITE_BYTES ((size_t)16 << 20) /* what is written between two reports */
#define DATA_ALIGN ((size_t)4096)

/* Both headers are written as they lie in memory; byte_order keeps other machines' files out. */
typedef struct cache_header {
  char magic[8];
  uint32_t byte_order, format_version, pack_version, n_weights;
  uint64_t file_bytes, data_offset, data_bytes, piece_bytes;
  wh_hash128 layouts; /* the backend's name, the weights' names, shapes, layouts and places */
  wh_hash128 content; /* of the weights as the model file has them */
  wh_hash128 pieces;  /* of the table of the pieces' hashes, which follows the header */
} cache_header;

typedef struct stamp_file {
  char magic[8];
  uint32_t byte_order, format_version;
  wh_hash128 key, content, check; /* check: of all before it */
} stamp_file;

_Static_assert(sizeof(cache_header) == 104 && sizeof(stamp_file) == 64, "no padding: both are hashed");

static const char cache_magic[8] = "WHPACK\r\n", stamp_magic[8] = "WHSTMP\r\n";
#define BYTE_ORDER_MARK 0x01020304u

struct wh_pack_cache {
  const wh_allocator *alloc;
  const wh_backend *backend;
  void *device;
  wh_log log; /* without a function: silent */
  wh_progress_sink progress;
  char *folder;
  cache_header header;  /* all but `pieces` */
  wh_hash128 stamp;     /* key of the stamp file */
  wh_hash128 from_file; /* content of the weights that the stamp speaks of */
  bool has_stamp, hashed_model;
  wh_file *file; /* once found; its data may be damaged */
};

/* ---- hashing on the device's threads ---- */

typedef struct byte_range {
  const uint8_t *data;
  size_t n;
} byte_range;

typedef struct hash_job {
  const byte_range *ranges;
  wh_hash128 *hashes; /* NULL: the ranges are only made resident */
  size_t n;
  atomic_size_t next;
  int64_t deadline;    /* then each worker ends after the range that it is at */
  const wh_file *file; /* the ranges' file when they are to be made resident first */
} hash_job;

static void hash_ranges(void *arg, int index, int count) {
  hash_job *job = arg;
  (void)index, (void)count;
  for (size_t i; (i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed)) < job->n;) {
    const byte_range *r = &job->ranges[i];
    if (job->file) wh_file_prefault(job->file, (size_t)(r->data - wh_file_data(job->file)), r->n);
    if (job->hashes) job->hashes[i] = wh_hash_bytes(r->data, r->n);
    if (wh_progress_is_due(job->deadline)) break;
  }
}

static size_t pieces_of(size_t n_bytes) { return n_bytes / PIECE_BYTES + (n_bytes % PIECE_BYTES != 0); }

static size_t add_pieces(byte_range *ranges, const void *data, size_t n_bytes) {
  size_t n = pieces_of(n_bytes);
  for (size_t i = 0; i < n; i++) {
    size_t at = i * PIECE_BYTES;
    ranges[i] =
        (byte_range){(const uint8_t *)data + at, n_bytes - at < PIECE_BYTES ? n_bytes - at : PIECE_BYTES};
  }
  return n;
}

static uint64_t bytes_of(const byte_range *ranges, size_t n) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += ranges[i].n;
  return bytes;
}

/* Where hashing stands in what the caller is told: a stage, and its bytes that come after the hashed ones. */
typedef struct hash_stage {
  wh_stage stage;
  uint64_t n_bytes_after;
} hash_stage;

/* Regions of limited time, between them a report. */
static wh_status run_hash_job(const wh_pack_cache *c, hash_job *job, hash_stage stage) {
  const uint64_t total = bytes_of(job->ranges, job->n) + stage.n_bytes_after;
  size_t n_done = 0;
  if (!job->n) return WH_OK;
  WH_TRY(wh_progress_report(&c->progress, stage.stage, 0, total));
  while (n_done < job->n) {
    job->deadline = wh_progress_deadline(&c->progress);
    wh_backend_parallel(c->backend, c->device, hash_ranges, job);
    n_done = atomic_load(&job->next); /* the workers that found nothing left have counted on */
    if (n_done > job->n) n_done = job->n;
    WH_TRY(wh_progress_report(&c->progress, stage.stage, bytes_of(job->ranges, n_done), total));
  }
  return WH_OK;
}

/* *hashes: one per range, to be freed by the caller; or `hashes` is NULL, and none are made. */
static wh_status hash_all(const wh_pack_cache *c, const byte_range *ranges, size_t n, const wh_file *file,
                          hash_stage stage, wh_hash128 **hashes) {
  hash_job job = {.ranges = ranges, .n = n, .file = file};
  atomic_init(&job.next, 0);
  if (hashes) job.hashes = wh_alloc_array(c->alloc, n, sizeof *job.hashes);
  if (hashes && !job.hashes) return WH_OOM("hashes of weights");
  wh_status st = run_hash_job(c, &job, stage);
  if (st != WH_OK) {
    wh_free(c->alloc, job.hashes);
    return st;
  }
  if (hashes) *hashes = job.hashes;
  return WH_OK;
}

/* The pieces of one run of bytes. */
static wh_status hash_pieces(const wh_pack_cache *c, const void *data, size_t n_bytes, const wh_file *file,
                             hash_stage stage, wh_hash128 **hashes) {
  byte_range *ranges = wh_alloc_array(c->alloc, pieces_of(n_bytes), sizeof *ranges);
  if (!ranges) return WH_OOM("hashes of weights");
  wh_status st = hash_all(c, ranges, add_pieces(ranges, data, n_bytes), file, stage, hashes);
  wh_free(c->alloc, ranges);
  return st;
}

/* ---- what identifies the weights ---- */

static wh_status finish_key(wh_text_buffer *b, wh_hash128 *out) {
  bool oom = b->oom;
  if (!oom) *out = wh_hash_bytes(b->data, b->len);
  wh_text_buffer_deinit(b);
  return oom ? WH_OOM("key of the pack cache") : WH_OK;
}

/* What the weights are called and look like, one line each; with their places in the cache, or without. */
static void print_weights(wh_text_buffer *b, const wh_graph *g, const wh_packed_weight *weights, size_t n,
                          bool with_layouts) {
  for (size_t i = 0; i < n; i++) {
    const wh_value_info *v = &g->values[weights[i].value];
    wh_text_buffer_printf(b, "\n%s %s %zu", wh_dtype_name(v->shape.dtype), v->name, v->n_bytes);
    for (int d = 0; d < v->shape.rank; d++)
      wh_text_buffer_printf(b, " %lld", (long long)wh_dim_get(&g->dims, v->shape.dims[d])->value);
    if (with_layouts)
      wh_text_buffer_printf(b, " layout %u at %zu, %zu", weights[i].layout, weights[i].offset,
                            weights[i].n_bytes);
  }
}

static wh_status hash_layouts(wh_pack_cache *c, const wh_graph *g, const wh_packed_weight *weights,
                              size_t n) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, c->alloc);
  wh_text_buffer_printf(&b, "%s", c->backend->name);
  print_weights(&b, g, weights, n, true);
  return finish_key(&b, &c->header.layouts);
}

static wh_status hash_stamp(wh_pack_cache *c, const wh_hash128 *model, const wh_graph *g,
                            const wh_packed_weight *weights, size_t n) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, c->alloc);
  wh_text_buffer_append(&b, (const char *)model, sizeof *model);
  wh_text_buffer_puts(&b, WH_VERSION_TEXT); /* another version may build other weights from the same file */
  print_weights(&b, g, weights, n, false);
  return finish_key(&b, &c->stamp);
}

/* Content of the weights with or without an origin. */
static wh_status hash_weights(wh_pack_cache *c, const wh_graph *g, const wh_packed_weight *weights, size_t n,
                              bool with_origin, wh_hash128 *out) {
  size_t n_ranges = 0, at = 0;
  for (size_t i = 0; i < n; i++) {
    const wh_value_info *v = &g->values[weights[i].value];
    if (weights[i].n_bytes && (v->origin != NULL) == with_origin) n_ranges += pieces_of(v->n_bytes);
  }
  byte_range *ranges = wh_alloc_array(c->alloc, n_ranges, sizeof *ranges);
  wh_hash128 *hashes = NULL;
  if (!ranges) return WH_OOM("hashes of weights");
  for (size_t i = 0; i < n; i++) {
    const wh_value_info *v = &g->values[weights[i].value];
    if (weights[i].n_bytes && (v->origin != NULL) == with_origin)
      at += add_pieces(ranges + at, v->data, v->n_bytes);
  }
  wh_status st = hash_all(c, ranges, n_ranges, NULL, (hash_stage){WH_STAGE_HASH, 0}, &hashes);
  if (st == WH_OK) *out = wh_hash_bytes(hashes, n_ranges * sizeof *hashes);
  wh_free(c->alloc, hashes);
  wh_free(c->alloc, ranges);
  return st;
}

/* ---- files ---- */

static wh_status path_of(const wh_pack_cache *c, const wh_hash128 *a, const wh_hash128 *b, const char *suffix,
                         char **out) {
  char hex[2][WH_HASH_TEXT_BYTES] = {"", ""};
  wh_text_buffer path;
  wh_text_buffer_init(&path, c->alloc);
  wh_hash_format(*a, hex[0]);
  if (b) wh_hash_format(*b, hex[1]);
  wh_text_buffer_printf(&path, "%s/%s%s%.8s%s", c->folder, hex[0], b ? "-" : "", hex[1], suffix);
  if (path.oom) {
    wh_text_buffer_deinit(&path);
    return WH_OOM("name of a cache file");
  }
  *out = path.data;
  return WH_OK;
}

/* Logs why the disk did not help; being out of memory stays an error, as does the caller's wish to end. */
static wh_status tolerate(const wh_pack_cache *c, wh_status st, wh_log_level level, const char *consequence) {
  if (st == WH_OK || st == WH_ERR_OUT_OF_MEMORY || st == WH_ERR_CANCELLED) return st;
  wh_log_write(&c->log, level, "pack cache: %s; %s", wh_last_error()->message, consequence);
  return WH_OK;
}

/* The content that the file of this key had when it was last hashed. A stamp that is not there, or not sound,
 * only costs the hashing. */
static wh_status read_stamp(const wh_pack_cache *c, const wh_hash128 *key, bool *found, wh_hash128 *content) {
  char *path;
  wh_file *file;
  stamp_file s;
  WH_TRY(path_of(c, key, NULL, ".stamp", &path));
  wh_status st = wh_file_open(path, c->alloc, &file);
  wh_free(c->alloc, path);
  if (st != WH_OK) return st == WH_ERR_OUT_OF_MEMORY ? st : WH_OK;
  bool whole = wh_file_size(file) == sizeof s;
  if (whole) memcpy(&s, wh_file_data(file), sizeof s);
  wh_file_close(file);
  if (!whole || memcmp(s.magic, stamp_magic, sizeof s.magic) != 0 || s.byte_order != BYTE_ORDER_MARK ||
      s.format_version != FORMAT_VERSION || !wh_hash_equal(s.key, *key) ||
      !wh_hash_equal(s.check, wh_hash_bytes(&s, offsetof(stamp_file, check))))
    return WH_OK;
  *found = true;
  *content = s.content;
  return WH_OK;
}

static wh_status write_stamp(const wh_pack_cache *c, const wh_hash128 *key, const wh_hash128 *content) {
  stamp_file s = {.byte_order = BYTE_ORDER_MARK, .format_version = FORMAT_VERSION};
  char *path;
  memcpy(s.magic, stamp_magic, sizeof s.magic);
  s.key = *key;
  s.content = *content;
  s.check = wh_hash_bytes(&s, offsetof(stamp_file, check));
  WH_TRY(path_of(c, key, NULL, ".stamp", &path));
  wh_status st = wh_file_write(path, &s, sizeof s, c->alloc);
  wh_free(c->alloc, path);
  return tolerate(c, st, WH_LOG_INFO, "the next start hashes again");
}

/* Remembers what hashing the model found, once there is a file that it leads to. */
static wh_status stamp_model(const wh_pack_cache *c) {
  return c->has_stamp && c->hashed_model ? write_stamp(c, &c->stamp, &c->from_file) : WH_OK;
}

static size_t table_bytes(const wh_pack_cache *c) {
  return pieces_of(c->header.data_bytes) * sizeof(wh_hash128);
}

/* Why the header is not the one that this library would write; NULL: it is. */
static const char *header_fault(const wh_pack_cache *c, const cache_header *h, size_t file_bytes) {
  const cache_header *want = &c->header;
  if (memcmp(h->magic, cache_magic, sizeof h->magic) != 0) return "is no pack cache";
  if (h->byte_order != want->byte_order) return "was made by another kind of machine";
  if (h->format_version != want->format_version || h->pack_version != want->pack_version)
    return "was made by another version of Whimbrel";
  if (!wh_hash_equal(h->layouts, want->layouts)) return "was made for another instruction set or device";
  if (!wh_hash_equal(h->content, want->content)) return "was made for another model";
  cache_header same = *want;
  same.pieces = h->pieces;
  if (memcmp(h, &same, sizeof same) != 0) return "has a damaged header";
  return file_bytes != want->file_bytes ? "is cut short or too long" : NULL;
}

/* ERR_CORRUPT when the file cannot be the one that is wanted. The data is not looked at. */
static wh_status check_header(const wh_pack_cache *c, const wh_file *file) {
  cache_header h;
  const uint8_t *bytes = wh_file_data(file);
  if (wh_file_size(file) < sizeof h) return WH_FAIL(ERR_CORRUPT, "%s is cut short", wh_file_path(file));
  memcpy(&h, bytes, sizeof h);
  const char *fault = header_fault(c, &h, wh_file_size(file));
  if (fault) return WH_FAIL(ERR_CORRUPT, "%s %s", wh_file_path(file), fault);
  if (!wh_hash_equal(h.pieces, wh_hash_bytes(bytes + sizeof h, table_bytes(c))))
    return WH_FAIL(ERR_CORRUPT, "%s is damaged", wh_file_path(file));
  return WH_OK;
}

static wh_status find_file(wh_pack_cache *c) {
  char *path;
  wh_file *file = NULL;
  WH_TRY(path_of(c, &c->header.content, &c->header.layouts, ".pack", &path));
  wh_status st = wh_file_open(path, c->alloc, &file);
  wh_free(c->alloc, path);
  if (st == WH_ERR_NOT_FOUND) return WH_OK;
  if (st == WH_OK) st = check_header(c, file);
  if (st == WH_OK) {
    c->file = file;
    return WH_OK;
  }
  wh_file_close(file);
  return tolerate(c, st, WH_LOG_WARNING, "packing the weights again");
}

/* What a stamp of the cache's own file is called: what the system says of the file, and what its header does.
 */
static wh_status key_of_file(const wh_pack_cache *c, wh_hash128 *out) {
  const wh_file_identity id = wh_file_get_identity(c->file);
  wh_text_buffer b;
  wh_text_buffer_init(&b, c->alloc);
  wh_text_buffer_printf(&b, "%llu %llu %llu %lld %lld", (unsigned long long)id.device,
                        (unsigned long long)id.inode, (unsigned long long)id.size, (long long)id.modified_ns,
                        (long long)id.changed_ns);
  wh_text_buffer_append(&b, (const char *)wh_file_data(c->file), sizeof(cache_header));
  return finish_key(&b, out);
}

/* Whether the data is what the header's table says: hashed, unless it was when the file was last read, and
 * the file has not changed since. Makes it resident in either case. */
static wh_status check_data(const wh_pack_cache *c, const uint8_t *data, bool *sound) {
  const uint8_t *table = wh_file_data(c->file) + sizeof(cache_header);
  const wh_hash128 pieces = wh_hash_bytes(table, table_bytes(c));
  const bool settled = wh_file_is_settled(c->file); /* else the next change may leave no trace in the times */
  wh_hash128 key, checked, *hashes = NULL;
  bool known = false;
  WH_TRY(key_of_file(c, &key));
  if (settled) WH_TRY(read_stamp(c, &key, &known, &checked));
  known = known && wh_hash_equal(checked, pieces);
  WH_TRY(hash_pieces(c, data, c->header.data_bytes, c->file, (hash_stage){WH_STAGE_READ, 0},
                     known ? NULL : &hashes));
  *sound = known || memcmp(hashes, table, table_bytes(c)) == 0;
  wh_free(c->alloc, hashes);
  return *sound && !known && settled ? write_stamp(c, &key, &pieces) : WH_OK;
}

wh_status wh_pack_cache_fetch(wh_pack_cache *c, const void **out) {
  *out = NULL;
  if (!c->file) return WH_OK;
  const uint8_t *data = wh_file_data(c->file) + c->header.data_offset;
  bool sound = false;
  WH_TRY(check_data(c, data, &sound));
  if (sound) {
    *out = data;
    return stamp_model(c);
  }
  (void)tolerate(c, WH_FAIL(ERR_CORRUPT, "%s is damaged", wh_file_path(c->file)), WH_LOG_WARNING,
                 "packing the weights again");
  wh_file_close(c->file);
  c->file = NULL;
  return WH_OK;
}

void wh_pack_cache_dont_need(const wh_pack_cache *c, size_t offset, size_t n) {
  wh_file_dont_need(c->file, c->header.data_offset + offset, n);
}

/* ---- the cache ---- */

static bool plan_file(cache_header *h, size_t n_weights, size_t data_bytes) {
  size_t table, at, end;
  if (n_weights > UINT32_MAX || !wh_mul_size(pieces_of(data_bytes), sizeof(wh_hash128), &table) ||
      !wh_add_size(sizeof *h, table, &at) || !wh_align_size(at, DATA_ALIGN, &at) ||
      !wh_add_size(at, data_bytes, &end))
    return false;
  memcpy(h->magic, cache_magic, sizeof h->magic);
  h->byte_order = BYTE_ORDER_MARK;
  h->format_version = FORMAT_VERSION;
  h->n_weights = (uint32_t)n_weights;
  h->file_bytes = end;
  h->data_offset = at;
  h->data_bytes = data_bytes;
  h->piece_bytes = PIECE_BYTES;
  return true;
}

/* The content's hash: from the stamp or from the weights themselves, and with what was not in the file. */
static wh_status identify(wh_pack_cache *c, const wh_hash128 *model_stamp, const wh_graph *g,
                          const wh_packed_weight *weights, size_t n) {
  wh_hash128 parts[2];
  bool known = false;
  c->has_stamp = model_stamp != NULL;
  if (model_stamp) {
    WH_TRY(hash_stamp(c, model_stamp, g, weights, n));
    WH_TRY(read_stamp(c, &c->stamp, &known, &c->from_file));
  }
  c->hashed_model = !known;
  if (!known) WH_TRY(hash_weights(c, g, weights, n, true, &c->from_file));
  parts[0] = c->from_file;
  WH_TRY(hash_weights(c, g, weights, n, false, &parts[1]));
  c->header.content = wh_hash_bytes(parts, sizeof parts);
  return WH_OK;
}

wh_status wh_pack_cache_open(const wh_pack_cache_options *o, const wh_backend *backend, void *device,
                             const wh_graph *g, const wh_packed_weight *weights, size_t n,
                             const wh_progress_sink *progress, const wh_allocator *alloc,
                             wh_pack_cache **out) {
  size_t data_bytes = n ? weights[n - 1].offset + weights[n - 1].n_bytes : 0;
  wh_pack_cache *c = wh_alloc_zeroed(alloc, sizeof *c);
  if (!c) return WH_OOM("pack cache");
  c->alloc = alloc;
  c->backend = backend;
  c->device = device;
  c->progress = *progress;
  if (o->log) c->log = *o->log;
  c->header.pack_version = backend->pack_version;
  c->folder = wh_alloc_string(alloc, o->folder, strlen(o->folder));
  wh_status st = c->folder ? WH_OK : WH_OOM("name of the pack cache");
  if (st == WH_OK && !plan_file(&c->header, n, data_bytes))
    st = WH_FAIL(ERR_LIMIT, "the weights do not fit in memory");
  if (st == WH_OK && wh_folder_create(c->folder) != WH_OK) {
    (void)tolerate(c, WH_ERR_IO, WH_LOG_WARNING, "going on without it");
    wh_pack_cache_close(c);
    *out = NULL;
    return WH_OK;
  }
  if (st == WH_OK) st = hash_layouts(c, g, weights, n);
  if (st == WH_OK) st = identify(c, o->model_stamp, g, weights, n);
  if (st == WH_OK) st = find_file(c);
  if (st != WH_OK) {
    wh_pack_cache_close(c);
    return st;
  }
  *out = c;
  return WH_OK;
}

void wh_pack_cache_tell(wh_pack_cache *c, const wh_progress_sink *progress) { c->progress = *progress; }

void wh_pack_cache_close(wh_pack_cache *c) {
  if (!c) return;
  wh_file_close(c->file);
  wh_free(c->alloc, c->folder);
  wh_free(c->alloc, c);
}

bool wh_pack_cache_hashed_model(const wh_pack_cache *c) { return c->hashed_model; }

/* With what was hashed before it, the second half of a stage. */
static wh_status write_data(const wh_pack_cache *c, wh_file_writer *w, const char *data) {
  const size_t n = c->header.data_bytes;
  for (size_t at = 0; at < n; at += WRITE_BYTES) {
    const size_t piece = n - at < WRITE_BYTES ? n - at : WRITE_BYTES;
    WH_TRY(wh_file_writer_append(w, data + at, piece));
    WH_TRY(wh_progress_report(&c->progress, WH_STAGE_KEEP, (uint64_t)n + at + piece, 2 * (uint64_t)n));
  }
  return WH_OK;
}

static wh_status write_file(const wh_pack_cache *c, const char *path, const void *packed,
                            const wh_hash128 *hashes) {
  static const uint8_t zeros[DATA_ALIGN];
  cache_header h = c->header;
  h.pieces = wh_hash_bytes(hashes, table_bytes(c));
  wh_file_writer *w;
  WH_TRY(wh_file_writer_begin(path, c->alloc, &w));
  wh_status st = wh_file_writer_append(w, &h, sizeof h);
  if (st == WH_OK) st = wh_file_writer_append(w, hashes, table_bytes(c));
  if (st == WH_OK) st = wh_file_writer_append(w, zeros, h.data_offset - sizeof h - table_bytes(c));
  if (st == WH_OK) st = write_data(c, w, packed);
  if (st == WH_OK) return wh_file_writer_commit(w);
  wh_file_writer_abort(w);
  return st;
}

wh_status wh_pack_cache_store(wh_pack_cache *c, const void *packed, bool *stored) {
  wh_hash128 *hashes = NULL;
  char *path = NULL;
  WH_TRY(hash_pieces(c, packed, c->header.data_bytes, NULL, (hash_stage){WH_STAGE_KEEP, c->header.data_bytes},
                     &hashes));
  wh_status st = path_of(c, &c->header.content, &c->header.layouts, ".pack", &path);
  if (st == WH_OK) {
    st = write_file(c, path, packed, hashes);
    *stored = st == WH_OK;
    st = *stored ? stamp_model(c) : tolerate(c, st, WH_LOG_WARNING, "going on without it");
  }
  wh_free(c->alloc, path);
  wh_free(c->alloc, hashes);
  return st;
}
