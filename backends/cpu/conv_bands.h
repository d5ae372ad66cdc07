/* conv_bands.h - what tiles of conv_blocks.h read where windows move by more than one element or reach beyond
 * the image: a copy of the rows that a task's outputs need, with zeros for padding and split by the phase of
 * the strides, of the channels that a part of the taps are of. It stays in a second-level cache, and a tap is
 * a fixed distance from its output's place in it. Included by conv_blocks.h. */
#ifndef WH_CPU_CONV_BANDS_H
#define WH_CPU_CONV_BANDS_H

/* Where the band ends that begins at a place of a task: outputs of one plane, or of one long row. */
static int64_t band_end(const conv_unit *u, int64_t at, int64_t end) {
  const int64_t *out = u->a->win.out, most = u->p->row_wise ? out[2] : out[1] * out[2];
  return min_i64((at / most + 1) * most, end);
}

/* Rows in the order in which the image has them. */
static void band_copy_channel(const conv_unit *u, const float *x, float *to) {
  const wh_conv_plan *p = u->p;
  const conv_band *b = u->band;
  const wh_window *w = &u->a->win;
  const int64_t *size = b->size, space = size[0] * size[1] * size[2];
  const int64_t left = b->first[2] * w->stride[2] - w->pad[2];
  for (int64_t i = 0; i < size[0] * p->phases[0]; i++)
    for (int64_t j = 0; j < size[1] * p->phases[1]; j++) {
      const int64_t f = i % p->phases[0], g = j % p->phases[1], d = i / p->phases[0], h = j / p->phases[1];
      const int64_t id = (b->first[0] + d) * w->stride[0] - w->pad[0] + p->phase_at[0][f],
                    ih = (b->first[1] + h) * w->stride[1] - w->pad[1] + p->phase_at[1][g];
      const bool inside = id >= 0 && id < w->in[0] && ih >= 0 && ih < w->in[1];
      conv_copy_row(p, inside ? x + (id * w->in[1] + ih) * w->in[2] : NULL, left, size[2], space,
                    to + ((f * p->phases[1] + g) * p->phases[2] * space + (d * size[1] + h) * size[2]));
    }
}

/* That of places [begin, end), of taps [k, k + n), which then begin in it. */
static void band_fill(const conv_unit *u, int64_t begin, int64_t end, int64_t k, int64_t n) {
  const wh_window *w = &u->a->win;
  conv_band *b = u->band;
  const int64_t volume = wh_window_volume(w->kernel), in = wh_window_volume(w->in);
  const int64_t row = begin / w->out[2], column = begin % w->out[2];
  b->rows = (end - 1) / w->out[2] - row + 1;
  b->first[0] = row / w->out[1];
  b->first[1] = row % w->out[1];
  b->first[2] = b->rows == 1 ? column : 0;
  const int64_t outputs[WH_WINDOW_AXES] = {1, b->rows, b->rows == 1 ? end - begin : w->out[2]};
  int64_t channel = u->p->n_phases;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    b->size[i] = wh_conv_band_size(w, u->p, i, outputs[i]);
    channel *= b->size[i];
  }
  b->channel = wh_conv_band_step(channel);
  conv_find_offsets(u);
  float *to = u->copy;
  for (int64_t tap = k, c = k / volume; tap < k + n; c++, to += b->channel) {
    band_copy_channel(u, u->x + c * in, to);
    for (const int64_t behind = min_i64((c + 1) * volume, k + n); tap < behind; tap++)
      u->taps[tap] = to + u->offsets[tap - c * volume];
  }
}

#endif
