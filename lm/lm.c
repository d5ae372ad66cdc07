/* lm.c - a language model's life: what its graph must have, what it takes, and what an error was. */
#include "core/base/finite.h"
#include "lm/lm_internal.h"

/* ---- the graph ---- */

static wh_status find_symbol(const wh_graph *g, const char *name, int *out) {
  *out = wh_dim_find_symbol(&g->dims, name);
  if (*out < 0)
    return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has no dimension '%s'; it is no language model", g->name,
                   name);
  return WH_OK;
}

static const wh_shape *shape_of_input(const wh_graph *g, const char *name) {
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_INPUT && strcmp(g->values[v].name, name) == 0)
      return &g->values[v].shape;
  return NULL;
}

/* An input of ids: i32[symbols]. What a run writes there was sized by the symbols. */
static wh_status check_ids(const wh_graph *g, const char *name, int rank, const int *symbols) {
  const wh_shape *shape = shape_of_input(g, name);
  bool fits = shape && shape->dtype == WH_DTYPE_I32 && shape->rank == rank;
  for (int i = 0; fits && i < rank; i++) fits = shape->dims[i] == g->dims.symbol_dims[symbols[i]];
  if (fits) return WH_OK;
  return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has no input '%s' of i32[%s%s%s]; it is no language model",
                 g->name, name, g->dims.symbols[symbols[0]], rank > 1 ? ", " : "",
                 rank > 1 ? g->dims.symbols[symbols[1]] : "");
}

static wh_status check_logits_shape(const wh_graph *g, int sym_outputs) {
  for (size_t i = 0; i < g->n_outputs; i++) {
    const wh_shape *y = &g->values[g->outputs[i].value].shape;
    if (strcmp(g->outputs[i].name, "logits") != 0) continue;
    if (y->dtype == WH_DTYPE_F32 && y->rank == 2 && y->dims[0] == g->dims.symbol_dims[sym_outputs] &&
        wh_dim_is_const(&g->dims, y->dims[1]))
      return WH_OK;
    break;
  }
  return WH_FAIL(ERR_UNSUPPORTED,
                 "graph '%s' has no output 'logits' of f32[outputs, n]; it is no language model", g->name);
}

wh_status wh_lm_symbols(const wh_graph *g, const wh_lm_options *o, int64_t symbols[WH_LM_MAX_SYMBOLS]) {
  int tokens = 0, outputs = 0, slots = 0, table = 0, pages = 0;
  if (g->dims.n_symbols > WH_LM_MAX_SYMBOLS)
    return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has %u free dimensions; it is no language model", g->name,
                   (unsigned)g->dims.n_symbols);
  WH_TRY(find_symbol(g, "tokens", &tokens));
  WH_TRY(find_symbol(g, "outputs", &outputs));
  WH_TRY(find_symbol(g, "slots", &slots));
  WH_TRY(find_symbol(g, "table", &table));
  WH_TRY(find_symbol(g, "pages", &pages));
  WH_TRY(check_ids(g, "tokens", 1, &tokens));
  WH_TRY(check_ids(g, "positions", 1, &tokens));
  WH_TRY(check_ids(g, "sequences", 1, &tokens));
  WH_TRY(check_ids(g, "output_rows", 1, &outputs));
  WH_TRY(check_ids(g, "page_table", 2, (int[]){slots, table}));
  const bool two_sets = shape_of_input(g, "rope_sets") != NULL;
  if (two_sets) WH_TRY(check_ids(g, "rope_sets", 1, &tokens));
  if (two_sets != (o->long_rope_border > 0))
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "graph '%s': an input 'rope_sets' and a border between the sets go together", g->name);
  WH_TRY(check_logits_shape(g, outputs));
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) symbols[i] = 1;
  symbols[tokens] = o->max_batch;
  symbols[outputs] = o->max_outputs;
  symbols[slots] = o->max_sequences;
  symbols[table] = wh_lm_pages_for(o->context);
  symbols[pages] = o->n_pages;
  return WH_OK;
}

static bool reads_tokens(const wh_graph *g, const wh_node_info *node) {
  const wh_value_info *ids = &g->values[node->inputs[wh_op_index_input(node->op)]];
  return ids->kind == WH_VALUE_INPUT && strcmp(ids->name, "tokens") == 0;
}

/* Ids index the tables that they gather from: the smallest one bounds them. */
static int64_t smallest_table(const wh_graph *g, int64_t n) {
  for (size_t i = 0; i < g->n_nodes; i++) {
    const wh_node_info *node = &g->nodes[i];
    if (!wh_op_has(node->op, WH_TRAIT_INDEXES_BIT) || !reads_tokens(g, node)) continue;
    int64_t rows =
        wh_dim_get(&g->dims, g->values[node->inputs[wh_op_table_input(node->op)]].shape.dims[0])->min;
    if (rows < n) n = rows;
  }
  return n;
}

/* ---- life ---- */

