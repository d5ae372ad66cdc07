/* test_models.c - the graphs that families build, what they refuse, and that no failed allocation leaks. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/exact_math.h"
#include "formats/gguf_write.h"
#include "import/families/model.h"
#include "import/families/rope.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/models/tiny_cmocka.h"
#include "tests/models/tiny_model.h"

static temp_folder folder;

/* A model that was written, opened and built. */
typedef struct built {
  wh_model_file *file;
  wh_graph *g;
  wh_model_hparams h;
} built;

static wh_model_file *write_and_open(const tiny_model *m) {
  temp_path path = temp_path_of(&folder, "tiny.gguf");
  wh_model_file *file = NULL;
  tiny_model_write(m, path.text);
  if (wh_model_file_open(path.text, NULL, &file) != WH_OK) fail_msg("%s", wh_last_error()->message);
  return file;
}

static built build(const tiny_model *m, const wh_model_build_options *options) {
  built b = {.file = write_and_open(m)};
  if (wh_model_build_graph(b.file, options, NULL, &b.g, &b.h) != WH_OK)
    fail_msg("%s", wh_last_error()->message);
  assert_int_equal(wh_graph_verify(b.g), WH_OK);
  return b;
}

static tiny_model *make(const char *file, const char *name, wh_dtype dtype) {
  tiny_goldens *g = tiny_goldens_load(file);
  tiny_model *m = tiny_model_make(tiny_find_case(g, name), dtype);
  /* names and keys point into the goldens: keep them with the model */
  for (size_t i = 0; i < m->n_weights; i++) {
    wh_str *s = &m->weights[i].name;
    s->data = wh_arena_string(&m->arena, s->data, s->len);
  }
  for (size_t i = 0; i < m->n_meta; i++) {
    wh_str *key = &m->meta[i].key, *s = &m->meta[i].value.s;
    key->data = wh_arena_string(&m->arena, key->data, key->len);
    if (s->data) s->data = wh_arena_string(&m->arena, s->data, s->len);
  }
  tiny_goldens_free(g);
  return m;
}

static built build_case(const char *file, const char *name, const wh_model_build_options *options) {
  tiny_model *m = make(file, name, strstr(name, "norms_f16") ? WH_DTYPE_F16 : WH_DTYPE_F32);
  built b = build(m, options);
  tiny_model_free(m);
  return b;
}

static void unbuild(built *b) {
  wh_graph_destroy(b->g);
  wh_model_file_close(b->file);
}

static const wh_node_info *node(const built *b, const char *name) {
  for (size_t i = 0; i < b->g->n_nodes; i++)
    if (strcmp(b->g->nodes[i].name, name) == 0) return &b->g->nodes[i];
  fail_msg("no node '%s'", name);
  return NULL;
}

static const wh_node_info *layer_node(const built *b, int64_t layer, const char *name) {
  char full[96];
  (void)snprintf(full, sizeof full, "blk.%lld.%s", (long long)layer, name);
  return node(b, full);
}

static const wh_value_info *constant(const built *b, const char *name) {
  for (size_t i = 1; i < b->g->n_values; i++)
    if (b->g->values[i].kind == WH_VALUE_CONST && strcmp(b->g->values[i].name, name) == 0)
      return &b->g->values[i];
  fail_msg("no constant '%s'", name);
  return NULL;
}

static int64_t dim(const built *b, wh_value v, int axis) {
  const wh_dim_expr *e = wh_dim_get(&b->g->dims, b->g->values[v].shape.dims[axis]);
  return e->kind == WH_DIM_CONST ? e->value : -1;
}

static bool dim_is(const built *b, wh_value v, int axis, const char *symbol) {
  const wh_dim_expr *e = wh_dim_get(&b->g->dims, b->g->values[v].shape.dims[axis]);
  return e->kind == WH_DIM_SYMBOL && strcmp(b->g->dims.symbols[e->value], symbol) == 0;
}

static size_t count_ops(const built *b, wh_op op) {
  size_t n = 0;
  for (size_t i = 0; i < b->g->n_nodes; i++) n += b->g->nodes[i].op == op;
  return n;
}

/* ---- structure ---- */

static void check_outside(const built *b, wh_dtype kv_dtype) {
  size_t n_inputs = 0, n_states = 0;
  for (size_t i = 1; i < b->g->n_values; i++) {
    const wh_value_info *v = &b->g->values[i];
    n_inputs += v->kind == WH_VALUE_INPUT;
    if (v->kind != WH_VALUE_STATE) continue;
    bool is_key = strstr(v->name, ".keys") != NULL;
    assert_true(is_key || strstr(v->name, ".values"));
    assert_int_equal(v->shape.dtype, kv_dtype);
    assert_true(dim_is(b, (wh_value)i, 0, "pages"));
    assert_int_equal(dim(b, (wh_value)i, 1), b->h.n_kv_heads);
    assert_int_equal(dim(b, (wh_value)i, 2), WH_KV_PAGE);
    assert_int_equal(dim(b, (wh_value)i, 3), is_key ? b->h.head_dim : b->h.value_dim);
    n_states++;
  }
  assert_int_equal(n_inputs, 5);
  assert_int_equal(n_states, 2 * b->h.n_layers);
  assert_int_equal(b->g->n_outputs, 1);
  assert_string_equal(b->g->outputs[0].name, "logits");
  assert_true(dim_is(b, b->g->outputs[0].value, 0, "outputs"));
  assert_int_equal(dim(b, b->g->outputs[0].value, 1), b->h.n_vocab);
  for (size_t i = 0; i < b->g->n_nodes; i++)
    for (size_t j = 0; j < i; j++) assert_string_not_equal(b->g->nodes[i].name, b->g->nodes[j].name);
}

