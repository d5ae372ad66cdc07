/* conv_plan.c - see conv_plan.h. */
#include "backends/cpu/conv_plan.h"

#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/task_cut.h"
#include "core/base/allocator.h"

/* A task's places: with the taps of a chunk they stay in a second-level cache. Of few taps there are more, as
 * outputs that follow each other are what is fetched ahead. */
#define TASK_PLACES 192
#define TASK_TAPS 65536
#define MOST_PLACES 768
/* Blocks: from so many channels on they are worth the copy. A part of the taps of some blocks stays in a
 * first-level cache, a task's in a second-level one with its sums and weights. */
#define BLOCK_ROWS 16
#define BLOCK_PART 128   /* divides WH_CONV_CHUNK; two threads of a core have a block each */
#define BLOCK_WHOLE 160  /* of one chunk: more taps are cut into equal parts */
#define BLOCK_TASK 61440 /* elements */
#define TASK_ROWS 96
#define TASKS_PER_WORKER 4
#define LANES 32       /* of most tiles */
#define LANES_ROW 4096 /* the longest row of a ring; longer ones are read in place */

/* The distinct phases of an axis' taps; false: too many. */
static bool find_phases(const wh_window *w, int axis, wh_conv_plan *p) {
  int64_t n = 0;
  for (int64_t k = 0; k < w->kernel[axis]; k++) {
    const int64_t phase = k * w->dilation[axis] % w->stride[axis];
    int64_t i = 0;
    while (i < n && p->phase_at[axis][i] != phase) i++;
    if (i < n) {
      if (i == 0) break; /* they repeat */
      continue;
    }
    if (n == WH_CONV_PHASES) return false;
    p->phase_at[axis][n++] = phase;
  }
  p->phases[axis] = n;
  return true;
}

/* ---- tasks ---- */

/* What all places are cut into: tiles where lanes are channels. */
static int64_t cut_length(const wh_conv_plan *p) {
  return p->by_channels ? p->rows * p->row_tiles : p->places;
}

/* Whether workers' shares are places: what one reads of the next op's input is then what it wrote itself.
 * Where there is more to read of weights than of images, shares are channels. */
static bool shares_places(const wh_window *w, int64_t c, int64_t m, int64_t n_k) {
  const double in = (double)wh_window_volume(w->in), out = (double)wh_window_volume(w->out);
  return (double)n_k * (double)m < (double)c * in + (double)m * out;
}

/* About equally many places in each task, and as many tasks in each worker's share of an image. */
static void cut_evenly(int workers, wh_conv_plan *p) {
  const int64_t units = ceil_div(cut_length(p), p->unit);
  if (p->blocks) return; /* whose tasks end with whole rows, or behind what has no block */
  if (p->places_first && !p->alone && p->place_tasks > 1)
    p->place_tasks = min_i64(ceil_div(p->place_tasks, workers) * workers, units);
  p->task_places = ceil_div(units, p->place_tasks) * p->unit;
}

void wh_conv_task_places(const wh_conv_plan *p, int64_t i, int64_t *begin, int64_t *end) {
  const int64_t length = cut_length(p), units = ceil_div(length, p->unit), n = p->place_tasks;
  const bool whole = p->unit == p->block; /* blocks, and those of bands whole rows */
  *begin = whole ? i * p->task_places : units * i / n * p->unit;
  *end = min_i64(whole ? *begin + p->task_places : units * (i + 1) / n * p->unit, length);
}

/* ---- lanes are places ---- */

/* Fewer places, then fewer rows, until every worker has some tasks. */
static void cut_places(int64_t m, int64_t want, wh_conv_plan *p) {
  const int64_t places = TASK_TAPS / (p->n_k ? p->n_k : 1);
  p->task_rows = min_i64(m, TASK_ROWS);
  p->task_places = TASK_PLACES;
  while (2 * p->task_places <= places && p->task_places < MOST_PLACES) p->task_places *= 2;
  for (;;) {
    p->row_tasks = ceil_div(m, p->task_rows);
    p->place_tasks = ceil_div(p->places, p->task_places);
    if (p->row_tasks * p->place_tasks >= want) return;
    if (p->task_places > WH_CONV_LANES && p->places > WH_CONV_LANES)
      p->task_places /= 2;
    else if (p->task_rows > 12)
      p->task_rows = ceil_div(p->task_rows, 16) * 8;
    else
      return;
  }
}

