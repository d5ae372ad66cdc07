/* conv_driver.h - conv without a matrix of patches, written over one vector type: included once by each
 * conv_<isa>.c, which first includes its level's vector type (linear_f_vec_<isa>.h).
 *
 * Lanes are outputs of one channel that follow each other in space. An image whose windows move by one
 * element and lie inside it is read in place. Of any other a padded copy is made that is split by the phase
 * of its strides, so that a tap is again a fixed distance from its output's place: taps move along k, places
 * along the lanes. Rows of places are as long as the copy's; those behind the end of an output's row are
 * computed and not written. A register tile holds channels x places, each one chain over k, in chunks of 512
 * (docs/NUMERICS.md, "conv"). With AVX tiles of many channels walk through blocks of their elements
 * (conv_blocks.h), which come from a copy of the rows that a task needs (conv_bands.h) or from the image
 * itself (conv_image.h); windows of one element and few channels have a shorter way there (conv_points.h).
 * Where it uses the lanes better and the weights are packed, channels are the lanes (conv_channels.h). Groups
 * of one channel have tiles of their own (conv_depthwise.h; with AVX2 mostly conv_depthwise_lanes.h), and so
 * have 3x3 kernels by minimal filtering (conv_winograd_run.h). What follows the sums runs on a tile's
 * (conv_end.h; what most have, conv_short.h). */
#ifndef WH_CPU_CONV_DRIVER_H
#define WH_CPU_CONV_DRIVER_H

#include <string.h>

#include "backends/cpu/conv_plan.h"
#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/nn_kernels.h"
#include "backends/cpu/task_cut.h"
#include "backends/cpu/whole.h"

#define CONV_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define CONV_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CONV_UNROLL _Pragma("GCC unroll 32")
#endif
#define CONV_WIDE 4 /* vectors of a tile of few channels */
#define CONV_FEW 3
#if VF_LANES == 8 /* in fours, as a chain's blocks take them */
#define CONV_ROWS 4
#define CONV_VECS 3
#else
#define CONV_ROWS TILE_ROWS
#define CONV_VECS TILE_VECS
#endif
#define CONV_MOST (CONV_WIDE > CONV_VECS ? CONV_WIDE : CONV_VECS)
#define CONV_LANES (CONV_MOST * VF_LANES)
#if VF_LANES == 8 /* half of the registers */
#define CONV_TALL_ROWS WH_CONV_SHORT
#else
#define CONV_TALL_ROWS WH_CONV_TALL
#endif
#define CONV_ASKS (VF_LANES == 16) /* measured with these, on an Intel Xeon */
#define CONV_ASK_MOST (128 << 10)  /* floats, of a second-level cache */
#define CONV_BLOCK WH_CONV_BLOCK(VF_LANES)
#define CONV_BLOCK_ROWS WH_CONV_BLOCK_ROWS(VF_LANES)

#define CONV_AHEAD (CONV_BLOCK > 32 ? CONV_BLOCK : 32) /* floats of a row that are asked for */

/* What a tile's end touches, asked for in front of its taps or as it walks them: lines of outputs and of an
 * operand per row. */
typedef struct conv_ahead {
  const float *y, *x;
  int64_t step, rows;
} conv_ahead;

/* c[rows][vecs] over taps [0, k): weights w[k][ldw] of the rows, the elements of tap i at x[i] + at. */
typedef struct conv_tile {
  int64_t rows, vecs, k;
  const float *w;
  int64_t ldw;
  const float *const *x;
  int64_t at;
  float *c;
  int64_t ldc; /* from row to row */
  bool first;
  conv_ahead ahead;
} conv_tile;

CONV_INLINE void conv_prefetch(conv_ahead *a) {
  CONV_UNROLL
  for (int i = 0; i < CONV_AHEAD; i += 16) __builtin_prefetch(a->y + i, 1);
  if (a->x != a->y) CONV_UNROLL
  for (int i = 0; i < CONV_AHEAD; i += 16) __builtin_prefetch(a->x + i);
  a->y += a->step;
  a->x += a->step;
}

