/* weight_set.c - see weight_set.h. */
#include "core/plan/weight_set.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/finite.h"
#include "core/plan/memory_plan.h"
#include "core/plan/upload_ring.h"

/* Packed and given back at a time, so that the file's pages and their packed copy are not all in memory
 * together; and between two of the caller's chances to end it. */
#define PACK_BATCH_BYTES ((uint64_t)4 << 20)
/* Of one weight at a time: its workers pack what they will read, which is a share of the whole. */
#define PACK_PART_BYTES ((uint64_t)32 << 20)
#define PACK_BATCH_TASKS 64
/* Weights move in that many runs: late enough to be spread over an answer, early enough for its end. */
#define MOVE_RUNS 32
#define MOVE_MIN_BYTES ((uint64_t)4 << 20)
/* On their way to a device at a time. */
#define UPLOAD_BYTES (WH_WEIGHT_STAGING_BYTES / WH_UPLOAD_RING_BUFFERS)
#define UPLOAD_MIN_BYTES ((uint64_t)4 << 10)

typedef enum weight_home {
  HOME_PACKED, /* in the image */
  HOME_COPIED, /* among the vectors */
  HOME_MODEL,  /* where the model has it, or a copy of its own on a device that cannot read there */
  HOME_SHARED  /* in another set, its owner */
} weight_home;

typedef struct weight {
  weight_home home;
  bool check;
  bool is_late; /* packed while the model runs, and until then read in `buffer` */
  uint32_t layout;
  uint64_t n_bytes, offset; /* in its layout; of the image or the vectors */
  wh_buffer *buffer;        /* of HOME_MODEL and HOME_SHARED, and of late ones */
  wh_weight_set *owner;     /* of HOME_SHARED: referred to */
  /* of the constant: its name, and its bytes as the model has them */
  char *name;
  const void *data, *origin;
  uint64_t model_bytes;
} weight;

struct wh_weight_set {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  const wh_backend *backend;
  void *dev;
  void (*weight_done)(void *ctx, const void *origin, uint64_t n_bytes);
  void *weight_done_ctx;
  bool any_vectors;
  wh_progress_sink progress;
  weight *list;
  size_t n;
  /* The packed weights, one after the other in the order of the list; `packed[k]` says so to the cache. */
  wh_packed_weight *packed;
  size_t n_packed;
  uint64_t image_bytes;
  wh_buffer *own;     /* memory for the image; NULL: it stays in the cache's file */
  wh_buffer *in_file; /* the image in the cache's file; NULL: it is not used there */
  const void *cached; /* its address */
  bool wants_own, is_loaded;
  uint64_t n_moved; /* bytes of the image in the file that are in `own`, too */
  bool may_be_late;
  wh_graph *late_graph;           /* a copy for packing; NULL: nothing is to be packed any more */
  size_t next_late, next_in_list; /* the first that may not be packed: in `packed`, and in the list */
  uint64_t late_bytes, late_done; /* of late weights, as the model has them */
  wh_pack_cache *cache;
  wh_buffer *vectors;
  uint64_t vector_bytes;
  wh_weight_packing packing;
  pthread_mutex_t work_mutex; /* of loading and keeping */
  pthread_mutex_t mutex;      /* of what moving and late packing change: n_moved, in_file, cache, late_graph,
                                 next_*, late_done, generation, users */
  uint64_t generation;
  wh_weight_user *users;
};

static const wh_progress_sink nobody = {0};

static void *host(const wh_weight_set *w, wh_buffer *b) {
  return b ? w->backend->buffer_host(w->dev, b) : NULL;
}

/* ---- planning ---- */

wh_status wh_weight_not_finite(const char *name) {
  return WH_FAIL(ERR_CORRUPT, "tensor '%s' holds a NaN or infinite value; the file is damaged", name);
}

static bool is_vector(const wh_shape *s) { return s->dtype == WH_DTYPE_F32 && s->rank <= 1; }

