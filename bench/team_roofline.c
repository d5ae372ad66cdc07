/* team_roofline.c - runs the CPU backend's roofline loops on every worker of a team at once. */
#define _POSIX_C_SOURCE 200809L
#include "bench/team_roofline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/cpu/measure_kernels.h"

#define SECONDS 0.015
#define READ_BYTES ((size_t)256 << 20)
#define MAX_WORKERS 256

struct team_roofline {
  wh_team *team;
  uint64_t mask;
  char *buffer;
  bool read;
  double rate[MAX_WORKERS];
  uint64_t sink[MAX_WORKERS];
};

static clockid_t bench_clock = CLOCK_MONOTONIC;

double bench_now(void) {
  struct timespec t;
  (void)clock_gettime(bench_clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

team_roofline *team_roofline_create(wh_team *team, uint64_t mask) {
  team_roofline *r = calloc(1, sizeof *r);
  if (!r || wh_team_size(team) > MAX_WORKERS) {
    free(r);
    return NULL;
  }
  bench_clock = wh_team_size(team) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
  r->team = team;
  r->mask = mask;
  r->buffer = aligned_alloc(4096, READ_BYTES);
  if (!r->buffer) {
    free(r);
    return NULL;
  }
  memset(r->buffer, 1, READ_BYTES);
  return r;
}

void team_roofline_destroy(team_roofline *r) {
  if (!r) return;
  free(r->buffer);
  free(r);
}

static void measure(void *arg, const wh_worker *w) {
  team_roofline *r = arg;
  bool wide = r->mask & WH_CPU_AVX512;
  size_t piece = READ_BYTES / (size_t)w->count / 4096 * 4096;
  const char *mine = r->buffer + piece * (size_t)w->index;
  wh_team_barrier(w);
  double begin = bench_now(), done = 0.0, t;
  do {
    if (r->read) {
      r->sink[w->index] += wide ? wh_k_read__avx512(mine, piece) : wh_k_read__avx2(mine, piece);
      done += (double)piece;
    } else {
      done += wide ? wh_k_peak_f32__avx512(20000) : wh_k_peak_f32__avx2(20000);
    }
    t = bench_now();
  } while (t - begin < SECONDS);
  r->rate[w->index] = done / (t - begin);
}

static double total(team_roofline *r, bool read) {
  double sum = 0.0;
  r->read = read;
  wh_team_run(r->team, measure, r);
  for (int i = 0; i < wh_team_size(r->team); i++) sum += r->rate[i];
  return sum * 1e-9;
}

double team_roofline_gflops(team_roofline *r) { return total(r, false); }
double team_roofline_read_gbs(team_roofline *r) { return total(r, true); }
