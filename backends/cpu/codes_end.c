/* codes_end.c - see codes_end.h. */
#include "backends/cpu/codes_end.h"

void wh_codes_end_begin(wh_codes_end *e) {
  const wh_chain *c = e->chain;
  const wh_chain_results to = {.y = e->y,
                               .y_row = {e->ld_y, false},
                               .temps = e->temps[0],
                               .temp_row = {e->ld_sums, true},
                               .temp_size = WH_CODES_END_TILE};
  e->n_ops = 0;
  e->in[0] = (wh_chain_input){.x = e->temps[0], .step = 1, .row = {e->ld_sums, true}};
  if (c->plain && c->n_temps <= WH_CODES_END_TEMPS) e->n_ops = wh_chain_ops(c, e->in, &to, e->ops);
}

static const void *element(const void *x, int64_t i, size_t bytes) {
  return (const char *)x + i * (int64_t)bytes;
}

void wh_codes_end_run(wh_codes_end *e, const int32_t *sums, int64_t row, int64_t rows, int64_t at,
                      int64_t n) {
  const wh_chain *c = e->chain;
  if (e->n_ops) {
    const wh_chain_part part = {row, rows, at, n};
    for (size_t i = 0; i < e->n_ops; i++)
      if (e->ops[i].code / 2 == WH_CHAIN_LOAD_I32 && e->ops[i].x_row.local)
        e->ops[i].x = (const float *)(const void *)sums;
    c->blocks(e->ops, e->n_ops, &part);
    return;
  }
  for (int64_t r = 0; r < rows; r++) {
    wh_chain_input in[WH_FORMULA_INPUTS] = {
        {.x = (const float *)(const void *)(sums + r * e->ld_sums), .step = 1}};
    for (uint32_t i = 1; i < c->n_inputs; i++) {
      const wh_chain_input *x = &e->in[i];
      in[i].x = element(x->x, (row + r) * x->row.step + at * x->step, c->bytes[i]);
      in[i].step = x->step;
    }
    float *y =
        (float *)(void *)((char *)e->y + ((row + r) * e->ld_y + at) * (c->to ? 1 : (int64_t)sizeof(float)));
    wh_chain_run(c, n, in, y, e->team);
  }
}
