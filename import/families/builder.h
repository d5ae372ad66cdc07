/* import/families/builder.h - what a family file is written with: layers over wh_graph.
 *
 * The first failure sticks: every later call does nothing and gives value 0, so that a family reads like the
 * model's definition and wh_model_build_graph checks once, at the end. Names of weights and nodes are given
 * without their layer: "attn_q" in layer 3 is node "blk.3.attn_q" over "blk.3.attn_q.weight". */
#ifndef WH_FAMILIES_BUILDER_H
#define WH_FAMILIES_BUILDER_H

#include "import/families/model.h"

#define WH_BUILDER_NAME_BYTES 96
#define WH_NO_LAYER (-1)
#define WH_MODEL_MAX_HEAD_DIM 1024

typedef struct wh_builder {
  const wh_model_file *file;
  wh_graph *g;
  wh_model_build_options options;
  wh_model_hparams h;
  wh_status status;
  int64_t layer; /* being built; WH_NO_LAYER outside of the layers */
  wh_dim n_tokens, n_outputs, pages, slots, table;
  wh_value tokens, positions, sequences, output_rows, page_table;
  wh_value rope_sets; /* 0 until a table with two sets wants it */
  wh_value token_embd;
  bool *seen_weights, *seen_meta; /* of the file: what was looked up; coverage.c */
} wh_builder;

#define WH_FAMILY(id, architecture, experts) void wh_build_##id(wh_builder *b);
#include "import/families/families.def"

/* Keeps the first failure. The second also puts the file's path in front of a message that lacks it. */
void wh_builder_keep(wh_builder *b, wh_status status);
void wh_builder_check(wh_builder *b, wh_status status);
/* An input i32[dims...]. */
wh_value wh_builder_input(wh_builder *b, const char *name, const wh_dim *dims, int rank);
/* "blk.<layer>.<name><suffix>", or "<name><suffix>" outside of the layers, in `out`, which it returns. */
const char *wh_builder_name(const wh_builder *b, const char *name, const char *suffix,
                            char out[WH_BUILDER_NAME_BYTES]);

/* Refuses a file that holds no language model, and says what it is. file_kind.c */
void wh_builder_check_kind(wh_builder *b);

/* ---- the file: coverage.c ---- */

/* Look-ups that make the tensor or key count as used; NULL when it is absent. A look whether a tensor is
 * there, of a builder that then does without it, goes to the file itself. */
const wh_weight_view *wh_builder_find_weight(const wh_builder *b, const char *name);
const wh_meta_value *wh_builder_find_meta(const wh_builder *b, const char *full_key);
/* For the whole graph: before the first look-up; refuses what nothing looked up; after all. */
WH_NODISCARD wh_status wh_builder_start_coverage(wh_builder *b, const wh_allocator *alloc);
void wh_builder_check_coverage(wh_builder *b);
void wh_builder_end_coverage(wh_builder *b, const wh_allocator *alloc);

/* ---- hyperparameters: hparams.c; keys are "<architecture>.<key>" ---- */

/* Which models of a family are mixtures of experts. */
typedef enum wh_family_experts { WH_EXPERTS_NONE, WH_EXPERTS_SOME, WH_EXPERTS_ALL } wh_family_experts;
/* Reads and checks what all families share into b->h. */
void wh_builder_read_hparams(wh_builder *b, wh_family_experts experts);
int64_t wh_builder_get_int_or(wh_builder *b, const char *key, int64_t min, int64_t max, int64_t fallback);
bool wh_builder_get_bool_or(wh_builder *b, const char *key, bool fallback);
double wh_builder_get_float_or(wh_builder *b, const char *key, double min, double max, double fallback);
/* Whether `layer` of a model that alternates has a sliding window: by the key
 * "attention.sliding_window_pattern" (a period or a flag per layer), else by the family's `period`, whose
 * last layer sees everything. */
bool wh_builder_is_local(wh_builder *b, int64_t layer, int64_t period);

/* ---- weights: weights.c ---- */

/* A matrix [n_out, n_in] of any type that products support. */
wh_value wh_builder_matrix(wh_builder *b, const char *name, int64_t n_out, int64_t n_in);
/* Rows [first, first + n_out) of a matrix of n_rows rows, without a copy; constant "<name>.weight[part]". */
wh_value wh_builder_matrix_rows(wh_builder *b, const char *name, const char *part, int64_t n_rows,
                                int64_t first, int64_t n_out, int64_t n_in);
