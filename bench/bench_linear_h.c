/* bench_linear_h.c - products with 16-bit weights: checked against the reference, then timed as a share of
 * the int8 peak, at whose half rate processors have products of 16 bits (many rows), or of read bandwidth
 * (few rows), each measured next to the timing.
 *
 * Usage: bench_linear_h [threads] [level, or "all" for every kernel of the list] [substring of the case] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/linear_h_format.h"
#include "bench/team_roofline.h"
#include "bench/timing.h"
#include "core/base/quantize_wide.h"

#define REPS 9
#define REP_SECONDS 0.03
#define FEW_ROWS 8

static const struct bench_case {
  const char *name;
  int64_t m, n, k;
} cases[] = {
    {"512 x 5632 x 2048", 512, 5632, 2048}, {"512 x 2048 x 5632", 512, 2048, 5632},
    {"512 x 1536 x 576", 512, 1536, 576},   {"512 x 576 x 1536", 512, 576, 1536},
    {"16 x 2048 x 2048", 16, 2048, 2048},   {"1 x 5632 x 2048", 1, 5632, 2048},
    {"1 x 2048 x 5632", 1, 2048, 5632},     {"1 x 1536 x 576", 1, 1536, 576},
    {"2 x 5632 x 2048", 2, 5632, 2048},     {"4 x 5632 x 2048", 4, 5632, 2048},
    {"8 x 5632 x 2048", 8, 5632, 2048},
};

typedef struct job {
  wh_linear_q_fn fn;
  wh_linear_q_args args;
  uint64_t mask;
  wh_team *team;
  team_roofline *roofline;
  const char *w; /* `copies` of the matrix, `stride` bytes apart, used one after the other */
  size_t stride, copies, copy;
} job;

static void run_worker(void *arg, const wh_worker *w) {
  const job *j = arg;
  j->fn(&j->args, w);
}
static void run_once(void *arg) {
  job *j = arg;
  j->args.w = j->w + j->stride * j->copy;
  j->copy = (j->copy + 1) % j->copies;
  wh_team_run(j->team, run_worker, j);
}
static double limit_of_products(void *arg) {
  const job *j = arg;
  return wh_measure_rate(j->team, j->mask, WH_MEASURE_INT8, NULL, 0, REP_SECONDS).rate / 2;
}
static double limit_of_reads(void *arg) {
  return team_roofline_measure(((const job *)arg)->roofline, WH_MEASURE_READ);
}

static uint32_t seed = 1;
static float uniform(void) {
  seed = seed * 1664525u + 1013904223u;
  return ((float)(seed >> 8) - 8388607.5f) / 8388608.0f;
}

/* m random rows as q13a. */
static void *activations(int64_t m, int64_t k) {
  char *q = timing_alloc(wh_q13a_bytes(m, k));
  for (int64_t r = 0; r < m; r++) {
    const wh_q13a_tile t = wh_q13a_tile_at(q, m, k, r / WH_Q13A_TILE);
    for (int64_t from = 0, b = 0; from < k; from += WH_Q13A_BLOCK, b++) {
      float x[WH_Q13A_BLOCK];
      const int64_t n = k - from < WH_Q13A_BLOCK ? k - from : WH_Q13A_BLOCK;
      const int64_t at = b * t.rows + r % WH_Q13A_TILE;
      for (int64_t i = 0; i < n; i++) x[i] = uniform();
      (void)wh_q13a_quantize_block(x, n, t.q + at * WH_Q13A_BLOCK, &t.scale[at]);
    }
  }
  return q;
}

/* The first panel's columns of all rows against the reference. */
static bool is_right(const job *j, const void *file) {
  const wh_linear_layout *l = j->args.layout;
  const int64_t n = l->n < WH_LINEAR_H_COLS ? l->n : WH_LINEAR_H_COLS;
  wh_linear_layout part;
  job ref = {.fn = wh_linear_h_select(0, l->dtype, NULL), .args = j->args};
  if (wh_linear_h_layout(0, l->dtype, n, l->k, &part) != WH_OK) return false;
  float *want = timing_alloc((size_t)(j->args.m * n) * sizeof *want);
  ref.args.layout = &part;
  ref.args.w = file;
  ref.args.y = want;
  ref.args.ldy = n;
  wh_team_run(j->team, run_worker, &ref);
  bool same = true;
  for (int64_t r = 0; r < j->args.m; r++)
    same &= memcmp(want + r * n, j->args.y + r * j->args.ldy, (size_t)n * sizeof *want) == 0;
  free(want);
  return same;
}

