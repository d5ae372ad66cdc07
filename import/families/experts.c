/* experts.c - mixture-of-experts layers: a router scores the experts, each token uses the best few, and their
 * outputs are summed with the router's weights. */
#include "import/families/builder.h"

static wh_value matrices_product(wh_builder *b, const char *name, wh_value x, wh_value selected,
                                 int64_t n_out, int64_t n_in) {
  wh_value w = wh_builder_matrices(b, name, b->h.n_experts, n_out, n_in);
  return wh_build_node(b, WH_OP_EXPERT_LINEAR, name, (wh_value[]){x, w, selected}, 3, NULL, 0);
}

/* Files of 2023 hold every expert's matrices on their own. */
static void refuse_split_experts(wh_builder *b) {
  char name[WH_BUILDER_NAME_BYTES];
  wh_builder_name(b, "ffn_gate", ".0.weight", name);
  if (b->status == WH_OK && wh_model_file_find_weight(b->file, name))
    wh_builder_check(b,
                     WH_FAIL(ERR_UNSUPPORTED,
                             "tensor '%s' holds one expert: this is an old layout; convert the model again, "
                             "so that 'ffn_gate_exps' holds all of a layer's",
                             name));
}

static wh_value chosen_experts(wh_builder *b, wh_value x, bool normalise) {
  const wh_model_hparams *h = &b->h;
  const wh_attr used = {.key = WH_ATTR_USED, .i = h->n_experts_used};
  const wh_attr weighing[] = {
      {.key = WH_ATTR_NORMALISE, .i = wh_builder_get_bool_or(b, "expert_weights_norm", normalise)},
      {.key = WH_ATTR_SCALE, .f = (float)h->expert_weights_scale}};
  wh_value scores = wh_build_product(b, "ffn_gate_inp", x,
                                     wh_builder_matrix(b, "ffn_gate_inp", h->n_experts, h->n_embd), 0);
  wh_value selected = wh_build_node(b, WH_OP_EXPERT_SELECT, "ffn_experts", &scores, 1, &used, 1);
  wh_value p = wh_build_op(b, WH_OP_SOFTMAX, "ffn_expert_probs", scores, 0);
  wh_value weights =
      wh_build_node(b, WH_OP_EXPERT_WEIGHTS, "ffn_expert_weights", (wh_value[]){p, selected}, 2, weighing, 2);
  wh_value gate = matrices_product(b, "ffn_gate_exps", x, selected, h->n_ff_expert, h->n_embd);
  wh_value up = matrices_product(b, "ffn_up_exps", x, selected, h->n_ff_expert, h->n_embd);
  wh_value y = wh_build_gated_product(b, gate, up, WH_OP_SILU);
  y = matrices_product(b, "ffn_down_exps", y, selected, h->n_embd, h->n_ff_expert);
  return wh_build_node(b, WH_OP_EXPERT_SUM, "ffn_moe", (wh_value[]){y, weights}, 2, NULL, 0);
}

/* The expert that every token uses is a sum over one choice, whose weight is a gate of its own. */
static wh_value shared_expert(wh_builder *b, wh_value x) {
  const wh_model_hparams *h = &b->h;
  wh_value weight =
      wh_build_product(b, "ffn_gate_inp_shexp", x, wh_builder_row(b, "ffn_gate_inp_shexp", h->n_embd), 0);
  weight = wh_build_op(b, WH_OP_SIGMOID, "ffn_shexp_weight", weight, 0);
  wh_value gate = wh_build_linear(b, "ffn_gate_shexp", x, h->n_ff_shared, h->n_embd);
  wh_value up = wh_build_linear(b, "ffn_up_shexp", x, h->n_ff_shared, h->n_embd);
  wh_value y = wh_build_op(b, WH_OP_SILU, "ffn_shexp_act", gate, 0);
  y = wh_build_op(b, WH_OP_MUL, "ffn_shexp_gated", y, up);
  y = wh_build_linear(b, "ffn_down_shexp", y, h->n_embd, h->n_ff_shared);
  y = wh_build_reshape(b, "ffn_down_shexp", ".slot", y, (int64_t[]){1, h->n_embd}, 2);
  return wh_build_node(b, WH_OP_EXPERT_SUM, "ffn_shexp", (wh_value[]){y, weight}, 2, NULL, 0);
}

wh_value wh_build_experts(wh_builder *b, wh_value x, wh_value residual, bool normalise) {
  refuse_split_experts(b);
  if (b->h.n_ff_shared)
    residual = wh_build_op(b, WH_OP_ADD, "ffn_shexp_residual", residual, shared_expert(b, x));
  return wh_build_op(b, WH_OP_ADD, "ffn_residual", residual, chosen_experts(b, x, normalise));
}
