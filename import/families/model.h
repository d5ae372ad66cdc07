/* import/families/model.h - from a model file to its core graph.
 *
 * A GGUF file holds weights and hyperparameters but no graph: `general.architecture` names a family, and one
 * short file per family (families.def) builds the graph. Weights stay views into the file, so the file must
 * outlive the graph.
 *
 * What every language model's graph looks like from outside:
 *   inputs   "tokens", "positions", "sequences"  i32[tokens]; "output_rows"  i32[outputs];
 *            "page_table"  i32[slots, table]: positions 64 i.. of a sequence lie in page
 * page_table[sequence][i] "rope_sets"  i32[tokens], 0 or 1: of a model with two sets of rotary frequencies
 * (LongRoPE) only states   "blk.N.keys"    [pages, n_kv_heads, 64, head_dim] "blk.N.values"  [pages,
 * n_kv_heads, 64, value_dim] output   "logits"        f32[outputs, n_vocab]: the rows of the batch that
 * output_rows asks for */
#ifndef WH_FAMILIES_MODEL_H
#define WH_FAMILIES_MODEL_H

#include "core/ir/graph.h"
#include "formats/model_file.h"

/* Ranges of the graph's symbols "tokens", "pages" and "slots", from 1, and of "outputs", from 0; "table" is
 * the pages of a context. */
#define WH_MODEL_MAX_TOKENS (1 << 20)
#define WH_MODEL_MAX_OUTPUTS (1 << 20)
#define WH_MODEL_MAX_CONTEXT (1 << 24)
#define WH_MODEL_MAX_PAGES (1 << 30)
#define WH_MODEL_MAX_SLOTS (1 << 16)

/* Rotary embedding as the file describes it; rope.h turns it into frequencies. */
typedef enum wh_rope_scaling {
  WH_ROPE_PLAIN,
  WH_ROPE_LINEAR,
  WH_ROPE_YARN,
  WH_ROPE_LONGROPE
} wh_rope_scaling;

typedef struct wh_rope_params {
  wh_rope_scaling scaling;
  int64_t n_rot; /* elements of a head that are rotated; even */
  double base;
  double factor;                           /* LINEAR, YARN: how far the context was stretched */
  int64_t original_context;                /* YARN, LONGROPE: positions before stretching; 0: not said */
  double attn_factor;                      /* multiplies cosines and sines */
  double ext_factor, beta_fast, beta_slow; /* YARN */
} wh_rope_params;

typedef struct wh_model_hparams {
  const char *architecture; /* static storage */
  int64_t n_layers, n_embd, n_heads, n_kv_heads;
  int64_t head_dim, value_dim; /* of a query or key, of a value */
  int64_t n_ff, n_vocab;
  int64_t n_prediction_layers; /* behind the others; they draft, and are left out */
  int64_t context_length;      /* that the model was trained for */
  int64_t window;              /* positions that a sliding-window layer sees; 0: no such layer */
  bool tied_embeddings;        /* the output product uses the token embedding */
  /* mixture of experts; n_experts 0: none */
  int64_t n_experts, n_experts_used;
  int64_t n_ff_expert, n_ff_shared; /* of an expert; of the expert that every token uses, 0: none is named */
  double expert_weights_scale;
  double norm_eps, attention_scale;
  double attention_softcap, output_softcap; /* 0: none */
  wh_rope_params rope;
  /* of this graph: sequences longer than this are computed with set 1 of its two sets of rotary frequencies;
   * 0: it has one set */
  int64_t long_rope_border;
} wh_model_hparams;

typedef struct wh_model_build_options {
  wh_dtype kv_dtype; /* of the states: F16, F32 or Q8_0 */
  /* Positions that a sequence may have; 0: those that the model was trained for. Only a model with two sets
   * of rotary frequencies (LongRoPE) looks at it: up to rope.original_context of them the long set is left
   * out, as no row would be computed with it. */
  int64_t context;
} wh_model_build_options;
#define WH_MODEL_BUILD_OPTIONS_INIT \
  { WH_DTYPE_F16, 0 }

/* NULL options are WH_MODEL_BUILD_OPTIONS_INIT. `hparams` may be NULL. An architecture that no family builds
 * is ERR_UNSUPPORTED, and so are a tensor or key of the file that its graph would leave out (coverage.c); a
 * tensor or key that is missing or does not fit is ERR_CORRUPT. Messages name the file and the tensor or key.
 */
WH_NODISCARD wh_status wh_model_build_graph(const wh_model_file *file, const wh_model_build_options *options,
                                            const wh_allocator *alloc, wh_graph **out,
                                            wh_model_hparams *hparams);

#endif
