/* rope_table.c - the node that gives cosines and sines for the batch's positions, over one set of frequencies
 * or two. */
#include <inttypes.h>
#include <string.h>

#include "import/families/builder.h"
#include "import/families/rope.h"

#define FREQS "rope_freqs.weight"
#define FACTORS_SHORT "rope_factors_short.weight"
#define FACTORS_LONG "rope_factors_long.weight"

/* The file's factor for each frequency; NULL: it has none. */
static const float *read_factors(wh_builder *b, const char *tensor, int64_t n) {
  const float *factors = wh_builder_floats(b, tensor, n);
  for (int64_t i = 0; factors && i < n; i++)
    if (!(factors[i] >= 0x1p-10f && factors[i] <= 0x1p20f)) {
      wh_builder_check(b, WH_FAIL(ERR_CORRUPT, "tensor '%s': factor %" PRId64 " is %g, want 2^-10 to 2^20",
                                  tensor, i, (double)factors[i]));
      return NULL;
    }
  return factors;
}

/* LongRoPE has both sets of factors, and only LongRoPE has them. */
static bool has_two_sets(wh_builder *b, const wh_rope_params *p) {
  const bool has_short = wh_model_file_find_weight(b->file, FACTORS_SHORT),
             has_long = wh_model_file_find_weight(b->file, FACTORS_LONG);
  if (has_short != has_long || (p->scaling == WH_ROPE_LONGROPE && !has_short))
    wh_builder_check(b, WH_FAIL(ERR_CORRUPT, "tensor '%s' is missing: LongRoPE needs it",
                                has_short ? FACTORS_LONG : FACTORS_SHORT));
  return has_short && has_long;
}

/* Both sets as one table, from which every token takes its row. */
static wh_value two_sets(wh_builder *b, const char *name, const float *inv_freq, int64_t n) {
  char constant[WH_BUILDER_NAME_BYTES], node[WH_BUILDER_NAME_BYTES];
  wh_value table = 0;
  const size_t n_bytes = 2 * (size_t)n * sizeof *inv_freq;
  float *copy = wh_arena_alloc(&b->g->arena, n_bytes);
  if (!copy) wh_builder_keep(b, WH_OOM("rotary frequencies"));
  if (b->status != WH_OK) return 0;
  memcpy(copy, inv_freq, n_bytes);
  wh_shape shape = {.dtype = WH_DTYPE_F32, .rank = 2};
  wh_builder_check(b, wh_dim_const(&b->g->dims, 2, &shape.dims[0]));
  wh_builder_check(b, wh_dim_const(&b->g->dims, n, &shape.dims[1]));
  wh_builder_name(b, name, ".inv_freq", constant);
  wh_builder_name(b, name, ".set", node);
  if (b->status == WH_OK)
    wh_builder_check(b, wh_graph_add_const(b->g, constant, &shape, copy, n_bytes, NULL, &table));
  if (!b->rope_sets) b->rope_sets = wh_builder_input(b, "rope_sets", &b->n_tokens, 1);
  return wh_build_node(b, WH_OP_GATHER_ROWS, node, (wh_value[]){table, b->rope_sets}, 2, NULL, 0);
}

static wh_value one_set(wh_builder *b, const char *name, const float *inv_freq, int64_t n) {
  char constant[WH_BUILDER_NAME_BYTES];
  wh_value v = 0;
  if (b->status != WH_OK) return 0;
  wh_builder_name(b, name, ".inv_freq", constant);
  wh_builder_check(b, wh_graph_add_f32(b->g, constant, inv_freq, (size_t)n, &v));
  return v;
}

static wh_value frequencies(wh_builder *b, const char *name, const wh_rope_params *p, bool tensor_factors) {
  float inv_freq[WH_MODEL_MAX_HEAD_DIM]; /* the second set behind the first */
  const int64_t n = p->n_rot / 2;
  if (b->status != WH_OK) return 0;
  if (!tensor_factors || !has_two_sets(b, p)) {
    const float *factors = tensor_factors ? read_factors(b, FREQS, n) : NULL;
    wh_rope_frequencies(p, factors, inv_freq);
    return one_set(b, name, inv_freq, n);
  }
  const float *factors_short = read_factors(b, FACTORS_SHORT, n),
              *factors_long = read_factors(b, FACTORS_LONG, n);
  if (b->status != WH_OK) return 0;
  wh_rope_frequencies(p, factors_short, inv_freq);
  wh_rope_frequencies(p, factors_long, inv_freq + n);
  const int64_t context = b->options.context ? b->options.context : b->h.context_length;
  if (context <= p->original_context) return one_set(b, name, inv_freq, n);
  b->h.long_rope_border = p->original_context;
  return two_sets(b, name, inv_freq, n);
}

wh_value wh_build_rope_table(wh_builder *b, const char *name, const wh_rope_params *p, bool tensor_factors) {
  wh_value freqs = frequencies(b, name, p, tensor_factors);
  const wh_attr mscale = {.key = WH_ATTR_MSCALE, .f = wh_rope_magnitude(p)};
  return wh_build_node(b, WH_OP_ROPE_TABLE, name, (wh_value[]){b->positions, freqs}, 2, &mscale, 1);
}