/* One tap: its elements by its weights. */
CONV_INLINE void conv_tap(const int rows, const int vecs, const float *x, const float *w,
                          vf acc[CONV_ROWS][CONV_MOST]) {
  vf v[CONV_MOST];
  CONV_UNROLL
  for (int i = 0; i < vecs; i++) v[i] = vf_load(x + i * VF_LANES);
  CONV_UNROLL
  for (int r = 0; r < rows; r++) {
    const vf b = vf_set1(w[r]);
    CONV_UNROLL
    for (int i = 0; i < vecs; i++) acc[r][i] = vf_fma(v[i], b, acc[r][i]);
  }
}

CONV_INLINE void conv_body(const int rows, const int vecs, const conv_tile *t) {
  vf acc[CONV_ROWS][CONV_MOST];
  const float *w = t->w;
  const int64_t ldw = t->ldw, at = t->at, n = t->k;
  const float *const *from = t->x;
  CONV_UNROLL
  for (int r = 0; r < rows; r++) CONV_UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = vf_zero();
  conv_ahead ahead = t->ahead;
  int64_t k = 0;
  for (const int64_t n_ahead = min_i64(ahead.rows, n); k < n_ahead; k++, w += ldw) {
    conv_prefetch(&ahead);
    conv_tap(rows, vecs, from[k] + at, w, acc);
  }
  for (; k < n; k++, w += ldw) conv_tap(rows, vecs, from[k] + at, w, acc);
  CONV_UNROLL
  for (int r = 0; r < rows; r++) CONV_UNROLL
  for (int i = 0; i < vecs; i++) {
    float *c = t->c + r * t->ldc + i * VF_LANES;
    vf_store(c, vf_add(t->first ? vf_zero() : vf_load(c), acc[r][i]));
  }
}

CONV_INLINE void conv_rows(const int rows, const conv_tile *t) {
  if (t->vecs == 1)
    conv_body(rows, 1, t);
  else if (rows <= CONV_FEW && t->vecs == CONV_WIDE)
    conv_body(rows, CONV_WIDE, t);
  else
    conv_body(rows, CONV_VECS, t);
}

static void conv_run_tile(const conv_tile *t) {
  switch (t->rows) {
#define CASE(n)      \
  case n:            \
    conv_rows(n, t); \
    return;
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
#if CONV_ROWS > 4
    CASE(5)
    CASE(6)
#endif
#if CONV_ROWS > 6
    CASES_7_TO_12(CASE)
#endif
#undef CASE
  }
}

/* ---- a unit: one group of one image ---- */

/* What tiles read of each channel: the elements of outputs from `first` on, of each phase `size`. */
typedef struct conv_band {
  int64_t first[WH_WINDOW_AXES], size[WH_WINDOW_AXES];
  int64_t rows;    /* of outputs */
  int64_t channel; /* from one to the next */
} conv_band;

typedef struct conv_unit {
  const wh_conv_args *a;
  const wh_conv_plan *p;
  int64_t image, group;
  const float *x;     /* its channels, as tiles read them */
  const float **taps; /* [n_k] */
  int64_t *offsets;   /* [taps of a channel] from its first element */
  float *sums;        /* of a task */
  float *weights;     /* of some rows, where they are not packed */
  float *blocks;      /* [of a task][taps of a part][CONV_BLOCK], where there are */
  conv_band *band;
  float *copy; /* a band's elements, a worker's own copy of an image, or an image's last channels */
  wh_team *team;
} conv_unit;

#include "backends/cpu/conv_end.h"

/* Elements [from, behind) of a row of n that are the image's; the others are +0. */
typedef struct conv_reach {
  int64_t from, behind;
} conv_reach;

/* Of a row of the copy whose elements are x[first + i * stride] of an image's row of `width`. */
static conv_reach conv_reach_of(int64_t first, int64_t stride, int64_t width, int64_t n) {
  const int64_t from = min_i64(first < 0 ? ceil_div(-first, stride) : 0, n);
  const int64_t behind = min_i64(width > first ? ceil_div(width - first, stride) : 0, n);
  return (conv_reach){from, behind < from ? from : behind};
}

