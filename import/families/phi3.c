/* phi3.c - Phi-3, Phi-3.5 and Phi-4-mini: Llama with q, k and v in one matrix, gate and up in another,
 * rotation of a part of each head, and LongRoPE in the long-context models. */
#include "import/families/builder.h"

static wh_value build_attention(wh_builder *b, wh_value x, wh_value rope) {
  const wh_model_hparams *h = &b->h;
  int64_t n_q = h->n_heads * h->head_dim, n_k = h->n_kv_heads * h->head_dim,
          n_v = h->n_kv_heads * h->value_dim;
  int64_t n = n_q + n_k + n_v;
  wh_value wq = wh_builder_matrix_rows(b, "attn_qkv", "q", n, 0, n_q, h->n_embd);
  wh_value wk = wh_builder_matrix_rows(b, "attn_qkv", "k", n, n_q, n_k, h->n_embd);
  wh_value wv = wh_builder_matrix_rows(b, "attn_qkv", "v", n, n_q + n_k, n_v, h->n_embd);
  wh_value bq = wh_builder_bias_rows(b, "attn_qkv", "q", n, 0, n_q);
  wh_value bk = wh_builder_bias_rows(b, "attn_qkv", "k", n, n_q, n_k);
  wh_value bv = wh_builder_bias_rows(b, "attn_qkv", "v", n, n_q + n_k, n_v);
  wh_value q = wh_build_heads(b, "attn_q", wh_build_product(b, "attn_q", x, wq, bq), h->n_heads, h->head_dim);
  wh_value k =
      wh_build_heads(b, "attn_k", wh_build_product(b, "attn_k", x, wk, bk), h->n_kv_heads, h->head_dim);
  wh_value v =
      wh_build_heads(b, "attn_v", wh_build_product(b, "attn_v", x, wv, bv), h->n_kv_heads, h->value_dim);
  wh_value y =
      wh_build_attention(b, &(wh_build_attention_args){q, k, v, rope, .neox = true, .window = h->window});
  return wh_build_linear(b, "attn_output", y, h->n_embd, h->n_heads * h->value_dim);
}

static wh_value build_mlp(wh_builder *b, wh_value x) {
  const wh_model_hparams *h = &b->h;
  wh_value w_gate = wh_builder_matrix_rows(b, "ffn_up", "gate", 2 * h->n_ff, 0, h->n_ff, h->n_embd);
  wh_value w_up = wh_builder_matrix_rows(b, "ffn_up", "up", 2 * h->n_ff, h->n_ff, h->n_ff, h->n_embd);
  wh_value b_gate = wh_builder_bias_rows(b, "ffn_up", "gate", 2 * h->n_ff, 0, h->n_ff);
  wh_value b_up = wh_builder_bias_rows(b, "ffn_up", "up", 2 * h->n_ff, h->n_ff, h->n_ff);
  wh_value gate = wh_build_product(b, "ffn_gate", x, w_gate, b_gate);
  wh_value up = wh_build_product(b, "ffn_up", x, w_up, b_up);
  return wh_build_linear(b, "ffn_down", wh_build_gated_product(b, gate, up, WH_OP_SILU), h->n_embd, h->n_ff);
}

void wh_build_phi3(wh_builder *b) {
  const wh_model_hparams *h = &b->h;
  wh_value x = wh_build_embedding(b);
  wh_value rope = wh_build_rope_table(b, "rope", &h->rope, true);
  for (b->layer = 0; b->layer < h->n_layers; b->layer++) {
    wh_value y = build_attention(b, wh_build_rms_norm(b, "attn_norm", x, h->n_embd), rope);
    x = wh_build_op(b, WH_OP_ADD, "attn_residual", wh_build_wanted_rows(b, x), y);
    y = build_mlp(b, wh_build_rms_norm(b, "ffn_norm", x, h->n_embd));
    x = wh_build_op(b, WH_OP_ADD, "ffn_residual", x, y);
  }
  wh_build_output(b, x);
}
