/* conv_codes_winograd.c - see conv_codes_winograd.h. Of an image a padded copy is made in words of two
 * channels, even and odd columns apart. A task takes some blocks of 16 tiles and some outputs: it makes the
 * 16 places of its tiles of all words, and goes with these over the outputs' panels, a group of them at a
 * time. */
#include "backends/cpu/conv_codes_winograd.h"

#include <string.h>

#include "backends/cpu/codes_end.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define ROWS WH_CONV_CODES_ROWS
#define TILES WH_CODES_WINOGRAD_TILES
#define PLACES WH_CODES_WINOGRAD_PLACES
#define LEAST_CHANNELS 16
#define MOST_CHANNELS 1827 /* so that 4 * 9 * 128 * 255 times them stays below 2^31 */
#define BLOCK_WORDS 256    /* of a task's blocks: those of one place stay in a first-level cache */
#define GROUP 32           /* blocks times panels whose sums are kept: in a second-level cache */
#define TASKS 4            /* of a worker, where there are several */
#define LANES 8            /* tiles that are read together */

const wh_codes_winograd_isa *wh_codes_winograd_isa_select(uint64_t features) {
#if defined(__x86_64__)
  static const wh_codes_winograd_isa avx2 = {wh_k_codes_winograd_dots__avx2, wh_k_codes_winograd_input__avx2,
                                             wh_k_codes_winograd_output__avx2};
  const wh_conv_codes_isa *codes = wh_conv_codes_isa_select(features);
  if (codes && wh_conv_codes_has_rests(codes->layout) && codes->places == TILES) return &avx2;
#endif
  (void)features;
  return NULL;
}

/* ---- weights ---- */

static int64_t words_of(int64_t c) { return ceil_div(c, 2); }
static int64_t panel_words(int64_t c) { return ROWS + PLACES * words_of(c) * ROWS; }

bool wh_codes_winograd_layout(wh_dtype dtype, int64_t m, int64_t c, wh_linear_layout *out) {
  *out = (wh_linear_layout){.id = WH_CONV_CODES_WINOGRAD,
                            .dtype = dtype,
                            .n = m,
                            .k = c,
                            .panel_cols = ROWS,
                            .n_panels = ceil_div(m, ROWS)};
  if (dtype != WH_DTYPE_I8 || c < LEAST_CHANNELS || c > MOST_CHANNELS || m < LEAST_CHANNELS) return false;
  out->panel_bytes = (size_t)panel_words(c) * sizeof(uint32_t);
  return wh_mul_size(out->panel_bytes, (size_t)out->n_panels, &out->n_bytes);
}

/* 2 G w (2 G)^T of the 3 x 3 codes w, to one half of 16 words that lie `apart`. */
static void transform(const int8_t *w, int half, int64_t apart, uint32_t *to) {
  int32_t rows[4][3];
  for (int k = 0; k < 3; k++) {
    const int32_t a = w[k], b = w[3 + k], c = w[6 + k];
    rows[0][k] = 2 * a;
    rows[1][k] = a + b + c;
    rows[2][k] = a - b + c;
    rows[3][k] = 2 * c;
  }
  for (int i = 0; i < 4; i++, to += 4 * apart) {
    const int32_t a = rows[i][0], b = rows[i][1], c = rows[i][2];
    const int32_t u[4] = {2 * a, a + b + c, a - b + c, 2 * c};
    for (int j = 0; j < 4; j++) to[j * apart] |= ((uint32_t)u[j] & 0xffff) << 16 * half;
  }
}

void wh_codes_winograd_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                            int64_t panel_end) {
  const int64_t apart = words_of(l->k) * ROWS;
  for (int64_t p = panel_begin; p < panel_end; p++) {
    uint32_t *to = (uint32_t *)(void *)((char *)dst + (size_t)p * l->panel_bytes);
    memset(to, 0, l->panel_bytes);
    for (int64_t c = 0; c < l->k; c++)
      for (int64_t r = 0; r < min_i64(ROWS, l->n - p * ROWS); r++) {
        const int8_t *w = (const int8_t *)src + ((p * ROWS + r) * l->k + c) * 9;
        for (int k = 0; k < 9; k++) to[r] += (uint32_t)w[k];
        transform(w, (int)(c % 2), apart, to + ROWS + c / 2 * ROWS + r);
      }
  }
}