static void conv_zero_ends(conv_reach r, int64_t n, float *to) {
  if (r.from <= VF_LANES && n - r.behind <= VF_LANES && n >= VF_LANES) {
    if (r.from) vf_store(to, vf_zero());
    if (r.behind < n) vf_store(to + n - VF_LANES, vf_zero());
    return;
  }
  memset(to, 0, (size_t)r.from * sizeof *to);
  memset(to + r.behind, 0, (size_t)(n - r.behind) * sizeof *to);
}

/* Every second element, and those between, of x[first ...] in one go; what is read next is `ahead` of it. */
static void conv_split_row(const float *x, int64_t width, int64_t first, int64_t n, int64_t ahead,
                           float *even, float *odd) {
  const conv_reach e = conv_reach_of(first, 2, width, n), o = conv_reach_of(first + 1, 2, width, n);
  const int64_t end = o.behind; /* pairs are whole from e.from on */
  conv_zero_ends(e, n, even);
  conv_zero_ends(o, n, odd);
  if (o.from < e.from) odd[o.from] = x[first + 1 + 2 * o.from];
  if (e.behind > end) even[end] = x[first + 2 * end];
  int64_t i = e.from;
  const bool vectors = end - i >= VF_LANES;
  for (; vectors && i < end; i += VF_LANES) {
    if (i > end - VF_LANES) i = end - VF_LANES; /* some once more */
    const float *from = x + (first + 2 * i);
    const vf a = vf_load(from), b = vf_load(from + VF_LANES);
    __builtin_prefetch(from + ahead);
    vf_store(even + i, vf_even(a, b));
    vf_store(odd + i, vf_odd(a, b));
  }
  for (; i < end; i++) {
    even[i] = x[first + 2 * i];
    odd[i] = x[first + 2 * i + 1];
  }
}

/* A row of the image, NULL outside, as rows of n elements of all phases of the last axis, `space` apart. */
static void conv_copy_row(const wh_conv_plan *p, const float *x, int64_t first, int64_t n, int64_t space,
                          float *to) {
  const int64_t width = p->view.in[2], stride = p->view.stride[2];
  if (x && width > 0 && stride == 2 && p->phases[2] == 2) { /* which looks at the ends of a row */
    conv_split_row(x, width, first, n, wh_window_volume(p->view.in), to, to + space);
    return;
  }
  for (int64_t k = 0; k < p->phases[2]; k++, to += space) {
    const int64_t start = first + p->phase_at[2][k];
    const conv_reach r = x ? conv_reach_of(start, stride, width, n) : (conv_reach){n, n};
    conv_zero_ends(r, n, to);
    if (stride == 1 && r.from < r.behind)
      conv_finish(x + start + r.from, r.behind - r.from, NULL, NULL, to + r.from);
    for (int64_t i = r.from; stride > 1 && i < r.behind; i++) to[i] = x[start + i * stride];
  }
}

/* Rows of a channel's copy: those that all phases of the last axis have of a row of the image count as one.
 */
static int64_t conv_copy_height(const wh_conv_plan *p) {
  return p->phases[0] * p->phases[1] * p->size[0] * p->size[1];
}

/* Such rows [begin, end) of all channels, with zeros for padding. */
static void conv_copy_rows(const wh_conv_plan *p, const float *x, int64_t begin, int64_t end, float *copy) {
  const wh_window *w = &p->view;
  const int64_t high = conv_copy_height(p), space = p->size[0] * p->size[1] * p->size[2];
  for (int64_t i = begin; i < end; i++) {
    const int64_t h = i % p->size[1], d = i / p->size[1] % p->size[0],
                  f = i % high / (p->size[0] * p->size[1]);
    const int64_t id = d * w->stride[0] + p->phase_at[0][f / p->phases[1]] - w->pad[0],
                  ih = h * w->stride[1] + p->phase_at[1][f % p->phases[1]] - w->pad[1];
    const bool outside = id < 0 || id >= w->in[0] || ih < 0 || ih >= w->in[1];
    const float *row =
        outside ? NULL : x + i / high * wh_window_volume(w->in) + (id * w->in[1] + ih) * w->in[2];
    conv_copy_row(
        p, row, -w->pad[2], p->size[2], space,
        copy + i / high * p->channel + f * p->phases[2] * space + (d * p->size[1] + h) * p->size[2]);
  }
}

