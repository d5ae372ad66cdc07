/* families.c - chooses the family by `general.architecture` and runs its builder. */
#include <stdio.h>
#include <string.h>

#include "import/families/builder.h"

static const struct {
  const char *architecture;
  void (*build)(wh_builder *b);
  wh_family_experts experts;
} families[] = {
#define WH_FAMILY(id, architecture, experts) {architecture, wh_build_##id, WH_EXPERTS_##experts},
#include "import/families/families.def"
};
#define N_FAMILIES (sizeof families / sizeof families[0])

/* The index in `families`. */
static size_t find_family(wh_builder *b) {
  wh_str name = {0};
  if (b->status == WH_OK)
    wh_builder_keep(b, wh_model_file_get_string(b->file, "general.architecture", &name));
  char known[256] = "";
  for (size_t i = 0; b->status == WH_OK && i < N_FAMILIES; i++) {
    if (wh_str_is(name, families[i].architecture)) return i;
    size_t used = strlen(known);
    (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", families[i].architecture);
  }
  if (b->status == WH_OK)
    wh_builder_check(b,
                     WH_FAIL(ERR_UNSUPPORTED, "architecture '" WH_STR_FMT "' is not supported; known are %s",
                             WH_STR_ARG(name), known));
  return 0;
}

static void add_inputs(wh_builder *b) {
  const struct {
    const char *name;
    int64_t min, max;
    wh_dim *out;
  } symbols[] = {{"tokens", 1, WH_MODEL_MAX_TOKENS, &b->n_tokens},
                 {"outputs", 0, WH_MODEL_MAX_OUTPUTS, &b->n_outputs}, /* 0: a prompt's chunk but the last */
                 {"pages", 1, WH_MODEL_MAX_PAGES, &b->pages},
                 {"slots", 1, WH_MODEL_MAX_SLOTS, &b->slots},
                 {"table", 1, WH_MODEL_MAX_CONTEXT / WH_KV_PAGE, &b->table}};
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0] && b->status == WH_OK; i++)
    wh_builder_check(
        b, wh_dim_symbol(&b->g->dims, symbols[i].name, symbols[i].min, symbols[i].max, symbols[i].out));
  b->tokens = wh_builder_input(b, "tokens", &b->n_tokens, 1);
  b->positions = wh_builder_input(b, "positions", &b->n_tokens, 1);
  b->sequences = wh_builder_input(b, "sequences", &b->n_tokens, 1);
  b->output_rows = wh_builder_input(b, "output_rows", &b->n_outputs, 1);
  b->page_table = wh_builder_input(b, "page_table", (wh_dim[]){b->slots, b->table}, 2);
}

static bool kv_dtype_known(wh_dtype t) {
  return t == WH_DTYPE_F16 || t == WH_DTYPE_F32 || t == WH_DTYPE_Q8_0;
}

/* A row of a head is whole blocks of the state's type. */
static wh_status check_kv_blocks(const wh_builder *b) {
  const wh_dtype_info *t = wh_dtype_get(b->options.kv_dtype);
  int64_t n = b->h.head_dim % t->block_elems ? b->h.head_dim : b->h.value_dim;
  if (n % t->block_elems)
    return WH_FAIL(ERR_UNSUPPORTED, "heads of %lld elements cannot be stored as %s, in blocks of %d; use f16",
                   (long long)n, t->name, t->block_elems);
  return WH_OK;
}

static wh_status build(wh_builder *b, const wh_allocator *alloc) {
  wh_builder_check_kind(b);
  size_t family = find_family(b);
  b->h.architecture = families[family].architecture;
  if (b->status == WH_OK) wh_builder_read_hparams(b, families[family].experts);
  if (b->status == WH_OK) wh_builder_check(b, check_kv_blocks(b));
  if (b->status == WH_OK) wh_builder_keep(b, wh_graph_create(b->h.architecture, alloc, &b->g));
  if (b->status == WH_OK) add_inputs(b);
  if (b->status == WH_OK) families[family].build(b);
  wh_builder_check_coverage(b);
  return b->status;
}

wh_status wh_model_build_graph(const wh_model_file *file, const wh_model_build_options *options,
                               const wh_allocator *alloc, wh_graph **out, wh_model_hparams *hparams) {
  wh_builder b = {.file = file, .options = WH_MODEL_BUILD_OPTIONS_INIT, .layer = WH_NO_LAYER};
  if (options) b.options = *options;
  if (!kv_dtype_known(b.options.kv_dtype))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "keys and values can be stored as f16, f32 or q8_0, not %s",
                   wh_dtype_name(b.options.kv_dtype));
  wh_status status = wh_builder_start_coverage(&b, alloc);
  if (status == WH_OK) status = build(&b, alloc);
  wh_builder_end_coverage(&b, alloc);
  if (status != WH_OK) {
    wh_graph_destroy(b.g);
    return status;
  }
  *out = b.g;
  if (hparams) *hparams = b.h;
  return WH_OK;
}
