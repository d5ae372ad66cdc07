/* derived.c - weights that nodes make of weights of the file: decoded codes, transposed matrices. They live
 * as long as the net, so that every execution has the same ones, and packs none of them again. */
#include <pthread.h>
#include <string.h>

#include "import/onnx/importer.h"

#define FEW 1024 /* elements that are rather made again */
#define MOST_FROM 4

typedef struct entry {
  struct entry *next;
  const ox_node *node;
  const void *from[MOST_FROM]; /* operands: in a function or a loop a node may have others */
  bool is_made;                /* else an execution is at it */
  wh_datum weight;
  void *data;
} entry;

struct ox_derived {
  const wh_allocator *alloc;
  pthread_mutex_t mutex;
  entry *first;
};

wh_status ox_derived_create(const wh_allocator *alloc, ox_derived **out) {
  ox_derived *d = wh_alloc_zeroed(alloc, sizeof *d);
  if (!d) return WH_OOM("ONNX model");
  d->alloc = alloc;
  (void)pthread_mutex_init(&d->mutex, NULL);
  *out = d;
  return WH_OK;
}

void ox_derived_destroy(ox_derived *d) {
  if (!d) return;
  for (entry *e = d->first, *next; e; e = next) {
    next = e->next;
    wh_free(d->alloc, e->data);
    wh_free(d->alloc, e);
  }
  (void)pthread_mutex_destroy(&d->mutex);
  wh_free(d->alloc, d);
}

static bool of_the_file(wh_datum *const *from, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (from[i] && !(from[i]->is_weight && from[i]->is_kept)) return false;
  return true;
}

static entry key_of(const ox *o, const wh_datum *like, wh_datum *const *from, size_t n_from) {
  entry e = {.node = o->node, .weight = *like};
  for (size_t i = 0; i < n_from && i < MOST_FROM; i++) e.from[i] = from[i] ? from[i]->data : NULL;
  return e;
}

/* A new entry with room, which nobody finds until it is made; NULL: no memory. */
static entry *add(ox *o, const entry *key, size_t n_bytes) {
  ox_derived *d = o->net->derived;
  entry *e = wh_alloc_zeroed(d->alloc, sizeof *e);
  void *data = wh_alloc_uninit(d->alloc, n_bytes, WH_ALIGN_SIMD);
  if (!e || !data) {
    wh_free(d->alloc, e);
    wh_free(d->alloc, data);
    return NULL;
  }
  memset(data, 0, n_bytes);
  *e = *key;
  e->weight.data = e->data = data;
  (void)pthread_mutex_lock(&d->mutex);
  e->next = d->first;
  d->first = e;
  (void)pthread_mutex_unlock(&d->mutex);
  return e;
}

static entry *find(const ox *o, const entry *key) {
  ox_derived *d = o->net->derived;
  (void)pthread_mutex_lock(&d->mutex);
  entry *e = d->first;
  while (e && (e->node != key->node || e->weight.dtype != key->weight.dtype || !e->is_made ||
               memcmp(e->from, key->from, sizeof e->from) != 0 ||
               memcmp(e->weight.dims, key->weight.dims, sizeof e->weight.dims) != 0))
    e = e->next;
  (void)pthread_mutex_unlock(&d->mutex);
  return e;
}

wh_datum *ox_derive(ox *o, wh_dtype dtype, int rank, const int64_t *dims, wh_datum *const *from,
                    size_t n_from, bool *fresh) {
  size_t n = 1, n_bytes = 0;
  *fresh = true;
  if (o->st != WH_OK) return &o->nothing;
  for (int i = 0; i < rank; i++)
    if (dims[i] < 0 || !wh_mul_size(n, (size_t)dims[i], &n)) n = 0; /* ox_new says so */
  if (n <= FEW || !of_the_file(from, n_from)) return ox_from(o, ox_new(o, dtype, rank, dims), from, n_from);
  wh_datum like = {
      .kind = WH_DATUM_TENSOR, .dtype = dtype, .rank = rank, .n = n, .is_weight = true, .is_kept = true};
  memcpy(like.dims, dims, (size_t)rank * sizeof *dims);
  const entry key = key_of(o, &like, from, n_from);
  entry *e = find(o, &key);
  *fresh = !e;
  if (!e) {
    if (!wh_mul_size(n, ox_size_of(dtype), &n_bytes) || n_bytes > o->limits.max_bytes)
      OX_FAIL(o, ERR_LIMIT, "a weight that it makes is too large");
    e = o->st == WH_OK ? add(o, &key, n_bytes) : NULL;
    if (!e && o->st == WH_OK) o->st = WH_OOM("weight of an ONNX graph");
  }
  return o->st == WH_OK ? ox_copy(o, &e->weight) : &o->nothing;
}

void ox_made(ox *o, const wh_datum *w) {
  ox_derived *d = o->net->derived;
  (void)pthread_mutex_lock(&d->mutex);
  entry **at = &d->first;
  while (*at && (*at)->data != w->data) at = &(*at)->next;
  entry *e = *at, *failed = NULL;
  if (e && o->st == WH_OK) {
    e->is_made = true;
  } else if (e) {
    failed = e;
    *at = e->next;
  }
  (void)pthread_mutex_unlock(&d->mutex);
  if (failed) wh_free(d->alloc, failed->data);
  wh_free(d->alloc, failed);
}
