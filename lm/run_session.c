/* run_session.c - checks a batch, gives its tokens positions, runs the program. Nothing here allocates after
 * creation. */
#include <string.h>

#include "core/base/finite.h"
#include "lm/long_rope.h"

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

/* An input of ids: i32[symbol]. What a run writes there was sized by the symbol. */
static wh_status check_ids(const wh_graph *g, const char *name, int symbol) {
  const wh_shape *shape = shape_of_input(g, name);
  if (!shape || shape->dtype != WH_DTYPE_I32 || shape->rank != 1 ||
      shape->dims[0] != g->dims.symbol_dims[symbol])
    return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has no input '%s' of i32[%s]; it is no language model",
                   g->name, name, g->dims.symbols[symbol]);
  return WH_OK;
}

/* Of one sequence. */
static int64_t pages_of(uint32_t context) { return ((int64_t)context + WH_KV_PAGE - 1) / WH_KV_PAGE; }

static wh_status check_page_table(const wh_graph *g, int slots, int table) {
  const wh_shape *shape = shape_of_input(g, "page_table");
  if (!shape || shape->dtype != WH_DTYPE_I32 || shape->rank != 2 ||
      shape->dims[0] != g->dims.symbol_dims[slots] || shape->dims[1] != g->dims.symbol_dims[table])
    return WH_FAIL(ERR_UNSUPPORTED,
                   "graph '%s' has no input 'page_table' of i32[slots, table]; it is no language model",
                   g->name);
  return WH_OK;
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

wh_status wh_run_session_symbols(const wh_graph *g, const wh_run_session_options *o,
                                 int64_t symbols[WH_LM_MAX_SYMBOLS]) {
  int tokens = 0, outputs = 0, pages = 0, slots = 0, table = 0;
  if (g->dims.n_symbols > WH_LM_MAX_SYMBOLS)
    return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has %u free dimensions; it is no language model", g->name,
                   (unsigned)g->dims.n_symbols);
  WH_TRY(find_symbol(g, "tokens", &tokens));
  WH_TRY(find_symbol(g, "outputs", &outputs));
  WH_TRY(find_symbol(g, "pages", &pages));
  WH_TRY(find_symbol(g, "slots", &slots));
  WH_TRY(find_symbol(g, "table", &table));
  WH_TRY(check_ids(g, "tokens", tokens));
  WH_TRY(check_ids(g, "positions", tokens));
  WH_TRY(check_ids(g, "sequences", tokens));
  WH_TRY(check_ids(g, "output_rows", outputs));
  WH_TRY(check_page_table(g, slots, table));
  const bool two_sets = shape_of_input(g, "rope_sets") != NULL;
  if (two_sets) WH_TRY(check_ids(g, "rope_sets", tokens));
  if (two_sets != (o->long_rope_border > 0))
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "graph '%s': an input 'rope_sets' and a border between the sets go together", g->name);
  WH_TRY(check_logits_shape(g, outputs));
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) symbols[i] = 1;
  symbols[tokens] = o->max_batch;
  symbols[outputs] = o->max_outputs;
  symbols[slots] = o->max_sequences;
  symbols[table] = pages_of(o->context);
  symbols[pages] = symbols[slots] * symbols[table];
  return WH_OK;
}

static wh_status open_session(wh_run_session *s, wh_program *program) {
  const wh_run_session_options *o = &s->options;
  WH_TRY(wh_run_session_symbols(s->g, o, s->symbols));
  s->sym_tokens = wh_dim_find_symbol(&s->g->dims, "tokens");
  s->sym_outputs = wh_dim_find_symbol(&s->g->dims, "outputs");
  s->tokens = wh_program_find_input(program, "tokens");
  s->positions = wh_program_find_input(program, "positions");
  s->sequences = wh_program_find_input(program, "sequences");
  s->output_rows = wh_program_find_input(program, "output_rows");
  s->page_table = wh_program_find_input(program, "page_table");
  s->rope_sets = wh_program_find_input(program, "rope_sets");
  s->logits = wh_program_find_output(program, "logits");
  s->n_vocab_in = smallest_table(s->g, INT32_MAX);
  s->lengths = wh_alloc_array(o->alloc, o->max_sequences, sizeof *s->lengths);
  s->added = wh_alloc_array(o->alloc, o->max_sequences, sizeof *s->added);
  if (!s->lengths || !s->added) return WH_OOM("session");
  s->filled = s->lengths;
  WH_TRY(wh_run_create(program, &(wh_run_options){s->symbols, o->alloc, o->progress}, &s->run));
  s->n_vocab_out = wh_run_output(s->run, (size_t)s->logits).dims[1];
  return s->rope_sets >= 0 ? wh_long_rope_create(s) : WH_OK;
}