/* ---- the plan ---- */

typedef struct plan {
  wh_window win;
  int64_t c, m, words;
  int64_t down, across, blocks; /* tiles, and sixteens of them */
  int64_t rows, phase, plane;   /* of the copy */
  int64_t panels, each;         /* all; that sums are kept of */
  int64_t place_tasks, row_tasks, task_blocks;
  size_t image_bytes, word_bytes, worker_bytes;
} plan;

/* False: too large. */
static bool make_plan(const wh_window *win, int64_t c, int64_t m, int workers, plan *out) {
  const int64_t want = workers == 1 ? 1 : TASKS * (int64_t)workers;
  plan p = {.win = *win, .c = c, .m = m, .words = words_of(c)};
  size_t bytes, planes;
  p.down = ceil_div(win->out[1], 2);
  p.across = ceil_div(win->out[2], 2);
  p.rows = 2 * p.down + 2;
  p.phase = p.across + 1;
  p.panels = ceil_div(m, ROWS);
  if (win->out[0] <= 0 || p.down <= 0 || p.across <= 0 || m <= 0) {
    *out = p;
    return true;
  }
  if (__builtin_mul_overflow(p.rows, 2 * p.phase, &p.plane) ||
      __builtin_mul_overflow(p.down, p.across, &p.blocks))
    return false;
  p.blocks = ceil_div(p.blocks, TILES);
  int64_t most = BLOCK_WORDS / p.words;
  if (most < 1) most = 1;
  p.place_tasks = min_i64(ceil_div(ceil_div(p.blocks, most), workers) * workers, p.blocks);
  p.row_tasks = min_i64(ceil_div(want, p.place_tasks), p.panels);
  p.task_blocks = ceil_div(p.blocks, p.place_tasks);
  p.each = min_i64(GROUP / p.task_blocks < 1 ? 1 : GROUP / p.task_blocks, p.panels);
  p.word_bytes = (size_t)((p.task_blocks * p.words + 1) * PLACES * TILES) * sizeof(uint32_t);
  p.worker_bytes = p.word_bytes + (size_t)(p.task_blocks * p.each * PLACES * ROWS * TILES) * sizeof(uint32_t);
  *out = p;
  return wh_mul_size((size_t)p.plane, sizeof(uint32_t), &planes) &&
         wh_mul_size(planes, (size_t)p.words, &bytes) &&
         wh_add_size(bytes, LANES * sizeof(uint32_t), &bytes) && wh_align_size(bytes, 64, &out->image_bytes);
}

bool wh_codes_winograd_scratch(const wh_window *win, int64_t c, int64_t m, int workers, size_t *out) {
  plan p;
  *out = 0;
  return make_plan(win, c, m, workers, &p) && wh_mul_size(p.worker_bytes, (size_t)workers, out) &&
         wh_add_size(*out, p.image_bytes, out);
}

/* ---- the copy ---- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint16_t pairs8 __attribute__((vector_size(16)));

/* Every second code of two channels, from their first on, as words; b NULL: there is no second channel. */
static void join(const uint8_t *a, const uint8_t *b, uint8_t flip, int64_t n, uint32_t *to) {
  int64_t i = 0;
  for (; b && i + 8 < n; i += 8) { /* no byte behind the last code is read */
    bytes16 x, y;
    memcpy(&x, a + 2 * i, sizeof x);
    memcpy(&y, b + 2 * i, sizeof y);
    const pairs8 p = (pairs8)(x ^ flip) & 255, q = (pairs8)(y ^ flip) & 255,
                 low = __builtin_shufflevector(p, q, 0, 8, 1, 9, 2, 10, 3, 11),
                 high = __builtin_shufflevector(p, q, 4, 12, 5, 13, 6, 14, 7, 15);
    memcpy(to + i, &low, sizeof low);
    memcpy(to + i + 4, &high, sizeof high);
  }
  for (; i < n; i++) to[i] = (uint32_t)(a[2 * i] ^ flip) | (b ? (uint32_t)(b[2 * i] ^ flip) << 16 : 0);
}