static void every_family(void **state) {
  (void)state;
  /* per layer: 7 products, 2 norms, 4 reshapes, 2 rotations, 2 appends, attention, activation, product, 2
   * sums */
  static const struct {
    const char *name;
    size_t n_layers, per_layer, outside; /* outside: embedding, rope table, final norm, output and extras */
  } families[] = {
      {"llama", 2, 22, 4},         {"qwen2", 2, 22, 4},
      {"qwen2moe", 2, 27 + 10, 4}, /* + router, choice, softmax, weights, sum; the shared expert */
      {"qwen3", 2, 24, 4},         {"qwen3moe", 2, 24 + 5, 4},
      {"gemma2", 2, 24, 6},        {"gemma3", 3, 26, 4 + 1 + 1},
      {"phi3", 2, 22, 4}};
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
    built b = build_case(families[i].name, families[i].name, NULL);
    assert_string_equal(b.h.architecture, families[i].name);
    assert_int_equal(b.h.n_layers, families[i].n_layers);
    assert_int_equal(b.g->n_nodes, families[i].per_layer * families[i].n_layers + families[i].outside + 2);
    check_outside(&b, WH_DTYPE_F16);
    /* only the rows that are asked for go through the end of the last layer */
    assert_int_equal(count_ops(&b, WH_OP_SELECT_ROWS), 2);
    int64_t last = b.h.n_layers - 1;
    assert_true(dim_is(&b, layer_node(&b, last, "attn")->outputs[0], 0, "tokens"));
    assert_true(dim_is(&b, layer_node(&b, last, "attn_output")->outputs[0], 0, "outputs"));
    assert_true(dim_is(&b, layer_node(&b, last - 1, "ffn_residual")->outputs[0], 0, "tokens"));
    assert_true(dim_is(&b, layer_node(&b, last, "ffn_residual")->outputs[0], 0, "outputs"));
    unbuild(&b);
  }
}

static void kv_dtype(void **state) {
  (void)state;
  wh_model_build_options options = WH_MODEL_BUILD_OPTIONS_INIT;
  options.kv_dtype = WH_DTYPE_F32;
  built b = build_case("llama", "llama", &options);
  check_outside(&b, WH_DTYPE_F32);
  wh_graph *g = NULL;
  options.kv_dtype = WH_DTYPE_Q4_0;
  assert_int_equal(wh_model_build_graph(b.file, &options, NULL, &g, NULL), WH_ERR_INVALID_ARGUMENT);
  assert_null(g);
  unbuild(&b);
  options.kv_dtype = WH_DTYPE_Q8_0;
  b = build_case("llama", "llama", &options);
  check_outside(&b, WH_DTYPE_Q8_0);
  unbuild(&b);
  b = build_case("variants", "gemma3_period_of_six", NULL); /* heads of 16: not whole blocks */
  assert_int_equal(wh_model_build_graph(b.file, &options, NULL, &g, NULL), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "heads of 16 elements cannot be stored as q8_0"));
  assert_null(g);
  unbuild(&b);
}

static void tied_and_untied(void **state) {
  (void)state;
  built tied = build_case("qwen2", "qwen2", NULL), untied = build_case("llama", "llama", NULL);
  assert_true(tied.h.tied_embeddings);
  assert_int_equal(node(&tied, "output")->inputs[1], node(&tied, "token_embd")->inputs[0]);
  assert_false(untied.h.tied_embeddings);
  assert_int_not_equal(node(&untied, "output")->inputs[1], node(&untied, "token_embd")->inputs[0]);
  unbuild(&tied);
  unbuild(&untied);
}