/* How far a tap's element is from its output's place. */
static void conv_find_offsets(const conv_unit *u) {
  const wh_conv_plan *p = u->p;
  const wh_window *w = &p->view;
  const int64_t *size = u->band->size;
  int64_t n = 0, k[WH_WINDOW_AXES];
  for (k[0] = 0; k[0] < w->kernel[0]; k[0]++)
    for (k[1] = 0; k[1] < w->kernel[1]; k[1]++)
      for (k[2] = 0; k[2] < w->kernel[2]; k[2]++) {
        int64_t phase = 0, at = 0;
        for (int i = 0; i < WH_WINDOW_AXES; i++) {
          const int64_t x = k[i] * w->dilation[i];
          int64_t f = 0;
          while (p->phase_at[i][f] != x % w->stride[i]) f++;
          phase = phase * p->phases[i] + f;
          at = at * size[i] + x / w->stride[i];
        }
        u->offsets[n++] = phase * (size[0] * size[1] * size[2]) + at;
      }
}

/* Where the elements of the taps begin. Of an image that is read in place the last channels are read from a
 * copy when a tile's lanes would reach behind it. */
static void conv_find_taps(const conv_unit *u) {
  float *const tail = u->copy;
  const wh_conv_args *a = u->a;
  const wh_conv_plan *p = u->p;
  const int64_t plane = p->channel, volume = wh_window_volume(a->win.kernel);
  const int64_t behind = a->n * a->group - 1 - (u->image * a->group + u->group); /* units */
  int64_t n_tail = 0;
  if (!p->copies && !p->by_channels && p->places < WH_CONV_LANES && behind * a->c * plane < WH_CONV_LANES)
    n_tail = min_i64(a->c, ceil_div(WH_CONV_LANES, plane));
  const float *kept = u->x + (a->c - n_tail) * plane;
  if (n_tail) memcpy(tail, kept, (size_t)(n_tail * plane) * sizeof *tail);
  for (int64_t c = 0; c < a->c; c++) {
    const float *x = c < a->c - n_tail ? u->x + c * plane : tail + (c - a->c + n_tail) * plane;
    for (int64_t k = 0; k < volume; k++) u->taps[c * volume + k] = x + u->offsets[k];
  }
}

/* Sums to outputs: those of places [at, at + n), of which rows behind the end of an output's are none. */
static void conv_write(conv_end *e, float *sums, int64_t m, int64_t rows, int64_t at, int64_t n) {
  const conv_unit *u = e->u;
  const wh_conv_plan *p = u->p;
  const int64_t *out = u->a->win.out;
  int64_t w = at % p->size[2], h = at / p->size[2], d = h / p->size[1];
  h %= p->size[1];
  for (int64_t i = 0; i < n;) {
    const int64_t left = min_i64(p->size[2] - w, n - i);
    const int64_t count = h < out[1] && w < out[2] ? min_i64(left, out[2] - w) : 0;
    for (int64_t k = 0; k < count; k += CONV_LANES)
      conv_end_run(e, sums + i + k, m, rows, (d * out[1] + h) * out[2] + w + k,
                   min_i64(CONV_LANES, count - k));
    i += left;
    w = 0;
    if (++h == p->size[1]) {
      h = 0;
      d++;
    }
  }
}

/* Outputs of a channel before a place. */
static int64_t conv_outputs_before(const conv_unit *u, int64_t place) {
  const int64_t *out = u->a->win.out, *size = u->p->size, row = place / size[2];
  const int64_t h = row % size[1], d = row / size[1];
  if (h >= out[1]) return (d + 1) * out[1] * out[2];
  return (d * out[1] + h) * out[2] + min_i64(place % size[2], out[2]);
}