/* The element's type wants its address to be a multiple of its size. */
static bool is_aligned(const wh_value_info *v) {
  const wh_dtype_info *t = wh_dtype_get(v->shape.dtype);
  return t->block_elems > 1 || !t->block_bytes || (uintptr_t)v->data % t->block_bytes == 0;
}

/* The same constant in the same form in another set, whose memory does not move any more: it is used there.
 * `near`: where it is likely to be. */
static bool borrow(wh_weight_set *from, size_t near, weight *x) {
  if (!x->origin || !from->is_loaded || from->in_file || from->late_graph) return false;
  for (size_t i = 0; i < from->n; i++) {
    const weight *y = &from->list[(near + i) % from->n];
    if (y->origin != x->origin || y->layout != x->layout || y->model_bytes != x->model_bytes ||
        y->check != x->check)
      continue;
    x->buffer = y->home == HOME_PACKED ? from->own : y->home == HOME_COPIED ? from->vectors : y->buffer;
    x->offset = y->home == HOME_MODEL ? 0 : y->offset;
    x->owner = y->home == HOME_SHARED ? y->owner : from;
    x->home = HOME_SHARED;
    x->is_late = false;
    wh_weight_set_retain(x->owner);
    return true;
  }
  return false;
}

static bool is_packed(const weight *x) { return x->home != HOME_SHARED && (x->layout || x->check); }

/* Norms and biases are used as they are, and no packing looks at them. Those of the file are copied: between
 * the packed weights of a file they would keep pages of it, up to 2 MiB around each, in memory. What the
 * graph made is copied since the graph may go, and what lies badly in the file unless its users do not mind.
 */
static wh_status plan_weight(wh_weight_set *w, const wh_graph *g, const wh_weight_want *want,
                             const wh_weight_options *o, weight *out) {
  const wh_value_info *v = &g->values[want->value];
  uint64_t *total = NULL;
  *out = (weight){.home = HOME_MODEL,
                  .check = want->check,
                  .is_late = w->may_be_late && want->from_model,
                  .layout = want->layout,
                  .n_bytes = want->n_bytes,
                  .name = wh_alloc_string(w->alloc, v->name, strlen(v->name)),
                  .data = v->data,
                  .origin = v->origin,
                  .model_bytes = v->n_bytes};
  if (!out->name) return WH_OOM("weight list");
  if (!v->data) return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s' has no data", v->name);
  if (!w->any_vectors && is_vector(&v->shape) && !wh_all_finite(v->data, v->n_bytes / sizeof(float)))
    return wh_weight_not_finite(v->name);
  for (size_t i = 0; i < o->n_lenders; i++)
    if (borrow(o->lenders[i], (size_t)(out - w->list), out)) return WH_OK;
  if (want->layout) {
    out->home = HOME_PACKED;
    total = &w->image_bytes;
  } else if ((!want->check && (is_vector(&v->shape) || !v->origin)) ||
             (!want->any_address && !is_aligned(v))) {
    out->home = HOME_COPIED;
    total = &w->vector_bytes;
  }
  if (total) {
    size_t bytes, sum;
    out->offset = *total;
    if (!wh_align_size(want->n_bytes, WH_PLAN_ALIGN, &bytes) || !wh_add_size(*total, bytes, &sum))
      return WH_FAIL(ERR_LIMIT, "the weights do not fit in memory");
    *total = sum;
    if (want->layout) out->n_bytes = bytes;
  }
  if (want->layout || want->check)
    w->packed[w->n_packed++] = (wh_packed_weight){want->value, want->layout, out->offset,
                                                  want->layout ? out->n_bytes : 0, want->node};
  return WH_OK;
}