static bool view_places(const wh_window *w, wh_conv_plan *p) {
  p->view = *w;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    if (!find_phases(w, i, p)) return false;
    const int64_t reach = (w->kernel[i] - 1) * w->dilation[i];
    p->size[i] = w->out[i] + reach / w->stride[i];
    p->n_phases *= p->phases[i];
    p->copies |= w->stride[i] != 1 || w->pad[i] || p->size[i] != w->in[i];
  }
  p->places =
      wh_window_volume(w->out) ? ((w->out[0] - 1) * p->size[1] + w->out[1] - 1) * p->size[2] + w->out[2] : 0;
  return true;
}

/* ---- the same, copied to blocks ---- */

/* Of wide vectors equal shares of places, in vectors, where that makes enough tasks: each has all channels,
 * so that what it reads of images is copied once, and by one worker. */
static bool cut_vectors(int64_t most, int64_t want, wh_conv_plan *p) {
  const int64_t units = ceil_div(p->places, p->lanes),
                n = min_i64(ceil_div(ceil_div(units, most / p->lanes), want) * want, units / 2);
  if (p->lanes == 8 || want == 1 || !p->places_first || n * p->row_tasks < want) return false;
  p->unit = p->lanes;
  p->place_tasks = n;
  p->task_places = ceil_div(units, n) * p->unit;
  if (p->task_places < WH_TASK_PARTS * p->block) p->parts = 1; /* these would be smaller than a block */
  return true;
}

/* Fewer rows, but not so few that copying becomes what takes the time, then fewer places. */
static void cut_blocks(int64_t m, int64_t want, wh_conv_plan *p) {
  p->part = p->n_k <= WH_CONV_CHUNK ? ceil_div(p->n_k, ceil_div(p->n_k, BLOCK_WHOLE)) : BLOCK_PART;
  p->set = p->part < BLOCK_PART ? BLOCK_PART / p->part : 1;
  const int64_t most = min_i64(BLOCK_TASK / p->part, WH_CONV_BLOCK_PLACES),
                round =
                    p->tail ? WH_LINEAR_F_COLS : WH_CONV_BLOCK_ROWS(p->lanes); /* its lanes are a panel's */
  int64_t rows = ceil_div(m, WH_CONV_BLOCK_TASK), places = ceil_div(p->places, most);
  for (;;) {
    p->task_rows = ceil_div(ceil_div(m, rows), round) * round;
    p->row_tasks = ceil_div(m, p->task_rows);
    if (cut_vectors(most, want, p)) return;
    p->task_places = ceil_div(ceil_div(p->places, places), p->block) * p->block;
    p->place_tasks = ceil_div(p->places, p->task_places);
    if (p->row_tasks * p->place_tasks >= want) return;
    if (p->task_rows > 64)
      rows++;
    else if (p->task_places > 4 * p->block)
      places++;
    else if (p->task_rows > (p->tail ? WH_LINEAR_F_COLS : 16))
      rows++;
    else if (p->task_places > p->block)
      places++;
    else
      return;
  }
}

/* Whether tasks copy what they read (conv_bands.h): where vectors of places then lie in the copy as they are.
 * Of one tap a copy of all is smaller than the image, and made once. */
static bool has_bands(const wh_window *w, const wh_conv_plan *p) {
  return p->blocks && p->copies && wh_window_volume(w->kernel) > 1 && w->out[2] >= p->lanes &&
         (w->out[2] % p->lanes == 0 || w->out[0] * w->out[1] == 1);
}

/* Whether blocks are filled from the image (conv_image.h), of which rows are no whole vectors. */
static bool is_direct(const wh_window *w, const wh_conv_plan *p) {
  return p->blocks && p->copies && wh_window_volume(w->kernel) > 1 && w->stride[2] <= 2 &&
         w->out[2] >= p->lanes && w->kernel[0] * w->kernel[1] <= WH_CONV_ROWS &&
         w->kernel[2] <= WH_CONV_COLUMNS;
}