/* Row `row` of the copy of channels 2 k and 2 k + 1: even columns, then odd ones. */
static void copy_row(const plan *p, const uint8_t *x, int64_t k, int64_t row, uint8_t flip, uint8_t zero,
                     uint32_t *to) {
  const wh_window *w = &p->win;
  const int64_t plane = w->in[1] * w->in[2], h = row - w->pad[1];
  const uint8_t *a = x + (2 * k * w->in[1] + h) * w->in[2], *b = 2 * k + 1 < p->c ? a + plane : NULL;
  for (int64_t phase = 0; phase < 2; phase++, to += p->phase) {
    const int64_t first = phase - w->pad[2];
    int64_t begin = min_i64(first < 0 ? ceil_div(-first, 2) : 0, p->phase),
            end = w->in[2] > first ? min_i64(ceil_div(w->in[2] - first, 2), p->phase) : 0;
    if (h < 0 || h >= w->in[1] || end < begin) end = begin;
    for (int64_t i = 0; i < begin; i++) to[i] = zero * UINT32_C(0x10001);
    for (int64_t i = end; i < p->phase; i++) to[i] = zero * UINT32_C(0x10001);
    if (end > begin)
      join(a + first + 2 * begin, b ? b + first + 2 * begin : NULL, flip, end - begin, to + begin);
  }
}

/* ---- tasks ---- */

typedef struct job {
  const wh_codes_winograd_isa *isa;
  const wh_conv_integer_args *a;
  const plan *p;
  const uint32_t *panels;
  int64_t image;
  const uint32_t *copy;
  wh_codes_end *end; /* or NULL */
  uint32_t *words, *sums;
  uint32_t x_zero;
} job;

/* The places of the tiles of a block, [word][tile], `apart` from place to place. What is written behind a
 * row's last tile is the next row's. */
static void fill_block(const job *j, int64_t block, int64_t apart, uint32_t *to) {
  const plan *p = j->p;
  const int64_t all = p->down * p->across, first = block * TILES, end = min_i64(first + TILES, all);
  _Alignas(32) uint32_t part[PLACES * LANES];
  for (int64_t k = 0; k < p->words; k++)
    for (int64_t t = first, n; t < end; t += n) {
      const uint32_t *from = j->copy + k * p->plane + t / p->across * 4 * p->phase + t % p->across;
      const uint32_t *rows[4][2];
      n = min_i64(min_i64(p->across - t % p->across, end - t), LANES);
      for (int r = 0; r < 4; r++) {
        rows[r][0] = from + r * 2 * p->phase;
        rows[r][1] = rows[r][0] + p->phase;
      }
      uint32_t *at = to + k * TILES + (t - first);
      if (t - first + LANES <= TILES) {
        j->isa->input(rows, apart, at);
        continue;
      }
      j->isa->input(rows, LANES, part);
      for (int i = 0; i < PLACES; i++) memcpy(at + i * apart, part + i * LANES, (size_t)n * sizeof *at);
    }
}

/* Outputs of a block of tiles and of a panel. */
static void finish(const job *j, int64_t block, int64_t panel, const uint32_t *sums) {
  const plan *p = j->p;
  const wh_window *w = &p->win;
  const int64_t m = panel * ROWS, rows = min_i64(ROWS, p->m - m), all = p->down * p->across,
                first = block * TILES, end = min_i64(first + TILES, all), places = w->out[1] * w->out[2];
  const uint32_t *codes = j->panels + panel * panel_words(p->c);
  _Alignas(64) int32_t y[2][ROWS][2 * TILES];
  uint32_t start[ROWS];
  for (int r = 0; r < ROWS; r++) start[r] = 0 - j->x_zero * codes[r];
  j->isa->output(sums, start, y[0][0]);
  for (int64_t t = first, n; t < end; t += n) {
    const int64_t row = t / p->across, col = t % p->across;
    n = min_i64(p->across - col, end - t);
    for (int64_t i = 0; i < 2 && 2 * row + i < w->out[1]; i++) {
      const int64_t at = (2 * row + i) * w->out[2] + 2 * col, wide = min_i64(2 * n, w->out[2] - 2 * col);
      const int32_t *from = y[i][0] + 2 * (t - first);
      if (j->end) {
        wh_codes_end_run(j->end, from, m, rows, at, wide);
        continue;
      }
      for (int64_t r = 0; r < rows; r++)
        memcpy(j->a->y + (j->image * p->m + m + r) * places + at, from + r * 2 * TILES,
               (size_t)wide * sizeof *from);
    }
  }
}

