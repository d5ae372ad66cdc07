/* conv_end.h - what follows a tile's sums: bias, residual and the steps of a chain, while the sums are in a
 * first-level cache. Included by conv_driver.h. */
#ifndef WH_CPU_CONV_END_H
#define WH_CPU_CONV_END_H

#include "backends/cpu/conv_winograd.h"

#define CONV_TEMPS 2 /* of a chain that runs here */
/* Sums that are written together: channels x places of a tile, or a panel of channels x places. */
#define CONV_PANEL_PLACES (CONV_BLOCK > 32 ? CONV_BLOCK : 32)
#define CONV_PANEL_TILE (WH_LINEAR_F_COLS * CONV_PANEL_PLACES)
#define CONV_TILE (CONV_ROWS * CONV_LANES > CONV_PANEL_TILE ? CONV_ROWS * CONV_LANES : CONV_PANEL_TILE)
_Static_assert(WH_WINOGRAD_PANEL *WH_WINOGRAD_PLACES <= CONV_TILE, "rows of sums fit a temporary");

/* Where sums are: in a tile of channels x places, or of four channels x WH_WINOGRAD_PLACES; where the outputs
 * go; in a tile of places x VF_LANES channels, which results replace. */
typedef enum conv_sums_at { CONV_SUMS_TILE, CONV_SUMS_ROWS, CONV_SUMS_OUTPUTS, CONV_SUMS_LANES } conv_sums_at;

/* How sums become outputs; of one unit and one worker. */
typedef struct conv_end {
  const conv_unit *u;
  int64_t ldc;        /* sums of channels lie so far apart */
  bool across;        /* outputs have one place: channels are what a row's elements are */
  size_t n_ops;       /* 0: no chain, or one that runs over whole outputs, behind this */
  const float *sums;  /* where ops read them */
  size_t n_sums;      /* of the first ops that load sums: 1, or 0 where the chain begins with an operand */
  bool again;         /* others read them from there, where no op has saved them */
  const float *ahead; /* the last operand that moves; or NULL */
  wh_chain_op ops[WH_CHAIN_OPS + 1];
  _Alignas(64) float tile[CONV_TILE]; /* a tile's sums */
  float temps[CONV_TEMPS][CONV_TILE];
} conv_end;

/* y = sums (+ bias), (residual +); y may be the sums. */
CONV_INLINE void conv_finish(const float *sums, int64_t n, const float *bias, const float *residual,
                             float *y) {
  const vf b = vf_set1(bias ? *bias : 0.0f);
  int64_t j = 0;
  for (; j + VF_LANES <= n; j += VF_LANES) {
    vf v = vf_load(sums + j);
    if (bias) v = vf_add(v, b);
    if (residual) v = vf_add(vf_load(residual + j), v);
    vf_store(y + j, v);
  }
  if (j < n) {
    const vf_mask rest = vf_first(n - j);
    vf v = vf_load_some(rest, sums + j);
    if (bias) v = vf_add(v, b);
    if (residual) v = vf_add(vf_load_some(rest, residual + j), v);
    vf_store_first(n - j, y + j, v);
  }
}

/* An operand of the chain as rows of channels have it, or one row of all. */
static wh_chain_input conv_end_operand(const conv_end *e, const wh_conv_end *x) {
  const float *first = x->x + e->u->image * x->by_image + e->u->group * e->u->a->m * x->by_channel;
  if (e->across) return (wh_chain_input){first, x->by_channel, {0, false}};
  return (wh_chain_input){first, x->by_place, {x->by_channel, false}};
}

