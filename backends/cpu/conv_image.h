/* conv_image.h - blocks (conv_blocks.h) that are filled from an image as it is: windows that move by one or
 * two elements and may reach beyond the image, of which no padded copy is made. Included by conv_blocks.h. */
#ifndef WH_CPU_CONV_IMAGE_H
#define WH_CPU_CONV_IMAGE_H

/* A block's places cut into pieces of a vector, of one row of outputs each; a piece of fewer is followed by
 * what the next one overwrites. Rows of outputs are at least a vector long. */
#define IMAGE_PIECES (CONV_BLOCK / VF_LANES + 4)
_Static_assert(CONV_BLOCK <= 3 * VF_LANES,
               "the block has places of four rows at most, each with one short piece");

/* Lanes of a vector of elements from `first` on that lie in [0, width). */
CONV_INLINE vf_mask image_inside(int64_t first, int64_t width) {
  const int64_t begin = first < 0 ? -first : 0, end = width - first;
  return vf_between(begin > VF_LANES ? VF_LANES : begin, end < 0 ? 0 : min_i64(end, VF_LANES));
}

typedef struct image_block {
  int64_t n, to[IMAGE_PIECES];
  bool whole[IMAGE_PIECES]; /* all elements lie in the row, where there is one; else */
  vf_mask inside[WH_CONV_COLUMNS][IMAGE_PIECES][2]; /* those of a tap that do */
  int64_t row[WH_CONV_ROWS][IMAGE_PIECES]; /* where a row of taps begins in a channel; INT64_MIN: outside */
} image_block;

/* A piece of a row of outputs that moves over the elements from (front, top, left) on. */
CONV_INLINE void image_add_piece(const wh_window *w, int64_t front, int64_t top, int64_t left, int64_t to,
                                 image_block *b) {
  const int64_t i = b->n++, reach = (w->kernel[2] - 1) * w->dilation[2] + w->stride[2] * VF_LANES;
  int64_t(*row)[IMAGE_PIECES] = b->row;
  b->to[i] = to;
  for (int64_t k = 0, d = front; k < w->kernel[0]; k++, d += w->dilation[0])
    for (int64_t j = 0, h = top; j < w->kernel[1]; j++, h += w->dilation[1], row++) {
      const bool in = d >= 0 && d < w->in[0] && h >= 0 && h < w->in[1];
      (*row)[i] = in ? (d * w->in[1] + h) * w->in[2] + left : INT64_MIN;
    }
  b->whole[i] = left >= 0 && left + reach <= w->in[2];
  for (int64_t k = 0; !b->whole[i] && k < w->kernel[2]; k++)
    for (int half = 0; half < 2; half++)
      b->inside[k][i][half] = image_inside(left + k * w->dilation[2] + half * VF_LANES, w->in[2]);
}

CONV_INLINE void image_fill_taps(const int stride, const conv_unit *u, const image_block *b, int64_t k,
                                 int64_t n, float *to) {
  const wh_window *w = &u->a->win;
  const int64_t in = wh_window_volume(w->in), width = w->kernel[2], dilation = w->dilation[2],
                rows = w->kernel[0] * w->kernel[1], n_pieces = b->n;
  const float *x = u->x + k / (rows * width) * in;
  int64_t row = k / width % rows, column = k % width;
  for (; n > 0; n--, to += CONV_BLOCK) {
    const int64_t *at = b->row[row];
    const vf_mask(*inside)[2] = b->inside[column];
    for (int64_t i = 0; i < n_pieces; i++) {
      vf v = vf_zero();
      if (at[i] != INT64_MIN) {
        const float *from = x + (at[i] + column * dilation);
        if (b->whole[i]) {
          v = vf_load(from);
          if (stride == 2) v = vf_even(v, vf_load(from + VF_LANES));
        } else {
          v = vf_load_some(inside[i][0], from);
          if (stride == 2) v = vf_even(v, vf_load_some(inside[i][1], from + VF_LANES));
        }
        if (column == 0) __builtin_prefetch(from + in); /* of the next channel */
      }
      vf_store(to + b->to[i], v);
    }
    if (++column < width) continue;
    column = 0;
    if (++row < rows) continue;
    row = 0;
    x += in;
  }
}

/* To: taps [k, k + n) of places [begin, end), one block: to[n][CONV_BLOCK], and what is left of a vector.
 */
static void image_fill(const conv_unit *u, int64_t begin, int64_t end, int64_t k, int64_t n, float *to) {
  const wh_window *w = &u->a->win;
  int64_t column = begin % w->out[2], row = begin / w->out[2] % w->out[1],
          depth = begin / w->out[2] / w->out[1];
  image_block b;
  b.n = 0;
  for (int64_t at = begin, run; at < end; at += run) {
    run = min_i64(min_i64(w->out[2] - column, end - at), VF_LANES);
    image_add_piece(w, depth * w->stride[0] - w->pad[0], row * w->stride[1] - w->pad[1],
                    column * w->stride[2] - w->pad[2], at - begin, &b);
    if ((column += run) < w->out[2]) continue;
    column = 0;
    if (++row < w->out[1]) continue;
    row = 0;
    depth++;
  }
  if (w->stride[2] == 1)
    image_fill_taps(1, u, &b, k, n, to);
  else
    image_fill_taps(2, u, &b, k, n, to);
}

#endif