static void run_task(const job *j, int64_t task) {
  const plan *p = j->p;
  const int64_t at_place = task / p->row_tasks, at_row = task % p->row_tasks,
                block0 = p->blocks * at_place / p->place_tasks,
                blocks = p->blocks * (at_place + 1) / p->place_tasks - block0,
                panel0 = p->panels * at_row / p->row_tasks,
                panel_end = p->panels * (at_row + 1) / p->row_tasks;
  const int64_t block_words = p->words * TILES, tile = ROWS * TILES,
                apart = blocks * block_words + TILES; /* not in the same lines of a first-level cache */
  for (int64_t b = 0; b < blocks; b++) fill_block(j, block0 + b, apart, j->words + b * block_words);
  for (int64_t from = panel0; from < panel_end; from += p->each) {
    const int64_t panels = min_i64(p->each, panel_end - from);
    for (int64_t i = 0; i < PLACES; i++)
      for (int64_t n = 0; n < panels; n++) {
        const uint32_t *w = j->panels + (from + n) * panel_words(p->c) + ROWS + i * p->words * ROWS;
        /* the next panel's, or the next place's of the first */
        const uint32_t *next = n + 1 < panels   ? w + panel_words(p->c)
                               : i + 1 < PLACES ? w + p->words * ROWS - n * panel_words(p->c)
                                                : w;
        for (int64_t b = 0; b < blocks; b++)
          j->isa->dots(2 * (p->down * p->across - (block0 + b) * TILES) <= TILES, p->words, w,
                       b == 0 ? next : w, j->words + i * apart + b * block_words,
                       j->sums + ((b * panels + n) * PLACES + i) * tile);
      }
    for (int64_t b = 0; b < blocks; b++)
      for (int64_t n = 0; n < panels; n++)
        finish(j, block0 + b, from + n, j->sums + (b * panels + n) * PLACES * tile);
  }
}

void wh_codes_winograd_run(const wh_codes_winograd_isa *isa, const wh_conv_integer_args *a,
                           const void *panels, void *scratch, uint32_t step, const wh_worker *worker) {
  plan p;
  wh_codes_end behind;
  /* for the team, as the claim does */
  if (!make_plan(&a->win, a->c, a->m, wh_team_size(worker->team), &p)) return; /* refused there */
  if (p.blocks <= 0) return;
  char *own = (char *)scratch + p.image_bytes + (size_t)worker->index * p.worker_bytes;
  uint32_t *copy = scratch;
  const int64_t in = wh_window_volume(p.win.in), out = wh_window_volume(p.win.out),
                n_tasks = p.place_tasks * p.row_tasks;
  job j = {.isa = isa,
           .a = a,
           .p = &p,
           .panels = panels,
           .copy = copy,
           .end = a->chain ? &behind : NULL,
           .words = (uint32_t *)(void *)own,
           .sums = (uint32_t *)(void *)(own + p.word_bytes),
           .x_zero = (uint32_t)wh_conv_codes_x_zero(a)};
  for (j.image = 0; j.image < a->n; j.image++) {
    const uint8_t *x = (const uint8_t *)a->x + j.image * p.c * in;
    int64_t begin, end;
    if (j.image) wh_team_barrier(worker); /* the copy before is done with */
    wh_worker_range(worker, p.words * p.rows, &begin, &end);
    for (int64_t i = begin; i < end; i++)
      copy_row(&p, x, i / p.rows, i % p.rows, a->x_dtype == WH_DTYPE_I8 ? 0x80 : 0, (uint8_t)j.x_zero,
               copy + i * 2 * p.phase);
    wh_team_barrier(worker);
    if (j.end) wh_conv_codes_begin_end(a, j.image, out, 2 * TILES, worker->team, j.end);
    if (a->n > 1) {
      wh_worker_range(worker, n_tasks, &begin, &end);
      for (int64_t t = begin; t < end; t++) run_task(&j, t);
      continue;
    }
    for (int64_t t; (t = wh_team_claim(worker, step, n_tasks)) < n_tasks;) run_task(&j, t);
  }
}
