/* extract.c - a node by itself in a folder: graph.txt, and a NumPy file for each constant and input. What a
 * run computed wrong becomes a report that others can run. */
#include "core/exec/extract.h"

#include <stdio.h>

#include "api/api_internal.h"
#include "core/base/file.h"
#include "formats/npy.h"

#define GRAPH_FILE "graph.txt"

/* Names of values are names of files: nothing in them leads out of the folder. */
static wh_status path_in(const char *folder, const char *name, const char *end, char out[WH_FOLDER_PATH]) {
  const size_t n = strlen(name);
  const bool plain = n && n < 256 && name[0] != '.' && !strchr(name, '/');
  if (!plain) return WH_FAIL(ERR_CORRUPT, "%s: '%s' is no name of a file", folder, name);
  const int length = snprintf(out, WH_FOLDER_PATH, "%s/%s%s", folder, name, end);
  if (length < 0 || length >= WH_FOLDER_PATH) return WH_FAIL(ERR_LIMIT, "%s: the path is too long", folder);
  return WH_OK;
}

/* Types that NumPy has no word for are written as bytes: the graph says what they are. */
static wh_status save_value(const char *folder, const wh_graph *g, const wh_value_info *v, const void *data,
                            size_t n_bytes) {
  char path[WH_FOLDER_PATH], header[WH_NPY_HEADER_BYTES];
  wh_tensor t = WH_TENSOR_INIT;
  size_t n;
  WH_TRY(path_in(folder, v->name, ".npy", path));
  t.dtype = v->shape.dtype;
  t.rank = v->shape.rank;
  for (int i = 0; i < t.rank; i++) t.dims[i] = wh_dim_get(&g->dims, v->shape.dims[i])->value;
  t.data = n_bytes ? data : NULL;
  t.n_bytes = n_bytes;
  if (wh_npy_header(t.dtype, t.rank, t.dims, header, &n) != WH_OK) {
    t.dtype = WH_DTYPE_U8;
    t.rank = 1;
    t.dims[0] = (int64_t)n_bytes;
  }
  return wh_npy_save(path, &t);
}

static wh_status save_text(const char *folder, const wh_graph *g) {
  char path[WH_FOLDER_PATH];
  wh_text_buffer text;
  WH_TRY(path_in(folder, GRAPH_FILE, "", path));
  wh_text_buffer_init(&text, g->alloc);
  wh_status st = wh_graph_print(g, &text);
  if (st == WH_OK) st = wh_file_write(path, text.data, text.len, g->alloc);
  wh_text_buffer_deinit(&text);
  return st;
}

static wh_status save(const wh_extract *x, const char *folder) {
  const wh_graph *g = wh_extract_graph(x);
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *info = &g->values[v];
    size_t n_bytes = info->n_bytes;
    const void *data = info->data;
    if (info->kind != WH_VALUE_CONST && info->kind != WH_VALUE_INPUT) continue;
    if (info->kind == WH_VALUE_INPUT) data = wh_extract_input(x, info->name, &n_bytes);
    WH_TRY(save_value(folder, g, info, data, n_bytes));
  }
  return save_text(folder, g); /* the last: a folder that has it is whole */
}

wh_status wh_extraction_begin(wh_extraction *e, const char *node, const char *folder,
                              const wh_allocator *alloc) {
  wh_extraction_drop(e, alloc);
  WH_TRY(wh_extract_create(node, alloc, &e->extract));
  e->folder = wh_alloc_string(alloc, folder, strlen(folder));
  if (e->folder) return WH_OK;
  wh_extraction_drop(e, alloc);
  return WH_OOM("a folder's name");
}

void wh_extraction_drop(wh_extraction *e, const wh_allocator *alloc) {
  wh_extract_destroy(e->extract);
  wh_free(alloc, e->folder);
  *e = (wh_extraction){NULL, NULL};
}

