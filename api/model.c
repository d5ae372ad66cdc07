/* model.c - the public face of a model file: its facts, weights, graph. */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "core/base/file.h"
#include "core/passes/passes.h"
#include "import/families/tokenizer_source.h"

wh_status wh_model_want_file(const wh_model *m) {
  if (m->file) return WH_OK;
  return WH_FAIL(ERR_UNSUPPORTED, "'%s' is a graph and no language model; wh_runner_create runs it", m->name);
}

wh_status wh_model_make_graph(const wh_model *m, const wh_model_build_options *options, wh_graph **out,
                              wh_model_hparams *hparams) {
  if (m->file) return wh_model_build_graph(m->file, options, m->alloc, out, hparams);
  if (hparams) *hparams = m->hparams;
  return wh_graph_clone(m->graph, out);
}

/* Texts of a file may hold NUL; where they become C strings it must not cut them. */
static void hide_nul(char *text, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!text[i]) text[i] = '?';
}

static wh_status read_name(wh_model *m) {
  wh_str name;
  WH_TRY(wh_model_file_get_string_or(m->file, "general.name", "", &name));
  m->name = wh_alloc_string(m->alloc, name.data, name.len);
  if (!m->name) return WH_OOM("model name");
  hide_nul(m->name, name.len);
  return WH_OK;
}

wh_model *wh_model_new(const wh_allocator *alloc) {
  wh_model *m = wh_alloc_zeroed(alloc, sizeof *m);
  if (!m) return NULL;
  atomic_init(&m->n_refs, 1);
  m->alloc = alloc;
  (void)pthread_mutex_init(&m->programs_mutex, NULL);
  wh_engine_pool_init(&m->engines);
  return m;
}

/* Whether the file begins as an ONNX model does. One that cannot be read is a matter for who opens it. */
static wh_status begins_as_onnx(const char *path, const wh_allocator *alloc, bool *out) {
  wh_file *f = NULL;
  wh_status st = wh_file_open(path, alloc, &f);
  *out = st == WH_OK && wh_onnx_looks_like(wh_file_data(f), wh_file_size(f));
  wh_file_close(f);
  return st == WH_ERR_OUT_OF_MEMORY ? st : WH_OK;
}

static void weight_done(void *ctx, const void *origin, uint64_t n_bytes) {
  wh_onnx_dont_need(ctx, origin, n_bytes);
}

static wh_status open_onnx(wh_model *m, const char *path) {
  WH_TRY(wh_onnx_open(path, m->alloc, &m->onnx));
  m->engines.weight_done = weight_done;
  m->engines.weight_done_ctx = m->onnx;
  WH_TRY(wh_onnx_net_create(m->onnx, m->alloc, &m->net));
  const wh_str name = m->onnx->graph.name;
  m->name = wh_alloc_string(m->alloc, name.data, name.len);
  if (!m->name) return WH_OOM("model name");
  hide_nul(m->name, name.len);
  return wh_graph_create(m->name, m->alloc, &m->graph);
}

static wh_status open_language_model(wh_model *m, const char *path) {
  WH_TRY(wh_model_file_open(path, m->alloc, &m->file));
  /* Building the graph checks every hyperparameter and weight that the model needs. */
  WH_TRY(wh_model_build_graph(m->file, NULL, m->alloc, &m->graph, &m->hparams));
  return read_name(m);
}

static wh_status want_one_graph(const wh_model *m) {
  if (!m->net) return WH_OK;
  return WH_FAIL(ERR_UNSUPPORTED, "%s: an ONNX model has no one graph: it is built for the inputs of a run",
                 wh_model_path(m));
}

wh_status wh_model_open(const char *path, const wh_model_options *options, wh_model **out) {
  wh_model_options o = WH_MODEL_OPTIONS_INIT;
  WH_WANT(path, "path");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_MODEL_OPTIONS_INIT);
  wh_model *m = wh_model_new(o.allocator);
  if (!m) return WH_OOM("model");
  bool is_onnx = false;
  wh_status st = begins_as_onnx(path, m->alloc, &is_onnx);
  if (st == WH_OK) st = is_onnx ? open_onnx(m, path) : open_language_model(m, path);
  if (st != WH_OK) {
    wh_model_destroy(m);
    return st;
  }
  *out = m;
  return WH_OK;
}

wh_model *wh_model_retain(wh_model *m) {
  if (m) wh_refs_add(&m->n_refs);
  return m;
}