/* Tasks of whole rows, where these are short: a row that two tasks have outputs of is copied twice. */
static void cut_bands(int64_t width, wh_conv_plan *p) {
  p->row_wise = 2 * width > p->task_places;
  if (p->row_wise) return;
  p->unit = p->block;
  p->parts = WH_TASK_PARTS;
  const int64_t up = ceil_div(p->task_places, width) * width;
  p->task_places = up <= WH_CONV_BLOCK_PLACES ? up : up - width;
  p->place_tasks = ceil_div(p->places, p->task_places);
}

/* Most floats of a band of the channels that a part's taps are of; false: too many. */
static bool band_floats(const wh_window *w, int64_t c, const wh_conv_plan *p, size_t *floats) {
  const int64_t volume = wh_window_volume(w->kernel), channels = min_i64(c, (p->part - 2) / volume + 2);
  const int64_t out[WH_WINDOW_AXES] = {
      1, p->row_wise ? 1 : min_i64(w->out[1], (p->task_places - 1) / w->out[2] + 1),
      p->row_wise ? min_i64(w->out[2], p->task_places) : w->out[2]};
  int64_t n = p->n_phases;
  for (int i = 0; i < WH_WINDOW_AXES; i++)
    if (__builtin_mul_overflow(n, wh_conv_band_size(w, p, i, out[i]), &n)) return false;
  return !__builtin_add_overflow(n, 32, &n) &&
         wh_mul_size((size_t)channels, (size_t)wh_conv_band_step(n - 32), floats);
}

/* Wide vectors: not of a place or two of weights that are read once, nor where rows are shorter than they
 * are, so that copies are of short pieces. */
static bool worth_blocks(const wh_window *w, const wh_conv_plan *p) {
  return p->lanes == 8 ||
         (p->places >= 2 * p->block && (wh_window_volume(w->kernel) == 1 || w->out[2] >= p->lanes));
}

/* ---- lanes are channels ---- */

/* Tiles step over the image itself, or over a copy with its padding. */
static void view_channels(const wh_window *w, wh_conv_plan *p) {
  bool pads = false, flat = true;
  p->view = *w;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    const int64_t reach = (w->kernel[i] - 1) * w->dilation[i],
                  end = (w->out[i] - 1) * w->stride[i] + reach + 1;
    p->view.stride[i] = p->phases[i] = 1;
    p->phase_at[i][0] = 0;
    pads |= w->pad[i] || end > w->in[i];
    p->size[i] = end;
    flat &= w->stride[i] == 1 && w->out[i] == w->in[i];
  }
  p->copies = pads;
  flat &= !pads;
  if (!pads) memcpy(p->size, w->in, sizeof p->size);
  p->places = wh_window_volume(w->out);
  p->row = flat ? p->places : w->out[2];
  p->rows = flat || !p->places ? 1 : w->out[0] * w->out[1];
}

static void cut_tiles(int64_t m, int64_t want, int64_t tall, wh_conv_plan *p) {
  p->row_tiles = ceil_div(p->row, tall);
  p->tile = ceil_div(p->row, p->row_tiles ? p->row_tiles : 1);
  p->task_rows = min_i64(ceil_div(m, WH_LINEAR_F_COLS) * WH_LINEAR_F_COLS, TASK_ROWS); /* whole panels */
  p->task_places = TASK_PLACES / WH_CONV_TALL;
  for (;;) {
    p->row_tasks = ceil_div(m, p->task_rows);
    p->place_tasks = ceil_div(p->rows * p->row_tiles, p->task_places);
    if (p->row_tasks * p->place_tasks >= want) return;
    if (p->task_places > 4)
      p->task_places /= 2;
    else if (p->task_rows > WH_LINEAR_F_COLS)
      p->task_rows -= WH_LINEAR_F_COLS;
    else if (p->task_places > 1)
      p->task_places /= 2;
    else
      return;
  }
}

/* Which lanes are used better: places are computed that no output has, or channels that there are not. Few
 * places of a tile, and few taps, make the transposition of its sums cost more. */