wh_status wh_run_session_create(wh_program *program, const wh_run_session_options *o, wh_run_session **out) {
  wh_run_session *s = wh_alloc_zeroed(o->alloc, sizeof *s);
  if (!s) return WH_OOM("session");
  s->alloc = o->alloc;
  s->options = *o;
  s->g = program->graph;
  wh_status st = open_session(s, program);
  if (st != WH_OK) {
    wh_run_session_destroy(s);
    return st;
  }
  *out = s;
  return WH_OK;
}

void wh_run_session_destroy(wh_run_session *s) {
  if (!s) return;
  wh_run_destroy(s->run);
  wh_long_rope_destroy(s);
  wh_free(s->alloc, s->lengths);
  wh_free(s->alloc, s->added);
  wh_free(s->alloc, s);
}

/* Checks every token and row. Sequences must be adjacent: kernels rely on it. */
static wh_status check_batch(wh_run_session *s, const wh_batch *b) {
  const wh_run_session_options *o = &s->options;
  if (b->n_tokens == 0 || b->n_tokens > o->max_batch)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a batch of %u tokens: must be 1 to %u", b->n_tokens, o->max_batch);
  if (b->n_outputs > o->max_outputs)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%u rows of logits wanted: at most %u", b->n_outputs,
                   o->max_outputs);
  if (!b->tokens) return WH_FAIL(ERR_INVALID_ARGUMENT, "a batch without tokens");
  if (b->n_outputs > 1 && !b->output_rows) return WH_FAIL(ERR_INVALID_ARGUMENT, "output rows are not given");
  memset(s->added, 0, o->max_sequences * sizeof *s->added);
  int32_t previous = -1;
  for (uint32_t i = 0; i < b->n_tokens; i++) {
    int32_t seq = b->sequences ? b->sequences[i] : 0, token = b->tokens[i];
    if (token < 0 || token >= s->n_vocab_in)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "token %d at %u: the vocabulary has %lld", token, i,
                     (long long)s->n_vocab_in);
    if (seq < 0 || (uint32_t)seq >= o->max_sequences)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "sequence %d at %u: the session has %u", seq, i, o->max_sequences);
    if (seq != previous && s->added[seq])
      return WH_FAIL(ERR_INVALID_ARGUMENT, "the tokens of sequence %d are not adjacent", seq);
    uint32_t position = s->lengths[seq] + s->added[seq]++;
    if (position >= o->context)
      return WH_FAIL(ERR_LIMIT, "the context of %u tokens is full; use a larger context or a shorter text",
                     o->context);
    previous = seq;
  }
  int32_t before = -1;
  for (uint32_t i = 0; i < b->n_outputs; i++) {
    int32_t row = wh_batch_row(b, i);
    if (row <= before || (uint32_t)row >= b->n_tokens)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "output row %d: rows must ascend within the batch", row);
    before = row;
  }
  return WH_OK;
}

/* Writes the program's inputs: each token goes behind what its sequence has in the states. */
static void load_batch(wh_run_session *s, const wh_batch *b) {
  int32_t *tokens = wh_run_session_ids(s, s->tokens), *positions = wh_run_session_ids(s, s->positions),
          *sequences = wh_run_session_ids(s, s->sequences), *rows = wh_run_session_ids(s, s->output_rows);
  uint32_t first = 0; /* of the sequence's tokens */
  for (uint32_t i = 0; i < b->n_tokens; i++) {
    int32_t seq = wh_batch_sequence(b, i);
    if (i && seq != sequences[i - 1]) first = i;
    tokens[i] = b->tokens[i];
    sequences[i] = seq;
    positions[i] = (int32_t)(s->filled[seq] + i - first);
  }
  for (uint32_t i = 0; i < b->n_outputs; i++) rows[i] = wh_batch_row(b, i);
  /* each sequence has pages of its own; written anew as kernels may have reused the input's memory */
  int32_t *page = wh_run_session_ids(s, s->page_table);
  const int32_t n_pages = (int32_t)(pages_of(s->options.context) * s->options.max_sequences);
  for (int32_t i = 0; i < n_pages; i++) page[i] = i;
  if (s->long_rope) wh_long_rope_load(s, b);
}

