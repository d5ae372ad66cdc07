/* qwen3.c - Qwen3, dense and with experts: every query and key head is normalised before it is rotated. As in
 * qwen2.c, a window in the file is not used. */
#include "import/families/builder.h"

static void build(wh_builder *b) {
  const wh_model_hparams *h = &b->h;
  b->h.window = 0;
  wh_value x = wh_build_embedding(b);
  wh_value rope = wh_build_rope_table(b, "rope", &h->rope, true);
  for (b->layer = 0; b->layer < h->n_layers; b->layer++) {
    wh_value y = wh_build_rms_norm(b, "attn_norm", x, h->n_embd);
    wh_value q = wh_build_projection(b, "attn_q", y, h->n_heads, h->head_dim);
    wh_value k = wh_build_projection(b, "attn_k", y, h->n_kv_heads, h->head_dim);
    wh_value v = wh_build_projection(b, "attn_v", y, h->n_kv_heads, h->value_dim);
    q = wh_build_rms_norm(b, "attn_q_norm", q, h->head_dim);
    k = wh_build_rms_norm(b, "attn_k_norm", k, h->head_dim);
    y = wh_build_attention(b, &(wh_build_attention_args){q, k, v, rope, .neox = true});
    y = wh_build_linear(b, "attn_output", y, h->n_embd, h->n_heads * h->value_dim);
    x = wh_build_op(b, WH_OP_ADD, "attn_residual", wh_build_wanted_rows(b, x), y);
    y = wh_build_rms_norm(b, "ffn_norm", x, h->n_embd);
    x = h->n_experts ? wh_build_experts(b, y, x, true)
                     : wh_build_op(b, WH_OP_ADD, "ffn_residual", x, wh_build_gated_mlp(b, y, WH_OP_SILU));
  }
  wh_build_output(b, x);
}

void wh_build_qwen3(wh_builder *b) { build(b); }

void wh_build_qwen3moe(wh_builder *b) {
  wh_model_hparams *h = &b->h;
  if (!h->n_ff_expert) h->n_ff_expert = h->n_ff / h->n_experts_used;
  build(b);
}