/* A stack of matrices [n_experts, n_out, n_in]: tensor "<name>.weight" of rank 3. */
wh_value wh_builder_matrices(wh_builder *b, const char *name, int64_t n_experts, int64_t n_out, int64_t n_in);
/* A vector of n_in as the matrix [1, n_in] of its type. */
wh_value wh_builder_row(wh_builder *b, const char *name, int64_t n_in);
/* f32[n] from F32, F16 or BF16; `suffix` is ".weight" or ".bias". The second gives 0 when the tensor is
 * absent.
 */
wh_value wh_builder_vector(wh_builder *b, const char *name, const char *suffix, int64_t n);
wh_value wh_builder_vector_if_present(wh_builder *b, const char *name, const char *suffix, int64_t n);
/* Elements [first, first + n) of the bias "<name>.bias" of n_all; 0 when the file has none. */
wh_value wh_builder_bias_rows(wh_builder *b, const char *name, const char *part, int64_t n_all, int64_t first,
                              int64_t n);
/* f32[n] from F32, F16 or BF16 copied into the arena, or NULL when the tensor is absent or on failure. */
const float *wh_builder_floats(wh_builder *b, const char *tensor, int64_t n);

/* ---- layers: builder.c ---- */

/* Rows of the token embedding, f32[tokens, n_embd]. */
wh_value wh_build_embedding(wh_builder *b);
wh_value wh_build_op(wh_builder *b, wh_op op, const char *name, wh_value x, wh_value y); /* y may be 0 */
wh_value wh_build_scale(wh_builder *b, const char *name, wh_value x, double alpha);
wh_value wh_build_rms_norm(wh_builder *b, const char *name, wh_value x, int64_t n);
/* x times "<name>.weight"[n_out, ...], plus "<name>.bias" when the file has one. */
wh_value wh_build_linear(wh_builder *b, const char *name, wh_value x, int64_t n_out, int64_t n_in);
/* x times a matrix that the caller has. */
wh_value wh_build_product(wh_builder *b, const char *name, wh_value x, wh_value matrix, wh_value bias);
/* f32[tokens, n_heads * dim] as [tokens, n_heads, dim]; the second is wh_build_linear and this. */
wh_value wh_build_heads(wh_builder *b, const char *name, wh_value x, int64_t n_heads, int64_t dim);
wh_value wh_build_projection(wh_builder *b, const char *name, wh_value x, int64_t n_heads, int64_t dim);

/* Cosines and sines for the batch's positions; one table serves every layer. `tensor_factors`: per-frequency
 * factors in the file apply, with LongRoPE two sets of them. rope_table.c */
wh_value wh_build_rope_table(wh_builder *b, const char *name, const wh_rope_params *params,
                             bool tensor_factors);

typedef struct wh_build_attention_args {
  wh_value q, k, v; /* [tokens, heads, dim], not yet rotated */
  wh_value rope;    /* table; 0: no rotation */
  bool neox;        /* pairs are (i, i + n/2), not (2i, 2i + 1) */
  int64_t window;   /* 0: all positions before */
} wh_build_attention_args;
/* Rotates q and k, appends k and v to the layer's states and attends: f32[rows, n_heads * value_dim]. In the
 * last layer the rows are those that output_rows asks for, since nothing after needs the others. */
wh_value wh_build_attention(wh_builder *b, const wh_build_attention_args *args);
/* The residual stream with the rows that wh_build_attention gives: x itself except in the last layer. */
wh_value wh_build_wanted_rows(wh_builder *b, wh_value x);

/* down(act(gate) * up) with "ffn_gate", "ffn_up", "ffn_down"; `act` is SILU or GELU */
wh_value wh_build_gated_mlp(wh_builder *b, wh_value x, wh_op act);
wh_value wh_build_gated_product(wh_builder *b, wh_value gate, wh_value up, wh_op act);
/* Any node, for what has no helper; names as above. */
wh_value wh_build_node(wh_builder *b, wh_op op, const char *name, const wh_value *inputs, size_t n_inputs,
                       const wh_attr *attrs, size_t n_attrs);
/* x[rows, ...] as [rows, dims...], named "<name><suffix>" */
wh_value wh_build_reshape(wh_builder *b, const char *name, const char *suffix, wh_value x,
                          const int64_t *dims, int n_dims);

/* The sum of the chosen experts' gated MLPs over x, and of the shared expert's where the file has one, plus
 * the residual. `normalise`: the chosen experts' weights are made to sum to 1, unless the file says
 * otherwise. experts.c */
wh_value wh_build_experts(wh_builder *b, wh_value x, wh_value residual, bool normalise);
/* The final norm, the output product (tied when the file has no "output") and the soft cap, if any. */
void wh_build_output(wh_builder *b, wh_value x);

#endif
