/* bench_exact.c - what the numerics contract costs: each quantised product against the fastest variant of the
 * same kernel that need not give the same bits everywhere.
 *
 * The variant has one scale for a whole row of activations and lets its sums run on through the groups of
 * 256. (Types with minima of sub-blocks are left out: their activations' sums carry the shift.) Both run in
 * turns on the same data; the printed ratio is the median of the pairs' (variant's time / exact time: 1 means
 * that exactness is free). The activations are such that both compute the same product, up to the order of
 * the sums, and that is checked first. Usage: bench_exact [threads] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/linear_q_kernels.h"
#include "bench/inexact_linear_q.h"
#include "bench/timing.h"
#include "tests/kernels/linear_q_fixture.h"

#define PAIRS 31
#define REP_SECONDS 0.02
#define DECODE_BYTES ((size_t)256 << 20) /* read by one repetition of few rows: far more than any cache */

static const struct {
  wh_dtype dtype;
  wh_linear_q_fn exact, inexact;
} types[] = {
    {WH_DTYPE_Q4_0, wh_k_linear_q4_0__avx512vnni, wh_k_linear_q4_0__inexact},
    {WH_DTYPE_Q8_0, wh_k_linear_q8_0__avx512vnni, wh_k_linear_q8_0__inexact},
    {WH_DTYPE_Q6_K, wh_k_linear_q6_k__avx512vnni, wh_k_linear_q6_k__inexact},
};
static const int64_t rows[] = {512, 8, 1};
enum { N = 5632, K = 2048 };

typedef struct work {
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
    wh_team_barrier(worker);
  }
}

/* Every block of 32 holds 1.0, the largest magnitude: no block is shifted against its group. */
static void *activations(fixture_rng *rng, int64_t m) {
  float *x = timing_alloc((size_t)(m * K) * sizeof *x);
  for (int64_t i = 0; i < m * K; i++) x[i] = i % 32 == 0 ? 1.0f : fixture_random_unit(rng);
  void *q = timing_alloc(wh_q8a_bytes(m, K));
  fixture_quantize(x, m, K, q);
  free(x);
  return q;
}

static bool agree(const float *exact, const float *inexact, int64_t n) {
  double squares = 0.0, errors = 0.0;
  for (int64_t i = 0; i < n; i++) {
    const double e = 8.0 * (double)inexact[i] - (double)exact[i];
    squares += (double)exact[i] * (double)exact[i];
    errors += e * e;
  }
  return isfinite(squares) && squares > 0.0 && errors <= 1e-10 * squares;
}

static double seconds_of(wh_team *team, work *job, wh_linear_q_fn fn, int runs) {
  job->fn = fn;
  const double begin = timing_now();
  for (int i = 0; i < runs; i++) wh_team_run(team, run, job);
  return (timing_now() - begin) / runs;
}

static void bench_type(wh_team *team, size_t type) {
  fixture_rng rng = {88172645463325252ull};
  wh_linear_layout layout;
  const wh_dtype dtype = types[type].dtype;
  if (wh_linear_q_layout(WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI, dtype, N, K, &layout) != WH_OK)
    exit(1);
  const size_t most = DECODE_BYTES / layout.n_bytes + 1;
  uint8_t *file = timing_alloc(fixture_weight_bytes(dtype, N, K)), *w = timing_alloc(layout.n_bytes * most);
  fixture_weights(&rng, dtype, N, K, false, file);
  if (!wh_linear_q_pack(&layout, file, w, 0, layout.n_panels)) exit(1);
  for (size_t i = 1; i < most; i++) memcpy(w + i * layout.n_bytes, w, layout.n_bytes);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const int64_t m = rows[i], n_y = m * N;
    float *y[2] = {timing_alloc((size_t)n_y * sizeof(float)), timing_alloc((size_t)n_y * sizeof(float))};
    void *x = activations(&rng, m);
    work job = {.args = {.layout = &layout, .x = x, .m = m, .ldy = N}, .w = w, .copies = m > 8 ? 1 : most};
    job.args.y = y[0];
    double once = seconds_of(team, &job, types[type].exact, 1);
    job.args.y = y[1];
    (void)seconds_of(team, &job, types[type].inexact, 1);
    if (!agree(y[0], y[1], n_y)) {
      fprintf(stderr, "%s, %d rows: the variants differ by more than rounding; nothing was timed\n",
              wh_dtype_name(dtype), (int)m);
      exit(1);
    }
    const int runs = once < REP_SECONDS ? (int)(REP_SECONDS / once) + 1 : 1;
    double ratio[PAIRS], exact[PAIRS];
    for (int p = 0; p < PAIRS; p++) { /* each first as often as the other */
      const int first = p % 2;
      double t[2];
      t[first] = seconds_of(team, &job, first ? types[type].inexact : types[type].exact, runs);
      t[!first] = seconds_of(team, &job, first ? types[type].exact : types[type].inexact, runs);
      exact[p] = t[0];
      ratio[p] = t[1] / t[0];
    }
    printf("%-5s %4d rows  exact %9.1f us   exact is %.3f times as fast as the inexact variant\n",
           wh_dtype_name(dtype), (int)m, 1e6 * timing_median(exact, PAIRS) / (double)job.copies,
           timing_median(ratio, PAIRS));
    (void)fflush(stdout);
    free(y[0]);
    free(y[1]);
    free(x);
  }
  free(file);
  free(w);
}

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 2;
  if (!(wh_cpu_features_detect() & WH_CPU_AVX512VNNI)) {
    puts("bench_exact needs AVX-512 with VNNI");
    return 0;
  }
  wh_team *team = NULL;
  if (threads < 1 || wh_team_create(threads, NULL, NULL, &team) != WH_OK) return 1;
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) bench_type(team, i);
  wh_team_destroy(team);
  return 0;
}
