/* conv_codes.c - see conv_codes.h. Of an image a padded copy is made in words of four channels, whose rows
 * are split by the phase of the stride along the last axis, so that the elements of a tap for places that
 * follow each other lie side by side. A task takes some tiles of places and some outputs: it puts the words
 * of its places one behind the other, a block of k at a time, and goes with these over the outputs' panels.
 */
#include "backends/cpu/conv_codes.h"

#include <string.h>

#include "backends/cpu/ahead.h"
#include "backends/cpu/codes_end.h"
#include "backends/cpu/unroll.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define ROWS WH_CONV_CODES_MOST_ROWS
#define BLOCK_WORDS WH_CONV_CODES_BLOCK
#define TASK_BYTES ((int64_t)128 << 10) /* of words of places: in a second-level cache */
#define GROUP 16                        /* panels that a tile meets one after the other */
#define MOST_TILES 16
#define TASKS 4          /* of a worker, where there are several */
#define LEAST_OUTPUTS 48 /* of a task, unless there are too few tasks */
#define MOST_PHASES 64
#define AHEAD 4 /* words of channels that are asked for */
#define CHUNK 4 /* words that are copied at a time */

/* ---- the plan ---- */

typedef struct plan {
  wh_window win;
  int64_t c, m, words, block; /* words of k; of a block */
  int64_t width, high;        /* places of a tile; outputs of a panel */
  bool amx;                   /* tiles are registers' and take less time than what they read */
  bool by_outputs;            /* then: weights are more than words, and each worker has outputs of its own */
  bool single;                /* windows are one element of the image, which needs no copy */
  int64_t rows[2], phase_length, row_length, plane, n_phases, phases[MOST_PHASES]; /* of the copy */
  int64_t places, tiles;                  /* all; of a task at most */
  int64_t panels, place_tasks, row_tasks; /* panels of a task's outputs at most */
  size_t image_bytes, offset_bytes, word_bytes, sum_bytes, worker_bytes;
} plan;

/* Windows of one element that are the places themselves are one row. */
static wh_window joined(wh_window w) {
  bool same = wh_window_volume(w.kernel) == 1;
  for (int i = 0; i < WH_WINDOW_AXES; i++)
    same = same && w.stride[i] == 1 && !w.pad[i] && w.in[i] == w.out[i];
  if (!same) return w;
  w.in[2] = w.out[2] = wh_window_volume(w.in);
  w.in[0] = w.in[1] = w.out[0] = w.out[1] = 1;
  return w;
}

/* Whether windows are one element of the image. */
static bool is_single(const wh_window *w) {
  bool single = wh_window_volume(w->kernel) == 1;
  for (int i = 0; i < WH_WINDOW_AXES; i++)
    single = single && !w->pad[i] && (w->out[i] - 1) * w->stride[i] < w->in[i];
  return single;
}

static int64_t phase_index(const plan *p, int64_t phase) {
  int64_t i = 0;
  while (i < p->n_phases && p->phases[i] != phase) i++;
  return i;
}

static int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

