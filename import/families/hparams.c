/* hparams.c - hyperparameters from a file's metadata: every value is checked before anything is built from
 * it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/exact_math.h"
#include "import/families/builder.h"

#define MAX_LAYERS 1024
#define MAX_EMBD (1 << 20)
#define MAX_HEADS 4096
#define MAX_FF (1 << 22)
#define MAX_EXPERTS 4096
#define MIN_ROPE_FACTOR 1e-3
#define MAX_FLOAT 1e12

#define KEY_BYTES 128
static const char *full_key(const wh_builder *b, const char *key, char out[KEY_BYTES]) {
  (void)snprintf(out, KEY_BYTES, "%s.%s", b->h.architecture, key);
  return out;
}

static const wh_meta_value *find(const wh_builder *b, const char *key) {
  char name[KEY_BYTES];
  return wh_builder_find_meta(b, full_key(b, key, name));
}

/* Some files hold a value per layer; a list of equal values is that value. */
static wh_status uniform_int(const char *key, const wh_meta_value *v, int64_t min, int64_t max,
                             int64_t *out) {
  if (v->elem_kind != WH_META_INT || v->n == 0)
    return WH_FAIL(ERR_CORRUPT, "metadata '%s' is no list of integers", key);
  for (size_t i = 1; i < v->n; i++)
    if (v->ints[i] != v->ints[0])
      return WH_FAIL(ERR_UNSUPPORTED, "metadata '%s' differs between layers (%" PRId64 " and %" PRId64 ")",
                     key, v->ints[0], v->ints[i]);
  if (v->ints[0] < min || v->ints[0] > max)
    return WH_FAIL(ERR_CORRUPT, "metadata '%s' holds %" PRId64 ", want %" PRId64 " to %" PRId64, key,
                   v->ints[0], min, max);
  *out = v->ints[0];
  return WH_OK;
}

static int64_t get_int(wh_builder *b, const char *key, int64_t min, int64_t max) {
  char name[KEY_BYTES];
  int64_t n = min;
  if (b->status != WH_OK) return min;
  const wh_meta_value *v = find(b, key);
  full_key(b, key, name);
  if (v && v->kind == WH_META_ARRAY)
    wh_builder_check(b, uniform_int(name, v, min, max, &n));
  else
    wh_builder_keep(b, wh_model_file_get_int(b->file, name, min, max, &n));
  return n;
}

int64_t wh_builder_get_int_or(wh_builder *b, const char *key, int64_t min, int64_t max, int64_t fallback) {
  return find(b, key) ? get_int(b, key, min, max) : fallback;
}

bool wh_builder_get_bool_or(wh_builder *b, const char *key, bool fallback) {
  char name[KEY_BYTES];
  bool value = fallback;
  if (b->status == WH_OK && find(b, key))
    wh_builder_keep(b, wh_model_file_get_bool_or(b->file, full_key(b, key, name), fallback, &value));
  return value;
}

static double get_float(wh_builder *b, const char *key, double min, double max) {
  char name[KEY_BYTES];
  double x = min;
  if (b->status != WH_OK) return min;
  (void)find(b, key);
  wh_builder_keep(b, wh_model_file_get_float(b->file, full_key(b, key, name), &x));
  if (b->status == WH_OK && !(x >= min && x <= max))
    wh_builder_check(b, WH_FAIL(ERR_CORRUPT, "metadata '%s' is %g, want %g to %g", name, x, min, max));
  return x;
}

double wh_builder_get_float_or(wh_builder *b, const char *key, double min, double max, double fallback) {
  return find(b, key) ? get_float(b, key, min, max) : fallback;
}

static void read_scaling(wh_builder *b, wh_rope_params *r) {
  static const struct {
    const char *name;
    wh_rope_scaling scaling;
  } types[] = {{"none", WH_ROPE_PLAIN},
               {"linear", WH_ROPE_LINEAR},
               {"yarn", WH_ROPE_YARN},
               {"longrope", WH_ROPE_LONGROPE}};
  char key[KEY_BYTES];
  wh_str type = {0};
  r->factor = wh_builder_get_float_or(b, "rope.scaling.factor", 0, 1e6, 0);
  if (r->factor == 0) r->factor = wh_builder_get_float_or(b, "rope.scale_linear", 0, 1e6, 0);
  if (r->factor == 0) r->factor = 1; /* some converters write 0 for "not scaled" */
  if (b->status == WH_OK && r->factor < MIN_ROPE_FACTOR)
    wh_builder_check(b, WH_FAIL(ERR_CORRUPT, "metadata '%s.rope.scaling.factor' is %g, want 0 or at least %g",
                                b->h.architecture, r->factor, MIN_ROPE_FACTOR));
  full_key(b, "rope.scaling.type", key);
  if (b->status == WH_OK && find(b, "rope.scaling.type"))
    wh_builder_keep(b, wh_model_file_get_string_or(b->file, key, NULL, &type));
  if (b->status != WH_OK) return;
  r->scaling = r->factor != 1 ? WH_ROPE_LINEAR : WH_ROPE_PLAIN;
  if (!type.data) return;
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (wh_str_is(type, types[i].name)) {
      r->scaling = types[i].scaling;
      return;
    }
  wh_builder_check(
      b, WH_FAIL(ERR_UNSUPPORTED,
                 "metadata '%s' is '" WH_STR_FMT "', supported are none, linear, yarn and longrope", key,
                 WH_STR_ARG(type)));
}