/* What follows the sums, over places [begin, end) of channels [m, m + n_m) while they are in a cache. */
static void conv_run_chain(const conv_unit *u, int64_t m, int64_t n_m, int64_t begin, int64_t end) {
  const int64_t from = conv_outputs_before(u, begin), n = conv_outputs_before(u, end) - from;
  for (int64_t i = m; i < m + n_m && n > 0; i++)
    wh_conv_run_chain(u->a, u->image, u->group * u->a->m + i, from, n, u->team);
}

/* The packed weights of the channels from m on that are of one panel, from tap k on; *width from tap to tap.
 */
static const float *conv_panel(const conv_unit *u, int64_t m, int64_t k, int64_t *width) {
  const int64_t panel = m / WH_LINEAR_F_COLS * WH_LINEAR_F_COLS;
  *width = u->a->m - panel <= WH_LINEAR_F_HALF ? WH_LINEAR_F_HALF : WH_LINEAR_F_COLS;
  return u->a->panels + panel * u->p->n_k + k * *width + (m - panel);
}

/* The weights of `rows` channels from m on over taps [k, k + n), as a tile reads them; *ld from tap to tap.
 */
static const float *conv_weights(const conv_unit *u, int64_t m, int64_t rows, int64_t k, int64_t n,
                                 int64_t *ld) {
  const wh_conv_args *a = u->a;
  const int64_t n_k = u->p->n_k;
  if (a->panels) return conv_panel(u, m, k, ld);
  const float *w = a->w + (u->group * a->m + m) * n_k + k;
  *ld = rows;
  if (rows == 1) return w;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < n; i++) u->weights[i * rows + r] = w[r * n_k + i];
  return u->weights;
}

/* Channels of a tile: about equally many, none of two panels; in fours, as blocks of a chain take them. */
static int64_t conv_tile_rows(const conv_unit *u, int64_t m, int64_t left) {
  const int64_t panel = WH_LINEAR_F_COLS - m % WH_LINEAR_F_COLS,
                most = u->a->panels ? min_i64(panel, left) : left,
                rows = ceil_div(most, ceil_div(most, CONV_ROWS));
  return CONV_ROWS % 4 == 0 ? min_i64(ceil_div(rows, 4) * 4, most) : rows;
}

/* The places of a task, and where its tiles leave their sums, of row r of channels at c + r * ldc, until rows
 * of outputs are whole and the last chunk is done; NULL: a tile's are written at once. */
typedef struct conv_sums {
  int64_t begin, end;
  float *c;
} conv_sums;

/* Whether sums are outputs as they are, so that whole tiles can leave them there. */
static bool conv_is_direct(const conv_unit *u) {
  const wh_conv_args *a = u->a;
  return u->p->n_k <= WH_CONV_CHUNK && u->p->size[2] == a->win.out[2] &&
         (a->win.out[0] == 1 || u->p->size[1] == a->win.out[1]) && !a->bias && !a->residual && !a->chain;
}

static bool conv_keeps_sums(const conv_unit *u) {
  return u->p->n_k > WH_CONV_CHUNK || u->p->size[2] != u->a->win.out[2];
}