static void biases(void **state) {
  (void)state;
  built b = build_case("variants", "llama_biases", NULL);
  const char *const names[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
  for (size_t i = 0; i < 7; i++) {
    const wh_node_info *n = layer_node(&b, 1, names[i]);
    assert_int_equal(n->n_inputs, 3);
    assert_non_null(strstr(b.g->values[n->inputs[2]].name, ".bias"));
  }
  unbuild(&b);
}

static void check_windows(const built *b, const int64_t *windows) {
  for (int64_t i = 0; i < b->h.n_layers; i++) {
    assert_int_equal(wh_node_i(layer_node(b, i, "attn"), WH_ATTR_WINDOW), windows[i]);
    if (strcmp(b->h.architecture, "gemma3") != 0) continue;
    const wh_node_info *table = node(b, windows[i] ? "rope_local" : "rope");
    assert_int_equal(layer_node(b, i, "attn_q.rope")->inputs[1], table->outputs[0]);
    assert_int_equal(layer_node(b, i, "attn_k.rope")->inputs[1], table->outputs[0]);
  }
}

static void windows_and_caps(void **state) {
  (void)state;
  built b = build_case("variants", "gemma3_period_of_six", NULL);
  check_windows(&b, (int64_t[]){20, 20, 20, 20, 20, 0, 20});
  unbuild(&b);
  b = build_case("variants", "llama_window", NULL);
  check_windows(&b, (int64_t[]){16, 16});
  unbuild(&b);
  b = build_case("gemma2", "gemma2", NULL);
  check_windows(&b, (int64_t[]){24, 0});
  assert_float_equal(wh_node_f(layer_node(&b, 1, "attn"), WH_ATTR_SOFTCAP), 5.0f, 0);
  assert_float_equal(wh_node_f(layer_node(&b, 1, "attn"), WH_ATTR_SCALE), 1.0f / sqrtf(48.0f), 1e-8);
  assert_float_equal(wh_node_f(node(&b, "output.softcap"), WH_ATTR_ALPHA), 3.0f, 0);
  assert_float_equal(wh_node_f(node(&b, "token_embd.scaled"), WH_ATTR_ALPHA), 16.0f, 0);
  unbuild(&b);
}

static void window_flags_per_layer(void **state) {
  (void)state;
  tiny_model *m = make("gemma3", "gemma3", WH_DTYPE_F32);
  static const int64_t flags[] = {0, 1, 1};
  wh_meta_value *v = tiny_model_meta(m, "gemma3.attention.sliding_window_pattern");
  *v = (wh_meta_value){.kind = WH_META_ARRAY,
                       .elem_kind = WH_META_BOOL,
                       .file_type = WH_GGUF_VALUE_BOOL,
                       .n = 3,
                       .ints = flags};
  built b = build(m, NULL);
  check_windows(&b, (int64_t[]){0, 20, 20});
  unbuild(&b);
  tiny_model_free(m);
}

static void gemma2_defaults(void **state) {
  (void)state;
  tiny_model *m = make("gemma2", "gemma2", WH_DTYPE_F32);
  tiny_model_drop_meta(m, "gemma2.attn_logit_softcapping");
  tiny_model_drop_meta(m, "gemma2.final_logit_softcapping");
  tiny_model_drop_meta(m, "gemma2.attention.sliding_window");
  tiny_model_drop_meta(m, "gemma2.attention.scale");
  built b = build(m, NULL);
  check_windows(&b, (int64_t[]){4096, 0});
  assert_float_equal(wh_node_f(layer_node(&b, 0, "attn"), WH_ATTR_SOFTCAP), 50.0f, 0);
  assert_float_equal(wh_node_f(layer_node(&b, 0, "attn"), WH_ATTR_SCALE), 0.125f, 0);
  assert_float_equal(wh_node_f(node(&b, "output.softcap"), WH_ATTR_ALPHA), 30.0f, 0);
  unbuild(&b);
  tiny_model_free(m);
}

static void fused_weights_are_views(void **state) {
  (void)state;
  tiny_model *m = make("phi3", "phi3", WH_DTYPE_Q4_K);
  built b = build(m, NULL);
  const wh_weight_view *qkv = wh_model_file_find_weight(b.file, "blk.1.attn_qkv.weight");
  const wh_weight_view *up = wh_model_file_find_weight(b.file, "blk.1.ffn_up.weight");
  const size_t row = 144; /* 256 elements of Q4_K */
  const struct {
    const char *name;
    const wh_weight_view *of;
    size_t first, n;
  } parts[] = {{"blk.1.attn_qkv.weight[q]", qkv, 0, 256},
               {"blk.1.attn_qkv.weight[k]", qkv, 256, 128},
               {"blk.1.attn_qkv.weight[v]", qkv, 384, 128},
               {"blk.1.ffn_up.weight[gate]", up, 0, 256},
               {"blk.1.ffn_up.weight[up]", up, 256, 256}};
  for (size_t i = 0; i < 5; i++) {
    const wh_value_info *v = constant(&b, parts[i].name);
    assert_ptr_equal(v->origin, parts[i].of);
    assert_ptr_equal(v->data, (const char *)parts[i].of->data + parts[i].first * row);
    assert_int_equal(v->n_bytes, parts[i].n * row);
  }
  unbuild(&b);
  tiny_model_free(m);
}

static void half_norms_become_f32(void **state) {
  (void)state;
  built b = build_case("variants", "llama_norms_f16", NULL);
  const wh_weight_view *w = wh_model_file_find_weight(b.file, "blk.0.attn_norm.weight");
  const wh_value_info *v = constant(&b, "blk.0.attn_norm.weight");
  assert_int_equal(w->dtype, WH_DTYPE_F16);
  assert_int_equal(v->shape.dtype, WH_DTYPE_F32);
  for (size_t i = 0; i < 64; i++)
    assert_float_equal(((const float *)v->data)[i], wh_f32_from_f16(((const uint16_t *)w->data)[i]), 0);
  unbuild(&b);
}

/* ---- experts ---- */

static void check_experts(const char *file, const char *name, int64_t n, int64_t used, int64_t n_ff,
                          bool normalise) {
  built b = build_case(file, name, NULL);
  assert_int_equal(b.h.n_experts, n);
  assert_int_equal(b.h.n_experts_used, used);
  for (int64_t i = 0; i < b.h.n_layers; i++) {
    const wh_node_info *gate = layer_node(&b, i, "ffn_gate_exps"), *down = layer_node(&b, i, "ffn_down_exps");
    const wh_node_info *select = layer_node(&b, i, "ffn_experts"),
                       *weights = layer_node(&b, i, "ffn_expert_weights");
    assert_int_equal(wh_node_i(select, WH_ATTR_USED), used);
    assert_int_equal(wh_node_i(weights, WH_ATTR_NORMALISE), normalise);
    assert_float_equal(wh_node_f(weights, WH_ATTR_SCALE), 1, 0);
    assert_int_equal(gate->inputs[2], select->outputs[0]);
    assert_int_equal(down->inputs[2], select->outputs[0]);
    assert_int_equal(dim(&b, gate->inputs[1], 0), n);
    assert_int_equal(dim(&b, gate->inputs[1], 1), n_ff);
    assert_int_equal(dim(&b, down->inputs[1], 2), n_ff);
    assert_int_equal(dim(&b, layer_node(&b, i, "ffn_gate_inp")->inputs[1], 0), n);
  }
  unbuild(&b);
}

static void experts(void **state) {
  (void)state;
  check_experts("mixtral", "mixtral", 8, 2, 256, true);
  check_experts("qwen2moe", "qwen2moe", 12, 3, 256, false);
  check_experts("qwen2moe", "qwen2moe_normalised", 12, 3, 48, true);
  check_experts("qwen3moe", "qwen3moe", 12, 3, 256, true);
  check_experts("qwen3moe", "qwen3moe_as_they_are", 12, 3, 48, false);
  check_experts("qwen3moe", "qwen3moe_all_used", 4, 4, 48, true);
}

/* Early files of qwen2moe name one length for the shared expert, and the experts share it out. */
static void expert_defaults(void **state) {
  (void)state;
  tiny_model *m = make("qwen2moe", "qwen2moe", WH_DTYPE_F32);
  tiny_model_drop_meta(m, "qwen2moe.expert_feed_forward_length");
  tiny_model_drop_meta(m, "qwen2moe.expert_shared_feed_forward_length");
  tiny_model_set(m, wh_gguf_meta_u32("qwen2moe.feed_forward_length", 512));
  tiny_model_set(m, wh_gguf_meta_u32("qwen2moe.expert_used_count", 2));
  tiny_model_set(m, wh_gguf_meta_f32("qwen2moe.expert_weights_scale", 2.5f));
  built b = build(m, NULL);
  assert_int_equal(b.h.n_ff_expert, 256);
  assert_int_equal(b.h.n_ff_shared, 512);
  assert_float_equal(wh_node_f(layer_node(&b, 0, "ffn_expert_weights"), WH_ATTR_SCALE), 2.5f, 0);
  unbuild(&b);
  tiny_model_free(m);
}

/* A list of equal values is a value; other lists are refused. */
static void values_per_layer(void **state) {
  (void)state;
  tiny_model *m = make("llama", "llama", WH_DTYPE_F32);
  int64_t per_layer[] = {2, 2};
  *tiny_model_meta(m, "llama.attention.head_count_kv") = (wh_meta_value){.kind = WH_META_ARRAY,
                                                                         .elem_kind = WH_META_INT,
                                                                         .file_type = WH_GGUF_VALUE_U32,
                                                                         .n = 2,
                                                                         .ints = per_layer};
  built b = build(m, NULL);
  assert_int_equal(b.h.n_kv_heads, 2);
  unbuild(&b);
  per_layer[1] = 4;
  wh_model_file *file = write_and_open(m);
  wh_graph *g = NULL;
  assert_int_equal(wh_model_build_graph(file, NULL, NULL, &g, NULL), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "'llama.attention.head_count_kv' differs between layers"));
  wh_model_file_close(file);
  tiny_model_free(m);
}