static bool prefers_channels(int64_t m, int64_t n_k, const wh_conv_plan *places,
                             const wh_conv_plan *channels) {
  const double outputs = (double)channels->places, few = (double)channels->tile;
  const int64_t lanes = places->blocks ? places->lanes : LANES;
  const double by_places = outputs / (double)(ceil_div(places->places, lanes) * lanes + places->tail);
  const double by_channels = (double)m / (double)(ceil_div(m, WH_LINEAR_F_HALF) * WH_LINEAR_F_HALF) *
                             (few >= 7 ? 1.0 : few / 7) * (double)n_k / (double)(n_k + 12);
  return by_channels > by_places;
}

/* ---- groups of one channel ---- */

/* Windows that conv_depthwise.h has tiles for. */
static bool is_depthwise(const wh_window *w, int64_t c, bool packed) {
  const int64_t taps = w->kernel[2];
  return c == 1 && !packed && w->in[0] == 1 && w->out[0] == 1 && w->kernel[0] == 1 && !w->pad[0] &&
         w->out[1] > 1 && w->dilation[1] == 1 && w->dilation[2] == 1 &&
         (taps == 3 || taps == 5 || taps == 7) && w->stride[2] <= 2 && w->kernel[1] <= WH_CONV_CHUNK / taps;
}

/* Weights and a ring of rows, with one of zeros, whose elements are vectors (conv_depthwise_lanes.h). */
static bool lanes_bytes(const wh_window *w, wh_conv_plan *p) {
  size_t bytes;
  p->row = (w->out[2] - 1) * w->stride[2] + w->kernel[2];
  if (p->row > LANES_ROW) {
    p->row = 0;
    return true;
  }
  return wh_mul_size((size_t)p->row + (size_t)w->kernel[2], (size_t)w->kernel[1] + 1, &bytes) &&
         wh_mul_size(bytes, 8 * sizeof(float), &bytes) && wh_align_size(bytes, 64, &p->worker_bytes);
}

/* ---- all ---- */

static bool plan_bytes(const wh_window *w, int64_t c, wh_conv_plan *p) {
  size_t copy = 0, taps;
  const int64_t lanes = ceil_div(p->task_places, WH_CONV_LANES) * WH_CONV_LANES + WH_CONV_LANES;
  const int64_t in_blocks = p->blocks ? ceil_div(p->task_places, p->block) * p->block : 0;
  p->channel = p->n_phases;
  for (int i = 0; i < WH_WINDOW_AXES; i++)
    if (__builtin_mul_overflow(p->channel, p->size[i], &p->channel)) return false;
  if (p->bands) {
    if (!band_floats(w, c, p, &copy)) return false;
  } else if (p->copies) {
    if (!wh_mul_size((size_t)c, (size_t)p->channel, &copy) || !wh_add_size(copy, WH_CONV_LANES, &copy))
      return false;
  } else {
    copy = (size_t)p->channel + 2 * WH_CONV_LANES; /* the last channels */
  }
  if (!wh_mul_size(copy, sizeof(float), &copy) || !wh_align_size(copy, 64, &copy)) return false;
  if (!wh_mul_size((size_t)c + 1, (size_t)wh_window_volume(w->kernel), &taps) ||
      !wh_mul_size(taps, sizeof(float *), &taps) || !wh_align_size(taps, 64, &taps))
    return false;
  p->tap_bytes = taps;
  /* by channels: three rows more, as sums are transposed in fours */
  p->sum_bytes = (size_t)(p->by_channels ? ceil_div(p->task_rows, WH_LINEAR_F_COLS) * WH_LINEAR_F_COLS *
                                               (p->task_places * WH_CONV_TALL + 3)
                                         : p->task_rows * lanes) *
                 sizeof(float);
  p->weight_bytes = p->by_channels ? 0 : WH_CONV_CHUNK * 16 * sizeof(float);
  if (p->blocks) {
    p->sum_bytes = p->n_k > p->part ? (size_t)(2 * p->task_rows * in_blocks) * sizeof(float) : 0;
    p->block_bytes = (size_t)(in_blocks * p->part + p->block) * sizeof(float); /* whole vectors */
  }
  p->shared_bytes = p->copies && !p->alone ? copy : 0;
  return wh_add_size(taps, p->sum_bytes + p->weight_bytes + p->block_bytes, &p->worker_bytes) &&
         (p->shared_bytes || wh_add_size(p->worker_bytes, copy, &p->worker_bytes));
}

