/* weights.c - see weights.h. */
#include "core/plan/weights.h"

#include <math.h>
#include <string.h>

/* Packed and given back at a time, so that the file's pages and their packed copy are not all in memory
 * together. */
#define PACK_BATCH_BYTES ((size_t)64 << 20)
/* Weights move in that many runs: late enough to be spread over an answer, early enough for its end. */
#define MOVE_RUNS 32
#define MOVE_MIN_BYTES ((size_t)4 << 20)

struct wh_weights {
  const wh_allocator *alloc;
  const wh_backend *backend;
  void *device;
  void (*weight_done)(void *ctx, const void *origin);
  void *weight_done_ctx;
  const wh_graph *g;
  wh_packed_weight *list; /* in the order of their places */
  size_t n, capacity, n_bytes;
  const char *image; /* what the list's offsets count from: `own` or the cache's file */
  char *own;         /* NULL: the image stays in the file */
  bool wants_own;    /* there is an image, and it does not stay in the file */
  size_t n_moved;    /* bytes of an image in the file that are in `own`, too */
  wh_pack_cache *cache;
  char *vectors;
  const char **vector_of; /* per value: its place in `vectors`, or NULL */
  size_t vector_bytes;
  wh_program_packing packing;
};

/* ---- vectors ---- */

static wh_status not_finite(const wh_value_info *v) {
  return WH_FAIL(ERR_CORRUPT, "tensor '%s' holds a NaN or infinite value; the file is damaged", v->name);
}

static bool is_vector(const wh_value_info *v) {
  return v->kind == WH_VALUE_CONST && v->shape.dtype == WH_DTYPE_F32 && v->shape.rank <= 1;
}

static bool vector_is_finite(const void *data, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes / sizeof(float); i++) {
    float x;
    memcpy(&x, (const char *)data + i * sizeof x, sizeof x);
    if (!isfinite(x)) return false;
  }
  return true;
}

/* Norms and biases are used as they are, and no packing looks at them. Those of the file are copied: between
 * the packed weights of a file they would keep pages of it, up to 2 MiB around each, in memory. */
static wh_status copy_vectors(wh_weights *w) {
  const wh_graph *g = w->g;
  size_t at = 0;
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *info = &g->values[v];
    if (!is_vector(info)) continue;
    if (!vector_is_finite(info->data, info->n_bytes)) return not_finite(info);
    if (info->origin && (!wh_add_size(w->vector_bytes, info->n_bytes, &w->vector_bytes) ||
                         !wh_align_size(w->vector_bytes, WH_PLAN_ALIGN, &w->vector_bytes)))
      return WH_FAIL(ERR_LIMIT, "'%s' is too large", info->name);
  }
  w->vector_of = wh_alloc_array(w->alloc, g->n_values, sizeof *w->vector_of);
  w->vectors = wh_alloc_uninit(w->alloc, w->vector_bytes, WH_PLAN_ALIGN);
  if (!w->vector_of || !w->vectors) return WH_OOM("vectors of the model");
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *info = &g->values[v];
    if (!is_vector(info) || !info->origin) continue;
    w->vector_of[v] = memcpy(w->vectors + at, info->data, info->n_bytes);
    at += (info->n_bytes + WH_PLAN_ALIGN - 1) / WH_PLAN_ALIGN * WH_PLAN_ALIGN;
  }
  return WH_OK;
}

/* ---- packing ---- */

static const wh_packed_weight *find_packed(const wh_weights *w, wh_value v, uint32_t layout) {
  for (size_t i = 0; i < w->n; i++)
    if (w->list[i].value == v && w->list[i].layout == layout) return &w->list[i];
  return NULL;
}

/* Every weight that some node wants packed, once per layout, and its place. */
static wh_status list_weights(wh_weights *w, const wh_claim *claims) {
  for (size_t n = 0; n < w->g->n_nodes; n++) {
    const wh_claim *c = &claims[n];
    if (c->packed_input < 0) continue;
    wh_value v = w->g->nodes[n].inputs[c->packed_input];
    if (find_packed(w, v, c->packed_layout)) continue;
    if (!wh_grow_array(w->alloc, (void **)&w->list, &w->capacity, w->n, w->n + 1, sizeof *w->list))
      return WH_OOM("weight list");
    size_t bytes;
    if (!wh_align_size(c->packed_bytes, WH_PLAN_ALIGN, &bytes))
      return WH_FAIL(ERR_LIMIT, "'%s' is too large", w->g->values[v].name);
    w->list[w->n++] = (wh_packed_weight){v, c->packed_layout, w->n_bytes, bytes, &w->g->nodes[n]};
    if (!wh_add_size(w->n_bytes, bytes, &w->n_bytes))
      return WH_FAIL(ERR_LIMIT, "the weights do not fit in memory");
  }
  return WH_OK;
}