static void conv_end_begin(const conv_unit *u, int64_t ldc, conv_sums_at where, conv_end *e) {
  const wh_conv_args *a = u->a;
  const wh_chain *c = a->chain;
  const int64_t plane = wh_window_volume(a->win.out), channel = u->group * a->m;
  const bool in_place = where == CONV_SUMS_OUTPUTS, lanes = where == CONV_SUMS_LANES;
  float *y = a->y + (u->image * a->group * a->m + channel) * plane;
  e->u = u;
  e->ldc = ldc;
  e->across = lanes || (u->p->by_channels && plane == 1);
  e->sums = in_place ? y : e->tile;
  e->n_ops = 0;
  e->ahead = NULL;
  for (uint32_t i = 1; c && e->across && i < c->n_inputs; i++) e->across = a->ends[i - 1].by_channel <= 1;
  if (!c || !c->plain || c->n_temps > CONV_TEMPS) return;
  const wh_chain_row outputs = {plane, false}, sums = in_place ? outputs : (wh_chain_row){ldc, true};
  const wh_chain_results to = {.y = lanes ? e->tile : y,
                               .y_row = lanes ? sums : outputs,
                               .temps = e->temps[0],
                               .temp_row = {lanes                               ? VF_LANES
                                            : where == CONV_SUMS_ROWS           ? WH_WINOGRAD_PLACES
                                            : u->p->by_channels || u->p->blocks ? CONV_PANEL_PLACES
                                                                                : CONV_LANES,
                                            true},
                               .temp_size = CONV_TILE};
  wh_chain_input in[WH_FORMULA_INPUTS] = {{e->sums, 1, sums}};
  for (uint32_t i = 1; i < c->n_inputs; i++) in[i] = conv_end_operand(e, &a->ends[i - 1]);
  if (a->bias && !in_place && !lanes) {
    const wh_conv_end bias = {a->bias, 0, 1, 0};
    const wh_chain_input b = conv_end_operand(e, &bias);
    e->ops[0] = (wh_chain_op){.code = 2 * WH_CHAIN_LOAD + 1, .x = e->tile, .x_row = sums};
    e->ops[1] = (wh_chain_op){.code = 2 * WH_CHAIN_ADD + (unsigned)b.step,
                              .x = b.x,
                              .save = e->tile,
                              .x_row = b.row,
                              .save_row = sums};
    e->n_ops = 2;
  }
  wh_chain_op *const chain = e->ops + e->n_ops;
  size_t n = wh_chain_ops(c, in, &to, chain);
  const bool loads = chain[0].x == e->sums && wh_chain_has_operand((wh_chain_code)(chain[0].code / 2));
  bool again = false;
  for (size_t i = loads ? 1 : 0; i < n; i++)
    again |= chain[i].x == e->sums && wh_chain_has_operand((wh_chain_code)(chain[i].code / 2));
  if (e->n_ops && loads) { /* they are at hand, with the bias */
    memmove(chain, chain + 1, --n * sizeof *chain);
    if (!again) e->ops[1].save = NULL;
  }
  e->n_sums = e->n_ops || loads;
  e->again = again && !e->n_ops;
  e->n_ops += n;
  for (size_t i = 0; i < e->n_ops; i++)
    if (e->ops[i].code & 1 && !e->ops[i].x_row.local && e->ops[i].x_row.step == plane) e->ahead = e->ops[i].x;
}

/* What outputs of channels [m, m + rows) from `place` on will touch; of operands the last one that moves. */
static conv_ahead conv_end_ahead(const conv_end *e, int64_t m, int64_t rows, int64_t place) {
  const wh_conv_args *a = e->u->a;
  const int64_t plane = wh_window_volume(a->win.out), row = e->u->group * a->m + m,
                to = (e->u->image * a->group * a->m + row) * plane + place;
  const float *y = a->y + to, *x = a->residual ? a->residual + to
                                   : e->ahead  ? e->ahead + m * plane + place
                                               : y;
  return (conv_ahead){y, x, plane, rows};
}

/* Sums [rows][ldc] as places [place, place + n) of the outputs of channels [m, m + rows). */
static void conv_end_run(conv_end *e, float *sums, int64_t m, int64_t rows, int64_t place, int64_t n) {
  const wh_conv_args *a = e->u->a;
  if (!e->n_ops) {
    for (int64_t r = 0; r < rows; r++) {
      const int64_t channel = e->u->group * a->m + m + r,
                    to = (e->u->image * a->group * a->m + channel) * wh_window_volume(a->win.out) + place;
      conv_finish(sums + r * e->ldc, n, a->bias ? a->bias + channel : NULL,
                  a->residual ? a->residual + to : NULL, a->y + to);
    }
    return;
  }
  for (size_t i = 0; i < e->n_ops; i++) {
    if (e->ops[i].x == e->sums) e->ops[i].x = sums;
    if (e->ops[i].save == e->sums) e->ops[i].save = sums;
  }
  e->sums = sums;
  const wh_chain_part part = {m, rows, place, n};
  a->chain->blocks(e->ops, e->n_ops, &part);
}

#endif
