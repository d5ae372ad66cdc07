/* coverage.c - what is left of a file when its graph is built. A tensor that nothing asked for, or a key that
 * nothing read, may belong to the computation of the model that was converted; the graph would then be
 * another model's. So every tensor is used, known to be unneeded, or refused by name, and so is every key
 * whose name says that it takes part in the computation. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import/families/builder.h"

/* ---- what was asked for ---- */

wh_status wh_builder_start_coverage(wh_builder *b, const wh_allocator *alloc) {
  b->seen_weights = wh_alloc_array(alloc, wh_model_file_n_weights(b->file), sizeof *b->seen_weights);
  b->seen_meta = wh_alloc_array(alloc, wh_model_file_n_meta(b->file), sizeof *b->seen_meta);
  return b->seen_weights && b->seen_meta ? WH_OK : WH_OOM("model");
}

void wh_builder_end_coverage(wh_builder *b, const wh_allocator *alloc) {
  wh_free(alloc, b->seen_weights);
  wh_free(alloc, b->seen_meta);
}

const wh_weight_view *wh_builder_find_weight(const wh_builder *b, const char *name) {
  const size_t i = wh_model_file_weight_index(b->file, name);
  if (i == wh_model_file_n_weights(b->file)) return NULL;
  b->seen_weights[i] = true;
  return wh_model_file_weight(b->file, i);
}

const wh_meta_value *wh_builder_find_meta(const wh_builder *b, const char *full_key) {
  const size_t i = wh_model_file_meta_index(b->file, full_key);
  if (i == wh_model_file_n_meta(b->file)) return NULL;
  b->seen_meta[i] = true;
  return &wh_model_file_meta(b->file, i)->value;
}

/* ---- names ---- */

static bool begins(wh_str s, const char *with) {
  const size_t n = strlen(with);
  return s.len >= n && memcmp(s.data, with, n) == 0;
}

static bool ends(wh_str s, const char *with) {
  const size_t n = strlen(with);
  return s.len >= n && memcmp(s.data + s.len - n, with, n) == 0;
}

static bool holds(wh_str s, const char *part) {
  const size_t n = strlen(part);
  for (size_t i = 0; i + n <= s.len; i++)
    if (memcmp(s.data + i, part, n) == 0) return true;
  return false;
}

/* "blk.<n>.<rest>"; false for other names. */
static bool split_layer(wh_str name, int64_t *layer, wh_str *rest) {
  if (!begins(name, "blk.")) return false;
  size_t at = 4;
  *layer = 0;
  for (; at < name.len && at < 10 && name.data[at] >= '0' && name.data[at] <= '9'; at++)
    *layer = *layer * 10 + (name.data[at] - '0');
  if (at == 4 || at >= name.len || name.data[at] != '.') return false;
  *rest = (wh_str){name.data + at + 1, name.len - at - 1};
  return true;
}

/* ---- tensors ---- */

typedef struct unneeded_tensor {
  enum { BEGINNING, IN_LAYER } where; /* of its name; or the name in a layer */
  const char *name, *why;
} unneeded_tensor;

static const unneeded_tensor unneeded[] = {
    {IN_LAYER, "attn_rot_embd.weight",
     "the frequencies that follow from rope.freq_base; kept by early converters"},
    {BEGINNING, "v.", "an image encoder in the same file; text does not pass it"},
    {BEGINNING, "a.", "a sound encoder, likewise"},
    {BEGINNING, "mm.", "what joins either to the text model"},
};

/* Layers behind the last one predict tokens further ahead: drafts, which change no answer. */
static bool is_prediction_layer(const wh_builder *b, int64_t layer) {
  return layer >= b->h.n_layers && layer < b->h.n_layers + b->h.n_prediction_layers;
}

static bool is_unneeded(const wh_builder *b, wh_str name) {
  int64_t layer = 0;
  wh_str rest = {0};
  const bool in_layer = split_layer(name, &layer, &rest);
  if (in_layer && is_prediction_layer(b, layer)) return true;
  for (size_t i = 0; i < sizeof unneeded / sizeof unneeded[0]; i++)
    if (unneeded[i].where == BEGINNING ? begins(name, unneeded[i].name)
                                       : in_layer && wh_str_is(rest, unneeded[i].name))
      return true;
  return false;
}

static wh_status check_tensors(const wh_builder *b) {
  size_t n = 0, first = 0;
  for (size_t i = wh_model_file_n_weights(b->file); i-- > 0;) {
    if (b->seen_weights[i] || is_unneeded(b, wh_model_file_weight(b->file, i)->name)) continue;
    first = i;
    n++;
  }
  if (n == 0) return WH_OK;
  const wh_str name = wh_model_file_weight(b->file, first)->name;
  char others[48] = "";
  if (n > 1) (void)snprintf(others, sizeof others, " (and %zu more)", n - 1);
  return WH_FAIL(ERR_UNSUPPORTED,
                 "tensor '" WH_STR_FMT
                 "'%s has no place in a model of architecture '%s' as it is built here, and an "
                 "answer without it would be another model's",
                 WH_STR_ARG(name), others, b->h.architecture);
}

/* ---- keys ---- */

/* What a key must say to mean nothing: 0 (false, or an absent feature), or 1 as well (a factor, a period). */
typedef enum neutral_value { ZERO, ZERO_OR_ONE } neutral_value;

typedef struct key_kind {
  enum { BEGIN, END, PART } where;
  const char *text;
  neutral_value neutral;
} key_kind;

/* Keys behind "<architecture>." that take part in a computation, as converters name them. What the builder
 * reads is not asked about; a key of no kind here describes the file, or the training. */