/* What LongRoPE multiplies cosines and sines with when the file does not say it (Ding et al. 2024): a matter
 * of the context that the model was trained for, not of the one in use. */
static double default_magnitude(const wh_builder *b) {
  const double trained = (double)b->h.context_length, original = (double)b->h.rope.original_context;
  const bool is_longrope =
      b->h.rope.scaling == WH_ROPE_LONGROPE || wh_model_file_find_weight(b->file, "rope_factors_long.weight");
  if (!is_longrope || original < 2 || trained <= original) return 1;
  return sqrt(1.0 + wh_log_f64(trained / original) / wh_log_f64(original));
}

static void read_rope(wh_builder *b) {
  wh_rope_params *r = &b->h.rope;
  r->n_rot = wh_builder_get_int_or(b, "rope.dimension_count", 2, b->h.head_dim, b->h.head_dim);
  if (b->status == WH_OK && r->n_rot % 2)
    wh_builder_check(
        b, WH_FAIL(ERR_CORRUPT, "%" PRId64 " elements of a head are to be rotated in pairs ('%s.%s')",
                   r->n_rot, b->h.architecture, "rope.dimension_count"));
  r->base = wh_builder_get_float_or(b, "rope.freq_base", 1, 1e12, 10000);
  read_scaling(b, r);
  int64_t original =
      wh_builder_get_int_or(b, "rope.scaling.original_context_length", 0, WH_MODEL_MAX_CONTEXT, 0);
  r->original_context = original ? original : b->h.context_length;
  r->attn_factor = wh_builder_get_float_or(b, "rope.scaling.attn_factor", 1e-6, 1e6, default_magnitude(b)) *
                   wh_builder_get_float_or(b, "rope.scaling.yarn_attn_factor", 1e-6, 1e6, 1);
  r->ext_factor = wh_builder_get_float_or(b, "rope.scaling.yarn_ext_factor", 0, 1, 1);
  r->beta_fast = wh_builder_get_float_or(b, "rope.scaling.yarn_beta_fast", 1e-6, 1e6, 32);
  r->beta_slow = wh_builder_get_float_or(b, "rope.scaling.yarn_beta_slow", 1e-6, 1e6, 1);
}

/* The vocabulary is as long as the embedding has rows; a token list must agree. */
static wh_status read_vocab(wh_builder *b) {
  const wh_weight_view *w = wh_model_file_find_weight(b->file, "token_embd.weight");
  if (!w) return WH_FAIL(ERR_CORRUPT, "tensor 'token_embd.weight' is missing");
  if (w->rank != 2 || w->dims[0] < 1 || w->dims[0] > INT32_MAX)
    return WH_FAIL(ERR_CORRUPT, "tensor 'token_embd.weight' is no table of tokens");
  const wh_meta_value *tokens = wh_model_file_find_meta(b->file, "tokenizer.ggml.tokens");
  if (tokens && tokens->kind == WH_META_ARRAY && tokens->n != (uint64_t)w->dims[0])
    return WH_FAIL(ERR_CORRUPT,
                   "metadata 'tokenizer.ggml.tokens' has %zu entries, tensor 'token_embd.weight' %" PRId64
                   " rows",
                   tokens->n, w->dims[0]);
  b->h.n_vocab = w->dims[0];
  return WH_OK;
}

/* What follows from the other values when the file does not say it. */
static wh_status complete_heads(wh_model_hparams *h) {
  if (h->n_heads % h->n_kv_heads)
    return WH_FAIL(ERR_CORRUPT,
                   "metadata '%s.attention.head_count': %" PRId64
                   " is no multiple of head_count_kv, %" PRId64,
                   h->architecture, h->n_heads, h->n_kv_heads);
  if (h->head_dim == 0) {
    h->head_dim = h->n_embd / h->n_heads;
    if (h->n_embd % h->n_heads || h->head_dim > WH_MODEL_MAX_HEAD_DIM)
      return WH_FAIL(ERR_CORRUPT,
                     "metadata '%s.embedding_length': %" PRId64
                     " makes no heads for attention.head_count, %" PRId64
                     ", and there is no attention.key_length",
                     h->architecture, h->n_embd, h->n_heads);
  }
  if (h->value_dim == 0) h->value_dim = h->head_dim;
  if (h->attention_scale == 0) h->attention_scale = 1.0 / sqrt((double)h->head_dim);
  return WH_OK;
}

/* Keys that change what a model of these families computes and that nothing here implements. */
static void refuse_unsupported(wh_builder *b) {
  if (!wh_builder_get_bool_or(b, "attention.causal", true))
    wh_builder_check(
        b, WH_FAIL(ERR_UNSUPPORTED, "metadata '%s.attention.causal': only causal models are supported",
                   b->h.architecture));
}

#define GATING_SOFTMAX 1