/* ---- rotary frequencies ---- */

static void check_frequencies(const built *b, const char *name, double base, double (*divide)(int i)) {
  const wh_value_info *v = constant(b, name);
  int n = (int)(v->n_bytes / sizeof(float));
  for (int i = 0; i < n; i++) {
    double want = pow(base, -(double)i / n) / divide(i);
    assert_float_equal(((const float *)v->data)[i], want, want * 6e-8);
  }
}
static double by_1(int i) { return (void)i, 1; }
static double by_4(int i) { return (void)i, 4; }
static double by_short(int i) { return 1 + i / 32.0; }
static double by_long(int i) { return 1 + i * i / 16.0; }

static void rope_frequencies(void **state) {
  (void)state;
  built b = build_case("llama", "llama", NULL);
  check_frequencies(&b, "rope.inv_freq", 10000, by_1);
  assert_float_equal(wh_node_f(node(&b, "rope"), WH_ATTR_MSCALE), 1.0f, 0);
  assert_int_equal(count_ops(&b, WH_OP_ROPE_TABLE), 1);
  assert_int_equal(wh_node_i(layer_node(&b, 0, "attn_q.rope"), WH_ATTR_NEOX), 0);
  unbuild(&b);
  b = build_case("qwen2", "qwen2", NULL);
  check_frequencies(&b, "rope.inv_freq", 1000000, by_1);
  assert_int_equal(wh_node_i(layer_node(&b, 0, "attn_k.rope"), WH_ATTR_NEOX), 1);
  unbuild(&b);
  b = build_case("variants", "llama_linear", NULL);
  check_frequencies(&b, "rope.inv_freq", 10000, by_4);
  unbuild(&b);
  b = build_case("variants", "gemma3_period_of_six", NULL);
  check_frequencies(&b, "rope_local.inv_freq", 10000, by_1);
  assert_int_equal(count_ops(&b, WH_OP_ROPE_TABLE), 2);
  unbuild(&b);
}