/* The image: in the cache's file, there to stay or to move from; or in memory that packing will fill. */
static wh_status find_image(wh_weight_set *w, const wh_graph *g, const wh_pack_cache_options *cache) {
  if (!w->image_bytes) return WH_OK;
  if (cache) {
    WH_TRY(wh_pack_cache_open(cache, w->backend, w->dev, g, w->packed, w->n_packed, &w->progress, w->alloc,
                              &w->cache));
    if (w->cache) WH_TRY(wh_pack_cache_fetch(w->cache, &w->cached));
    w->packing.hashed_model = w->cache && wh_pack_cache_hashed_model(w->cache);
  }
  if (w->cached) {
    wh_status st = w->backend->buffer_import(w->dev, w->cached, w->image_bytes, &w->in_file);
    if (st != WH_OK && st != WH_ERR_UNSUPPORTED) return st;
  }
  w->wants_own = !w->in_file || !cache->mapped;
  return WH_OK;
}

/* What is to be packed while the model runs: nothing that came packed. */
static wh_status plan_late(wh_weight_set *w, const wh_graph *g) {
  for (size_t i = 0; i < w->n; i++) {
    weight *x = &w->list[i];
    x->is_late = x->is_late && !w->cached;
    if (x->is_late) w->late_bytes += x->model_bytes;
  }
  return w->late_bytes ? wh_graph_clone(g, &w->late_graph) : WH_OK;
}

wh_status wh_weight_set_create(const wh_graph *g, const wh_weight_want *wants, size_t n,
                               const wh_weight_options *o, wh_weight_set **out) {
  wh_weight_set *w = wh_alloc_zeroed(o->alloc, sizeof *w);
  if (!w) return WH_OOM("weights");
  atomic_init(&w->n_refs, 1);
  (void)pthread_mutex_init(&w->mutex, NULL);
  (void)pthread_mutex_init(&w->work_mutex, NULL);
  w->alloc = o->alloc;
  w->backend = o->device.backend;
  w->dev = o->device.dev;
  w->may_be_late = o->pack_while_running;
  w->weight_done = o->weight_done;
  w->weight_done_ctx = o->weight_done_ctx;
  w->any_vectors = o->any_vectors;
  w->progress = o->progress;
  w->list = wh_alloc_array(o->alloc, n + 1, sizeof *w->list);
  w->packed = wh_alloc_array(o->alloc, n + 1, sizeof *w->packed);
  wh_status st = w->list && w->packed ? WH_OK : WH_OOM("weight list");
  for (size_t i = 0; i < n && st == WH_OK; i++) st = plan_weight(w, g, &wants[i], o, &w->list[w->n++]);
  if (st == WH_OK) st = find_image(w, g, o->pack_cache);
  if (st == WH_OK) st = plan_late(w, g);
  if (st != WH_OK) {
    wh_weight_set_release(w);
    return st;
  }
  *out = w;
  return WH_OK;
}

bool wh_weight_set_fits(const wh_weight_set *w, const wh_graph *g, const wh_weight_want *wants, size_t n) {
  if (n != w->n) return false;
  for (size_t i = 0; i < n; i++) {
    const weight *have = &w->list[i];
    const wh_value_info *v = &g->values[wants[i].value];
    if (have->layout != wants[i].layout || have->check != wants[i].check || have->model_bytes != v->n_bytes ||
        strcmp(have->name, v->name) != 0 || have->origin != v->origin)
      return false;
    if (have->origin) continue;
    const char *copy = have->home == HOME_COPIED ? host(w, w->vectors) : NULL; /* the graph's own constants */
    if (!copy || memcmp(copy + have->offset, v->data, v->n_bytes) != 0) return false;
  }
  return true;
}

/* ---- loading ---- */

/* The file's pages of a constant that will not be read there again. */
static void give_back(const wh_weight_set *w, const weight *x) {
  if (x->origin && w->weight_done) w->weight_done(w->weight_done_ctx, x->origin, x->model_bytes);
}