/* Explains a logit that is not finite. Embeddings are looked up in place and not checked at the start (that
 * would read the whole table), so theirs are computed again and looked at now. */
typedef struct blame_search {
  const wh_graph *g;
  const char *table; /* found: the tensor, and the row of the batch */
  int64_t row;
} blame_search;

static int look_at_embedding(void *ctx, const wh_run_trace_event *e) {
  blame_search *x = ctx;
  if (!wh_op_has(e->node->op, WH_TRAIT_INDEXES_BIT) || !reads_tokens(x->g, e->node)) return 0;
  const float *rows = e->port.data;
  for (int64_t r = 0; r < e->port.dims[0] && !x->table; r++) {
    if (wh_all_finite(rows + r * e->port.dims[1], (size_t)e->port.dims[1])) continue;
    x->table = x->g->values[e->node->inputs[wh_op_table_input(e->node->op)]].name;
    x->row = r;
  }
  return x->table != NULL;
}

static wh_status blame(wh_run_session *s, const wh_batch *b) {
  blame_search x = {.g = s->g};
  load_batch(s, b); /* its memory was reused since; the states are written again with the same bits */
  wh_run_set_trace(s->run, look_at_embedding, &x);
  wh_status st = wh_run_execute(s->run);
  wh_run_set_trace(s->run, s->trace, s->trace_ctx);
  if (x.table)
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s' holds a NaN or infinite value in the row of token %d; the file is damaged",
                   x.table, b->tokens[x.row]);
  WH_TRY(st);
  return WH_FAIL(ERR_CORRUPT,
                 "the model computed a logit that is not finite; its weights are damaged or out of range");
}

wh_status wh_run_session_step(wh_run_session *s, const wh_batch *b) {
  load_batch(s, b);
  s->symbols[s->sym_tokens] = b->n_tokens;
  s->symbols[s->sym_outputs] = b->n_outputs;
  WH_TRY(wh_run_bind(s->run, s->symbols));
  WH_TRY(wh_run_execute(s->run));
  if (!wh_all_finite(wh_run_session_rows(s), (size_t)(b->n_outputs * s->n_vocab_out))) return blame(s, b);
  for (uint32_t i = 0; i < b->n_tokens; i++) s->filled[wh_batch_sequence(b, i)]++;
  return WH_OK;
}

wh_status wh_run_session_run(wh_run_session *s, const wh_batch *b) {
  wh_run_session_drop_logits(s);
  s->output = wh_run_session_rows(s);
  WH_TRY(check_batch(s, b));
  WH_TRY(s->long_rope ? wh_long_rope_run(s, b) : wh_run_session_step(s, b));
  s->n_outputs = b->n_outputs;
  return WH_OK;
}

void wh_run_session_drop_logits(wh_run_session *s) { s->n_outputs = 0; }

const float *wh_run_session_logits(const wh_run_session *s, uint32_t output) {
  return output < s->n_outputs ? s->output + (int64_t)output * s->n_vocab_out : NULL;
}

uint32_t wh_run_session_length(const wh_run_session *s, uint32_t seq) {
  return seq < s->options.max_sequences ? s->lengths[seq] : 0;
}

wh_status wh_run_session_truncate(wh_run_session *s, uint32_t seq, uint32_t length) {
  if (seq >= s->options.max_sequences) return WH_FAIL(ERR_INVALID_ARGUMENT, "no sequence %u", seq);
  if (length > s->lengths[seq])
    return WH_FAIL(ERR_INVALID_ARGUMENT, "sequence %u holds %u tokens; cannot keep %u", seq, s->lengths[seq],
                   length);
  s->lengths[seq] = length;
  if (s->filled[seq] > length) s->filled[seq] = length;
  return WH_OK;
}

void wh_run_session_set_interrupt(wh_run_session *s, wh_interrupt_fn fn, void *ctx) {
  s->interrupt = fn;
  s->interrupt_ctx = ctx;
}

size_t wh_run_session_own_bytes(const wh_run_session *s) { return s->long_rope ? wh_long_rope_bytes(s) : 0; }

void wh_run_session_set_trace(wh_run_session *s, wh_run_trace_fn fn, void *ctx) {
  s->trace = fn;
  s->trace_ctx = ctx;
  wh_run_set_trace(s->run, fn, ctx);
}

wh_run *wh_run_session_run_of(wh_run_session *s) { return s->run; }