/* Both sets, short first, and an input that chooses; the short one alone when no sequence can outgrow it. */
static void rope_long_and_short(void **state) {
  (void)state;
  wh_model_build_options options = WH_MODEL_BUILD_OPTIONS_INIT;
  float magnitude = (float)sqrt(1 + log(512.0 / 64) / log(64));
  for (int64_t context = 64; context <= 65; context++) {
    bool both = context > 64;
    options.context = context;
    built b = build_case("variants", "phi3_longrope_long", &options);
    const float *inv_freq = constant(&b, "rope.inv_freq")->data;
    assert_int_equal(constant(&b, "rope.inv_freq")->n_bytes, (both ? 48 : 24) * sizeof(float));
    for (int i = 0; i < 24; i++) {
      double want = pow(10000, -i / 24.0);
      assert_float_equal(inv_freq[i], want / by_short(i), want * 6e-8);
      if (both) assert_float_equal(inv_freq[24 + i], want / by_long(i), want * 6e-8);
    }
    assert_int_equal(b.h.long_rope_border, both ? 64 : 0);
    assert_int_equal(count_ops(&b, WH_OP_GATHER_ROWS), both ? 2 : 1);
    if (both) assert_string_equal(b.g->values[node(&b, "rope.set")->inputs[1]].name, "rope_sets");
    assert_float_equal(wh_node_f(node(&b, "rope"), WH_ATTR_MSCALE), magnitude, 1e-6);
    unbuild(&b);
  }
  /* the attention factor follows from the trained context when the file does not say it */
  tiny_model *m = make("variants", "phi3_longrope_long", WH_DTYPE_F32);
  tiny_model_drop_meta(m, "phi3.rope.scaling.attn_factor");
  built b = build(m, NULL);
  assert_float_equal(wh_node_f(node(&b, "rope"), WH_ATTR_MSCALE), magnitude, 1e-7);
  unbuild(&b);
  tiny_model_drop_weight(m, "rope_factors_short.weight");
  wh_model_file *file = write_and_open(m);
  wh_graph *g = NULL;
  assert_int_equal(wh_model_build_graph(file, NULL, NULL, &g, NULL), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "tensor 'rope_factors_short.weight' is missing"));
  wh_model_file_close(file);
  tiny_model_drop_weight(m, "rope_factors_long.weight");
  tiny_model_set(m, wh_gguf_meta_string("phi3.rope.scaling.type", "longrope"));
  file = write_and_open(m);
  assert_int_equal(wh_model_build_graph(file, NULL, NULL, &g, NULL), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "tensor 'rope_factors_short.weight' is missing"));
  wh_model_file_close(file);
  tiny_model_free(m);
}

/* Fast frequencies are kept, slow ones divided, and what is between lies between. */
static void rope_yarn(void **state) {
  (void)state;
  wh_rope_params p = {WH_ROPE_YARN, 128, 1000000, 4, 32768, 1, 1, 32, 1};
  float plain[64], yarn[64];
  wh_rope_frequencies(&p, NULL, yarn);
  assert_float_equal(wh_rope_magnitude(&p), 1 + 0.1 * log(4), 1e-7);
  p.scaling = WH_ROPE_PLAIN;
  wh_rope_frequencies(&p, NULL, plain);
  for (int i = 0; i < 64; i++) {
    double turns = 32768 * (double)plain[i] / 6.283185307179586, kept = (double)yarn[i] / (double)plain[i];
    if (turns > 32 * 1.5) assert_float_equal(kept, 1, 1e-6);
    if (turns < 1 / 1.5) assert_float_equal(kept, 0.25, 1e-6);
    assert_true(kept > 0.2499999 && kept < 1.0000001);
    if (i > 0) assert_true(yarn[i] < yarn[i - 1]);
  }
}

/* ---- what is refused ---- */

typedef enum change_kind {
  SET_INT,
  SET_FLOAT,
  SET_STRING,
  DROP_KEY,
  DROP_TENSOR,
  SET_ROWS,
  SET_COLUMNS,
  SET_RANK,
  SET_DTYPE
} change_kind;

typedef struct refusal {
  const char *family;
  change_kind kind;
  const char *name;
  double number;
  const char *text;
  wh_status status;
  const char *message;
} refusal;