typedef struct pack_batch {
  const wh_graph *g;
  const wh_progress_sink *progress;
  wh_pack_task tasks[PACK_BATCH_TASKS];
  const weight *of[PACK_BATCH_TASKS];
  size_t n;
  uint64_t n_bytes, done, total;
} pack_batch;

static wh_status run_batch(const wh_weight_set *w, pack_batch *b) {
  WH_TRY(w->backend->pack(w->dev, b->g, b->tasks, b->n));
  for (size_t i = 0; i < b->n; i++)
    if (!b->tasks[i].finite) return wh_weight_not_finite(b->of[i]->name);
  for (size_t i = 0; i < b->n; i++)
    if (b->tasks[i].dst && b->tasks[i].part + 1 == b->tasks[i].n_parts) give_back(w, b->of[i]);
  b->done += b->n_bytes;
  b->n = b->n_bytes = 0;
  return wh_progress_report(b->progress, WH_STAGE_PACK, b->done, b->total);
}

static const weight *weight_of_packed(const wh_weight_set *w, size_t *at) {
  while (!is_packed(&w->list[*at])) ++*at;
  return &w->list[(*at)++];
}

/* Counts what becomes of the weights; bytes of those that are to be packed or looked at. */
static uint64_t count_work(wh_weight_set *w) {
  uint64_t total = 0;
  for (size_t i = 0; i < w->n; i++) {
    const weight *x = &w->list[i];
    w->packing.n_shared += x->home == HOME_SHARED;
    w->packing.n_own += x->home != HOME_SHARED && x->origin;
    if (!is_packed(x)) continue;
    if (x->layout && w->cached) {
      w->packing.n_cached++;
      continue;
    }
    *(x->layout ? &w->packing.n_packed : &w->packing.n_in_place) += 1;
    if (!x->is_late) total += x->model_bytes;
  }
  return total;
}

/* All of a weight: its parts join the batch, which runs whenever it is full. */
static wh_status pack_weight(const wh_weight_set *w, pack_batch *b, const weight *x,
                             const wh_packed_weight *k, char *image) {
  const uint32_t n_parts = (uint32_t)(x->model_bytes / PACK_PART_BYTES) + 1;
  for (uint32_t part = 0; part < n_parts; part++) {
    const uint64_t n_bytes = x->model_bytes / n_parts + (part == 0 ? x->model_bytes % n_parts : 0);
    if (b->n == PACK_BATCH_TASKS || b->n_bytes + n_bytes > PACK_BATCH_BYTES) WH_TRY(run_batch(w, b));
    b->of[b->n] = x;
    b->tasks[b->n++] = (wh_pack_task){.node = k->node,
                                      .weight = k->value,
                                      .layout = x->layout,
                                      .dst = x->layout ? image + x->offset : NULL,
                                      .finite = true,
                                      .part = part,
                                      .n_parts = n_parts};
    b->n_bytes += n_bytes;
  }
  return WH_OK;
}

/* Where packed weights go: all of them into `image`; or, one after the other, into the ring's buffers and
 * from there to the device. */
typedef struct pack_target {
  char *image;
  wh_upload_ring *ring;
  uint64_t begin, end; /* of the image, what the ring's buffer holds */
} pack_target;

static wh_status send_packed(const wh_weight_set *w, pack_batch *b, pack_target *t) {
  WH_TRY(run_batch(w, b));
  if (t->end > t->begin) WH_TRY(wh_upload_ring_send(t->ring, w->own, t->begin, t->end - t->begin));
  t->begin = t->end;
  return WH_OK;
}

/* The address that stands for the image's first byte while x is packed. */
static wh_status image_for(const wh_weight_set *w, pack_batch *b, pack_target *t, const weight *x,
                           char **image) {
  void *memory = NULL;
  *image = t->image;
  if (!t->ring || !x->layout) return WH_OK;
  if (x->offset + x->n_bytes - t->begin > t->ring->room) WH_TRY(send_packed(w, b, t));
  WH_TRY(wh_upload_ring_memory(t->ring, &memory));
  t->end = x->offset + x->n_bytes;
  *image = (char *)((uintptr_t)memory - t->begin);
  return WH_OK;
}