wh_status wh_extraction_end(wh_extraction *e, bool has_past, const wh_allocator *alloc) {
  wh_status st = WH_OK;
  if (!wh_extract_graph(e->extract))
    st = WH_FAIL(ERR_NOT_FOUND, "the program has no such node");
  else if (has_past && wh_extract_reads_states(e->extract))
    st = WH_FAIL(ERR_UNSUPPORTED, "the node reads attention state of q8_0 that earlier runs wrote");
  else
    st = save(e->extract, e->folder);
  wh_extraction_drop(e, alloc);
  return st;
}

/* ---- reading ---- */

static wh_status load_constant(const char *folder, const wh_graph *g, const wh_value_info *c,
                               wh_tensor *tensor, wh_npy_file **file) {
  char path[WH_FOLDER_PATH];
  WH_TRY(path_in(folder, c->name, ".npy", path));
  WH_TRY(wh_npy_load(path, g->alloc, file));
  *tensor = *wh_npy_tensor(*file);
  if (tensor->n_bytes != c->n_bytes)
    return WH_FAIL(ERR_CORRUPT, "%s has %llu bytes; the graph's constant '%s' has %zu", path,
                   (unsigned long long)tensor->n_bytes, c->name, c->n_bytes);
  tensor->dtype = c->shape.dtype;
  tensor->rank = c->shape.rank;
  for (int i = 0; i < tensor->rank; i++) tensor->dims[i] = wh_dim_get(&g->dims, c->shape.dims[i])->value;
  return WH_OK;
}

static wh_status load_constants(wh_model *m, const char *folder) {
  const wh_graph *g = m->graph;
  size_t n = 0;
  wh_tensor *tensors = wh_alloc_array(m->alloc, g->n_values, sizeof *tensors);
  wh_constant *list = wh_alloc_array(m->alloc, g->n_values, sizeof *list);
  wh_npy_file **files = wh_alloc_array(m->alloc, g->n_values, sizeof *files);
  wh_status st = tensors && list && files ? WH_OK : WH_OOM("constants");
  for (wh_value v = 1; v < g->n_values && st == WH_OK; v++) {
    const wh_value_info *c = &g->values[v];
    if (c->kind != WH_VALUE_CONST) continue;
    st = load_constant(folder, g, c, &tensors[n], &files[n]);
    list[n] = (wh_constant){c->name, &tensors[n]};
    n++;
  }
  if (st == WH_OK) st = wh_model_take_constants(m, list, n);
  for (size_t i = 0; files && i < n; i++) wh_npy_destroy(files[i]);
  wh_free(m->alloc, tensors);
  wh_free(m->alloc, list);
  wh_free(m->alloc, files);
  return st;
}

static wh_status read_folder(wh_model *m, const char *folder) {
  char path[WH_FOLDER_PATH];
  wh_file *file = NULL;
  WH_TRY(path_in(folder, GRAPH_FILE, "", path));
  WH_TRY(wh_file_open(path, m->alloc, &file));
  wh_status st = wh_graph_parse((const char *)wh_file_data(file), wh_file_size(file), m->alloc, &m->graph);
  if (st == WH_OK) st = wh_graph_verify(m->graph);
  wh_file_close(file);
  if (st != WH_OK) return wh_fail_prefix("%s", path);
  m->name = wh_alloc_string(m->alloc, m->graph->name, strlen(m->graph->name));
  return m->name ? load_constants(m, folder) : WH_OOM("model name");
}

wh_status wh_model_open_folder(const char *folder, const wh_model_options *options, wh_model **out) {
  wh_model_options o = WH_MODEL_OPTIONS_INIT;
  WH_WANT(folder, "folder");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_MODEL_OPTIONS_INIT);
  wh_model *m = wh_model_new(o.allocator);
  if (!m) return WH_OOM("model");
  wh_status st = read_folder(m, folder);
  if (st != WH_OK) {
    wh_model_destroy(m);
    return st;
  }
  *out = m;
  return WH_OK;
}
