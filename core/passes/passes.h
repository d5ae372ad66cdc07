/* passes/passes.h - rewrites of the core graph. Every pass keeps the bits of every output (docs/NUMERICS.md).
 *
 * A pass marks nodes dead and rewires uses; it never moves a node before its operands. New nodes are appended
 * and the order is restored by wh_pass_compact, which every pass that adds nodes ends with. */
#ifndef WH_PASSES_H
#define WH_PASSES_H

#include "core/ir/graph.h"

/* All of them in the order that works: fold, sweep, share, fuse, legalise, share, fuse, sweep; then verifies.
 * Running it again changes nothing. `fold` may be NULL. */
struct wh_fold_evaluator;
WH_NODISCARD wh_status wh_passes_run(wh_graph *g, const struct wh_fold_evaluator *fold);

/* Computes one node on constant operands: how a backend lends its reference kernels to constant folding. */
typedef struct wh_fold_evaluator {
  void *ctx;
  /* inputs[i]: bytes of operand i (NULL when absent); out: wh_shape_bytes of the node's output. */
  wh_status (*eval)(void *ctx, const wh_graph *g, const wh_node_info *node, const void *const *inputs,
                    void *out);
} wh_fold_evaluator;

/* Nodes whose operands are all constants become constants (outputs up to 16 MiB). */
WH_NODISCARD wh_status wh_pass_fold(wh_graph *g, const wh_fold_evaluator *fold);
/* silu(a) * b -> swiglu, gelu(a) * b -> geglu, linear + residual or bias -> linear's epilogue, expert_sum
 * likewise, a norm or gate followed by quantize_act -> the op that ends in it, single ops -> layer_norm. */
WH_NODISCARD wh_status wh_pass_fuse(wh_graph *g);
/* Elementwise ops of f32 -> chain, a convolution and what follows it -> conv_chain: for backends that compute
 * these (WH_BACKEND_CHAINS), after all other passes. `codes`: also with codes and sums of 8-bit codes ->
 * chain_codes, conv_codes, matmul_codes (WH_BACKEND_CODES). `products`: a matmul of f32 and what follows it
 * -> matmul_chain (WH_BACKEND_PRODUCTS). */
WH_NODISCARD wh_status wh_pass_chain(wh_graph *g, bool codes, bool products);
/* matmul or matmul_chain, softmax, matmul -> matmul_attention: for backends that compute it
 * (WH_BACKEND_ATTENTION), after wh_pass_chain. */
WH_NODISCARD wh_status wh_pass_attention(wh_graph *g);
/* linear and expert_linear with quantised weights take quantised activations. */
WH_NODISCARD wh_status wh_pass_legalise(wh_graph *g);
/* Shares the graph out to devices, after all other passes: each gets some of the outputs of every product and
 * some of the attention heads, with their weights and states. The nodes of device d > 0 are those whose names
 * begin with "shareD.", d being D. share.c */
#define WH_SHARE_MAX_DEVICES 8
#define WH_SHARE_PREFIX "share"
WH_NODISCARD wh_status wh_pass_share(wh_graph *g, uint32_t n_devices);
/* Equal op, operands and attributes: computed once. States are never merged. */
WH_NODISCARD wh_status wh_pass_cse(wh_graph *g);
/* Nodes that no output or state needs are marked dead. */
WH_NODISCARD wh_status wh_pass_dce(wh_graph *g);
/* Drops dead nodes and restores topological order. */
WH_NODISCARD wh_status wh_pass_compact(wh_graph *g);

#endif