/* Packs the weights of the list unless they came packed or have time; those used in place are only checked.
 */
static wh_status pack_list(wh_weight_set *w, const wh_graph *g, pack_target *t) {
  pack_batch b = {.g = g, .progress = &w->progress, .total = count_work(w)};
  char *image = NULL;
  if (!b.total) return WH_OK;
  WH_TRY(wh_progress_report(&w->progress, WH_STAGE_PACK, 0, b.total));
  for (size_t k = 0, at = 0; k < w->n_packed; k++) {
    const weight *x = weight_of_packed(w, &at);
    if ((x->layout && w->cached) || x->is_late) continue;
    WH_TRY(image_for(w, &b, t, x, &image));
    WH_TRY(pack_weight(w, &b, x, &w->packed[k], image));
  }
  return t->ring ? send_packed(w, &b, t) : run_batch(w, &b);
}

/* Packs late weights of at least n_bytes, or all that are left. After a failure none of these counts as
 * packed. */
static wh_status pack_late(wh_weight_set *w, uint64_t n_bytes) {
  pack_batch b = {.g = w->late_graph, .progress = &nobody};
  size_t k = w->next_late, at = w->next_in_list;
  uint64_t bytes = 0;
  for (; k < w->n_packed && bytes < n_bytes; k++) {
    const weight *x = weight_of_packed(w, &at);
    if (!x->is_late) continue;
    WH_TRY(pack_weight(w, &b, x, &w->packed[k], host(w, w->own)));
    bytes += x->model_bytes;
  }
  if (b.n) WH_TRY(run_batch(w, &b));
  w->next_late = k;
  w->next_in_list = at;
  w->late_done += bytes;
  w->generation++;
  if (w->next_late < w->n_packed) return WH_OK;
  wh_graph_destroy(w->late_graph);
  w->late_graph = NULL;
  return WH_OK;
}

/* Nothing is written twice: packing takes the pages, by the threads that will read them. */
static wh_status take(const wh_weight_set *w, uint64_t n_bytes, const char *what, wh_buffer **out) {
  wh_status st = w->backend->buffer_create(w->dev, WH_MEMORY_WEIGHTS, n_bytes, out);
  return st == WH_ERR_OUT_OF_MEMORY ? wh_fail_prefix("%s", what) : st;
}

/* Copies to memory that the host may or may not address. */
static wh_status put(const wh_weight_set *w, wh_upload_ring *ring, wh_buffer *dst, uint64_t to,
                     const void *src, uint64_t n) {
  char *direct = host(w, dst);
  if (!direct) return wh_upload_ring_copy(ring, dst, to, src, n);
  if (n) memcpy(direct + to, src, n);
  return WH_OK;
}

static wh_status load_image(wh_weight_set *w, const wh_graph *g, wh_upload_ring *ring) {
  char *image = host(w, w->own);
  pack_target target = {.image = image, .ring = w->own && !image && !w->cached ? ring : NULL};
  WH_TRY(pack_list(w, g, &target));
  if (!w->own || w->in_file || !w->cached) return WH_OK;
  return put(w, ring, w->own, 0, w->cached, w->image_bytes);
}

/* A buffer holds the largest weight that is packed, and small images are cut all the same. */
static uint64_t ring_room(const wh_weight_set *w) {
  uint64_t room = w->image_bytes / 4 < UPLOAD_BYTES ? w->image_bytes / 4 : UPLOAD_BYTES;
  for (size_t i = 0; i < w->n; i++)
    if (w->list[i].layout && w->list[i].n_bytes > room) room = w->list[i].n_bytes;
  return room > UPLOAD_MIN_BYTES ? room : UPLOAD_MIN_BYTES;
}

