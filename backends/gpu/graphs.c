/* graphs.c - steps that come again are recorded as a graph of launches, which the driver then starts at once.
 *
 * Launches depend on the code, on the dims, and on where the slots are and how long; these words are the
 * graph's key, and it is launched where all of them are equal. A frame whose id is known needs no look. */
#include <string.h>

#include "backends/gpu/device.h"

/* ---- keys ---- */

static bool reserve(const gpu_device *d, gpu_graph *g, size_t n) {
  if (n <= g->room) return true;
  uint64_t *larger = wh_alloc_array(d->alloc, n, sizeof *larger);
  if (!larger) return false;
  wh_free(d->alloc, g->key);
  g->key = larger;
  g->room = n;
  return true;
}

/* The code's id, which steps, the fault's slot; dims; of each slot its place, its bytes and its form. */
static bool write_key(const gpu_device *d, gpu_graph *g, const wh_code *code, size_t first, size_t count,
                      const wh_frame *frame) {
  enum { HEAD = 4, PER_SLOT = 2 };
  const size_t n_dims = code->block.graph->dims.n, n_slots = code->block.n_slots;
  if (!reserve(d, g, HEAD + n_dims + PER_SLOT * n_slots)) return false;
  uint64_t *to = g->key;
  *to++ = code->id;
  *to++ = first;
  *to++ = count;
  *to++ = frame->fault;
  for (size_t i = 0; i < n_dims; i++) *to++ = (uint64_t)frame->dims[i];
  for (size_t i = 0; i < n_slots; i++, to += PER_SLOT) {
    const wh_buffer *b = frame->buffers[i];
    to[0] = b ? b->address + frame->offsets[i] : 0;
    to[1] = b ? frame->n_bytes[i] << 1 | (frame->as_model && frame->as_model[i]) : 0;
  }
  g->n_key = (size_t)(to - g->key);
  return true;
}

/* ---- the list ---- */

static gpu_graph *find_frame(gpu_graphs *graphs, const wh_code *code, size_t first, size_t count,
                             const wh_frame *frame) {
  for (gpu_graph *g = graphs->list; g < graphs->list + graphs->n; g++)
    if (g->used && g->code == code->id && g->frame == frame->id && g->first == first && g->count == count)
      return g;
  return NULL;
}

static gpu_graph *find_key(gpu_graphs *graphs) {
  const gpu_graph *w = &graphs->wanted;
  for (gpu_graph *g = graphs->list; g < graphs->list + graphs->n; g++)
    if (g->used && g->n_key == w->n_key && memcmp(g->key, w->key, w->n_key * sizeof *w->key) == 0) return g;
  return NULL;
}

/* A code that is new brings room for its graphs; without memory, and behind so many codes that most of them
 * are gone, it shares what there is. */
static void make_room(const gpu_device *d, gpu_graphs *graphs, const wh_code *code) {
  for (const gpu_graph *g = graphs->list; g < graphs->list + graphs->n; g++)
    if (g->used && g->code == code->id) return;
  if (graphs->n >= GPU_MOST_GRAPHS) return;
  gpu_graph *larger = wh_alloc_array(d->alloc, graphs->n + GPU_N_GRAPHS, sizeof *larger);
  if (!larger) return;
  if (graphs->n) memcpy(larger, graphs->list, graphs->n * sizeof *larger);
  wh_free(d->alloc, graphs->list);
  graphs->list = larger;
  graphs->n += GPU_N_GRAPHS;
}

/* The wanted key, in place of what was unused for longest; NULL: there is no place. */
static gpu_graph *add(const gpu_device *d, gpu_graphs *graphs, const wh_code *code) {
  make_room(d, graphs, code);
  if (!graphs->n) return NULL;
  gpu_graph *oldest = graphs->list, kept;
  for (gpu_graph *g = graphs->list; g < graphs->list + graphs->n; g++)
    if (g->used < oldest->used) oldest = g;
  if (oldest->exec) (void)d->api->exec_destroy(oldest->exec);
  kept = *oldest;
  *oldest = graphs->wanted;
  graphs->wanted = (gpu_graph){.key = kept.key, .room = kept.room};
  return oldest;
}

gpu_graph *gpu_graphs_find(gpu_device *d, gpu_graphs *graphs, const wh_code *code, size_t first, size_t count,
                           const wh_frame *frame) {
  if (graphs->off) return NULL;
  gpu_graph *g = find_frame(graphs, code, first, count, frame);
  if (g) {
    g->again = true;
  } else {
    if (!write_key(d, &graphs->wanted, code, first, count, frame)) return NULL;
    g = find_key(graphs);
    if (g)
      g->again = true;
    else
      g = add(d, graphs, code);
    if (!g) return NULL;
    g->code = code->id;
    g->frame = frame->id;
    g->first = first;
    g->count = count;
  }
  g->used = ++graphs->clock;
  return g;
}

void gpu_graphs_clear(gpu_device *d, gpu_graphs *graphs) {
  for (gpu_graph *g = graphs->list; g < graphs->list + graphs->n; g++) {
    if (g->exec) (void)d->api->exec_destroy(g->exec);
    wh_free(d->alloc, g->key);
  }
  wh_free(d->alloc, graphs->list);
  wh_free(d->alloc, graphs->wanted.key);
}

/* ---- recording ---- */

wh_status gpu_capture_begin(gpu_emit *e) {
  return gpu_check(e->d->api, e->d->api->capture_begin(e->stream, GPU_CAPTURE_RELAXED), "recording a graph");
}

wh_status gpu_capture_end(gpu_emit *e, wh_status given, void **exec) {
  const gpu_api *api = e->d->api;
  void *graph = NULL;
  const gpu_result r = api->capture_end(e->stream, &graph);
  wh_status st = given == WH_OK ? gpu_check(api, r, "recording a graph") : given;
  if (st == WH_OK) st = gpu_check(api, api->graph_instantiate(exec, graph, 0), "making a graph");
  if (graph) (void)api->graph_destroy(graph);
  return st;
}
