/* bench_exact.c - what the numerics contract costs: each quantised product against the fastest variant of the
 * same kernel that need not give the same bits everywhere (inexact_linear_q.h).
 *
 * Both run on the same weights and in turns, E V V E, one thread, by the processor time of the process. The
 * exact result is compared with the reference kernel's bits, the variant's with it up to the order of sums,
 * before anything is timed. Printed are variant / exact (1: exactness is free) of the shortest times and of
 * the rounds (median and quartiles), and what the same reckoning makes of each round's two exact runs.
 *
 * Usage: bench_exact [level or "all"] [type or "all"] [case: "cache", "memory", "decode"] */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/cpu/linear_q_kernels.h"
#include "bench/inexact_linear_q.h"
#include "bench/timing.h"
#include "tests/kernels/linear_q_fixture.h"

#define ROUNDS_MAX 400
#define DECODE_BYTES ((size_t)192 << 20) /* of weights that a run of one row reads: far more than a cache */

static const struct kernel {
  wh_dtype dtype;
  const char *type, *isa;
  uint64_t needs;
  wh_linear_q_fn exact, inexact;
} kernels[] = {
#define KERNEL(type, lower, isa, needs) \
  {WH_DTYPE_##type, #lower, #isa, needs, wh_k_linear_##lower##__##isa, wh_k_linear_##lower##__inexact_##isa},
    INEXACT_KERNELS(KERNEL)
#undef KERNEL
};

static const struct bench_case {
  const char *name;
  int64_t m, n, k;
  int rounds;
} cases[] = {
    {"cache", 64, 64, 2048, 400},   /* a tile of rows, two panels: all in the second-level cache */
    {"memory", 512, 5632, 2048, 9}, /* a prompt */
    {"decode", 1, 5632, 2048, 15},
};

typedef struct work {
  wh_team *team;
  wh_linear_q_fn fn;
  wh_linear_q_args args;
  const uint8_t *w;
  size_t copies;
} work;

static void run(void *arg, const wh_worker *worker) {
  const work *job = arg;
  wh_linear_q_args args = job->args;
  for (size_t i = 0; i < job->copies; i++) {
    args.w = job->w + i * args.layout->n_bytes;
    args.step = (uint32_t)i + 1;
    job->fn(&args, worker);
  }
}

static double cpu_seconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct side {
  wh_linear_q_fn fn;
  void *x;
  float *y;
} side;

static double seconds_of(work *job, const side *s) {
  job->fn = s->fn;
  job->args.x = s->x;
  job->args.y = s->y;
  const double begin = cpu_seconds();
  wh_team_run(job->team, run, job);
  return cpu_seconds() - begin;
}

/* Every block of 32 holds 1.0, the largest magnitude: no block is shifted against its group. */
static void activations(fixture_rng *rng, int64_t m, int64_t k, void *q) {
  float *x = timing_alloc((size_t)(m * k) * sizeof *x);
  for (int64_t i = 0; i < m * k; i++) x[i] = i % 32 == 0 ? 1.0f : fixture_random_unit(rng);
  fixture_quantize(x, m, k, q);
  free(x);
}

/* The same activations for the variant: their common shift of 3 moves from sums to scales. */
static void unshift(void *q, int64_t m, int64_t k) {
  for (int64_t i = 0; i * WH_Q8A_TILE < m; i++) {
    const wh_q8a_tile t = wh_q8a_tile_at(q, m, k, i);
    const int64_t blocks = k / 32 * t.rows, groups = (k + 255) / 256 * t.rows;
    for (int64_t b = 0; b < blocks; b++) t.fbsum[b] /= 8.0f;
    for (int64_t b = 0; b < groups * 8; b++) t.jsum[b] = (int16_t)(t.jsum[b] / 8);
    for (int64_t b = 0; b < groups * 16; b++) t.jsum16[b] = (int16_t)(t.jsum16[b] / 8);
    for (int64_t g = 0; g < groups; g++) t.scale[g] *= 8.0f;
  }
}

static bool agree(const float *exact, const float *inexact, int64_t n) {
  double squares = 0.0, errors = 0.0;
  for (int64_t i = 0; i < n; i++) {
    const double e = (double)inexact[i] - (double)exact[i];
    squares += (double)exact[i] * (double)exact[i];
    errors += e * e;
  }
  return isfinite(squares) && squares > 0.0 && errors <= 1e-10 * squares;
}

/* The first 32 columns of the exact result against the reference. */
static bool is_right(const work *job, const void *file, const side *exact) {
  const wh_linear_layout *l = job->args.layout;
  wh_linear_layout part;
  if (wh_linear_q_layout(0, l->dtype, 32, l->k, &part) != WH_OK) return false;
  work ref = *job;
  float *want = timing_alloc((size_t)job->args.m * 32 * sizeof *want);
  ref.copies = 1;
  ref.w = file;
  ref.args.layout = &part;
  ref.args.ldy = 32;
  (void)seconds_of(&ref, &(side){wh_linear_q_select(0, l->dtype, NULL), exact->x, want});
  bool same = true;
  for (int64_t r = 0; r < job->args.m; r++)
    same &= memcmp(want + r * 32, exact->y + r * job->args.ldy, 32 * sizeof *want) == 0;
  free(want);
  return same;
}

static void race(work *job, const side *exact, const side *variant, int rounds, double ops) {
  double ratio[ROUNDS_MAX], same[ROUNDS_MAX], best[2] = {INFINITY, INFINITY};
  int i = 0;
  for (int tries = 0; i < rounds && tries < 8 * rounds; tries++) {
    const double e1 = seconds_of(job, exact), v1 = seconds_of(job, variant), v2 = seconds_of(job, variant),
                 e2 = seconds_of(job, exact);
    if (!(fmin(fmin(e1, e2), fmin(v1, v2)) > 0.0))
      continue; /* a clock that stood still has measured nothing */
    best[0] = fmin(best[0], fmin(e1, e2));
    best[1] = fmin(best[1], fmin(v1, v2));
    ratio[i] = (v1 + v2) / (e1 + e2);
    same[i++] = e2 / e1;
  }
  const size_t n = (size_t)i;
  if (!n) {
    printf("too short for the clock\n");
    return;
  }
  const double median = timing_median(ratio, n);
  printf("exact %6.1f G/s  shortest %.3f  median %.3f (%.3f to %.3f)  exact/exact %.3f\n",
         1e-9 * ops / best[0], best[1] / best[0], median, ratio[n / 4], ratio[n * 3 / 4],
         timing_median(same, n));
  (void)fflush(stdout);
}

static bool bench(wh_team *team, const struct kernel *kernel, const struct bench_case *c) {
  fixture_rng rng = {88172645463325252ull};
  wh_linear_layout layout;
  if (wh_linear_q_layout(kernel->needs, kernel->dtype, c->n, c->k, &layout) != WH_OK) return false;
  const size_t copies = c->m > 1 ? 1 : DECODE_BYTES / layout.n_bytes + 1, n_y = (size_t)(c->m * c->n);
  uint8_t *file = timing_alloc(fixture_weight_bytes(kernel->dtype, c->n, c->k));
  uint8_t *w = timing_alloc(layout.n_bytes * copies);
  fixture_weights(&rng, kernel->dtype, c->n, c->k, false, file);
  if (!wh_linear_q_pack(&layout, file, w, 0, layout.n_panels)) return false;
  for (size_t i = 1; i < copies; i++) memcpy(w + i * layout.n_bytes, w, layout.n_bytes);
  const size_t x_bytes = wh_q8a_bytes(c->m, c->k);
  const side exact = {kernel->exact, timing_alloc(x_bytes), timing_alloc(n_y * sizeof(float))};
  const side variant = {kernel->inexact, timing_alloc(x_bytes), timing_alloc(n_y * sizeof(float))};
  activations(&rng, c->m, c->k, exact.x);
  memcpy(variant.x, exact.x, x_bytes);
  unshift(variant.x, c->m, c->k);
  work job = {.team = team, .args = {.layout = &layout, .m = c->m, .ldy = c->n}, .w = w, .copies = copies};
  (void)seconds_of(&job, &exact);
  (void)seconds_of(&job, &variant);
  printf("%-10s %-6s %-6s ", kernel->isa, kernel->type, c->name);
  const bool right = is_right(&job, file, &exact), close = agree(exact.y, variant.y, (int64_t)n_y);
  if (!right || !close)
    puts(right ? "the variants differ by more than rounding" : "WRONG BITS");
  else
    race(&job, &exact, &variant, c->rounds, 2.0 * (double)n_y * (double)c->k * (double)copies);
  free(file);
  free(w);
  free(exact.x);
  free(exact.y);
  free(variant.x);
  free(variant.y);
  return right && close;
}

static bool chosen(int argc, char **argv, int i, const char *name) {
  return argc <= i || strcmp(argv[i], "all") == 0 || strcmp(argv[i], name) == 0;
}

int main(int argc, char **argv) {
  const uint64_t usable = wh_cpu_features_usable();
  wh_team *team = NULL;
  if (wh_team_create(1, NULL, NULL, &team) != WH_OK) return 2;
  bool right = true;
  for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
      if ((kernels[i].needs & ~usable) == 0 && chosen(argc, argv, 1, kernels[i].isa) &&
          chosen(argc, argv, 2, kernels[i].type) && chosen(argc, argv, 3, cases[c].name))
        right &= bench(team, &kernels[i], &cases[c]);
  wh_team_destroy(team);
  return right ? 0 : 1;
}