static wh_status open_lm(wh_lm *lm, wh_program *program) {
  const wh_lm_options *o = &lm->options;
  WH_TRY(wh_lm_symbols(lm->g, o, lm->symbols));
  lm->sym_tokens = wh_dim_find_symbol(&lm->g->dims, "tokens");
  lm->sym_outputs = wh_dim_find_symbol(&lm->g->dims, "outputs");
  lm->ports = (wh_lm_ports){.tokens = wh_program_find_input(program, "tokens"),
                            .positions = wh_program_find_input(program, "positions"),
                            .sequences = wh_program_find_input(program, "sequences"),
                            .page_table = wh_program_find_input(program, "page_table"),
                            .output_rows = wh_program_find_input(program, "output_rows"),
                            .rope_sets = wh_program_find_input(program, "rope_sets"),
                            .logits = wh_program_find_output(program, "logits")};
  lm->n_vocab_in = smallest_table(lm->g, INT32_MAX);
  lm->table = wh_lm_pages_for(o->context);
  WH_TRY(wh_kv_pool_create(o->n_pages, lm->alloc, &lm->pool));
  lm->numbered = wh_alloc_array(lm->alloc, o->max_sequences, sizeof *lm->numbered);
  lm->parts = wh_alloc_array(lm->alloc, o->max_sequences, sizeof *lm->parts);
  lm->rows = wh_alloc_array(lm->alloc, o->max_outputs, sizeof *lm->rows);
  lm->outputs = wh_alloc_array(lm->alloc, o->max_outputs, sizeof *lm->outputs);
  lm->targets = wh_alloc_array(lm->alloc, o->max_sequences, sizeof *lm->targets);
  lm->positions = wh_alloc_array(lm->alloc, o->max_outputs, sizeof *lm->positions);
  lm->row_outputs = wh_alloc_array(lm->alloc, o->max_outputs, sizeof *lm->row_outputs);
  if (!lm->numbered || !lm->parts || !lm->rows || !lm->outputs || !lm->targets || !lm->positions ||
      !lm->row_outputs)
    return WH_OOM("session");
  for (uint32_t i = 0; i < o->max_sequences; i++) {
    WH_TRY(wh_lm_sequence_create_roomy(lm, o->context, &lm->numbered[i]));
    lm->numbered[i]->is_numbered = true;
    lm->numbered[i]->is_private = !o->numbered_find_prefixes;
  }
  const wh_run_options run = {.symbols = lm->symbols, .alloc = lm->alloc, .progress = o->progress};
  WH_TRY(wh_run_create(program, &run, &lm->run));
  lm->n_vocab_out = wh_run_output(lm->run, (size_t)lm->ports.logits).dims[1];
  WH_TRY(wh_lm_best_open(lm));
  return o->long_rope_border ? wh_lm_make_room_for_rows(lm) : WH_OK;
}

wh_status wh_lm_create(wh_program *program, const wh_lm_options *o, wh_lm **out) {
  wh_lm *lm = wh_alloc_zeroed(o->alloc, sizeof *lm);
  if (!lm) return WH_OOM("session");
  lm->alloc = o->alloc;
  lm->options = *o;
  lm->g = program->graph;
  wh_status st = open_lm(lm, program);
  if (st != WH_OK) {
    wh_lm_destroy(lm);
    return st;
  }
  *out = lm;
  return WH_OK;
}

void wh_lm_destroy(wh_lm *lm) {
  if (!lm) return;
  while (lm->sequences) {
    lm->sequences->is_numbered = false;
    wh_lm_sequence_destroy(lm->sequences);
  }
  wh_run_destroy(lm->best);
  wh_run_destroy(lm->run);
  wh_kv_pool_destroy(lm->pool);
  wh_free(lm->alloc, lm->numbered);
  wh_free(lm->alloc, lm->parts);
  wh_free(lm->alloc, lm->rows);
  wh_free(lm->alloc, lm->outputs);
  wh_free(lm->alloc, lm->targets);
  wh_free(lm->alloc, lm->positions);
  wh_free(lm->alloc, lm->row_outputs);
  wh_free(lm->alloc, lm->kept);
  wh_free(lm->alloc, lm);
}

void *wh_lm_owner(const wh_lm *lm) { return lm->options.owner; }
const wh_lm_options *wh_lm_get_options(const wh_lm *lm) { return &lm->options; }
int64_t wh_lm_n_vocab(const wh_lm *lm) { return lm->n_vocab_out; }
wh_run *wh_lm_run_of(wh_lm *lm) { return lm->run; }
uint64_t wh_lm_n_found(const wh_lm *lm) { return lm->n_found; }
wh_kv_pool_counts wh_lm_count_pages(const wh_lm *lm) { return wh_kv_pool_count(lm->pool); }

size_t wh_lm_own_bytes(const wh_lm *lm) {
  size_t n = wh_kv_pool_bytes(lm->options.n_pages);
  for (const wh_sequence *s = lm->sequences; s; s = s->next)
    n += sizeof *s + s->tokens_capacity * sizeof *s->tokens + s->pages_capacity * sizeof *s->pages;
  if (lm->kept) n += (size_t)lm->options.max_outputs * (size_t)lm->n_vocab_out * sizeof *lm->kept;
  return n;
}

void wh_lm_set_trace(wh_lm *lm, wh_run_trace_fn fn, void *ctx) {
  lm->trace = fn;
  lm->trace_ctx = ctx;
  wh_run_set_trace(lm->run, fn, ctx);
}

void wh_lm_set_interrupt(wh_lm *lm, wh_interrupt_fn fn, void *ctx) {
  lm->interrupt = fn;
  lm->interrupt_ctx = ctx;
}

/* ---- failures ---- */

wh_lm_failure wh_lm_failure_now(wh_status status) {
  wh_lm_failure f = {.status = status};
  const char *text = wh_last_error()->message;
  const size_t n = strlen(text);
  memcpy(f.message, text, n < sizeof f.message ? n : sizeof f.message - 1);
  return f;
}

wh_status wh_lm_raise(const wh_lm_failure *f) {
  return f->status == WH_OK ? WH_OK : wh_fail_at(__FILE_NAME__, __LINE__, f->status, "%s", f->message);
}