static const refusal refusals[] = {
    {"llama", SET_STRING, "general.architecture", 0, "mamba", WH_ERR_UNSUPPORTED,
     "architecture 'mamba' is not supported; known are llama, qwen2, qwen2moe, qwen3, qwen3moe, gemma2, "
     "gemma3, phi3"},
    {"llama", DROP_KEY, "general.architecture", 0, NULL, WH_ERR_CORRUPT, "'general.architecture' is missing"},
    {"llama", DROP_KEY, "llama.block_count", 0, NULL, WH_ERR_CORRUPT, "'llama.block_count' is missing"},
    {"llama", SET_INT, "llama.block_count", 0, NULL, WH_ERR_CORRUPT, "'llama.block_count' is 0"},
    {"llama", SET_INT, "llama.block_count", 100000, NULL, WH_ERR_CORRUPT, "'llama.block_count' is 100000"},
    {"llama", SET_INT, "llama.block_count", 3, NULL, WH_ERR_CORRUPT,
     "tensor 'blk.2.attn_norm.weight' is missing"},
    {"llama", SET_INT, "llama.context_length", 0, NULL, WH_ERR_CORRUPT, "'llama.context_length' is 0"},
    {"llama", SET_INT, "llama.embedding_length", 4000000000, NULL, WH_ERR_CORRUPT,
     "'llama.embedding_length'"},
    {"llama", SET_INT, "llama.embedding_length", 255, NULL, WH_ERR_CORRUPT, "makes no heads"},
    {"llama", SET_INT, "llama.embedding_length", 128, NULL, WH_ERR_CORRUPT,
     "tensor 'token_embd.weight' has 192 rows of 256"},
    {"llama", SET_STRING, "llama.embedding_length", 0, "256", WH_ERR_CORRUPT, "is a string, want an integer"},
    {"llama", SET_INT, "llama.feed_forward_length", 512, NULL, WH_ERR_CORRUPT,
     "tensor 'blk.0.ffn_gate.weight'"},
    {"llama", SET_INT, "llama.attention.head_count", 0, NULL, WH_ERR_CORRUPT,
     "'llama.attention.head_count' is 0"},
    {"llama", SET_INT, "llama.attention.head_count", 5, NULL, WH_ERR_CORRUPT, "no multiple of head_count_kv"},
    {"llama", SET_INT, "llama.attention.head_count_kv", 3, NULL, WH_ERR_CORRUPT,
     "no multiple of head_count_kv, 3"},
    {"llama", SET_INT, "llama.attention.key_length", 2000, NULL, WH_ERR_CORRUPT,
     "'llama.attention.key_length' is 2000"},
    {"llama", SET_INT, "llama.rope.dimension_count", 128, NULL, WH_ERR_CORRUPT,
     "'llama.rope.dimension_count' is 128"},
    {"llama", SET_INT, "llama.rope.dimension_count", 33, NULL, WH_ERR_CORRUPT, "in pairs"},
    {"llama", SET_FLOAT, "llama.rope.freq_base", -1, NULL, WH_ERR_CORRUPT, "'llama.rope.freq_base' is -1"},
    {"llama", SET_FLOAT, "llama.rope.freq_base", INFINITY, NULL, WH_ERR_CORRUPT,
     "'llama.rope.freq_base' is inf"},
    {"llama", SET_FLOAT, "llama.rope.scaling.factor", -2, NULL, WH_ERR_CORRUPT,
     "'llama.rope.scaling.factor' is -2"},
    {"llama", SET_FLOAT, "llama.rope.scaling.factor", 1e-30, NULL, WH_ERR_CORRUPT,
     "want 0 or at least 0.001"},
    {"llama", SET_STRING, "llama.rope.scaling.type", 0, "ntk", WH_ERR_UNSUPPORTED,
     "'llama.rope.scaling.type' is 'ntk'"},
    {"llama", DROP_KEY, "llama.attention.layer_norm_rms_epsilon", 0, NULL, WH_ERR_CORRUPT,
     "rms_epsilon' is missing"},
    {"llama", SET_FLOAT, "llama.attention.layer_norm_rms_epsilon", 0, NULL, WH_ERR_CORRUPT,
     "rms_epsilon' is 0"},
    {"gemma2", SET_INT, "gemma2.expert_count", 8, NULL, WH_ERR_UNSUPPORTED,
     "'gemma2.expert_count': models of this architecture with experts are not supported"},
    {"llama", SET_INT, "llama.expert_count", 8, NULL, WH_ERR_CORRUPT, "'llama.expert_used_count' is missing"},
    {"mixtral", SET_INT, "llama.expert_count", 0, NULL, WH_ERR_CORRUPT, "'blk.0.ffn_gate.weight' is missing"},
    {"mixtral", SET_INT, "llama.expert_count", 4000000000, NULL, WH_ERR_CORRUPT,
     "'llama.expert_count' is 4000000000"},
    {"mixtral", SET_INT, "llama.expert_count", 9, NULL, WH_ERR_CORRUPT,
     "tensor 'blk.0.ffn_gate_inp.weight' has 8 rows of 256, the hyperparameters give 9"},
    {"mixtral", SET_INT, "llama.expert_used_count", 0, NULL, WH_ERR_CORRUPT,
     "'llama.expert_used_count' is 0"},
    {"mixtral", SET_INT, "llama.expert_used_count", 9, NULL, WH_ERR_CORRUPT,
     "'llama.expert_used_count' is 9"},
    {"mixtral", SET_INT, "llama.expert_gating_func", 2, NULL, WH_ERR_UNSUPPORTED, "only softmax"},
    {"mixtral", SET_INT, "llama.expert_group_count", 2, NULL, WH_ERR_UNSUPPORTED, "groups of experts"},
    {"mixtral", SET_FLOAT, "llama.expert_weights_scale", -1, NULL, WH_ERR_CORRUPT,
     "expert_weights_scale' is -1"},
    {"mixtral", DROP_TENSOR, "blk.1.ffn_up_exps.weight", 0, NULL, WH_ERR_CORRUPT,
     "tensor 'blk.1.ffn_up_exps.weight' is missing"},
    {"mixtral", SET_ROWS, "blk.0.ffn_gate_exps.weight", 7, NULL, WH_ERR_CORRUPT,
     "'blk.0.ffn_gate_exps.weight' has rank 3 and 7 matrices of 256 rows of 256, the hyperparameters give 8 "
     "of 256"},
    {"mixtral", SET_COLUMNS, "blk.0.ffn_down_exps.weight", 128, NULL, WH_ERR_CORRUPT,
     "'blk.0.ffn_down_exps.weight' has rank 3 and 8 matrices of 128 rows of 256"},
    {"mixtral", SET_RANK, "blk.0.ffn_up_exps.weight", 2, NULL, WH_ERR_CORRUPT,
     "'blk.0.ffn_up_exps.weight' has rank 2 and 8 matrices"},
    {"mixtral", SET_DTYPE, "blk.0.ffn_up_exps.weight", WH_DTYPE_I16, NULL, WH_ERR_UNSUPPORTED,
     "'blk.0.ffn_up_exps.weight' is i16"},
    {"qwen2moe", SET_INT, "qwen2moe.expert_count", 0, NULL, WH_ERR_CORRUPT, "'qwen2moe.expert_count' is 0"},
    {"qwen2moe", DROP_KEY, "qwen2moe.expert_count", 0, NULL, WH_ERR_CORRUPT,
     "'qwen2moe.expert_count' is missing"},
    {"qwen2moe", SET_INT, "qwen2moe.expert_shared_feed_forward_length", 256, NULL, WH_ERR_CORRUPT,
     "tensor 'blk.0.ffn_gate_shexp.weight' has 512 rows"},
    {"qwen2moe", SET_ROWS, "blk.0.ffn_gate_inp_shexp.weight", 255, NULL, WH_ERR_CORRUPT,
     "want a vector of 256"},
    {"qwen3moe", SET_INT, "qwen3moe.expert_feed_forward_length", 128, NULL, WH_ERR_CORRUPT,
     "'blk.0.ffn_gate_exps.weight' has rank 3 and 12 matrices of 256 rows of 256, the hyperparameters give "
     "12 of 128"},
    {"qwen3moe", SET_INT, "qwen3moe.expert_shared_feed_forward_length", 128, NULL, WH_ERR_CORRUPT,
     "'blk.0.ffn_gate_inp_shexp.weight' is missing"},
    {"llama", DROP_TENSOR, "token_embd.weight", 0, NULL, WH_ERR_CORRUPT,
     "tensor 'token_embd.weight' is missing"},
    {"llama", DROP_TENSOR, "blk.1.attn_v.weight", 0, NULL, WH_ERR_CORRUPT,
     "tensor 'blk.1.attn_v.weight' is missing"},
    {"llama", DROP_TENSOR, "output_norm.weight", 0, NULL, WH_ERR_CORRUPT,
     "tensor 'output_norm.weight' is missing"},
    {"llama", SET_ROWS, "blk.0.attn_k.weight", 64, NULL, WH_ERR_CORRUPT,
     "'blk.0.attn_k.weight' has 64 rows of 256, the hyperparameters give 128"},
    {"llama", SET_COLUMNS, "blk.0.attn_k.weight", 128, NULL, WH_ERR_CORRUPT,
     "'blk.0.attn_k.weight' has 128 rows of 128"},
    {"llama", SET_ROWS, "blk.0.ffn_norm.weight", 64, NULL, WH_ERR_CORRUPT, "want a vector of 256"},
    {"llama", SET_ROWS, "output.weight", 191, NULL, WH_ERR_CORRUPT, "tensor 'output.weight' has 191 rows"},
    {"llama", SET_DTYPE, "blk.0.attn_q.weight", WH_DTYPE_I8, NULL, WH_ERR_UNSUPPORTED,
     "'blk.0.attn_q.weight' is i8"},
    {"llama", SET_DTYPE, "blk.0.attn_norm.weight", WH_DTYPE_Q8_0, NULL, WH_ERR_UNSUPPORTED,
     "'blk.0.attn_norm.weight' is q8_0"},
    {"qwen2", SET_ROWS, "blk.0.attn_q.bias", 128, NULL, WH_ERR_CORRUPT, "'blk.0.attn_q.bias'"},
    {"qwen3", DROP_TENSOR, "blk.0.attn_q_norm.weight", 0, NULL, WH_ERR_CORRUPT,
     "'blk.0.attn_q_norm.weight' is missing"},
    {"gemma2", SET_FLOAT, "gemma2.attn_logit_softcapping", -5, NULL, WH_ERR_CORRUPT,
     "'gemma2.attn_logit_softcapping' is -5"},
    {"gemma3", SET_INT, "gemma3.attention.sliding_window_pattern", 0, NULL, WH_ERR_CORRUPT,
     "sliding_window_pattern' is 0"},
    {"gemma3", DROP_TENSOR, "blk.0.post_ffw_norm.weight", 0, NULL, WH_ERR_CORRUPT,
     "'blk.0.post_ffw_norm.weight' is missing"},
    {"phi3", SET_ROWS, "blk.0.attn_qkv.weight", 256, NULL, WH_ERR_CORRUPT,
     "'blk.0.attn_qkv.weight' has 256 rows of 256, the hyperparameters give 512"},
    {"phi3", SET_ROWS, "blk.1.ffn_up.weight", 256, NULL, WH_ERR_CORRUPT,
     "'blk.1.ffn_up.weight' has 256 rows"},
};