static wh_status take_memory(wh_weights *w) {
  w->own = wh_alloc_huge(w->alloc, w->n_bytes);
  return w->own ? WH_OK
                : WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %zu bytes of packed weights", w->n_bytes);
}

/* The file's pages of a constant that will not be read there again. */
static void give_back(const wh_weights *w, const wh_value_info *v) {
  if (v->origin && w->weight_done) w->weight_done(w->weight_done_ctx, v->origin);
}

static wh_status pack_batch(const wh_weights *w, wh_pack_task *tasks, size_t n) {
  WH_TRY(w->backend->pack(w->device, w->g, tasks, n));
  for (size_t i = 0; i < n; i++)
    if (!tasks[i].finite) return not_finite(tasks[i].weight);
  for (size_t i = 0; i < n; i++)
    if (tasks[i].dst) give_back(w, tasks[i].weight);
  return WH_OK;
}

/* Packs the weights of the list unless they came packed; those used in place are only checked. */
static wh_status pack_list(wh_weights *w) {
  wh_pack_task *tasks = wh_alloc_array(w->alloc, w->n, sizeof *tasks);
  const bool cached = w->image != w->own;
  size_t n = 0, begin = 0, batch_bytes = 0;
  wh_status st = WH_OK;
  if (!tasks) return WH_OOM("pack tasks");
  for (size_t i = 0; i < w->n && st == WH_OK; i++) {
    const wh_packed_weight *p = &w->list[i];
    if (p->n_bytes && cached) {
      w->packing.n_cached++;
      continue;
    }
    tasks[n++] =
        (wh_pack_task){p->node, &w->g->values[p->value], p->n_bytes ? w->own + p->offset : NULL, true};
    *(p->n_bytes ? &w->packing.n_packed : &w->packing.n_in_place) += 1;
    batch_bytes += p->n_bytes;
    if (batch_bytes < PACK_BATCH_BYTES) continue;
    st = pack_batch(w, tasks + begin, n - begin);
    begin = n;
    batch_bytes = 0;
  }
  if (st == WH_OK && begin < n) st = pack_batch(w, tasks + begin, n - begin);
  wh_free(w->alloc, tasks);
  return st;
}

/* Once more, and for good: where the system maps a file in large pages, each batch brings its neighbours'
 * pages back, and the cache may have had to hash the weights. */
static void give_all_back(const wh_weights *w) {
  for (size_t i = 0; i < w->n; i++)
    if (w->list[i].n_bytes) give_back(w, &w->g->values[w->list[i].value]);
  for (wh_value v = 1; v < w->g->n_values; v++)
    if (w->vector_of[v]) give_back(w, &w->g->values[v]);
}

/* The image: in the cache's file, there to stay or to move from; or in memory that packing will fill. */
static wh_status find_image(wh_weights *w, const wh_pack_cache_options *cache) {
  const void *cached = NULL;
  if (!w->n_bytes) return WH_OK;
  if (cache) {
    WH_TRY(wh_pack_cache_open(cache, w->backend, w->device, w->g, w->list, w->n, w->alloc, &w->cache));
    if (w->cache) WH_TRY(wh_pack_cache_fetch(w->cache, &cached));
    w->packing.hashed_model = w->cache && wh_pack_cache_hashed_model(w->cache);
  }
  w->wants_own = !cached || !cache->mapped;
  w->image = cached;
  return WH_OK;
}

wh_status wh_weights_create(const wh_graph *g, const wh_claim *claims, const wh_program_options *o,
                            wh_weights **out) {
  wh_weights *w = wh_alloc_zeroed(o->alloc, sizeof *w);
  if (!w) return WH_OOM("weights");
  w->alloc = o->alloc;
  w->backend = o->backend;
  w->device = o->device;
  w->weight_done = o->weight_done;
  w->weight_done_ctx = o->weight_done_ctx;
  w->g = g;
  wh_status st = copy_vectors(w); /* first: a damaged one is found before the long work */
  if (st == WH_OK) st = list_weights(w, claims);
  if (st == WH_OK) st = find_image(w, o->pack_cache);
  if (st != WH_OK) {
    wh_weights_destroy(w);
    return st;
  }
  *out = w;
  return WH_OK;
}