/* *product *= n; false where it would pass 2^40, which no memory has elements for. */
static bool grow(int64_t *product, int64_t n) {
  return !__builtin_mul_overflow(*product, n, product) && *product <= INT64_C(1) << 40;
}

bool wh_conv_is_bounded(const wh_window *w, int64_t c) {
  int64_t in = 1, out = 1, padded = 1, taps = c;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    int64_t reach, steps;
    if (__builtin_mul_overflow(w->kernel[i] - 1, w->dilation[i], &reach) ||
        __builtin_mul_overflow(w->out[i] - 1, w->stride[i], &steps) ||
        __builtin_add_overflow(steps, reach, &steps) || steps == INT64_MAX)
      return false;
    if (!grow(&in, w->in[i]) || !grow(&out, w->out[i]) || !grow(&padded, steps + 1) ||
        !grow(&taps, w->kernel[i]))
      return false;
  }
  return true;
}

bool wh_conv_make_plan(const wh_window *w, int64_t n, int64_t group, int64_t c, int64_t m, int workers,
                       bool packed, int64_t lanes, wh_conv_plan *out) {
  if (!wh_conv_is_bounded(w, c)) return false;
  const int64_t volume = wh_window_volume(w->kernel), n_k = c * volume;
  const bool alone = workers == 1 || n * group >= 2 * (int64_t)workers;
  const int64_t want = alone ? 1 : (int64_t)workers * TASKS_PER_WORKER;
  const int64_t tall = lanes == 8 ? WH_CONV_SHORT : WH_CONV_TALL;
  if (m <= 0) { /* no outputs */
    *out = (wh_conv_plan){.fits = false};
    return true;
  }
  wh_conv_plan places = {.n_k = n_k,
                         .n_phases = 1,
                         .alone = alone,
                         .lanes = lanes,
                         .block = WH_CONV_BLOCK(lanes)},
               channels = places;
  if (is_depthwise(w, c, packed)) {
    *out = (wh_conv_plan){.fits = true, .depthwise = true};
    return lanes != 8 || lanes_bytes(w, out);
  }
  places.fits = view_places(w, &places);
  places.blocks = places.block && places.fits && m >= BLOCK_ROWS && n_k > 0 && worth_blocks(w, &places);
  if (places.blocks) places.places = wh_window_volume(w->out);
  if (places.blocks && packed && places.places > places.block &&
      places.places % places.block <= WH_CONV_TAIL) {
    places.tail = places.places % places.block;
    places.places -= places.tail;
  }
  *out = places;
  if (packed) {
    channels.by_channels = channels.fits = true;
    view_channels(w, &channels);
    cut_tiles(m, want, tall, &channels);
    if (!places.fits || prefers_channels(m, n_k, &places, &channels)) *out = channels;
  }
  if (!out->fits) return true;
  if (out->places <= 0) return false;
  out->bands = has_bands(w, out);
  out->direct = !out->bands && is_direct(w, out);
  if (out->bands || out->direct) {
    out->copies = false;
    out->places += out->tail;
    out->tail = 0;
  }
  out->places_first = shares_places(w, c, m, n_k);
  out->parts = WH_TASK_PARTS;
  out->unit = out->by_channels ? 1 : out->blocks ? out->block : LANES;
  if (out->blocks) /* every task fills its blocks: of wide vectors, whose tiles are faster, fewer do where the
                    * last are shared in parts */
    cut_blocks(m, lanes == 8 || n * group > 1 ? want : ceil_div(want, 2), out);
  else if (!out->by_channels)
    cut_places(m, want, out);
  if (out->bands) cut_bands(w->out[2], out);
  cut_evenly(workers, out);
  return plan_bytes(w, c, out);
}