/* The tiles of `rows` channels over taps [k, k + n); when these are the last, sums become outputs. */
static void conv_row_tiles(conv_end *e, int64_t m, int64_t rows, int64_t k, int64_t n, const conv_sums *s) {
  const conv_unit *u = e->u;
  const wh_conv_plan *p = u->p;
  const int64_t vecs = rows <= CONV_FEW ? CONV_WIDE : CONV_VECS, lanes = vecs * VF_LANES;
  const int64_t plane = wh_window_volume(u->a->win.out);
  const bool last = k + n >= p->n_k, whole_rows = p->size[2] == u->a->win.out[2]; /* places are outputs */
  const bool direct = conv_is_direct(u);
  float *const y = u->a->y + ((u->image * u->a->group + u->group) * u->a->m + m) * plane;
  int64_t ldw, written = s->begin;
  const float *w = conv_weights(u, m, rows, k, n, &ldw);
  for (int64_t at = s->begin; at < s->end; at += lanes) {
    const bool whole = direct && at + lanes <= s->end;
    conv_tile t = {.rows = rows,
                   .vecs = s->end - at <= VF_LANES ? 1 : vecs,
                   .k = n,
                   .w = w,
                   .ldw = ldw,
                   .x = u->taps + k,
                   .at = at,
                   .c = whole  ? y + at
                        : s->c ? s->c + (at - s->begin)
                               : e->tile,
                   .ldc = whole ? plane : e->ldc,
                   .first = k == 0};
    const int64_t width = t.vecs * VF_LANES;
    if (at + width > p->places && p->places >= width) t.at = p->places - width; /* some once more */
    if (last && whole_rows) t.ahead = conv_end_ahead(e, m, rows, at);
    conv_run_tile(&t);
    if (!last || whole || (s->c && at == t.at)) continue;
    if (s->c) conv_write(e, s->c + (written - s->begin), m, rows, written, at - written);
    conv_write(e, t.c + (at - t.at), m, rows, at, min_i64(lanes, s->end - at));
    written = s->end;
  }
  if (last && s->c) conv_write(e, s->c + (written - s->begin), m, rows, written, s->end - written);
}

/* Places [begin, end) of channels [m, m + n_m), n_m at most a task's. */
static void conv_task_places(conv_end *e, int64_t m0, int64_t n_m, int64_t begin, int64_t end) {
  const conv_unit *u = e->u;
  const wh_conv_plan *p = u->p;
  conv_sums s = {.begin = begin, .end = end};
  const bool chunks = p->n_k > WH_CONV_CHUNK;
  for (int64_t k = 0; k < p->n_k || k == 0; k += WH_CONV_CHUNK) {
    s.c = conv_keeps_sums(u) ? u->sums : NULL;
    for (int64_t m = m0, rows; m < m0 + n_m; m += rows) {
      rows = conv_tile_rows(u, m, m0 + n_m - m);
      conv_row_tiles(e, m, rows, k, min_i64(WH_CONV_CHUNK, p->n_k - k), &s);
      if (k + WH_CONV_CHUNK >= p->n_k && u->a->chain && !e->n_ops) conv_run_chain(u, m, rows, begin, end);
      if (chunks) s.c += rows * e->ldc;
    }
  }
}

#include "backends/cpu/conv_channels.h"
#if CONV_BLOCK
#include "backends/cpu/conv_blocks.h"
#include "backends/cpu/conv_points.h"
#endif
#include "backends/cpu/conv_depthwise.h"
#include "backends/cpu/conv_transpose.h"
#include "backends/cpu/conv_winograd_run.h"

static void conv_task(conv_end *e, const wh_task_part *part) {
  const conv_unit *u = e->u;
  const wh_conv_plan *p = u->p;
  void (*run)(conv_end * e, int64_t m, int64_t n_m, int64_t begin, int64_t end) =
      p->by_channels ? conv_task_channels : conv_task_places;
#if CONV_BLOCK
  if (p->blocks) run = points_fit(u) ? conv_task_points : conv_task_blocks;
#endif
  const int64_t unit = p->unit;
  const int64_t row_task = p->places_first ? part->task % p->row_tasks : part->task / p->place_tasks,
                place_task = p->places_first ? part->task / p->row_tasks : part->task % p->place_tasks;
  int64_t m = row_task * p->task_rows, behind = min_i64(m + p->task_rows, u->a->m), begin, end;
  wh_conv_task_places(p, place_task, &begin, &end);
  if (end - begin >= part->of * unit)
    wh_task_share(part, unit, &begin, &end);
  else
    wh_task_share(part, WH_LINEAR_F_COLS, &m, &behind);
  if (m < behind && begin < end) run(e, m, behind - m, begin, end);
}

/* Asks for an image that tiles take a line of each channel of, in the order in which it lies: lines that
 * another core wrote come too late else. */
