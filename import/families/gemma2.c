/* gemma2.c - Gemma 2 (Riviere et al. 2024): norms before and after each block, soft caps, every other layer
 * with a sliding window. Converters store 1 + w of the norms. */
#include <math.h>

#include "import/families/builder.h"

#define LAYERS_OF_27B 46

/* Older files leave these out. */
static void read_defaults(wh_builder *b) {
  wh_model_hparams *h = &b->h;
  if (h->n_layers == LAYERS_OF_27B) {
    double scale = 1.0 / sqrt((double)h->n_embd / (double)h->n_heads);
    h->attention_scale = wh_builder_get_float_or(b, "attention.scale", 1e-6, 1e6, scale);
  }
  h->attention_softcap = wh_builder_get_float_or(b, "attn_logit_softcapping", 0, 1e6, 50);
  h->output_softcap = wh_builder_get_float_or(b, "final_logit_softcapping", 0, 1e6, 30);
  h->window = wh_builder_get_int_or(b, "attention.sliding_window", 0, INT32_MAX, 4096);
}

void wh_build_gemma2(wh_builder *b) {
  const wh_model_hparams *h = &b->h;
  read_defaults(b);
  wh_value x = wh_build_scale(b, "token_embd.scaled", wh_build_embedding(b), sqrt((double)h->n_embd));
  wh_value rope = wh_build_rope_table(b, "rope", &h->rope, true);
  for (b->layer = 0; b->layer < h->n_layers; b->layer++) {
    int64_t window = wh_builder_is_local(b, b->layer, 2) ? h->window : 0;
    wh_value y = wh_build_rms_norm(b, "attn_norm", x, h->n_embd);
    wh_value q = wh_build_projection(b, "attn_q", y, h->n_heads, h->head_dim);
    wh_value k = wh_build_projection(b, "attn_k", y, h->n_kv_heads, h->head_dim);
    wh_value v = wh_build_projection(b, "attn_v", y, h->n_kv_heads, h->value_dim);
    y = wh_build_attention(b, &(wh_build_attention_args){q, k, v, rope, .neox = true, .window = window});
    y = wh_build_linear(b, "attn_output", y, h->n_embd, h->n_heads * h->value_dim);
    y = wh_build_rms_norm(b, "post_attention_norm", y, h->n_embd);
    x = wh_build_op(b, WH_OP_ADD, "attn_residual", wh_build_wanted_rows(b, x), y);
    y = wh_build_rms_norm(b, "ffn_norm", x, h->n_embd);
    y = wh_build_gated_mlp(b, y, WH_OP_GELU);
    y = wh_build_rms_norm(b, "post_ffw_norm", y, h->n_embd);
    x = wh_build_op(b, WH_OP_ADD, "ffn_residual", x, y);
  }
  wh_build_output(b, x);
}