static void apply(tiny_model *m, const refusal *r) {
  switch (r->kind) {
    case SET_INT:
      tiny_model_set(m, wh_gguf_meta_u32(r->name, (uint32_t)r->number));
      break;
    case SET_FLOAT:
      tiny_model_set(m, wh_gguf_meta_f32(r->name, (float)r->number));
      break;
    case SET_STRING:
      tiny_model_set(m, wh_gguf_meta_string(r->name, r->text));
      break;
    case DROP_KEY:
      tiny_model_drop_meta(m, r->name);
      break;
    case DROP_TENSOR:
      tiny_model_drop_weight(m, r->name);
      break;
    case SET_ROWS:
      tiny_model_weight(m, r->name)->dims[0] = (int64_t)r->number;
      break;
    case SET_COLUMNS:
      tiny_model_weight(m, r->name)->dims[1] = (int64_t)r->number;
      break;
    case SET_RANK:
      tiny_model_weight(m, r->name)->rank = (int)r->number;
      break;
    case SET_DTYPE:
      tiny_model_weight(m, r->name)->dtype = (wh_dtype)r->number;
      break;
  }
}

static void refuses(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    const refusal *r = &refusals[i];
    tiny_model *m = make(r->family, r->family, WH_DTYPE_F32);
    apply(m, r);
    wh_model_file *file = write_and_open(m);
    wh_graph *g = NULL;
    wh_status status = wh_model_build_graph(file, NULL, NULL, &g, NULL);
    const char *message = wh_last_error()->message;
    if (status != r->status || !strstr(message, r->message)) fail_msg("%s: got '%s'", r->message, message);
    if (!strstr(message, "tiny.gguf: ")) fail_msg("no file name: %s", message);
    assert_null(g);
    wh_model_file_close(file);
    tiny_model_free(m);
  }
}