static wh_status load_plain(wh_weight_set *w, wh_upload_ring *ring) {
  if (w->vector_bytes) WH_TRY(take(w, w->vector_bytes, "vectors", &w->vectors));
  for (size_t i = 0; i < w->n; i++) {
    weight *x = &w->list[i];
    if (x->home == HOME_COPIED) WH_TRY(put(w, ring, w->vectors, x->offset, x->data, x->model_bytes));
    if (x->home != HOME_MODEL && !x->is_late) continue;
    wh_status st = w->backend->buffer_import(w->dev, x->data, x->model_bytes, &x->buffer);
    if (x->is_late) {
      if (st != WH_OK && st != WH_ERR_UNSUPPORTED) return st;
      x->is_late = st == WH_OK && host(w, w->own); /* else it is packed now */
      continue;
    }
    if (st == WH_ERR_UNSUPPORTED) {
      st = take(w, x->model_bytes, "weights", &x->buffer);
      if (st == WH_OK) st = put(w, ring, x->buffer, 0, x->data, x->model_bytes);
    }
    WH_TRY(st);
  }
  return WH_OK;
}

/* Whom the work tells that is about to begin: whoever waits for it. */
static void tell(wh_weight_set *w, const wh_progress_sink *progress) {
  w->progress = *progress;
  if (w->cache) wh_pack_cache_tell(w->cache, progress);
}

static wh_status load(wh_weight_set *w, const wh_graph *g) {
  wh_upload_ring ring;
  if (w->is_loaded) return WH_OK;
  WH_TRY(wh_upload_ring_open(w->backend, w->dev, ring_room(w), w->alloc, &ring));
  wh_status st = w->wants_own ? take(w, w->image_bytes, "packed weights", &w->own) : WH_OK;
  if (st == WH_OK) st = load_plain(w, &ring);
  if (st == WH_OK) st = load_image(w, g, &ring);
  if (st == WH_OK) st = wh_upload_ring_wait(&ring);
  wh_upload_ring_close(&ring);
  WH_TRY(st);
  if (!w->in_file && w->cached) { /* what came from the cache is on the device */
    wh_pack_cache_close(w->cache);
    w->cache = NULL;
  }
  /* Once more, and for good: where the system maps a file in large pages, each batch brings its neighbours'
   * pages back, and the cache may have had to hash the weights. */
  for (size_t i = 0; i < w->n; i++)
    if ((w->list[i].home == HOME_PACKED || w->list[i].home == HOME_COPIED) && !w->list[i].is_late)
      give_back(w, &w->list[i]);
  w->is_loaded = true;
  return WH_OK;
}

wh_status wh_weight_set_load(wh_weight_set *w, const wh_graph *g, const wh_progress_sink *progress) {
  (void)pthread_mutex_lock(&w->work_mutex);
  tell(w, progress);
  wh_status st = load(w, g);
  tell(w, &nobody);
  (void)pthread_mutex_unlock(&w->work_mutex);
  return st;
}

void wh_weight_set_retain(wh_weight_set *w) {
  atomic_fetch_add_explicit(&w->n_refs, 1, memory_order_relaxed);
}

void wh_weight_set_release(wh_weight_set *w) {
  if (!w || atomic_fetch_sub_explicit(&w->n_refs, 1, memory_order_acq_rel) != 1) return;
  for (size_t i = 0; i < w->n; i++) {
    if (w->list[i].home != HOME_SHARED) w->backend->buffer_destroy(w->dev, w->list[i].buffer);
    wh_weight_set_release(w->list[i].owner);
    wh_free(w->alloc, w->list[i].name);
  }
  w->backend->buffer_destroy(w->dev, w->own);
  w->backend->buffer_destroy(w->dev, w->in_file);
  w->backend->buffer_destroy(w->dev, w->vectors);
  wh_pack_cache_close(w->cache);
  wh_graph_destroy(w->late_graph);
  (void)pthread_mutex_destroy(&w->mutex);
  (void)pthread_mutex_destroy(&w->work_mutex);
  wh_free(w->alloc, w->list);
  wh_free(w->alloc, w->packed);
  wh_free(w->alloc, w);
}

