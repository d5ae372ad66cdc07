/* run_session.c - checks a batch, gives its tokens positions, runs the program. Nothing here allocates after
 * creation. */
#include "core/exec/run_session.h"

#include <math.h>
#include <string.h>

struct wh_run_session {
  const wh_allocator *alloc;
  wh_run_session_options options;
  wh_program *program;
  wh_graph *g;
  int64_t symbols[WH_MAX_SYMBOLS];
  int sym_tokens, sym_outputs;
  wh_operand *tokens, *positions, *sequences, *output_rows;
  const wh_operand *logits;
  int64_t n_vocab_in, n_vocab_out;
  uint32_t *lengths;  /* positions in use, per sequence */
  uint32_t *added;    /* scratch of a run: tokens per sequence */
  uint32_t n_outputs; /* of the last run */
  wh_trace_fn trace;
  void *trace_ctx;
};

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
static wh_status check_ids(const wh_run_session *s, const char *name, int symbol) {
  const wh_shape *shape = shape_of_input(s->g, name);
  if (!shape || shape->dtype != WH_DTYPE_I32 || shape->rank != 1 ||
      shape->dims[0] != s->g->dims.symbol_dims[symbol])
    return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has no input '%s' of i32[%s]; it is no language model",
                   s->g->name, name, s->g->dims.symbols[symbol]);
  return WH_OK;
}

static wh_status check_logits_shape(const wh_run_session *s) {
  const wh_graph *g = s->g;
  for (size_t i = 0; i < g->n_outputs; i++) {
    const wh_shape *y = &g->values[g->outputs[i].value].shape;
    if (strcmp(g->outputs[i].name, "logits") != 0) continue;
    if (y->dtype == WH_DTYPE_F32 && y->rank == 2 && y->dims[0] == g->dims.symbol_dims[s->sym_outputs] &&
        wh_dim_is_const(&g->dims, y->dims[1]))
      return WH_OK;
    break;
  }
  return WH_FAIL(ERR_UNSUPPORTED,
                 "graph '%s' has no output 'logits' of f32[outputs, n]; it is no language model", g->name);
}

/* Ids index the tables that they gather from: the smallest one bounds them. */
static int64_t smallest_table(const wh_graph *g, int64_t n) {
  for (size_t i = 0; i < g->n_nodes; i++) {
    const wh_node_info *node = &g->nodes[i];
    if (node->op != WH_OP_GATHER_ROWS || strcmp(g->values[node->inputs[1]].name, "tokens") != 0) continue;
    int64_t rows = wh_dim_get(&g->dims, g->values[node->inputs[0]].shape.dims[0])->min;
    if (rows < n) n = rows;
  }
  return n;
}

static wh_status check_io(const wh_run_session *s) {
  WH_TRY(check_ids(s, "tokens", s->sym_tokens));
  WH_TRY(check_ids(s, "positions", s->sym_tokens));
  WH_TRY(check_ids(s, "sequences", s->sym_tokens));
  WH_TRY(check_ids(s, "output_rows", s->sym_outputs));
  return check_logits_shape(s);
}

static void find_io(wh_run_session *s) {
  s->tokens = wh_program_input(s->program, "tokens");
  s->positions = wh_program_input(s->program, "positions");
  s->sequences = wh_program_input(s->program, "sequences");
  s->output_rows = wh_program_input(s->program, "output_rows");
  s->logits = wh_program_output(s->program, "logits");
  s->n_vocab_out = s->logits->dims[1];
  s->n_vocab_in = smallest_table(s->g, INT32_MAX);
}

wh_status wh_run_session_create(wh_graph *g, const wh_run_session_options *o, wh_run_session **out) {
  wh_run_session *s = wh_alloc_zeroed(o->alloc, sizeof *s);
  if (!s) return WH_OOM("session");
  s->alloc = o->alloc;
  s->options = *o;
  s->g = g;
  int context = 0, slots = 0;
  wh_status st = find_symbol(g, "tokens", &s->sym_tokens);
  if (st == WH_OK) st = find_symbol(g, "outputs", &s->sym_outputs);
  if (st == WH_OK) st = find_symbol(g, "context", &context);
  if (st == WH_OK) st = find_symbol(g, "slots", &slots);
  if (st == WH_OK) st = check_io(s);
  if (st == WH_OK) {
    for (uint32_t i = 0; i < g->dims.n_symbols; i++) s->symbols[i] = 1;
    s->symbols[s->sym_tokens] = o->max_batch;
    s->symbols[s->sym_outputs] = o->max_outputs;
    s->symbols[context] = o->context;
    s->symbols[slots] = o->max_sequences;
    s->lengths = wh_alloc_array(o->alloc, o->max_sequences, sizeof *s->lengths);
    s->added = wh_alloc_array(o->alloc, o->max_sequences, sizeof *s->added);
    if (!s->lengths || !s->added) st = WH_OOM("session");
  }
  if (st == WH_OK) {
    const wh_program_options po = {.backend = o->backend,
                                   .device = o->device,
                                   .symbols_max = s->symbols,
                                   .alloc = o->alloc,
                                   .weight_done = o->weight_done,
                                   .weight_done_ctx = o->weight_done_ctx,
                                   .pack_cache = o->pack_cache,
                                   .memory = o->memory};
    st = wh_program_create(g, &po, &s->program);
  }
  s->options.pack_cache = NULL;
  s->options.memory = NULL;
  if (st == WH_OK) find_io(s);
  if (st == WH_OK) st = wh_program_bind(s->program, s->symbols);
  if (st != WH_OK) {
    wh_run_session_destroy(s);
    return st;
  }
  *out = s;
  return WH_OK;
}

