/* best.c - the largest logits of each row, found where the logits lie: what sampling mostly needs of them.
 *
 * On a device whose memory the host does not address, rows of logits are copied when somebody asks for them.
 * A graph of its own, over the model's output in place, finds what is copied after every step: the best
 * logits with their ids, and the least one, by which a row that is not finite is known (a NaN ranks first).
 */
#include <math.h>

#include "lm/lm_internal.h"

#define MOST_BEST 128 /* logits of a row */

static wh_status make_graph(int64_t n_vocab, const wh_allocator *alloc, wh_graph **out) {
  wh_graph *g = NULL;
  WH_TRY(wh_graph_create("best logits", alloc, &g));
  const int64_t k[2] = {n_vocab < MOST_BEST ? n_vocab : MOST_BEST, 1};
  static const char *const names[2][2] = {{"best", "ids"}, {"least", "where"}};
  wh_shape shape = {.dtype = WH_DTYPE_F32, .rank = 2};
  wh_value logits = 0;
  wh_status st = wh_dim_symbol(&g->dims, "rows", 0, INT32_MAX, &shape.dims[0]);
  if (st == WH_OK) st = wh_dim_const(&g->dims, n_vocab, &shape.dims[1]);
  if (st == WH_OK) st = wh_graph_add_input(g, "logits", &shape, &logits);
  for (int i = 0; i < 2 && st == WH_OK; i++) {
    const wh_attr attrs[] = {
        {.key = WH_ATTR_AXIS, .i = 1}, {.key = WH_ATTR_K, .i = k[i]}, {.key = WH_ATTR_LARGEST, .i = i == 0}};
    wh_value outs[2];
    st = wh_graph_add_node(g, WH_OP_TOPK, names[i][0], &logits, 1, attrs, 3, outs);
    for (int o = 0; o < (i ? 1 : 2) && st == WH_OK; o++) st = wh_graph_add_output(g, names[i][o], outs[o]);
  }
  if (st != WH_OK) {
    wh_graph_destroy(g);
    return st;
  }
  *out = g;
  return WH_OK;
}

static wh_status make_run(const wh_lm *lm, const wh_program_device *device, wh_run **out) {
  wh_graph *g = NULL;
  wh_program *p = NULL;
  const int64_t n_rows = lm->options.max_outputs;
  WH_TRY(make_graph(lm->n_vocab_out, lm->alloc, &g));
  const wh_program_options o = {
      .place = {.devices = &device->device, .n_devices = 1}, .symbols = &n_rows, .alloc = lm->alloc};
  WH_TRY(wh_program_create(g, &o, &p));
  const wh_status st = wh_run_create(p, &(wh_run_options){.symbols = &n_rows, .alloc = lm->alloc}, out);
  wh_program_release(p); /* the run's */
  return st;
}

wh_status wh_lm_best_open(wh_lm *lm) {
  const size_t logits = (size_t)lm->ports.logits;
  const wh_program *p = wh_run_program(lm->run);
  if (!wh_run_output_is_copied(lm->run, logits)) return WH_OK;
  uint16_t d = 0;
  while (p->outputs[logits].slots[d] == WH_NO_SLOT) d++; /* outputs are on one device */
  const wh_status st = make_run(lm, &p->devices[d], &lm->best);
  if (st == WH_ERR_UNSUPPORTED) return WH_OK; /* it has no such op: rows are copied */
  WH_TRY(st);
  WH_TRY(wh_run_take_output(lm->best, 0, lm->run, logits));
  wh_run_hold_output(lm->run, logits);
  return WH_OK;
}

wh_status wh_lm_best_find(wh_lm *lm) {
  const int64_t n_rows = lm->n_rows;
  if (!n_rows) return WH_OK;
  WH_TRY(wh_run_bind(lm->best, &n_rows));
  return wh_run_execute(lm->best);
}

static wh_lm_best best_of_step(const wh_lm *lm, uint32_t row) {
  const wh_run_port best = wh_run_output(lm->best, 0), ids = wh_run_output(lm->best, 1);
  const int64_t n = best.dims[1];
  return (wh_lm_best){(const float *)best.data + row * n, (const int64_t *)ids.data + row * n, (size_t)n};
}

bool wh_lm_best_finite(const wh_lm *lm, uint32_t row) {
  const float least = ((const float *)wh_run_output(lm->best, 2).data)[row];
  return isfinite(best_of_step(lm, row).logits[0]) && isfinite(least);
}

bool wh_lm_row_best(const wh_lm *lm, uint32_t output, wh_lm_best *out) {
  if (!lm->best || output >= lm->n_outputs || !lm->outputs[output] || lm->kept_rows) return false;
  *out = best_of_step(lm, (uint32_t)((lm->outputs[output] - wh_lm_step_row(lm, 0)) / lm->n_vocab_out));
  return true;
}

bool wh_lm_sequence_row_best(const wh_sequence *s, uint32_t row, wh_lm_best *out) {
  if (!s->lm->best || !wh_lm_sequence_has_row(s, row)) return false;
  *out = best_of_step(s->lm, s->rows_at + row);
  return true;
}