void wh_model_destroy(wh_model *m) {
  if (!m || !wh_refs_drop(&m->n_refs)) return;
  wh_tokenizer_destroy(atomic_load(&m->tokenizer.object));
  wh_chat_template_destroy(atomic_load(&m->chat_template.object));
  wh_ports_destroy(atomic_load(&m->ports.object));
  wh_graph_destroy(m->graph);
  wh_onnx_net_destroy(m->net);
  wh_onnx_close(m->onnx);
  wh_free(m->alloc, m->constants);
  wh_model_file_close(m->file);
  (void)pthread_mutex_destroy(&m->programs_mutex);
  wh_engine_pool_deinit(&m->engines);
  wh_free(m->alloc, m->name);
  wh_free(m->alloc, m);
}

/* Weight i: of the file, or a constant of the graph. */
static bool find_weight(const wh_model *m, size_t i, wh_weight_view *out) {
  if (m->file) {
    if (i >= wh_model_file_n_weights(m->file)) return false;
    *out = *wh_model_file_weight(m->file, i);
    return true;
  }
  if (m->onnx) {
    if (i >= m->onnx->graph.n_initializers) return false;
    const wh_onnx_tensor *t = &m->onnx->graph.initializers[i];
    *out = (wh_weight_view){
        .name = t->name, .dtype = t->dtype, .rank = t->rank, .data = t->raw.data, .n_bytes = t->n_bytes};
    memcpy(out->dims, t->dims, sizeof out->dims);
    return true;
  }
  for (wh_value v = 1; v < m->graph->n_values; v++) {
    const wh_value_info *c = &m->graph->values[v];
    if (c->kind != WH_VALUE_CONST || i-- > 0) continue;
    *out = (wh_weight_view){.name = wh_str_from(c->name),
                            .dtype = c->shape.dtype,
                            .rank = c->shape.rank,
                            .data = c->data,
                            .n_bytes = c->n_bytes};
    for (int d = 0; d < out->rank; d++) out->dims[d] = wh_dim_get(&m->graph->dims, c->shape.dims[d])->value;
    return true;
  }
  return false;
}