void wh_run_session_destroy(wh_run_session *s) {
  if (!s) return;
  wh_program_destroy(s->program);
  wh_free(s->alloc, s->lengths);
  wh_free(s->alloc, s->added);
  wh_free(s->alloc, s);
}

/* Checks every token and writes the program's inputs. Sequences must be adjacent: kernels rely on it. */
static wh_status load_batch(wh_run_session *s, const wh_batch *b) {
  const wh_run_session_options *o = &s->options;
  if (b->n_tokens == 0 || b->n_tokens > o->max_batch)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a batch of %u tokens: must be 1 to %u", b->n_tokens, o->max_batch);
  if (b->n_outputs > o->max_outputs)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%u rows of logits wanted: at most %u", b->n_outputs,
                   o->max_outputs);
  if (!b->tokens) return WH_FAIL(ERR_INVALID_ARGUMENT, "a batch without tokens");
  if (b->n_outputs > 1 && !b->output_rows) return WH_FAIL(ERR_INVALID_ARGUMENT, "output rows are not given");
  int32_t *tokens = s->tokens->data, *positions = s->positions->data, *sequences = s->sequences->data,
          *rows = s->output_rows->data;
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
    tokens[i] = token;
    sequences[i] = seq;
    positions[i] = (int32_t)position;
    previous = seq;
  }
  for (uint32_t i = 0; i < b->n_outputs; i++) {
    int32_t row = b->output_rows ? b->output_rows[i] : (int32_t)b->n_tokens - 1;
    if (row < 0 || (uint32_t)row >= b->n_tokens || (i && row <= rows[i - 1]))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "output row %d: rows must ascend within the batch", row);
    rows[i] = row;
  }
  return WH_OK;
}

static wh_status run_traced(wh_run_session *s) {
  for (size_t i = 0; i < wh_program_n_instrs(s->program); i++) {
    WH_TRY(wh_program_run_part(s->program, i, 1));
    const wh_instr *in = wh_program_instr(s->program, i);
    wh_trace_event e = {.struct_size = sizeof e,
                        .instruction = (uint32_t)i,
                        .node = in->node->name,
                        .op = wh_op_get(in->node->op)->name,
                        .dtype = in->out.dtype,
                        .rank = in->out.rank,
                        .data = in->out.data,
                        .n_bytes = wh_program_output_bytes(s->program, i)};
    memcpy(e.dims, in->out.dims, sizeof e.dims);
    if (s->trace(s->trace_ctx, &e)) return WH_FAIL(ERR_CANCELLED, "the trace callback ended the run");
  }
  return WH_OK;
}

static bool all_finite(const float *x, int64_t n) {
  float worst = 0.0f; /* x * 0 is 0 for finite x, NaN else */
  for (int64_t i = 0; i < n; i++) worst += x[i] * 0.0f;
  return worst == 0.0f;
}

/* Explains a logit that is not finite. Embeddings are looked up in place and not checked at the start (that
 * would read the whole table), so theirs are computed again and looked at now. */
static wh_status blame(wh_run_session *s, const wh_batch *b) {
  for (size_t i = 0; i < wh_program_n_instrs(s->program); i++) {
    const wh_instr *in = wh_program_instr(s->program, i);
    if (in->node->op != WH_OP_GATHER_ROWS || in->in[1].data != s->tokens->data) continue;
    WH_TRY(load_batch(s, b)); /* its memory was reused since */
    WH_TRY(wh_program_run_part(s->program, i, 1));
    for (uint32_t r = 0; r < b->n_tokens; r++)
      if (!all_finite((const float *)in->out.data + (int64_t)r * in->out.dims[1], in->out.dims[1]))
        return WH_FAIL(
            ERR_CORRUPT,
            "tensor '%s' holds a NaN or infinite value in the row of token %d; the file is damaged",
            s->g->values[in->node->inputs[0]].name, b->tokens[r]);
  }
  return WH_FAIL(ERR_CORRUPT,
                 "the model computed a logit that is not finite; its weights are damaged or out of range");
}

wh_status wh_run_session_run(wh_run_session *s, const wh_batch *b) {
  s->n_outputs = 0;
  WH_TRY(load_batch(s, b));
  s->symbols[s->sym_tokens] = b->n_tokens;
  s->symbols[s->sym_outputs] = b->n_outputs;
  WH_TRY(wh_program_bind(s->program, s->symbols));
  WH_TRY(s->trace ? run_traced(s) : wh_program_run(s->program));
  if (!all_finite(s->logits->data, b->n_outputs * s->n_vocab_out)) return blame(s, b);
  s->n_outputs = b->n_outputs;
  for (uint32_t i = 0; i < s->options.max_sequences; i++) s->lengths[i] += s->added[i];
  return WH_OK;
}

const float *wh_run_session_logits(const wh_run_session *s, uint32_t output) {
  return output < s->n_outputs ? (const float *)s->logits->data + (int64_t)output * s->n_vocab_out : NULL;
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
  return WH_OK;
}

void wh_run_session_set_trace(wh_run_session *s, wh_trace_fn fn, void *ctx) {
  s->trace = fn;
  s->trace_ctx = ctx;
}

const wh_program *wh_run_session_program(const wh_run_session *s) { return s->program; }
wh_status wh_run_session_keep_packed(wh_run_session *s) { return wh_program_keep_packed(s->program); }