static bool copy_sizes(plan *p) {
  const wh_window *w = &p->win;
  if (p->single) {
    p->rows[1] = w->in[1];
    p->row_length = w->in[2];
    return true;
  }
  for (int i = 0; i < 2; i++)
    p->rows[i] = (w->out[i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
  for (int64_t k = 0; k < w->kernel[2]; k++) {
    const int64_t phase = k * w->dilation[2] % w->stride[2];
    if (phase_index(p, phase) < p->n_phases) continue;
    p->phases[p->n_phases++] = phase;
  }
  p->phase_length = w->out[2] + (w->kernel[2] - 1) * w->dilation[2] / w->stride[2];
  return !__builtin_mul_overflow(p->phase_length, p->n_phases, &p->row_length) &&
         !__builtin_mul_overflow(p->row_length, p->rows[0], &p->plane) &&
         !__builtin_mul_overflow(p->plane, p->rows[1], &p->plane);
}

/* Tasks of the same size, some for each worker. More tasks across the outputs copy the places more often. */
static void cut(int workers, plan *p) {
  const int64_t want = workers == 1 ? 1 : TASKS * (int64_t)workers, panels = ceil_div(p->m, p->high),
                place_tiles = ceil_div(p->places, p->width);
  p->block = min_i64(p->words, BLOCK_WORDS);
  const int64_t fit = TASK_BYTES / (p->block * p->width * 4), most = fit < 1 ? 1 : min_i64(fit, MOST_TILES);
  p->place_tasks = min_i64(round_up(ceil_div(place_tiles, most), workers), place_tiles);
  p->row_tasks = min_i64(ceil_div(want, p->place_tasks), panels * p->high / LEAST_OUTPUTS);
  if (p->row_tasks < 1) p->row_tasks = 1;
  if (p->place_tasks * p->row_tasks < want)
    p->place_tasks = min_i64(round_up(ceil_div(want, p->row_tasks), workers), place_tiles);
  if (p->place_tasks * p->row_tasks < workers)
    p->row_tasks = min_i64(ceil_div(workers, p->place_tasks), panels);
  p->by_outputs = p->amx && p->m > p->places;
  if (p->by_outputs) {
    p->place_tasks = ceil_div(place_tiles, most);
    p->row_tasks = min_i64(workers, panels);
  }
  p->tiles = ceil_div(place_tiles, p->place_tasks);
  p->panels = ceil_div(panels, p->row_tasks);
}

/* Tiles of `width` places and a panel of a layout. False: it has more phases than there is room for, or takes
 * too many bytes. */
static bool make_plan(const wh_window *win, int64_t c, int64_t m, int64_t width, uint32_t layout, int workers,
                      plan *out) {
  const int64_t high = wh_conv_codes_rows(layout);
  plan p = {.win = joined(*win),
            .c = c,
            .m = m,
            .width = width,
            .high = high,
            .amx = layout == WH_CONV_CODES_TILES};
  size_t codes;
  for (int i = 0; i < WH_WINDOW_AXES;
       i++) /* whichever comes last: that hangs on sizes, the layout must not */
    if (min_i64(win->kernel[i], win->stride[i]) > MOST_PHASES) return false; /* as many phases at most */
  p.places = wh_window_volume(p.win.out);
  if (__builtin_mul_overflow(ceil_div(c, 4), wh_window_volume(p.win.kernel), &p.words)) return false;
  if (p.places <= 0 || p.words <= 0 || m <= 0) {
    *out = p;
    return true;
  }
  p.single = is_single(&p.win);
  if (!copy_sizes(&p)) return false;
  cut(workers, &p);
  if (!wh_mul_size((size_t)ceil_div(c, 4), (size_t)p.plane, &codes) || !wh_add_size(codes, 64, &codes) ||
      !wh_mul_size(codes, sizeof(uint32_t), &codes) || !wh_align_size(codes, 64, &p.image_bytes) ||
      !wh_mul_size((size_t)p.words, sizeof(int64_t), &codes) || !wh_align_size(codes, 64, &p.offset_bytes))
    return false;
  p.word_bytes = (size_t)((p.tiles * p.block + WH_CONV_CODES_STEP) * width + CHUNK) * sizeof(uint32_t);
  p.word_bytes = (p.word_bytes + 63) / 64 * 64;
  p.sum_bytes = (size_t)(p.panels * p.tiles * high * width) * sizeof(uint32_t);
  if (p.words <= p.block) p.sum_bytes = 0;
  if (p.single) p.image_bytes = p.offset_bytes = 0;
  *out = p;
  return wh_add_size(p.offset_bytes, p.word_bytes, &out->worker_bytes) &&
         wh_add_size(out->worker_bytes, p.sum_bytes, &out->worker_bytes) &&
         wh_align_size(out->worker_bytes, 64, &out->worker_bytes);
}

bool wh_conv_codes_scratch(const wh_window *win, int64_t c, int64_t m, int workers, size_t *out) {
  static const struct {
    int64_t width;
    uint32_t layout;
  } shapes[] = {{16, WH_CONV_CODES_PANELS}, {32, WH_CONV_CODES_PANELS}, {32, WH_CONV_CODES_TILES}};
  *out = 0;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    plan p;
    size_t bytes;
    if (!make_plan(win, c, m, shapes[i].width, shapes[i].layout, workers, &p) ||
        !wh_mul_size(p.worker_bytes, (size_t)workers, &bytes) || !wh_add_size(bytes, p.image_bytes, &bytes))
      return false;
    if (bytes > *out) *out = bytes;
  }
  return true;
}

/* ---- the copy ---- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t pairs8 __attribute__((vector_size(16)));
typedef uint64_t doubles2 __attribute__((vector_size(16)));

/* Bytes of two rows, in turns: eight that follow each other, or every other one of sixteen. */
static inline pairs8 two_rows(const uint8_t *a, const uint8_t *b, bool apart) {
  bytes16 x, y;
  if (!apart) {
    uint64_t low; /* not through a vector in memory, which could not be read until it is written */
    memcpy(&low, a, sizeof low);
    x = (bytes16)(doubles2){low};
    memcpy(&low, b, sizeof low);
    y = (bytes16)(doubles2){low};
    return (pairs8)__builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
  memcpy(&x, a, 16);
  memcpy(&y, b, 16);
  return ((pairs8)x & 255) | (pairs8)y << 8;
}

/* What a row's words are made of: rows of four channels, of which the last may be missing. */
typedef struct channels {
  const char *x; /* NULL: padding */
  int64_t apart, n;
  uint8_t flip, zero; /* what makes codes unsigned; the zero point then */
} channels;

/* Elements at, at + stride, ... as words. */
INLINE void join_body(const channels *c, int64_t at, const int64_t stride, int64_t n, uint32_t *to) {
  const uint8_t missing = c->zero ^ c->flip, *row[4];
  const bytes16 others = (bytes16){0} + missing, flip = (bytes16){0} + c->flip;
  int64_t step[4], i = 0;
  for (int k = 0; k < 4; k++) {
    row[k] = k < c->n ? (const uint8_t *)c->x + k * c->apart + at : (const uint8_t *)&others;
    step[k] = k < c->n ? stride : 0;
  }
  for (; stride <= 2 && i + 8 + (stride - 1) <= n; i += 8) { /* no byte behind the last element is read */
    const pairs8 p = two_rows(row[0] + i * step[0], row[1] + i * step[1], stride == 2) ^ (pairs8)flip,
                 q = two_rows(row[2] + i * step[2], row[3] + i * step[3], stride == 2) ^ (pairs8)flip,
                 low = __builtin_shufflevector(p, q, 0, 8, 1, 9, 2, 10, 3, 11),
                 high = __builtin_shufflevector(p, q, 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(to + i, &low, sizeof low);
    memcpy(to + i + 4, &high, sizeof high);
  }
  for (; i < n; i++) {
    uint32_t word = 0;
    for (int k = 0; k < 4; k++) word |= (uint32_t)(row[k][i * step[k]] ^ c->flip) << 8 * k;
    to[i] = word;
  }
}

static void join(const channels *c, int64_t at, int64_t stride, int64_t n, uint32_t *to) {
  if (stride == 1)
    join_body(c, at, 1, n, to);
  else
    join_body(c, at, stride, n, to);
}

static void fill_words(uint32_t *to, int64_t n, uint8_t code) { memset(to, code, (size_t)n * sizeof *to); }

/* A row of the image as the copy has it. */
static void copy_row(const plan *p, const channels *c, uint32_t *to) {
  const wh_window *w = &p->win;
  for (int64_t f = 0; f < p->n_phases; f++, to += p->phase_length) {
    const int64_t first = p->phases[f] - w->pad[2], s = w->stride[2], n = p->phase_length;
    /* elements [begin, end) of the copy lie in the row */
    int64_t begin = first < 0 ? ceil_div(-first, s) : 0,
            end = w->in[2] > first ? ceil_div(w->in[2] - first, s) : 0;
    begin = min_i64(begin, n);
    end = c->x ? min_i64(end, n) : 0;
    if (end < begin) end = begin;
    fill_words(to, begin, c->zero);
    fill_words(to + end, n - end, c->zero);
    if (end > begin) join(c, first + begin * s, s, end - begin, to + begin);
  }
}

/* Whether some tap reads the copy's row `at` of an axis. */
static bool is_read(const wh_window *w, int axis, int64_t at) {
  for (int64_t k = 0; k < w->kernel[axis]; k++) {
    const int64_t rest = at - k * w->dilation[axis];
    if (rest >= 0 && rest % w->stride[axis] == 0) return true;
  }
  return false;
}

/* Row `row` of the copy, of the channels that `of` says. */
static void copy_channels(const plan *p, const channels *of, int64_t row, uint32_t *to) {
  const wh_window *w = &p->win;
  const int64_t d = row / p->rows[1], h = row % p->rows[1], id = d - w->pad[0], ih = h - w->pad[1];
  const bool inside = id >= 0 && id < w->in[0] && ih >= 0 && ih < w->in[1];
  channels from = *of;
  if (!is_read(w, 0, d) || !is_read(w, 1, h)) return;
  from.x = inside ? of->x + (id * w->in[1] + ih) * w->in[2] : NULL;
  copy_row(p, &from, to);
}

/* ---- words ---- */

/* How far the elements of word k are from those of word 0. */
static void find_offsets(const plan *p, int64_t *offsets) {
  const wh_window *w = &p->win;
  int64_t k = 0;
  for (int64_t c = 0; c < ceil_div(p->c, 4); c++)
    for (int64_t d = 0; d < w->kernel[0]; d++)
      for (int64_t h = 0; h < w->kernel[1]; h++)
        for (int64_t v = 0; v < w->kernel[2]; v++) {
          const int64_t row = d * w->dilation[0] * p->rows[1] + h * w->dilation[1], at = v * w->dilation[2];
          offsets[k++] = c * p->plane + row * p->row_length +
                         phase_index(p, at % w->stride[2]) * p->phase_length + at / w->stride[2];
        }
}

/* Places of a tile that follow each other in the copy, or in the image. */
typedef struct stretch {
  int64_t to, n, from;
} stretch;

static int64_t find_stretches(const plan *p, int64_t first, int64_t n, stretch *out) {
  const wh_window *w = &p->win;
  int64_t count = 0;
  for (int64_t i = 0; i < n; count++) {
    const int64_t at = first + i, v = at % w->out[2], h = at / w->out[2] % w->out[1],
                  d = at / w->out[2] / w->out[1];
    out[count] = (stretch){i, min_i64(w->out[2] - v, n - i),
                           (d * w->stride[0] * p->rows[1] + h * w->stride[1]) * p->row_length +
                               (p->single ? v * w->stride[2] : v)};
    i += out[count].n;
  }
  return count;
}

/* In whole chunks: what is written too much is written again later. */
static void fill_tile(const uint32_t *image, const int64_t *offsets, int64_t words, const stretch *s,
                      int64_t n_s, int64_t width, uint32_t *to) {
  if (n_s == 1 && s->n == 16 && width == 16) {
    for (int64_t k = 0; k < words; k++, to += 16) memcpy(to, image + offsets[k] + s->from, 16 * sizeof *to);
    return;
  }
  for (int64_t k = 0; k < words; k++, to += width)
    for (int64_t i = 0; i < n_s; i++) {
      const uint32_t *from = image + offsets[k] + s[i].from;
      for (int64_t j = 0; j < s[i].n; j += CHUNK) memcpy(to + s[i].to + j, from + j, CHUNK * sizeof *to);
    }
}

/* sums[place] += the codes of each word less their zero point. */
static void add_codes(const uint32_t *x, int64_t words, int64_t width, uint32_t zero, uint32_t *sums) {
  for (int64_t k = 0; k < words; k++, x += width)
    for (int64_t i = 0; i < width; i++)
      sums[i] += (x[i] & 0xff) + (x[i] >> 8 & 0xff) + (x[i] >> 16 & 0xff) + (x[i] >> 24) - 4 * zero;
}

/* ---- tasks ---- */

typedef struct job {
  const wh_conv_codes_isa *isa;
  const wh_conv_integer_args *a;
  const plan *p;
  const void *panels;
  const uint32_t *image; /* its copy */
  const int64_t *offsets;
  const char *x; /* of the image */
  int32_t *y;
  wh_codes_end *end; /* or NULL: sums are outputs */
  uint32_t *words, *sums;
  uint32_t x_zero; /* of unsigned codes */
  bool has_w_zero; /* of signed ones */
} job;

/* Zero points as words have the codes: of x unsigned, of w signed. */
int32_t wh_conv_codes_x_zero(const wh_conv_integer_args *a) {
  return (a->x_zero ? wh_code_at(a->x_zero, 0, a->x_dtype == WH_DTYPE_I8) : 0) +
         (a->x_dtype == WH_DTYPE_I8 ? 128 : 0);
}
static int32_t w_zero(const wh_conv_integer_args *a, int64_t m) {
  const int64_t i = a->w_zero_per_output ? m : 0;
  return (a->w_zero ? wh_code_at(a->w_zero, i, a->w_dtype == WH_DTYPE_I8) : 0) -
         (a->w_dtype == WH_DTYPE_I8 ? 0 : 128);
}

/* Sums of a panel's outputs, less what the weights' zero points add, and what follows them. */
static void finish(const job *j, int64_t m, int64_t rows, int64_t place, int64_t n, uint32_t *c,
                   const uint32_t *codes) {
  const int64_t width = j->isa->places;
  for (int64_t r = 0; r < rows; r++, c += width) {
    if (j->has_w_zero) {
      const uint32_t zero = (uint32_t)w_zero(j->a, m + r);
      for (int64_t i = 0; i < width; i++) c[i] -= zero * codes[i];
    }
    if (j->end) continue;
    memcpy(j->y + (m + r) * j->p->places + place, c, (size_t)n * sizeof *c);
  }
  if (j->end) wh_codes_end_run(j->end, (const int32_t *)(c - rows * width), m, rows, place, n);
}

void wh_conv_codes_begin_end(const wh_conv_integer_args *a, int64_t image, int64_t places, int64_t width,
                             wh_team *team, wh_codes_end *e) {
  const int64_t y_bytes = a->chain->to ? 1 : (int64_t)sizeof(float);
  e->chain = a->chain;
  e->team = team;
  e->ld_sums = width;
  e->y = (char *)a->y + image * a->m * places * y_bytes;
  e->ld_y = places;
  for (uint32_t i = 1; i < a->chain->n_inputs; i++) {
    const wh_conv_end *x = &a->ends[i - 1];
    const char *first = (const char *)x->x + image * x->by_image * a->chain->bytes[i];
    e->in[i] = (wh_chain_input){(const float *)(const void *)first, x->by_place, {x->by_channel, false}};
  }
  wh_codes_end_begin(e);
}

/* Channels 4 k and on of the image. */
static channels channels_at(const job *j, int64_t k) {
  const int64_t in = wh_window_volume(j->p->win.in);
  return (channels){j->x + 4 * k * in, in, min_i64(4, j->p->c - 4 * k),
                    j->a->x_dtype == WH_DTYPE_I8 ? 0x80 : 0, (uint8_t)j->x_zero};
}

/* Words [k, k + words) of tiles, the first of which begins with place `first`. */
static void fill_tiles(const job *j, int64_t k, int64_t words, int64_t first, int64_t tiles) {
  const plan *p = j->p;
  const int64_t width = j->isa->places, stride = p->win.stride[2];
  if (p->single && stride == 1 && p->win.out[0] * p->win.out[1] == 1) { /* in the order of the image */
    uint32_t *to = j->words;
    for (int64_t i = 0; i < words; i++, to += width) {
      const channels c = channels_at(j, k + i);
      if (p->amx && i + AHEAD < words) { /* another worker may have written them */
        const channels next = channels_at(j, k + i + AHEAD);
        for (int64_t q = 0; q < next.n; q++) wh_ask_for(next.x + q * next.apart + first, tiles * width);
      }
      for (int64_t t = 0; t < tiles; t++) {
        const int64_t at = first + t * width, n = min_i64(width, p->places - at);
        if (c.n == 4 && n == 16)
          join_body(&c, at, 1, 16, to + t * words * width);
        else
          join(&c, at, 1, n, to + t * words * width);
      }
    }
    return;
  }
  for (int64_t t = 0; t < tiles; t++) {
    const int64_t at = first + t * width;
    uint32_t *to = j->words + t * words * width;
    stretch s[WH_CONV_CODES_PLACES];
    const int64_t n_s = find_stretches(p, at, min_i64(width, p->places - at), s);
    if (!p->single) fill_tile(j->image, j->offsets + k, words, s, n_s, width, to);
    for (int64_t w = 0; p->single && w < words; w++, to += width) {
      const channels c = channels_at(j, k + w);
      for (int64_t i = 0; i < n_s; i++) join(&c, s[i].from, stride, s[i].n, to + s[i].to);
    }
  }
}

static void run_task(const job *j, int64_t task) {
  const plan *p = j->p;
  const int64_t width = p->width, high = p->high, all_tiles = ceil_div(p->places, width),
                panels = ceil_div(p->m, high), at_place = task / p->row_tasks, at_row = task % p->row_tasks,
                tile0 = all_tiles * at_place / p->place_tasks,
                tiles = all_tiles * (at_place + 1) / p->place_tasks - tile0, first = tile0 * width,
                panel0 = panels * at_row / p->row_tasks, panel_end = panels * (at_row + 1) / p->row_tasks;
  const int64_t panel_step = wh_conv_codes_panel_size(j->isa->layout, p->words);
  uint32_t codes[MOST_TILES][WH_CONV_CODES_PLACES] = {{0}};
  _Alignas(64) uint32_t tile[ROWS * WH_CONV_CODES_PLACES];
  for (int64_t k = 0; k < p->words; k += p->block) {
    const int64_t words = min_i64(p->block, p->words - k);
    const int64_t block = wh_conv_codes_block_at(j->isa->layout, k);
    const bool last = k + words == p->words;
    fill_tiles(j, k, words, first, tiles);
    for (int64_t t = 0; j->has_w_zero && t < tiles; t++)
      add_codes(j->words + t * words * width, words, width, j->x_zero, codes[t]);
    for (int64_t from = panel0; from < panel_end; from += GROUP)
      for (int64_t t = 0; t < tiles; t++)
        for (int64_t panel = from; panel < min_i64(from + GROUP, panel_end); panel++) {
          const int64_t at = first + t * width, n = min_i64(width, p->places - at), m = panel * high,
                        rows = min_i64(high, p->m - m);
          /* sums are outputs as they are */
          const bool direct = n == width && (rows == high || !p->amx) && !j->has_w_zero && !j->end;
          uint32_t *sums = j->sums + ((panel - panel0) * tiles + t) * high * width;
          const uint32_t *sums_of = (const uint32_t *)j->panels + panel * panel_step,
                         *weights = sums_of + block;
          uint32_t start[ROWS];
          for (int64_t r = 0; r < high; r++) start[r] = 0 - j->x_zero * sums_of[r];
          const wh_conv_codes_tile c = {.rows = rows,
                                        .words = words,
                                        .half = 2 * n <= width,
                                        .start = k == 0 ? start : NULL,
                                        .w = weights,
                                        .rests = weights + words * high,
                                        .x = j->words + t * words * width,
                                        .c = direct                ? (uint32_t *)j->y + m * p->places + at
                                             : p->words > p->block ? sums
                                                                   : tile,
                                        .ldc = direct ? p->places : width};
          if (p->amx && t == 0 && panel + 1 < panel_end) /* the next in the time of a tile */
            wh_ask_for(weights + panel_step, words * high * (int64_t)sizeof *weights);
          j->isa->tile(&c);
          if (last && !direct) finish(j, m, rows, at, n, c.c, codes[t]);
        }
  }
}

void wh_conv_codes_run(const wh_conv_codes_isa *isa, const wh_conv_integer_args *a, const void *panels,
                       void *scratch, uint32_t step, const wh_worker *worker) {
  plan p;
  wh_codes_end behind;
  /* for the team, as the claim does: a region may have fewer workers, whose larger parts have no room */
  if (!make_plan(&a->win, a->c, a->m, isa->places, isa->layout, wh_team_size(worker->team), &p))
    return;                                              /* refused there */
  if (p.places <= 0 || p.m <= 0 || p.words <= 0) return; /* what has no words is not packed */
  const int64_t in = wh_window_volume(p.win.in), n_tasks = p.place_tasks * p.row_tasks;
  char *own = (char *)scratch + p.image_bytes + (size_t)worker->index * p.worker_bytes;
  uint32_t *image = scratch;
  int64_t *offsets = (int64_t *)(void *)own;
  job j = {.isa = isa,
           .a = a,
           .p = &p,
           .panels = panels,
           .image = image,
           .offsets = offsets,
           .end = a->chain ? &behind : NULL,
           .words = (uint32_t *)(void *)(own + p.offset_bytes),
           .sums = (uint32_t *)(void *)(own + p.offset_bytes + p.word_bytes)};
  j.x_zero = (uint32_t)wh_conv_codes_x_zero(a);
  for (int64_t i = 0; i < (a->w_zero_per_output ? a->m : 1); i++) j.has_w_zero |= w_zero(a, i) != 0;
  if (!p.single) find_offsets(&p, offsets);
  for (int64_t n = 0; n < a->n; n++) {
    int64_t begin, end;
    j.x = (const char *)a->x + n * p.c * in;
    if (!p.single) {
      if (n) wh_team_barrier(worker); /* the copy before is done with */
      const int64_t rows = p.rows[0] * p.rows[1];
      wh_worker_range(worker, ceil_div(p.c, 4) * rows, &begin, &end);
      for (int64_t i = begin; i < end; i++) {
        const channels of = channels_at(&j, i / rows);
        copy_channels(&p, &of, i % rows, image + i * p.row_length);
      }
      wh_team_barrier(worker);
    }
    j.y = a->y + n * p.m * p.places;
    if (j.end) wh_conv_codes_begin_end(a, n, p.places, isa->places, worker->team, j.end);
    if (isa->take) isa->take();
    if (p.by_outputs) { /* tiles take so little time that what matters is who has read what */
      for (int64_t t = worker->index; t < n_tasks; t += worker->count) run_task(&j, t);
    } else if (a->n > 1 || p.amx) {
      wh_worker_range(worker, n_tasks, &begin, &end);
      for (int64_t t = begin; t < end; t++) run_task(&j, t);
    } else {
      for (int64_t t; (t = wh_team_claim(worker, step, n_tasks)) < n_tasks;) run_task(&j, t);
    }
    if (isa->release) isa->release();
  }
}