wh_status wh_model_get_info(const wh_model *m, wh_model_info *info) {
  WH_WANT(m, "model");
  WH_WANT_INFO(info, "info", WH_MODEL_INFO_INIT);
  wh_model_info full = WH_MODEL_INFO_INIT;
  const wh_model_hparams *h = &m->hparams;
  full.n_layers = (uint32_t)h->n_layers;
  full.path = m->file ? wh_model_file_path(m->file) : m->onnx ? m->onnx->path : "";
  full.format = m->file ? wh_model_file_format(m->file) : m->onnx ? "ONNX" : "graph text";
  full.architecture = h->architecture ? h->architecture : "";
  full.name = m->name;
  full.file_bytes = m->file ? wh_model_file_total_bytes(m->file) : m->onnx ? m->onnx->total_bytes : 0;
  full.context_length = (uint64_t)h->context_length;
  full.n_vocab = (uint64_t)h->n_vocab;
  full.n_embedding = (uint64_t)h->n_embd;
  full.n_experts = (uint64_t)h->n_experts;
  full.n_experts_used = (uint64_t)h->n_experts_used;
  wh_weight_view w;
  for (size_t i = 0; find_weight(m, i, &w); i++) {
    uint64_t n = 1;
    for (int d = 0; d < w.rank; d++) n *= (uint64_t)w.dims[d];
    full.n_parameters += n;
    full.weight_bytes += w.n_bytes;
  }
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_model_graph_hash(const wh_model *m, char out[33]) {
  wh_hash128 hash;
  WH_WANT(m, "model");
  WH_WANT(out, "out");
  WH_TRY(want_one_graph(m));
  WH_TRY(wh_graph_hash(m->graph, &hash));
  wh_hash_format(hash, out);
  return WH_OK;
}

/* Of an ONNX file: who made it, its opsets, then its own properties. */
enum { ONNX_IR, ONNX_PRODUCER, ONNX_PRODUCER_VERSION, ONNX_FACTS };

static size_t onnx_n_metadata(const wh_onnx_file *f) { return ONNX_FACTS + f->n_opsets + f->n_meta; }

static wh_meta_entry text_entry(wh_str key, wh_str value) {
  return (wh_meta_entry){key, {.kind = WH_META_STRING, .s = value}};
}

static wh_meta_entry onnx_metadata(const wh_onnx_file *f, size_t i, char text[32]) {
  if (i == ONNX_PRODUCER) return text_entry(wh_str_from("producer"), f->producer);
  if (i == ONNX_PRODUCER_VERSION) return text_entry(wh_str_from("producer_version"), f->producer_version);
  if (i >= ONNX_FACTS + f->n_opsets)
    return text_entry(f->meta[i - ONNX_FACTS - f->n_opsets].key, f->meta[i - ONNX_FACTS - f->n_opsets].value);
  wh_meta_entry e = {wh_str_from("ir_version"), {.kind = WH_META_INT, .i = f->ir_version}};
  if (i >= ONNX_FACTS) {
    const wh_onnx_opset *o = &f->opsets[i - ONNX_FACTS];
    const wh_str domain = o->domain.len ? o->domain : wh_str_from("ai.onnx");
    (void)snprintf(text, 32, "opset.%.*s", (int)(domain.len < 25 ? domain.len : 25), domain.data);
    e = (wh_meta_entry){wh_str_from(text), {.kind = WH_META_INT, .i = o->version}};
  }
  return e;
}

size_t wh_model_n_metadata(const wh_model *m) {
  if (m && m->onnx) return onnx_n_metadata(m->onnx);
  return m && m->file ? wh_model_file_n_meta(m->file) : 0;
}

/* one line, printable: control characters and invalid bytes become '?' */
static void print_string(wh_text_buffer *b, wh_str s, size_t limit) {
  for (size_t i = 0; i < s.len && i < limit; i++) {
    char c = s.data[i];
    if (c == '\n')
      wh_text_buffer_puts(b, "\\n");
    else if ((unsigned char)c < 32 || c == 127)
      wh_text_buffer_puts(b, "?");
    else
      wh_text_buffer_append(b, &c, 1);
  }
  if (s.len > limit) wh_text_buffer_printf(b, "... (%zu bytes)", s.len);
}

static void print_value(wh_text_buffer *b, const wh_meta_value *v) {
  switch (v->kind) {
    case WH_META_INT:
      wh_text_buffer_printf(b, "%lld", (long long)v->i);
      break;
    case WH_META_UINT:
      wh_text_buffer_printf(b, "%llu", (unsigned long long)v->i);
      break;
    case WH_META_FLOAT:
      wh_text_buffer_printf(b, "%.9g", v->f);
      break;
    case WH_META_BOOL:
      wh_text_buffer_puts(b, v->i ? "true" : "false");
      break;
    case WH_META_STRING:
      print_string(b, v->s, 4096);
      break;
    case WH_META_ARRAY:
      wh_text_buffer_puts(b, "[");
      for (size_t i = 0; i < v->n && i < 6; i++) {
        if (i) wh_text_buffer_puts(b, ", ");
        if (v->ints && v->elem_kind == WH_META_UINT)
          wh_text_buffer_printf(b, "%llu", (unsigned long long)v->ints[i]);
        else if (v->ints)
          wh_text_buffer_printf(b, "%lld", (long long)v->ints[i]);
        else if (v->floats)
          wh_text_buffer_printf(b, "%.9g", v->floats[i]);
        else if (v->strings)
          print_string(b, v->strings[i], 40);
      }
      wh_text_buffer_printf(b, "%s] (%zu)", v->n > 6 ? ", ..." : "", v->n);
      break;
  }
}

static void copy_clipped(char *dst, size_t dst_bytes, const char *src, size_t n) {
  if (!dst_bytes) return;
  if (n > dst_bytes - 1) {
    n = dst_bytes - 1;
    while (n && ((unsigned char)src[n] & 0xc0) == 0x80) n--; /* never half a character */
  }
  if (n) memcpy(dst, src, n);
  hide_nul(dst, n);
  dst[n] = '\0';
}

wh_status wh_model_get_metadata(const wh_model *m, size_t i, char *key, size_t key_bytes, char *value_text,
                                size_t value_bytes) {
  WH_WANT(m, "model");
  WH_WANT(key || !key_bytes, "key");
  WH_WANT(value_text || !value_bytes, "value_text");
  if (i >= wh_model_n_metadata(m)) return WH_FAIL(ERR_NOT_FOUND, "no metadata entry %zu", i);
  wh_meta_entry own;
  char text[32];
  const wh_meta_entry *e = &own;
  if (m->onnx)
    own = onnx_metadata(m->onnx, i, text);
  else
    e = wh_model_file_meta(m->file, i);
  wh_text_buffer b;
  wh_text_buffer_init(&b, m->alloc);
  print_value(&b, &e->value);
  bool oom = b.oom;
  if (!oom) {
    copy_clipped(key, key_bytes, e->key.data, e->key.len);
    copy_clipped(value_text, value_bytes, b.data ? b.data : "", b.len);
  }
  wh_text_buffer_deinit(&b);
  return oom ? WH_OOM("metadata text") : WH_OK;
}

size_t wh_model_n_weights(const wh_model *m) {
  wh_weight_view w;
  size_t n = 0;
  if (m && m->file) return wh_model_file_n_weights(m->file);
  while (m && find_weight(m, n, &w)) n++;
  return n;
}

wh_status wh_model_get_weight(const wh_model *m, size_t i, wh_weight_info *info) {
  WH_WANT(m, "model");
  WH_WANT_INFO(info, "info", WH_WEIGHT_INFO_INIT);
  wh_weight_view w;
  if (!find_weight(m, i, &w)) return WH_FAIL(ERR_NOT_FOUND, "no weight %zu", i);
  wh_weight_info full = WH_WEIGHT_INFO_INIT;
  full.dtype = w.dtype;
  copy_clipped(full.name, sizeof full.name, w.name.data, w.name.len);
  full.rank = w.rank;
  memcpy(full.dims, w.dims, sizeof full.dims);
  full.n_bytes = w.n_bytes;
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_model_weight_hash(const wh_model *m, size_t i, char out[33]) {
  WH_WANT(m, "model");
  WH_WANT(out, "out");
  wh_weight_view w;
  if (!find_weight(m, i, &w)) return WH_FAIL(ERR_NOT_FOUND, "no weight %zu", i);
  if (w.n_bytes && !w.data)
    return WH_FAIL(ERR_UNSUPPORTED, "weight %zu does not lie in the file as bytes", i);
  wh_hash_format(wh_hash_bytes(w.data, w.n_bytes), out);
  return WH_OK;
}

wh_status wh_model_graph_text(const wh_model *m, bool optimised, char **out) {
  wh_graph *rewritten = NULL;
  wh_status st = WH_OK;
  WH_WANT(m, "model");
  WH_WANT(out, "out");
  WH_TRY(want_one_graph(m));
  if (optimised) WH_TRY(wh_graph_clone(m->graph, &rewritten));
  if (optimised) st = wh_passes_run(rewritten, NULL);
  if (st == WH_OK) st = wh_describe_graph(optimised ? rewritten : m->graph, m->alloc, out);
  wh_graph_destroy(rewritten);
  return st;
}

/* ---- lazily built parts ---- */

wh_status wh_model_lazy(const wh_model *m, lazy *l, lazy_builder build, void **out) {
  void *object = atomic_load_explicit(&l->object, memory_order_acquire);
  while (!object && atomic_flag_test_and_set_explicit(&l->building, memory_order_acquire)) {
    (void)sched_yield(); /* another thread builds it */
    object = atomic_load_explicit(&l->object, memory_order_acquire);
  }
  wh_status st = WH_OK;
  if (!object) {
    object = atomic_load_explicit(&l->object, memory_order_acquire);
    if (!object) st = build(m, &object);
    if (st == WH_OK) atomic_store_explicit(&l->object, object, memory_order_release);
    atomic_flag_clear_explicit(&l->building, memory_order_release);
  }
  if (st == WH_OK) *out = object;
  return st;
}

static wh_status build_tokenizer(const wh_model *m, void **out) {
  wh_tokenizer *t = NULL;
  WH_TRY(wh_model_want_file(m));
  WH_TRY(wh_tokenizer_from_model_file(m->file, m->alloc, &t));
  if ((int64_t)wh_tokenizer_n_tokens(t) > m->hparams.n_vocab) {
    size_t n = wh_tokenizer_n_tokens(t);
    wh_tokenizer_destroy(t);
    return WH_FAIL(ERR_CORRUPT, "%s: the tokenizer has %zu tokens, the embedding %lld rows",
                   wh_model_file_path(m->file), n, (long long)m->hparams.n_vocab);
  }
  *out = t;
  return WH_OK;
}

wh_status wh_model_tokenizer(const wh_model *m, const wh_tokenizer **out) {
  void *object = NULL;
  WH_TRY(wh_model_lazy(m, &wh_model_changing(m)->tokenizer, build_tokenizer, &object));
  *out = object;
  return WH_OK;
}

static wh_status build_template(const wh_model *m, void **out) {
  WH_TRY(wh_model_want_file(m));
  const wh_meta_value *v = wh_model_file_find_meta(m->file, "tokenizer.chat_template");
  if (!v) return WH_FAIL(ERR_NOT_FOUND, "%s has no chat template", wh_model_file_path(m->file));
  if (v->kind != WH_META_STRING)
    return WH_FAIL(ERR_CORRUPT, "%s: tokenizer.chat_template is no string", wh_model_file_path(m->file));
  wh_chat_template *t = NULL;
  wh_status st = wh_chat_template_compile(v->s, m->alloc, &t);
  if (st == WH_ERR_INVALID_ARGUMENT) (void)wh_fail_as(WH_ERR_CORRUPT); /* the argument is the file's */
  if (st != WH_OK) return wh_fail_prefix("%s: tokenizer.chat_template", wh_model_file_path(m->file));
  *out = t;
  return WH_OK;
}

wh_status wh_model_template(const wh_model *m, const wh_chat_template **out) {
  void *object = NULL;
  WH_TRY(wh_model_lazy(m, &wh_model_changing(m)->chat_template, build_template, &object));
  *out = object;
  return WH_OK;
}