static void conv_ask_image(const conv_unit *u) {
  const int64_t n = u->a->c * u->p->channel;
  for (int64_t i = 0; i < n && n <= CONV_ASK_MOST; i += 16) __builtin_prefetch(u->x + i, 0, 2);
}

/* ---- all units ---- */

static void conv_run(const wh_conv_args *a, const wh_worker *worker) {
  wh_conv_plan p;
  if (a->winograd) {
    conv_run_winograd(a, worker);
    return;
  }
  /* for the team, as the claim does: a region may have fewer workers, whose larger parts have no room */
  if (!wh_conv_make_plan(&a->win, a->n, a->group, a->c, a->m, wh_team_size(worker->team), a->panels != NULL,
                         VF_LANES, &p))
    return; /* the claim refused */
  if (!p.fits) {
    wh_k_conv__ref(a, worker);
    return;
  }
  if (p.depthwise) {
    conv_run_depthwise(a, &p, worker);
    return;
  }
  if (p.places <= 0 || a->m <= 0) return;
  const int64_t in = wh_window_volume(a->win.in), n_units = a->n * a->group;
  char *own = (char *)a->scratch + p.shared_bytes + (size_t)worker->index * p.worker_bytes;
  conv_band band = {.rows = a->win.out[0] * a->win.out[1], .channel = p.channel};
  memcpy(band.size, p.size, sizeof band.size);
  conv_unit u = {.a = a,
                 .p = &p,
                 .taps = (const float **)(void *)own,
                 .offsets = (int64_t *)(void *)(own + (size_t)p.n_k * sizeof *u.taps),
                 .sums = (float *)(void *)(own + p.tap_bytes),
                 .weights = (float *)(void *)(own + p.tap_bytes + p.sum_bytes),
                 .blocks = (float *)(void *)(own + p.tap_bytes + p.sum_bytes + p.weight_bytes),
                 .band = &band,
                 .copy = (float *)(void *)(own + p.tap_bytes + p.sum_bytes + p.weight_bytes + p.block_bytes),
                 .team = worker->team};
  float *copy = p.alone ? u.copy : a->scratch;
  const int64_t n_tasks = p.row_tasks * p.place_tasks,
                ldc = p.by_channels || p.blocks ? CONV_PANEL_PLACES
                      : conv_keeps_sums(&u)     ? (ceil_div(p.task_places, WH_CONV_LANES) + 1) * WH_CONV_LANES
                                                : CONV_LANES;
  conv_end e;
  int64_t first = 0, last = n_units;
  if (p.alone) wh_worker_range(worker, n_units, &first, &last);
  if (!p.bands && !p.direct) conv_find_offsets(&u);
  for (int64_t i = first; i < last; i++) {
    u.image = i / a->group;
    u.group = i % a->group;
    u.x = a->x + i * a->c * in;
    if (p.copies) {
      int64_t begin = 0, end = a->c * conv_copy_height(&p);
      if (!p.alone) {
        if (i > first) wh_team_barrier(worker); /* the one before is done with */
        wh_worker_range(worker, end, &begin, &end);
      }
      conv_copy_rows(&p, u.x, begin, end, copy);
      if (!p.alone) wh_team_barrier(worker);
      u.x = copy;
    }
    if (!p.bands && !p.direct) conv_find_taps(&u);
    if (CONV_ASKS && p.by_channels && !p.copies && !p.alone) conv_ask_image(&u);
    conv_end_begin(&u, ldc, CONV_SUMS_TILE, &e);
    if (p.alone || n_units > 1) {
      int64_t begin = 0, end = n_tasks;
      if (!p.alone) wh_worker_range(worker, n_tasks, &begin, &end);
      for (; begin < end; begin++) conv_task(&e, &(wh_task_part){begin, 0, 1});
      continue;
    }
    for (wh_task_part part; wh_claim_near(worker, a->step, n_tasks, worker->count > 1 ? p.parts : 1, &part);)
      conv_task(&e, &part);
  }
}

#endif
