/* step.c - one run of the program over parts of sequences: inputs written, rows of logits looked at, what is
 * computed published. */
#include "core/base/finite.h"
#include "lm/lm_internal.h"

void wh_lm_step_begin(wh_lm *lm) {
  lm->n_parts = lm->n_tokens = lm->n_rows = 0;
  lm->step++;
}

uint32_t wh_lm_step_room(const wh_lm *lm) {
  return lm->n_parts < lm->options.max_sequences ? lm->options.max_batch - lm->n_tokens : 0;
}

void wh_lm_step_add(wh_lm *lm, wh_sequence *s, uint32_t n, const uint32_t *positions, uint32_t n_positions) {
  for (uint32_t i = 0; i < n_positions; i++)
    lm->rows[lm->n_rows++] = (int32_t)(lm->n_tokens + positions[i] - s->n_computed);
  lm->parts[lm->n_parts++] = (wh_lm_part){.sequence = s, .n_tokens = n, .n_rows = n_positions};
  lm->n_tokens += n;
  s->last_use = lm->step;
}

wh_status wh_lm_step_fetch_rows(wh_lm *lm) {
  if (lm->rows_fetched) return WH_OK;
  WH_TRY(wh_run_fetch_output(lm->run, (size_t)lm->ports.logits));
  lm->rows_fetched = true;
  return WH_OK;
}

const float *wh_lm_step_row(const wh_lm *lm, uint32_t i) {
  const float *rows = wh_run_output(lm->run, (size_t)lm->ports.logits).data;
  return rows + (int64_t)i * lm->n_vocab_out;
}

/* Part i is slot i: its row of the page table holds its sequence's pages. */
static void load_inputs(wh_lm *lm) {
  const wh_lm_ports *p = &lm->ports;
  int32_t *tokens = wh_lm_ids(lm, p->tokens), *positions = wh_lm_ids(lm, p->positions),
          *sequences = wh_lm_ids(lm, p->sequences), *table = wh_lm_ids(lm, p->page_table),
          *rows = wh_lm_ids(lm, p->output_rows),
          *sets = p->rope_sets < 0 ? NULL : wh_lm_ids(lm, p->rope_sets);
  uint32_t at = 0;
  for (uint32_t i = 0; i < lm->n_parts; i++) {
    const wh_sequence *s = lm->parts[i].sequence;
    for (uint32_t k = 0; k < lm->parts[i].n_tokens; k++, at++) {
      tokens[at] = s->tokens[s->n_computed + k];
      positions[at] = (int32_t)(s->n_computed + k);
      sequences[at] = (int32_t)i;
      if (sets) sets[at] = s->set;
    }
    for (uint32_t k = 0; k < s->n_pages; k++) table[(int64_t)i * lm->table + k] = (int32_t)s->pages[k];
    for (int64_t k = s->n_pages; k < lm->table; k++) table[(int64_t)i * lm->table + k] = -1;
  }
  memcpy(rows, lm->rows, lm->n_rows * sizeof *rows);
}

static wh_status execute(wh_lm *lm) {
  lm->rows_fetched = false;
  WH_TRY(wh_run_execute(lm->run));
  if (lm->best) return wh_lm_best_find(lm);
  lm->rows_fetched = true;
  return WH_OK;
}

/* ---- rows that are not finite ---- */

/* Embeddings are looked up in place and not checked at the start (that would read the whole table), so theirs
 * are computed again and looked at when a row of logits is not finite. */
typedef struct blame_search {
  const wh_graph *g;
  const int32_t *tokens;    /* of the step's batch */
  const char *table;        /* found: the tensor, and the row of the batch */
  uint32_t row, begin, end; /* looked for within [begin, end) */
} blame_search;

static int look_at_embedding(void *ctx, const wh_run_trace_event *e) {
  blame_search *x = ctx;
  const wh_node_info *node = e->node;
  if (!wh_op_has(node->op, WH_TRAIT_INDEXES_BIT)) return 0;
  const wh_value_info *ids = &x->g->values[node->inputs[wh_op_index_input(node->op)]];
  if (ids->kind != WH_VALUE_INPUT || strcmp(ids->name, "tokens") != 0) return 0;
  const float *rows = e->port.data;
  for (uint32_t r = x->begin; r < x->end && !x->table; r++) {
    if (wh_all_finite(rows + r * e->port.dims[1], (size_t)e->port.dims[1])) continue;
    x->table = x->g->values[node->inputs[wh_op_table_input(node->op)]].name;
    x->row = r;
  }
  return x->table != NULL;
}

/* Runs the step again, which writes the same bits, and ends behind the embeddings when they are to blame. */
static wh_status blame(wh_lm *lm, uint32_t first_token, const wh_lm_part *part) {
  blame_search x = {.g = lm->g, .begin = first_token, .end = first_token + part->n_tokens};
  load_inputs(lm);
  wh_run_set_trace(lm->run, look_at_embedding, &x);
  wh_status st = execute(lm);
  wh_run_set_trace(lm->run, lm->trace, lm->trace_ctx);
  if (x.table)
    return WH_FAIL(ERR_CORRUPT,
                   "tensor '%s' holds a NaN or infinite value in the row of token %d; the file is damaged",
                   x.table, part->sequence->tokens[part->sequence->n_computed + x.row - first_token]);
  WH_TRY(st);
  return WH_FAIL(ERR_CORRUPT,
                 "the model computed a logit that is not finite; its weights are damaged or out of range");
}

static bool row_is_finite(const wh_lm *lm, uint32_t row) {
  return lm->best ? wh_lm_best_finite(lm, row)
                  : wh_all_finite(wh_lm_step_row(lm, row), (size_t)lm->n_vocab_out);
}

/* The first part that has a bad row is looked into; doing so for each would cost a run for each. A search
 * that ended early has left no rows of logits: the step is run once more for the others. */
static wh_status judge_rows(wh_lm *lm) {
  uint32_t row = 0, token = 0;
  bool blamed = false;
  for (uint32_t i = 0; i < lm->n_parts; i++) {
    wh_lm_part *part = &lm->parts[i];
    bool finite = true;
    for (uint32_t k = 0; k < part->n_rows; k++, row++) finite = finite && row_is_finite(lm, row);
    if (!finite && blamed)
      (void)WH_FAIL(ERR_CORRUPT, "the model computed a logit that is not finite");
    else if (!finite)
      (void)blame(lm, token, part);
    if (!finite) part->failure = wh_lm_failure_now(WH_ERR_CORRUPT);
    if (!finite && !blamed && lm->n_parts > 1) {
      load_inputs(lm);
      WH_TRY(execute(lm));
    }
    blamed = blamed || !finite;
    token += part->n_tokens;
  }
  return WH_OK;
}

wh_status wh_lm_step_run(wh_lm *lm) {
  lm->symbols[lm->sym_tokens] = lm->n_tokens;
  lm->symbols[lm->sym_outputs] = lm->n_rows;
  WH_TRY(wh_run_bind(lm->run, lm->symbols));
  load_inputs(lm);
  WH_TRY(execute(lm));
  WH_TRY(judge_rows(lm));
  for (uint32_t i = 0; i < lm->n_parts; i++) {
    wh_lm_part *part = &lm->parts[i];
    if (part->failure.status != WH_OK) continue;
    part->sequence->n_computed += part->n_tokens;
    wh_lm_sequence_publish(part->sequence);
  }
  return WH_OK;
}