static wh_status keep(wh_weight_set *w) {
  if (!w->cache || !w->packing.n_packed || w->packing.stored) return WH_OK;
  const void *image = host(w, w->own);
  if (image) return wh_pack_cache_store(w->cache, image, &w->packing.stored);
  wh_queue *q = NULL;
  wh_point done = {NULL, 0};
  void *staged = wh_alloc_uninit(w->alloc, w->image_bytes, WH_ALIGN_SIMD);
  if (!staged) return WH_OOM("packed weights on their way to the cache");
  wh_status st = w->backend->queue_create(w->dev, &q);
  if (st == WH_OK) st = w->backend->download(q, staged, w->own, 0, w->image_bytes, NULL, 0, &done);
  if (st == WH_OK) st = w->backend->wait(done);
  if (st == WH_OK) st = wh_pack_cache_store(w->cache, staged, &w->packing.stored);
  if (q) w->backend->queue_destroy(q);
  wh_free(w->alloc, staged);
  return st;
}

/* Late weights that are left, in shares, between which others may begin runs. */
static wh_status pack_rest(wh_weight_set *w) {
  for (;;) {
    (void)pthread_mutex_lock(&w->mutex);
    const bool more = w->late_graph != NULL;
    const wh_status st = more ? pack_late(w, PACK_BATCH_BYTES) : WH_OK;
    const uint64_t done = w->late_done;
    (void)pthread_mutex_unlock(&w->mutex);
    if (!more || st != WH_OK) return st;
    WH_TRY(wh_progress_report(&w->progress, WH_STAGE_PACK, done, w->late_bytes));
  }
}

wh_status wh_weight_set_keep(wh_weight_set *w, const wh_progress_sink *progress) {
  (void)pthread_mutex_lock(&w->work_mutex);
  tell(w, progress);
  wh_status st = w->cache ? pack_rest(w) : WH_OK;
  if (st == WH_OK) st = keep(w);
  tell(w, &nobody);
  (void)pthread_mutex_unlock(&w->work_mutex);
  return st;
}

/* ---- places, and moving ---- */

/* From the cache's file into memory of our own, until that holds all and the file is closed. */
static bool is_moving(const wh_weight_set *w) { return w->own && w->in_file; }

static void place(const wh_weight_set *w, size_t i, wh_buffer **buffer, uint64_t *offset, bool *as_model) {
  const weight *x = &w->list[i];
  *as_model = x->is_late && i >= w->next_in_list;
  *offset = x->home == HOME_MODEL || *as_model ? 0 : x->offset;
  if (x->home == HOME_MODEL || x->home == HOME_SHARED || *as_model)
    *buffer = x->buffer;
  else if (x->home == HOME_COPIED)
    *buffer = w->vectors;
  else if (w->in_file && (!w->own || x->offset + x->n_bytes > w->n_moved))
    *buffer = w->in_file;
  else
    *buffer = w->own;
}

void wh_weight_set_attach(wh_weight_set *w, wh_weight_user *user) {
  (void)pthread_mutex_lock(&w->mutex);
  *user = (wh_weight_user){.generation = UINT64_MAX, .next = w->users};
  w->users = user;
  (void)pthread_mutex_unlock(&w->mutex);
}

void wh_weight_set_detach(wh_weight_set *w, wh_weight_user *user) {
  (void)pthread_mutex_lock(&w->mutex);
  for (wh_weight_user **at = &w->users; *at; at = &(*at)->next)
    if (*at == user) {
      *at = user->next;
      break;
    }
  (void)pthread_mutex_unlock(&w->mutex);
}

