/* builder.c - the layers that families share. */
#include "import/families/builder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void wh_builder_keep(wh_builder *b, wh_status status) {
  if (b->status == WH_OK) b->status = status;
}

void wh_builder_check(wh_builder *b, wh_status status) {
  if (b->status != WH_OK || status == WH_OK) return;
  if (status == WH_ERR_INVALID_ARGUMENT) status = wh_fail_as(WH_ERR_CORRUPT); /* to the graph, the file's */
  const char *path = wh_model_file_path(b->file);
  size_t n = strlen(path), tail = 180; /* the record must hold the sentence too */
  (void)wh_fail_prefix("%s%s", n > tail ? "..." : "", n > tail ? path + n - tail : path);
  b->status = status;
}

const char *wh_builder_name(const wh_builder *b, const char *name, const char *suffix,
                            char out[WH_BUILDER_NAME_BYTES]) {
  if (b->layer == WH_NO_LAYER)
    (void)snprintf(out, WH_BUILDER_NAME_BYTES, "%s%s", name, suffix);
  else
    (void)snprintf(out, WH_BUILDER_NAME_BYTES, "blk.%" PRId64 ".%s%s", b->layer, name, suffix);
  return out;
}

static wh_value add_node(wh_builder *b, wh_op op, const char *name, const char *suffix,
                         const wh_value *inputs, size_t n_inputs, const wh_attr *attrs, size_t n_attrs) {
  char full[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_name(b, name, suffix, full);
  wh_builder_check(b, wh_graph_add_node(b->g, op, full, inputs, n_inputs, attrs, n_attrs, &v));
  return v;
}

wh_value wh_builder_input(wh_builder *b, const char *name, const wh_dim *dims, int rank) {
  wh_shape shape = {.dtype = WH_DTYPE_I32, .rank = rank};
  wh_value v = 0;
  for (int i = 0; i < rank; i++) shape.dims[i] = dims[i];
  if (b->status == WH_OK) wh_builder_check(b, wh_graph_add_input(b->g, name, &shape, &v));
  return v;
}

wh_value wh_build_node(wh_builder *b, wh_op op, const char *name, const wh_value *inputs, size_t n_inputs,
                       const wh_attr *attrs, size_t n_attrs) {
  return add_node(b, op, name, "", inputs, n_inputs, attrs, n_attrs);
}

static wh_attr float_attr(wh_attr_key key, double f) { return (wh_attr){.key = key, .f = (float)f}; }
static wh_attr int_attr(wh_attr_key key, int64_t i) { return (wh_attr){.key = key, .i = i}; }

wh_value wh_build_op(wh_builder *b, wh_op op, const char *name, wh_value x, wh_value y) {
  return add_node(b, op, name, "", (wh_value[]){x, y}, y ? 2 : 1, NULL, 0);
}

wh_value wh_build_scale(wh_builder *b, const char *name, wh_value x, double alpha) {
  wh_attr attr = float_attr(WH_ATTR_ALPHA, alpha);
  return add_node(b, WH_OP_SCALE, name, "", &x, 1, &attr, 1);
}

wh_value wh_build_embedding(wh_builder *b) {
  b->token_embd = wh_builder_matrix(b, "token_embd", b->h.n_vocab, b->h.n_embd);
  return add_node(b, WH_OP_GATHER_ROWS, "token_embd", "", (wh_value[]){b->token_embd, b->tokens}, 2, NULL, 0);
}

wh_value wh_build_rms_norm(wh_builder *b, const char *name, wh_value x, int64_t n) {
  wh_value w = wh_builder_vector(b, name, ".weight", n);
  wh_attr eps = float_attr(WH_ATTR_EPS, b->h.norm_eps);
  return add_node(b, WH_OP_RMS_NORM, name, "", (wh_value[]){x, w}, 2, &eps, 1);
}

wh_value wh_build_product(wh_builder *b, const char *name, wh_value x, wh_value matrix, wh_value bias) {
  return add_node(b, WH_OP_LINEAR, name, "", (wh_value[]){x, matrix, bias}, 3, NULL, 0);
}

wh_value wh_build_linear(wh_builder *b, const char *name, wh_value x, int64_t n_out, int64_t n_in) {
  wh_value w = wh_builder_matrix(b, name, n_out, n_in);
  wh_value bias = wh_builder_vector_if_present(b, name, ".bias", n_out);
  return wh_build_product(b, name, x, w, bias);
}

wh_value wh_build_reshape(wh_builder *b, const char *name, const char *suffix, wh_value x,
                          const int64_t *dims, int n_dims) {
  if (b->status != WH_OK) return 0;
  wh_attr shape = {.key = WH_ATTR_SHAPE, .rank = n_dims + 1};
  shape.dims[0] = wh_graph_value(b->g, x)->shape.dims[0];
  for (int i = 0; i < n_dims; i++)
    wh_builder_check(b, wh_dim_const(&b->g->dims, dims[i], &shape.dims[i + 1]));
  return add_node(b, WH_OP_RESHAPE, name, suffix, &x, 1, &shape, 1);
}

wh_value wh_build_heads(wh_builder *b, const char *name, wh_value x, int64_t n_heads, int64_t dim) {
  return wh_build_reshape(b, name, ".heads", x, (int64_t[]){n_heads, dim}, 2);
}

wh_value wh_build_projection(wh_builder *b, const char *name, wh_value x, int64_t n_heads, int64_t dim) {
  return wh_build_heads(b, name, wh_build_linear(b, name, x, n_heads * dim, b->h.n_embd), n_heads, dim);
}

static wh_value rotate(wh_builder *b, const char *name, wh_value x, wh_value table, bool neox) {
  wh_attr attr = int_attr(WH_ATTR_NEOX, neox);
  return table ? add_node(b, WH_OP_ROPE, name, ".rope", (wh_value[]){x, table}, 2, &attr, 1) : x;
}

/* A new state of this layer with x appended to it. */
static wh_value append(wh_builder *b, const char *name, const char *state, wh_value x, bool is_key,
                       int64_t dim) {
  char full[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_shape shape = {.dtype = b->options.kv_dtype, .rank = 4, .dims = {b->pages}};
  wh_builder_check(b, wh_dim_const(&b->g->dims, b->h.n_kv_heads, &shape.dims[1]));
  wh_builder_check(b, wh_dim_const(&b->g->dims, WH_KV_PAGE, &shape.dims[2]));
  wh_builder_check(b, wh_dim_const(&b->g->dims, dim, &shape.dims[3]));
  if (b->status != WH_OK) return 0;
  wh_builder_check(b, wh_graph_add_state(b->g, wh_builder_name(b, state, "", full), &shape, &v));
  wh_attr key = int_attr(WH_ATTR_KEY, is_key);
  return add_node(b, WH_OP_KV_APPEND, name, ".append",
                  (wh_value[]){v, x, b->positions, b->sequences, b->page_table}, 5, &key, 1);
}

static wh_value wanted_rows(wh_builder *b, const char *name, wh_value x) {
  if (b->layer + 1 != b->h.n_layers) return x;
  return add_node(b, WH_OP_SELECT_ROWS, name, "", (wh_value[]){x, b->output_rows}, 2, NULL, 0);
}

wh_value wh_build_wanted_rows(wh_builder *b, wh_value x) { return wanted_rows(b, "residual.rows", x); }

wh_value wh_build_attention(wh_builder *b, const wh_build_attention_args *a) {
  wh_value q = rotate(b, "attn_q", a->q, a->rope, a->neox), k = rotate(b, "attn_k", a->k, a->rope, a->neox);
  wh_value keys = append(b, "attn_k", "keys", k, true, b->h.head_dim);
  wh_value values = append(b, "attn_v", "values", a->v, false, b->h.value_dim);
  wh_attr attrs[] = {float_attr(WH_ATTR_SCALE, b->h.attention_scale),
                     float_attr(WH_ATTR_SOFTCAP, b->h.attention_softcap),
                     int_attr(WH_ATTR_WINDOW, a->window)};
  wh_value y =
      add_node(b, WH_OP_ATTENTION, "attn", "",
               (wh_value[]){q, keys, values, b->positions, b->sequences, b->page_table}, 6, attrs, 3);
  y = wh_build_reshape(b, "attn", ".flat", y, (int64_t[]){b->h.n_heads * b->h.value_dim}, 1);
  return wanted_rows(b, "attn.rows", y);
}

wh_value wh_build_gated_product(wh_builder *b, wh_value gate, wh_value up, wh_op act) {
  wh_value h = wh_build_op(b, act, "ffn_act", gate, 0);
  return wh_build_op(b, WH_OP_MUL, "ffn_gated", h, up);
}

wh_value wh_build_gated_mlp(wh_builder *b, wh_value x, wh_op act) {
  wh_value gate = wh_build_linear(b, "ffn_gate", x, b->h.n_ff, b->h.n_embd);
  wh_value up = wh_build_linear(b, "ffn_up", x, b->h.n_ff, b->h.n_embd);
  return wh_build_linear(b, "ffn_down", wh_build_gated_product(b, gate, up, act), b->h.n_embd, b->h.n_ff);
}

void wh_build_output(wh_builder *b, wh_value x) {
  b->layer = WH_NO_LAYER;
  x = wh_build_rms_norm(b, "output_norm", x, b->h.n_embd);
  b->h.tied_embeddings = wh_model_file_find_weight(b->file, "output.weight") == NULL;
  wh_value w = b->token_embd;
  if (!b->h.tied_embeddings) w = wh_builder_matrix(b, "output", b->h.n_vocab, b->h.n_embd);
  wh_value bias = wh_builder_vector_if_present(b, "output", ".bias", b->h.n_vocab);
  x = wh_build_product(b, "output", x, w, bias);
  if (b->h.output_softcap > 0) {
    wh_attr cap = float_attr(WH_ATTR_ALPHA, b->h.output_softcap);
    x = add_node(b, WH_OP_SOFTCAP, "output", ".softcap", &x, 1, &cap, 1);
  }
  if (b->status == WH_OK) wh_builder_check(b, wh_graph_add_output(b->g, "logits", x));
}
