/* product_end.c - see product_end.h. */
#include "backends/cpu/product_end.h"

#include <string.h>

#include "backends/cpu/whole.h"

#define LEAST_WIDTH 32 /* a panel's */

/* The ops of all plain steps, over the inputs and results as `values` has them. */
static void make_ops(wh_end_rows *e, float *y) {
  const wh_chain *c = e->chain;
  const float *sums = e->values[0].x;
  const wh_chain_results to = {.y = y,
                               .y_row = {e->ld_y, false},
                               .temps = e->temps[0],
                               .temp_row = {e->width, true},
                               .temp_size = WH_END_TEMP};
  bool again = false;
  e->n_ops = e->n_parts = 0;
  e->of_sums = 0;
  for (uint32_t s = 0; s < c->n_steps;) {
    wh_end_part *part = &e->parts[e->n_parts++];
    *part = (wh_end_part){e->n_ops, 0, s};
    if (c->steps[s].code) {
      s = wh_chain_plain_ops(c, s, e->values, &to, e->ops + e->n_ops, &part->n_ops);
      e->n_ops += part->n_ops;
      continue;
    }
    e->values[c->n_inputs + s] = (wh_chain_input){e->temps[c->steps[s].temp], 1, {e->width, true}};
    s++;
  }
  for (size_t i = 0; i < e->n_ops; i++) {
    if (e->ops[i].x != sums) continue;
    e->of_sums |= UINT64_C(1) << i;
    again = again || (i && wh_chain_has_operand((wh_chain_code)(e->ops[i].code / 2)));
  }
  e->in_registers = c->plain && e->of_sums & 1 && !again;
}

/* Makes values and ops those of the rows about `row` over which every input moves on evenly. */
static void find_row(wh_end_rows *e, int64_t row) {
  if (row >= e->from && row < e->to) return;
  const int last = e->walk.rank - 1;
  const wh_nd_at at = wh_nd_seek(&e->walk, row);
  const int64_t back = min_i64(at.index[last], row - e->first);
  e->from = row - back;
  e->to = row - at.index[last] + e->walk.dims[last];
  /* until there are sums: an address that no operand and no result has */
  e->values[0] = (wh_chain_input){(const float *)(const void *)e, 1, {e->width, true}};
  for (int o = 0; o < e->walk.n_operands; o++) {
    const int64_t stride = e->walk.stride[o][last];
    e->values[1 + o] = (wh_chain_input){e->x[o] + at.offset[o] - back * stride, e->step[o], {stride, false}};
  }
  make_ops(e, e->y + (e->from - e->first) * e->ld_y);
}

/* Row r of a value within a part. */
static const float *row_of(const wh_chain_input *v, const wh_chain_part *p, int64_t r) {
  return v->row.local ? v->x + r * v->row.step : v->x + (p->row + r) * v->row.step + (v->step ? p->at : 0);
}

/* A step that is not plain, over `rows` rows from r on: one, or as wide as tiles. */
static void run_step(wh_end_rows *e, const wh_chain_step *s, const wh_chain_part *p, int64_t r,
                     int64_t rows) {
  _Alignas(64) float copies[2][WH_END_TILE];
  wh_chain_step alone = *s;
  wh_chain_input in[2];
  for (unsigned k = 0; k < s->n_in; k++) {
    const wh_chain_input *v = &e->values[s->in[k]];
    alone.in[k] = (uint8_t)k;
    in[k] = (wh_chain_input){.x = row_of(v, p, r), .step = 1};
    if (v->step && (rows == 1 || v->row.step == p->n)) continue;
    for (int64_t i = 0; i < rows; i++) {
      const float *from = row_of(v, p, r + i);
      for (int64_t j = 0; j < p->n; j++) copies[k][i * p->n + j] = from[j * v->step];
    }
    in[k].x = copies[k];
  }
  wh_chain_run_step(&alone, rows * p->n, in, e->temps[s->temp] + r * e->width, e->team);
}

/* A tile of sums through all steps. */
static void run_tile(wh_end_rows *e, const float *sums, int64_t ld, const wh_chain_part *p) {
  const wh_chain *c = e->chain;
  float *y = e->y + (e->from - e->first + p->row) * e->ld_y + p->at;
  for (int64_t r = 0; r < p->rows && p->rows > 1; r++) /* too far apart for the processor to foresee */
    for (int64_t j = 0; j < p->n; j += 16) __builtin_prefetch(y + r * e->ld_y + j, 1);
  e->values[0].x = sums;
  e->values[0].row.step = ld;
  for (uint64_t left = e->of_sums; left; left &= left - 1) {
    wh_chain_op *op = &e->ops[__builtin_ctzll(left)];
    op->x = sums;
    op->x_row.step = ld;
  }
  for (size_t i = 0; i < e->n_parts; i++) {
    const wh_end_part *part = &e->parts[i];
    if (part->n_ops) {
      c->blocks(e->ops + part->first_op, part->n_ops, p);
      continue;
    }
    const wh_chain_step *step = &c->steps[part->step];
    if (p->n == e->width)
      run_step(e, step, p, 0, p->rows);
    else
      for (int64_t r = 0; r < p->rows; r++) run_step(e, step, p, r, 1);
    if (part->step + 1 < c->n_steps) continue;
    for (int64_t r = 0; r < p->rows; r++)
      memcpy(y + r * e->ld_y, e->temps[step->temp] + r * e->width, (size_t)p->n * sizeof *y);
  }
}

static void run(void *of, const float *sums, int64_t ld, int64_t row, int64_t rows, int64_t col,
                int64_t cols) {
  wh_end_rows *e = of;
  for (int64_t r = 0, high; r < rows; r += high) {
    find_row(e, row + r);
    high = min_i64(min_i64(rows - r, e->to - row - r), e->height);
    for (int64_t at = 0; at < cols; at += e->width) {
      const wh_chain_part p = {row + r - e->from, high, col + at, min_i64(cols - at, e->width)};
      run_tile(e, sums + r * ld + at, ld, &p);
    }
  }
}

static bool find_ops(void *of, int64_t row, int64_t rows, wh_product_ops *out) {
  wh_end_rows *e = of;
  find_row(e, row);
  *out = (wh_product_ops){.ops = e->ops + 1, .n_ops = e->n_ops - 1, .row = row - e->from};
  for (int o = 1; o <= e->walk.n_operands; o++)
    if (e->values[o].step && e->values[o].row.step) {
      out->reads = e->values[o].x;
      out->ld_reads = e->values[o].row.step;
    }
  return e->in_registers && row + rows <= e->to;
}

void wh_end_rows_begin(wh_end_rows *e, wh_product_end *out) {
  const int64_t rows = wh_nd_elements(&e->walk), fit = WH_END_TILE / (rows < 1 ? 1 : rows);
  e->width = fit < LEAST_WIDTH ? LEAST_WIDTH : fit / LEAST_WIDTH * LEAST_WIDTH;
  e->height = WH_END_TILE / e->width;
  e->from = e->to = 0;
  wh_nd_collapse(&e->walk);
  *out = (wh_product_end){.run = run, .find_ops = find_ops, .of = e};
}
