/* gemma3.c - Gemma 3 (text): Gemma 2 with q/k norms in place of soft caps, five layers with a sliding window
 * to one without, and rotary frequencies of their own for the windowed ones. */
#include <math.h>

#include "import/families/builder.h"

#define LAYERS_OF_27B 62
#define PERIOD 6

static void read_defaults(wh_builder *b) {
  wh_model_hparams *h = &b->h;
  if (h->n_layers != LAYERS_OF_27B) return;
  double scale = 1.0 / sqrt((double)h->n_embd / (double)h->n_heads);
  h->attention_scale = wh_builder_get_float_or(b, "attention.scale", 1e-6, 1e6, scale);
}

void wh_build_gemma3(wh_builder *b) {
  const wh_model_hparams *h = &b->h;
  read_defaults(b);
  wh_rope_params local = {.scaling = WH_ROPE_PLAIN, .n_rot = h->rope.n_rot, .factor = 1, .attn_factor = 1};
  local.base = wh_builder_get_float_or(b, "rope.freq_base_swa", 1, 1e12, 10000);
  wh_value x = wh_build_scale(b, "token_embd.scaled", wh_build_embedding(b), sqrt((double)h->n_embd));
  wh_value rope_global = wh_build_rope_table(b, "rope", &h->rope, true);
  wh_value rope_local = h->window ? wh_build_rope_table(b, "rope_local", &local, false) : rope_global;
  for (b->layer = 0; b->layer < h->n_layers; b->layer++) {
    bool is_local = wh_builder_is_local(b, b->layer, PERIOD);
    int64_t window = is_local ? h->window : 0;
    wh_value rope = is_local ? rope_local : rope_global;
    wh_value y = wh_build_rms_norm(b, "attn_norm", x, h->n_embd);
    wh_value q = wh_build_projection(b, "attn_q", y, h->n_heads, h->head_dim);
    wh_value k = wh_build_projection(b, "attn_k", y, h->n_kv_heads, h->head_dim);
    wh_value v = wh_build_projection(b, "attn_v", y, h->n_kv_heads, h->value_dim);
    q = wh_build_rms_norm(b, "attn_q_norm", q, h->head_dim);
    k = wh_build_rms_norm(b, "attn_k_norm", k, h->head_dim);
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