static int run_case(const struct bench_case *c, wh_team *team, team_roofline *roof, uint64_t mask) {
  wh_linear_layout layout;
  if (wh_linear_h_layout(mask, WH_DTYPE_BF16, c->n, c->k, &layout) != WH_OK) return 2;
  const bool few = c->m <= FEW_ROWS;
  job j = {.fn = wh_linear_h_select(mask, WH_DTYPE_BF16, NULL), .mask = mask, .team = team, .roofline = roof};
  uint16_t *file = timing_alloc((size_t)(c->n * c->k) * 2);
  for (int64_t i = 0; i < c->n * c->k; i++) file[i] = (uint16_t)(wh_f32_bits(uniform()) >> 16);
  j.stride = (layout.n_bytes + 4095) / 4096 * 4096;
  j.copies = few ? team_roofline_bytes(roof) / j.stride + 1 : 1;
  char *w = timing_alloc(j.stride * j.copies);
  if (!wh_linear_h_pack(&layout, file, w, 0, layout.n_panels)) return 2;
  for (size_t i = 1; i < j.copies; i++) memcpy(w + i * j.stride, w, layout.n_bytes);
  void *x = activations(c->m, c->k);
  float *y = timing_alloc((size_t)(c->m * c->n) * sizeof *y);
  j.w = w;
  j.args = (wh_linear_q_args){.layout = &layout, .x = x, .m = c->m, .y = y, .ldy = c->n, .step = 1};
  const size_t scratch_bytes = wh_linear_h_scratch_bytes(mask, &layout, c->m);
  const wh_cpu_make make = wh_cpu_make_detect();
  const char *why;
  j.args.fetch = wh_cpu_fetch_of(&make, &why);
  if (scratch_bytes) j.args.scratch = timing_alloc(scratch_bytes);
  run_once(&j);
  const bool right = is_right(&j, file);
  const double work = few ? (double)layout.n_bytes : 2.0 * (double)c->m * (double)c->n * (double)c->k;
  timing t = {0};
  if (right)
    t = timing_measure(&(timing_task){run_once, few ? limit_of_reads : limit_of_products, &j, work,
                                      REP_SECONDS, REPS, false});
  char note[TIMING_NOTE_BYTES];
  if (!right)
    printf("%-20s WRONG BITS\n", c->name);
  else if (t.kept == 0)
    printf("%-20s the machine's speed changed within every repetition\n", c->name);
  else
    printf("%-20s %9.1f us %8.1f %s  %3.0f %% of %4.0f%s\n", c->name, t.seconds * 1e6, t.rate * 1e-9,
           few ? "GB/s " : "GOP/s", 100.0 * t.share, t.limit * 1e-9, timing_note(&t, note));
  (void)fflush(stdout);
  free(file);
  free(w);
  free(x);
  free(y);
  return !right;
}

static int run_cases(wh_team *team, uint64_t mask, const char *part) {
  team_roofline *roof = team_roofline_create(team, mask);
  int status = 0;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (!part || strstr(cases[i].name, part)) status |= run_case(&cases[i], team, roof, mask);
  team_roofline_destroy(roof);
  return status;
}

/* Kernel by kernel, each with the levels that it needs. */
static int run_all(wh_team *team, uint64_t available, const char *part) {
  int status = 0;
#define WH_LINEAR_H_KERNEL(isa, needs)                        \
  if ((available & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    printf("linear_h__" #isa "\n");                           \
    status |= run_cases(team, needs, part);                   \
  }
#include "backends/cpu/kernels_linear_h.def"
#undef WH_LINEAR_H_KERNEL
  return status;
}

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 1;
  const char *level = argc > 2 ? argv[2] : "auto", *part = argc > 3 ? argv[3] : NULL;
  const bool all = strcmp(level, "all") == 0;
  const uint64_t available = wh_cpu_features_usable();
  uint64_t mask;
  wh_team *team;
  if (wh_cpu_level_mask(all ? "auto" : level, available, &mask) != WH_OK ||
      wh_team_create(threads, NULL, NULL, &team) != WH_OK) {
    (void)fprintf(stderr, "%s\n", wh_last_error()->message);
    return 2;
  }
  const int status = all ? run_all(team, available, part) : run_cases(team, mask, part);
  wh_team_destroy(team);
  return status;
}