/* An old file of a mixture of experts: a tensor for every expert. */
static void experts_of_an_old_file(void **state) {
  (void)state;
  tiny_model *m = make("mixtral", "mixtral", WH_DTYPE_F32);
  wh_weight_view *w = tiny_model_weight(m, "blk.0.ffn_gate_exps.weight");
  w->name = wh_str_from("blk.0.ffn_gate.0.weight");
  w->rank = 2;
  w->dims[0] = w->dims[1] = 256;
  wh_model_file *file = write_and_open(m);
  wh_graph *g = NULL;
  assert_int_equal(wh_model_build_graph(file, NULL, NULL, &g, NULL), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "'blk.0.ffn_gate.0.weight' holds one expert"));
  assert_non_null(strstr(wh_last_error()->message, "convert the model again"));
  wh_model_file_close(file);
  tiny_model_free(m);
}

static void vocabulary_must_agree(void **state) {
  (void)state;
  static wh_str tokens[193];
  for (size_t n = 191; n <= 193; n++) {
    tiny_model *m = make("llama", "llama", WH_DTYPE_F32);
    for (size_t i = 0; i < n; i++) tokens[i] = wh_str_from("x");
    wh_meta_value v = {.kind = WH_META_ARRAY, .elem_kind = WH_META_STRING, .file_type = WH_GGUF_VALUE_STRING};
    v.n = n;
    v.strings = tokens;
    tiny_model_set(m, (wh_meta_entry){wh_str_from("tokenizer.ggml.tokens"), v});
    wh_model_file *file = write_and_open(m);
    wh_graph *g = NULL;
    assert_int_equal(wh_model_build_graph(file, NULL, NULL, &g, NULL), n == 192 ? WH_OK : WH_ERR_CORRUPT);
    if (n != 192) assert_non_null(strstr(wh_last_error()->message, "'tokenizer.ggml.tokens' has 19"));
    wh_graph_destroy(g);
    wh_model_file_close(file);
    tiny_model_free(m);
  }
}

static void bad_rope_factors(void **state) {
  (void)state;
  static const float bad[] = {0, -1, NAN, INFINITY};
  for (size_t i = 0; i < 4; i++) {
    tiny_model *m = make("variants", "llama_llama3", WH_DTYPE_F32);
    float factors[8] = {1, 1, 1, 1, 1, 1, 1, bad[i]};
    tiny_model_weight(m, "rope_freqs.weight")->data = factors;
    wh_model_file *file = write_and_open(m);
    wh_graph *g = NULL;
    assert_int_equal(wh_model_build_graph(file, NULL, NULL, &g, NULL), WH_ERR_CORRUPT);
    assert_non_null(strstr(wh_last_error()->message, "tensor 'rope_freqs.weight': factor 7"));
    wh_model_file_close(file);
    tiny_model_free(m);
  }
}

/* ---- memory ---- */

static void failing_allocations(void **state) {
  (void)state;
  static const char *const names[][2] = {{"variants", "llama_norms_f16"},
                                         {"variants", "gemma3_period_of_six"},
                                         {"variants", "phi3_longrope_short"},
                                         {"qwen2moe", "qwen2moe"}};
  for (size_t i = 0; i < 4; i++) {
    built b = build_case(names[i][0], names[i][1], NULL);
    wh_status status = WH_ERR_OUT_OF_MEMORY;
    size_t k = 0;
    while (status != WH_OK) {
      failing_allocator a;
      wh_graph *g = NULL;
      wh_model_hparams h = {.n_layers = -1};
      status = wh_model_build_graph(b.file, NULL, failing_allocator_init(&a, ++k), &g, &h);
      if (status != WH_OK) {
        assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
        assert_null(g);
        assert_int_equal(h.n_layers, -1);
      }
      wh_graph_destroy(g);
      assert_int_equal(a.n_live, 0);
    }
    assert_true(k > 5);
    unbuild(&b);
  }
}

static int make_folder(void **state) {
  (void)state;
  folder = temp_folder_create();
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_family),
      cmocka_unit_test(kv_dtype),
      cmocka_unit_test(tied_and_untied),
      cmocka_unit_test(biases),
      cmocka_unit_test(windows_and_caps),
      cmocka_unit_test(window_flags_per_layer),
      cmocka_unit_test(gemma2_defaults),
      cmocka_unit_test(fused_weights_are_views),
      cmocka_unit_test(half_norms_become_f32),
      cmocka_unit_test(values_per_layer),
      cmocka_unit_test(rope_frequencies),
      cmocka_unit_test(rope_long_and_short),
      cmocka_unit_test(rope_yarn),
      cmocka_unit_test(experts),
      cmocka_unit_test(expert_defaults),
      cmocka_unit_test(experts_of_an_old_file),
      cmocka_unit_test(refuses),
      cmocka_unit_test(vocabulary_must_agree),
      cmocka_unit_test(bad_rope_factors),
      cmocka_unit_test(failing_allocations),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
