/* qwen2.c - Qwen2 and Qwen2.5: Llama with biases on q, k and v; Qwen1.5-MoE and Qwen2-MoE: with experts, one
 * of which every token uses. A window in the file is not used: the published models name one and switch it
 * off. */
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
    y = wh_build_attention(b, &(wh_build_attention_args){q, k, v, rope, .neox = true});
    y = wh_build_linear(b, "attn_output", y, h->n_embd, h->n_heads * h->value_dim);
    x = wh_build_op(b, WH_OP_ADD, "attn_residual", wh_build_wanted_rows(b, x), y);
    y = wh_build_rms_norm(b, "ffn_norm", x, h->n_embd);
    x = h->n_experts ? wh_build_experts(b, y, x, false)
                     : wh_build_op(b, WH_OP_ADD, "ffn_residual", x, wh_build_gated_mlp(b, y, WH_OP_SILU));
  }
  wh_build_output(b, x);
}

void wh_build_qwen2(wh_builder *b) { build(b); }

void wh_build_qwen2moe(wh_builder *b) {
  wh_model_hparams *h = &b->h;
  if (!h->n_ff_expert)
    h->n_ff_expert = h->n_ff / h->n_experts_used; /* early files name one length for both */
  if (!h->n_ff_shared) h->n_ff_shared = h->n_ff;
  build(b);
}