/* Ways of choosing and weighing experts that nothing here implements. */
static void refuse_other_routing(wh_builder *b) {
  if (wh_builder_get_int_or(b, "expert_gating_func", 0, INT32_MAX, GATING_SOFTMAX) > GATING_SOFTMAX)
    wh_builder_check(
        b, WH_FAIL(ERR_UNSUPPORTED, "metadata '%s.expert_gating_func': only softmax (1) is supported",
                   b->h.architecture));
  if (wh_builder_get_int_or(b, "expert_group_count", 0, INT32_MAX, 0) > 1)
    wh_builder_check(
        b, WH_FAIL(ERR_UNSUPPORTED, "metadata '%s.expert_group_count': groups of experts are not supported",
                   b->h.architecture));
}

static void read_experts(wh_builder *b, wh_family_experts experts) {
  wh_model_hparams *h = &b->h;
  h->n_experts = experts == WH_EXPERTS_ALL ? get_int(b, "expert_count", 1, MAX_EXPERTS)
                                           : wh_builder_get_int_or(b, "expert_count", 0, MAX_EXPERTS, 0);
  if (h->n_experts == 0 || b->status != WH_OK) return;
  if (experts == WH_EXPERTS_NONE) {
    wh_builder_check(
        b, WH_FAIL(ERR_UNSUPPORTED,
                   "metadata '%s.expert_count': models of this architecture with experts are not supported",
                   h->architecture));
    return;
  }
  h->n_experts_used = get_int(b, "expert_used_count", 1, h->n_experts);
  h->n_ff_expert = wh_builder_get_int_or(b, "expert_feed_forward_length", 1, MAX_FF, 0);
  h->n_ff_shared = wh_builder_get_int_or(b, "expert_shared_feed_forward_length", 0, MAX_FF, 0);
  h->expert_weights_scale = wh_builder_get_float_or(b, "expert_weights_scale", 0, 1e6, 0);
  if (h->expert_weights_scale == 0)
    h->expert_weights_scale = 1; /* some converters write 0 for "not scaled" */
  refuse_other_routing(b);
}

void wh_builder_read_hparams(wh_builder *b, wh_family_experts experts) {
  wh_model_hparams *h = &b->h;
  h->n_layers = get_int(b, "block_count", 1, MAX_LAYERS);
  h->n_prediction_layers = wh_builder_get_int_or(b, "nextn_predict_layers", 0, h->n_layers - 1, 0);
  h->n_layers -= h->n_prediction_layers;
  h->n_embd = get_int(b, "embedding_length", 1, MAX_EMBD);
  h->n_ff = get_int(b, "feed_forward_length", 1, MAX_FF);
  h->context_length = get_int(b, "context_length", 1, WH_MODEL_MAX_CONTEXT);
  h->n_heads = get_int(b, "attention.head_count", 1, MAX_HEADS);
  h->n_kv_heads = wh_builder_get_int_or(b, "attention.head_count_kv", 1, MAX_HEADS, h->n_heads);
  h->head_dim = wh_builder_get_int_or(b, "attention.key_length", 1, WH_MODEL_MAX_HEAD_DIM, 0);
  h->value_dim = wh_builder_get_int_or(b, "attention.value_length", 1, WH_MODEL_MAX_HEAD_DIM, 0);
  h->norm_eps = get_float(b, "attention.layer_norm_rms_epsilon", 1e-20, 1);
  h->window = wh_builder_get_int_or(b, "attention.sliding_window", 0, INT32_MAX, 0);
  h->attention_softcap = wh_builder_get_float_or(b, "attn_logit_softcapping", 0, 1e6, 0);
  h->output_softcap = wh_builder_get_float_or(b, "final_logit_softcapping", 0, 1e6, 0);
  h->attention_scale = wh_builder_get_float_or(b, "attention.scale", 0, 1e6, 0);
  if (b->status == WH_OK) wh_builder_check(b, complete_heads(h));
  if (b->status == WH_OK) read_rope(b);
  if (b->status == WH_OK) wh_builder_check(b, read_vocab(b));
  if (b->status == WH_OK) refuse_unsupported(b);
  if (b->status == WH_OK) read_experts(b, experts);
}

bool wh_builder_is_local(wh_builder *b, int64_t layer, int64_t period) {
  char key[KEY_BYTES];
  const wh_meta_value *v = wh_builder_find_meta(b, full_key(b, "attention.sliding_window_pattern", key));
  if (b->h.window == 0 || b->status != WH_OK) return false;
  if (v && v->kind == WH_META_ARRAY) {
    bool flags = v->elem_kind == WH_META_BOOL || v->elem_kind == WH_META_INT;
    if (!flags || v->n < (uint64_t)b->h.n_layers) {
      wh_builder_check(
          b, WH_FAIL(ERR_CORRUPT, "metadata '%s' does not have a flag for each of %" PRId64 " layers", key,
                     b->h.n_layers));
      return false;
    }
    return v->ints[layer] != 0;
  }
  int64_t n = wh_builder_get_int_or(b, "attention.sliding_window_pattern", 1, MAX_LAYERS, period);
  return layer % n != n - 1;
}