wh_status wh_weights_load(wh_weights *w) {
  if (w->wants_own) WH_TRY(take_memory(w));
  if (!w->image) w->image = w->own;
  WH_TRY(pack_list(w));
  give_all_back(w);
  return WH_OK;
}

void wh_weights_destroy(wh_weights *w) {
  if (!w) return;
  wh_pack_cache_close(w->cache);
  wh_free(w->alloc, w->own);
  wh_free(w->alloc, w->list);
  wh_free(w->alloc, w->vectors);
  wh_free(w->alloc, w->vector_of);
  wh_free(w->alloc, w);
}

wh_status wh_weights_keep(wh_weights *w) {
  if (!w->cache || !w->packing.n_packed || w->packing.stored) return WH_OK;
  return wh_pack_cache_store(w->cache, w->own, &w->packing.stored);
}

/* ---- finding and moving ---- */

const void *wh_weights_packed(const wh_weights *w, wh_value v, uint32_t layout, size_t *n_bytes) {
  const wh_packed_weight *p = find_packed(w, v, layout);
  if (!p || !p->n_bytes) return NULL;
  *n_bytes = p->n_bytes;
  return w->image + p->offset;
}

const void *wh_weights_plain(const wh_weights *w, wh_value v, bool *mapped) {
  const wh_value_info *info = &w->g->values[v];
  *mapped = info->origin && !w->vector_of[v];
  return w->vector_of[v] ? w->vector_of[v] : info->data;
}

/* From the cache's file into memory of our own, until that holds all and the file is closed. */
static bool is_moving(const wh_weights *w) { return w->own && w->image != w->own; }

typedef struct byte_move {
  const char *from;
  char *to;
  size_t n;
} byte_move;

static void move_part(void *arg, int index, int count) {
  const byte_move *m = arg;
  const size_t share = (m->n / (size_t)count + 63) / 64 * 64, begin = share * (size_t)index;
  if (begin < m->n) memcpy(m->to + begin, m->from + begin, m->n - begin < share ? m->n - begin : share);
}

bool wh_weights_move(wh_weights *w) {
  if (!is_moving(w)) return false;
  if (w->n_moved == w->n_bytes) { /* nobody points into the file any more */
    w->image = w->own;
    wh_pack_cache_close(w->cache);
    w->cache = NULL;
    return false;
  }
  size_t n = w->n_bytes / MOVE_RUNS;
  if (n < MOVE_MIN_BYTES) n = MOVE_MIN_BYTES;
  if (n > w->n_bytes - w->n_moved) n = w->n_bytes - w->n_moved;
  byte_move move = {w->image + w->n_moved, w->own + w->n_moved, n};
  wh_backend_parallel(w->backend, w->device, move_part, &move);
  wh_pack_cache_dont_need(w->cache, w->n_moved, n);
  w->n_moved += n;
  return true;
}

const void *wh_weights_moved(const wh_weights *w, const void *data) {
  const char *d = data;
  if (!is_moving(w) || d < w->image || d >= w->image + w->n_bytes) return data;
  const size_t offset = (size_t)(d - w->image);
  size_t first = 0, end = w->n; /* the last weight that begins at or before `offset` */
  while (end - first > 1) {
    size_t middle = first + (end - first) / 2;
    *(w->list[middle].offset <= offset ? &first : &end) = middle;
  }
  return w->list[first].offset + w->list[first].n_bytes <= w->n_moved ? w->own + offset : data;
}

/* ---- reports ---- */

void wh_weights_get_memory(const wh_weights *w, wh_program_memory *m) {
  m->packed_bytes = w->wants_own ? wh_huge_bytes(w->n_bytes) : 0;
  m->cached_bytes = w->wants_own ? 0 : w->n_bytes;
  m->other_bytes += w->vector_bytes + w->g->n_values * sizeof *w->vector_of;
}

wh_program_packing wh_weights_get_packing(const wh_weights *w) { return w->packing; }

bool wh_weights_print_place(const wh_weights *w, const void *data, wh_text_buffer *out) {
  const char *d = data;
  const bool in_image = w->image && d >= w->image && d < w->image + w->n_bytes;
  if (in_image || (w->own && d >= w->own && d < w->own + w->n_bytes)) {
    wh_text_buffer_printf(out, "packed+%zu", (size_t)(d - (in_image ? w->image : w->own)));
    return true;
  }
  if (d < w->vectors || d >= w->vectors + w->vector_bytes) return false;
  wh_text_buffer_printf(out, "vectors+%zu", (size_t)(d - w->vectors));
  return true;
}