/* Closes the file when nobody reads it any more, or moves a share of it. */
static void move(wh_weight_set *w) {
  if (w->n_moved == w->image_bytes) {
    for (const wh_weight_user *u = w->users; u; u = u->next)
      if (u->generation != w->generation) return;
    w->backend->buffer_destroy(w->dev, w->in_file);
    w->in_file = NULL;
    wh_pack_cache_close(w->cache);
    w->cache = NULL;
    return;
  }
  uint64_t n = w->image_bytes / MOVE_RUNS;
  if (n < MOVE_MIN_BYTES) n = MOVE_MIN_BYTES;
  if (n > w->image_bytes - w->n_moved) n = w->image_bytes - w->n_moved;
  wh_parallel_copy(w->backend, w->dev, (char *)host(w, w->own) + w->n_moved,
                   (const char *)w->cached + w->n_moved, n);
  wh_pack_cache_dont_need(w->cache, w->n_moved, n);
  w->n_moved += n;
  w->generation++;
}

wh_status wh_weight_set_begin(wh_weight_set *w, wh_weight_user *user, wh_weight_places *p) {
  const bool first = !user->has_begun; /* that run is what somebody waits for */
  wh_status st = WH_OK;
  user->has_begun = true;
  (void)pthread_mutex_lock(&w->mutex);
  if (!first && is_moving(w)) move(w);
  if (!first && w->late_graph) st = pack_late(w, UINT64_MAX); /* packing to drop once more costs more */
  p->changed = st == WH_OK && user->generation != w->generation;
  if (p->changed) user->generation = w->generation;
  for (size_t i = 0; p->changed && i < w->n; i++)
    place(w, i, &p->buffers[i], &p->offsets[i], &p->as_model[i]);
  (void)pthread_mutex_unlock(&w->mutex);
  return st;
}

/* ---- reports ---- */

bool wh_weight_set_is_loaded(const wh_weight_set *w) { return w->is_loaded; }

/* All of it is copied there. */
static void get_own_memory(const wh_weight_set *w, wh_weight_memory *out) {
  *out = (wh_weight_memory){.other_bytes = w->n * sizeof *w->list};
  const uint64_t image = w->wants_own ? w->image_bytes : 0, parts[] = {image, w->vector_bytes};
  for (size_t i = 0; i < 2; i++)
    if (parts[i]) out->packed_bytes += w->backend->buffer_footprint(w->dev, WH_MEMORY_WEIGHTS, parts[i]);
  for (size_t i = 0; i < w->n; i++)
    if (w->list[i].home == HOME_MODEL)
      out->packed_bytes += w->backend->buffer_footprint(w->dev, WH_MEMORY_WEIGHTS, w->list[i].model_bytes);
}

void wh_weight_set_get_memory(const wh_weight_set *w, wh_weight_memory *out) {
  if (w->backend->free_memory) {
    get_own_memory(w, out);
    return;
  }
  *out = (wh_weight_memory){.other_bytes = w->vector_bytes + w->n * sizeof *w->list};
  if (w->wants_own)
    out->packed_bytes = w->backend->buffer_footprint(w->dev, WH_MEMORY_WEIGHTS, w->image_bytes);
  else
    out->cached_bytes = w->image_bytes;
  for (size_t i = 0; i < w->n; i++)
    if (w->list[i].home == HOME_MODEL && w->list[i].origin) out->mapped_bytes += w->list[i].model_bytes;
}

wh_weight_packing wh_weight_set_get_packing(const wh_weight_set *w) { return w->packing; }

void wh_weight_set_print_place(const wh_weight_set *w, size_t i, wh_text_buffer *out) {
  const weight *x = &w->list[i];
  if (x->home == HOME_MODEL || x->home == HOME_SHARED)
    wh_text_buffer_puts(out, x->home == HOME_MODEL ? "mapped" : "shared");
  else
    wh_text_buffer_printf(out, "%s+%llu", x->home == HOME_PACKED ? "packed" : "vectors",
                          (unsigned long long)x->offset);
}