static const key_kind computing[] = {
    {BEGIN, "attention.", ZERO},
    {BEGIN, "rope.", ZERO},
    {BEGIN, "expert", ZERO},
    {BEGIN, "ssm.", ZERO},
    {BEGIN, "wkv.", ZERO},
    {BEGIN, "kda.", ZERO},
    {BEGIN, "shortconv.", ZERO},
    {BEGIN, "hyper_connection.", ZERO},
    {BEGIN, "ple.", ZERO},
    {BEGIN, "altup", ZERO},
    {BEGIN, "token_shift", ZERO},
    {BEGIN, "hash_layer", ZERO},
    {BEGIN, "use_parallel_residual", ZERO},
    {BEGIN, "swin_norm", ZERO},
    {BEGIN, "leading_dense_block_count", ZERO},
    {BEGIN, "embedding_length_per_layer", ZERO},
    {END, "_every_n_layers", ZERO_OR_ONE},
    {END, "_layer_step", ZERO_OR_ONE},
    {BEGIN, "full_attention_interval", ZERO_OR_ONE},
    {PART, "scale", ZERO_OR_ONE}, /* logit_scale, residual_scale, embedding_scale ... */
    {PART, "multiplier", ZERO_OR_ONE},
    {PART, "softcap", ZERO},
    {PART, "clamp", ZERO},
    {PART, "activation", ZERO},
    {PART, "sparsity", ZERO},
};

/* ... and keys of these kinds that change no answer. */
static const struct {
  const char *begin, *why;
} harmless[] = {
    {"rope.scaling.finetuned", "says whether the model was trained further with the scaling"},
    {"attention.layer_norm_epsilon", "all norms here are RMS norms, which have an epsilon of their own"},
    {"attention.temperature_length", "means something with attention.temperature_scale only"},
    {"expert_shared_count", "the shared experts are one matrix; their feed-forward length says how large"},
    {"expert_group_used_count", "of groups that expert_group_count must not make"},
    {"experts_per_group", "likewise"},
    {"vision.", "an image encoder in the same file"},
    {"audio.", "a sound encoder"},
    {"mm.", "what joins either to the text model"},
};

static bool is_number(double x, neutral_value neutral) {
  return x == 0 || (neutral == ZERO_OR_ONE && x == 1);
}

static bool is_neutral(const wh_meta_value *v, neutral_value neutral) {
  if (v->kind == WH_META_INT || v->kind == WH_META_BOOL) return is_number((double)v->i, neutral);
  if (v->kind == WH_META_FLOAT) return is_number(v->f, neutral);
  if (v->kind != WH_META_ARRAY || v->strings) return false;
  for (size_t i = 0; i < v->n; i++)
    if (!is_number(v->ints ? (double)v->ints[i] : v->floats[i], neutral)) return false;
  return true;
}

/* Windowed layers may have numbers of their own: nothing, where no layer has a window or they are the same.
 */
static bool is_of_no_window(const wh_builder *b, wh_str key, const wh_meta_value *v) {
  const struct {
    const char *key;
    double same;
  } windowed[] = {{"attention.sliding_window_pattern", -1},
                  {"attention.key_length_swa", (double)b->h.head_dim},
                  {"attention.value_length_swa", (double)b->h.value_dim},
                  {"rope.dimension_count_swa", (double)b->h.rope.n_rot},
                  {"rope.freq_base_swa", b->h.rope.base}};
  for (size_t i = 0; i < sizeof windowed / sizeof windowed[0]; i++)
    if (wh_str_is(key, windowed[i].key))
      return b->h.window == 0 || (v->kind == WH_META_INT && (double)v->i == windowed[i].same) ||
             (v->kind == WH_META_FLOAT && v->f == windowed[i].same);
  return false;
}

static bool is_of_kind(wh_str key, const key_kind *kind) {
  return kind->where == BEGIN ? begins(key, kind->text)
         : kind->where == END ? ends(key, kind->text)
                              : holds(key, kind->text);
}

static bool is_harmless(const wh_builder *b, wh_str key, const wh_meta_value *v) {
  if (b->h.n_experts == 0 && begins(key, "expert")) return true;
  for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
    if (begins(key, harmless[i].begin)) return true;
  if (is_of_no_window(b, key, v)) return true;
  for (size_t i = 0; i < sizeof computing / sizeof computing[0]; i++)
    if (is_of_kind(key, &computing[i]) && !is_neutral(v, computing[i].neutral)) return false;
  return true;
}

static wh_status check_keys(const wh_builder *b) {
  const size_t prefix = strlen(b->h.architecture) + 1;
  for (size_t i = 0; i < wh_model_file_n_meta(b->file); i++) {
    const wh_meta_entry *e = wh_model_file_meta(b->file, i);
    if (b->seen_meta[i] || !begins(e->key, b->h.architecture) || e->key.len <= prefix ||
        e->key.data[prefix - 1] != '.')
      continue;
    if (is_harmless(b, (wh_str){e->key.data + prefix, e->key.len - prefix}, &e->value)) continue;
    return WH_FAIL(ERR_UNSUPPORTED,
                   "metadata '" WH_STR_FMT
                   "' takes part in what the model computes, and models of architecture '%s' "
                   "are built without it here",
                   WH_STR_ARG(e->key), b->h.architecture);
  }
  return WH_OK;
}

void wh_builder_check_coverage(wh_builder *b) {
  if (b->status == WH_OK) wh_builder_check(b, check_tensors(b));
  if (b->status == WH_OK) wh_builder_check(b, check_keys(b));
}
